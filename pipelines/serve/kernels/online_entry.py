"""Columns of requests, as narrow as their values allow."""

from numba import types

from schemas.jit import CELLS_IN, I64_IN, I64_OUT, U8_OUT, kernel


@kernel(types.void(CELLS_IN, I64_OUT, I64_OUT), error_model="numpy")
def spans_nb(matrix, lows, highs):
    """Least and greatest value of each column (columns, rows) of at least one row."""
    for column in range(matrix.shape[0]):
        low = high = matrix[column, 0]
        for row in range(1, matrix.shape[1]):
            low, high = min(low, matrix[column, row]), max(high, matrix[column, row])
        lows[column], highs[column] = low, high


@kernel(types.void(CELLS_IN, I64_IN, I64_IN, I64_IN, U8_OUT), error_model="numpy")
def pack_nb(matrix, columns, widths, least, out):
    """Values of some columns, each less the least of its own in so many octets, little endian, column by column."""
    at = 0
    for i in range(columns.size):
        column, width, low = columns[i], widths[i], least[i]
        for row in range(matrix.shape[1]):
            value = matrix[column, row] - low
            for octet in range(width):
                out[at + octet] = value >> (8 * octet) & 0xFF
            at += width
