"""Writes the files of commits in a process of its own, so that they take no time of the interpreter that answers.

What ticks did is handed over as it lies, matrix by matrix; the process puts it together, encodes it, writes and syncs
the files, and says what they became. Naming them in the log is left to whoever owns the stream. Should the process go,
files are written here from then on: slower answers, the same ledger.

    request  octets of the head u32, head (MessagePack, `Batch`), matrices in its order, int64 (columns, rows)
    answer   octets u32, MessagePack `Written`
"""

import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from pipelines.charging.folded import TABLES, Outcomes
from pipelines.ledger import FileEntry, Rows, StagedFile, Stream
from schemas.columns import Cells, Labels
from schemas.errors import LedgerError

_LENGTH = struct.Struct("<I")
_AT_ONCE = 512  # buffers of one system call; 1,024 are the most
_COLUMNS = dict(TABLES)
_Message = TypeVar("_Message", bound=msgspec.Struct)
Write = Callable[[Mapping[str, str], Mapping[str, Rows]], list[FileEntry]]  # paths and rows of tables


class Batch(msgspec.Struct, frozen=True):
    """paths: a file for each table. rows: of each matrix of each table, in order. names: those that label columns have
    had since the last batch, or all of them, afresh."""

    paths: dict[str, str]
    rows: dict[str, list[int]]
    names: dict[str, list[str]]
    afresh: bool


class Written(msgspec.Struct, frozen=True):
    """What the files became, or why there are none."""

    files: list[FileEntry] = []
    error: str = ""


class StagingProcess:
    """A `Stager` of one node. Not for several threads at once."""

    def __init__(self, ledger: str) -> None:
        """ledger: folder or URL."""
        self._socket, theirs = socket.socketpair()
        self._labels: Labels = {}
        self._sent: dict[str, int] = {}  # of their names, by column
        self._gone = False
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.serve.staging_process", ledger, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def __call__(self, stream: Stream, folded: Outcomes, labels: Labels) -> list[StagedFile]:
        """Stage what ticks did. Raises LedgerError: it could not be written."""
        tables = folded.by_table()
        if not self._gone and tables:
            try:
                return stream.stage_apart({name: Rows(Cells.empty(_COLUMNS[name])).schema for name in tables},
                                          lambda paths: self._written(paths, tables, labels))
            except (OSError, EOFError):
                self.close()
        return stream.stage_many({name: Rows(cells, labels) for name, cells in folded.tables().items()})

    def _written(self, paths: Mapping[str, str], tables: Mapping[str, Sequence[Cells]], labels: Labels
                 ) -> list[FileEntry]:
        rows, names, buffers = dict[str, list[int]](), dict[str, list[str]](), list[memoryview]()
        for table, cells in tables.items():
            rows[table] = [len(each) for each in cells]
            buffers += [column.data.cast("B") for each in cells for column in each.vectors()]
        afresh = labels is not self._labels  # others came into force, or there were none yet
        if afresh:
            self._labels, self._sent = labels, {}
        for column, known in labels.items():
            more = list(known[self._sent.get(column, 0):])
            if more or column not in self._sent:
                names[column] = more
                self._sent[column] = self._sent.get(column, 0) + len(more)
        _send(self._socket, Batch(dict(paths), rows, names, afresh), buffers)
        written = _receive(self._socket, Written)
        if written.error:
            raise LedgerError(f"files of a commit could not be written: {written.error}", "",
                              "make room or repair the disk, then start again: the journal has everything")
        return written.files

    def close(self) -> None:
        """Let the process end."""
        if not self._gone:
            self._gone = True
            self._socket.close()
            self._process.wait()


def serve_staging(connection: socket.socket, write: Write) -> None:
    """The other side: batches until there are no more. labels grow as they come."""
    labels: dict[str, list[str]] = {}
    while True:
        try:
            batch = _receive(connection, Batch)
            tables = {table: _table(connection, table, rows, labels) for table, rows in batch.rows.items()}
        except EOFError:
            return
        if batch.afresh:
            labels.clear()
        for column, more in batch.names.items():
            labels.setdefault(column, []).extend(more)
        try:
            written = Written(write(batch.paths, tables))
        except Exception as error:  # told to whoever asked, who decides
            written = Written(error=f"{type(error).__name__}: {error}")
        _send(connection, written)


def _table(connection: socket.socket, table: str, rows: Sequence[int], labels: Labels) -> Rows:
    columns = _COLUMNS[table]
    parts = []
    for count in rows:
        part = Cells.empty(columns, count)
        _read(connection, part.matrix.data.cast("B"))
        parts.append(part)
    return Rows(Cells.concat(columns, parts), labels)


def _send(connection: socket.socket, head: msgspec.Struct, buffers: Sequence[memoryview] = ()) -> None:
    encoded = msgspec.msgpack.encode(head)
    waiting = [memoryview(_LENGTH.pack(len(encoded)) + encoded), *buffers]
    at = 0
    while at < len(waiting):
        sent = connection.sendmsg(waiting[at:at + _AT_ONCE])
        while at < len(waiting) and sent >= len(waiting[at]):
            sent -= len(waiting[at])
            at += 1
        if sent:
            waiting[at] = waiting[at][sent:]


def _receive(connection: socket.socket, kind: type[_Message]) -> _Message:
    """Raises EOFError: the other side has gone."""
    length = bytearray(_LENGTH.size)
    _read(connection, memoryview(length))
    octets = bytearray(_LENGTH.unpack(length)[0])
    _read(connection, memoryview(octets))
    return msgspec.msgpack.decode(octets, type=kind)


def _read(connection: socket.socket, into: memoryview) -> None:
    while into:
        count = connection.recv_into(into)
        if not count:
            raise EOFError
        into = into[count:]
