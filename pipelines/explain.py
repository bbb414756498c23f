"""From any charge back to the bytes it came from, and from any byte forward to what became of it (law 10).

`explain` finds a rated event, the partials that were merged into it, reads their bytes back from the encrypted
archive and decodes them on the spot, and prices the event again step by step. `trace` starts from a byte of a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
from rating.explain import explain_rated

from mediation.formats.registry import load_format
from pipelines.archive import Archive
from pipelines.home import Input
from pipelines.keys import ErasedError
from reference_data.snapshot import Snapshot
from schemas.errors import LedgerError

# Tables that hold a container by its origin, and what that means for it. Fixed names: nothing here is pasted input.
FATES = {
    "usage": "passed on to charging",
    "rated": "rated",
    "suspense": "set aside",
    "duplicate": "recognised as a repetition",
    "filtered": "not charged, by the stream's declaration",
    "matched": "charged online already",
    "held": "held until its session is complete",
    "merged": "merged into another event",
    "command": "a command",
}


@dataclass(frozen=True)
class SourceRecord:
    """Where a record lies, and what it says. `decoded` is None where its bytes were erased by retention."""

    source: str
    file_name: str
    file_id: int
    offset: int
    length: int
    raw: bytes | None
    decoded: dict[str, object] | None
    note: str = ""


@dataclass(frozen=True)
class Explanation:
    """A rated event: the row, its pricing step by step, its postings and the records it was made from."""

    rated: dict[str, Any]
    pricing: dict[str, object]
    postings: list[dict[str, Any]]
    records: list[SourceRecord]


@dataclass(frozen=True)
class Fate:
    """One thing that became of a record: the table, what it means, and the row."""

    table: str
    meaning: str
    row: dict[str, Any] = field(default_factory=dict)


class Lineage:
    """Walks between charges and bytes. Reads only."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, archive: Archive, reference: Snapshot, source: Input
                 ) -> None:
        self._sql, self._archive, self._reference, self._source = connection, archive, reference, source

    def explain(self, event_id: str) -> list[Explanation]:
        """All revisions and legs of one event, oldest first. Raises LedgerError: no such event."""
        rows = self._rows("SELECT * FROM rated WHERE event_id = $1 ORDER BY leg, revision", [event_id.lower()])
        if not rows:
            raise LedgerError(f"no rated event has id {event_id}", "an event_id of the view `rated`",
                              "`tarifa trace FILE:OFFSET` finds what became of a record that was not rated")
        postings = self._rows("SELECT * FROM posting WHERE movement_id = $1 ORDER BY journal_position, posting_index",
                              [event_id.lower()])
        return [Explanation(row, explain_rated(row, self._reference), postings, self._records(row)) for row in rows]

    def trace(self, file: str, offset: int) -> tuple[dict[str, Any], SourceRecord | None, list[Fate]]:
        """File, record and fates of the byte at `offset` of `file` (its name, or its number in collection order)."""
        found = self._rows("SELECT * FROM file_audit WHERE file_name = $1 OR CAST(file_id AS VARCHAR) = $1", [file])
        if not found:
            raise LedgerError(f"no file {file!r} was collected", "a file_name or file_id of the view `file_audit`")
        audit = found[0]
        if not 0 <= offset < audit["file_octets"]:
            raise LedgerError(f"offset {offset}", f"0 to {audit['file_octets'] - 1}, the octets of {file}")
        fates = [Fate(table, meaning, row) for table, meaning in FATES.items()
                 for row in self._rows(
                     f"SELECT * FROM {table} WHERE file_id = $1 AND record_offset <= $2 "  # noqa: S608 - fixed names
                     "AND $2 < record_offset + record_length", [audit["file_id"], offset])]
        events = {fate.row["event_id"] for fate in fates if fate.table == "merged"}
        for event in sorted(events):
            fates += [Fate("rated", f"the event that it was merged into, {event}", row)
                      for row in self._rows("SELECT * FROM rated WHERE event_id = $1", [event])]
        record = None
        if fates:
            first = fates[0].row
            record = self._record(audit, first["record_offset"], first["record_length"])
        return audit, record, fates

    def _records(self, rated: dict[str, Any]) -> list[SourceRecord]:
        """The record that the event came with, and those merged into it, in collection order."""
        places = {(rated["file_id"], rated["record_offset"], rated["record_length"])}
        for row in self._rows("SELECT file_id, record_offset, record_length FROM merged WHERE event_id = $1",
                              [rated["event_id"]]):
            places.add((row["file_id"], row["record_offset"], row["record_length"]))
        records = []
        for file_id, offset, length in sorted(places):
            audits = self._rows("SELECT * FROM file_audit WHERE file_id = $1", [file_id])
            audits = audits or self._rows("SELECT * FROM collected WHERE file_id = $1", [file_id])
            records.append(self._record(audits[0], offset, length))
        return records

    def _record(self, audit: dict[str, Any], offset: int, length: int) -> SourceRecord:
        facts = (audit["source"], audit["file_name"], audit["file_id"], offset, length)
        try:
            raw = self._archive.read(audit["file_id"], offset, length)
        except ErasedError as erased:
            return SourceRecord(*facts, None, None, str(erased))
        stream = self._reference.streams.match(audit["source"])
        if stream is None:
            return SourceRecord(*facts, raw, None, "a command" if audit["source"] == "commands" else "no stream")
        layout = load_format(stream.format, self._source.operator / "formats")
        return SourceRecord(*facts, raw, layout.describe(np.frombuffer(raw, np.uint8), 0, len(raw)))

    def _rows(self, query: str, parameters: Sequence[object]) -> list[dict[str, Any]]:
        result = self._sql.execute(query, list(parameters))
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
