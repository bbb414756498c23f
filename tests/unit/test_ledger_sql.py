"""The ledger in DuckDB: `ledger.sql` in a bare connection, and `open_duckdb`, say the same."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from benchmarks import ledger as benchmark
from benchmarks.ledger import sample_table
from pipelines.ledger import Ledger
from pipelines.ledger.catalogue import KNOWN
from pipelines.ledger.sql import open_duckdb
from schemas.errors import LedgerError
from schemas.rated import POSTING, RATED

QUESTIONS = (
    "SELECT count(*), sum(charge_nanos)::VARCHAR, count(DISTINCT event_id), min(length(session)) FROM rated",
    "SELECT ledger_account, sum(amount)::VARCHAR FROM posting GROUP BY ALL ORDER BY ALL",
    "SELECT count(*) FROM suspense",
    "SELECT stream, table_name, rows, live, min_time::VARCHAR FROM ledger_files ORDER BY ALL",
    "SELECT stream, version, op, owner, epoch, previous, sha256 FROM ledger_entries ORDER BY ALL",
    "SELECT number, label FROM ledger_cuts ORDER BY ALL",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger.open(tmp_path / "it's a ledger")
    stream = ledger.stream("charging")
    stream.commit(stream.stage_many({"rated": sample_table(RATED, 30, 1), "posting": sample_table(POSTING, 40, 1)}))
    ledger.cut("first")
    more = stream.stage_many({"rated": sample_table(RATED, 5, 2), "posting": sample_table(POSTING, 6, 2)})
    stream.commit([*more, stream.stage_bytes("state", "book", b"x")], removed=[stream.files("posting")[0].path])
    ledger.stream("mediation")
    return ledger


def by_script(ledger: Ledger, as_of: int | None = None) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    assert ledger.store.local_folder is not None
    connection.execute("SET VARIABLE ledger_folder = ?", [str(ledger.store.local_folder)])
    if as_of is not None:
        connection.execute("SET VARIABLE as_of = ?", [as_of])
    connection.execute((ledger.store.local_folder / "ledger.sql").read_text())
    return connection


@pytest.mark.parametrize("as_of", [None, 1])
@pytest.mark.parametrize("question", QUESTIONS)
def test_script_and_connection_say_the_same(ledger: Ledger, question: str, as_of: int | None) -> None:
    one, other = by_script(ledger, as_of), open_duckdb(ledger, as_of)
    assert one.sql(question).fetchall() == other.sql(question).fetchall()
    one.close()
    other.close()


def test_views_hold_exactly_the_live_rows(ledger: Ledger) -> None:
    for as_of, rated, posting in ((None, 35, 6), (1, 30, 40)):
        connection = by_script(ledger, as_of)
        assert connection.sql("SELECT count(*) FROM rated").fetchall() == [(rated,)]
        assert connection.sql("SELECT count(*) FROM posting").fetchall() == [(posting,)]
        connection.close()


@pytest.mark.parametrize("columns", KNOWN, ids=lambda each: each.name)
def test_tables_without_files_are_empty_views_with_their_columns(tmp_path: Path, columns: object) -> None:
    ledger = Ledger.open(tmp_path)
    ledger.stream("mediation")
    name, wanted = columns.name, list(columns.names)  # type: ignore[attr-defined]
    for connection in (by_script(ledger), open_duckdb(ledger)):
        assert connection.sql(f'SELECT count(*) FROM "{name}"').fetchall() == [(0,)]
        found = connection.sql(f'FROM "{name}"').columns
        assert found[:len(wanted)] == wanted
        assert set(found[len(wanted):]) == {each[:-3] for each in wanted if each.endswith("_hi")}
        connection.close()


def test_event_id_text_is_the_two_halves(tmp_path: Path) -> None:
    stream = Ledger.open(tmp_path).stream("charging")
    halves = pa.table({"event_id_hi": pa.array([1, (1 << 64) - 1], pa.uint64()),
                       "event_id_lo": pa.array([2, 1 << 63], pa.uint64())})
    stream.commit([stream.stage("ids", halves)])
    assert open_duckdb(Ledger.open(tmp_path)).sql("SELECT event_id FROM ids ORDER BY event_id_lo").fetchall() == \
        [("0" * 15 + "1" + "0" * 15 + "2",), ("f" * 16 + "8" + "0" * 15,)]


def test_columns_that_came_later_are_null_in_older_rows(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    stream = ledger.stream("charging")
    stream.commit([stream.stage("things", pa.table({"a": [1]}))])
    stream.commit([stream.stage("things", pa.table({"a": [2], "b": ["new"]}))])
    stream.commit([stream.stage("things", pa.table({"a": [3]}))])
    for connection in (by_script(ledger), open_duckdb(ledger)):
        assert connection.sql("SELECT a, b FROM things ORDER BY a").fetchall() == [(1, None), (2, "new"), (3, None)]


def test_unknown_cut_is_an_error_not_an_empty_ledger(ledger: Ledger) -> None:
    with pytest.raises(duckdb.Error, match="no cut has the number"):
        by_script(ledger, 9)
    with pytest.raises(LedgerError, match="cut 9"):
        open_duckdb(ledger, 9)


def test_extra_views_are_registered_by_whom_they_belong_to(ledger: Ledger) -> None:
    def reveal(connection: duckdb.DuckDBPyConnection) -> None:
        connection.register("numbers", pa.table({"token": [1], "number": ["+1"]}))

    assert open_duckdb(ledger, extra=reveal).sql("SELECT number FROM numbers").fetchall() == [("+1",)]


@pytest.mark.parametrize("name", ["Rated", "rated events", "x;drop", "", "naïve", "1st"])
def test_table_names_that_could_reach_into_sql_are_refused(tmp_path: Path, name: str) -> None:
    stream = Ledger.open(tmp_path).stream("charging")
    with pytest.raises(LedgerError, match="table name"):
        stream.stage(name, pa.table({"a": [1]}))


def test_benchmark_runs_at_smoke_size_and_its_checksum_is_fixed(tmp_path: Path) -> None:
    one = benchmark.run(tmp_path / "one", 2, 50)
    other = benchmark.run(tmp_path / "other", 2, 50)
    assert one["content_hash"] == other["content_hash"]
    assert one["rows_per_s"]
