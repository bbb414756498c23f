"""Columns by name over one int64 matrix: how batches travel between the stages.

A batch is a matrix `cells[column, row]`, every column a contiguous int64 vector, so that a kernel takes one
argument and names its columns by constants (`START = USAGE.index("event_time_us")`). It becomes Arrow once,
when it is written, with the narrow types, code names and nulls that its `ColumnSet` declares.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas import pages

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

ABSENT = -1  # in nullable columns; becomes null in Arrow


@dataclass(frozen=True)
class Column:
    """One column: its name (the unit ends it), how it is written, and what it means.

    kind: "int8".."int64", "uint64" (a 64-bit pattern), "bool", "time" (microseconds UTC), "code" (names from
    `codes`), or "label" (names from a table that travels with the batch, such as sources or zones).
    """

    name: str
    kind: str
    meaning: str
    codes: type[IntEnum] | None = None
    nullable: bool = True


@dataclass(frozen=True)
class ColumnSet:
    """An ordered vocabulary of columns. `version` is the format version written into files."""

    name: str
    version: int
    columns: tuple[Column, ...]
    _position: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_position", {c.name: i for i, c in enumerate(self.columns)})
        if len(self._position) != len(self.columns):
            raise ValueError(f"{self.name}: a column name appears twice")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    def index(self, name: str) -> int:
        """Row of the matrix that holds column `name`; a constant for kernels."""
        return self._position[name]

    def arrow_schema(self) -> pa.Schema:
        fields = [pa.field(c.name, _arrow_type(c), nullable=c.nullable) for c in self.columns]
        return pa.schema(fields, metadata={b"tarifa.columns": self.name.encode(),
                                           b"tarifa.version": str(self.version).encode()})


_PLAIN = {"int8": pa.int8(), "int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64(),
          "uint64": pa.uint64(), "bool": pa.bool_(), "time": pa.timestamp("us", tz="UTC")}


def _arrow_type(column: Column) -> pa.DataType:
    if column.kind in ("code", "label"):
        return pa.dictionary(pa.int32(), pa.string())
    return _PLAIN[column.kind]


Labels = Mapping[str, Sequence[str]]  # column name -> names; a cell is an index into them


class Cells:
    """A batch: `columns` and their values, int64, in one matrix (column, row) or in several below each other.

    Each column is contiguous; columns may lie further apart than they have rows. Several matrices: the first columns
    are another batch's, and nobody copied them. What must not be changed there must not be changed here.
    """

    __slots__ = ("_parts", "columns")

    def __init__(self, columns: ColumnSet, *parts: I64) -> None:
        found = sum(part.shape[0] for part in parts)
        if found != len(columns.columns):
            raise ValueError(f"{columns.name}: {found} columns found, {len(columns.columns)} expected")
        self.columns, self._parts = columns, parts

    @property
    def matrix(self) -> I64:
        """All columns in one matrix (column, row); of several, a copy takes their place."""
        if len(self._parts) > 1:
            self._parts = (np.concatenate(self._parts),)
        return self._parts[0]

    def vectors(self) -> list[I64]:
        """Views of all columns, wherever they lie."""
        return [vector for part in self._parts for vector in part]

    @classmethod
    def empty(cls, columns: ColumnSet, rows: int = 0, fill: int | None = None) -> "Cells":
        """Room for `rows` rows, uninitialised unless `fill` is given. Always C-contiguous."""
        shape = (len(columns.columns), rows)
        cells = cls(columns, pages.matrix(shape))
        if fill is not None:
            cells.matrix.fill(fill)
        return cells

    @classmethod
    def concat(cls, columns: ColumnSet, parts: Iterable["Cells"]) -> "Cells":
        """`parts` one behind the other; a part's own columns where only one has rows."""
        whole = [part for part in parts if len(part)]
        if len(whole) == 1:
            return cls(columns, *whole[0]._parts)
        cells, at = cls.empty(columns, sum(map(len, whole))), 0
        for part in whole:
            _copy(part._parts, 0, len(part), cells.matrix[:, at:at + len(part)])
            at += len(part)
        return cells

    def __len__(self) -> int:
        return int(self._parts[0].shape[1])

    def __getitem__(self, name: str) -> I64:
        """View of one column, shape (rows,)."""
        place = self.columns.index(name)
        for part in self._parts:
            if place < len(part):
                break
            place -= len(part)
        view: I64 = part[place]
        return view

    def __setitem__(self, name: str, value: Any) -> None:
        self[name][:] = value

    def where(self, mask: npt.NDArray[np.bool_]) -> "Cells":
        """Rows where `mask` holds, in order; itself when all do."""
        if mask.all():
            return self
        return self.take(np.flatnonzero(mask))

    def take(self, rows: npt.NDArray[np.intp]) -> "Cells":
        """Those rows, in that order; a copy."""
        cells = Cells.empty(self.columns, len(rows))
        for column, values in zip(cells.matrix, self.vectors(), strict=True):
            np.take(values, rows, out=column)
        return cells

    def slice(self, start: int, stop: int) -> "Cells":
        """Rows [start, stop): itself for all of them, else a copy."""
        chosen = range(len(self))[start:stop]
        start, rows = chosen.start, len(chosen)
        if rows == len(self):
            return self
        cells = Cells.empty(self.columns, rows)
        _copy(self._parts, start, start + rows, cells.matrix)
        return cells

    def to_arrow(self, labels: Labels | None = None) -> pa.Table:
        """Narrow types, code names, nulls. `labels` holds the names of every "label" column."""
        arrays = [_to_arrow(column, values, labels)
                  for column, values in zip(self.columns.columns, self.vectors(), strict=True)]
        return pa.Table.from_arrays(arrays, schema=self.columns.arrow_schema())

    @classmethod
    def from_arrow(cls, columns: ColumnSet, table: pa.Table, labels: dict[str, list[str]]) -> "Cells":
        """Read back what `to_arrow` wrote; columns the file lacks are ABSENT. Extends `labels` as needed."""
        cells = cls.empty(columns, table.num_rows, fill=ABSENT)
        for column in columns.columns:
            if column.name in table.column_names:
                cells[column.name] = _from_arrow(column, table.column(column.name).combine_chunks(), labels)
        return cells


