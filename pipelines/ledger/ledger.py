"""The ledger as its users hold it: open it, write its streams, read its tables as of a cut."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.durable import Disk
from pipelines.ledger.cut import Cut, publish_cut, read_cuts
from pipelines.ledger.head import HEAD_REMEDY, head_fault, read_head
from pipelines.ledger.log import FileEntry, Log, digest, stream_names
from pipelines.ledger.parquet import decode_table
from pipelines.ledger.store import Store, open_store
from pipelines.ledger.stream import TABLE, Stream
from schemas.errors import LedgerError

_REMEDY = "run `tarifa ledger verify`; restore the file from a backup"
AsOf = Cut | int | Mapping[str, int] | None  # a cut, its number, versions by stream; None: the newest


class Ledger:
    """A ledger at a folder or URL. Reading needs nothing else; each stream's writer is got by `stream`."""

    def __init__(self, store: Store, signer: Ed25519PrivateKey | None = None) -> None:
        self.store, self._signer = store, signer
        self._logs: dict[str, Log] = {}

    @classmethod
    def open(cls, location: str | Path | Store, signer: Ed25519PrivateKey | None = None,
             options: dict[str, Any] | None = None, disk: Disk | None = None) -> "Ledger":
        """location: folder, or URL such as s3://bucket/ledger; an empty place is an empty ledger.

        signer: key that signs what is written; reading needs none. options: of the object store. disk: for tests.
        """
        return cls(open_store(location, options, disk), signer)

    def stream(self, name: str, owner: str = "tarifa", head_every: int = 64) -> Stream:
        """Claim `name` for writing. Whoever wrote it before fails at its next commit."""
        return Stream(self.store, name, owner, self._signer, head_every)

    def logs(self) -> dict[str, Log]:
        """Logs of all streams, by name, brought up to date. Raises LedgerError: one is not what its head says."""
        for name in stream_names(self.store):
            if name in self._logs:
                self._logs[name].refresh()
                continue
            found = read_head(self.store, name)  # before the log: its writer may be going on
            self._logs[name] = Log(self.store, name).refresh()
            fault = head_fault(found[0], self._logs[name]) if found else None
            if fault:
                del self._logs[name]
                raise LedgerError(fault, "", HEAD_REMEDY)
        return dict(sorted(self._logs.items()))

    def files(self, table: str | None = None, as_of: AsOf = None) -> list[FileEntry]:
        """Live files, by stream and in commit order; of one table or of all, as of a cut."""
        versions = self._versions(as_of)
        return [file for name, log in self.logs().items()
                for file in log.live(None if versions is None else versions.get(name, 0)).values()
                if table is None or file.table == table]

    def tables(self, as_of: AsOf = None) -> list[str]:
        """Names of tables that have live files."""
        return sorted({each.table for each in self.files(as_of=as_of) if each.kind == TABLE})

    def table(self, name: str, as_of: AsOf = None, columns: list[str] | None = None) -> pa.Table:
        """All rows of a table, in commit order, in memory. Raises LedgerError when it has no live file."""
        parts = list(self.batches(name, as_of, columns))
        if not parts:
            raise LedgerError(f"table {name} has no live file", f"one of {', '.join(self.tables(as_of)) or 'none'}")
        return pa.concat_tables(parts, promote_options="default").unify_dictionaries()

    def batches(self, name: str, as_of: AsOf = None, columns: list[str] | None = None) -> Iterable[pa.Table]:
        """The table, file by file."""
        for file in self.files(name, as_of):
            if file.kind == TABLE:
                yield decode_table(self.read_bytes(file), columns, file.path)

    def read_table(self, file: FileEntry) -> pa.Table:
        """One file of a table. Raises as `read_bytes`."""
        return decode_table(self.read_bytes(file), path=file.path)

    def read_bytes(self, file: FileEntry) -> bytes:
        """A file as it was staged. Raises LedgerError: it is gone, or not what was committed."""
        try:
            payload = self.store.read(file.path)
        except FileNotFoundError:
            raise LedgerError(f"{file.path} is not there", "a file that the log names",
                              f"vacuum removed it after its retention, or else {_REMEDY}") from None
        if digest(payload) != file.sha256:
            raise LedgerError(f"{file.path} was changed: it is not what was committed", f"sha256 {file.sha256}",
                              _REMEDY)
        return payload

    def check_files(self, *tables: str) -> None:
        """That the live files of these tables are what was committed, before DuckDB reads them. Raises LedgerError."""
        for table in tables:
            for file in self.files(table):
                self.read_bytes(file)

    def cut(self, label: str = "") -> Cut:
        """Publish the newest version of every stream as a cut."""
        return publish_cut(self.store, self.logs(), label, self._signer)

    def cuts(self) -> list[Cut]:
        return [cut for cut, _ in read_cuts(self.store)]

    def _versions(self, as_of: AsOf) -> Mapping[str, int] | None:
        if as_of is None:
            return None
        if isinstance(as_of, int):
            cuts = self.cuts()
            if not 1 <= as_of <= len(cuts):
                raise LedgerError(f"cut {as_of}", f"a number from 1 to {len(cuts)}" if cuts else "no cut is published")
            as_of = cuts[as_of - 1]
        if isinstance(as_of, Cut):
            return {name: each.version for name, each in as_of.streams.items()}
        return as_of
