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
