"""Controls on a real run: green as it is, red for every break that is planted in it."""

import datetime as dt
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from pipelines.controls import _parse, control, controls, run_control, run_controls, show
from pipelines.home import Home, Input
from pipelines.ledger import Ledger
from pipelines.ledger.catalogue import derived_views, product_schemas
from pipelines.ledger.sql import open_duckdb
from pipelines.run import run
from pipelines.sample.generate import generate
from schemas.errors import LedgerError

LAWS = ("charging_complete", "conservation", "duplicate_files", "money", "online_charged", "records", "roll_forward",
        "roll_forward_accounts", "zero_sum")
FINDINGS = ("charged_once", "charged_twice", "file_sequence_gaps", "pgw_over_sgw", "record_sequence_gaps")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of sixty subscribers without defects, run to its end."""
    folder = tmp_path_factory.mktemp("controls")
    generate(folder, 60, dt.date(2026, 10, 21), 1, 1, False, False, lambda *_: None, None, 1.0, None)
    run(Input(folder), Home(folder / "home"))
    return folder / "home" / "ledger"


@pytest.fixture(scope="module")
def whole(ledger: Path) -> dict[str, pa.Table]:
    views = open_duckdb(Ledger.open(ledger))
    return {name: views.sql(f'SELECT * FROM "{name}"').to_arrow_table() for name in product_schemas()}


@pytest.fixture
def book(whole: dict[str, pa.Table]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The ledger's tables, free to be damaged."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    for name, table in whole.items():
        connection.register("given", table)
        connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM given')
        connection.unregister("given")
    for statement in derived_views(product_schemas()):
        connection.execute(statement)
    yield connection
    connection.close()


def broken(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {outcome.control.name for outcome in run_controls(connection) if not outcome.green}


def test_there_are_laws_and_findings_and_each_says_what_it_proves() -> None:
    found = controls()
    assert tuple(each.name for each in found) == LAWS + FINDINGS
    assert [each.kind for each in found] == ["law"] * len(LAWS) + ["finding"] * len(FINDINGS)
    for each in found:
        assert each.title.endswith(".") and "tolerance: zero" in each.sql and "\n-- difference " in each.sql


def test_a_clean_run_is_green_in_every_control(book: duckdb.DuckDBPyConnection) -> None:
    assert broken(book) == set()
    assert run_control(book, control("conservation")).rows > 10
    assert run_control(book, control("roll_forward_accounts")).rows > 60
    modulos = book.execute("SELECT DISTINCT file_sequence_modulo FROM file_audit WHERE source <> 'commands'").fetchall()
    assert modulos == [(1_000_000,)]


def test_stock_duckdb_runs_every_control_behind_ledger_sql(ledger: Path) -> None:
    with duckdb.connect(":memory:") as stock:
        stock.execute("SET VARIABLE ledger_folder = ?", [str(ledger)])
        for statement in stock.extract_statements((ledger / "ledger.sql").read_text()):
            stock.execute(statement).fetchall()
        for each in controls():
            text = files("pipelines.controls").joinpath(f"{each.name}.sql").read_text()
            assert all(row[-1] == 0 for row in stock.execute(text).fetchall())


A_FILE = "file_id = (SELECT min(file_id) FROM file_audit WHERE source = 'msc-01')"
FIRST_USED = "(SELECT min(event_id_lo) FROM rated WHERE charge_nanos > 0 AND uncollected_nanos = 0)"
BREAKS = [
    # A container is lost, doubled, or never was.
    ("DELETE FROM filtered WHERE rowid = (SELECT min(rowid) FROM filtered WHERE record_type = 'ims_as')",
     {"conservation", "records"}),
    ("INSERT INTO filtered SELECT * FROM filtered LIMIT 1", {"conservation"}),
    (f"UPDATE file_audit SET container_count = container_count + 1 WHERE {A_FILE}", {"conservation"}),
    ("DELETE FROM merged WHERE rowid = (SELECT min(rowid) FROM merged WHERE source LIKE 'scscf-%')",
     {"conservation", "records"}),
    # Two sources that are off by the same amount do not make up for each other.
    ("UPDATE file_audit SET container_count = container_count + CASE source WHEN 'msc-01' THEN 1 ELSE -1 END "
     "WHERE file_id IN (SELECT min(file_id) FROM file_audit WHERE source IN ('msc-01', 'msc-02') GROUP BY source)",
     {"conservation"}),
    # Between the two commits.
    ("DELETE FROM rated WHERE charge_nanos = 0 AND rowid = (SELECT min(rowid) FROM rated "
     "WHERE charge_nanos = 0)", {"charging_complete"}),
    ("INSERT INTO rated SELECT * REPLACE (0 AS charge_nanos, 0 AS uncollected_nanos) FROM rated LIMIT 1",
     {"charging_complete"}),
    ("UPDATE rated SET quantity = quantity + 1 WHERE rowid = 0", {"charging_complete"}),
    # Records and octets.
    (f"UPDATE file_audit SET record_count = record_count + 1 WHERE {A_FILE}", {"records"}),
    (f"UPDATE file_audit SET header_octets = header_octets - 1 WHERE {A_FILE}", {"records"}),
    ("UPDATE filtered SET record_length = record_length - 1 WHERE rowid = (SELECT min(rowid) FROM filtered WHERE "
     "record_type = 'ims_as')", {"records"}),
    # Money.
    (f"UPDATE rated SET charge_nanos = charge_nanos + 1 WHERE event_id_lo = {FIRST_USED}", {"money"}),
    (f"UPDATE posting SET amount = amount + 1 WHERE movement_lo = {FIRST_USED} AND ledger_account = 'revenue'",
     {"money", "zero_sum"}),
    ("UPDATE rated SET charge_nanos = charge_nanos + CASE WHEN event_id_lo = (SELECT min(event_id_lo) FROM rated WHERE "
     "charge_nanos > 0) THEN 5 ELSE -5 END WHERE event_id_lo IN (SELECT min(event_id_lo) FROM rated WHERE "
     "charge_nanos > 0 UNION SELECT max(event_id_lo) FROM rated WHERE charge_nanos > 0)", {"money"}),
    ("UPDATE rated SET uncollected_nanos = uncollected_nanos + 1 WHERE rowid = (SELECT min(rowid) FROM rated WHERE "
     "charge_nanos > 0)", {"money"}),
    ("DELETE FROM posting WHERE ledger_account = 'grant' AND rowid = (SELECT min(rowid) FROM posting WHERE "
     "ledger_account = 'grant')", {"zero_sum"}),
    # Balances.
    ("UPDATE balance SET amount = amount + 1 WHERE rowid = 7", {"roll_forward", "roll_forward_accounts"}),
    ("DELETE FROM balance WHERE rowid = (SELECT min(rowid) FROM balance WHERE amount > 0)",
     {"roll_forward", "roll_forward_accounts"}),
    ("UPDATE balance SET amount = amount + CASE account_id % 2 WHEN 0 THEN 1 ELSE -1 END WHERE unit = 'money'",
     {"roll_forward", "roll_forward_accounts"}),
    ("DELETE FROM posting WHERE movement_lo IN (SELECT movement_lo FROM posting WHERE reason = 'top_up' LIMIT 1)",
     {"roll_forward", "roll_forward_accounts"}),
    ("INSERT INTO balance SELECT * REPLACE (999999 AS account_id) FROM balance WHERE amount > 0 LIMIT 1",
     {"roll_forward", "roll_forward_accounts"}),
    # Files.
    ("DELETE FROM file_audit WHERE source = 'as-01' AND file_sequence = (SELECT min(file_sequence) + 2 FROM file_audit "
     "WHERE source = 'as-01')", {"conservation", "records", "file_sequence_gaps"}),
    ("INSERT INTO file_audit SELECT * REPLACE (file_id + 5000 AS file_id) FROM file_audit WHERE container_count > 0 "
     "LIMIT 1", {"duplicate_files", "conservation", "records"}),
    ("INSERT INTO file_audit SELECT * REPLACE (file_id + 5000 AS file_id, 'duplicate_file' AS state, "
     "file_id AS duplicate_of) FROM file_audit WHERE container_count > 0 LIMIT 1",
     {"duplicate_files", "conservation", "records"}),
    # The network.
    ("UPDATE filtered SET uplink_octets = uplink_octets + 1 WHERE record_type = 'sgw' AND rowid = (SELECT min(rowid) "
     "FROM filtered WHERE record_type = 'sgw')", {"pgw_over_sgw"}),
    ("UPDATE filtered SET charging_id = charging_id + 1 WHERE record_type = 'sgw' AND charging_id = (SELECT "
     "min(charging_id) FROM filtered WHERE record_type = 'sgw')", {"pgw_over_sgw"}),
    ("INSERT INTO sequence_gap VALUES ('msc-01', 5, 7)", {"record_sequence_gaps"}),
]


@pytest.mark.parametrize(("damage", "red"), BREAKS, ids=[f"{i}-{'-'.join(sorted(red))}" for i, (_, red) in
                                                         enumerate(BREAKS)])
def test_a_planted_break_turns_exactly_these_controls_red(book: duckdb.DuckDBPyConnection, damage: str, red: set[str]
                                                          ) -> None:
    changed = book.execute(damage).fetchall()[0][0]
    assert changed > 0
    assert broken(book) == red


def test_laws_turn_red_and_findings_do_not(book: duckdb.DuckDBPyConnection) -> None:
    book.execute("INSERT INTO sequence_gap VALUES ('msc-01', 5, 7)")
    book.execute("DELETE FROM rated WHERE rowid = 0")
    assert {o.control.name for o in run_controls(book) if o.red} >= {"charging_complete"}
    finding = run_control(book, control("record_sequence_gaps"))
    assert (finding.green, finding.red, finding.breaks, finding.difference) == (False, False, 1, 3)


def test_recycled_containers_came_in_again(book: duckdb.DuckDBPyConnection) -> None:
    """A container was suspended at charging, recycled, and rated in a later block."""
    names = ", ".join(name for name in product_schemas()["usage"].names)
    book.execute(f"INSERT INTO usage BY NAME SELECT {names} FROM rated WHERE rowid = 0")
    book.execute(f"INSERT INTO suspense BY NAME SELECT {names}, 'charge' AS stage, 'no_zone' AS reason FROM rated "
                 "WHERE rowid = 0")
    assert broken(book) == {"conservation"}
    book.execute("INSERT INTO settled BY NAME SELECT source, file_id, record_offset, record_length, container_index, "
                 "event_id_hi, event_id_lo, stage, reason, 'recycled' AS action, 1 AS container_count FROM suspense")
    assert broken(book) == set()
    book.execute("UPDATE settled SET action = 'written_off', container_count = 0")
    assert broken(book) == {"conservation"}


def test_a_stretch_that_was_unreadable_and_recycled_is_still_one_record(book: duckdb.DuckDBPyConnection) -> None:
    """Two records are found where one stretch had been set aside; then a third, outside of it."""
    first = "SELECT file_id, min(record_offset) AS o FROM filtered WHERE source = 'as-01' GROUP BY 1 ORDER BY 1 LIMIT 1"
    file_id, start = book.execute(first).fetchall()[0]
    length, = book.execute("SELECT sum(record_length) FROM (SELECT record_length FROM filtered WHERE file_id = ? "
                           "ORDER BY record_offset LIMIT 2)", [file_id]).fetchall()[0]
    names = ", ".join(product_schemas()["usage"].names)
    book.execute(f"INSERT INTO suspense BY NAME SELECT {names}, 'frame' AS stage, 'unframed_bytes' AS reason FROM "
                 "(SELECT * REPLACE (? AS record_length) FROM filtered WHERE file_id = ? AND record_offset = ?)",
                 [length, file_id, start])
    book.execute("UPDATE file_audit SET record_count = record_count - 1, container_count = container_count - 1 "
                 "WHERE file_id = ?", [file_id])
    assert broken(book) == {"conservation", "records"}
    book.execute("INSERT INTO settled BY NAME SELECT source, file_id, record_offset, record_length, container_index, "
                 "event_id_hi, event_id_lo, stage, reason, 'recycled' AS action, 2 AS container_count FROM suspense")
    assert broken(book) == set()
    book.execute("UPDATE settled SET record_length = 1")
    assert broken(book) == {"records"}


def test_commands_that_were_refused_are_no_containers(book: duckdb.DuckDBPyConnection) -> None:
    names = ", ".join(name for name in product_schemas()["usage"].names if name != "record_type")
    book.execute(f"INSERT INTO suspense BY NAME SELECT {names}, 'command' AS record_type, 'charge' AS stage, "
                 "'bad_command' AS reason FROM rated WHERE rowid = 0")
    assert broken(book) == set()


def test_rows_of_a_control_can_be_shown_and_only_the_breaks(book: duckdb.DuckDBPyConnection) -> None:
    book.execute("UPDATE balance SET amount = amount + 3 WHERE rowid = 7")
    assert show(book, control("roll_forward_accounts"), limit=5).num_rows == 5
    assert show(book, control("roll_forward_accounts"), only_breaks=True).column("difference").to_pylist() == [-3]


# File numbers ------------------------------------------------------------------------------------------------------


def gaps(*arrivals: int, modulo: int | None = 10, states: dict[int, str] | None = None, containers: int = 5
         ) -> list[tuple[int, int, int]]:
    """First and last missing number and how many, of files that arrived with these numbers."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("CREATE TABLE file_audit (source TEXT, file_id BIGINT, file_name TEXT, state TEXT, "
                           "file_sequence BIGINT, file_sequence_modulo BIGINT, container_count BIGINT)")
        for place, number in enumerate(arrivals):
            connection.execute("INSERT INTO file_audit VALUES ('msc-01', ?, ?, ?, ?, ?, ?)",
                               [place, f"f{place}", (states or {}).get(place, "read"), number, modulo, containers])
        rows = connection.execute(control("file_sequence_gaps").sql).fetchall()
        return [tuple(int(n) for n in row[-3:]) for row in rows]


