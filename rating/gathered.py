"""Rows as a kernel writes them, gathered into columns.

A batch has some eighty columns, each in lines and pages of its own: a kernel that writes them row by row waits for
every line. So it writes into a piece of few rows, which stays in the cache, and pieces are moved to their place column
by column.
"""

import numpy as np

from schemas import pages
from schemas.columns import I64, Cells, ColumnSet

_APART = 8  # columns of a piece lie so many rows further apart, or they would share the same few sets of the cache


def piece_of(columns: int, rows: int) -> I64:
    """Uninitialised matrix for at least so many rows that kernels write again and again."""
    return pages.matrix((columns, rows + _APART))


class Gathered:
    """Cells that grow piece by piece. rows: how many there will be, as far as one can say."""

    def __init__(self, columns: ColumnSet, rows: int) -> None:
        self._whole, self._rows = Cells.empty(columns, rows), 0

    def add(self, piece: I64, rows: int) -> None:
        """The first `rows` rows of a piece."""
        if self._rows + rows > len(self._whole):
            larger = Cells.empty(self._whole.columns, self._rows + max(self._rows, rows))
            larger.matrix[:, : self._rows] = self._whole.matrix[:, : self._rows]
            self._whole = larger
        np.copyto(self._whole.matrix[:, self._rows : self._rows + rows], piece[:, :rows])
        self._rows += rows

    def cells(self) -> Cells:
        """All rows so far."""
        return self._whole.slice(0, self._rows)
