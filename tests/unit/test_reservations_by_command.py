"""Reservations by command, against an oracle that keeps plain numbers; over by the clock, kept in snapshots."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.accounts.history import movement_of
from rating.book import BalanceBook
from rating.commands import apply_command
from rating.kernels.layout import B_HOLDS, STATE
from rating.online import OnlineDesk
from rating.reservations import REMEMBER_US, Key, Reservations, ReservationState, key_of, name_of
from rating.snapshot import from_arrow, same_state, to_arrow
from reference_data.online import OnlineRules
from reference_data.tariffs.compile import Tariffs
from schemas.codes import LedgerAccount
from schemas.money import NANOS
from schemas.timepoint import SECOND_US, format_time, parse_time
from tests.rating_support import make_accounts, one_tariff

BEGAN = parse_time("2026-01-05T00:00:00+00:00")
TARIFF = """
version: t
active_from: 2026-01-01T00:00:00
time_zone: UTC
currency: EUR
decks: {main: d.csv}
rates: {r: {unit: second, slots: [{price: 0.60, per: 60}]}}
plans: {plain: {prices: [{service: voice, rate: r}]}}
"""


@pytest.fixture(scope="module")
def tariffs(tmp_path_factory: pytest.TempPathFactory) -> Tariffs:
    return one_tariff(tmp_path_factory.mktemp("tariffs"), TARIFF)


@dataclass
class World:
    """A book of two accounts with 10.00, the second with a credit of 5.00; and what it should be."""

    tariffs: Tariffs
    count: int = 0
    now_us: int = BEGAN
    posted: int = 0
    money: dict[int, int] = field(default_factory=lambda: {1: 10, 2: 10})
    open: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # account, amount, until

    def __post_init__(self) -> None:
        self.book = BalanceBook.create()
        accounts = make_accounts([{"account_id": account, "opening": "10", "plans": [(0, "plain")], "credit": credit}
                                  for account, credit in ((1, "0"), (2, "5"))])
        self.book.open_accounts(accounts, self.tariffs, 0)
        self.rules, self.labels = OnlineRules(), {"source": ["commands"], **self.tariffs.labels}

    def send(self, kind: str, account: int, **fields: object) -> tuple[str, str]:
        """(id of its movement, why it was refused)."""
        self.count += 1
        command = {"id": f"c{self.count}", "time": format_time(self.now_us), "kind": kind, "account_id": account,
                   **fields}
        done = apply_command(command, self.count, self.tariffs, self.book)
        self.posted += sum(int(a) for a, side in zip(done.posting["amount"], done.posting["ledger_account"],
                                                     strict=True) if side == LedgerAccount.BALANCE)
        again = apply_command(command, self.count, self.tariffs, self.book)
        assert done.refusal or not len(again.posting)
        return name_of(movement_of(command)), done.refusal

    def clock(self, seconds: int) -> int:
        self.now_us += seconds * SECOND_US
        desk = OnlineDesk(self.book, self.tariffs, self.rules, self.labels)
        grants = desk.clock(self.now_us, self.count).grants
        assert (grants["released"] == 1).all()
        return len(grants)

    def free(self, account: int) -> int:
        return self.money[account] + (5 if account == 2 else 0) - self.held(account)

    def held(self, account: int) -> int:
        return sum(amount for owner, amount, _ in self.open.values() if owner == account)

    def check(self) -> None:
        for account in (1, 2):
            row = self.book.row_of(account)
            rows, buckets, amounts = self.book.held()
            held = int(amounts[(rows == row) & (buckets < 0)].sum())
            assert (self.book.money(row), held) == ((self.money[account] - self.held(account)) * NANOS,
                                                    self.held(account) * NANOS)
        assert int(self.book.scalars[B_HOLDS]) == len(self.open)
        assert self.posted == (sum(self.money.values()) - 20) * NANOS
        again = from_arrow(to_arrow(self.book))
        assert same_state(again, self.book) and again.reservations.by_key == self.book.reservations.by_key
        for book in (again, self.book):  # whose are open, against looking at all of them
            open_of: dict[int, set[Key]] = {}
            for key, each in book.reservations.by_key.items():
                if each.state == ReservationState.OPEN:
                    open_of.setdefault(each.account_id, set()).add(key)
            assert {account: set(keys) for account, keys in book.reservations.open_of.items()} == open_of
        assert sorted(again.reservations.due) == sorted(d for d in self.book.reservations.due
                                                        if d in again.reservations.due)


steps = st.lists(st.one_of(
    st.tuples(st.just("reserve"), st.integers(1, 2), st.integers(-1, 12), st.integers(1, 40)),
    st.tuples(st.just("debit"), st.integers(0, 30), st.integers(0, 12)),
    st.tuples(st.just("release"), st.integers(0, 30), st.integers(1, 2)),
    st.tuples(st.just("top_up"), st.integers(1, 2), st.integers(1, 5)),
    st.tuples(st.just("clock"), st.integers(0, 25)),
    st.tuples(st.just("wait"), st.integers(0, 25))), max_size=25)


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_whatever_is_reserved_debited_released_or_over_agrees_with_the_oracle(tariffs: Tariffs, steps: list) -> None:
    world, made = World(tariffs), list[str]()
    for step in steps:
        if step[0] == "reserve":
            _, account, amount, lasts = step
            until = world.now_us + lasts * SECOND_US
            lapsed = {k for k, (owner, _, end) in world.open.items() if owner == account and end <= world.now_us}
            free = world.free(account) + sum(world.open[k][1] for k in lapsed)
            name, why = world.send("reserve", account, amount=f"{amount}.00", currency="EUR",
                                   until=format_time(until))
            assert (why == "") == (0 < amount <= free), why
            if not why:
                for k in lapsed:  # whose money it may have
                    del world.open[k]
                world.open[name] = account, amount, until
                made.append(name)
        elif step[0] in ("debit", "release") and made:
            name = made[step[1] % len(made)]
            account, held, until = world.open.get(name, (1, 0, 0))
            if step[0] == "debit":
                _, why = world.send("reservation_debit", account, reservation=name,
                                    **({"amount": f"{step[2]}.00"} if step[2] else {}))
                taken = step[2] or held
                fine = world.now_us < until and taken <= held
            else:
                account, taken = step[2], 0
                _, why = world.send("reservation_release", account, reservation=name)
                fine = world.now_us < until and name in world.open and world.open[name][0] == account
            assert (why == "") == fine, why
            if fine:
                world.money[account] -= taken
                del world.open[name]
        elif step[0] == "top_up":
            world.send("top_up", step[1], amount=f"{step[2]}.00", currency="EUR")
            world.money[step[1]] += step[2]
        elif step[0] == "clock":
            gone = world.clock(step[1])
            over = [k for k, (_, _, end) in world.open.items() if end <= world.now_us]
            for k in over:
                del world.open[k]
            assert gone == len(over)
        elif step[0] == "wait":
            world.now_us += step[1] * SECOND_US
        world.check()


def test_what_is_over_is_remembered_for_a_while_and_the_clock_command_ends_too(tariffs: Tariffs) -> None:
    world = World(tariffs)
    name, why = world.send("reserve", 1, amount="4.00", currency="EUR")
    key = key_of(name)
    assert why == "" and key is not None and name_of(key) == name
    world.now_us += 86_400 * SECOND_US
    world.send("clock", 0)
    assert world.book.reservations.by_key[key].state == ReservationState.EXPIRED and not world.book.holds[:, 0].any()
    assert "it was expired" in world.send("reservation_debit", 1, reservation=name)[1]
    assert "no such" in world.send("reservation_debit", 2, reservation=name)[1]
    assert world.clock(REMEMBER_US // SECOND_US - 1) == 0 and key in world.book.reservations.by_key
    world.clock(2)
    assert world.book.reservations == Reservations()


def test_who_may_not_spend_may_not_reserve(tariffs: Tariffs) -> None:
    world = World(tariffs)
    world.send("state", 1, state="barred")
    assert world.book.records[world.book.row_of(1), STATE] != 1
    assert "not active" in world.send("reserve", 1, amount="4.00", currency="EUR")[1]
    for until in ("2026-01-05T00:00:00Z", "2026-03-05T00:00:00Z"):
        assert "until" in world.send("reserve", 2, amount="4.00", currency="EUR", until=until)[1]
    for _ in range(100):
        assert not world.send("reserve", 2, amount="0.01", currency="EUR")[1]
    assert "100 reservations" in world.send("reserve", 2, amount="0.01", currency="EUR")[1]
    assert np.count_nonzero(world.book.holds[:, 0]) == 100
