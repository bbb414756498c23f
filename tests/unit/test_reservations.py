"""Reserving, reporting, releasing, debiting and enquiring, on the example tariff: hand-worked, then as properties."""

import random
from pathlib import Path

import numpy as np
import pytest

import reference_data.tariffs
from rating.book import BalanceBook
from rating.charging import Wishes, charge
from rating.commands import apply_command
from rating.kernels.layout import B_HOLDS, CHARGE, DEBIT, PRICE_ENQUIRY, RELEASE, REPORT, RESERVE
from rating.snapshot import from_arrow, same_state, to_arrow
from reference_data.tariffs.compile import load_tariffs
from schemas.codes import LedgerAccount, PostingReason, Reason, Unit
from schemas.money import NANOS
from schemas.timepoint import parse_time
from tests.rating_support import events_to_cells, make_accounts

TARIFFS = load_tariffs(Path(reference_data.tariffs.__file__).parent / "examples" / "tariffs")
JANUARY = parse_time("2026-01-01T00:00:00+00:00")
NOON = parse_time("2026-06-01T10:00:00+00:00")
PREPAID, FAMILY, CHILD = 1, 2, 3
MIB = 1 << 20


def new_book(opening="10", child="0.10"):
    rows = [{"account_id": PREPAID, "opening": opening, "plans": [(JANUARY, "prepaid-basic")]},
            {"account_id": FAMILY, "credit": "50", "plans": [(JANUARY, "postpaid-family")]},
            {"account_id": CHILD, "opening": child, "shared": FAMILY, "plans": [(JANUARY, "prepaid-basic")]}]
    book = BalanceBook.create()
    book.open_accounts(make_accounts(rows), TARIFFS, 0)
    return book


def call(ask, quantity=60, account=PREPAID, session=1, time_us=NOON, least=1, **more):
    return ask, least, {"service": "voice", "direction": "originating", "account_id": account, "number": "4930123456",
                        "quantity": quantity, "time_us": time_us, "session": session, **more}


def data(ask, quantity, account=FAMILY, session=1, **more):
    return call(ask, quantity, account, session, service="data", number="", rating_group=1, apn="internet", **more)


class Desk:
    """A book, and what is asked of it. Every block is journaled at the next position."""

    def __init__(self, book):
        self.book, self.number, self.posted = book, 0, {}

    def ask(self, *rows):
        events = []
        for _, _, event in rows:
            self.number += 1
            events.append(event | {"id": self.number})
        cells = events_to_cells(events, ["ims", "internet"])
        wishes = Wishes(np.array([ask for ask, _, _ in rows]), np.array([least for _, least, _ in rows]))
        result = charge(cells, 0, len(cells), self.number, TARIFFS, self.book, {"apn": ["ims", "internet"]}, wishes)
        for account, ledger, unit, amount in zip(*(result.posting[name].tolist() for name in (
                "account_id", "ledger_account", "unit", "amount")), strict=True):
            if ledger in (LedgerAccount.BALANCE, LedgerAccount.ALLOWANCE):
                self.posted[account, unit] = self.posted.get((account, unit), 0) + amount
        return result

    def granted(self, *rows):
        return self.ask(*rows).answers.granted.tolist()

    def money(self, account=PREPAID):
        return self.book.money(self.book.row_of(account)) / NANOS


def whole(book):
    """(account, bucket) to what belongs to it, held or not."""
    cells = book.balances(TARIFFS, 0)
    return {(a, b): n for a, b, n in zip(*(cells[name].tolist() for name in ("account_id", "bucket_id", "amount")),
                                         strict=True)}


def test_what_is_reserved_is_gone_for_others_and_still_belongs_to_the_account():
    desk = Desk(new_book())
    result = desk.ask(call(RESERVE, 60))
    assert (result.answers.granted.tolist(), result.answers.due.tolist()) == ([60], [150_000_000])
    assert len(result.rated) == len(result.posting) == len(result.suspense) == 0
    assert desk.money() == 9.85 and whole(desk.book)[PREPAID, -1] == 10 * NANOS


def test_a_report_gives_back_what_was_held_and_charges_what_was_used():
    desk = Desk(new_book())
    desk.ask(call(RESERVE, 600))
    result = desk.ask(call(REPORT, 30), call(RESERVE, 60, time_us=NOON + 30_000_000))
    assert result.rated["charge_nanos"].tolist() == [150_000_000]  # fee 0.05, first minute whole
    # Seconds 31 to 90: 30 of the first minute are paid for, 30 more at 0.10 a minute.
    assert result.answers.due.tolist() == [150_000_000, 50_000_000]
    assert desk.money() == 9.8
    assert desk.granted(call(RELEASE)) == [-1] and desk.money() == 9.85
    assert not desk.book.held()[0].size


