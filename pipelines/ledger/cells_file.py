"""A batch's cells to Parquet bytes, straight from the matrix: what a run writes millions of rows of.

The same types, names and metadata as `encode_table(cells.to_arrow(labels))` gives, for a fifth of the time; kernels do
all that grows with rows, so that nothing holds Python's lock. What only depends on the columns, the schema with
Arrow's and ours, is taken from an empty file that pyarrow wrote: its footer up to the number of rows, and behind the
list of row groups.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.ledger.kernels import columns as kernel
from pipelines.ledger.kernels import footer
from pipelines.ledger.parquet import NOISE_ENDINGS, TIME_COLUMN, EncodedTable, encode_table, summed_columns
from schemas.columns import I64, U8, Cells, Column, ColumnSet, Labels, code_names
from schemas.errors import InvariantError
from schemas.vectors import Vectors

_MAGIC = b"PAR1"
_NO_ROWS = b"\x16\x00\x19\x0c"  # FileMetaData: 3 num_rows = 0, 4 row_groups = []
GROUP_ROWS = 1 << 17  # one page of a column is at most a mebioctet
_NARROW = {"int8": 8, "int16": 16, "int32": 32}
_CHUNK_OCTETS = 512  # headers of a column chunk and its share of the footer, at most, names aside


@dataclass(frozen=True)
class Rows:
    """Rows of a table as a batch has them, and the names behind its label columns: what a stream stages."""

    cells: Cells
    labels: Labels | None = None

    @property
    def num_rows(self) -> int:
        return len(self.cells)

    @property
    def num_columns(self) -> int:
        return len(self.cells.columns.columns)

    @property
    def schema(self) -> pa.Schema:
        return _schema(self.cells.columns)

    def encode(self) -> EncodedTable:
        return encode_cells(self.cells, self.labels)


@dataclass(frozen=True)
class _Form:
    """What is the same for every batch of these columns."""

    specs: I64
    titles: I64
    paths: U8
    lows: I64
    highs: I64
    named: tuple[int, ...]
    summed: tuple[int, ...]
    time: int
    footer_start: bytes
    footer_stop: bytes


def encode_cells(cells: Cells, labels: Labels | None = None) -> EncodedTable:
    """`cells` as one Parquet file. labels: names of every "label" column, as for `Cells.to_arrow`."""
    if any(_repeats(tuple((labels or {})[column.name])) for column in cells.columns.columns if column.kind == "label"):
        return encode_table(cells.to_arrow(labels))  # a dictionary page names each once: readers count on it
    form, count = _form(cells.columns), len(cells)
    columns = Vectors(cells.vectors())
    specs, names = _with_names(cells.columns, form, labels)
    groups = [(start, min(start + GROUP_ROWS, count)) for start in range(0, count, GROUP_ROWS)]
    measured = [np.empty((len(specs), kernel.FACTS), np.int64) for _ in groups]
    for (start, stop), facts in zip(groups, measured, strict=True):
        kernel.measure_nb(columns, start, stop, specs, facts)
        there = facts[:, kernel.NULLS] < stop - start
        highs = np.where(specs[:, kernel.HOW] == kernel.NAMED, specs[:, kernel.NAMES] - 1, form.highs)
        if (there & ((facts[:, kernel.LOW] < form.lows) | (facts[:, kernel.HIGH] > highs))).any():
            return encode_table(cells.to_arrow(labels))  # wider than its type: what Arrow makes of it is what it is
    out = np.empty(_room(specs, names, groups) + len(form.footer_start) + len(form.footer_stop), np.uint8)
    out[:4] = np.frombuffer(_MAGIC, np.uint8)
    at = 4
    rows_of_group = min(count, GROUP_ROWS)
    kept, deltas, header = np.empty(rows_of_group + 8, np.uint64), np.empty(128, np.uint64), np.empty(64, np.uint8)
    for (start, stop), facts in zip(groups, measured, strict=True):
        at = kernel.chunks_nb(columns, start, stop, specs, names, facts, kept, deltas, header, out, at)
    begin = at
    at = _put(out, at, form.footer_start + b"\x16" + _zigzag(count) + b"\x19" + _list_of(len(groups)))
    for (start, stop), facts in zip(groups, measured, strict=True):
        at = footer.row_group_nb(stop - start, facts, form.titles, form.paths, out, at)
    at = _put(out, at, form.footer_stop)
    at = _put(out, at, (at - begin).to_bytes(4, "little") + _MAGIC)
    payload = out[:at].data
    low, high = _times(form, measured)
    return EncodedTable(payload, count, at, hashlib.sha256(payload).hexdigest(), low, high,
                        _sums(cells.columns, form, measured))


def _times(form: _Form, measured: list[I64]) -> tuple[int | None, int | None]:
    found = [facts[form.time] for facts in measured] if form.time >= 0 else []
    lows = [int(f[kernel.LOW]) for f in found if f[kernel.LOW] <= f[kernel.HIGH]]
    highs = [int(f[kernel.HIGH]) for f in found if f[kernel.LOW] <= f[kernel.HIGH]]
    return (min(lows), max(highs)) if lows else (None, None)


def _sums(columns: ColumnSet, form: _Form, measured: list[I64]) -> dict[str, str]:
    names = columns.names
    return {names[i]: str(sum((int(facts[i, kernel.SUM_UPPER]) << 32) + int(facts[i, kernel.SUM_LOWER])
                              for facts in measured)) for i in form.summed}


def _room(specs: I64, names: U8, groups: list[tuple[int, int]]) -> int:
    """More octets than the file can take: eight a value, one more a block of differences, headers."""
    count = sum(stop - start for start, stop in groups)
    columns = len(specs)
    return 1024 + columns * (9 * count + (_CHUNK_OCTETS + count // 8) + len(groups) * _CHUNK_OCTETS) \
        + len(groups) * names.size


def _with_names(columns: ColumnSet, form: _Form, labels: Labels | None) -> tuple[I64, U8]:
    """The form's specs with the dictionary pages of this batch, one behind the other."""
    specs, pages, at = form.specs.copy(), [], 0
    for place in form.named:
        column = columns.columns[place]
        page, count = _code_page(column) if column.kind == "code" \
            else _page(tuple((labels or {})[column.name]))
        specs[place, [kernel.NAMES_AT, kernel.NAMES_OCTETS, kernel.NAMES]] = at, len(page), count
        pages.append(page)
        at += len(page)
    return specs, np.frombuffer(b"".join(pages), np.uint8)


