"""Balances of another system: all or nothing, totals that agree, posted against the opening account, once."""

import csv
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.apps.cli import main
from pipelines.controls import run_controls
from pipelines.corrections.rerate import Request as Correction
from pipelines.corrections.rerate import rerate
from pipelines.importing.balances import Request, import_balances
from pipelines.ledger.sql import open_duckdb
from schemas.errors import ChargingError
from tests.integration.hand_made import HandMade

AT = "2026-10-20T00:00"
HEADER = "account_id,kind,name,plan,amount,currency,valid_from,valid_to,cycle"
ROWS = ("1,money,,,7.25,EUR,,,",
        "2,money,,,-3.5,EUR,,,",
        "2,bucket,minutes,,20 min,,,,2026-10-20",
        "2,bucket,volume,postpaid-family,0,,,,",
        "1,bucket,gift,,5000,,2026-10-01,2026-11-01,",
        "1,counter,calls,,90,,,,")
TOTALS = ("TOTAL,money,,EUR,2,3.75", "TOTAL,bucket,minutes,,1,1200", "TOTAL,bucket,volume,,1,0",
          "TOTAL,bucket,gift,,1,5000", "TOTAL,counter,calls,,1,90")


@pytest.fixture
def site(tmp_path: Path, keys: Path) -> HandMade:
    site = HandMade(tmp_path, keys)
    for account in site.reference.accounts:
        account["opening_balance"] = "0"
    site.reference.write(site.input.operator)
    tariff = site.own_tariffs() / "2026.yaml"
    tariff.write_text(tariff.read_text().replace("plans:\n  prepaid-basic:\n", """
buckets:
  gift: {unit: octet, amount: 1 GB, validity: 30 d, services: [data]}
counters:
  calls: {unit: second, cycle: month, service: voice, thresholds: [120, 150]}
plans:
  prepaid-basic:
    counters: [calls]
""", 1))
    return site


def write(site: HandMade, *lines: str, name: str = "balances.csv") -> Path:
    path = site.input.root / name
    path.write_text("\n".join((HEADER, *lines)) + "\n")
    return path


def bring(site: HandMade, path: Path, dry_run: bool = False, totals: Path | None = None):  # type: ignore[no-untyped-def]
    return import_balances(site.input, site.home, Request(path, AT, totals), dry_run)


def ask(site: HandMade, query: str) -> list[tuple[object, ...]]:
    with open_duckdb(site.ledger) as connection:
        return connection.execute(query).fetchall()


def check_laws(site: HandMade) -> None:
    with open_duckdb(site.ledger) as connection:
        assert not [o.control.name for o in run_controls(connection) if o.control.kind == "law" and o.breaks]


def test_balances_come_in_against_the_opening_account_and_usage_goes_on_from_them(site: HandMade) -> None:
    path = write(site, *ROWS, *TOTALS)
    assert bring(site, path, dry_run=True).rows == 6
    assert not site.rows("posting")
    bring(site, path)
    assert ask(site, "SELECT ledger_account, unit, sum(amount) FROM posting WHERE reason = 'opening' GROUP BY ALL "
                     "ORDER BY 1, 2") == [
        ("allowance", "octet", 5000), ("allowance", "second", 1200), ("balance", "money", 3_750_000_000),
        ("opening", "money", -3_750_000_000), ("opening", "octet", -5000), ("opening", "second", -1200)]
    assert (site.money(1), site.money(2)) == (7.25, -3.5)
    assert not list((site.input.inbox / "commands").iterdir()), "what was taken is archived and removed"
    check_laws(site)

    site.calls(1, "090000", [(1, "08:00")])  # 60 s: the counter goes from 90 to 150
    site.run()
    assert site.money(1) == pytest.approx(7.25 - 0.64)
    assert ask(site, "SELECT threshold, value FROM notification ORDER BY 1") == [(120, 150), (150, 150)]
    check_laws(site)
    assert ask(site, "SELECT count(*) FROM suspense") == [(0,)]
    again = rerate(site.input, site.home, Correction(1_800_000_000_000_000, "tester", "as it was"), dry_run=True)
    assert again.proved and not again.changes, "history has the import too"


