"""Answers of a block, written in one pass: what `pipelines.nchf.answers` says, octet for octet.

Whatever is a word, and does not change from answer to answer, comes in a pool of pieces.
"""

from numba import types

from pipelines.nchf.kernels.places import M_FIRST, M_NUMBER, M_TIME, M_UNIT, M_UNITS, U_ASKED, U_GROUP, U_UPF
from schemas.codes import Unit
from schemas.jit import CELLS_IN, I64_IN, I64_OUT, U8_IN, U8_OUT, kernel
from schemas.online import SUCCESS
from schemas.written import iso_nb, number_nb

ABSENT = -1
# Pieces, by place in the pool.
(HEAD, AFTER_NUMBER, UNITS, GROUP, RESULT, GRANTED, CHANGE, QUOTED_COMMA, VOLUME, TIME, OWN_UNITS, CLOSE, VALIDITY,
 HOLDING, FINAL, LEFT_TIME, LEFT_VOLUME, LEFT_UNITS, UPF, QUOTE, END_UNITS, COMMA, NUMBER) = range(23)
PIECES = 23
# Columns of what is answered to each row.
(A_MESSAGE_CODE, A_RESULT_CODE, A_GRANTED, A_FINAL, A_VALIDITY, A_THRESHOLD, A_HOLDING, A_CHANGE) = range(8)
_OCTET, _SECOND = int(Unit.OCTET), int(Unit.SECOND)


@kernel(None)
def put_nb(out, at, pool, places, piece):
    """A piece of the pool; the place behind it."""
    for i in range(places[piece], places[piece + 1]):
        out[at] = pool[i]
        at += 1
    return at


@kernel(None)
def put_unit_nb(out, at, pool, places, results, finals, text, unit, group, answers, row):
    """What is said to a rating group; `at` again where nothing is."""
    result, asked = answers[A_RESULT_CODE, row], group[U_ASKED]
    final = answers[A_FINAL, row]
    if asked == ABSENT and result == SUCCESS and final <= 0:
        return at
    at = number_nb(out, put_nb(out, at, pool, places, GROUP), group[U_GROUP])
    at = put_nb(out, at, pool, places, RESULT)
    word = results.shape[0] - 1  # the last: what no other code says
    for each in range(results.shape[0] - 1):
        if results[each, 0] == result:
            word = each
    at = put_nb(out, at, pool, places, results[word, 1])
    out[at] = 34
    at += 1
    granted, left = answers[A_GRANTED, row], ABSENT
    if asked != ABSENT and granted >= 0 and (granted > 0 or result == SUCCESS):
        at = put_nb(out, at, pool, places, GRANTED)
        if answers[A_CHANGE, row] != ABSENT:
            millis = answers[A_CHANGE, row] // 1000
            at = iso_nb(out, put_nb(out, at, pool, places, CHANGE), millis // 1000, millis % 1000)
            at = put_nb(out, at, pool, places, QUOTED_COMMA)
        if unit == _OCTET:
            at = number_nb(out, put_nb(out, at, pool, places, VOLUME), granted)
        elif unit == _SECOND:
            at = number_nb(out, put_nb(out, at, pool, places, TIME), min(granted, 0xFFFFFFFF))
        else:
            at = number_nb(out, put_nb(out, at, pool, places, OWN_UNITS), granted)
        at = put_nb(out, at, pool, places, CLOSE)
        if answers[A_VALIDITY, row] != ABSENT:
            at = number_nb(out, put_nb(out, at, pool, places, VALIDITY), answers[A_VALIDITY, row])
        if answers[A_HOLDING, row] != ABSENT:
            at = number_nb(out, put_nb(out, at, pool, places, HOLDING), answers[A_HOLDING, row])
        left = answers[A_THRESHOLD, row]
    if final > 0 and final < finals.size and finals[final] != ABSENT:
        at = put_nb(out, put_nb(out, at, pool, places, FINAL), pool, places, finals[final])
    if left != ABSENT:
        piece = LEFT_VOLUME if unit == _OCTET else LEFT_TIME if unit == _SECOND else LEFT_UNITS
        at = number_nb(out, put_nb(out, at, pool, places, piece), left)
    if group[U_UPF] != ABSENT:
        at = put_nb(out, at, pool, places, UPF)
        for i in range(group[U_UPF] >> 16, (group[U_UPF] >> 16) + (group[U_UPF] & 0xFFFF)):
            out[at] = text[i]
            at += 1
        out[at] = 34
        at += 1
    out[at] = 125
    return at + 1


@kernel(types.void(U8_IN, CELLS_IN, CELLS_IN, I64_IN, I64_IN, CELLS_IN, U8_IN, I64_IN, CELLS_IN, I64_IN, U8_OUT,
                   I64_OUT))
def say_nb(text, messages, units, taken, first, answers, pool, places, results, finals, out, ends):
    """Bodies of the answers to the messages `taken`, one behind the other; `ends`: where each ends.

    A message that was refused as a whole has none.
    """
    at = 0
    for place in range(taken.size):
        message = messages[taken[place]]
        if answers[A_MESSAGE_CODE, first[place]] == SUCCESS:
            millis = message[M_TIME] // 1000
            at = iso_nb(out, put_nb(out, at, pool, places, HEAD), millis // 1000, millis % 1000)
            at = number_nb(out, put_nb(out, at, pool, places, NUMBER), message[M_NUMBER])
            at = put_nb(out, at, pool, places, AFTER_NUMBER)
            begun = False
            for each in range(message[M_UNITS]):
                mark = at
                at = put_nb(out, at, pool, places, COMMA if begun else UNITS)
                start = at
                at = put_unit_nb(out, at, pool, places, results, finals, text, message[M_UNIT],
                                 units[message[M_FIRST] + each], answers, first[place] + each)
                if at == start:
                    at = mark
                else:
                    begun = True
            if begun:
                at = put_nb(out, at, pool, places, END_UNITS)
            out[at] = 125
            at += 1
        ends[place] = at
