"""One writer's hold on one stream of the ledger: stage files, then commit them all at once.

A commit, in numbered steps; a crash point `reached(...)` lies behind each (see CRASH_POINTS):

1. `stage`: each file is written whole and synced ("ledger.stage.1"); at commit the names of all of them are synced
   ("ledger.commit.1"). A kill here leaves files that no entry names: they do not exist, vacuum removes them.
2. The log entry is written aside and synced ("ledger.commit.2.1"), then linked to its name if that is absent
   ("ledger.commit.2.2"): this is the commit. Its folder is synced ("ledger.commit.2.3"), the aside name removed
   ("ledger.commit.2.4").
3. Every `head_every` commits the signed head is replaced ("ledger.commit.3"). It is no part of the commit: it says
   which tail must be there.
"""

import datetime as dt
import hashlib
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.durable import Payload, reached
from pipelines.ledger.catalogue import check_table_name, product_schemas, publish
from pipelines.ledger.cells_file import Rows
from pipelines.ledger.head import check_head, write_head
from pipelines.ledger.log import (
    FORMAT,
    LOG_FOLDER,
    UNREADABLE,
    Entry,
    FileEntry,
    Log,
    Positions,
    check_newest,
    check_positions,
    encode_entry,
    entry_path,
)
from pipelines.ledger.parquet import EncodedTable, encode_table, schema_hash
from pipelines.ledger.store import Store
from schemas.errors import LedgerError, StaleWriterError

TABLE = "table"
DISK_THREADS = 4  # of a commit's files: most of their time they wait for the disk
MADE_BY = "tarifa 0.1"
CRASH_POINTS = ("ledger.claim.1", "ledger.claim.2", "ledger.claim.3", "ledger.claim.4",
                "ledger.stage.1", "ledger.commit.1", "ledger.commit.2.1", "ledger.commit.2.2", "ledger.commit.2.3",
                "ledger.commit.2.4", "ledger.commit.3")


@dataclass(frozen=True)
class StagedFile:
    """A file that is written and synced and waits to be named by a commit."""

    entry: FileEntry
    schema_hash: str = ""


def entry_of(path: str, table: str, encoded: EncodedTable) -> FileEntry:
    """What a log says of a table's file."""
    return FileEntry(path, table, TABLE, encoded.rows, encoded.octets, encoded.sha256, encoded.min_time_us,
                     encoded.max_time_us, encoded.sums)


class _Tally:
    """Counts and hashes the chunks of a file on their way to the store."""

    def __init__(self) -> None:
        self.octets, self.sha256 = 0, hashlib.sha256()

    def pass_on(self, chunks: Iterable[Payload]) -> Iterator[memoryview]:
        for chunk in chunks:
            view = memoryview(chunk).cast("B")
            self.octets += view.nbytes
            self.sha256.update(view)
            yield view


