"""Octets as int64: uint8 beside int64 becomes uint64 or even a float in Numba."""

import numpy as np

from schemas.jit import kernel


@kernel(None)
def at_nb(buffer, position):
    """The octet at `position`, 0 to 255. An unsigned index spares the look for a negative one."""
    return np.int64(buffer[np.uint64(position)])


@kernel(None)
def cell_nb(matrix, row, column):
    """A cell of a table, as cheaply: no index is ever negative."""
    return matrix[np.uint64(row), np.uint64(column)]


@kernel(None)
def put_nb(matrix, row, column, value):
    matrix[np.uint64(row), np.uint64(column)] = value
