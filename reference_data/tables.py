"""Reference Parquet: read with declared columns, refused with file and column, hashed whatever the order of rows."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reference_data.kernels.intervals import FOREVER
from reference_data.kernels.texts import absorb_numbers_nb, absorb_texts_nb
from schemas.columns import I64, U8
from schemas.errors import ReferenceDataError

# kinds of column: "int", "time" (microseconds UTC), "text", each with "?" where null is allowed
Declared = Mapping[str, str]
INTERVAL = {"valid_from": "time", "valid_to": "time?", "recorded_from": "time", "recorded_to": "time?"}
_TYPES = {"int": pa.int64(), "time": pa.timestamp("us", tz="UTC"), "text": pa.large_string()}
_NULL = -(1 << 63)


def read_table(path: Path, declared: Declared) -> pa.Table:
    """The declared columns, each one chunk of the declared type. Raises ReferenceDataError."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise ReferenceDataError(f"{path.name} is not in {path.parent}", "the operator's folder to hold it",
                                 "write it, or generate a sample with `tarifa generate`") from None
    except pa.ArrowInvalid as problem:
        raise ReferenceDataError(f"{path.name} cannot be read: {problem}", "a Parquet file", "write it again") from None
    columns = []
    for name, kind in declared.items():
        if name not in table.column_names:
            raise ReferenceDataError(f"{path.name} has no column {name}", f"columns {', '.join(declared)}",
                                     "add the column; null where nothing is known")
        column = table.column(name)
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            raise ReferenceDataError(f"{path.name}, {name}: times without a zone", "microseconds UTC",
                                     "write it as timestamp[us, tz=UTC]")
        try:
            column = column.cast(_TYPES[kind.rstrip("?")])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
            raise ReferenceDataError(f"{path.name}, {name}: {column.type} ({problem})", _TYPES[kind.rstrip("?")],
                                     "write the column with that type") from None
        if column.null_count and not kind.endswith("?"):
            raise ReferenceDataError(f"{path.name}, {name}: {column.null_count} nulls", "a value in every row",
                                     "complete the rows")
        columns.append(column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
    return pa.table(columns, names=list(declared))


def integers(table: pa.Table, name: str, null: int = _NULL) -> I64:
    """A column of numbers or times, (rows,) int64, `null` where it has none."""
    column = table.column(name)
    column = (column.chunk(0) if column.num_chunks == 1 else column.combine_chunks())
    if pa.types.is_timestamp(column.type):
        column = column.view(pa.int64())
    values: I64 = column.fill_null(null).to_numpy(zero_copy_only=False)
    return values


def texts(table: pa.Table, name: str, null: str = "") -> tuple[U8, I64]:
    """A column of strings: its octets, and (rows + 1,) offsets into them."""
    column = table.column(name)
    column = (column.chunk(0) if column.num_chunks == 1 else column.combine_chunks())
    if column.null_count:
        column = column.fill_null(null)
    _, offsets, octets = column.buffers()
    starts = np.frombuffer(offsets, np.int64, count=len(column) + 1, offset=8 * column.offset) \
        if offsets is not None else np.zeros(1, np.int64)
    whole = np.frombuffer(octets, np.uint8) if octets is not None else np.zeros(0, np.uint8)
    return whole, starts


def codes(table: pa.Table, name: str, path: Path, known: Mapping[str, int]) -> I64:
    """A column of names as codes. Raises ReferenceDataError on another name."""
    names = pc.unique(table.column(name)).to_pylist()
    for value in names:
        if value not in known:
            raise ReferenceDataError(f"{path.name}, {name}: {value!r}", f"one of {', '.join(known)}",
                                     "correct the rows")
    encoded = table.column(name).combine_chunks().dictionary_encode()
    lookup = np.array([known[n] for n in encoded.dictionary.to_pylist()], np.int64)
    found: I64 = lookup[encoded.indices.to_numpy(zero_copy_only=False)] if len(encoded) else np.empty(0, np.int64)
    return found


def named(table: pa.Table, name: str) -> tuple[I64, tuple[str, ...]]:
    """A column of names as rows of a sorted table of names: -1 for null."""
    names = tuple(sorted(n for n in pc.unique(table.column(name)).to_pylist() if n is not None))
    encoded = table.column(name).combine_chunks().dictionary_encode()
    place = {n: i for i, n in enumerate(names)}
    lookup = np.array([*(place[n] for n in encoded.dictionary.to_pylist()), -1], np.int64)
    found: I64 = lookup[encoded.indices.fill_null(len(lookup) - 1).to_numpy(zero_copy_only=False)]
    return found, names


def nanos(table: pa.Table, name: str, path: Path) -> I64:
    """A column of decimal text as int64 nano-units; null counts as zero. Raises ReferenceDataError."""
    try:
        decimals = pc.cast(table.column(name), pa.decimal128(38, 9)).combine_chunks()
    except pa.ArrowInvalid as problem:
        raise ReferenceDataError(f"{path.name}, {name}: {problem}", "decimal text with at most 9 places, e.g. 10.00",
                                 "correct the rows") from None
    words = np.frombuffer(decimals.fill_null(0).buffers()[1], np.int64).reshape(-1, 2)[decimals.offset:][:len(decimals)]
    if (words[:, 1] != words[:, 0] >> 63).any():
        raise ReferenceDataError(f"{path.name}, {name}: an amount beyond 9.2 billion",
                                 "an amount in 64 bits of nano-units", "correct the rows")
    return np.ascontiguousarray(words[:, 0])


def interval_columns(table: pa.Table, path: Path) -> I64:
    """(rows, 4): valid from, valid to, recorded from, recorded to; open ends are FOREVER. Raises ReferenceDataError."""
    sides = np.empty((table.num_rows, 4), np.int64)
    for place, name in enumerate(INTERVAL):
        sides[:, place] = integers(table, name, FOREVER)
    for start, stop in (("valid_from", "valid_to"), ("recorded_from", "recorded_to")):
        place = list(INTERVAL).index(start)
        backward = sides[:, place] > sides[:, place + 1]
        if backward.any():
            raise ReferenceDataError(f"{path.name}: {int(backward.sum())} rows whose {stop} is before {start}",
                                     f"{start} <= {stop}", f"correct them; the first is row {int(backward.argmax())}")
    return sides


def table_hash(table: pa.Table) -> int:
    """Sum of 128-bit row hashes modulo 2^128: the same for the same rows in any order."""
    rows = table.num_rows
    hi, lo = np.full(rows, 1, np.uint64), np.full(rows, 2, np.uint64)
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_large_string(column.type):
            absorb_numbers_nb(column.is_null().to_numpy().astype(np.int64), hi, lo)
            absorb_texts_nb(*texts(table, name), hi, lo)
        else:
            absorb_numbers_nb(integers(table, name), hi, lo)
    return (_exact_sum(hi) << 64) + _exact_sum(lo) & (1 << 128) - 1


def _exact_sum(words: npt.NDArray[np.uint64]) -> int:
    """Sum without wrapping: halves of 32 bits cannot overflow below 2^32 rows."""
    return (int((words >> np.uint64(32)).sum()) << 32) + int((words & np.uint64(0xFFFFFFFF)).sum())