def _copy(parts: Sequence[I64], start: int, stop: int, into: I64) -> None:
    """Rows of matrices below each other, matrix by matrix: a step for each column costs more than a short batch."""
    at = 0
    for part in parts:
        into[at:at + part.shape[0]] = part[:, start:stop]
        at += part.shape[0]


def _to_arrow(column: Column, values: I64, labels: Labels | None) -> pa.Array:
    mask = values == ABSENT if column.nullable else None
    if mask is not None:
        if mask.all() and column.kind not in ("code", "label"):  # most of what few tariffs have
            return pa.nulls(values.size, _PLAIN[column.kind])
        if not mask.any():
            mask = None
    if column.kind in ("code", "label"):
        if column.kind == "code":
            assert column.codes is not None
            names = code_names(column.codes)
        else:
            if mask is not None and mask.all():
                return pa.DictionaryArray.from_arrays(pa.array(np.zeros(values.size, np.int32), mask=mask),
                                                      pa.array([], pa.string()))
            names = list((labels or {})[column.name])
            if len(set(names)) < len(names):  # Arrow's writer leaves stale memory where names of a table repeat
                place = {name: i for i, name in enumerate(dict.fromkeys(names))}
                values = np.where(values == ABSENT, ABSENT, np.array([place[name] for name in names], np.int64)[values])
                names = list(place)
        indices = pa.array(values.astype(np.int32), mask=mask)
        return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))
    if column.kind == "time":
        return pa.array(values.view("datetime64[us]"), mask=mask, type=_PLAIN["time"])
    if column.kind == "uint64":
        return pa.array(values.view(np.uint64), mask=mask)
    if column.kind == "bool":
        return pa.array(values.astype(np.bool_), mask=mask)
    return pa.array(values.astype(column.kind), mask=mask)


def _from_arrow(column: Column, array: Any, labels: dict[str, list[str]]) -> I64:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if column.kind in ("code", "label"):
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        written = array.dictionary.to_pylist()
        if column.kind == "code":
            assert column.codes is not None
            known = {name: i for i, name in enumerate(code_names(column.codes))}
            table = [known[name] for name in written]
        else:
            names = labels.setdefault(column.name, [])
            place = {name: i for i, name in enumerate(names)}
            for name in written:
                if name not in place:
                    place[name] = len(names)
                    names.append(name)
            table = [place[name] for name in written]
        lookup = np.array([*table, ABSENT], np.int64)
        indices = array.indices.fill_null(len(table)).to_numpy(zero_copy_only=False)
        result: I64 = lookup[indices]
        return result
    if column.kind == "time":
        array = array.cast(pa.timestamp("us", tz="UTC")).view(pa.int64())
    elif column.kind == "uint64":
        array = array.cast(pa.uint64()).view(pa.int64())
    else:
        array = array.cast(pa.int64())
    back: I64 = array.fill_null(ABSENT).to_numpy(zero_copy_only=False)
    return back


def code_names(codes: type[IntEnum]) -> list[str]:
    """Names by value; codes count from 0 without gaps."""
    members = list(codes)
    if [int(m) for m in members] != list(range(len(members))):
        raise ValueError(f"{codes.__name__} must count from 0 without gaps")
    return [m.name.lower() for m in members]
