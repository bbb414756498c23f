"""Rows that kernels write straight to where they stay, in columns that have room for more than there are.

Most columns of a rated event say the same of almost every event: they are filled ahead, and a kernel writes into them
only what is otherwise. The rest it writes once.
"""

from collections.abc import Mapping

from schemas import pages
from schemas.columns import I64, ColumnSet

_LINE = 8  # words


def apart(columns: int, rows: int) -> I64:
    """Uninitialised matrix for at least so many rows, whose columns begin in different sets of the cache.

    Columns a power of two apart would share the same few, and a kernel that writes thirty at once would wait for each.
    """
    lines = rows // _LINE + 1
    return pages.matrix((columns, (lines | 1) * _LINE))


class Gathered:
    """Rows of the columns from `first` on. usual: what stands where nothing is written, by column."""

    def __init__(self, columns: ColumnSet, rows: int, usual: Mapping[str, int], first: int = 0) -> None:
        self.matrix, self._filled = apart(len(columns.columns) - first, rows), 0
        self._usual = [(columns.index(name) - first, value) for name, value in usual.items()]

    def make_room(self, used: int, more: int) -> I64:
        """The matrix, with room for so many more behind those used."""
        if used + more > self.matrix.shape[1]:
            larger = apart(self.matrix.shape[0], 2 * used + more)
            larger[:, :used] = self.matrix[:, :used]
            self.matrix, self._filled = larger, used
        if used + more > self._filled:
            for column, value in self._usual:
                self.matrix[column, self._filled : used + more] = value
            self._filled = used + more
        return self.matrix