class Stream:
    """The one writer of a stream. Opening claims it: whoever held it before fails at its next commit.

    version: newest entry; state: JSON state of the newest entry; epoch: counts the claims.
    `stage` and `stage_bytes` may be called from several threads; `commit` from one.
    """

    def __init__(self, store: Store, name: str, owner: str, signer: Ed25519PrivateKey | None = None,
                 head_every: int = 64) -> None:
        """Read the log, check its tail against head and signature, claim. Raises LedgerError, StaleWriterError."""
        self.name, self.owner, self._store, self._signer = name, owner, store, signer
        self._head_every = head_every
        self._writer = secrets.token_hex(8)
        self._staged_count = 0
        self._lock = threading.Lock()
        self._broken = False
        self._pool: ThreadPoolExecutor | None = None
        store.confirm(f"{LOG_FOLDER}/{name}")
        self._log = Log(store, name).refresh()
        check_head(store, self._log)
        if signer is not None:
            check_newest(store, self._log, signer.public_key())
        self._live = self._log.live()
        self._positions = self._log.positions()
        self.state: dict[str, Any] = dict(self._log.entries[-1].state) if self._log.entries else {}
        self.epoch = self._log.entries[-1].epoch + 1 if self._log.entries else 1
        self._schemas = {table: schema_hash(schema) for table, schema in publish(store, product_schemas()).items()}
        self._put(self._entry("claim", [], [], {}, self.state, {}), "ledger.claim")

    @property
    def version(self) -> int:
        return self._log.version

    @property
    def positions(self) -> dict[str, int]:
        """Where the next commit of each source must start; a source that is absent starts at 0."""
        return dict(self._positions)

    def files(self, table: str | None = None) -> list[FileEntry]:
        """Live files, oldest first; of one table (or of one purpose, for other kinds)."""
        return [each for each in self._live.values() if table is None or each.table == table]

    def stage(self, table: str, rows: pa.Table | Rows) -> StagedFile:
        """Write `rows` as one Parquet file of `table`, synced. It exists once a commit names it."""
        return self._stage_as(self._next_name(), table, rows)

    def stage_many(self, tables: Mapping[str, pa.Table | Rows], threads: int = 2,
                   jobs: Sequence[Callable[[], StagedFile | None]] = ()) -> list[StagedFile]:
        """As `stage`, side by side with `jobs`, which stage other files or wait for the disk otherwise.

        Encoding and syncing wait for no lock of Python's. Returns the files of the tables in the given order, then
        those of the jobs; tables without rows are left out. With one thread the jobs come first.
        """
        named = [(self._next_name(), table, rows) for table, rows in tables.items() if rows.num_rows]
        if threads < 2 or len(named) + len(jobs) < 2:
            others = [job() for job in jobs]
            return [self._stage_as(*each) for each in named] + [file for file in others if file is not None]
        # The largest first, so that the last thread to finish has little left.
        order = sorted(range(len(named)), key=lambda i: -named[i][2].num_rows * named[i][2].num_columns)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(DISK_THREADS, f"stage-{self.name}")
        beside = [self._pool.submit(job) for job in jobs]
        running = {i: self._pool.submit(self._stage_as, *named[i]) for i in order}
        wait(running.values())
        wait(beside)
        others = [each.result() for each in beside]
        return [running[i].result() for i in range(len(named))] + [file for file in others if file is not None]

    def stage_apart(self, tables: Mapping[str, pa.Schema],
                    write: Callable[[Mapping[str, str]], Iterable[FileEntry]]) -> list[StagedFile]:
        """As `stage_many`, by somebody else: `write` is given a path for each table, and returns what it wrote there.

        Files and their names are synced when it returns.
        """
        for table, schema in tables.items():
            self._announce(table, schema)
        entries = write({table: f"{table}/{self._next_name()}.parquet" for table in tables})
        return [StagedFile(entry, self._schemas[entry.table]) for entry in entries]

    def stage_bytes(self, kind: str, name: str, payload: Payload) -> StagedFile:
        """Write `payload`, synced: a file that is no table (a run of the duplicate index, a state delta).

        kind: what sort of file; name: what it is for, and how `files(name)` finds it.
        """
        return self.stage_chunks(kind, name, (payload,))

    def stage_chunks(self, kind: str, name: str, chunks: Iterable[Payload]) -> StagedFile:
        """As `stage_bytes`, for a file too large to hold: each chunk is written before the next is asked for."""
        path = f"{kind}/{self._next_name()}-{name}"
        tally = _Tally()
        self._store.write(path, tally.pass_on(chunks))
        reached("ledger.stage.1")
        return StagedFile(FileEntry(path, name, kind, -1, tally.octets, tally.sha256.hexdigest()))

    def commit(self, added: Sequence[StagedFile] = (), removed: Sequence[str] = (), positions: Positions | None = None,
               state: Mapping[str, Any] | None = None, kind: str = "append",
               reference: Mapping[str, str] | None = None) -> int:
        """Name `added`, drop `removed`, move `positions`, all at once. Returns the new version.

        positions: source -> (from, to); `from` must be where the source's last commit ended.
        state: JSON, replaces the stream's state; None keeps it. reference: hashes of snapshot, kernels...
        Raises StaleWriterError when another writer has the stream or a position does not continue;
        LedgerError for a removed file that is not live. Nothing is committed then, and the ledger stays usable.
        """
        if self._broken:
            raise LedgerError(f"stream {self.name}: an earlier commit ended in an error after it may have been seen",
                              "", "open the stream again")
        wrong = check_positions(self._positions, positions or {})
        if wrong:
            raise StaleWriterError(f"stream {self.name}: {'; '.join(wrong)}", "",
                                   "start again from the ledger's positions")
        unknown = [path for path in removed if path not in self._live]
        if unknown:
            raise LedgerError(f"stream {self.name}: {unknown[0]} is not live, so it cannot be removed")
        self._store.settle()
        reached("ledger.commit.1")
        entry = self._entry(kind, added, removed, positions or {}, self.state if state is None else state,
                            reference or {})
        self._put(entry, "ledger.commit.2")
        if self.version % self._head_every == 0:
            self.sign_head()
        return self.version

    def sign_head(self) -> None:
        """Replace the signed head by one for the newest entry."""
        if self._signer is not None:
            write_head(self._store, self._log, self._signer)
            reached("ledger.commit.3")

    def close(self) -> None:
        """Sign the head. The stream may be opened again, by anyone."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        if not self._broken:
            self.sign_head()

    def _stage_as(self, name: str, table: str, rows: pa.Table | Rows) -> StagedFile:
        encoded = rows.encode() if isinstance(rows, Rows) else encode_table(rows)
        self._announce(table, rows.schema)
        path = f"{table}/{name}.parquet"
        self._store.write(path, (encoded.payload,))
        reached("ledger.stage.1")
        return StagedFile(entry_of(path, table, encoded), schema_hash(rows.schema))

    def _announce(self, table: str, schema: pa.Schema) -> None:
        """A table or columns that the catalogue does not know yet."""
        if self._schemas.get(table) == schema_hash(schema):
            return
        if not check_table_name(table):
            raise LedgerError(f"table name {table!r}", "lower-case letters, digits and underscores")
        with self._lock:
            publish(self._store, {table: schema})
            self._schemas[table] = schema_hash(schema)

    def _next_name(self) -> str:
        """Never used twice: the epoch is ours alone, since claiming it was a put-if-absent."""
        with self._lock:
            self._staged_count += 1
            return f"{self.name}-{self.epoch:06d}/{self._staged_count:08d}"

    def _entry(self, op: str, added: Sequence[StagedFile], removed: Sequence[str], positions: Positions,
               state: Mapping[str, Any], reference: Mapping[str, str]) -> Entry:
        return Entry(
            format=FORMAT, stream=self.name, version=self.version + 1, previous=self._log.head, op=op,
            owner=self.owner, epoch=self.epoch, writer=self._writer,
            positions={source: (int(start), int(end)) for source, (start, end) in sorted(positions.items())},
            added=[each.entry for each in added], removed=list(removed), state=dict(state),
            schemas={each.entry.table: each.schema_hash for each in added if each.schema_hash},
            reference=dict(reference), committed_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            made_by=MADE_BY)

    def _put(self, entry: Entry, crash_point: str) -> None:
        payload = encode_entry(entry, self._signer)
        path = entry_path(self.name, entry.version)
        try:
            first = self._store.put_new(path, payload, crash_point)
        except BaseException:
            # Before the link nothing has happened. After it the entry may be seen, durable or not: stop here.
            self._broken = self._may_exist(path)
            raise
        if not first and self._store.read(path) != payload:  # a retried put may meet itself
            self._broken = True
            raise StaleWriterError(self._who_took(path), f"{self.owner} of epoch {self.epoch}",
                                   "another process writes this stream; stop one of them")
        for removed in entry.removed:
            self._live.pop(removed)
        self._live.update((each.path, each) for each in entry.added)
        self._positions.update((source, end) for source, (_, end) in entry.positions.items())
        self.state = dict(entry.state)
        self._log.append(payload, path)

    def _may_exist(self, path: str) -> bool:
        try:
            self._store.read(path)
        except FileNotFoundError:
            return False
        except Exception:
            return True
        return True

    def _who_took(self, path: str) -> str:
        try:
            other = msgspec.json.decode(self._store.read(path), type=Entry)
        except (OSError, *UNREADABLE):
            return f"stream {self.name}: {path} exists"
        return f"stream {self.name}: entry {other.version} was written by {other.owner} of epoch {other.epoch}"
