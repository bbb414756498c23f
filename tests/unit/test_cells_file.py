"""The ledger's own Parquet writer, against Arrow's: same types, values, nulls and facts, whatever a column holds."""

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.ledger import sample_cells
from pipelines.ledger import cells_file
from pipelines.ledger.cells_file import Rows, encode_cells
from pipelines.ledger.content_hash import table_hash
from pipelines.ledger.parquet import EncodedTable, decode_table, encode_table
from schemas.audit import FILE_AUDIT
from schemas.codes import Unit
from schemas.columns import ABSENT, Cells, Column, ColumnSet, Labels
from schemas.rated import BALANCE, POSTING, RATED
from schemas.usage import OPEN_SESSION, SUSPENSE, USAGE

EVERY = ColumnSet("every", 1, (
    Column("id_hi", "uint64", "noise", nullable=False),
    Column("party_token", "int64", "noise with nulls"),
    Column("window", "uint64", "a pattern", nullable=False),
    Column("amount", "int64", "any integer, summed", nullable=False),
    Column("charge_nanos", "int64", "any integer with nulls, summed"),
    Column("small", "int8", "narrow"),
    Column("medium", "int16", "narrow", nullable=False),
    Column("large", "int32", "narrow"),
    Column("flag", "bool", "a truth", nullable=False),
    Column("doubt", "bool", "a truth with nulls"),
    Column("event_time_us", "time", "a time"),
    Column("unit", "code", "a name of a code", Unit),
    Column("zone", "label", "a name of a table"),
    Column("place", "label", "a name of a table that is always there", nullable=False),
))
LABELS = {"zone": [f"zone {i} ä" for i in range(300)], "place": ["here"]}
LIMITS = {"int8": 7, "int16": 15, "int32": 31}


def check(cells: Cells, labels: Labels) -> None:
    """What any reader finds in the file is what `to_arrow` says, and what the log says of it is what Arrow's would."""
    table = cells.to_arrow(labels)
    ours, theirs = encode_over(0x39, cells, labels), encode_table(table)
    assert bytes(ours.payload) == bytes(encode_over(0xA5, cells, labels).payload), "memory that was not written shows"
    assert (ours.rows, ours.min_time_us, ours.max_time_us, ours.sums) == \
        (theirs.rows, theirs.min_time_us, theirs.max_time_us, theirs.sums)
    back = decode_table(bytes(ours.payload))
    assert back.schema.equals(table.schema, check_metadata=True)
    for name in table.column_names:
        found, wanted = back[name], table[name]
        if pa.types.is_dictionary(wanted.type):
            found, wanted = found.cast(pa.string()), wanted.cast(pa.string())
        assert found.equals(wanted), name


def encode_over(octet: int, cells: Cells, labels: Labels) -> EncodedTable:
    """As `encode_cells`, in memory that held something before."""
    class Used:
        """NumPy whose fresh arrays are not fresh."""

        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

        def empty(self, shape: Any, dtype: Any) -> Any:
            found = np.empty(shape, dtype)
            found.reshape(-1).view(np.uint8)[:] = octet
            return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells_file, "np", Used())
        return encode_cells(cells, labels)


def filled(rows: int, seed: int, shape: str) -> tuple[Cells, Labels]:
    """EVERY column, of random values of one `shape`."""
    rng = np.random.default_rng(seed)
    cells = Cells.empty(EVERY, rows)
    for column in EVERY.columns:
        bits = LIMITS.get(column.kind, 63)
        if column.kind == "code":
            low, high = 0, len(Unit) - 1
        elif column.kind == "label":
            low, high = 0, len(LABELS[column.name]) - 1
        elif column.kind == "bool":
            low, high = 0, 1
        elif column.kind == "time" or shape == "near":
            low, high = 5, 100
        else:
            low, high = -(1 << bits), (1 << bits) - 1
        values = np.full(rows, rng.integers(low, high, endpoint=True)) if shape == "one value" \
            else rng.integers(low, high, rows, endpoint=True)
        if shape == "rising":
            values = np.sort(values)
        if column.nullable:
            share = 1.0 if shape == "nulls" else rng.choice([0.0, 0.1, 0.9])
            values = np.where(rng.random(rows) < share, ABSENT, values)
        cells[column.name] = values
    return cells, LABELS