def test_the_same_rows_again_change_nothing_and_other_rows_for_the_same_accounts_are_refused(site: HandMade) -> None:
    path = write(site, *ROWS, *TOTALS)
    bring(site, path)
    said = site.said()
    again = bring(site, path)
    assert (again.known, again.rows) == (6, 6)
    assert site.said() == said
    other = write(site, "1,money,,,7.00,EUR,,,", "1,bucket,gift,,1,,2026-10-01,2026-11-01,", "2,bucket,minutes,,1,,,,",
                  "1,counter,calls,,1,,,,", "TOTAL,money,,EUR,1,7.00", "TOTAL,bucket,gift,,1,1",
                  "TOTAL,bucket,minutes,,1,1", "TOTAL,counter,calls,,1,1", name="other.csv")
    with pytest.raises(ChargingError, match="4 of 4 rows meet accounts that cannot take them") as refused:
        bring(site, other)
    for told in ("line 2, account 1: it has 7.25 already", "line 3, account 1: bucket gift: there with the same",
                 "line 4, account 2: bucket minutes is there already", "line 5, account 1: counter calls has counted"):
        assert told in str(refused.value)
    assert site.said() == said


@pytest.mark.parametrize(("totals", "told"), [
    (("TOTAL,money,,EUR,2,3.76", *TOTALS[1:]),
     "money EUR: 2 rows, 3.75 in the file; 2 rows, 3.76 declared; difference 0 rows, -0.01"),
    (TOTALS[1:], "money EUR: 2 rows, 3.75 in the file; 0 rows, 0.00 declared; difference 2 rows, 3.75"),
    ((*TOTALS, "TOTAL,bucket,messages,,1,5"), "bucket messages: 0 rows, 0 in the file; 1 rows, 5 declared"),
    ((*TOTALS[:1], "TOTAL,bucket,minutes,,2,1200", *TOTALS[2:]), "difference -1 rows, 0"),
    ((), "no control totals; expected --totals FILE"),
    ((*TOTALS, TOTALS[0]), "line 13: totals of money EUR for the second time"),
    (("TOTAL,money,,EUR,2,3,75", *TOTALS[1:]), "line 8: 6 fields"),
    (("TOTAL,money,,EUR,two,3.75", *TOTALS[1:]), "line 8: 'two' is no whole number"),
    (("TOTAL,cash,,EUR,2,3.75", *TOTALS[1:]), "line 8: totals of 'cash'"),
])
def test_totals_that_do_not_agree_refuse_the_file_and_nothing_is_written(site: HandMade, totals: tuple[str, ...],
                                                                         told: str) -> None:
    with pytest.raises(ChargingError) as refused:
        bring(site, write(site, *ROWS, *totals))
    assert told in str(refused.value)
    assert not (site.home.root / "ledger").exists() and not (site.input.inbox / "commands").exists()


@pytest.mark.parametrize(("row", "told"), [
    ("9,money,,,1.00,EUR,,,", "line 2, account_id: '9'; expected an account_id of accounts.parquet"),
    ("1,cash,,,1.00,EUR,,,", "line 2, kind: 'cash'; expected one of money, bucket, counter"),
    ("1,money,,,1.0000000001,EUR,,,", "line 2, amount: '1.0000000001'; expected a decimal amount"),
    ("1,money,,,1e3,EUR,,,", "line 2, amount: '1e3'"),
    ("1,money,,,99999999999,EUR,,,", "line 2, amount: '99999999999'; expected a decimal amount such as 10.00, below"),
    ("1,money,,,1.00,USD,,,", "line 2, currency: 'USD'; expected EUR, the account's"),
    ("1,money,main,,1.00,EUR,,,", "line 2, name: 'main'; expected nothing: a row of kind money has none"),
    ("1,bucket,hours,,1,,,,", "line 2, name: bucket 'hours'; expected one of gift, messages, minutes, volume"),
    ("1,bucket,gift,,-1,,,,", "line 2, amount: '-1'; expected whole octets, 0 or more"),
    ("1,bucket,gift,,1 min,,,,", "line 2, amount: '1 min'; expected whole octets"),
    ("1,bucket,gift,,1,EUR,,,", "line 2, currency: 'EUR'; expected nothing: units have no currency"),
    ("1,bucket,gift,,1,,2026-11-01,2026-10-01,", "line 2, valid_to: '2026-10-01'; expected a time after valid_from"),
    ("1,bucket,gift,,1,,2026-02-30,,", "line 2, valid_from: '2026-02-30'; expected a time"),
    ("1,bucket,gift,,1,,,,2026-10-01", "line 2, cycle: '2026-10-01'; expected nothing: a bucket of the catalogue"),
    ("2,bucket,minutes,basic,1,,,,", "line 2, plan: 'basic'; expected one of postpaid-family, prepaid-basic"),
    ("1,counter,texts,,1,,,,", "line 2, name: counter 'texts'; expected one of calls"),
    ("1,money,,,1.00", "line 2: 5 fields; expected 9, as in the header"),
    ('1,money,,,"1.00,EUR,,,', "line 2: unexpected end of data"),
])
def test_a_row_that_is_wrong_is_told_with_its_line(site: HandMade, row: str, told: str) -> None:
    with pytest.raises(ChargingError) as refused:
        bring(site, write(site, row))
    assert told in str(refused.value)
    assert not (site.home.root / "ledger").exists()


