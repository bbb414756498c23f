"""Journal, charge, commit: the second half of a batch's way.

Each batch that mediation has committed becomes one group of journal entries: its commands in order, then one BLOCK
that names the usage file. The BLOCK is there even when the batch has no usage, so that the last BLOCK tells which
commits of mediation the journal has. Then, in numbered steps: 1 append the group and sync, 2 charge, 3 commit what
was charged with the journal position, 4 from time to time take a snapshot and trim the journal below it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.collect import COMMANDS
from pipelines.corrections.correction import KIND as CORRECT
from pipelines.corrections.correction import Correction, corrected_book, read_correction
from pipelines.corrections.kept import OPENED, opened_rows
from pipelines.corrections.withdrawn import renumber, withdrawn_events
from pipelines.durable import Disk, reached
from pipelines.home import Home
from pipelines.journal import Block, Command, Entry, Journal
from pipelines.ledger import Ledger, Rows, StagedFile
from pipelines.set_aside_legs import (
    ALL,
    LegIds,
    charged_keys,
    closing_rows,
    continued,
    events_of,
    keys_of,
    open_legs,
    taken_back_before,
)
from pipelines.snapshots import Snapshots
from rating.book import BalanceBook
from rating.charging import Charged, charge
from rating.commands import Origin, apply_command
from rating.friends import befriend
from rating.laws import check_movements
from rating.snapshot import from_arrow, to_items
from reference_data.accounts import Accounts
from reference_data.snapshot import Snapshot
from schemas.codes import SuspenseAction
from schemas.columns import Cells
from schemas.errors import LedgerError
from schemas.identity_change import IDENTITY_CHANGE
from schemas.rated import ACCOUNT_STATE, LEG_SUSPENSE, NOTIFICATION, POSTING, RATED
from schemas.usage import SUSPENSE, USAGE

NO_FILE = bytes(32)
LEDGER_TABLES = ("rated", "posting", "suspense", "leg_suspense", "correction", "withdrawn")  # that a correction adds to
OPENING = "open_accounts"
LEGS = "charge_legs"
CLOSE_AFTER, REMEMBER = "close_after", "remember_sessions"  # of the operator's file, once they are others than before
OWN_COMMANDS = "own_commands"  # file of a commit: commands of no command file, [position, content] a line
CHARGED, BALANCES = "append", "balances"  # kinds of commits
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

    def __init__(self, home: Home, ledger: Ledger, reference: Snapshot, accounts: Accounts,
                 labels: dict[str, list[str]], disk: Disk | None = None, threads: int = 1,
                 operator: Path | None = None) -> None:
        """Open and recover: newest snapshot, then the journal up to what the ledger has, written by nobody again.

        labels: names behind the label columns of usage; those that charging adds are the tariffs'. threads: that
        encode and sync the files of a commit. operator: the folder that `accounts` are of: what is opened from it
        is kept with the commit.
        """
        self._operator, self._corrections = operator, home.corrections
        self._ledger, self._reference, self._accounts = ledger, reference, accounts
        sources = labels.setdefault("source", [])
        if COMMANDS not in sources:  # now, while nobody else adds names
            sources.append(COMMANDS)
        self._labels: dict[str, list[str]] = {"who": [], "why": []} | labels | reference.tariffs.labels
        self._threads = threads
        self._stream = ledger.stream("charging")
        self.position = self._stream.positions.get("journal", 0)
        self._journal = Journal.open(home.journal, disk, at_least=self.position)
        self._snapshots = Snapshots(home.snapshots, disk)
        self._events_since_snapshot = 0
        self._refusals: list[str] = []
        self._committer = ThreadPoolExecutor(1, "commit-charging")
        self._running: Future[None] | None = None
        self.journaled_version = int(self._stream.state.get("mediation_version", 0))
        self._again = withdrawn_events(ledger)
        self.book = self._recover()

    def open_accounts(self) -> None:
        """Journal and post the opening of accounts that the reference data has and the book has not."""
        self._keep_spans()
        if (self.book.rows_of(self._accounts.account_id) >= 0).all():
            return
        opening = json.dumps({"id": f"open-{self._reference.content_hash}", "kind": OPENING,
                              "reference": self._reference.content_hash}).encode()
        batch = Committed(self.journaled_version, Cells.empty(USAGE), commands=[opening])
        self.charge(*self.journal(batch), batch.usage)

    def _keep_spans(self) -> None:
        """Journal when cycles close by themselves, and how long sessions are remembered, where the operator has changed
        it: replay must close and forget as life did."""
        operator = self._reference.operator
        for kind, seconds, before in ((CLOSE_AFTER, operator.close_after_s, self.book.closes_after_s),
                                      (REMEMBER, operator.remember_sessions_s, self.book.remembers_sessions_s)):
            if seconds == before:
                continue
            command = {"id": f"{kind.replace('_', '-')}-{self.position}", "kind": kind, "seconds": seconds}
            batch = Committed(self.journaled_version, Cells.empty(USAGE), commands=[json.dumps(command).encode()])
            self.charge(*self.journal(batch), batch.usage)

    @property
    def settled(self) -> bool:
        """Whether balances and a snapshot were written after all that is charged, as a run does at its end."""
        ops = [entry.op for entry in self._ledger.logs()["charging"].entries
               if entry.op in (CHARGED, CORRECT, BALANCES)]
        return ops[-1:] == [BALANCES] and self._snapshots.positions()[-1:] == [self.position]

    def pending(self) -> Iterator[tuple[int, list[Entry]]]:
        """Groups that the journal has and the ledger has not: they are charged before anything new."""
        yield from list(self._groups(self.position, None))

    def journal(self, batch: Committed) -> tuple[int, list[Entry]]:
        """Step 1. Returns the position of the group and its entries; durable when this returns."""
        entries: list[Entry] = [Command(payload) for payload in batch.commands]
        entries.append(Block(batch.version, batch.usage_sha256, 0, len(batch.usage)))
        first = self._journal.append(entries)
        self.journaled_version = batch.version
        return first, entries

    def carry_out(self, command: Mapping[str, object]) -> str:
        """Journal one command and commit what it did, or that it was refused. Returns why, "" where it was not.

        Only kinds of `rating.commands`, tokens in place of numbers: whoever sends it sees to both.
        """
        batch = Committed(self.journaled_version, Cells.empty(USAGE), commands=[json.dumps(command).encode()])
        self.charge(*self.journal(batch), batch.usage)
        return self._refusals[-1] if self._refusals else ""

    def correct(self, base: int, digest: str, facts: Mapping[str, Any]) -> int:
        """Journal and commit a correction that was computed when the journal ended at `base`. Returns its position.

        digest: its file; facts: what it corrects, for the journal.
        Raises LedgerError: the journal has moved since.
        """
        if base != self.position or base != self._journal.position:
            raise LedgerError(f"the correction was computed for journal position {base}", f"{self._journal.position}",
                              "compute it again")
        command = json.dumps({"id": f"correct-{digest}", "kind": CORRECT, "base": base, "sha256": digest,
                              "facts": dict(facts)}).encode()
        batch = Committed(self.journaled_version, Cells.empty(USAGE), commands=[command])
        self.charge(*self.journal(batch), batch.usage)
        return base

    def backouts(self, after: int) -> Iterator[tuple[int, Correction]]:
        """Backouts that are committed at journal position `after` or later, oldest first."""
        for entry in self._ledger.logs()["charging"].entries:
            first, _ = entry.positions.get("journal", (-1, -1))
            if entry.op == CORRECT and first >= after:
                for file in entry.added:
                    if file.table == OWN_COMMANDS:
                        command = _read(json.loads(self._ledger.read_bytes(file).splitlines()[0])[1].encode())
                        if command["facts"]["kind"] == "backout":
                            yield first, read_correction(self._corrections, command["sha256"])

    def charge(self, first: int, entries: Sequence[Entry], usage: Cells, ahead: bool = False) -> int:
        """Steps 2 and 3: fold the group over the book, commit what it did. Returns events rated.

        ahead: step 3 may go on when this returns, so that the next group is folded meanwhile; the next one, and
        whatever asks for the ledger's position, waits for it by `finish`.
        """
        own = _own_commands(first, entries)
        if own and _read(own[0][1]).get("kind") == CORRECT:
            self.finish()
            return self._charge_correction(first, entries, own)
        known = len(self.book)
        parts = self._fold(first, entries, usage)
        self._refusals = [part.refusal for part in parts if part.refusal]
        for part in parts:
            renumber(part.rated, self._again)
        reached("charge.folded")
        rows = {"rated": Cells.concat(RATED, [p.rated for p in parts]),
                "posting": Cells.concat(POSTING, [p.posting for p in parts]),
                "suspense": Cells.concat(SUSPENSE, [p.suspense for p in parts])}
        for name, columns in (("notification", NOTIFICATION), ("account_state", ACCOUNT_STATE),
                              ("leg_suspense", LEG_SUSPENSE), ("identity_change", IDENTITY_CHANGE)):
            more = Cells.concat(columns, [getattr(p, name) for p in parts])
            if len(more):
                rows[name] = more
        opened = opened_rows(self._operator, self.book.account_ids[known:], self._reference.friends) \
            if own and self._operator is not None and len(self.book) > known \
            and _read(own[0][1]).get("kind") == OPENING else None
        self.finish()
        if ahead and self._threads > 1:
            self._running = self._committer.submit(self._commit, first, entries, rows, own, opened)
        else:
            self._commit(first, entries, rows, own, opened)
        self._events_since_snapshot += len(usage)
        if self._events_since_snapshot >= SNAPSHOT_EVENTS:
            self.take_snapshot()
        return int((rows["rated"]["leg"] == 0).sum())

    def finish(self) -> None:
        """Wait until what was charged ahead is committed; raises what went wrong with it."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def _commit(self, first: int, entries: Sequence[Entry], rows: Mapping[str, Cells],
                own: Sequence[tuple[int, bytes]], opened: bytes | None) -> None:
        """Step 3."""
        staged = self._stream.stage_many({name: Rows(cells, self._labels) for name, cells in rows.items()},
                                         self._threads)
        if own:
            staged.append(self._stage_own(own))
        if opened is not None:
            staged.append(self._stream.stage_bytes("opened", OPENED, opened))
        stop = first + len(entries)
        self._stream.commit(staged, kind=CHARGED, positions={"journal": (first, stop)},
                            state={"mediation_version": _version_of(entries)},
                            reference={"snapshot": self._reference.content_hash})
        self.position = stop

    def _charge_correction(self, first: int, entries: Sequence[Entry], own: Sequence[tuple[int, bytes]]) -> int:
        """As `charge`, for a group that is nothing but a correction."""
        correction = self._apply_correction(_read(own[0][1]))
        reached("charge.corrected")
        staged = [self._stream.stage(name, table) for name in correction.names() for table in correction.tables(name)
                  if table.num_rows and name in LEDGER_TABLES]
        stop = first + len(entries)
        self._stream.commit([*staged, self._stage_own(own)], positions={"journal": (first, stop)}, kind=CORRECT,
                            state={"mediation_version": _version_of(entries)},
                            reference={"snapshot": self._reference.content_hash})
        self.position = stop
        self._again = withdrawn_events(self._ledger)
        return 0

    def _apply_correction(self, command: dict[str, Any]) -> Correction:
        correction = read_correction(self._corrections, command["sha256"])
        self.book = corrected_book(self.book, correction)
        return correction

    def _stage_own(self, own: Sequence[tuple[int, bytes]]) -> StagedFile:
        lines = [json.dumps([place, content.decode()]) for place, content in own]
        return self._stream.stage_bytes("commands", OWN_COMMANDS, "\n".join(lines).encode())

    def try_charging(self, usage: Cells) -> Charged:
        """What charging these events next would give. Changes the book: close this node without committing."""
        return charge(usage, 0, len(usage), self.position, self._reference.tariffs, self.book, self._labels)

    def rehearse(self) -> BalanceBook:
        """The book with every account opened, for `try_command`: close this node without committing."""
        self.book.close_after(self._reference.operator.close_after_s)
        self.book.remember_sessions(self._reference.operator.remember_sessions_s)
        self._open_new(self.position)
        return self.book

    def try_command(self, command: Mapping[str, object]) -> Charged:
        """What carrying out this command next would give. Changes the book, as `try_charging` does."""
        return apply_command(command, self.position, self._reference.tariffs, self.book,
                             inventory=self._reference.inventory)

    def try_legs(self, legs: LegIds) -> Charged:
        """What charging these legs next would give. Changes the book, as `try_charging` does."""
        usage, wanted = legs.among(events_of(self._ledger, legs, self._labels))
        return charge(usage, 0, len(usage), self.position, self._reference.tariffs, self.book, self._labels,
                      legs_only=wanted)

    def recycle_legs(self, legs: LegIds, who: str, why: str) -> None:
        """Charge legs that were set aside, those that can be charged; the others stay. One group of the journal."""
        command = {"id": f"legs-{self.position}", "kind": LEGS, "legs": legs.as_json(), "who": who, "why": why}
        batch = Committed(self.journaled_version, Cells.empty(USAGE), commands=[json.dumps(command).encode()])
        self.charge(*self.journal(batch), batch.usage)

    def write_off_legs(self, rows: pa.Table, who: str, why: str) -> None:
        """Close open rows of `leg_suspense`: nobody is charged any more."""
        self.finish()
        cells = closing_rows(rows, SuspenseAction.WRITTEN_OFF, who, why, self._labels)
        self._stream.commit([self._stream.stage("leg_suspense", Rows(cells, self._labels))], state=self._stream.state,
                            kind=LEGS)

    def _charge_legs(self, command: dict[str, Any], place: int) -> Charged:
        """Under its own position, as everything that is journaled; rows of legs that were charged close themselves."""
        legs = LegIds.of_json(command["legs"])
        usage, wanted = legs.among(events_of(self._ledger, legs, self._labels))
        charged = charge(usage, 0, len(usage), place, self._reference.tariffs, self.book, self._labels,
                         legs_only=wanted)
        done = charged_keys(charged)
        rows = open_legs(self._ledger, ALL)
        rows = rows.filter(pa.array([key in done for key in keys_of(rows)], pa.bool_()))
        closed = closing_rows(rows, SuspenseAction.RECYCLED, command["who"], command["why"], self._labels)
        return replace(continued(charged, taken_back_before(self._ledger, legs)), leg_suspense=closed)

    def usage_of(self, version: int) -> tuple[Cells, bytes]:
        """Usage and sha256 of what mediation committed in `version`, read back from the ledger."""
        entries = self._ledger.logs()["mediation"].entries
        if version > len(entries):
            raise LedgerError(f"the journal names commit {version} of mediation",
                              f"one of the {len(entries)} there are", "restore the ledger that goes with this journal")
        entry = entries[version - 1]
        for file in entry.added:
            if file.table == "usage":
                table = self._ledger.read_table(file)
                return Cells.from_arrow(USAGE, table, self._labels), bytes.fromhex(file.sha256)
        return Cells.empty(USAGE), NO_FILE

    def take_snapshot(self) -> None:
        """Step 4: the book at the ledger's position; then the journal below it is not needed any more."""
        self.finish()
        self._snapshots.write(self.position, to_items(self.book))
        oldest = self._snapshots.retain()
        self._journal.trim(oldest, self.position)
        self._events_since_snapshot = 0

    def commit_balances(self) -> None:
        """Write the book's balances as a ledger table, replacing the ones before: what the roll-forward closes on."""
        self.finish()
        before = [file.path for file in self._stream.files("balance")]
        cells = self.book.balances(self._reference.tariffs, self.position)
        staged = [self._stream.stage("balance", Rows(cells, self._labels))] if len(cells) else []
        self._stream.commit(staged, removed=before, state=self._stream.state, kind=BALANCES)

    def close(self) -> None:
        self._committer.shutdown()  # what is running gets to its end, whatever that is
        self._stream.close()
        self._journal.close()

    def _recover(self) -> BalanceBook:
        found = self._snapshots.newest(self.position)
        start = 0 if found is None else found.position
        self.book = BalanceBook.create() if found is None else from_arrow(dict(found.items))
        for first, group in self._groups(start, self.position):
            version = _version_of(group)
            self._check_reference(first)
            self._fold(first, group, self.usage_of(version)[0])
            self.journaled_version = version
        for _, group in self._groups(self.position, None):
            self.journaled_version = _version_of(group)
        return self.book

    def _check_reference(self, position: int) -> None:
        """What the ledger has of a group holds under the reference data that charged it; replay must have the same.

        Raises LedgerError.
        """
        for entry in reversed(self._ledger.logs()["charging"].entries):
            start, stop = entry.positions.get("journal", (0, 0))
            if start <= position < stop:
                made_with = entry.reference.get("snapshot", "")
                if made_with != self._reference.content_hash:
                    raise LedgerError(f"journal position {position} was charged with reference data {made_with[:12]}, "
                                      "and no snapshot of the book is newer", f"that, not "
                                      f"{self._reference.content_hash[:12]}",
                                      "run once with the reference data as it was, then with the new one")
                return

    def _groups(self, start: int, stop: int | None) -> Iterator[tuple[int, list[Entry]]]:
        """Groups of entries, each ending with its BLOCK, with the position of their first."""
        group: list[Entry] = []
        for position, entry in self._journal.read(start, stop):
            group.append(entry)
            if isinstance(entry, Block):
                yield position - len(group) + 1, group
                group = []

    def _fold(self, first: int, entries: Sequence[Entry], usage: Cells) -> list[Charged]:
        """Apply entries to the book in order. Same entries, same book, same parts."""
        tariffs = self._reference.tariffs
        parts: list[Charged] = []
        moved: list[Charged] = []  # commands come before the block of their group
        for place, entry in enumerate(entries, first):
            if isinstance(entry, Block):
                parts.append(charge(usage, entry.from_row, entry.to_row, place, tariffs, self.book, self._labels))
            elif isinstance(entry, Command):
                command = _read(entry.content)
                if "line" in command:  # of a file: what it says can be none of the node's own
                    moved.append(apply_command(command["command"], place, tariffs, self.book,
                                               self._origin(*command["line"]), check=False,
                                               inventory=self._reference.inventory))
                elif command.get("kind") == OPENING:
                    moved.append(self._open(command, place))
                elif command.get("kind") == CLOSE_AFTER:
                    self.book.close_after(int(command["seconds"]))
                elif command.get("kind") == REMEMBER:
                    self.book.remember_sessions(int(command["seconds"]))
                elif command.get("kind") == LEGS:
                    parts.append(self._charge_legs(command, place))
                elif command.get("kind") == CORRECT:
                    self._apply_correction(command)
                else:
                    moved.append(apply_command(command, place, tariffs, self.book, self._origin(), check=False,
                                               inventory=self._reference.inventory))
        check_movements(Cells.concat(POSTING, [m.posting for m in moved]))
        return [*moved, *parts]

    def _origin(self, source: str = COMMANDS, *place: int) -> Origin:
        return Origin(self._labels["source"].index(source), *place)

    def _open_new(self, place: int) -> Cells:
        """Open what the book has not, with its lists of friends. Returns the postings."""
        known = len(self.book)
        postings = self.book.open_accounts(self._accounts, self._reference.tariffs, place)
        if self._reference.friends is not None:
            befriend(self.book, self._reference.friends, self.book.account_ids[known:])
        return postings

    def _open(self, command: dict[str, Any], place: int) -> Charged:
        if command["reference"] != self._reference.content_hash:
            raise LedgerError(f"journal position {place} opened accounts of reference data {command['reference'][:12]}",
                              f"that, not {self._reference.content_hash[:12]}",
                              "run once with the reference data as it was, then with the new one")
        postings = self._open_new(place)
        return Charged(Cells.empty(RATED), postings, Cells.empty(SUSPENSE))


def _read(content: bytes) -> dict[str, Any]:
    """A command's fields; none where it cannot be read, so that it is refused and never an exception."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _own_commands(first: int, entries: Sequence[Entry]) -> list[tuple[int, bytes]]:
    """Commands that the node gave to itself, with their positions: always one, alone with the block of its group."""
    if len(entries) != 2 or not isinstance(entries[0], Command) or "line" in _read(entries[0].content):
        return []
    return [(first, entries[0].content)]


def _version_of(entries: Sequence[Entry]) -> int:
    return next(entry.version for entry in reversed(entries) if isinstance(entry, Block))
