"""Rows that kernels write straight to where they stay, in columns that have room for more than there are.

Most columns of a rated event say the same of almost every event: they are filled ahead, and a kernel writes into them
only what is otherwise. The rest it writes once.
"""

from collections.abc import Mapping
from copy import copy

import numpy as np

from rating.kernels.take import fill_columns_nb
from schemas import pages
from schemas.columns import I64, ColumnSet

_LINE = 8  # words


def apart(columns: int, rows: int) -> I64:
    """Uninitialised matrix for at least so many rows, whose columns begin in different sets of the cache.

    Columns a power of two apart would share the same few, and a kernel that writes thirty at once would wait for each.
    """
    lines = rows // _LINE + 1
    return pages.matrix((columns, (lines | 1) * _LINE))


class Usual:
    """What stands in rows of the columns from `first` on where nothing is written, by column."""

    def __init__(self, columns: ColumnSet, values: Mapping[str, int], first: int = 0) -> None:
        self.columns = len(columns.columns) - first
        self.places = np.array([columns.index(name) - first for name in values], np.int64)
        self.values = np.array(list(values.values()), np.int64)

    def but(self, column: int, value: int) -> "Usual":
        """The same, with another value of the column that was named at this place."""
        other = copy(self)
        other.values = self.values.copy()
        other.values[column] = value
        return other


class Gathered:
    """Rows for kernels to write to, with what is usual in them."""

    def __init__(self, usual: Usual, rows: int) -> None:
        self.matrix, self._filled, self._usual = apart(usual.columns, rows), 0, usual

    def make_room(self, used: int, more: int) -> I64:
        """The matrix, with room for so many more behind those used."""
        if used + more > self.matrix.shape[1]:
            larger = apart(self.matrix.shape[0], 2 * used + more)
            larger[:, :used] = self.matrix[:, :used]
            self.matrix, self._filled = larger, used
        if used + more > self._filled:
            fill_columns_nb(self.matrix, self._usual.places, self._usual.values, self._filled, used + more)
            self._filled = used + more
        return self.matrix
