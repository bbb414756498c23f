"""Looks for personal numbers where none may be: every file below a folder, however they might be written.

A number is looked for as ASCII digits, TBCD (two digits an octet, swapped), BCD (unswapped), as an int64 and as the
house's packed digits (either byte order), in raw octets and in the decoded columns of Parquet files, and in file names.
Only numbers of ten digits and more are looked for: shorter ones occur by chance.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from schemas.digits import pack

MIN_DIGITS = 10
_KEY_OCTETS = 5      # what the first sieve compares: the end of a number, which is least like other numbers
_ZEROS = 3           # as many zero octets at its end make a number like 999700000000 in BCD one that occurs by chance
_KEY_MASK = np.uint64((1 << 8 * _KEY_OCTETS) - 1)
_PIECE_OCTETS = 1 << 18
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SIEVE_BITS = np.uint64(22)


@dataclass(frozen=True)
class Finding:
    """A number where it must not be. Shown without the number, but for its last two digits."""

    path: Path
    place: str
    encoding: str
    ends_with: str


def operator_numbers(input_folder: Path) -> set[str]:
    """Numbers of the sample operator's customers (MSISDN, IMSI), and of those who were called in its CSV files.

    Toll-free and premium numbers are services, nobody's own: they are kept whole and not looked for.
    """
    operator = input_folder / "operator"
    plan = yaml.safe_load((operator / "number_plan.yaml").read_text(encoding="utf-8"))
    country_code = str(plan["country_code"])
    services = tuple(country_code + str(p) for p in [*plan["toll_free"], *plan["premium"]])
    resources = pq.read_table(operator / "resources.parquet", columns=["kind", "value"])
    kinds = pc.is_in(resources.column("kind").cast(pa.string()), value_set=pa.array(["msisdn", "imsi"]))
    numbers = {v.lstrip("+") for v in resources.filter(kinds).column("value").cast(pa.string()).to_pylist()}
    for path in (input_folder / "inbox").glob("voip-*/*"):
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                for column in ("served", "calling", "called"):
                    number = _international(row.get(column) or "", country_code)
                    if number.isdecimal():
                        numbers.add(number)
    return {n for n in numbers if len(n) >= MIN_DIGITS and not n.startswith(services)}


def _international(dialled: str, country_code: str) -> str:
    if dialled.startswith("+"):
        return dialled[1:]
    if dialled.startswith("00"):
        return dialled[2:]
    return country_code + dialled[1:] if dialled.startswith("0") else dialled


class Searcher:
    """All numbers in all encodings, ready to sieve gigabytes."""

    def __init__(self, numbers: Iterable[str]) -> None:
        self._patterns: dict[bytes, tuple[str, str]] = {}
        self._integers: dict[int, str] = {}
        for number in sorted(set(numbers)):
            if len(number) < MIN_DIGITS or not number.isdecimal():
                raise ValueError(f"a number of {len(number)} characters")
            for encoding, octets in _encodings(number):
                if octets[-_ZEROS:] != bytes(_ZEROS):
                    self._patterns[octets] = (encoding, number)
            self._integers[int(number)] = number
            if len(number) <= 15:
                self._integers[pack(number)] = number
        self._by_key: dict[int, list[bytes]] = {}
        for octets in self._patterns:
            self._by_key.setdefault(int.from_bytes(octets[-_KEY_OCTETS:], "little"), []).append(octets)
        self._sieve = np.zeros(1 << int(_SIEVE_BITS), bool)
        self._sieve[_slot(np.array(list(self._by_key), np.uint64))] = True
        self._keys = np.array(sorted(self._by_key), np.uint64)
        self._values = pa.array(sorted(self._integers), pa.int64())

    def in_octets(self, content: bytes) -> Iterator[tuple[int, str, str]]:
        """(offset, encoding, number) of every number in `content`."""
        count = len(content) - _KEY_OCTETS + 1
        padded = content + bytes(8)
        for start in range(0, max(count, 0), _PIECE_OCTETS):
            n = min(_PIECE_OCTETS, count - start)
            # One 64-bit word from every octet on, its upper three octets masked out.
            window = np.ndarray((n,), "<u8", padded, start, (1,)) & _KEY_MASK
            hits = np.flatnonzero(self._sieve[_slot(window)])
            hits = hits[np.isin(window[hits], self._keys)]
            for hit in hits.tolist():
                end = start + hit + _KEY_OCTETS
                for octets_found in self._by_key[int(window[hit])]:
                    if content[max(end - len(octets_found), 0):end] == octets_found:
                        yield (end - len(octets_found), *self._patterns[octets_found])

    def in_table(self, table: pa.Table) -> Iterator[tuple[str, str, str]]:
        """(column, encoding, number) of every number in the cells of `table`."""
        for name in table.column_names:
            column = table.column(name)
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            if pa.types.is_integer(column.type):
                values = pc.unique(column.cast(pa.int64(), safe=False))
                for value in values.filter(pc.is_in(values, value_set=self._values)).to_pylist():
                    yield name, "integer", self._integers[value]
            elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type) \
                    or pa.types.is_binary(column.type):
                cells = (c for c in pc.unique(column).to_pylist() if c is not None)
                text = b"\n".join(c if isinstance(c, bytes) else c.encode() for c in cells)
                for _, encoding, number in self.in_octets(text):
                    yield name, encoding, number


def find_personal(folder: Path, numbers: Iterable[str] | Searcher, skip: Iterable[str] = ("vault", "keys")
                  ) -> list[Finding]:
    """All numbers in files and file names below `folder`, except in its sub-folders `skip`; at most ten a file."""
    searcher = numbers if isinstance(numbers, Searcher) else Searcher(numbers)
    findings: list[Finding] = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] in skip:
            continue
        found = [Finding(relative, "name", encoding, number[-2:])
                 for _, encoding, number in searcher.in_octets(path.name.encode())]
        if path.is_file():
            found += [Finding(relative, f"octet {offset}", encoding, number[-2:])
                      for offset, encoding, number in searcher.in_octets(path.read_bytes())]
            if path.suffix == ".parquet":
                found += [Finding(relative, f"column {column}", encoding, number[-2:])
                          for column, encoding, number in searcher.in_table(pq.ParquetFile(path).read())]
        findings += found[:10]
    return findings


def _encodings(number: str) -> Iterator[tuple[str, bytes]]:
    yield "ASCII", number.encode()
    padded = number + "f" * (len(number) % 2)
    plain = bytes.fromhex(padded)
    yield "BCD", plain
    yield "TBCD", bytes((o << 4 | o >> 4) & 255 for o in plain)
    for encoding, value in [("int64", int(number)), *([("packed", pack(number))] if len(number) <= 15 else [])]:
        if value < 1 << 63:
            # Leading zero octets are left out: they carry nothing, and only their end is where the key is taken.
            yield f"{encoding}, big endian", value.to_bytes(8, "big").lstrip(b"\0")
            yield f"{encoding}, little endian", value.to_bytes(8, "little").rstrip(b"\0")


def _slot(window: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return window * _SPREAD >> (np.uint64(64) - _SIEVE_BITS)
