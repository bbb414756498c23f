"""Files of commits written by another process: the same octets, and here where that process has gone."""

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.charging.folded import Folded
from pipelines.ledger import Ledger, Rows, StagedFile
from pipelines.serve.staging import StagingProcess
from rating.charging import Charged
from schemas.columns import ABSENT, Cells, ColumnSet
from schemas.errors import LedgerError
from schemas.online import GRANT
from schemas.rated import POSTING, RATED
from schemas.usage import SUSPENSE

MANY = 700  # ticks: more buffers than one system call takes


def some(columns: ColumnSet, rows: int, seed: int) -> Cells:
    """Rows that say little, but not the same."""
    cells = Cells.empty(columns, rows, fill=ABSENT)
    draw = np.random.default_rng(seed)
    for column in columns.columns:
        if column.kind in ("int64", "time") or column.codes is not None or column.kind == "label":
            cells[column.name] = draw.integers(0, 1000 if column.kind in ("int64", "time") else 2, rows)
        elif not column.nullable:
            cells[column.name] = 0
    return cells


def folded(ticks: int, first: int = 0) -> Folded:
    whole = Folded()
    for tick in range(first, first + ticks):
        whole.add(Charged(some(RATED, tick % 5, tick), some(POSTING, 2 * (tick % 5), tick), Cells.empty(SUSPENSE)))
        whole.add_grants(some(GRANT, tick % 7, tick))
    return whole


def names(more: int = 0) -> dict[str, list[str]]:
    labels = {c.name: [f"{c.name} {i}" for i in range(2 + more)] for columns in (RATED, POSTING, GRANT, SUSPENSE)
              for c in columns.columns if c.kind == "label"}
    return labels | {"nothing_yet": []}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path / "ledger")


@pytest.fixture
def staging(ledger: Ledger) -> Iterator[StagingProcess]:
    process = StagingProcess(ledger.store.location)
    yield process
    process.close()


def hashes(staged: list[StagedFile]) -> dict[str, tuple[int, str]]:
    return {each.entry.table: (each.entry.rows, each.entry.sha256) for each in staged}


def test_another_process_writes_the_octets_that_this_one_would(ledger: Ledger, staging: StagingProcess) -> None:
    stream = ledger.stream("charging")
    for ticks, first, more in ((MANY, 0, 0), (3, MANY, 1)):  # names are added meanwhile
        made, labels = folded(ticks, first), names(more)
        apart = staging(stream, made, labels)
        here = stream.stage_many({name: Rows(cells, labels) for name, cells in made.tables().items()})
        assert hashes(apart) == hashes(here) and len(apart) == 3
        assert {each.schema_hash for each in apart} == {each.schema_hash for each in here}
        stream.commit(apart)
        for each in apart:
            payload = ledger.read_bytes(each.entry)
            assert hashlib.sha256(payload).hexdigest() == each.entry.sha256
    assert ledger.table("rated").num_rows == sum(tick % 5 for tick in range(MANY + 3))


def test_nothing_is_no_file(ledger: Ledger, staging: StagingProcess) -> None:
    assert staging(ledger.stream("charging"), Folded(), names()) == []


def test_where_the_process_has_gone_files_are_written_here(ledger: Ledger, staging: StagingProcess) -> None:
    stream = ledger.stream("charging")
    staging(stream, folded(3), names())
    os.kill(staging.pid, signal.SIGKILL)
    for _ in range(2):
        made = folded(5)
        assert hashes(staging(stream, made, names())) == hashes(
            stream.stage_many({name: Rows(cells, names()) for name, cells in made.tables().items()}))


def test_what_it_cannot_write_is_told(ledger: Ledger, staging: StagingProcess) -> None:
    stream = ledger.stream("charging")
    labels = {column: known[:1] for column, known in names().items()}
    labels["tariff_version"] = []
    with pytest.raises(LedgerError, match="could not be written"):
        staging(stream, folded(5), {c: n for c, n in labels.items() if c != "zone"})
