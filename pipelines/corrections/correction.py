"""A correction as a file: rows and postings that it adds, and the state of the accounts that it brings about.

It is written whole and synced before a journal entry names it by its sha256, so that a crash between journal and
ledger, or a replay years later, gives the same bytes whatever the reference data have become.

    sections   Arrow streams, end to end: chunks of ledger tables ("rated", "posting", ...) and tables of the book
               ("book.accounts", ...) for the accounts concerned
    index      JSON: format, facts, sections (table, offset, octets)
    tail       8 octets: length of the index
"""

import hashlib
import json
import secrets
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.durable import ASIDE, Disk, reached
from rating.book import BalanceBook
from rating.snapshot import from_arrow, to_arrow
from schemas.errors import LedgerError

FORMAT = 1
KIND = "correct"  # of the journaled command
BOOK = "book."
GONE = "gone_sessions"  # sessions that only existed through what was wrong
_TAIL = struct.Struct("<Q")
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class Correction:
    """A correction that was written."""

    def __init__(self, path: Path, facts: Mapping[str, Any], sections: list[dict[str, Any]]) -> None:
        self._path, self.facts, self._sections = path, facts, sections

    def tables(self, name: str) -> Iterator[pa.Table]:
        """Chunks of one table, in order."""
        for section in self._sections:
            if section["table"] == name:
                with self._path.open("rb") as file:
                    file.seek(section["offset"])
                    yield pa.ipc.open_stream(pa.py_buffer(file.read(section["octets"]))).read_all()

    def names(self) -> list[str]:
        """Tables of the ledger that it adds to."""
        return list(dict.fromkeys(s["table"] for s in self._sections if not s["table"].startswith(BOOK)))

    def book(self) -> dict[str, pa.Table]:
        """State of the accounts concerned, as `rating.snapshot.to_arrow` names it."""
        return {s["table"].removeprefix(BOOK): next(self.tables(s["table"])) for s in self._sections
                if s["table"].startswith(BOOK)}


def write_correction(folder: Path, facts: Mapping[str, Any], tables: Iterable[tuple[str, pa.Table]],
                     disk: Disk | None = None) -> str:
    """Write a correction; durable when this returns. Returns its sha256, by which it is found again.

    1 aside and synced; 2 renamed; 3 the folder synced.
    """
    disk = disk or Disk()
    disk.make_dir(folder)
    aside = folder / f"{ASIDE}{secrets.token_hex(8)}"
    digest = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        sections, at = [], 0
        for name, table in tables:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
                writer.write_table(table)
            payload = sink.getvalue().to_pybytes()
            sections.append({"table": name, "offset": at, "octets": len(payload)})
            at += len(payload)
            digest.update(payload)
            yield payload
        index = json.dumps({"format": FORMAT, "facts": dict(facts), "sections": sections}).encode()
        index += _TAIL.pack(len(index))
        digest.update(index)
        yield index

    disk.write_new(aside, chunks())
    reached("correction.1")
    disk.rename(aside, _path(folder, digest.hexdigest()))
    reached("correction.2")
    disk.sync_dir(folder)
    reached("correction.3")
    return digest.hexdigest()


def read_correction(folder: Path, digest: str) -> Correction:
    """Open a correction and check it whole. Raises LedgerError: missing, damaged, or of a newer format."""
    path = _path(folder, digest)
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                found.update(chunk)
            if found.hexdigest() != digest:
                raise LedgerError(f"correction {path.name} is damaged", "the content that the journal names",
                                  "restore the file")
            end = file.seek(-_TAIL.size, 2)
            length = _TAIL.unpack(file.read(_TAIL.size))[0]
            file.seek(end - length)
            index = json.loads(file.read(length))
    except FileNotFoundError:
        raise LedgerError(f"the journal names correction {digest[:12]}", f"the file {path.name} in {folder}",
                          "restore the file") from None
    if index["format"] > FORMAT:
        raise LedgerError(f"correction {path.name} has format {index['format']}", f"{FORMAT}", "use a newer release")
    return Correction(path, index["facts"], index["sections"])


def corrected_book(book: BalanceBook, correction: Correction) -> BalanceBook:
    """The book with the accounts of a correction in the state that it says; all others as they were."""
    tables, parts = to_arrow(book), correction.book()
    ids = tables["accounts"]["account_id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    replaced = parts["accounts"]["account_id"].to_numpy()
    gone = next(correction.tables(GONE), None)
    for name, table in tables.items():
        if "account_id" in table.column_names and name in parts:  # earlier releases did not know of all
            kept = table.filter(pa.array(~np.isin(table["account_id"].to_numpy(), replaced)))
            whole = pa.concat_tables([kept, _completed(parts[name], table).cast(table.schema)])
            place = order[np.searchsorted(ids, whole["account_id"].to_numpy(), sorter=order)]
            tables[name] = whole.take(pa.array(np.argsort(place, kind="stable"))).replace_schema_metadata(
                table.schema.metadata)
        elif name == "sessions":
            tables[name] = _sessions(table, parts[name], gone)
    return from_arrow(tables)


def _completed(part: pa.Table, live: pa.Table) -> pa.Table:
    """Accounts as an earlier release kept them, with what it did not know as the book has it."""
    unknown = [name for name in live.column_names if name not in part.column_names]
    if not unknown:
        return part
    place = pc.index_in(part["account_id"], live["account_id"])
    for name in unknown:
        part = part.append_column(name, live[name].take(place))
    return part.select(live.column_names)


def _sessions(live: pa.Table, part: pa.Table, gone: pa.Table | None) -> pa.Table:
    """Sessions by key: those of the part replace those that are live; those that are gone are left out."""
    out = _keys(part) if gone is None else np.concatenate([_keys(part), _keys(gone)])
    kept = live.filter(pa.array(~np.isin(_keys(live), out)))
    return pa.concat_tables([kept, part.cast(live.schema)]).replace_schema_metadata(live.schema.metadata)


def gone_sessions(before: BalanceBook, after: BalanceBook) -> pa.Table:
    """Keys that `before` has and `after` has not."""
    table = to_arrow(before)["sessions"].select(["key_hi", "key_lo"])
    return table.filter(pa.array(~np.isin(_keys(table), _keys(to_arrow(after)["sessions"]))))


def _keys(table: pa.Table) -> Any:
    keys = np.empty(table.num_rows, np.dtype([("hi", np.int64), ("lo", np.int64)]))
    keys["hi"], keys["lo"] = table["key_hi"].to_numpy(), table["key_lo"].to_numpy()
    return keys


def _path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.correction"
