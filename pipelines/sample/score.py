"""How many of the injected defects a run found. The only reader of the answer key.

Findings are read in batches and only what the key asks about is kept: memory grows with the defects, not the records.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Finding: TypeAlias = pa.Table | Callable[[], pa.RecordBatchReader]

SCORE = pa.schema([("kind", pa.string()), ("expected", pa.string()), ("injected", pa.int64()), ("found", pa.int64()),
                   ("missed", pa.int64())])


def score(answer_key: Path, findings: Mapping[str, Finding]) -> pa.Table:
    """Per kind of defect: injected, found, missed; in the order in which the key names them.

    findings, by name, tables or what opens a reader (a missing one finds nothing); text columns may be dictionaries:
      file_audit     source, file_name, file_id, state, header_lies
      suspense       source, file_id, record_offset, reason
      duplicate      source, file_id, record_offset
      accepted       source, file_id, record_offset: origins of what was charged, held, filtered or merged
      sequence_gap   source, first, last: numbers of records that a node left out (modulo 2^32, inclusive)
      file_gap       source, first, last: numbers of files that a source left out (modulo 10^6, inclusive)
      tariff         note: findings about tariff rows, any text that names the prefix
    """
    defects = pq.read_table(answer_key / "defects.parquet").to_pylist()
    seen = _Findings(findings, defects)
    counts: dict[tuple[str, str], list[int]] = {}
    for defect in defects:
        count = counts.setdefault((defect["kind"], defect["expected"]), [0, 0])
        count[0] += 1
        count[1] += int(seen.has(defect))
    rows = [{"kind": kind, "expected": expected, "injected": injected, "found": found, "missed": injected - found}
            for (kind, expected), (injected, found) in counts.items()]
    return pa.Table.from_pylist(rows, SCORE)


class _Findings:
    """The tables as sets of what the key asks about, so that each defect is one look-up."""

    def __init__(self, tables: Mapping[str, Finding], defects: Sequence[Mapping[str, Any]]) -> None:
        audit = list(_rows(tables, "file_audit", "source", "file_name", "file_id", "state", "header_lies"))
        self.file_ids: dict[tuple[str, str], int] = {(s, n): i for s, n, i, _, _ in audit}
        self.lying = {(s, n) for s, n, _, _, lies in audit if lies}
        # A repeated file is found under whichever of the two names came second.
        self.repeated = {(s, n.rsplit("_", 1)[0]) for s, n, _, state, _ in audit if state == "duplicate_file"}
        placed = {d["record_offset"] for d in defects if d.get("record_offset") is not None}
        offsets = pa.array(sorted(placed), pa.int64())
        late = {self.file_ids.get((d["source"], d["file_name"])) for d in defects if d["kind"] == "late_batch"}
        files = pa.array(sorted(each for each in late if each is not None), pa.int64())
        place = ("source", "file_id", "record_offset")
        asked = {"record_offset": offsets, "file_id": files}
        self.suspended = {(s, f, o): r for s, f, o, r in _rows(tables, "suspense", *place, "reason", asked=asked)}
        self.places = {name: set(_rows(tables, name, *place, asked=asked)) for name in ("duplicate", "accepted")}
        self.accepted_files = {f for _, f, _ in self.places["accepted"]}
        self.gaps = {name: list(_rows(tables, name, "source", "first", "last"))
                     for name in ("sequence_gap", "file_gap")}
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
            return file_id in self.accepted_files
        place = (source, file_id, defect["record_offset"])
        if expected == "suspended":
            reasons = defect["reasons"]
            return isinstance(reasons, list) and self.suspended.get(place) in reasons
        return place in self.places[str(expected)]


def _rows(tables: Mapping[str, Finding], name: str, *columns: str,
          asked: Mapping[str, pa.Array] | None = None) -> Iterable[tuple[Any, ...]]:
    """Rows of a finding; those only that have, in one of the columns `asked`, one of its values."""
    if name not in tables:
        return
    found = tables[name]
    for batch in found.to_batches() if isinstance(found, pa.Table) else found():
        kept = pa.Table.from_batches([batch]).select(list(columns))
        if asked:
            hits = [pc.is_in(kept[column].cast(pa.int64()), values) for column, values in asked.items()]
            kept = kept.filter(functools.reduce(pc.or_, hits))
        yield from zip(*(column.to_pylist() for column in kept.columns), strict=True)


def _within(sequence: object, first: object, last: object) -> bool:
    """Whether a number lies in a gap; a gap that wraps has its last number below its first."""
    if not (isinstance(sequence, int) and isinstance(first, int) and isinstance(last, int)):
        return False
    return first <= sequence <= last if first <= last else sequence >= first or sequence <= last
