"""Rerating: two days with a wrong tariff row, corrected, are as two days that had the right one."""

import csv
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.controls import run_controls
from pipelines.corrections.rerate import Request, rerate
from pipelines.ledger.sql import open_duckdb
from pipelines.sample.generate import generate
from pipelines.sample.tariffs import WRONG_PREFIX
from schemas.rated import RATED
from tests.integration.site import Site

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


@pytest.fixture
def wrong(two_days: Path, tmp_path: Path, keys: Path) -> Site:
    """A site that ran with the wrong row."""
    site = Site(two_days, tmp_path, keys, own_inbox=True)
    site.deliver(two_days.glob("inbox/*/*"))
    site.run()
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
