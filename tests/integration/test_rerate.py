"""Rerating: two days with a wrong tariff row, corrected, are as two days that had the right one."""

import copy
import csv
import datetime
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.accounts.desk import HomeDesk
from pipelines.accounts.history import movement_of
from pipelines.controls import run_controls
from pipelines.corrections.rerate import Request, rerate
from pipelines.corrections.whatif import whatif
from pipelines.home import Home, Input
from pipelines.ledger.sql import open_duckdb
from pipelines.sample.generate import generate
from pipelines.sample.tariffs import WRONG_PREFIX
from rating.reservations import key_of, name_of
from schemas.errors import LedgerError, ReferenceDataError
from schemas.rated import RATED
from tests.integration.site import Site, in_order, put_commands

MADE_US = 1_800_000_000_000_000
NOT_COMPARED = {"revision", "journal_position", "rate_row", "session_numerator_before"}
CURRENT = ", ".join(name for name in RATED.names if name not in NOT_COMPARED)


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All formats, two files of each element and day; France has the price of satellites."""
    folder = tmp_path_factory.mktemp("days") / "input"
    generate(folder, 60, datetime.date(2026, 3, 2), 2, 20_260_302, files_per_source=2)
    return folder


@pytest.fixture(scope="module")
def right(two_days: Path, tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Site]:
    """A site that had the right row from the beginning."""
    site = Site(two_days, tmp_path_factory.mktemp("right"), keys, own_inbox=True)
    mend(site)
    site.deliver(two_days.glob("inbox/*/*"))
    site.run()
    yield site


@pytest.fixture(scope="module")
def ran(two_days: Path, tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Site:
    """A site that ran with the wrong row. Not to be changed."""
    site = Site(two_days, tmp_path_factory.mktemp("ran"), keys, own_inbox=True)
    site.deliver(two_days.glob("inbox/*/*"))
    site.run()
    return site


@pytest.fixture
def wrong(ran: Site, tmp_path: Path) -> Site:
    """A copy of it."""
    shutil.copytree(ran.home.root.parent, tmp_path / "site")
    site = copy.copy(ran)
    site.home, site.input = Home(tmp_path / "site" / "home"), Input(tmp_path / "site" / "input")
    return site


def mend(site: Site) -> None:
    """Put France where it belongs."""
    for path in (site.input.operator / "tariffs" / "decks").glob("*.csv"):
        with path.open() as lines:
            rows = list(csv.reader(lines))
        for row in rows:
            if row[0] == WRONG_PREFIX:
                row[1] = "europe"
        with path.open("w", newline="") as lines:
            csv.writer(lines, lineterminator="\n").writerows(rows)


def ask(site: Site, query: str) -> list[tuple[Any, ...]]:
    with open_duckdb(site.ledger) as connection:
        table = connection.sql(query).to_arrow_table()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def says(site: Site) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Balances, and what is charged now."""
    return (ask(site, "SELECT account_id, bucket_id, unit, currency, amount FROM balance ORDER BY ALL"),
            ask(site, f"SELECT {CURRENT} FROM rated_current ORDER BY ALL"))


def laws_hold(site: Site) -> None:
    with open_duckdb(site.ledger) as connection:
        assert [outcome.control.name for outcome in run_controls(connection) if outcome.red] == []
    assert set(site.said()) >= {"rated", "posting"}  # it verifies


def request(**changes: Any) -> Request:
    return Request(MADE_US, "tester", "a wrong row", **changes)


def test_rerated_days_are_as_days_with_the_right_tariff(wrong: Site, right: Site) -> None:
    assert says(wrong) != says(right)
    mend(wrong)
    done = rerate(wrong.input, wrong.home, request())
    assert done.proved and done.sums.reversed_rows == done.sums.replaced_rows > 0
    assert says(wrong) == says(right)
    laws_hold(wrong)
    [correction] = wrong.rows("correction")
    assert (correction["kind"], correction["who"], correction["why"]) == ("rerate", "tester", "a wrong row")
    assert correction["reversed_count"] == done.sums.reversed_rows
    assert rerate(wrong.input, wrong.home, request()).changes is False


