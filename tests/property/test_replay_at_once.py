"""A replay charges many ticks in one go; tick by tick gives the same book, word for word, and the same rows."""

from random import Random

import numpy as np
import pytest

import rating.online_many
from pipelines.charging.folded import TABLES, Folded
from rating.book import BalanceBook
from rating.book_items import to_items
from rating.online_many import ManyDesk, Ticks
from schemas.columns import Cells
from schemas.online import REQUEST
from schemas.rated import RATED
from tests.online_world import BARRED, JANUARY, RULES, SECOND_US, TARIFF, Network, cells_of
from tests.rating_support import make_accounts, one_tariff

LABELS = {"source": ["gy"], "apn": []}
# Allowances, counters that notify, and prices over a day: what makes an event need more than one row of anything.
RICH = TARIFF.replace("plans:", """counters:
  told: {charge: true, cycle: day, thresholds: ["0.01", "0.05", "0.20", "1.00"]}
  used: {unit: octet, cycle: month, thresholds: [1000, 50000, 1000000]}
plans:""").replace("    prices:", """    counters: [told, used]
    allowances:
      - {name: minutes, unit: second, amount: 300, cycle: month}
      - {name: data, unit: octet, amount: 150000, cycle: day}
    prices:""")
LEGGED = TARIFF.replace("  p:\n", "  carrier: {prices: [{service: voice, rate: voice}]}\n  p:\n") + \
    "legs:\n  - {leg: interconnect, account: 4, plan: carrier}\n"


@pytest.fixture(scope="module")
def tariffs(tmp_path_factory):
    found = {}
    for name, text in {"plain": TARIFF, "rich": RICH, "legged": LEGGED}.items():
        folder = tmp_path_factory.mktemp(name)
        found[name] = one_tariff(folder, text)
    return found


def open_desk(tariffs, r):
    states = ["active", "active", r.choice(("active", "pre_active")), r.choice(("active", "pre_active", "one_way"))]
    rows = [{"account_id": number, "opening": r.choice(("0", "0.03", "0.40", "5")), "credit": r.choice(("0", "0.1")),
             "shared": 1 if number in (2, 3) else None, "state": states[number - 1], "plans": [(JANUARY, "p")]}
            for number in (1, 2, 3, 4)]
    rows.append({"account_id": BARRED, "opening": "1", "state": "barred", "plans": [(JANUARY, "p")]})
    book = BalanceBook.create()
    book.open_accounts(make_accounts(rows), tariffs, 0)
    return ManyDesk(book, tariffs, RULES, LABELS)


def recorded(r, ticks, clocks):
    """(time, requests or None: a clock) of each entry."""
    network, found = Network(r), []
    for _ in range(ticks):
        network.now_us += r.choice((1000, 1000, SECOND_US, 20 * SECOND_US, 150 * SECOND_US))
        if r.random() < clocks:
            found.append((network.now_us, None))
        block = network.messages()
        if block:
            found.append((network.now_us, cells_of(block)))
    return found


def tables_of(served):
    folded = Folded()
    for each in served:
        folded.add(each.charged)
        folded.add_grants(each.grants)
    return {name: cells.matrix for name, cells in folded.tables().items()}


def together(desk, journal, r, keep=True):
    """Served in pieces that end anywhere."""
    served, waiting = [], []

    def go():
        if waiting:
            requests = np.concatenate([cells.matrix.reshape(-1) for _, _, cells in waiting])
            first = np.cumsum([0, *(len(cells) for _, _, cells in waiting)])
            served.extend(desk.serve_many(Ticks(requests, first, np.array([p for p, _, _ in waiting]),
                                                np.array([at for _, at, _ in waiting])), keep))
            waiting.clear()

    for position, (now_us, cells) in enumerate(journal, 1):
        if cells is None:
            go()
            served.append(desk.clock(now_us, position))
        else:
            waiting.append((position, now_us, Cells(REQUEST, cells.matrix.copy())))
            if r.random() < 0.03:
                go()
    go()
    return served


def one_by_one(desk, journal):
    return [desk.clock(now_us, position) if cells is None else desk.serve(cells, now_us, position)
            for position, (now_us, cells) in enumerate(journal, 1)]


def same_items(one, other):
    left, right = to_items(one), to_items(other)
    assert left.keys() == right.keys()
    for name, item in left.items():
        if isinstance(item, bytes):
            assert item == right[name], name
        elif hasattr(item, "to_batches"):
            assert [b.to_pydict() for b in item.to_batches()] == [b.to_pydict() for b in right[name].to_batches()], name
        else:
            assert np.array_equal(item, right[name]), name


def check(tariffs, seed, ticks, clocks=0.1):
    r = Random(seed)
    accounts, journal = r.random(), recorded(r, ticks, clocks)
    desks = [open_desk(tariffs, Random(accounts)) for _ in range(3)]
    slow, fast = tables_of(one_by_one(desks[0], journal)), tables_of(together(desks[1], journal, r))
    for name, columns in TABLES:
        for place, column in enumerate(columns.names):
            assert np.array_equal(slow[name][place], fast[name][place]), (seed, name, column)
    assert slow["rated"].shape[0] == len(RATED.columns) and slow["grant"].shape[1]
    for each in together(desks[2], journal, r, keep=False):
        assert not len(each.answers)
    for desk in desks[1:]:
        same_items(desks[0]._book, desk._book)
    return slow


@pytest.mark.parametrize("tariff", ["plain", "rich", "legged"])
def test_many_ticks_at_once_are_what_they_are_one_by_one(tariffs, tariff):
    seen = {}
    for seed in range(8):
        for name, rows in check(tariffs[tariff], seed, 100).items():
            seen[name] = seen.get(name, 0) + rows.shape[1]
    wanted = {"rated", "posting", "suspense", "account_state", "grant"} | {"rich": {"notification"}}.get(tariff, set())
    assert {name for name, rows in seen.items() if rows} >= wanted


def test_room_that_runs_out_in_the_midst_of_ticks_changes_nothing(tariffs, monkeypatch):
    stopped, room_within = [], ManyDesk._room_within
    monkeypatch.setattr(rating.online_many, "_ROWS", 16)
    monkeypatch.setattr(rating.online_many, "_POSTINGS", 1)
    monkeypatch.setattr(ManyDesk, "_room_within", lambda *given: stopped.append(room_within(*given)))
    for seed in range(100, 103):
        check(tariffs["rich"], seed, 200, clocks=0.01)
    assert stopped
