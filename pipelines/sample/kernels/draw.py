"""Draws: integer hashes of (key, event, salt). No state, so any hour of any source can be drawn on its own."""

import numpy as np
from numba import types

from pipelines.sample.rows import (
    ABROAD,
    AS_DIALLED,
    NATIONAL,
    SPREAD,
    SPREAD_STEP,
    T_CUMULATIVE,
    T_PREFIX,
    T_STYLE,
    T_SUFFIX_DIGITS,
)
from schemas.hashing import mix_nb
from schemas.jit import CELLS_IN, kernel

_A = np.uint64(0x9E3779B97F4A7C15)
_B = np.uint64(0xD6E8FEB86659FD93)
SHARE = 1 << 20  # shares and quantiles are counted in parts of this


@kernel(types.int64(types.int64, types.int64, types.int64))
def draw_nb(key, event, salt):
    """63 random bits that depend on nothing but the arguments."""
    mixed = mix_nb(np.uint64(key) ^ (np.uint64(event) * _A + np.uint64(salt) * _B + _A))
    return np.int64(mixed >> np.uint64(1))


@kernel(types.int64(CELLS_IN, types.int64))
def quantile_nb(table, drawn):
    """Value of a distribution: `table[0]` shares, ascending from 0 to SHARE; `table[1]` values; linear."""
    share = drawn % SHARE
    k = 1
    while table[0, k] <= share:
        k += 1
    low, high = table[0, k - 1], table[0, k]
    return table[1, k - 1] + (table[1, k] - table[1, k - 1]) * (share - low) // (high - low)


@kernel(types.int64(types.int64, types.int64))
def subscriber_nb(drawn, subscribers):
    """Who: every twentieth subscriber uses several times as much as the others."""
    if drawn & 7 == 0:
        heavy = (subscribers + 19) // 20
        return ((drawn >> 3) % heavy) * 20
    return (drawn >> 3) % subscribers


@kernel(types.int64(types.int64, types.int64, types.int64))
def append_digits_nb(packed, value, count):
    """`packed` followed by the lowest `count` decimal digits of `value`."""
    scale = 1
    for _ in range(count - 1):
        scale *= 10
    value = value % (scale * 10)
    for _ in range(count):
        packed = packed << 4 | value // scale + 1
        value = value % scale
        scale = max(scale // 10, 1)
    return packed


@kernel(types.int64(types.int64, types.int64))
def prepend_nb(packed, digits):
    """`digits` (packed) in front of `packed`."""
    shift = 0
    rest = packed
    while rest > 0:
        shift += 4
        rest >>= 4
    return digits << shift | packed


@kernel(types.UniTuple(types.int64, 2)(CELLS_IN, CELLS_IN, types.int64, types.int64, types.boolean))
def other_party_nb(targets, subscribers, drawn, number, in_full):
    """Number of the other party (E.164, or digits as dialled) and whether it is international.

    Local numbers are dialled in national form, with a leading 0, by two callers in five, unless `in_full`.
    """
    share = drawn % SHARE
    t = 0
    while targets[T_CUMULATIVE, t] <= share:
        t += 1
    style = targets[T_STYLE, t]
    if style == AS_DIALLED:
        return append_digits_nb(targets[T_PREFIX, t], number, targets[T_SUFFIX_DIGITS, t]) \
            if targets[T_SUFFIX_DIGITS, t] else targets[T_PREFIX, t], 0
    if targets[T_SUFFIX_DIGITS, t] == 0:
        packed = subscribers[0, number % subscribers.shape[1]]
    else:
        if style == NATIONAL:  # numbers that exist are fewer than numbers that could; ported ones are among them
            number = number % SPREAD * SPREAD_STEP
        packed = append_digits_nb(targets[T_PREFIX, t], number, targets[T_SUFFIX_DIGITS, t])
    if style != ABROAD and not in_full and (drawn >> 20) % 5 < 2:
        digits = 0
        rest = packed
        while rest > 0:
            digits += 1
            rest >>= 4
        national = packed & ((1 << 4 * (digits - 3)) - 1)  # without the country code 999
        return prepend_nb(national, 1), 0                  # digit 0 is packed as 1
    return packed, 1
