"""An incumbent whose figures are ours but for eight planted deviations: each is found, named, and worth what it is."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from pipelines.incumbent.compare import CLASSES, Compared, by_class, compare, quoted_events
from pipelines.incumbent.mapping import read_map
from pipelines.keys import Keys
from pipelines.ledger.sql import open_duckdb
from schemas.errors import LedgerError, ReferenceDataError
from tests.integration.site import Site

MAP: dict[str, Any] = {
    "match": [{"ours": "event_id", "theirs": "REF"}], "delimiter": ";", "tax_percent": ["19"], "decimals": 4,
    "charge": {"column": "CENTS", "unit": "0.01"}, "allowance": {"column": "FREE", "unit": "1"},
    "zone": {"column": "ZONE", "names": {"LOCAL": "national"}}, "band": {"column": "BAND"}}
# What each deviation is: which rows, and what the incumbent makes of them. One row has one deviation at most.
PLANTED = {
    "zone": ("zone = 'mobile'", {"ZONE": "'satellite'", "charge": "charge + 900000000"}),
    "band": ("band = 'off_peak'", {"BAND": "'peak'", "charge": "charge + 70000000"}),
    "allowance": ("allowance > 0", {"FREE": "0", "charge": "charge + 500000000"}),
    "tax": ("charge >= 100000000", {"charge": "(charge * 119) // 100"}),
    "rounding": ("charge >= 100000000", {"charge": "charge + 100000"}),
    "other": ("charge >= 100000000", {"charge": "charge * 3"}),
    "missing_there": ("charge >= 100000000", None)}
EACH = 4


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, day: Path, keys: Path) -> Site:
    found = Site(day, tmp_path_factory.mktemp("compared"), keys)
    found.run()
    return found


def plant(site: Site, path: Path) -> dict[str, list[int]]:
    """Write the incumbent's file. Returns by class how much more each of its rows charges than ours, nanos."""
    expected: dict[str, list[int]] = {"missing_here": []}
    with open_duckdb(site.ledger) as connection:
        connection.execute("""CREATE TABLE said AS SELECT event_id AS REF, zone AS ZONE, band AS BAND,
            allowance_quantity AS FREE, allowance_quantity AS allowance, CAST(charge_nanos AS HUGEINT) AS charge,
            charge_nanos AS before, false AS planted FROM rated_current WHERE leg = 0""")
        for name, (where, change) in PLANTED.items():
            chosen = [row[0] for row in connection.execute(
                f"SELECT REF FROM said WHERE NOT planted AND {where} ORDER BY REF LIMIT {EACH}").fetchall()]
            assert len(chosen) == EACH, name
            refs = ", ".join(f"'{ref}'" for ref in chosen)
            changes = ", ".join(f"{k} = {v}" for k, v in {**(change or {}), "planted": "true"}.items())
            connection.execute(f"UPDATE said SET {changes} WHERE REF IN ({refs})")
            expected[name] = [int(row[0]) for row in connection.execute(
                f"SELECT {'charge - before' if change else '-before'} FROM said WHERE REF IN ({refs})").fetchall()]
            if change is None:
                connection.execute(f"DELETE FROM said WHERE REF IN ({refs})")
        for number in range(EACH):
            expected["missing_here"].append(1_000_000_000 * (number + 1))
            connection.execute(f"INSERT INTO said (REF, charge) VALUES ('ff{number}', {10**9 * (number + 1)})")
        connection.execute("UPDATE said SET ZONE = 'LOCAL' WHERE ZONE = 'national'")
        connection.execute(f"""COPY (SELECT REF, CAST(CAST(charge AS DECIMAL(28, 0)) / 10000000 AS DECIMAL(28, 7)) AS
            CENTS, FREE, ZONE, BAND FROM said) TO '{path}' (HEADER, DELIMITER ';')""")
    return expected


def compared(site: Site, path: Path, tmp_path: Path, **changes: Any) -> Compared:
    (tmp_path / "map.yaml").write_text(yaml.safe_dump({**MAP, **changes}))
    with open_duckdb(site.ledger) as connection:
        return compare(connection, path, read_map(tmp_path / "map.yaml"), Keys.open(site.home.keys).token_key,
                       out=tmp_path / "differences.parquet")


