"""Rows to columns: decoders write row by row, where a row is a few lines of the cache; batches are columns."""

from numba import types

from mediation.kernels.octets import cell_nb, put_nb
from schemas.jit import CELLS_IN, CELLS_OUT, kernel

TILE_ROWS = 128  # of all columns: stays in the nearest cache, so that a line is fetched once and not once a column


@kernel([types.void(CELLS_IN, types.int64, CELLS_OUT, types.int64)])
def transpose_nb(rows, count, matrix, at):
    """Copy the first `count` rows (row, column) into columns `[at, at + count)` of a matrix (column, row)."""
    for low in range(0, count, TILE_ROWS):
        high = min(low + TILE_ROWS, count)
        for column in range(matrix.shape[0]):
            for i in range(low, high):
                put_nb(matrix, column, at + i, cell_nb(rows, i, column))