def test_rows_that_accounts_cannot_take_are_refused_together_before_anything_is_written(site: HandMade) -> None:
    site.calls(1, "090000", [(1, "08:00")])
    site.run()
    said = site.said()
    path = write(site, "1,money,,,5,EUR,,,", "1,bucket,minutes,,60,,,,", "2,money,,,1,EUR,,,", "2,money,,,1,EUR,,,",
                 "TOTAL,money,,EUR,3,7", "TOTAL,bucket,minutes,,1,60")
    for dry_run in (True, False):
        with pytest.raises(ChargingError) as refused:
            bring(site, path, dry_run)
    for told in ("line 3, account 1: bucket minutes belongs to none of its plans (prepaid-basic)",
                 "line 5, account 2: it has 1.00 already"):
        assert told in str(refused.value)
    assert site.said() == said


def test_parquet_with_a_file_of_totals_and_floats_refused(site: HandMade) -> None:
    totals = site.input.root / "totals.csv"
    totals.write_text("kind,name,currency,count,sum\nmoney,,EUR,2,12.00\n")
    path = site.input.root / "balances.parquet"
    table = pa.table({"account_id": [1, 2], "kind": ["money"] * 2, "currency": ["EUR"] * 2,
                      "amount": pa.array([Decimal("10.00"), Decimal("2.00")], pa.decimal128(12, 2))})
    pq.write_table(table.set_column(3, "amount", pa.array([10.0, 2.0])), path)
    with pytest.raises(ChargingError, match="column amount: floating point numbers"):
        bring(site, path, totals=totals)
    pq.write_table(table, path)
    bring(site, path, totals=totals)
    assert (site.money(1), site.money(2)) == (10, 2)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ChargingError, match="expected a Parquet file that is whole"):
        bring(site, path, totals=totals)


def test_what_is_no_csv_is_refused_in_words(site: HandMade) -> None:
    path = write(site, *ROWS)
    path.write_bytes(path.read_bytes().replace(b"minutes", b"m\xffnutes"))
    with pytest.raises(ChargingError, match="no UTF-8"):
        bring(site, path)
    path.write_text("account,kind,amount\n1,money,2\n")
    with pytest.raises(ChargingError, match="no column account_id; expected columns account_id, kind, amount"):
        bring(site, path)
    path.write_text("")
    with pytest.raises(ChargingError, match="no column account_id"):
        bring(site, path)
    write(site, TOTALS[0], ROWS[0])
    with pytest.raises(ChargingError, match="line 3: a row behind the TOTAL lines"):
        bring(site, path)
    with pytest.raises(ChargingError, match="a CSV or Parquet file of balances"):
        bring(site, site.input.root / "nowhere.csv")


def test_the_command_line_says_what_it_did(site: HandMade, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(site, *ROWS, *TOTALS)

    def tarifa(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*words])
        assert ended.value.code == 0
        return capsys.readouterr().out

    words = ("import", "balances", str(path), "--at", AT, "--input", str(site.input.root), "--home",
             str(site.home.root))
    assert "Nothing was committed." in tarifa(*words, "--dry-run")
    text = tarifa(*words)
    assert "6 rows are posted against the account `opening`." in text and "3.75" in text
    assert "nothing changes" in tarifa(*words)
    found = tarifa("sql", "--csv", "--home", str(site.home.root), "SELECT account_id, amount FROM posting WHERE reason "
                   "= 'opening' AND ledger_account = 'balance' ORDER BY 1")
    assert list(csv.reader(found.splitlines())) == [
        ["account_id", "amount"], ["1", "7250000000"], ["2", "-3500000000"]]
    assert duckdb  # the ledger is read by it
