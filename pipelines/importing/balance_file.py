"""Files of opening balances as another system writes them: rows of text, with the place of each, and control totals.

CSV with a header, or Parquet; docs/operations.md describes the columns. Control totals are CSV too, a file of their
own or, in a CSV of balances, its last lines, which begin with TOTAL.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import ChargingError
from schemas.money import format_money, parse_money

NEEDED = ("account_id", "kind", "amount")
OPTIONAL = ("name", "plan", "currency", "valid_from", "valid_to", "cycle")
TOTAL_COLUMNS = ("kind", "name", "currency", "count", "sum")
TRAILER = "TOTAL"
KINDS = ("money", "bucket", "counter")
MAX_OCTETS, MAX_ROWS, MAX_TOTALS, MAX_TEXT = 4 << 30, 20_000_000, 100_000, 1000
_BATCH = 1 << 16

Group = tuple[str, str, str]  # kind, name ("" for money), currency ("" for units)


@dataclass(frozen=True)
class Row:
    """One row as it was written. number: its line (CSV, from 1) or its row (Parquet, from 1)."""

    number: int
    place: str
    text: Mapping[str, str]


@dataclass(frozen=True)
class Total:
    """Rows and sum of one group: nano-units where it has a currency, whole units elsewhere."""

    count: int
    sum: int


class BalanceFile:
    """A file of balances, read from the beginning as often as it is asked to."""

    def __init__(self, path: Path) -> None:
        """Raises ChargingError: no such file, or one that is too large."""
        self.path, self.trailer = path, list[tuple[str, list[str]]]()
        try:
            octets = path.stat().st_size
        except OSError as problem:
            raise ChargingError(f"{path}: {problem.strerror}", "a CSV or Parquet file of balances") from None
        if not path.is_file():
            raise ChargingError(f"{path}: no file", "a CSV or Parquet file of balances")
        if octets > MAX_OCTETS:
            raise ChargingError(f"{path.name}: {octets:,} octets", f"at most {MAX_OCTETS:,}", "split it by account")
        with path.open("rb") as file:
            self._is_parquet = file.read(4) == b"PAR1"

    @property
    def unit(self) -> str:
        """What rows are counted in."""
        return "row" if self._is_parquet else "line"

    def rows(self) -> Iterator[Row]:
        """Every row in order. Raises ChargingError where the file cannot be read on."""
        self.trailer = []
        source = self._parquet() if self._is_parquet else self._csv()
        yield from islice(source, MAX_ROWS)
        if next(source, None) is not None:
            raise ChargingError(f"{self.path.name}: more than {MAX_ROWS:,} rows", f"at most {MAX_ROWS:,}",
                                "split it by account")

    def _csv(self) -> Iterator[Row]:
        name = self.path.name
        lines = _csv_lines(self.path)
        found = next(lines, None)
        header = [column.strip() for column in found[1]] if found else []
        _check_columns(name, header)
        for number, fields in lines:
            place = f"line {number}"
            if fields and fields[0].strip() == TRAILER:
                self.trailer.append((place, fields[1:]))
                continue
            if self.trailer:
                raise ChargingError(f"{name}, {place}: a row behind the {TRAILER} lines", "the totals at the end",
                                    "correct the file; a torn one must not be imported")
            if len(fields) != len(header):
                raise ChargingError(f"{name}, {place}: {len(fields)} fields", f"{len(header)}, as in the header",
                                    "correct the line")
            yield Row(number, place, {column: text.strip() for column, text in zip(header, fields, strict=True)})

    def _parquet(self) -> Iterator[Row]:
        name, number = self.path.name, 0
        try:
            with pq.ParquetFile(self.path) as file:
                schema = file.schema_arrow
                _check_columns(name, schema.names)
                for field in schema:
                    if pa.types.is_floating(field.type):
                        raise ChargingError(f"{name}, column {field.name}: floating point numbers",
                                            "decimals, whole numbers or text", "write exact amounts")
                for batch in file.iter_batches(_BATCH):
                    for values in batch.to_pylist():
                        number += 1
                        yield Row(number, f"row {number}", {column: _text(value) for column, value in values.items()})
        except (OSError, pa.ArrowException) as problem:
            raise ChargingError(f"{name}: {str(problem).splitlines()[0]}", "a Parquet file that is whole",
                                "have it written again") from None


def read_totals(file: BalanceFile, path: Path | None) -> tuple[str, list[tuple[str, list[str]]]]:
    """Lines of the control totals, with where they stand: of `path`, else of the trailer that was read with the rows.

    Raises ChargingError: there are none, or both.
    """
    if path is None:
        if not file.trailer:
            raise ChargingError(f"{file.path.name}: no control totals",
                                f"--totals FILE ({','.join(TOTAL_COLUMNS)}), or last lines "
                                f"{TRAILER},{','.join(TOTAL_COLUMNS)}",
                                "have the other system say how many rows and how much of each there are")
        return file.path.name, file.trailer
    if file.trailer:
        raise ChargingError(f"{file.path.name}: control totals at its end, and {path.name}", "one of the two")
    if not path.is_file() or path.stat().st_size > MAX_TOTALS * 100:
        raise ChargingError(f"{path}: no file of control totals", f"CSV with the header {','.join(TOTAL_COLUMNS)}")
    lines = _csv_lines(path)
    found = next(lines, None)
    header = [column.strip() for column in found[1]] if found else []
    if sorted(header) != sorted(TOTAL_COLUMNS):
        raise ChargingError(f"{path.name}: columns {', '.join(header) or 'none'}", ", ".join(TOTAL_COLUMNS))
    order = [header.index(column) for column in TOTAL_COLUMNS]
    return path.name, [(f"line {number}", [fields[at] if at < len(fields) else "" for at in order])
                       for number, fields in lines]


def parse_totals(name: str, lines: Iterable[tuple[str, list[str]]]) -> dict[Group, Total]:
    """Control totals by group. Raises ChargingError naming the line."""
    totals: dict[Group, Total] = {}
    for place, fields in lines:
        if len(fields) != len(TOTAL_COLUMNS):
            raise ChargingError(f"{name}, {place}: {len(fields)} fields", ",".join(TOTAL_COLUMNS), "correct the line")
        kind, which, currency, count, amount = (field.strip() for field in fields)
        group = (kind, which, currency)
        if kind not in KINDS or (kind == "money") == bool(which) or (kind == "money" and not currency):
            raise ChargingError(f"{name}, {place}: totals of {kind!r}, {which!r}, {currency!r}",
                                "money with a currency, or bucket or counter with a name")
        if group in totals:
            raise ChargingError(f"{name}, {place}: totals of {words(group)} for the second time", "each group once")
        try:
            if not count.isascii() or not count.isdigit():
                raise ValueError(f"{count!r} is no whole number")
            found = parse_money(amount)
            if not currency and found % 1_000_000_000:
                raise ValueError(f"{amount!r} is no whole number of units")
        except ValueError as problem:
            raise ChargingError(f"{name}, {place}: {problem}", "a count such as 1200, and a sum such as 5310.25",
                                "correct the line") from None
        totals[group] = Total(int(count), found if currency else found // 1_000_000_000)
    return totals


def compare_totals(declared: Mapping[Group, Total], found: Mapping[Group, Total]) -> list[str]:
    """What differs, a line for each group; nothing when they agree."""
    none, lines = Total(0, 0), []
    for group in sorted({*declared, *found}):
        theirs, ours = declared.get(group, none), found.get(group, none)
        if theirs != ours:
            lines.append(f"{words(group)}: {ours.count} rows, {shown(group, ours.sum)} in the file; {theirs.count} "
                         f"rows, {shown(group, theirs.sum)} declared; difference {ours.count - theirs.count} rows, "
                         f"{shown(group, ours.sum - theirs.sum)}")
    return lines


def words(group: Group) -> str:
    """A group in words."""
    return " ".join(part for part in group if part)


def shown(group: Group, amount: int) -> str:
    """A sum of a group: money as decimal text."""
    return format_money(amount) if group[2] else str(amount)


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of every line that is not blank. Raises ChargingError where it is no CSV in UTF-8."""
    reader = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for fields in reader:
                if any(field.strip() for field in fields):
                    yield reader.line_num, fields
    except UnicodeDecodeError:
        at = reader.line_num + 1 if reader else 1
        raise ChargingError(f"{path.name}, line {at} or soon after it: octets that are no UTF-8", "text in UTF-8",
                            "write the file in UTF-8") from None
    except csv.Error as problem:
        raise ChargingError(f"{path.name}, line {reader.line_num if reader else 1}: {problem}",
                            "CSV with commas, quotes closed on their line", "correct the line") from None


def _check_columns(name: str, header: list[str]) -> None:
    known = (*NEEDED, *OPTIONAL)
    wrong = [column for column in header if column not in known]
    missing = [column for column in NEEDED if column not in header]
    if wrong or missing or len(set(header)) != len(header):
        what = f"no column {', '.join(missing)}" if missing else f"column {wrong[0]!r}" if wrong else "a column twice"
        raise ChargingError(f"{name}: {what}", f"columns {', '.join(NEEDED)} and, where needed, {', '.join(OPTIONAL)}",
                            "correct the header")


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
