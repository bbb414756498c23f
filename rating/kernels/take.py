"""Rows of a batch by their places, and what is usual in new ones."""

import numpy as np
from numba import types

from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, kernel

_AT_ONCE = 1024  # places that stay in the cache while every column is taken


@kernel(types.void(CELLS_IN, I64_IN, CELLS_OUT), error_model="numpy")
def take_nb(cells, places, out):
    """Fill `out` (columns, places.size) with the rows of `cells` at `places`, which are all there."""
    for first in range(0, places.size, _AT_ONCE):
        last = min(first + _AT_ONCE, places.size)
        for column in range(cells.shape[0]):
            values, taken = cells[column], out[column]
            for i in range(first, last):
                taken[np.uint64(i)] = values[np.uint64(places[np.uint64(i)])]


@kernel(types.void(CELLS_OUT, I64_IN, I64_IN, types.int64, types.int64), error_model="numpy")
def fill_columns_nb(cells, columns, values, start, stop):
    """Rows [start, stop) of some columns say the column's value."""
    for i in range(columns.size):
        column = cells[columns[i]]
        for row in range(start, stop):
            column[row] = values[i]