def test_a_grant_shrinks_to_the_last_unit_that_can_be_paid_and_is_refused_when_none_can():
    desk = Desk(new_book("0.17"))  # 0.15 for the first minute, 0.02 for 12 s more at 0.10 a minute
    assert desk.granted(call(RESERVE, 600)) == [72]
    assert desk.granted(call(RESERVE, 600, session=2)) == [0]  # a second call finds nothing left
    assert desk.granted(call(RELEASE), call(RESERVE, 600, session=2)) == [-1, 72]
    assert desk.granted(call(RELEASE, session=2), call(RESERVE, 600, least=73)) == [-1, 0]
    assert desk.money() == 0.17


def test_used_beyond_the_grant_is_charged_and_what_nobody_covers_is_uncollected():
    desk = Desk(new_book("0.15"))
    assert desk.granted(call(RESERVE, 60)) == [60]
    result = desk.ask(call(REPORT, 120))
    assert result.rated["charge_nanos"].tolist() == [250_000_000]
    assert result.rated["uncollected_nanos"].tolist() == [100_000_000]
    assert desk.money() == 0


def test_two_calls_on_one_shared_balance_are_never_granted_more_than_it_has():
    """The child's own 0.10 first, then the family's credit of 50."""
    desk = Desk(new_book())
    per_second = 100_000_000 / 60
    first, second = desk.granted(call(RESERVE, 10**6, CHILD, 1), call(RESERVE, 10**6, CHILD, 2))
    assert first + second > 0 and second in (0, 1)
    used = desk.ask(call(REPORT, first, CHILD, 1))
    assert used.rated["uncollected_nanos"].tolist() == [0]
    spent = sum(used.rated["charge_nanos"].tolist())
    assert spent <= 50.1 * NANOS < spent + 2 * per_second


def test_units_of_allowances_are_held_before_money_and_a_bucket_that_expires_meanwhile_takes_them_along():
    desk = Desk(new_book())
    first = desk.ask(data(RESERVE, 500 * MIB))
    assert first.answers.granted.tolist() == [500 * MIB] and first.answers.due.tolist() == [0]
    assert set(first.posting["reason"].tolist()) == {PostingReason.GRANT}  # met in this cycle for the first time
    before = whole(desk.book)
    bucket = next(b for (a, b) in before if a == FAMILY and b >= 0 and before[a, b] >= 500 * MIB)
    apply_command({"id": "c", "kind": "clock", "time": "2026-07-20T00:00:00Z"}, 9, TARIFFS, desk.book)
    assert whole(desk.book)[FAMILY, bucket] == 500 * MIB  # the rest expired, this is held
    over = desk.ask(data(RELEASE, 0))
    assert over.posting["amount"].tolist() == [-500 * MIB, 500 * MIB]
    assert over.posting["ledger_account"].tolist() == [LedgerAccount.ALLOWANCE, LedgerAccount.EXPIRY]
    assert over.posting["reason"].tolist() == [PostingReason.EXPIRY] * 2
    assert (FAMILY, bucket) not in whole(desk.book)


def test_a_debit_takes_all_or_nothing():
    desk = Desk(new_book("0.20"))
    sms = {"service": "sms"}
    result = desk.ask(call(DEBIT, 2, **sms), call(DEBIT, 1, session=2, **sms))  # 0.09 each
    assert result.answers.granted.tolist() == [2, 0] and result.answers.due.tolist() == [180_000_000, 90_000_000]
    assert result.rated["quantity"].tolist() == [2] and desk.money() == 0.02


def test_an_enquiry_changes_nothing():
    desk = Desk(new_book())
    desk.ask(call(RESERVE, 60, session=2))
    before = from_arrow(to_arrow(desk.book))
    result = desk.ask(call(PRICE_ENQUIRY, 61), call(PRICE_ENQUIRY, 10**6))
    assert result.answers.due.tolist()[0] == 151_700_000 and result.answers.granted.tolist() == [61, 0]
    assert same_state(before, desk.book)


@pytest.mark.parametrize(("row", "reason"), [
    (call(RESERVE, account=99), Reason.UNKNOWN_ACCOUNT),
    (call(RESERVE, number="999123"), Reason.NO_ZONE),
    (call(DEBIT, time_us=parse_time("2025-12-31T12:00:00+00:00")), Reason.NO_TARIFF),
    (call(RESERVE, 10**15), Reason.QUANTITY_BEYOND_BOUND),
])
def test_a_wish_without_a_price_says_why_and_is_not_set_aside(row, reason):
    result = Desk(new_book()).ask(row)
    assert result.answers.reason.tolist() == [reason]
    assert len(result.rated) == len(result.suspense) == len(result.posting) == 0