def test_eight_planted_deviations_are_found_and_named(site: Site, tmp_path: Path) -> None:
    expected = plant(site, tmp_path / "bills.csv")
    assert len(expected) == 8 and set(expected) < set(CLASSES)
    found = compared(site, tmp_path / "bills.csv", tmp_path)
    said = {kind: (rows, net, absolute) for kind, rows, net, absolute in by_class(found.differences)}
    assert said == {kind: (EACH, sum(nanos), sum(abs(n) for n in nanos)) for kind, nanos in expected.items()}
    worst = [each.absolute_nanos for each in found.differences]
    assert worst == sorted(worst, reverse=True)
    details = {each.kind: each.detail for each in found.differences}
    assert details["zone"] == "mobile here, satellite there"
    assert details["band"] == "off_peak here, peak there"
    assert details["tax"] == "theirs is 1.19 of ours" and details["other"] == "theirs is 3 of ours"
    assert found.theirs_nanos - found.ours_nanos == sum(sum(nanos) for nanos in expected.values())
    assert found.same == found.matched - 6 * EACH
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT count(*) FROM '{tmp_path}/differences.parquet'").fetchall() == [(8 * EACH,)]


def test_rows_match_by_number_and_time_as_well_and_twice_charged_is_told(site: Site, tmp_path: Path) -> None:
    call = next(row for row in site.rows("rated") if row["service"] == "voice" and row["charge_nanos"] > 0
                and row["msisdn_token"] is not None)
    token_key = Keys.open(site.home.keys).token_key
    number = next(n for n in ask_numbers(site) if token(n, token_key) == call["msisdn_token"])
    at = f"{call['event_time_us']:%d.%m.%Y %H:%M:%S}"
    line = f"+{number};{at};{Decimal(call['charge_nanos']) / 10**9}\n"
    (tmp_path / "bills.csv").write_text("A;AT;EUR\n" + line + line)
    found = compared(site, tmp_path / "bills.csv", tmp_path, charge={"column": "EUR"}, allowance=None, zone=None,
                     band=None, match=[{"ours": "msisdn", "theirs": "A"},
                                       {"ours": "event_time", "theirs": "AT", "format": "%d.%m.%Y %H:%M:%S"}])
    assert found.matched == 1
    [twice] = [each for each in found.differences if each.kind != "missing_there"]
    assert (twice.kind, twice.nanos) == ("duplicate", call["charge_nanos"])


def ask_numbers(site: Site) -> list[str]:
    import pyarrow.parquet as pq

    table = pq.read_table(site.input.operator / "resources.parquet")
    return [row["value"] for row in table.to_pylist() if row["kind"] == "msisdn"]


def token(number: str, key: tuple[int, int]) -> int:
    import pyarrow as pa

    from reference_data.inventory import tokens_of
    from schemas.codes import Identity

    return int(tokens_of(pa.array([number], pa.large_string()), Identity.MSISDN, key)[0])


@pytest.mark.parametrize(("change", "told"), [
    ({"match": []}, "match"), ({"charge": {"column": "CENTS", "unit": "0"}}, "charge.unit"),
    ({"match": [{"ours": "colour", "theirs": "REF"}]}, "event_id"), ({"tax_percent": ["much"]}, "tax_percent"),
    ({"decimals": 12}, "decimals"), ({"charge": {"column": "EURO"}}, "EURO"), ({"delimiter": ";;"}, "delimiter")])
def test_a_map_that_cannot_be_used_is_refused_by_key(site: Site, tmp_path: Path, change: dict[str, Any], told: str
                                                     ) -> None:
    (tmp_path / "bills.csv").write_text("REF;CENTS;FREE;ZONE;BAND\nx;1;0;a;b\n")
    with pytest.raises((ReferenceDataError, LedgerError), match=told):
        compared(site, tmp_path / "bills.csv", tmp_path, **change)


def test_a_charge_that_is_no_number_is_refused(site: Site, tmp_path: Path) -> None:
    (tmp_path / "bills.csv").write_text("REF;CENTS;FREE;ZONE;BAND\nx;1,50;0;a;b\n")
    with pytest.raises(LedgerError, match="1,50"):
        compared(site, tmp_path / "bills.csv", tmp_path)


def test_events_of_the_quote_format_stand_in_for_a_ledger(tmp_path: Path) -> None:
    results = [{"id": f"e{n}", "plan": "basic", "zone": "near", "band": "day", "quantity": 60, "allowance_quantity": 0,
                "charge": charge} for n, charge in enumerate(["0.10", "0.20", "0.30"])]
    (tmp_path / "bills.csv").write_text("REF;EUR\ne0;0.10\ne1;0.2001\ne9;1.00\n")
    (tmp_path / "map.yaml").write_text(yaml.safe_dump({
        "match": [{"ours": "event", "theirs": "REF"}], "delimiter": ";", "charge": {"column": "EUR"}}))
    refused: dict[str, Any] = {"id": "e7", "status": "not_priced"}
    with duckdb.connect() as connection:
        found = compare(connection, tmp_path / "bills.csv", read_map(tmp_path / "map.yaml"), None,
                        quoted_events([*results, refused]))
    assert [(each.kind, each.nanos) for each in found.differences] == [
        ("missing_here", 10**9), ("missing_there", -300_000_000), ("rounding", 100_000)]
    assert (found.matched, found.same) == (2, 1)
