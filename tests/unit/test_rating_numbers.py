"""Large numbers with a closed form: an account with very many events in a cycle, a family of fifty."""

from itertools import pairwise

import numpy as np
import pytest

from rating.book import BalanceBook
from rating.charging import charge
from schemas.columns import Cells
from schemas.money import NANOS
from schemas.timepoint import parse_time
from schemas.usage import USAGE
from tests.rating_support import events_to_cells, make_accounts, one_tariff

JANUARY, JUNE = parse_time("2026-01-01T00:00:00+00:00"), parse_time("2026-06-01T00:00:00+00:00")
CALL = {"id": 1, "service": "voice", "direction": "originating", "account_id": 1, "number": "49", "time_us": JUNE}
TARIFF = """
version: t
active_from: 2026-01-01T00:00:00
time_zone: UTC
currency: EUR
decks: {main: d.csv}
rates: {r: {unit: second, slots: [{price: 0.01}]}}
counters: {calls: {events: true, cycle: month, services: [voice], thresholds: [50000, 100000]}}
plans:
  alone: {counters: [calls], prices: [{service: voice, rate: r}],
          allowances: [{name: a, unit: second, amount: 600000, cycle: month, services: [voice]}]}
  member: {prices: [{service: voice, rate: r}]}
  head: {prices: [{service: voice, rate: r}],
         allowances: [{name: a, unit: second, amount: 4000, cycle: month, services: [voice], member_cap: 100}]}
"""


@pytest.fixture(scope="module")
def tariffs(tmp_path_factory):
    return one_tariff(tmp_path_factory.mktemp("numbers"), TARIFF)


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_an_account_with_very_many_events_in_a_cycle(tariffs, count):
    """Calls of 7 s: 85,714 are covered, of the next one 2 s are, the others cost 0.07; in batches of any size."""
    book = BalanceBook.create()
    rows = [{"account_id": 1, "opening": "100000", "plans": [(JANUARY, "alone")]}]
    book.open_accounts(make_accounts(rows), tariffs, 0)
    one = events_to_cells([CALL | {"quantity": 7}])
    cells = Cells(USAGE, np.ascontiguousarray(np.repeat(one.matrix, count, axis=1)))
    cells["event_id_hi"] = cells["session_hi"] = np.arange(1, count + 1)
    cells["session_lo"] = cells["event_id_lo"]
    cells["event_time_us"] += np.arange(count) * 2_000_000  # a million of them last 23 days
    marks = [0, 1, 8_192, 20_000, count // 2, count - 3, count]
    parts = [charge(cells, low, high, n, tariffs, book) for n, (low, high) in enumerate(pairwise(marks))]
    paid = (count - 85_715) * 7 + 5  # cents
    assert sum(len(p.rated) for p in parts) == count
    assert sum(int(p.rated["allowance_quantity"].sum()) for p in parts) == 600_000
    assert sum(int(p.rated["charge_nanos"].sum()) for p in parts) == paid * NANOS // 100
    assert book.money(0) == 100_000 * NANOS - paid * NANOS // 100
    assert [n for p in parts for n in p.notification["threshold"].tolist()] == [50_000, 100_000]


def test_a_family_of_fifty(tariffs):
    """Each member may take 100 s of the head's 4,000: forty do, ten find none. Each uses 150 s and has 0.30.

    Forty pay 0.50, of which the head 0.20; ten pay 1.50, of which the head 1.20: 20.00 of the head's 25.00.
    """
    rows = [{"account_id": n, "opening": "0.30", "plans": [(JANUARY, "member")], "shared": 99} for n in range(1, 51)]
    book = BalanceBook.create()
    book.open_accounts(make_accounts([*rows, {"account_id": 99, "opening": "25", "plans": [(JANUARY, "head")]}]),
                       tariffs, 0)
    calls = [CALL | {"id": 10 * member + n, "account_id": member, "quantity": 30,
                     "time_us": JUNE + member * 3_600_000_000} for member in range(1, 51) for n in range(5)]
    cells = events_to_cells(calls)
    parts = [charge(cells, low, min(low + 33, 250), n, tariffs, book) for n, low in enumerate(range(0, 250, 33))]
    taken = np.concatenate([p.rated["allowance_quantity"] for p in parts]).reshape(50, 5).sum(axis=1)
    charged = np.concatenate([p.rated["charge_nanos"] for p in parts]).reshape(50, 5).sum(axis=1)
    assert taken.tolist() == [100] * 40 + [0] * 10
    assert charged.tolist() == [NANOS // 2] * 40 + [3 * NANOS // 2] * 10
    assert [book.money(n) for n in range(50)] == [0] * 50
    assert book.money(50) == 5 * NANOS