def test_usage_that_is_reported_without_a_price_is_set_aside_and_gives_back_what_was_held():
    desk = Desk(new_book())
    desk.ask(call(RESERVE, 60))
    result = desk.ask(call(REPORT, 60, number="999123"))
    assert result.suspense["reason"].tolist() == [Reason.NO_ZONE] and desk.money() == 10


def wishes_of(seed, steps, sessions=6):
    """A random course of voice and data sessions of three accounts, and single messages."""
    draw = random.Random(seed)
    for _ in range(steps):
        session, account = draw.randrange(sessions), draw.choice((PREPAID, FAMILY, CHILD))
        time_us = NOON + draw.randrange(10**9) * 1000
        kind = draw.random()
        if kind < 0.1:
            yield call(draw.choice((DEBIT, CHARGE)), draw.randint(1, 4), account, 100 + draw.randrange(10**9),
                       time_us, service="sms")
            continue
        make = call if session % 2 else data
        most = 900 if session % 2 else 300 * MIB
        ask = RESERVE if kind < 0.55 else REPORT if kind < 0.85 else RELEASE if kind < 0.93 else PRICE_ENQUIRY
        yield make(ask, draw.randint(1, most), account, 10 * account + session, time_us=time_us,
                   least=draw.choice((1, 1, 30)))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_asked_balances_are_the_sums_of_postings_and_no_account_goes_below_its_limit(seed):
    desk, opening = Desk(new_book("3", "2")), whole(new_book("3", "2"))
    draw, rows = random.Random(seed), list(wishes_of(seed, 120))
    while rows:
        size = draw.choice((1, 2, 7))
        block, rows = rows[:size], rows[size:]
        result = desk.ask(*block)
        assert len(result.suspense) == 0
        assert all(0 <= g <= row[2]["quantity"] for g, row in zip(result.answers.granted.tolist(), block, strict=True)
                   if row[0] in (RESERVE, DEBIT))
        assert desk.money() >= 0 and desk.money(CHILD) >= 0 and desk.money(FAMILY) >= -50
        assert all(amount > 0 or bucket < 0 for _, bucket, amount in zip(
            *(column.tolist() for column in desk.book.held()), strict=True))
        for account in (PREPAID, FAMILY, CHILD):
            assert whole(desk.book)[account, -1] == opening[account, -1] + desk.posted.get((account, Unit.MONEY), 0)
        restored = from_arrow(to_arrow(desk.book))
        assert whole(restored) == whole(desk.book)
    desk.ask(*[(call if session % 2 else data)(RELEASE, 0, account, 10 * account + session)
               for account in (PREPAID, FAMILY, CHILD) for session in range(6)])
    assert not desk.book.held()[0].size and desk.book.scalars[B_HOLDS] == 0


@pytest.mark.parametrize("seed", range(6))
def test_where_there_is_enough_for_all_reservations_change_no_charge(seed):
    """The same usage, reported within reservations or just charged: the same rows, the same balances.

    Of an account without allowances: there what one call holds, another one pays for in money.
    """
    with_holds, without = Desk(new_book("9999", "9999")), Desk(new_book("9999", "9999"))
    rows = [row for row in wishes_of(seed, 300) if row[2]["account_id"] == PREPAID]
    first = with_holds.ask(*rows)
    second = without.ask(*[(CHARGE if row[0] in (REPORT, DEBIT) else row[0], *row[1:]) if row[0] in (
        CHARGE, REPORT, DEBIT) else (PRICE_ENQUIRY, *row[1:]) for row in rows])
    assert first.rated["charge_nanos"].tolist() == second.rated["charge_nanos"].tolist()
    assert whole(with_holds.book) == whole(without.book)


@pytest.mark.parametrize("seed", range(8))
def test_one_unit_more_than_a_shrunk_grant_could_not_be_paid(seed):
    draw = random.Random(seed)
    desk = Desk(new_book(f"{draw.uniform(0.05, 2):.4f}"))
    desk.ask(call(REPORT, draw.randint(1, 100)))
    for asked in (10**4, 10**6):
        copy = from_arrow(to_arrow(desk.book))
        granted = desk.granted(call(RESERVE, asked))[0]
        desk.ask(call(RELEASE))
        assert granted < asked
        tried = Desk(copy).ask(call(PRICE_ENQUIRY, max(granted, 1)), call(PRICE_ENQUIRY, granted + 1))
        assert tried.answers.granted.tolist() == [granted, 0]
