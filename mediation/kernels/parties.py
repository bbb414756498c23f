"""The other party: how much of its number may be kept, and who holds it."""

import numpy as np
from numba import types

from reference_data.kernels.changes import known_nb
from reference_data.kernels.intervals import FIRST, find_row_nb
from reference_data.number_plan import COUNTRY, COUNTRY_DIGITS
from schemas.codes import Direction, NumberClass
from schemas.digits import digit_count_nb
from schemas.jit import CELLS_IN, I64_IN, I64_OUT, kernel
from schemas.prefix import prefix_leaf_nb

ABSENT = -1
I32_IN = types.Array(types.int32, 1, "C", readonly=True)
ROWS_IN = types.Array(types.int64, 2, "C", readonly=True)
_HIDDEN_DIGITS, _SHORT_NUMBER = 3, 7
_ORDINARY, _TEXT, _NONE = int(NumberClass.ORDINARY), int(NumberClass.TEXT), int(NumberClass.NONE)
_TERMINATING = int(Direction.TERMINATING)
_EMERGENCY, _SHORT = int(NumberClass.EMERGENCY), int(NumberClass.SHORT_CODE)


@kernel(types.void(I64_IN, I64_IN, I32_IN, I64_IN, I64_OUT))
def kept_prefix_nb(number, number_class, deck_slots, deck_leaves, prefix):
    """Digits of the other party that the ledger may show.

    All but the last three of an ordinary number with more than seven, yet never fewer than the longest prefix that
    any deck distinguishes; special and short numbers are nobody's and stay whole.
    """
    for i in range(number.size):
        kind = number_class[i]
        if number[i] <= 0 or kind == _TEXT or kind == _NONE or kind < 0:
            prefix[i] = ABSENT
            continue
        hidden = 0
        if kind == _ORDINARY:
            digits = digit_count_nb(number[i])
            if digits > _SHORT_NUMBER:
                longest = prefix_leaf_nb(number[i], deck_slots, 0, deck_leaves) & 15
                hidden = min(_HIDDEN_DIGITS, digits - longest)
        prefix[i] = number[i] >> 4 * hidden


@kernel(types.void(I64_IN, I64_IN, I64_IN, I64_IN, I32_IN, I64_IN, I64_OUT))
def calling_prefix_nb(served, served_class, direction, other_prefix, deck_slots, deck_leaves, prefix):
    """Prefix of the calling party: the other one's of a terminating leg, else the served number's own.

    Of the served number only the digits that some deck distinguishes are kept: it is a customer's.
    """
    for i in range(served.size):
        prefix[i] = ABSENT
        if direction[i] == _TERMINATING:
            prefix[i] = other_prefix[i]
        elif served[i] > 0 and served_class[i] == _ORDINARY:
            longest = prefix_leaf_nb(served[i], deck_slots, 0, deck_leaves) & 15
            if longest > 0:
                prefix[i] = served[i] >> 4 * (digit_count_nb(served[i]) - longest)


@kernel(types.void(I64_IN, I64_IN, I64_IN, I64_IN, I32_IN, I64_IN, I64_IN, I32_IN, types.int64, ROWS_IN, I64_IN,
                   types.int64, I64_OUT))
def networks_nb(number, number_class, token, time_us, slots, leaves, plan_label, directory, shift, ported, ported_label,
                recorded_us, label):
    """Network that held the other party's number at the time of the event: porting beats prefix. ABSENT: unknown."""
    for i in range(number.size):
        label[i] = ABSENT
        kind = number_class[i]
        if number[i] <= 0 or kind < 0 or kind == _TEXT or kind == _NONE or kind == _EMERGENCY or kind == _SHORT:
            continue
        row = find_row_nb(token[i], time_us[i], recorded_us, directory, shift, ported)
        if row >= 0:
            label[i] = ported_label[ported[row, FIRST]]
        else:
            leaf = prefix_leaf_nb(number[i], slots, np.int64(0), leaves)
            if leaf >= 0:
                label[i] = plan_label[leaf >> 4]


@kernel(types.void(I64_IN, I64_IN, I64_IN, I64_IN, I32_IN, types.int64, ROWS_IN, CELLS_IN, CELLS_IN, I64_OUT))
def foreign_numbers_nb(number, number_class, token, rules, directory, shift, holders, slots, points, foreign):
    """1 for a served number of another country that no service of ours ever held, else 0."""
    for i in range(number.size):
        foreign[i] = 0
        if number[i] > 0 and number_class[i] == _ORDINARY:
            behind = digit_count_nb(number[i]) - rules[COUNTRY_DIGITS]
            if behind <= 0 or number[i] >> 4 * behind != rules[COUNTRY]:
                foreign[i] = 0 if known_nb(token[i], directory, shift, holders, slots, points) else 1
