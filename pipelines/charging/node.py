"""Journal, charge, commit: the second half of a batch's way.

Each batch that mediation has committed becomes one group of journal entries: its commands in order, then one BLOCK
that names the usage file. The BLOCK is there even when the batch has no usage, so that the last BLOCK tells which
commits of mediation the journal has. Then, in numbered steps: 1 append the group and sync, 2 charge, 3 commit what
was charged with the journal position, 4 from time to time take a snapshot and trim the journal below it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipelines.durable import Disk, reached
from pipelines.home import Home
from pipelines.journal import Block, Clock, Command, Entry, Journal
from pipelines.ledger import Ledger
from pipelines.snapshots import Snapshots
from rating.book import BalanceBook
from rating.charge import Charged, charge
from rating.commands import apply_command
from reference_data.snapshot import Snapshot
from schemas.columns import Cells
from schemas.rated import BALANCE, POSTING, RATED
from schemas.usage import SUSPENSE, USAGE

NO_FILE = bytes(32)
SNAPSHOT_EVENTS = 5_000_000  # events between snapshots; replay of so many takes seconds


@dataclass(frozen=True)
class Committed:
    """What mediation has committed and charging has not seen: commit `version`, its commands, its usage."""

    version: int
    usage: Cells
    usage_sha256: bytes = NO_FILE
    commands: Sequence[bytes] = field(default=())


class ChargingNode:
    """Owns journal, balance book and the `charging` stream."""

    def __init__(self, home: Home, ledger: Ledger, reference: Snapshot, labels: dict[str, list[str]],
                 disk: Disk | None = None) -> None:
        """Open and recover: newest snapshot, then the journal up to what the ledger has, written by nobody again."""
        self._ledger, self._reference, self._labels = ledger, reference, labels
        self._stream = ledger.stream("charging")
        self.position = self._stream.positions.get("journal", 0)
        self._journal = Journal.open(home.journal, disk, at_least=self.position)
        self._snapshots = Snapshots(home.snapshots, disk)
        self._events_since_snapshot = 0
        self.journaled_version = int(self._stream.state.get("mediation_version", 0))
        self.book = self._recover()

    def pending(self) -> Iterator[tuple[int, list[Entry]]]:
        """Groups that the journal has and the ledger has not, each with its first position: they are charged first."""
        group: list[Entry] = []
        for position, entry in self._journal.read(self.position):
            group.append(entry)
            if isinstance(entry, Block):
                yield position - len(group) + 1, group
                group = []

    def journal(self, batch: Committed) -> tuple[int, list[Entry]]:
        """Step 1. Returns the position of the group and its entries; durable when this returns."""
        entries: list[Entry] = [Command(payload) for payload in batch.commands]
        entries.append(Block(batch.version, batch.usage_sha256, 0, len(batch.usage)))
        first = self._journal.append(entries)
        self.journaled_version = batch.version
        return first, entries

    def charge(self, first: int, entries: Sequence[Entry], usage: Cells) -> int:
        """Steps 2 and 3: fold the group over the book, commit what it did. Returns rows rated."""
        parts = self._fold(first, entries, usage)
        reached("charge.folded")
        staged = []
        rated = 0
        for name, columns, cells in (("rated", RATED, [p.rated for p in parts]),
                                     ("posting", POSTING, [p.posting for p in parts]),
                                     ("suspense", SUSPENSE, [p.suspense for p in parts])):
            rows = Cells.concat(columns, cells)
            if len(rows):
                staged.append(self._stream.stage(name, rows.to_arrow(self._labels)))
            rated += len(rows) if name == "rated" else 0
        stop = first + len(entries)
        self._stream.commit(staged, positions={"journal": (first, stop)},
                            state={"mediation_version": _version_of(entries)},
                            reference={"snapshot": self._reference.content_hash})
        self.position = stop
        self._events_since_snapshot += len(usage)
        if self._events_since_snapshot >= SNAPSHOT_EVENTS:
            self.take_snapshot()
        return rated

    def usage_of(self, version: int) -> tuple[Cells, bytes]:
        """Usage and sha256 of what mediation committed in `version`, read back from the ledger."""
        entry = self._ledger.logs()["mediation"].entries[version - 1]
        for file in entry.added:
            if file.table == "usage":
                table = self._ledger.read_table(file)
                return Cells.from_arrow(USAGE, table, self._labels), bytes.fromhex(file.sha256)
        return Cells.empty(USAGE), NO_FILE

    def take_snapshot(self) -> None:
        """Step 4: the book at the ledger's position; then the journal below it is not needed any more."""
        self._snapshots.write(self.position, self.book.to_items())
        self._snapshots.retain()
        self._journal.trim(self.position, self.position)
        self._events_since_snapshot = 0

    def commit_balances(self) -> None:
        """Write the book's balances as a ledger table, replacing the ones before: what the roll-forward closes on."""
        before = [file.path for file in self._stream.files("balance")]
        cells = self.book.balances(self.position)
        staged = [self._stream.stage("balance", cells.to_arrow(self._labels))] if len(cells) else []
        self._stream.commit(staged, removed=before, state=self._stream.state, kind="balances")

    def close(self) -> None:
        self._stream.close()
        self._journal.close()

    def _recover(self) -> BalanceBook:
        found = self._snapshots.newest(self.position)
        start, book = 0, BalanceBook.open(self._reference)
        if found is not None:
            start = found.position
            book = BalanceBook.from_arrow(found.tables, self._reference)
        self.book = book
        group: list[Entry] = []
        for position, entry in self._journal.read(start, self.position):
            group.append(entry)
            if isinstance(entry, Block):
                usage, _ = self.usage_of(entry.version)
                self._fold(position - len(group) + 1, group, usage)
                self.journaled_version = entry.version
                group = []
        for _, entry in self._journal.read(self.position):
            if isinstance(entry, Block):
                self.journaled_version = entry.version
        return book

    def _fold(self, first: int, entries: Sequence[Entry], usage: Cells) -> list[Charged]:
        parts = []
        for place, entry in enumerate(entries, first):
            if isinstance(entry, Block):
                parts.append(charge(usage, entry.from_row, entry.to_row, place, self._reference, self.book))
            elif isinstance(entry, Command):
                parts.append(apply_command(entry.content, place, self._reference, self.book))
            elif isinstance(entry, Clock):
                parts.append(self.book.advance(entry.time_us, place))
        return parts


def _version_of(entries: Sequence[Entry]) -> int:
    return next(entry.version for entry in reversed(entries) if isinstance(entry, Block))
