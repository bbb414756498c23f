import numpy as np
import pytest

from schemas.audit import COLLECTED, COMMAND, FILE_AUDIT
from schemas.codes import Reason, Service
from schemas.columns import ABSENT, Cells, Column, ColumnSet
from schemas.decoded import DECODED
from schemas.rated import BALANCE, POSTING, RATED
from schemas.usage import DUPLICATE, FILTERED, HELD, KEY, MATCHED, MERGED, SUSPENSE, USAGE

ALL = [DECODED, USAGE, KEY, SUSPENSE, DUPLICATE, FILTERED, MATCHED, HELD, MERGED, RATED, POSTING, BALANCE, FILE_AUDIT,
       COLLECTED, COMMAND]
SMALL = ColumnSet("small", 1, (
    Column("service", "code", "code", Service),
    Column("source", "label", "label", nullable=False),
    Column("at_us", "time", "time"),
    Column("id", "uint64", "pattern", nullable=False),
    Column("flag", "bool", "flag"),
    Column("count", "int16", "count"),
))


def small_cells() -> Cells:
    cells = Cells.empty(SMALL, 3)
    cells["service"] = [Service.DATA, ABSENT, Service.VOICE]
    cells["source"] = [1, 0, 1]
    cells["at_us"] = [1_700_000_000_000_001, ABSENT, 0]
    cells["id"] = np.array([2**64 - 1, 5, 2**63], np.uint64).view(np.int64)
    cells["flag"] = [1, 0, ABSENT]
    cells["count"] = [7, ABSENT, 32_767]
    return cells


@pytest.mark.parametrize("columns", ALL, ids=lambda c: c.name)
def test_an_empty_batch_of_every_vocabulary_becomes_arrow_with_its_schema(columns: ColumnSet) -> None:
    labels = {c.name: [] for c in columns.columns if c.kind == "label"}
    assert Cells.empty(columns).to_arrow(labels).schema == columns.arrow_schema()


def test_cells_come_back_from_arrow_as_they_went() -> None:
    cells = small_cells()
    table = cells.to_arrow({"source": ["pgw-1", "msc-1"]})
    assert table.column("service").to_pylist() == ["data", None, "voice"]
    assert table.column("id").to_pylist() == [2**64 - 1, 5, 2**63]
    assert table.column("at_us").null_count == 1
    back = Cells.from_arrow(SMALL, table, {"source": ["pgw-1", "msc-1"]})
    assert np.array_equal(back.matrix, cells.matrix)


def test_labels_of_a_file_are_joined_to_those_of_the_process() -> None:
    table = small_cells().to_arrow({"source": ["pgw-1", "msc-1"]})
    labels = {"source": ["smsc-1"]}
    back = Cells.from_arrow(SMALL, table, labels)
    assert [labels["source"][i] for i in back["source"]] == ["msc-1", "pgw-1", "msc-1"]


def test_a_name_that_appears_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="appears twice"):
        ColumnSet("twice", 1, (Column("a", "int64", ""), Column("a", "int64", "")))


def test_reasons_count_from_zero_without_gaps() -> None:
    assert [int(r) for r in Reason] == list(range(len(Reason)))


def beside(cells: Cells, first: int, rows: int = 3) -> Cells:
    """The same columns in two matrices, whose columns lie further apart than they have rows."""
    wide = [np.full((len(part), rows + 5), 99, np.int64) for part in (cells.matrix[:first], cells.matrix[first:])]
    for matrix, part in zip(wide, (cells.matrix[:first], cells.matrix[first:]), strict=True):
        matrix[:, :rows] = part
    return Cells(cells.columns, *(matrix[:, :rows] for matrix in wide))


@pytest.mark.parametrize("first", [1, 3, 5])
def test_columns_in_several_matrices_are_one_batch(first: int) -> None:
    cells = small_cells()
    apart = beside(cells, first)
    labels = {"source": ["pgw-1", "msc-1"]}
    assert len(apart) == 3 and apart.to_arrow(labels) == cells.to_arrow(labels)
    assert all(np.array_equal(apart[name], cells[name]) for name in SMALL.names)
    assert np.array_equal(apart.take(np.array([2, 0])).matrix, cells.matrix[:, [2, 0]])
    assert np.array_equal(apart.slice(1, 3).matrix, cells.matrix[:, 1:])
    assert apart.slice(0, 3) is apart
    assert np.array_equal(Cells.concat(SMALL, [apart, cells]).matrix, np.concatenate([cells.matrix] * 2, axis=1))
    assert Cells.concat(SMALL, [Cells.empty(SMALL), apart])["count"] is not None
    assert np.shares_memory(Cells.concat(SMALL, [apart])["count"], apart["count"])
    apart["count"] = 4
    cells["count"] = 4
    assert np.array_equal(apart.matrix, cells.matrix)  # from now on in one
    apart["flag"] = 0
    assert not apart.matrix[SMALL.index("flag")].any()


def test_matrices_that_are_not_all_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="3 columns found, 6 expected"):
        Cells(SMALL, np.zeros((1, 4), np.int64), np.zeros((2, 4), np.int64))