def test_what_was_reserved_stays_reserved(wrong: Site, right: Site, tmp_path: Path) -> None:
    shutil.copytree(right.home.root.parent, tmp_path / "right")
    right = copy.copy(right)
    right.home, right.input = Home(tmp_path / "right" / "home"), Input(tmp_path / "right" / "input")
    ids = ("taken", "back", "over", "open")
    names = {name: name_of(movement_of({"id": name})) for name in ids}
    [(account,)] = ask(right, "SELECT account_id FROM balance WHERE unit = 'money' ORDER BY amount DESC LIMIT 1")
    at = {"account_id": account, "time": "2026-03-03T23:00:00Z"}
    for site in (wrong, right):
        put_commands(site.input.inbox, 99, "20260304000000", [
            *({**at, "id": name, "kind": "reserve", "amount": "0.02", "currency": "EUR",
               "until": f"2026-03-0{5 if name == 'over' else 9}T00:00:00Z"} for name in ids),
            {**at, "id": "t", "kind": "reservation_debit", "reservation": names["taken"], "amount": "0.01"},
            {**at, "id": "b", "kind": "reservation_release", "reservation": names["back"]},
            {"id": "c", "kind": "clock", "time": "2026-03-06T00:00:00Z"}])
        site.run()
    mend(wrong)
    assert rerate(wrong.input, wrong.home, request()).changes
    assert says(wrong) == says(right)
    laws_hold(wrong)
    for site in (wrong, right):
        with HomeDesk(site.input, site.home) as desk:
            kept = desk.book.reservations.by_key
            assert [kept[key_of(names[name])].state for name in ids] == [1, 2, 3, 0]
            assert desk.book.reservations.of(account)[0][1].amount_nanos == 20_000_000
            assert float(desk.show(str(account), MADE_US)["held"]) == 0.02


def charges(site: Site) -> dict[tuple[str, str], int]:
    """Charge by event."""
    return {(hi, lo): nanos for hi, lo, nanos in
            ask(site, "SELECT event_id_hi, event_id_lo, charge_nanos FROM rated_current")}


def test_only_usage_of_the_stretch_has_the_new_prices(wrong: Site, right: Site) -> None:
    noon = 1_772_449_200_000_000  # 2026-03-02 11:00 UTC
    mend(wrong)
    before, mended = charges(wrong), charges(right)
    done = rerate(wrong.input, wrong.home, request(from_us=noon))
    assert done.proved and done.changes
    after = charges(wrong)
    whole = {(hi, lo) for hi, lo in ask(wrong, "SELECT event_id_hi, event_id_lo FROM rated_current "
                                        "WHERE session_quantity_before IS NULL OR session_quantity_before = 0")}
    early = {(hi, lo) for hi, lo in ask(wrong, f"SELECT event_id_hi, event_id_lo FROM rated_current "
                                               f"WHERE event_time_us < make_timestamptz({noon})")}
    assert all(after[event] == before[event] for event in early)
    assert all(after[event] == mended[event] for event in whole - early)
    laws_hold(wrong)
    # The rest of it: what was corrected already stays so, and both together are the whole.
    rerate(wrong.input, wrong.home, request(to_us=noon))
    assert says(wrong) == says(right)
    laws_hold(wrong)


def test_chosen_accounts_and_whoever_shares_with_them_are_computed_and_nobody_else_moves(wrong: Site, right: Site
                                                                                          ) -> None:
    mend(wrong)
    [(account,)] = ask(wrong, "SELECT account_id FROM rated_current WHERE zone = 'satellite' ORDER BY 1 LIMIT 1")
    done = rerate(wrong.input, wrong.home, request(accounts=np.array([account])))
    assert done.changes and done.accounts < 20
    query = "SELECT bucket_id, amount FROM balance WHERE account_id = {} ORDER BY ALL"
    assert ask(wrong, query.format(account)) == ask(right, query.format(account))
    laws_hold(wrong)
    rerate(wrong.input, wrong.home, request())
    assert says(wrong) == says(right)


def test_a_dry_run_says_the_same_and_commits_nothing(wrong: Site) -> None:
    mend(wrong)
    before = wrong.said()
    dry = rerate(wrong.input, wrong.home, request(), dry_run=True)
    assert wrong.said() == before
    assert dry.sums == rerate(wrong.input, wrong.home, request()).sums