@lru_cache(maxsize=256)
def _repeats(names: tuple[str, ...]) -> bool:
    return len(set(names)) < len(names)


@lru_cache(maxsize=256)
def _page(names: tuple[str, ...]) -> tuple[bytes, int]:
    """Names as a dictionary page holds them, and how many."""
    encoded = [name.encode() for name in names]
    return b"".join(len(name).to_bytes(4, "little") + name for name in encoded), len(names)


@lru_cache(maxsize=256)
def _code_page(column: Column) -> tuple[bytes, int]:
    assert column.codes is not None
    return _page(tuple(code_names(column.codes)))


@lru_cache(maxsize=64)
def _schema(columns: ColumnSet) -> pa.Schema:
    return columns.arrow_schema()


@lru_cache(maxsize=64)
def _form(columns: ColumnSet) -> _Form:
    schema = _schema(columns)
    summed = set(summed_columns(schema))
    specs = np.zeros((len(columns.columns), kernel.SPECS), np.int64)
    titles = np.zeros((len(columns.columns), footer.TITLES), np.int64)
    paths = b""
    limits = []
    for column, spec, title in zip(columns.columns, specs, titles, strict=True):
        bits = _NARROW.get(column.kind, 64)
        spec[kernel.WIDTH] = 32 if bits < 64 else 64
        spec[kernel.NULLABLE], spec[kernel.SUMMED] = column.nullable, column.name in summed
        spec[kernel.HOW] = kernel.NAMED if column.kind in ("code", "label") else \
            kernel.TRUTH if column.kind == "bool" else \
            kernel.PLAIN if column.name.endswith(NOISE_ENDINGS) else kernel.DELTA
        title[footer.TYPE] = kernel.BYTE_ARRAY if spec[kernel.HOW] == kernel.NAMED else \
            kernel.BOOLEAN if spec[kernel.HOW] == kernel.TRUTH else \
            kernel.INT64 if bits == 64 else kernel.INT32
        if spec[kernel.HOW] == kernel.DELTA and column.kind != "uint64":
            title[footer.STATISTICS] = spec[kernel.WIDTH] // 8
        name = column.name.encode()
        title[footer.PATH_AT], title[footer.PATH_OCTETS] = len(paths), len(name)
        paths += name
        limits.append((0, 0) if spec[kernel.HOW] == kernel.NAMED else (-1 << (bits - 1), (1 << (bits - 1)) - 1))
    start, stop = _footer_of_nothing(schema)
    return _Form(specs, titles, np.frombuffer(paths, np.uint8), np.array([low for low, _ in limits], np.int64),
                 np.array([high for _, high in limits], np.int64),
                 tuple(int(i) for i in np.flatnonzero(specs[:, kernel.HOW] == kernel.NAMED)),
                 tuple(int(i) for i in np.flatnonzero(specs[:, kernel.SUMMED])),
                 columns.names.index(TIME_COLUMN) if TIME_COLUMN in columns.names else -1, start, stop)


def _footer_of_nothing(schema: pa.Schema) -> tuple[bytes, bytes]:
    """The footer of a file without rows, before its number of rows and behind its row groups.

    Raises InvariantError: pyarrow writes it otherwise than we know.
    """
    sink = pa.BufferOutputStream()
    pq.ParquetWriter(sink, schema).close()
    written = sink.getvalue().to_pybytes()
    footer_octets = int.from_bytes(written[-8:-4], "little")
    parts = written[-8 - footer_octets:-8].split(_NO_ROWS)
    if len(parts) != 2:
        raise InvariantError("the footer of an empty Parquet file has no one place for row groups")
    return parts[0], parts[1]


def _put(out: U8, at: int, octets: bytes) -> int:
    out[at:at + len(octets)] = np.frombuffer(octets, np.uint8)
    return at + len(octets)


def _zigzag(number: int) -> bytes:
    """Thrift's i64 of a number that is not negative."""
    return _varint(number << 1)


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number >= 128:
        octets.append(number & 127 | 128)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _list_of(structures: int) -> bytes:
    """Head of Thrift's list of so many structures."""
    return bytes([structures << 4 | 0xC]) if structures < 15 else b"\xfc" + _varint(structures)
