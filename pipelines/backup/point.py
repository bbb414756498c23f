"""Up to where a home is copied: one journal position, and the ledger, the snapshot and the journal that go with it.

The ledger is cut first, charging before mediation before collection, since each names what the next has. Then the
journal is read as far as it has got: so everything is in it that was answered before the backup began, and at least
what the cut has charged. It ends before the first block of a commit of mediation that the cut lacks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.backup.pinned import Pins
from pipelines.collect import ONLINE
from pipelines.durable import Disk
from pipelines.home import Home
from pipelines.journal import Place, places
from pipelines.ledger import Ledger
from pipelines.ledger.cut import Cut, publish_cut
from pipelines.snapshots import Snapshots
from schemas.errors import LedgerError

TRIES = 8
_FIRST = ("charging", "mediation", "collection")  # each names what those after it have


@dataclass(frozen=True)
class Point:
    """What is copied. journal: segments and how many of their octets; snapshot: its path and position, or -1."""

    cut: Cut
    position: int
    charged: int
    reference: str
    journal: Sequence[tuple[Path, int]]
    snapshot: tuple[Path | None, int]


def find_point(home: Home, ledger: Ledger, signer: Ed25519PrivateKey, pins: Pins, disk: Disk) -> Point:
    """Cut the ledger and find the point that goes with it. Raises LedgerError: the home does not hold still for it."""
    wrong = LedgerError(f"the home changed while it was looked at, {TRIES} times",
                        "journal and ledger that go together", "try again, or when the run over it has ended")
    for _ in range(TRIES):
        _pin(home, pins)  # before the cut: what is trimmed from now on stays
        cut = _cut(ledger, signer)
        _pin(home, pins)  # and what has been begun meanwhile
        try:
            found = _point(home, ledger, cut, disk)
        except LedgerError as error:  # what is written while it is read can look damaged: but not again and again
            found, wrong = None, error
        if found is not None:
            return found
        pins.clear()
    raise wrong


def _pin(home: Home, pins: Pins) -> None:
    """The journal before snapshots: it is trimmed after a newer one is there, and so never begins behind those."""
    pins.pin_newest(home.journal, lambda name: name.endswith(".journal"))
    pins.pin_newest(home.snapshots, lambda name: name.endswith(".snapshot") and not name.startswith("."))


def _cut(ledger: Ledger, signer: Ed25519PrivateKey) -> Cut:
    logs = ledger.logs()
    for name in _FIRST:
        if name in logs:
            logs[name].refresh()
    return publish_cut(ledger.store, logs, "backup", signer)


def _point(home: Home, ledger: Ledger, cut: Cut, disk: Disk) -> Point | None:
    logs = ledger.logs()
    charging = logs["charging"].entries[:cut.version("charging")] if "charging" in logs else []
    collected = logs["collection"].entries[:cut.version("collection")] if "collection" in logs else []
    charged = max((entry.positions["journal"][1] for entry in charging if "journal" in entry.positions), default=0)
    reference = next((entry.reference["snapshot"] for entry in reversed(charging) if "snapshot" in entry.reference), "")
    needed = max([charged, *(int(entry.state.get(ONLINE, 0)) for entry in collected)])
    folder = home.journal / ".backup"
    segments: dict[Path, Place] = {}
    start = position = 0
    for place in places(folder, disk):
        if place.version > cut.version("mediation"):
            break
        if not segments:
            start = place.stop
        segments[place.path], position = place, place.stop
    newest = Snapshots(home.snapshots / ".backup", disk).newest(charged, make=False)
    snapshot = -1 if newest is None else newest.position
    if position < needed or max(snapshot, 0) < start:
        return None
    path = None if newest is None else home.snapshots / ".backup" / f"{snapshot:020d}.snapshot"
    journal = [(each.path, each.end) for each in segments.values() if each.stop > max(snapshot, 0)]
    if not journal and segments:
        last = list(segments.values())[-1]
        journal = [(last.path, last.end)]
    return Point(cut, position, charged, reference, journal, (path, snapshot))
