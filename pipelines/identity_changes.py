"""What charging has committed of changes in the inventory, as mediation sees it: whichever process wrote it.

The rows of table `identity_change` are read from the ledger's log, so a run beside a node that serves sees a change as
soon as the node has committed it. Each commit of mediation names the change up to which it resolved.
"""

import numpy as np

from pipelines.ledger import Ledger
from pipelines.ledger.log import Log
from reference_data.changes import COLUMNS, Changes
from schemas.columns import Cells
from schemas.identity_change import IDENTITY_CHANGE

TABLE = IDENTITY_CHANGE.name


class CommittedChanges:
    """Follows the stream `charging`. `newest` is never changed once it was handed out: there is another then."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._log = Log(ledger.store, "charging")
        self._known = 0
        self._seen: set[str] = set()
        self._changes, self._position = Changes(), -1

    def newest(self) -> tuple[int, Changes]:
        """Journal position behind the newest change, 0 for none, and all changes up to it."""
        self._log.refresh()
        fresh, self._known = self._log.entries[self._known:], self._log.version
        if any(file.table == TABLE for entry in fresh for file in entry.added):
            self._read()
        return self._position + 1, self._changes

    def _read(self) -> None:
        """Rows beyond those known. A compacted file has old ones again."""
        parts = []
        for file in self._log.live().values():
            if file.table == TABLE and file.path not in self._seen:
                self._seen.add(file.path)
                cells = Cells.from_arrow(IDENTITY_CHANGE, self._ledger.read_table(file), {})
                parts.append(cells.where(cells["journal_position"] > self._position))
        cells = Cells.concat(IDENTITY_CHANGE, parts)
        if not len(cells):
            return
        order = np.lexsort((cells["change_index"], cells["journal_position"]))
        changes = self._changes.copy()
        changes.extend({name: cells[name][order] for name in COLUMNS})
        self._changes, self._position = changes, int(cells["journal_position"].max())
