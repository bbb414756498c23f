"""What the ledger says was charged online, by journal position: for mediation, and for the CDRs that we write of it."""

from collections.abc import Iterator

import numpy as np

from pipelines.ledger import Ledger
from pipelines.ledger.compact import OPERATION as COMPACT
from schemas.columns import Cells
from schemas.online import GRANT

JOURNAL = "journal"


class OnlineGrants:
    """Reads the `grant` table of one ledger. Only reads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen, self._end = 0, 0  # entries of the log looked at, and what they say

    def end(self) -> int:
        """Journal position up to which everything that was charged online is in the ledger: that of the newest commit
        which has any. What is charged of files does not move it."""
        log = self._ledger.logs().get("charging")
        entries = log.entries if log is not None else []
        for entry in entries[self._seen:]:
            if entry.op != COMPACT and JOURNAL in entry.positions and any(f.table == GRANT.name for f in entry.added):
                self._end = max(self._end, entry.positions[JOURNAL][1])
        self._seen = len(entries)
        return self._end

    def between(self, start: int, stop: int, labels: dict[str, list[str]] | None = None) -> Iterator[Cells]:
        """Rows of GRANT with journal positions [start, stop), in commit order; some at a time.

        labels: names behind the label columns, extended as needed.
        """
        names = {} if labels is None else labels
        log = self._ledger.logs().get("charging")
        live = {} if log is None else log.live()
        for entry in [] if log is None else log.entries:
            first, end = entry.positions.get(JOURNAL, (0, 0))
            # A compacted file has rows of many commits.
            if entry.op != COMPACT and (end <= start or first >= stop):
                continue
            for file in entry.added:
                if file.table == GRANT.name and file.path in live:
                    rows = Cells.from_arrow(GRANT, self._ledger.read_table(file), names)
                    position = rows["journal_position"]
                    chosen = (position >= start) & (position < stop)
                    if chosen.any():
                        yield rows.take(np.flatnonzero(chosen))
