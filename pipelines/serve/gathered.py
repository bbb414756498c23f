"""What ticks did, put together as they come.

A commit has that of a thousand small ticks. To go through them when it begins would take Python's lock for a tenth of a
second, again and again while answers wait for it; to put each tick's rows behind the others takes microseconds.
"""

from pipelines.charging.folded import TABLES, Folded
from rating.gathered import apart
from schemas.columns import I64, Cells

_COLUMNS = dict(TABLES)
_ROWS = 1000  # of a piece, at least: copying into a larger one would stop answers, and so do huge pages at times


class GatheredTables:
    """Rows of each table, in order. commands: as `Folded` has them. rows: of all tables, about."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[tuple[I64, int]]] = {}  # of each table: matrices, and rows that are used of each
        self.commands: list[tuple[int, bytes]] = []
        self.rows = 0

    def add(self, folded: Folded) -> None:
        """What further entries did."""
        for name, pieces in folded.by_table().items():
            for cells in pieces:
                self._put(name, cells)
        self.commands += folded.commands
        self.rows += folded.rows

    def by_table(self) -> dict[str, list[Cells]]:
        """Rows of each table that has some, piece by piece. They are not to be changed, nor is anything to be added."""
        return {name: [Cells(_COLUMNS[name], room[:, :used]) for room, used in pieces]
                for name, pieces in self._pieces.items()}

    def tables(self) -> dict[str, Cells]:
        """Rows by table, empty ones too."""
        found = self.by_table()
        return {name: Cells.concat(columns, found.get(name, ())) for name, columns in TABLES}

    def _put(self, name: str, cells: Cells) -> None:
        pieces = self._pieces.setdefault(name, [])
        room, used = pieces[-1] if pieces else (None, 0)
        stop = used + len(cells)
        if room is None or stop > room.shape[1]:
            room, used, stop = apart(len(_COLUMNS[name].columns), max(len(cells), _ROWS)), 0, len(cells)
            pieces.append((room, stop))
        room[:, used:stop] = cells.matrix
        pieces[-1] = room, stop