def test_a_wrap_is_no_gap_and_a_gap_across_it_is_counted() -> None:
    assert gaps(7, 8, 9, 0, 1) == []
    assert gaps(7, 8, 1, 2) == [(9, 0, 2)]
    assert gaps(*(n % 10 for n in range(35))) == []


def test_a_late_file_fills_its_gap_and_a_repeated_one_does_not() -> None:
    assert gaps(1, 2, 4, 5, 3) == []
    assert gaps(9, 1, 0) == []
    assert gaps(1, 2, 4, 2, states={3: "duplicate_file"}) == [(3, 3, 1)]


def test_files_without_records_count_however_alike_they_are() -> None:
    assert gaps(1, 2, 3, states={1: "duplicate_file"}) == [(2, 2, 1)]
    assert gaps(1, 2, 3, states={1: "duplicate_file"}, containers=0) == []


def test_numbers_that_never_wrap() -> None:
    assert gaps(100, 101, 105, modulo=None) == [(102, 104, 3)]
    assert gaps(100, 3, modulo=None) == [(4, 99, 96)]


def test_the_first_file_alone_has_no_gap() -> None:
    assert gaps(4) == []


# The runner --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["SELECT 0 AS difference;", "-- A title.\nSELECT 0 AS difference;",
                                  "-- A title.\n-- kind: wish\nSELECT 0 AS difference;"])
def test_a_control_without_a_header_is_refused(text: str) -> None:
    with pytest.raises(LedgerError, match="control bare"):
        _parse("bare", text)


def test_an_unknown_control_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LedgerError, match=r"no control is called 'none'.*conservation"):
        control("none")
