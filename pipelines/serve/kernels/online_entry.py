"""Columns of requests, as narrow as their values allow."""

from numba import types

from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, I64_IN, I64_OUT, U8_IN, U8_OUT, kernel


@kernel(types.void(CELLS_IN, I64_IN, I64_OUT, I64_OUT), error_model="numpy")
def spans_nb(matrix, places, lows, highs):
    """Least and greatest value of some columns (columns, rows) of at least one row."""
    for i in range(places.size):
        column = places[i]
        low = high = matrix[column, 0]
        for row in range(1, matrix.shape[1]):
            low, high = min(low, matrix[column, row]), max(high, matrix[column, row])
        lows[i], highs[i] = low, high


@kernel(types.int64(I64_IN, types.int64, I64_OUT, I64_OUT, I64_OUT), error_model="numpy")
def named_nb(column, low, place, used, own):
    """Labels of a column, from `low` on and fewer than the zeros in `place`, as places among those that it uses; ABSENT
    stays. Returns how many those are, ascending in `used`, which like `own` has room for all rows."""
    for row in range(column.size):
        place[column[row] - low] = 1
    count = 0
    for i in range(place.size):
        if place[i] and low + i != ABSENT:
            place[i], used[count] = count, low + i
            count += 1
        else:
            place[i] = ABSENT
    for row in range(column.size):
        own[row] = place[column[row] - low]
    return count


@kernel(None, error_model="numpy", forceinline=True)
def put_nb(out, at, value, octets):
    """Write a value, little endian; returns the place behind it."""
    for octet in range(octets):
        out[at + octet] = value >> (8 * octet) & 0xFF
    return at + octets


@kernel(types.void(CELLS_IN, I64_IN, U8_IN, I64_IN, U8_OUT, U8_OUT, I64_OUT), error_model="numpy")
def pack_nb(matrix, places, names, ends, heads, values, made):
    """Write the heads and the values of some columns; those that are ABSENT in every row have neither.

    names: how the name of each column is written, one behind the other, up to `ends` each. heads: has room for all of
    them and 9 octets each; values: for 8 octets of each value. made (3,): columns, octets of heads, octets of values.
    """
    columns, head, at, begin = 0, 0, 0, 0
    for i in range(places.size):
        column, name, begin = places[i], begin, ends[i]
        low = high = matrix[column, 0]
        for row in range(1, matrix.shape[1]):
            low, high = min(low, matrix[column, row]), max(high, matrix[column, row])
        if low == ABSENT and high == ABSENT:
            continue
        columns += 1
        width, span = 8, high - low
        if low == high:
            width = 0
        elif 0 <= span < 1 << 8:
            width = 1
        elif 0 <= span < 1 << 16:
            width = 2
        elif 0 <= span < 1 << 32:
            width = 4
        for place in range(name, ends[i]):
            heads[head] = names[place]
            head += 1
        heads[head] = width
        head = put_nb(heads, head + 1, low, 8)
        if width:
            base = 0 if width == 8 else low
            for row in range(matrix.shape[1]):
                at = put_nb(values, at, matrix[column, row] - base, width)
    made[0], made[1], made[2] = columns, head, at
