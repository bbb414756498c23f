"""`tarifa format check FILE.yaml [--sample FILE]`: whether a layout is sound, and what it makes of a file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mediation.formats.frame import FileFormat, FileFrame
from mediation.formats.refusals import READ, refuse, sniff
from mediation.formats.registry import load_layout_file
from mediation.formats.text_frame import show_cell
from schemas.codes import Reason
from schemas.columns import ABSENT
from schemas.decoded import DECODED
from schemas.errors import FormatError

# What `sniff` must see for a family, or the file is not what the layout says.
_FITTING = {"ber": {"ber", "ts32297"}, "csv": {"text"}, "fixed": {"text", "json"}, "json": {"json", "text"},
            "radius": {"radius"}}
_PLACE = ("status_offset", "record_offset", "record_length", "container_index", "container_count")
_RECORDS_PER_CALL = 10_000
_MOST_REJECTS = 20


@dataclass(frozen=True)
class Sample:
    """What a layout makes of a file. `rows` and `rejects` show the first few; counts are of the whole file."""

    frame: FileFrame
    records: int
    containers: int
    reasons: dict[str, int]
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    rejects: list[dict[str, str]]
    problems: tuple[str, ...]


def check_layout(path: Path) -> list[str]:
    """Problems of a layout file, each with file, line, what was found, what was expected; empty when it is sound."""
    try:
        load_layout_file(path)
    except FormatError as error:
        return [str(error)]
    return []


def check_sample(path: Path, sample: Path, most: int = 20) -> Sample:
    """Decode a whole file by a layout. Raises FormatError when the layout is unsound or the file cannot be read."""
    form = load_layout_file(path)
    try:
        buffer = np.fromfile(sample, np.uint8)
    except OSError as error:
        raise FormatError(f"{sample}: {error.strerror}", "a file", "name the sample's path") from error
    problems: list[str] = []
    family = getattr(getattr(form, "layout", None), "family", "ber")
    seen = sniff(buffer)
    if seen not in _FITTING.get(family, set(READ)):
        problems.append(str(refuse(form.name, buffer)))
    frame = form.inspect(buffer)
    problems += frame.problems
    found = _decode(form, buffer, frame, most)
    if frame.declared_records not in (ABSENT, found.records):
        problems.append(f"the file says it has {frame.declared_records} records, {found.records} were found")
    return Sample(frame, found.records, found.containers, found.reasons, found.columns, found.rows, found.rejects,
                  tuple(problems))


def _decode(form: FileFormat, buffer: np.ndarray, frame: FileFrame, most: int) -> Sample:
    records = containers = 0
    reasons: dict[str, int] = {}
    rows: list[dict[str, str]] = []
    rejects: list[dict[str, str]] = []
    used: set[str] = set()
    at = frame.body_start
    while at < frame.body_end:
        decoded = form.decode(buffer, at, frame.body_end, _RECORDS_PER_CALL)
        cells = decoded.cells
        records, containers, at = records + decoded.record_count, containers + len(cells), decoded.next_offset
        for code, count in zip(*np.unique(cells["status"], return_counts=True), strict=True):
            name = Reason(int(code)).name.lower()
            reasons[name] = reasons.get(name, 0) + int(count)
        for row in np.flatnonzero(cells["status"] != Reason.OK)[:_MOST_REJECTS - len(rejects)]:
            start, length = int(cells["record_offset"][row]), int(cells["record_length"][row])
            rejects.append({"offset": str(start), "octets": str(length),
                            "reason": Reason(int(cells["status"][row])).name.lower(),
                            "at": str(int(cells["status_offset"][row])),
                            "bytes": _shown(bytes(buffer[start:start + min(length, 60)]))})
        for row in np.flatnonzero(cells["status"] == Reason.OK)[:most - len(rows)]:
            shown = {column.name: str(show_cell(column, cells, int(row), buffer))
                     for i, column in enumerate(DECODED.columns)
                     if cells.matrix[i, row] != ABSENT and column.name not in _PLACE and column.name != "status"}
            used.update(shown)
            rows.append(shown)
    columns = tuple(name for name in DECODED.names if name in used)
    return Sample(frame, records, containers, dict(sorted(reasons.items())), columns, rows, rejects, ())


def _shown(octets: bytes) -> str:
    text = octets.decode("ascii", "replace").rstrip()
    return text if text.isprintable() else octets.hex(" ")
