"""How many of the injected defects a run found. The only reader of the answer key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCORE = pa.schema([("kind", pa.string()), ("expected", pa.string()), ("injected", pa.int64()), ("found", pa.int64()),
                   ("missed", pa.int64())])


def score(answer_key: Path, findings: Mapping[str, pa.Table]) -> pa.Table:
    """Per kind of defect: injected, found, missed; in the order in which the key names them.

    findings, by name (a missing table finds nothing); text columns may be dictionaries:
      file_audit     source, file_name, file_id, state, header_lies
      suspense       source, file_id, record_offset, reason
      duplicate      source, file_id, record_offset
      accepted       source, file_id, record_offset: origins of what was charged, held, filtered or merged
      sequence_gap   source, first, last: numbers of records that a node left out (modulo 2^32, inclusive)
      file_gap       source, first, last: numbers of files that a source left out (modulo 10^6, inclusive)
      tariff         note: findings about tariff rows, any text that names the prefix
    """
    seen = _Findings(findings)
    counts: dict[tuple[str, str], list[int]] = {}
    for defect in pq.read_table(answer_key / "defects.parquet").to_pylist():
        count = counts.setdefault((defect["kind"], defect["expected"]), [0, 0])
        count[0] += 1
        count[1] += int(seen.has(defect))
    rows = [{"kind": kind, "expected": expected, "injected": injected, "found": found, "missed": injected - found}
            for (kind, expected), (injected, found) in counts.items()]
    return pa.Table.from_pylist(rows, SCORE)


class _Findings:
    """The tables as sets, so that each defect is one look-up."""

    def __init__(self, tables: Mapping[str, pa.Table]) -> None:
        audit = _rows(tables, "file_audit", "source", "file_name", "file_id", "state", "header_lies")
        self.file_ids: dict[tuple[str, str], int] = {(s, n): i for s, n, i, _, _ in audit}
        self.lying = {(s, n) for s, n, _, _, lies in audit if lies}
        # A repeated file is found under whichever of the two names came second.
        self.repeated = {(s, n.rsplit("_", 1)[0]) for s, n, _, state, _ in audit if state == "duplicate_file"}
        self.suspended = {(s, f, o): r
                          for s, f, o, r in _rows(tables, "suspense", "source", "file_id", "record_offset", "reason")}
        self.places = {name: set(_rows(tables, name, "source", "file_id", "record_offset"))
                       for name in ("duplicate", "accepted")}
        self.gaps = {name: _rows(tables, name, "source", "first", "last") for name in ("sequence_gap", "file_gap")}
        self.notes = [note for (note,) in _rows(tables, "tariff", "note")]

    def has(self, defect: Mapping[str, object]) -> bool:
        source, name, expected = str(defect["source"]), str(defect["file_name"]), defect["expected"]
        if expected == "header_lies":
            return (source, name) in self.lying
        if expected == "duplicate_file":
            return (source, name.rsplit("_", 1)[0]) in self.repeated
        if expected in self.gaps:
            return any(s == source and _within(defect["sequence"], first, last)
                       for s, first, last in self.gaps[str(expected)])
        if expected == "tariff":
            prefix = str(defect["note"]).split()[1]
            return any(prefix in str(note).split() for note in self.notes)
        file_id = self.file_ids.get((source, name))
        if defect["kind"] == "late_batch":
            return any(s == source and f == file_id for s, f, _ in self.places["accepted"])
        place = (source, file_id, defect["record_offset"])
        if expected == "suspended":
            reasons = defect["reasons"]
            return isinstance(reasons, list) and self.suspended.get(place) in reasons
        return place in self.places[str(expected)]


def _rows(tables: Mapping[str, pa.Table], name: str, *columns: str) -> list[tuple[Any, ...]]:
    if name not in tables:
        return []
    table = tables[name].select(list(columns))
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _within(sequence: object, first: object, last: object) -> bool:
    """Whether a number lies in a gap; a gap that wraps has its last number below its first."""
    if not (isinstance(sequence, int) and isinstance(first, int) and isinstance(last, int)):
        return False
    return first <= sequence <= last if first <= last else sequence >= first or sequence <= last