def test_a_journal_that_moves_meanwhile_is_caught_up_with(wrong: Site, right: Site) -> None:
    mend(wrong)
    late = [put_commands(site.input.inbox, 99, "20260304000000", [
        {"id": "late", "kind": "adjust", "time": "2026-03-03T23:00:00Z", "account_id": 1, "amount": "0.01",
         "currency": "EUR"}]) for site in (wrong, right)]
    ran: list[object] = []

    def meanwhile() -> None:
        if not ran:
            ran.append(wrong.run())

    before = wrong.ledger.logs()["charging"].positions()["journal"]
    done = rerate(wrong.input, wrong.home, request(), between=meanwhile)
    assert done.base > before
    right.run()
    try:
        assert says(wrong) == says(right)
        laws_hold(wrong)
    finally:
        for path in late:
            path.unlink()


def test_the_folder_or_version_that_is_asked_for_holds(wrong: Site, right: Site, tmp_path: Path) -> None:
    shutil.copytree(right.input.operator / "tariffs", tmp_path / "mended")
    rerate(wrong.input, wrong.home, request(tariff=str(tmp_path / "mended")))
    assert says(wrong) == says(right)
    versions = sorted(path.stem for path in (wrong.input.operator / "tariffs").glob("*.yaml"))
    done = rerate(wrong.input, wrong.home, request(tariff=versions[0]))
    assert done.changes
    assert ask(wrong, "SELECT DISTINCT tariff_version FROM rated_current") == [(versions[0],)]
    laws_hold(wrong)
    with pytest.raises(ReferenceDataError, match=versions[0]):
        rerate(wrong.input, wrong.home, request(tariff="no-such-version"))


def test_usage_after_a_rerating_goes_on_from_the_corrected_balances(two_days: Path, ran: Site, right: Site,
                                                                     tmp_path: Path, keys: Path) -> None:
    site = Site(two_days, tmp_path, keys, own_inbox=True)
    files = in_order(two_days / "inbox")
    [(first,)] = ask(ran, "SELECT min(file_id) FROM rated_current WHERE zone = 'satellite'")
    site.deliver(files[:first])
    site.run()
    mend(site)
    assert rerate(site.input, site.home, request()).changes
    site.deliver(files[first:])
    site.run()
    assert says(site) == says(right)
    laws_hold(site)


def test_who_and_why_must_be_said(wrong: Site) -> None:
    with pytest.raises(LedgerError, match="why"):
        rerate(wrong.input, wrong.home, Request(MADE_US, "tester", " "))


def test_a_past_that_does_not_replay_is_not_corrected(wrong: Site, tmp_path: Path) -> None:
    """Tariffs given as those of the past that are not those of the past."""
    mend(wrong)
    shutil.copytree(wrong.input.operator / "tariffs", tmp_path / "mended")
    with pytest.raises(LedgerError, match="replaying the past as it was"):
        rerate(wrong.input, wrong.home, request(as_charged=tmp_path / "mended"))
    done = rerate(wrong.input, wrong.home, request(as_charged=tmp_path / "mended", trust=True))
    assert done.changes
    laws_hold(wrong)


def test_what_if_says_what_a_run_under_that_tariff_charges(ran: Site, right: Site, tmp_path: Path) -> None:
    before = ran.said()
    found = whatif(ran.input, ran.home, right.input.operator / "tariffs", out=tmp_path / "out")
    assert ran.said() == before
    sums = "service, plan, zone, currency, count(*), sum(quantity), sum(charge_nanos), sum(uncollected_nanos)"
    with open_duckdb(ran.ledger) as connection:
        for side, site in (("actual", ran), ("whatif", right)):
            said = connection.execute(
                f"SELECT service, plan, zone, currency, sum(events), sum(quantity), sum(charge_nanos), "
                f"sum(uncollected_nanos) FROM read_parquet('{tmp_path}/out/revenue.parquet') WHERE side = '{side}' "
                "GROUP BY ALL ORDER BY ALL").fetchall()
            assert said == [tuple(row) for row in ask(site, f"SELECT {sums} FROM rated_current GROUP BY ALL "
                                                            "ORDER BY ALL")]
        assert connection.execute(f"SELECT DISTINCT segment FROM read_parquet('{tmp_path}/out/revenue.parquet') "
                                  "ORDER BY 1").fetchall() == [("postpaid",), ("prepaid",)]
    assert {zone for zone, _, actual, other in found.by("zone") if actual != other} == {"europe", "satellite"}
    assert found.unrated["actual"] == found.unrated["whatif"]
