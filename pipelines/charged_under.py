"""Under which tariffs something was charged, for whoever explains it: those that the home keeps, by journal position.

The operator's folder is edited, and activations are rolled back: what was charged in between is explained by what
charged it. Corrections were computed under tariffs of their own, and homes of earlier releases kept none: for those the
folder's are taken.
"""

from bisect import bisect_right

from pipelines.corrections.correction import KIND as CORRECT
from pipelines.corrections.kept import kept_tariffs
from pipelines.home import Home
from pipelines.ledger import Ledger
from reference_data.tariffs.compile import Tariffs
from schemas.errors import LedgerError


class ChargedUnder:
    """now: tariffs of the operator's folder."""

    def __init__(self, ledger: Ledger, home: Home, now: Tariffs) -> None:
        self._home, self.now = home, now
        logs = ledger.logs()
        entries = [e for e in (logs["charging"].entries if "charging" in logs else ()) if "journal" in e.positions]
        spans = sorted((e.positions["journal"][0], "" if e.op == CORRECT else e.reference.get("snapshot", ""))
                       for e in entries)
        self._first, self._reference = [first for first, _ in spans], [reference for _, reference in spans]
        self._known: dict[str, Tariffs] = {}

    def at(self, position: int) -> Tariffs:
        """Those that journal entry `position` was charged under."""
        place = bisect_right(self._first, position) - 1
        reference = self._reference[place] if place >= 0 else ""
        if reference not in self._known:
            self._known[reference] = self._find(reference)
        return self._known[reference]

    def _find(self, reference: str) -> Tariffs:
        name = self._home.reference / reference
        if not reference or not name.is_file():
            return self.now
        tariffs = name.read_text("ascii", "replace")
        try:
            return self.now if tariffs == self.now.content_hash else kept_tariffs(self._home, tariffs)
        except LedgerError:  # of a release that compiled them otherwise, or damaged
            return self.now
