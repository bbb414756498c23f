"""Answers of a block, written in one pass: what `pipelines.nchf.answers` says, octet for octet.

Whatever is a word, and does not change from answer to answer, comes in a pool of pieces.
"""

from numba import types

from pipelines.nchf.kernels.places import M_FIRST, M_NUMBER, M_UNIT, M_UNITS, U_ASKED, U_GROUP, U_UPF
from schemas.codes import Unit
from schemas.jit import CELLS_IN, I64_IN, I64_OUT, U8_IN, U8_OUT, kernel
from schemas.online import SUCCESS

ABSENT = -1
# Pieces, by place in the pool.
(HEAD, AFTER_NUMBER, UNITS, GROUP, RESULT, GRANTED, CHANGE, QUOTED_COMMA, VOLUME, TIME, OWN_UNITS, CLOSE, VALIDITY,
 HOLDING, FINAL, LEFT_TIME, LEFT_VOLUME, LEFT_UNITS, UPF, QUOTE, END_UNITS, COMMA) = range(22)
PIECES = 22
# Columns of what is answered to each row.
(A_MESSAGE_CODE, A_RESULT_CODE, A_GRANTED, A_FINAL, A_VALIDITY, A_THRESHOLD, A_HOLDING, A_CHANGE) = range(8)
_OCTET, _SECOND = int(Unit.OCTET), int(Unit.SECOND)
_DAY_S = 86_400


@kernel(None)
def put_nb(out, at, pool, places, piece):
    """A piece of the pool; the place behind it."""
    for i in range(places[piece], places[piece + 1]):
        out[at] = pool[i]
        at += 1
    return at


@kernel(None)
def put_number_nb(out, at, value):
    """A number that is not negative."""
    size, rest = 1, value // 10
    while rest > 0:
        size += 1
        rest //= 10
    for i in range(at + size - 1, at - 1, -1):
        out[i] = 48 + value % 10
        value //= 10
    return at + size


@kernel(None)
def put_digits_nb(out, at, value, size):
    """So many digits, with zeros before."""
    for i in range(at + size - 1, at - 1, -1):
        out[i] = 48 + value % 10
        value //= 10
    return at + size


@kernel(None)
def put_time_nb(out, at, time_us):
    """A time as `answers.written` has it: UTC, milliseconds. Source of the arithmetic: H. Hinnant, chrono dates."""
    millis = time_us // 1000
    seconds = millis // 1000
    days, second = seconds // _DAY_S, seconds % _DAY_S
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    turned = (5 * of_year + 2) // 153
    day = of_year - (153 * turned + 2) // 5 + 1
    month = turned + 3 if turned < 10 else turned - 9
    year += era * 400 + (1 if month <= 2 else 0)
    at = put_digits_nb(out, at, year, 4)
    out[at] = 45
    at = put_digits_nb(out, at + 1, month, 2)
    out[at] = 45
    at = put_digits_nb(out, at + 1, day, 2)
    out[at] = 84
    at = put_digits_nb(out, at + 1, second // 3600, 2)
    out[at] = 58
    at = put_digits_nb(out, at + 1, second // 60 % 60, 2)
    out[at] = 58
    at = put_digits_nb(out, at + 1, second % 60, 2)
    out[at] = 46
    at = put_digits_nb(out, at + 1, millis % 1000, 3)
    out[at] = 90
    return at + 1


@kernel(None)
def put_unit_nb(out, at, pool, places, results, finals, text, unit, group, answers, row):
    """What is said to a rating group; `at` again where nothing is."""
    result, asked = answers[A_RESULT_CODE, row], group[U_ASKED]
    final = answers[A_FINAL, row]
    if asked == ABSENT and result == SUCCESS and final <= 0:
        return at
    at = put_number_nb(out, put_nb(out, at, pool, places, GROUP), group[U_GROUP])
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
            at = put_time_nb(out, put_nb(out, at, pool, places, CHANGE), answers[A_CHANGE, row])
            at = put_nb(out, at, pool, places, QUOTED_COMMA)
        if unit == _OCTET:
            at = put_number_nb(out, put_nb(out, at, pool, places, VOLUME), granted)
        elif unit == _SECOND:
            at = put_number_nb(out, put_nb(out, at, pool, places, TIME), min(granted, 0xFFFFFFFF))
        else:
            at = put_number_nb(out, put_nb(out, at, pool, places, OWN_UNITS), granted)
        at = put_nb(out, at, pool, places, CLOSE)
        if answers[A_VALIDITY, row] != ABSENT:
            at = put_number_nb(out, put_nb(out, at, pool, places, VALIDITY), answers[A_VALIDITY, row])
        if answers[A_HOLDING, row] != ABSENT:
            at = put_number_nb(out, put_nb(out, at, pool, places, HOLDING), answers[A_HOLDING, row])
        left = answers[A_THRESHOLD, row]
    if final > 0 and final < finals.size and finals[final] != ABSENT:
        at = put_nb(out, put_nb(out, at, pool, places, FINAL), pool, places, finals[final])
    if left != ABSENT:
        piece = LEFT_VOLUME if unit == _OCTET else LEFT_TIME if unit == _SECOND else LEFT_UNITS
        at = put_number_nb(out, put_nb(out, at, pool, places, piece), left)
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
            at = put_number_nb(out, put_nb(out, at, pool, places, HEAD), message[M_NUMBER])
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
