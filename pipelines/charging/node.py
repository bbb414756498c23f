"""Journal, charge, commit: the second half of a batch's way.

Each batch that mediation has committed becomes one group of journal entries: its commands in order, then one BLOCK
that names the usage file. The BLOCK is there even when the batch has no usage, so that the last BLOCK tells which
commits of mediation the journal has. Then, in numbered steps: 1 append the group and sync, 2 charge, 3 commit what
was charged with the journal position, 4 from time to time take a snapshot and trim the journal below it.

What is charged in real time (`pipelines.serve`) comes in ticks, groups of their own that end with an ONLINE entry, and
batches then come in slices, each a group with a BLOCK of some rows. Folding is the same here and there.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.charging.folded import Folded, Outcomes, check_moved
from pipelines.charging.groups import block_of, groups_of, live_entry, own_commands, read_fields
from pipelines.charging.replay import Replay
from pipelines.collect import COMMANDS
from pipelines.corrections.correction import KIND as CORRECT
from pipelines.corrections.correction import Correction, corrected_book, read_correction
from pipelines.corrections.kept import OPENED, opened_rows
from pipelines.corrections.withdrawn import renumber, withdrawn_events
from pipelines.doing import Doing, nobody
from pipelines.durable import Disk, reached
from pipelines.home import Home
from pipelines.journal import Block, Clock, Command, Entry, Journal, Online
from pipelines.ledger import FileEntry, Ledger, Rows, StagedFile, Stream
from pipelines.online_entry import decode_requests
from pipelines.reference_in_force import References
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
from rating.book_items import from_items, to_items
from rating.charging import Charged, charge
from rating.commands import Origin, apply_command, is_applied
from rating.friends import befriend
from rating.online import Served
from rating.online_many import ManyDesk
from reference_data.accounts import Accounts
from reference_data.changes import Changes
from reference_data.snapshot import Snapshot
from reference_data.tariffs.compile import Tariffs
from schemas.codes import Reason, SuspenseAction
from schemas.columns import Cells, Labels
from schemas.errors import LedgerError
from schemas.rated import RATED
from schemas.usage import SUSPENSE, USAGE

NO_FILE = bytes(32)
LEDGER_TABLES = ("rated", "posting", "suspense", "leg_suspense", "correction", "withdrawn")  # that a correction adds to
OPENING = "open_accounts"
LEGS = "charge_legs"
CLOSE_AFTER, REMEMBER = "close_after", "remember_sessions"  # of the operator's file, once they are others than before
OWN_COMMANDS = "own_commands"  # file of a commit: commands of no command file, [position, content] a line
SERVING = "serving"  # from here on requests are answered under this reference data, and replay does likewise
CHARGED, BALANCES, ONLINE = "append", "balances", "online"  # kinds of commits; online: ticks and slices, many at once
COMMIT_ROWS = 200_000  # of ticks that are committed together at a restart
SNAPSHOT_EVENTS = 5_000_000  # events between snapshots; replay of so many takes seconds

Stager = Callable[[Stream, Outcomes, Labels], list[StagedFile]]  # writes the files of a commit


@dataclass(frozen=True)
class Committed:
    """What mediation has committed and charging has not seen: commit `version`, its commands, its usage."""

    version: int
    usage: Cells
    usage_sha256: bytes = NO_FILE
    commands: Sequence[bytes] = field(default=())


@dataclass(frozen=True)
class Under:
    """What a stretch of the journal was charged under, for its commit: reference data by hash, names behind labels."""

    reference: str
    labels: dict[str, list[str]]
    tariffs: Tariffs


@dataclass(frozen=True)
class Tick:
    """What commands and requests came to. outcomes: of each command, whether its id had been applied before, and why
    it was refused, as a reason and in words. answers: None without requests."""

    folded: Folded
    outcomes: list[tuple[bool, Reason, str]]
    answers: Cells | None


class ChargingNode:
    """Owns journal, balance book and the `charging` stream."""

    def __init__(self, home: Home, ledger: Ledger, reference: Snapshot, accounts: Callable[[], Accounts],
                 labels: dict[str, list[str]], disk: Disk | None = None, threads: int = 1,
                 operator: Path | None = None, doing: Doing = nobody) -> None:
        """Open and recover: newest snapshot, then the journal up to what the ledger has, written by nobody again.

        accounts: reads those of the reference data, when some are to be opened. labels: names behind the label columns
        of usage; those that charging adds are the tariffs'. threads: that encode and sync the files of a commit.
        operator: the folder that `accounts` are of: what is opened from it is kept with the commit. doing: is told what
        takes long here and in `catch_up`.
        """
        self._operator, self._corrections, self._doing = operator, home.corrections, doing
        doing("ledger and journal", 0, 0)
        self._ledger, self._reference, self._accounts = ledger, reference, accounts
        self._given, self.references = reference, References(home, reference)
        sources = labels.setdefault("source", [])
        if COMMANDS not in sources:  # now, while nobody else adds names
            sources.append(COMMANDS)
        self._labels: dict[str, list[str]] = {"who": [], "why": []} | labels | reference.tariffs.labels
        self._threads = threads
        self._stream = ledger.stream("charging")
        self.position = self._stream.positions.get("journal", 0)
        self._journal = Journal.open(home.journal, disk, at_least=self.position)
        self._snapshots, self._snapshot_folder = Snapshots(home.snapshots, disk), home.snapshots
        self._events_since_snapshot = 0
        self._refusals: list[str] = []
        self._committer = ThreadPoolExecutor(1, "commit-charging")
        self._running: Future[None] | None = None
        self.journaled_version = int(self._stream.state.get("mediation_version", 0))
        self._journaled_row = int(self._stream.state.get("mediation_row", -1))  # of that version's usage; -1: all
        self._read_usage: tuple[int, tuple[Cells, bytes]] = (-1, (Cells.empty(USAGE), NO_FILE))
        self._desk: tuple[BalanceBook, ManyDesk] | None = None
        self._current: tuple[Changes, Snapshot] | None = None
        self._refusal = ""
        self._again = withdrawn_events(ledger)
        self.book = self._recover()

    def open_accounts(self) -> None:
        """Journal and post the opening of accounts that the reference data has and the book has not."""
        self._keep_spans()
        ids = self._reference.inventory.accounts.account_id
        if np.array_equal(self.book.account_ids[:ids.size], ids) or (self.book.rows_of(ids) >= 0).all():
            return
        opening = json.dumps({"id": f"open-{self._reference.content_hash}", "kind": OPENING,
                              "reference": self._reference.content_hash}).encode()
        batch = Committed(self.journaled_version, Cells.empty(USAGE), commands=[opening])
        self.charge(*self.journal(batch), batch.usage)

    def tell(self, kind: str, **fields: object) -> None:
        """Journal and commit a command of the node to itself."""
        command = {"id": f"{kind.replace('_', '-')}-{self.position}", "kind": kind, **fields}
        batch = Committed(self.journaled_version, Cells.empty(USAGE), commands=[json.dumps(command).encode()])
        self.charge(*self.journal(batch), batch.usage)

    @property
    def under(self) -> Under:
        """What is charged under from here on."""
        return Under(self._reference.content_hash, self._labels, self._reference.tariffs)

    def take(self, reference: Snapshot) -> None:
        """From here on charge under this reference data. The book knows tariffs by their names and keys, as it does
        after a restart with other ones; what it has found by their rules is looked for again."""
        if reference is self._reference:
            return
        self._reference, self._labels = reference, self._labels | reference.tariffs.labels
        self._desk = self._current = None
        self.book.timer_version = ""

    @property
    def labels(self) -> dict[str, list[str]]:
        """Names behind the label columns of requests and of what is charged."""
        return self._labels

    def _keep_spans(self) -> None:
        """Journal when cycles close by themselves, and how long sessions are remembered, where the operator has changed
        it: replay must close and forget as life did."""
        operator = self._reference.operator
        for kind, seconds, before in ((CLOSE_AFTER, operator.close_after_s, self.book.closes_after_s),
                                      (REMEMBER, operator.remember_sessions_s, self.book.remembers_sessions_s)):
            if seconds != before:
                self.tell(kind, seconds=seconds)

    @property
    def settled(self) -> bool:
        """Whether balances and a snapshot were written after all that is charged, as a run does at its end."""
        ops = [entry.op for entry in self._ledger.logs()["charging"].entries
               if entry.op in (CHARGED, CORRECT, BALANCES, ONLINE)]
        return ops[-1:] == [BALANCES] and self._snapshots.positions()[-1:] == [self.position]

    @property
    def journal_file(self) -> Journal:
        """For whoever appends in its stead."""
        return self._journal

    def pending(self) -> Iterator[tuple[int, list[Entry]]]:
        """Groups that the journal has and the ledger has not: they are charged before anything new."""
        yield from list(groups_of(self._journal.read(self.position)))

    def catch_up(self) -> int:
        """Charge what the journal has and the ledger has not, many ticks at once. Returns events rated."""
        rated, ticks, progress = 0, Replay(self, keep=True), self.progress_of_ledger()
        begin = stop = self.position
        self._as_served()
        for first, entries in self.pending():
            self._doing("charging what the ledger has not", first - begin, self._journal.position - begin)
            if block_of(entries) is None:
                ticks.add(first, entries, partial(Cells.empty, USAGE))
                stop = first + len(entries)
                if ticks.rows < COMMIT_ROWS:
                    continue
            if stop > self.position:
                rated += self._commit_ticks(stop, ticks.taken(), progress)
            if block_of(entries) is not None:
                rated += self.charge(first, entries, self.usage_for(entries))
                progress = self.progress_of_ledger()
        if stop > self.position:
            rated += self._commit_ticks(stop, ticks.taken(), progress)
        rated += self.finish_slices()
        self.take(self._given)
        return rated

    def _as_served(self) -> None:
        """What a node has answered, and slices between, is charged under what it had then: what the ledger's newest
        commit names, until an entry says otherwise. A run's batch that nobody was told of has what there is now."""
        made_with = self._made_with()
        if made_with and any(isinstance(entries[-1], (Online, Clock)) for _, entries in self.pending()):
            first, _, reference = made_with[0]
            self.take(self.references.under(reference, f"journal position {first} answered requests with"))

    def _commit_ticks(self, stop: int, ticks: Folded, progress: Mapping[str, int]) -> int:
        self.commit_online(stop, ticks, progress)
        return sum(int((part.rated["leg"] == 0).sum()) for part in ticks.parts)

    def journal(self, batch: Committed) -> tuple[int, list[Entry]]:
        """Step 1. Returns the position of the group and its entries; durable when this returns."""
        entries: list[Entry] = [Command(payload) for payload in batch.commands]
        entries.append(Block(batch.version, batch.usage_sha256, 0, len(batch.usage)))
        first = self._journal.append(entries)
        self.journaled(entries)
        return first, entries

    def carry_out(self, command: Mapping[str, object], received_us: int) -> str:
        """Journal one live command where no node serves, and commit what it did. Returns why it was refused, or "".

        Only kinds of `rating.commands`, tokens in place of numbers: whoever sends it sees to both.
        """
        batch = Committed(self.journaled_version, Cells.empty(USAGE), commands=[live_entry(command, received_us)])
        self.charge(*self.journal(batch), batch.usage)
        return self._refusal

    @property
    def current(self) -> Snapshot:
        """The reference data, with what commands have changed of it: what requests are resolved by."""
        changes = self.book.changes
        if self._current is None or self._current[0] is not changes:  # it is another book then
            self._current = changes, replace(self._reference, changes=changes)
        return self._current[1]

    def journaled(self, entries: Sequence[Entry]) -> None:
        """Keep what the last block says of how far the journal has got with what mediation committed."""
        block = block_of(entries)
        if block is not None and not (block.version == self.journaled_version and block.file_sha256 == NO_FILE):
            self.journaled_version, self._journaled_row = block.version, block.to_row

    def unfinished(self) -> tuple[Block, Cells] | None:
        """The rest of a version's usage where the journal has only slices of it: a block for it, and all its usage."""
        if self._journaled_row < 0 or not self.journaled_version:
            return None
        file = self._usage_file(self.journaled_version)
        if file is None or self._journaled_row >= file.rows:
            return None
        usage, sha256 = self.usage_of(self.journaled_version)
        return Block(self.journaled_version, sha256, self._journaled_row, len(usage)), usage

    def finish_slices(self) -> int:
        """Journal and charge what `unfinished` says is missing. Returns events rated."""
        rest = self.unfinished()
        if rest is None:
            return 0
        first = self._journal.append([rest[0]])
        self.journaled([rest[0]])
        return self.charge(first, [rest[0]], rest[1])

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
        return backouts(self._ledger, self._corrections, after)

    def charge(self, first: int, entries: Sequence[Entry], usage: Cells, ahead: bool = False) -> int:
        """Steps 2 and 3: fold the group over the book, commit what it did. Returns events rated.

        ahead: step 3 may go on when this returns, so that the next group is folded meanwhile; the next one, and
        whatever asks for the ledger's position, waits for it by `finish`.
        """
        own = own_commands(first, entries)
        if own and read_fields(own[0][1]).get("kind") == CORRECT:
            self.finish()
            return self._charge_correction(first, entries, own)
        known = len(self.book)
        folded = self.fold(first, entries, usage)
        reached("charge.folded")
        rows, kept = folded.tables(), own or folded.commands
        opened = opened_rows(self._operator, self.book.account_ids[known:], self._reference.friends) \
            if own and self._operator is not None and len(self.book) > known \
            and read_fields(own[0][1]).get("kind") == OPENING else None
        self.finish()
        if ahead and self._threads > 1:
            self._running = self._committer.submit(self._commit, first, entries, rows, kept, opened)
        else:
            self._commit(first, entries, rows, kept, opened)
        self._events_since_snapshot += sum(e.to_row - e.from_row for e in entries if isinstance(e, Block))
        if self._events_since_snapshot >= SNAPSHOT_EVENTS:
            self.take_snapshot()
        return int((rows["rated"]["leg"] == 0).sum())

    def finish(self) -> None:
        """Wait until what was charged ahead is committed; raises what went wrong with it."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def commit_charged(self) -> None:
        """As `finish`: what is charged is committed."""
        self.finish()

    def _commit(self, first: int, entries: Sequence[Entry], rows: Mapping[str, Cells],
                own: Sequence[tuple[int, bytes]], opened: bytes | None) -> None:
        """Step 3."""
        online = any(isinstance(entry, (Online, Clock)) for entry in entries)
        self._commit_staged(first, first + len(entries), self._stage(rows), self._progress(entries),
                            ONLINE if online else CHARGED, own, opened)

    def _stage(self, rows: Mapping[str, Cells]) -> list[StagedFile]:
        return self._stream.stage_many({name: Rows(cells, self._labels) for name, cells in rows.items()},
                                       self._threads)

    def _commit_staged(self, first: int, stop: int, staged: list[StagedFile], progress: Mapping[str, int], kind: str,
                       own: Sequence[tuple[int, bytes]] = (), opened: bytes | None = None,
                       under: Under | None = None) -> None:
        """Commit what journal entries [first, stop) did. progress: the stream's state when they were journaled. under:
        what they were charged under, where that is no longer `under`."""
        under = under or self.under
        if own:
            staged.append(self._stage_own(own))
        if opened is not None:
            staged.append(self._stream.stage_bytes("opened", OPENED, opened))
        self._stream.commit(staged, kind=kind, positions={"journal": (first, stop)}, state=progress,
                            reference={"snapshot": under.reference})
        self.position = stop

    def commit_online(self, stop: int, folded: Outcomes, progress: Mapping[str, int], under: Under | None = None,
                      apart: Stager | None = None) -> None:
        """Step 3 for ticks and slices up to journal position `stop`, many at once. apart: who writes the files."""
        labels = (under or self.under).labels
        staged = apart(self._stream, folded, labels) if apart is not None else self._stream.stage_many(
            {name: Rows(cells, labels) for name, cells in folded.tables().items()}, self._threads)
        self._commit_staged(self.position, stop, staged, progress, ONLINE, folded.commands, under=under)

    def commit_switch(self, first: int, stop: int, content: bytes, progress: Mapping[str, int], under: Under) -> None:
        """Step 3 for an entry SERVING of a node that goes on: what comes after it is another commit's, so that every
        commit names one reference data."""
        self._commit_staged(first, stop, [], progress, CHARGED, [(first, content)], under=under)

    def progress(self) -> dict[str, int]:
        """How far the journal has got with what mediation committed, as the stream's state has it."""
        row = {"mediation_row": self._journaled_row} if self._journaled_row >= 0 else {}
        return {"mediation_version": self.journaled_version, **row}

    def progress_of_ledger(self) -> dict[str, int]:
        """The same, at the newest commit."""
        return {name: int(value) for name, value in self._stream.state.items()}

    def _progress(self, entries: Sequence[Entry]) -> dict[str, int]:
        """The same, of a group: what it was when that was journaled."""
        block, before = block_of(entries), self.progress_of_ledger()
        if block is None or (block.version == before.get("mediation_version") and block.file_sha256 == NO_FILE):
            return before
        return {"mediation_version": block.version, "mediation_row": block.to_row}

    def _charge_correction(self, first: int, entries: Sequence[Entry], own: Sequence[tuple[int, bytes]]) -> int:
        """As `charge`, for a group that is nothing but a correction."""
        correction = self._apply_correction(read_fields(own[0][1]))
        reached("charge.corrected")
        staged = [self._stream.stage(name, table) for name in correction.names() for table in correction.tables(name)
                  if table.num_rows and name in LEDGER_TABLES]
        stop = first + len(entries)
        self._stream.commit([*staged, self._stage_own(own)], positions={"journal": (first, stop)}, kind=CORRECT,
                            state=self._progress(entries), reference={"snapshot": self._reference.content_hash})
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
        """Usage and sha256 of what mediation committed in `version`, read back from the ledger; the last is kept."""
        if self._read_usage[0] != version:
            self._read_usage = version, self._usage_of(version)
        return self._read_usage[1]

    def _usage_of(self, version: int) -> tuple[Cells, bytes]:
        file = self._usage_file(version)
        if file is None:
            return Cells.empty(USAGE), NO_FILE
        return Cells.from_arrow(USAGE, self._ledger.read_table(file), self._labels), bytes.fromhex(file.sha256)

    def _usage_file(self, version: int) -> FileEntry | None:
        """The usage file that mediation committed in `version`."""
        logs = self._ledger.logs()
        entries = logs["mediation"].entries if "mediation" in logs else []
        if version > len(entries):
            raise LedgerError(f"the journal names commit {version} of mediation",
                              f"one of the {len(entries)} there are", "restore the ledger that goes with this journal")
        added = entries[version - 1].added if version else []
        return next((file for file in added if file.table == "usage"), None)

    def take_snapshot(self) -> None:
        """Step 4: the book at the ledger's position; then the journal below it is not needed any more."""
        self.finish()
        self._snapshots.write(self.position, to_items(self.book))
        oldest = self._snapshots.retain()
        self._journal.trim(oldest, self.position)
        self._events_since_snapshot = 0

    def write_snapshot_aside(self, position: int, book: BalanceBook | None = None, disk: Disk | None = None) -> None:
        """Write the book as it is at `position`, for `publish_snapshot`: a copy of it, or, by a process that was forked
        from this one, the book itself."""
        snapshots = self._snapshots if disk is None else Snapshots(self._snapshot_folder, disk)
        snapshots.write_aside(position, to_items(book or self.book))

    def publish_snapshot(self, position: int) -> int:
        """Step 4 for what was written aside, once the ledger has reached `position`. Returns the position down to which
        the journal may be trimmed."""
        self._snapshots.publish(position)
        return self._snapshots.retain()

    def release_journal(self, snapshot_position: int) -> list[Path]:
        """Segments that neither a snapshot nor the ledger needs any more, for `remove_journal`. By whoever appends to
        the journal, who must not wait until gigabytes are removed."""
        return self._journal.release(snapshot_position, self.position)

    def remove_journal(self, segments: Sequence[Path]) -> None:
        """Remove what `release_journal` gave, by anybody."""
        self._journal.remove(segments)

    def commit_balances(self, book: BalanceBook | None = None, under: Under | None = None) -> None:
        """Write the book's balances as a ledger table, replacing the ones before: what the roll-forward closes on.

        book: a copy of it, as it was at the ledger's position, `under` what it was charged then.
        """
        self.finish()
        under = under or self.under
        before = [file.path for file in self._stream.files("balance")]
        cells = (book or self.book).balances(under.tariffs, self.position)
        staged = [self._stream.stage("balance", Rows(cells, under.labels))] if len(cells) else []
        self._stream.commit(staged, removed=before, state=self._stream.state, kind=BALANCES)

    def close(self) -> None:
        self._committer.shutdown()  # what is running gets to its end, whatever that is
        self._stream.close()
        self._journal.close()

    def _recover(self) -> BalanceBook:
        found = self._snapshots.newest(self.position, doing=self._doing)
        start = 0 if found is None else found.position
        self._doing("tables of the snapshot", 0, 0)
        self.book = BalanceBook.create() if found is None else from_items(found.items)
        made_with, replay = self._made_with(), Replay(self, keep=False)
        for first, group in groups_of(self._journal.read(start, self.position)):
            self._doing("replaying the journal", first - start, self.position - start)
            self._as_charged(first, made_with, replay)
            replay.add(first, group, partial(self.usage_for, group))
            self.journaled(group)
        replay.finish()
        self.take(self._given)
        for _, group in groups_of(self._journal.read(self.position)):
            self.journaled(group)
        return self.book

    def usage_for(self, group: Sequence[Entry]) -> Cells:
        """The usage file that a group's block names; none for a tick."""
        block = block_of(group)
        if block is None or block.file_sha256 == NO_FILE:
            return Cells.empty(USAGE)
        return self.usage_of(block.version)[0]

    def _made_with(self) -> list[tuple[int, int, str]]:
        """(first, stop, hash of the reference data) of every commit that charged, newest first."""
        return [(*entry.positions["journal"], entry.reference.get("snapshot", ""))
                for entry in reversed(self._ledger.logs()["charging"].entries) if "journal" in entry.positions]

    def _as_charged(self, position: int, made_with: list[tuple[int, int, str]], replay: Replay) -> None:
        """What the ledger has of a group holds under the reference data that charged it: replay takes the same.

        made_with: as `_made_with` gives it; what lies behind the position is taken off. Raises LedgerError: it is not
        to be had any more.
        """
        while made_with and made_with[-1][1] <= position:
            made_with.pop()
        if made_with and made_with[-1][0] <= position:
            reference = self.references.under(made_with[-1][2], "no snapshot of the book is newer than journal "
                                              f"position {position}, which was charged with")
            if reference is not self._reference:
                replay.finish()
                self.take(reference)

    def fold(self, first: int, entries: Sequence[Entry], usage: Cells) -> Folded:
        """Apply entries to the book in order. Same entries, same book, same parts."""
        tariffs, folded = self._reference.tariffs, Folded()
        moved: list[Charged] = []  # commands come before the block or the requests of their group
        for place, entry in enumerate(entries, first):
            if isinstance(entry, Block):
                folded.add(charge(usage, entry.from_row, entry.to_row, place, tariffs, self.book, self._labels))
            elif isinstance(entry, Online):
                received_us, requests = decode_requests(entry.content, self._labels)
                if len(requests):
                    self._keep(folded, self.desk.serve(requests, received_us, place))
            elif isinstance(entry, Clock):
                self._keep(folded, self.desk.clock(entry.time_us, place))
            else:
                self._carry_out(read_fields(entry.content), place, folded, moved)
        check_moved(moved)
        whole = Folded()
        whole.add(*moved)
        whole.add_all(folded)
        return self.renumbered(whole)

    def tick(self, first: int, commands: Sequence[Mapping[str, object]], requests: Cells, received_us: int) -> "Tick":
        """Apply what came live, as replay will from its journal entries: commands, each an entry, then requests."""
        outcomes, moved, folded, answers = list[tuple[bool, Reason, str]](), list[Charged](), Folded(), None
        for place, command in enumerate(commands, first):
            known = is_applied(command, self.book)
            charged, reason = self.live(command, place)
            moved.append(charged)
            outcomes.append((known, reason, charged.refusal))
            if not known:
                folded.add_command(place, live_entry(command, received_us, charged.refusal))
        if moved:
            check_moved(moved)
            folded.add(*moved)
        if len(requests):
            served = self.desk.serve(requests, received_us, first + len(commands))
            self._keep(folded, served)
            answers = served.answers
        return Tick(self.renumbered(folded), outcomes, answers)

    def renumbered(self, folded: Folded) -> Folded:
        """What is charged once more after it was taken back, by the number of times that it was."""
        for part in folded.parts:
            renumber(part.rated, self._again)
        return folded

    @staticmethod
    def _keep(folded: Folded, served: Served) -> None:
        folded.add(served.charged)
        folded.add_grants(served.grants)

    @property
    def desk(self) -> ManyDesk:
        """What answers requests from this book."""
        if self._desk is None or self._desk[0] is not self.book:  # recovery and corrections put another in its place
            self._desk = self.book, ManyDesk(self.book, self._reference.tariffs,
                                             self._reference.operator.online_rules, self._labels)
        return self._desk[1]

    def _carry_out(self, command: dict[str, Any], place: int, folded: Folded, moved: list[Charged]) -> None:
        """One command: what others say into `moved`, as what opens accounts; what the node says to itself changes the
        book, or charges."""
        tariffs = self._reference.tariffs
        if "line" in command:  # of a file: what it says can be none of the node's own
            moved.append(apply_command(command["command"], place, tariffs, self.book, self._origin(*command["line"]),
                                       check=False, inventory=self._reference.inventory))
        elif "live" in command:
            known = is_applied(command["command"], self.book)
            moved.append(self.live(command["command"], place)[0])
            if not known:
                folded.add_command(place, live_entry(command["command"], command["live"], moved[-1].refusal))
        elif command.get("kind") == OPENING:
            moved.append(self._open(command, place))
        elif command.get("kind") == SERVING:
            self.take(self.references.under(command["reference"], f"journal position {place} answered requests with"))
        elif command.get("kind") == CLOSE_AFTER:
            self.book.close_after(int(command["seconds"]))
        elif command.get("kind") == REMEMBER:
            self.book.remember_sessions(int(command["seconds"]))
        elif command.get("kind") == LEGS:
            folded.add(self._charge_legs(command, place))
        elif command.get("kind") == CORRECT:
            self._apply_correction(command)
        else:
            moved.append(apply_command(command, place, tariffs, self.book, self._origin(), check=False,
                                       inventory=self._reference.inventory))

    def live(self, command: Mapping[str, object], place: int) -> tuple[Charged, Reason]:
        """Carry out a command that came live. Why it was refused is told to whoever asked, and is no row of suspense:
        there is nothing to mend but to ask again."""
        charged = apply_command(command, place, self._reference.tariffs, self.book, self._origin(), check=False,
                                inventory=self._reference.inventory)
        self._refusal = charged.refusal
        if not len(charged.suspense):
            return charged, Reason.OK
        return replace(charged, suspense=Cells.empty(SUSPENSE)), Reason(int(charged.suspense["reason"][0]))

    def _origin(self, source: str = COMMANDS, *place: int) -> Origin:
        return Origin(self._labels["source"].index(source), *place)

    def _open_new(self, place: int) -> Cells:
        """Open what the book has not, with its lists of friends. Returns the postings."""
        known = len(self.book)
        postings = self.book.open_accounts(self._accounts(), self._reference.tariffs, place)
        if self._reference.friends is not None:
            befriend(self.book, self._reference.friends, self.book.account_ids[known:])
        return postings

    def _open(self, command: dict[str, Any], place: int) -> Charged:
        self.take(self.references.under(command["reference"], f"journal position {place} opened accounts of"))
        postings = self._open_new(place)
        return Charged(Cells.empty(RATED), postings, Cells.empty(SUSPENSE))


def backouts(ledger: Ledger, corrections: Path, after: int) -> Iterator[tuple[int, Correction]]:
    """Backouts that a ledger has committed at journal position `after` or later, oldest first."""
    for entry in ledger.logs()["charging"].entries:
        first, _ = entry.positions.get("journal", (-1, -1))
        if entry.op == CORRECT and first >= after:
            for file in entry.added:
                if file.table == OWN_COMMANDS:
                    command = read_fields(json.loads(ledger.read_bytes(file).splitlines()[0])[1].encode())
                    if command["facts"]["kind"] == "backout":
                        yield first, read_correction(corrections, command["sha256"])
