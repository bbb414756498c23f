"""Mediate and commit: the first half of a batch's way, and the only writer of the `mediation` stream.

Numbered steps: 1 mediate the batch in memory, 2 make the tokens seen for the first time durable in the vault,
3 write and sync the batch's files (2 and 3 side by side, since neither needs the other), 4 commit them with the
position in collection order and what mediation remembers. A kill before 4 leaves nothing but files that do not exist;
the batch is read again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from mediation.duplicates import DuplicateIndex, MergePlan
from mediation.matching import OnlineMemory
from mediation.mediate import Mediated, Slice, mediate, prepare
from mediation.memory import Lexicon, MediationMemory
from mediation.online_usage import OnlineIndex
from mediation.partials import PartialDelta
from mediation.tokens import Sightings
from pipelines.charging import Committed
from pipelines.collect import Collector
from pipelines.commands import Seen, command_cells, read_commands, sightings_among, sightings_of, to_journal
from pipelines.corrections.correction import Correction
from pipelines.durable import Disk, reached
from pipelines.home import Home
from pipelines.identity_changes import CommittedChanges
from pipelines.ledger import Ledger, Rows, StagedFile
from pipelines.ledger.log import Positions
from pipelines.ledger.sql import open_duckdb
from pipelines.online_grants import OnlineGrants
from pipelines.reading import OFFSET_BITS, Batch, FileProgress, file_audit
from pipelines.served_home import ServedVault
from pipelines.vault import Vault
from reference_data.snapshot import Snapshot
from reference_data.tariffs.estimate import estimate_nanos
from schemas.audit import BACKED_OUT_FILE, SEQUENCE_GAP
from schemas.codes import SuspenseAction, Withdrawal
from schemas.columns import I64, Cells
from schemas.errors import LedgerError
from schemas.matching import AWAITING
from schemas.rated import WITHDRAWN
from schemas.usage import HELD, OPEN_SESSION, SETTLED, USAGE

TABLES = ("usage", "suspense", "duplicate", "filtered", "matched", "matched_part", "merged", "awaiting")
STATE_TABLES = ("held", "open_session")  # deltas, replaced by one whole at the end of a run
STATE_DELTAS = 256  # deltas between wholes
AWAITING_TABLE = "awaiting"  # likewise: who waits for online usage
RUNS = "duplicate_run"
ONLINE_RUNS = "online_run"
LONGEST_CONTAINER_US = 31 * 86_400_000_000  # before a record's own time nothing is asked about for longer
RECYCLE = "recycle"
BACKOUT = "backout"


class Mediator:
    """Owns the mediation stream and what mediation remembers."""

    def __init__(self, home: Home, ledger: Ledger, reference: Snapshot, vault: Vault | ServedVault,
                 token_key: tuple[int, int], lexicon: Lexicon, disk: Disk | None = None, threads: int = 1) -> None:
        """Open, and remember what the newest commit remembers. threads: that encode and sync the files of a commit."""
        self._stream = ledger.stream("mediation")
        self._ledger, self._files, self._vault, self._token_key = ledger, reference, vault, token_key
        self._changes = CommittedChanges(ledger)
        self._lexicon, self._disk, self._threads = lexicon, disk or Disk(), threads
        local = ledger.store.local_folder
        self._runs_folder = local if local is not None else home.state
        self._fetch_runs = local is None
        names = [file.path for file in self._stream.files(RUNS)]
        for file in self._stream.files(RUNS):
            self._have_run(file.path, lambda file=file: ledger.read_bytes(file))
        for file in self._stream.files(ONLINE_RUNS):
            self._have_run(file.path, lambda file=file: ledger.read_bytes(file))
        index = OnlineIndex(self._runs_folder, [file.path for file in self._stream.files(ONLINE_RUNS)])
        self._memory = MediationMemory(DuplicateIndex(self._runs_folder, names), lexicon,
                                       online=OnlineMemory(index, OnlineGrants(ledger).between))
        self._restore()

    @property
    def position(self) -> int:
        """Place in collection order of the first record that is not mediated yet."""
        return self._stream.positions.get("collected", 0)

    @property
    def open_file(self) -> dict[str, int] | None:
        """Counts of what was found so far in a file that is half read."""
        return self._stream.state.get("open_file")

    def prepare(self, batch: Batch) -> Batch:
        """Normalise the batch's slices; by one thread, in collection order, and ahead of `mediate` or not at all."""
        batch.changes_position, batch.reference = reference = self._reference()
        batch.slices = [prepare(piece, reference[1], self._lexicon, self._token_key) if isinstance(piece, Slice)
                        else piece for piece in batch.slices]
        return batch

    def _reference(self) -> tuple[int, Snapshot]:
        """What the operator's files say and what charging has committed of changes, and up to where."""
        position, changes = self._changes.newest()
        return position, replace(self._files, changes=changes)

    def mediate(self, batch: Batch) -> tuple[Batch, Committed]:
        """Steps 1 to 4 for one batch."""
        version = self._stream.version + 1
        changes, reference = (batch.changes_position, batch.reference) if batch.reference else self._reference()
        result = mediate(batch.slices, reference, self._memory, self._token_key, version, clock_us=batch.clock_us)  # 1
        reached("mediate.mediated")
        extra: dict[str, pa.Table | Rows] = {}
        if batch.finished:
            extra["file_audit"] = Rows(*file_audit(batch.finished))
        if batch.command_file is not None and batch.commands:
            cells, kinds = command_cells(batch.command_file, batch.commands)
            extra["command"] = Rows(cells, {"source": [batch.command_file.source], "kind": kinds})
        return batch, self._commit(  # 2 to 4
            result, extra, "append", {"collected": (batch.start, batch.stop)}, _state(result.state, batch.open_file),
            [] if batch.command_file is None else to_journal(batch.command_file, batch.commands,
                                                                self._token_key), "mediate.sighted", changes,
            sightings_of(batch.commands, self._token_key))

    def _commit(self, result: Mediated, extra: Mapping[str, pa.Table | Rows], kind: str, positions: Positions,
                state: dict[str, Any], commands: Sequence[bytes], sighted: str, changes: int, numbers: Seen = ()
                ) -> Committed:
        """Steps 2 to 4 for what was mediated, and `extra` tables in the same commit. sighted: crash point behind 2.

        changes: journal position up to which it was resolved. numbers: those that commands bring.
        """
        def remember() -> None:
            self._remember(result.sightings)  # 2
            brought = sightings_among(numbers)
            if brought is not None:
                self._remember(brought)
            reached(sighted)

        key_run, online_run = result.key_run, result.online_run
        jobs: list[Callable[[], StagedFile | None]] = [remember]
        if key_run is not None:
            jobs.append(lambda: self._stream.stage_bytes("duplicates", RUNS, key_run.payload))
        if online_run is not None:
            jobs.append(lambda: self._stream.stage_bytes("online", ONLINE_RUNS, online_run.payload))
        staged = self._stream.stage_many({**self._tables(result), **extra}, self._threads, jobs)  # 3
        run = next((file for file in staged if file.entry.table == RUNS), None)
        online = next((file for file in staged if file.entry.table == ONLINE_RUNS), None)
        usage = next((file for file in staged if file.entry.table == "usage"), None)
        version = self._stream.commit(staged, positions=positions, state=state, kind=kind,  # 4
                                      reference={"snapshot": self._files.content_hash,
                                                 **({"changes": str(changes)} if changes else {})})
        if run is not None and key_run is not None:
            self._have_run(run.entry.path, lambda: bytes(key_run.payload))
            self._memory.duplicates.settle(key_run.name, run.entry.path)
        if online is not None and online_run is not None:
            self._have_run(online.entry.path, lambda: bytes(online_run.payload))
            self._memory.online.index.settle(online_run.name, online.entry.path)
        self._merge_runs()
        self._merge_online_runs()
        if max(len(self._stream.files(name)) for name in ("open_session", AWAITING_TABLE)) > STATE_DELTAS:
            self.write_state()
        sha256 = bytes.fromhex(usage.entry.sha256) if usage is not None else bytes(32)
        return Committed(version, result.usage, sha256, commands)

    def try_again(self, slices: Sequence[Slice], events: pa.Table) -> Mediated:
        """Step 1 for what comes back from suspense. events: rows of the usage table's columns, resolved again.

        Changes what mediation remembers: `recycle` must follow, or this mediator be closed.
        """
        rows = Cells.from_arrow(USAGE, events, self._lexicon.labels)
        _, reference = self._reference()
        return mediate(slices, reference, self._memory, self._token_key, self._stream.version + 1, events=rows)

    def recycle(self, result: Mediated, actions: pa.Table) -> Committed:
        """Steps 2 to 4 for what `try_again` gave: one commit with the actions, no position moved."""
        return self._commit(result, {"settled": actions}, RECYCLE, {},
                            {"memory": result.state, "open_file": self.open_file}, (), "recycle.sighted",
                            self._reference()[0])

    def write_off(self, actions: pa.Table) -> None:
        """Rows of suspense are given up: nothing but the actions that say so."""
        self._stream.commit([self._stream.stage("settled", actions)], kind="write_off")

    @property
    def backed_out(self) -> int:
        """Journal position below which every backout has been forgotten here too."""
        return self._stream.positions.get(BACKOUT, 0)

    def forget(self, position: int, correction: Correction) -> None:
        """The second half of a backout, one commit: keys of its records, its sessions and its rows in suspense.

        The memory here is as before: this mediator must be closed and opened again.
        """
        records = next(correction.tables("forgotten_record"))
        places = [records[name].to_numpy().astype(np.int64) for name in ("file_id", "record_offset")]
        staged, removed = [], []
        for name, payload in self._memory.duplicates.without(*places):
            removed.append(name)
            if payload is not None:
                staged.append(self._stream.stage_bytes("duplicates", RUNS, payload))
                self._have_run(staged[-1].entry.path, lambda payload=payload: bytes(payload))
        for name, payload in self._memory.online.index.without(*places):
            removed.append(name)
            if payload is not None:
                staged.append(self._stream.stage_bytes("online", ONLINE_RUNS, payload))
                self._have_run(staged[-1].entry.path, lambda payload=payload: bytes(payload))
        waiting = self._memory.online.whole()
        of_delivery = np.isin(_joint(waiting["file_id"], waiting["record_offset"]), _joint(*places))
        removed += [file.path for file in self._stream.files(AWAITING_TABLE)]
        if not of_delivery.all():
            staged.append(self._stream.stage(AWAITING_TABLE, Rows(waiting.where(~of_delivery), self._lexicon.labels)))
        partials, sessions = self._memory.partials(), next(correction.tables("forgotten_session"))
        keys = set(zip(*(sessions[name].to_numpy().astype(np.uint64).view(np.int64).tolist()
                         for name in ("session_hi", "session_lo")), strict=True))
        kept = PartialDelta(*(cells.where(np.array(
            [key not in keys for key in zip(cells["session_hi"].tolist(), cells["session_lo"].tolist(), strict=True)],
            np.bool_)) for cells in (partials.held, partials.sessions)))
        removed += [file.path for table in STATE_TABLES for file in self._stream.files(table)]
        staged += self._stage_partials(kept)
        staged += self._stage_forgotten(position, correction, partials.held, keys, places, waiting.where(of_delivery))
        reached("backout.staged")
        self._stream.commit(staged, removed=removed, positions={BACKOUT: (self.backed_out, position + 1)},
                            kind=BACKOUT)

    def _stage_forgotten(self, position: int, correction: Correction, held: Cells, keys: set[tuple[int, int]],
                         places: Sequence[I64], waiting: Cells) -> list[StagedFile]:
        """Rows that say what was forgotten: files, held containers, and rows of suspense that are closed."""
        staged = []
        files = next(correction.tables("forgotten_file"))
        if files.num_rows:
            cells = Cells.empty(BACKED_OUT_FILE, files.num_rows)
            cells["file_id"], cells["journal_position"] = files["file_id"].to_numpy(), position
            staged.append(self._stream.stage("backed_out_file", cells.to_arrow()))
        of_sessions = held.where(np.array([key in keys for key in zip(held["session_hi"].tolist(),
                                                                      held["session_lo"].tolist(), strict=True)],
                                          np.bool_))
        for gone in (of_sessions, waiting):
            if not len(gone):
                continue
            cells = Cells.empty(WITHDRAWN, len(gone), fill=0)
            for name in ("source", "file_id", "record_offset", "record_length", "container_index", "event_id_hi",
                         "event_id_lo", "quantity"):
                cells[name] = gone[name]
            cells["journal_position"], cells["state"] = position, int(Withdrawal.RELEASED)
            staged.append(self._stream.stage("withdrawn", cells.to_arrow(self._lexicon.labels)))
        chosen = pa.table({"file_id": places[0], "record_offset": places[1]})
        with open_duckdb(self._ledger) as connection:
            connection.register("_chosen", chosen)
            rows = connection.sql("SELECT * FROM suspense_open JOIN _chosen USING (file_id, record_offset) "
                                  "ORDER BY file_id, record_offset, container_index").to_arrow_table()
        if rows.num_rows:
            labels = {"who": [str(correction.facts["who"])], "why": [str(correction.facts["why"])]}
            cells = Cells.from_arrow(SETTLED, rows, labels)
            cells["action"], cells["container_count"], cells["who"], cells["why"] = (
                int(SuspenseAction.BACKED_OUT), 0, 0, 0)
            staged.append(self._stream.stage("settled", cells.to_arrow(labels)))
        return staged

    def committed_after(self, version: int, collector: Collector) -> Iterator[Committed]:
        """Batches that are committed and that the journal does not have, oldest first."""
        for entry in self._ledger.logs()["mediation"].entries[version:]:
            if entry.op in ("append", RECYCLE):
                yield self._committed(entry.version, collector)

    def _committed(self, version: int, collector: Collector) -> Committed:
        entry = self._ledger.logs()["mediation"].entries[version - 1]
        usage, sha256 = Cells.empty(USAGE), bytes(32)
        commands: Sequence[bytes] = ()
        for file in entry.added:
            if file.table == "usage":
                table = self._ledger.read_table(file)
                usage, sha256 = Cells.from_arrow(USAGE, table, self._lexicon.labels), bytes.fromhex(file.sha256)
            elif file.table == "command":
                rows = self._ledger.read_table(file).select(["file_id", "record_offset"])
                source = collector.files[rows["file_id"][0].as_py()]
                offsets = set(rows["record_offset"].to_pylist())
                commands = to_journal(source, [c for c in read_commands(collector.payload(source))
                                               if c.offset in offsets], self._token_key)
        return Committed(version, usage, sha256, commands)

    def close(self) -> None:
        self._stream.close()

    def _remember(self, sightings: Sightings) -> None:
        if len(sightings):
            texts = [sightings.text.get(row) for row in range(len(sightings))] if sightings.text else None
            remembered = self._vault.remember(sightings.token, sightings.identity, sightings.value, texts)
            if remembered.collisions.size:
                raise LedgerError(f"{remembered.collisions.size} tokens of this batch stand for other values already",
                                  "one value a token", "the batch is not committed; ask for help: in 63 bits "
                                  "this does not happen by chance")

    def _tables(self, result: Mediated) -> dict[str, Rows]:
        suspense = result.suspense
        suspense["estimate_nanos"] = estimate_nanos(suspense["service"], suspense["quantity"], self._files.tariffs)
        rows = {table: getattr(result, table) for table in TABLES}
        rows.update(zip(STATE_TABLES, (result.partials.held, result.partials.sessions), strict=True))
        return {table: Rows(cells, self._lexicon.labels) for table, cells in rows.items()}

    def write_state(self) -> None:
        """Replace the deltas of open sessions by one whole, and the list of sequence gaps, in one commit."""
        removed = [file.path for table in (*STATE_TABLES, AWAITING_TABLE, "sequence_gap")
                   for file in self._stream.files(table)]
        staged = self._stage_partials(self._memory.partials())
        if len(self._memory.online):
            staged.append(self._stream.stage(AWAITING_TABLE, Rows(self._memory.online.whole(), self._lexicon.labels)))
        gaps = self._memory.records.gaps()
        if gaps:
            cells = Cells.empty(SEQUENCE_GAP, len(gaps))
            cells["node"] = range(len(gaps))
            cells["first"], cells["last"] = [g.first for g in gaps], [g.last for g in gaps]
            staged.append(self._stream.stage("sequence_gap", cells.to_arrow({"node": [g.node for g in gaps]})))
        if staged or removed:
            self._stream.commit(staged, removed=removed, kind="state")

    def _stage_partials(self, partials: PartialDelta) -> list[StagedFile]:
        return [self._stream.stage(name, Rows(cells, self._lexicon.labels))
                for name, cells in zip(STATE_TABLES, (partials.held, partials.sessions), strict=True) if len(cells)]

    def _restore(self) -> None:
        """Take up what the newest commit remembers. Files of one commit belong to one delta."""
        state = self._stream.state.get("memory")
        if state is None:
            return
        live = {file.path for table in STATE_TABLES for file in self._stream.files(table)}
        deltas = []
        for entry in self._ledger.logs()["mediation"].entries:
            parts = {"held": Cells.empty(HELD), "open_session": Cells.empty(OPEN_SESSION)}
            named = [file for file in entry.added if file.path in live]
            for file in named:
                table = self._ledger.read_table(file)
                parts[file.table] = Cells.from_arrow(parts[file.table].columns, table, self._lexicon.labels)
            if named:
                deltas.append(PartialDelta(parts["held"], parts["open_session"]))
        waiting = [Cells.from_arrow(AWAITING, self._ledger.read_table(file), self._lexicon.labels)
                   for file in self._stream.files(AWAITING_TABLE)]
        self._memory.restore(state, deltas, self._files, waiting)

    def _merge_runs(self) -> None:
        """Keep the number of runs small: merges that are due, each a commit of its own."""
        while (plan := self._memory.duplicates.plan_merge(self._stream.version + 1, self._oldest_us())) is not None:
            self._merge(plan)

    def _merge(self, plan: MergePlan) -> None:
        staged = []
        for _, days in plan.outputs:
            file = self._stream.stage_chunks("duplicates", RUNS, self._memory.duplicates.merge(plan, days))
            self._have_run(file.entry.path, lambda file=file: self._ledger.read_bytes(file.entry))
            staged.append(file)
        self._stream.commit(staged, removed=list(plan.inputs), kind="merge_runs")
        self._memory.duplicates.swap(plan, [file.entry.path for file in staged])
        reached("mediate.merged_runs")

    def _merge_online_runs(self) -> None:
        """The same for what was charged online."""
        index = self._memory.online.index
        oldest_us = self._oldest_us() - LONGEST_CONTAINER_US
        while (plan := index.plan_merge(oldest_us)) is not None:
            file = self._stream.stage_chunks("online", ONLINE_RUNS, index.merge(plan, oldest_us))
            self._have_run(file.entry.path, lambda file=file: self._ledger.read_bytes(file.entry))
            self._stream.commit([file], removed=list(plan.inputs), kind="merge_runs")
            index.swap(plan, file.entry.path)
            reached("mediate.merged_online_runs")

    def _oldest_us(self) -> int:
        """The oldest key time that any stream may still bring."""
        streams = {s.name: s.duplicate_horizon_s * 1_000_000 for s in self._files.streams.streams}
        marks = self._memory.watermarks
        return min((marks[name] - horizon for name, horizon in streams.items() if name in marks), default=0)

    def _have_run(self, path: str, payload: Any) -> None:
        """A run must lie in a local folder to be mapped: beside a remote ledger, a copy of it."""
        local = self._runs_folder / path
        if self._fetch_runs and not local.exists():
            self._disk.make_dir(local.parent)
            self._disk.write_new(local, [payload()])
            self._disk.sync_dir(local.parent)


def _joint(file_id: I64, record_offset: I64) -> I64:
    """Places of records as one number."""
    return file_id << OFFSET_BITS | record_offset


def _state(memory: dict[str, Any], open_file: FileProgress | None) -> dict[str, Any]:
    """What a restart needs and no table holds; small, since it travels in every log entry."""
    return {"memory": memory, "open_file": None if open_file is None else _written(open_file)}


def _written(progress: FileProgress) -> dict[str, Any]:
    """Counts only: file and frame are read again."""
    return {"file_id": progress.file.file_id, "record_count": progress.record_count,
            "container_count": progress.container_count, "record_octets": progress.record_octets}
