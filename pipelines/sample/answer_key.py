"""The answer key: what was broken, what the files hold, and the clean totals. For scoring only."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.sample.defects import EXPECTED, Entry
from pipelines.sample.files import WrittenFile
from pipelines.sample.rows import C_ANSWER_S, C_DURATION_S, C_EXTRA, C_KIND, C_OTHER, C_OTHER_INTERNATIONAL, MO
from pipelines.sample.tariffs import WRONG_PREFIX, WRONG_ZONE
from schemas.columns import I64
from schemas.digits import pack

DEFECTS = pa.schema([
    ("kind", pa.string()), ("source", pa.string()), ("file_name", pa.string()), ("record_offset", pa.int64()),
    ("record_length", pa.int64()), ("records", pa.int64()), ("sequence", pa.int64()), ("session", pa.int64()),
    ("expected", pa.string()), ("reasons", pa.list_(pa.string())), ("seconds", pa.int64()), ("octets", pa.int64()),
    ("note", pa.string())])
FILES = pa.schema([
    ("source", pa.string()), ("file_name", pa.string()), ("sequence", pa.int64()), ("records", pa.int64()),
    ("octets", pa.int64()), ("closed_s", pa.int64()), ("fate", pa.string())])
CLEAN = pa.schema([
    ("source", pa.string()), ("records", pa.int64()), ("containers", pa.int64()), ("seconds", pa.int64()),
    ("octets", pa.int64())])


@dataclass
class Totals:
    """What an element recorded, before any defect. `seconds` and `octets` are summed over containers."""

    records: int = 0
    containers: int = 0
    seconds: int = 0
    octets: int = 0


@dataclass
class WrongRow:
    """Calls that the wrong tariff row prices: begun in [from_s, to_s) to its prefix."""

    from_s: int
    to_s: int
    records: int = 0
    seconds: int = 0

    def see(self, rows: I64) -> None:
        """Calls of an element whose records are charged."""
        prefix, digits = pack(WRONG_PREFIX), len(WRONG_PREFIX)
        other = rows[C_OTHER]
        length = np.zeros(other.size, np.int64)
        for place in range(15):
            length += other >> 4 * place > 0
        to_prefix = other >> 4 * np.maximum(length - digits, 0) == prefix
        third = other >> 4 * np.maximum(length - digits - 1, 0) & 15
        hit = to_prefix & (third != 7) & (third != 8) & (rows[C_OTHER_INTERNATIONAL] == 1)  # 336 and 337 have own rows
        hit &= (rows[C_KIND] == MO) & (rows[C_DURATION_S] > 0) & (rows[C_EXTRA] != 1)
        hit &= (rows[C_ANSWER_S] >= self.from_s) & (rows[C_ANSWER_S] < self.to_s)
        self.records += int(hit.sum())
        self.seconds += int(rows[C_DURATION_S, hit].sum())

    def entry(self) -> Entry:
        return Entry("wrong_tariff_row", "", records=self.records, seconds=self.seconds,
                     note=f"prefix {WRONG_PREFIX} has zone {WRONG_ZONE} instead of europe")


@dataclass
class AnswerKey:
    """Collects entries element by element, then writes them."""

    entries: list[Entry] = field(default_factory=list)
    rows: list[dict[str, object]] = field(default_factory=list)
    files: list[WrittenFile] = field(default_factory=list)
    clean: dict[str, Totals] = field(default_factory=dict)

    def add(self, source: str, totals: Totals, files: list[WrittenFile], entries: list[Entry]) -> None:
        """What one element wrote. Entries for records that never arrived, or were cut off, are left out."""
        self.clean[source] = totals
        self.files += files
        for number, file in enumerate(files):
            if file.fate:
                cut = file.fate == "truncated_record"
                # Only the last record of a cut file is hurt; the other fates concern all of a file.
                offset, length = (file.last_offset, file.octets - file.last_offset) if cut else (-1, -1)
                self._row(Entry(file.fate, source, number, offset, length, 1 if cut else file.records, file.sequence),
                          file.name)
        for entry in entries:
            here = files[entry.file] if entry.file >= 0 else None
            lost = here is not None and (here.fate == "missing_file" or (
                here.fate == "truncated_record" and entry.record_offset >= here.last_offset))
            if not lost:
                self._row(entry, here.name if here else "")

    def _row(self, entry: Entry, file_name: str) -> None:
        expected, reasons = EXPECTED[entry.kind]
        self.rows.append({"kind": entry.kind, "source": entry.source, "file_name": file_name or None,
                          "record_offset": _or_null(entry.record_offset),
                          "record_length": _or_null(entry.record_length), "records": entry.records,
                          "sequence": _or_null(entry.sequence),
                          "session": _or_null(entry.session), "expected": expected, "reasons": list(reasons),
                          "seconds": entry.seconds, "octets": entry.octets, "note": entry.note or None})

    def write(self, folder: Path) -> None:
        """defects.parquet, files.parquet, clean.parquet."""
        for entry in self.entries:
            self._row(entry, "")
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(self.rows, DEFECTS), folder / "defects.parquet")
        files = [{"source": f.source, "file_name": f.name, "sequence": f.sequence, "records": f.records,
                  "octets": f.octets, "closed_s": f.closed_s, "fate": f.fate or None} for f in self.files]
        pq.write_table(pa.Table.from_pylist(files, FILES), folder / "files.parquet")
        clean = [{"source": source, **vars(totals)} for source, totals in self.clean.items()]
        pq.write_table(pa.Table.from_pylist(clean, CLEAN), folder / "clean.parquet")


def _or_null(value: int) -> int | None:
    return None if value < 0 else value