@pytest.mark.parametrize("columns", [USAGE, RATED, POSTING, SUSPENSE, BALANCE, FILE_AUDIT, OPEN_SESSION])
@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_tables_of_the_house_are_written_as_arrow_would(columns: ColumnSet, rows: int) -> None:
    check(*sample_cells(columns, rows, 1))


@settings(deadline=None, max_examples=60)
@given(rows=st.sampled_from([0, 1, 2, 7, 8, 9, 32, 33, 128, 129, 130, 257, 1000]), seed=st.integers(0, 1 << 30),
       shape=st.sampled_from(["any", "near", "rising", "one value", "nulls"]))
def test_every_kind_of_column_survives_whatever_it_holds(rows: int, seed: int, shape: str) -> None:
    check(*filled(rows, seed, shape))


def test_columns_that_lie_elsewhere_make_the_same_file() -> None:
    cells, labels = sample_cells(RATED, 1000, 3)
    wide = np.full((len(RATED.columns), 1024), 7, np.int64)
    wide[:, 5:1005] = cells.matrix
    usage = np.ascontiguousarray(cells.matrix[:len(USAGE.columns)])
    apart = Cells(RATED, usage, wide[len(USAGE.columns):, 5:1005])
    assert bytes(encode_cells(apart, labels).payload) == bytes(encode_cells(cells, labels).payload)


def test_several_row_groups_make_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells_file, "GROUP_ROWS", 100)
    cells, labels = filled(2345, 3, "any")
    check(cells, labels)
    read = pq.ParquetFile(pa.BufferReader(bytes(encode_cells(cells, labels).payload)))
    assert read.num_row_groups == 24


@pytest.mark.parametrize("shape", ["any", "near", "one value", "nulls"])
def test_stock_readers_read_it(tmp_path: Path, shape: str) -> None:
    cells, labels = filled(1000, 5, shape)
    path = tmp_path / "file.parquet"
    path.write_bytes(encode_cells(cells, labels).payload)
    table = cells.to_arrow(labels)
    assert table_hash(duckdb.sql(f"FROM '{path}'").to_arrow_table()) == table_hash(table)
    assert pl.read_parquet(path)["amount"].to_list() == table["amount"].to_pylist()
    assert duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE event_time_us > 'epoch'::TIMESTAMP").fetchall() == \
        [(1000 - table["event_time_us"].null_count,)]


def test_limits_and_nulls_are_in_the_footer() -> None:
    cells, labels = filled(1000, 7, "near")
    group = pq.read_metadata(pa.BufferReader(bytes(encode_cells(cells, labels).payload))).row_group(0)
    found = {group.column(i).path_in_schema: group.column(i).statistics for i in range(group.num_columns)}
    there = cells["large"][cells["large"] != ABSENT]
    assert (found["large"].min, found["large"].max, found["large"].null_count) == \
        (there.min(), there.max(), 1000 - there.size)
    assert found["amount"].max == cells["amount"].max()
    assert found["id_hi"] is None
    nothing = encode_cells(*filled(10, 7, "nulls")).payload
    limits = pq.read_metadata(pa.BufferReader(bytes(nothing))).row_group(0).column(EVERY.index("large")).statistics
    assert (limits.null_count, limits.has_min_max) == (10, False)


def test_values_wider_than_their_type_are_what_arrow_makes_of_them() -> None:
    cells, labels = filled(10, 1, "near")
    cells["medium"][3] = 1 << 20
    assert encode_cells(cells, labels).payload == encode_table(cells.to_arrow(labels)).payload


def test_names_that_repeat_are_written_once(tmp_path: Path) -> None:
    """The audit of files names the source of each: a reader that takes repeated names for one must not lose count."""
    columns = ColumnSet("audit", 1, (Column("source", "label", "a name", nullable=False),
                                     Column("amount", "int64", "which", nullable=False)))
    cells = Cells.empty(columns, 4)
    cells["source"], cells["amount"] = [0, 1, 2, 1], range(4)
    labels = {"source": ["nchf", "voip", "voip"]}
    check(cells, labels)
    assert decode_table(bytes(encode_cells(cells, labels).payload))["source"].to_pylist() == \
        ["nchf", "voip", "voip", "voip"]


def test_rows_know_their_schema() -> None:
    cells, labels = filled(3, 1, "near")
    rows = Rows(cells, labels)
    assert (rows.num_rows, rows.num_columns) == (3, len(EVERY.columns))
    assert rows.schema.equals(cells.to_arrow(labels).schema, check_metadata=True)
