"""Cycles of months by the table of months, and beyond it, against Python's calendar."""

from calendar import monthrange
from datetime import date, timedelta

import pytest

from rating.kernels.calendar import MONTHS_END, cycle_start_nb, month_nb, next_cycle_nb
from schemas.tariff_tables import CYCLE_MONTH

EPOCH = date(1970, 1, 1)
SPANS = [(0, 1200), (10_900, 12_500), (MONTHS_END - 400, MONTHS_END + 400), (-800, 0)]


def begins(year: int, month: int, anchor: int) -> int:
    return (date(year, month, min(anchor, monthrange(year, month)[1])) - EPOCH).days


@pytest.mark.parametrize("anchor", [1, 15, 28, 29, 30, 31])
@pytest.mark.parametrize(("first", "stop"), SPANS)
def test_a_cycle_of_months_begins_on_its_anchor_or_the_months_last_day(first: int, stop: int, anchor: int) -> None:
    for day in range(first, stop):
        today = EPOCH + timedelta(days=day)
        before = today.replace(day=1) - timedelta(days=1)
        this = begins(today.year, today.month, anchor)
        start = this if day >= this else begins(before.year, before.month, anchor)
        assert cycle_start_nb(CYCLE_MONTH, day, anchor) == start
        after = (EPOCH + timedelta(days=start)).replace(day=28) + timedelta(days=4)
        assert next_cycle_nb(CYCLE_MONTH, start, anchor) == begins(after.year, after.month, anchor)


def test_every_day_of_the_table_is_in_its_month() -> None:
    for day in range(MONTHS_END):
        today = EPOCH + timedelta(days=day)
        assert month_nb(day) == (today.year - 1970) * 12 + today.month - 1
    assert month_nb(-1) == month_nb(MONTHS_END) == -1
