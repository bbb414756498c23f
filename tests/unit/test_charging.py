"""Hand-worked charges on the example tariff, and each reason for which charging sets an event aside."""

from pathlib import Path

import pytest

import reference_data.tariffs
from rating.book import BalanceBook
from rating.charging import charge
from rating.commands import apply_command
from rating.snapshot import from_arrow, same_state, to_arrow
from reference_data.tariffs.compile import load_tariffs
from schemas.codes import LedgerAccount, PostingReason, RatingStatus, Reason
from schemas.errors import ReferenceDataError
from schemas.money import NANOS
from schemas.timepoint import parse_time
from tests.rating_support import events_to_cells, make_accounts

TARIFFS = load_tariffs(Path(reference_data.tariffs.__file__).parent / "examples" / "tariffs")
JANUARY = parse_time("2026-01-01T00:00:00+00:00")
NOON = parse_time("2026-06-01T10:00:00+00:00")  # a Monday, 12:00 in Berlin
PREPAID, POSTPAID, CHILD = 1, 2, 3


def at(text):
    return parse_time(text)


def new_book(**changes):
    rows = [{"account_id": PREPAID, "opening": "10", "plans": [(JANUARY, "prepaid-basic")]},
            {"account_id": POSTPAID, "credit": "50", "plans": [(JANUARY, "postpaid-family")]},
            {"account_id": CHILD, "opening": "0.10", "shared": POSTPAID, "plans": [(JANUARY, "prepaid-basic")]}]
    rows[0] |= changes
    book = BalanceBook.create()
    book.open_accounts(make_accounts(rows), TARIFFS, 0)
    return book


def call(account=PREPAID, number="4930123456", quantity=60, time_us=NOON, **more):
    return {"service": "voice", "direction": "originating", "account_id": account, "number": number,
            "quantity": quantity, "time_us": time_us, **more}


def charged(book, *usage):
    cells = events_to_cells([e | {"id": i + 1} for i, e in enumerate(usage)], ["ims", "internet"])
    return charge(cells, 0, len(cells), 1, TARIFFS, book, {"apn": ["ims", "internet"]})


def price(*usage, book=None):
    result = charged(book or new_book(), *usage)
    assert len(result.suspense) == 0
    return [n / NANOS for n in result.rated["charge_nanos"].tolist()]


@pytest.mark.parametrize(("event", "expected"), [
    (call(quantity=1), 0.15),                                   # fee 0.05, first minute whole
    (call(quantity=61), 0.1517),                                # 0.15 + 1 s of 0.10/min, half up to 4 decimals
    (call(time_us=at("2026-06-01T19:00:00+00:00")), 0.03),      # off peak, by the second, no fee
    (call(time_us=at("2026-06-01T17:59:30+00:00"), quantity=90), 0.165),  # the first minute reaches into the evening
    (call(number="3312345678", quantity=61), 1.13),             # abroad 60/60: 0.15 + 2 * 0.49
    (call(number="0900", other_class="premium"), 1.99),
    (call(number="112", other_class="emergency"), 0),
    (call(number="0800", other_class="toll_free"), 0),
    (call(direction="terminating", number=""), 0),
    (call(plmn="20801"), 0.64),                                 # roaming: fee 0.15 + 0.49
    ({**call(), "service": "sms", "quantity": 2}, 0.18),
    ({**call(), "service": "data", "quantity": 10_241, "rating_group": 1}, 0.0004),  # two steps of 10 KiB
    ({**call(), "service": "data", "quantity": 5_000_000, "rating_group": 1, "apn": "ims"}, 0),
    ({**call(), "service": "data", "quantity": 1, "rating_group": 1, "plmn": "31026"}, 0.0195),  # 100 KiB of 0.20/MiB
])
def test_an_event_costs_what_the_tariff_says(event, expected):
    assert price(event) == [expected]


def test_the_night_without_two_oclock_and_the_one_that_has_it_twice_keep_their_bands():
    # On the Mondays after, 08:00 in Berlin is 06:00 and 07:00 UTC. The fee is that of the band where the call begins.
    assert price(call(time_us=at("2026-03-30T05:59:30+00:00"), quantity=60)) == [0.115]  # 30 s of 0.03/min, then peak
    assert price(call(time_us=at("2026-10-26T06:59:30+00:00"), quantity=60)) == [0.115]


def test_minimum_charge_is_met_once():
    assert price(call(number="3312345678", quantity=1)) == [0.64]


def test_allowances_before_money_and_the_family_after_ones_own():
    book = new_book()
    result = charged(book, call(POSTPAID, quantity=61), call(CHILD, quantity=30), call(CHILD, quantity=6000))
    assert result.rated["allowance_quantity"].tolist() == [120, 60, 5820]  # in steps of a minute
    assert result.rated["status"].tolist()[:2] == [RatingStatus.ALLOWANCE] * 2
    granted = result.posting["reason"] == PostingReason.GRANT
    assert set(result.posting["account_id"][granted].tolist()) == {POSTPAID}
    # The child pays what is left to pay: its own 0.10, then the family's credit.
    money = result.posting["ledger_account"] == LedgerAccount.BALANCE
    assert result.posting["account_id"][money].tolist() == [CHILD, POSTPAID]


def test_what_no_balance_covers_is_uncollected_and_nothing_goes_below_zero():
    book = new_book(opening="0.10")
    result = charged(book, call(quantity=600))
    assert result.rated["charge_nanos"].tolist() == [1_050_000_000]
    assert result.rated["uncollected_nanos"].tolist() == [950_000_000]
    assert result.rated["status"].tolist() == [RatingStatus.PARTLY_UNCOLLECTED]
    assert PostingReason.UNCOLLECTED_LOSS in result.posting["reason"].tolist()
    assert book.balances(TARIFFS, 1)["amount"][0] == 0


def test_a_session_pays_its_fee_once_and_a_step_reaches_into_the_next_report():
    parts = [call(session=1, quantity=30), call(session=1, quantity=20, time_us=NOON + 30_000_000),
             call(session=1, quantity=11, time_us=NOON + 50_000_000)]
    assert price(*parts) == [0.15, 0, 0.0017]


@pytest.mark.parametrize(("event", "reason"), [
    (call(account=99), Reason.UNKNOWN_ACCOUNT),
    (call(time_us=at("2025-12-31T12:00:00+00:00")), Reason.NO_TARIFF),
    (call(account=4), Reason.NO_PLAN),
    (call(number="999123"), Reason.NO_ZONE),
    (call(plmn="20801", direction="terminating", other_class="text") | {"service": "mms"}, Reason.NO_RATE),
    (call(number="1", other_class="short_code"), Reason.NO_RATE),
    (call(quantity=10**15), Reason.QUANTITY_BEYOND_BOUND),
    (call(quantity=-5), Reason.NEGATIVE_QUANTITY),
])
def test_each_reason_for_setting_an_event_aside(event, reason):
    book = BalanceBook.create()
    rows = [{"account_id": 1, "opening": "10", "plans": [(JANUARY, "prepaid-basic")]},
            {"account_id": 4, "plans": [(NOON + 1, "prepaid-basic")]}]
    book.open_accounts(make_accounts(rows), TARIFFS, 0)
    before = to_arrow(book)
    result = charged(book, event)
    assert len(result.rated) == len(result.posting) == 0
    assert [Reason(r) for r in result.suspense["reason"].tolist()] == [reason]
    assert all(before[name].equals(table) for name, table in to_arrow(book).items())


def command(kind, number="c1", account=PREPAID, **more):
    return {"id": number, "kind": kind, "time": "2026-06-01T10:00:00Z", "account_id": account, **more}


def test_a_command_is_applied_once():
    book = new_book()
    top_up = command("top_up", amount="5.00", currency="EUR")
    first = apply_command(top_up, 1, TARIFFS, book)
    assert first.posting["amount"].tolist() == [5 * NANOS, -5 * NANOS]
    state = to_arrow(book)
    assert len(apply_command(top_up, 2, TARIFFS, book).posting) == 0
    assert all(state[name].equals(table) for name, table in to_arrow(book).items())
    assert book.balances(TARIFFS, 1)["amount"][0] == 15 * NANOS


@pytest.mark.parametrize("bad", [
    command("top_up", amount="-5", currency="EUR"), command("top_up", amount="5", currency="USD"),
    command("top_up", amount=5, currency="EUR"), command("top_up", amount="5e3", currency="EUR"),
    command("adjust", amount="-10.01", currency="EUR"), command("adjust", amount="0", currency="EUR"),
    command("plan_change", plan="gold"), command("credit_limit", amount="-1", currency="EUR"),
    command("state", state="asleep"), command("dance"), command("top_up", number="", amount="1", currency="EUR"),
    {**command("clock"), "time": "soon"}, {"kind": "clock", "time": "2026-06-01T10:00:00Z"},
])
def test_a_command_that_cannot_be_carried_out_is_set_aside_and_changes_nothing(bad):
    book = new_book()
    result = apply_command(bad, 1, TARIFFS, book)
    assert [Reason(r) for r in result.suspense["reason"].tolist()] == [Reason.BAD_COMMAND]
    assert len(result.posting) == 0
    assert same_state(book, new_book())


def test_a_command_for_no_account_is_set_aside():
    result = apply_command(command("top_up", account=77, amount="1", currency="EUR"), 1, TARIFFS, new_book())
    assert result.suspense["reason"].tolist() == [Reason.UNKNOWN_ACCOUNT]


def test_commands_change_plan_credit_limit_and_state():
    book = new_book(opening="0")
    apply_command(command("plan_change", "a", plan="postpaid-family"), 1, TARIFFS, book)
    apply_command(command("credit_limit", "b", amount="3", currency="EUR"), 1, TARIFFS, book)
    apply_command(command("state", "c", state="barred"), 1, TARIFFS, book)
    early = call(number="3312345678", quantity=60, time_us=NOON - 1_000_000)  # still prepaid then: event time decides
    result = charged(book, early, call(quantity=60))
    assert [TARIFFS.labels["plan"][p] for p in result.rated["plan"]] == ["prepaid-basic", "postpaid-family"]
    assert result.rated["uncollected_nanos"].tolist() == [0, 0]
    assert same_state(from_arrow(to_arrow(book)), book)


def test_a_cycle_expires_by_the_clock_and_late_usage_of_a_closed_one_meets_money():
    book = new_book()
    charged(book, call(POSTPAID, quantity=60))
    tick = apply_command({"id": "t", "kind": "clock", "time": "2026-07-05T00:00:00Z"}, 2, TARIFFS, book)
    assert tick.posting["amount"].tolist() == [-5940, 5940]
    assert set(tick.posting["reason"].tolist()) == {PostingReason.EXPIRY}
    late = charged(book, call(POSTPAID, quantity=60))
    assert late.rated["allowance_quantity"].tolist() == [0]
    assert late.rated["charge_nanos"].tolist() == [30_000_000]


def test_nine_buckets_where_seven_fit_survive_a_snapshot(tmp_path):
    allowances = "\n".join(f"      - {{name: a{n}, unit: second, amount: 10, cycle: month, services: [voice]}}"
                           for n in range(9))
    (tmp_path / "d.csv").write_text("prefix,zone\n4,near\n")
    (tmp_path / "n.yaml").write_text(f"""
version: n
active_from: 2026-01-01T00:00:00
time_zone: UTC
currency: EUR
decks: {{main: d.csv}}
rates: {{r: {{unit: second, slots: [{{price: 0.10}}]}}}}
plans:
  p:
    allowances:
{allowances}
    prices: [{{service: voice, rate: r}}]
""")
    tariffs = load_tariffs(tmp_path)
    book = BalanceBook.create()
    book.open_accounts(make_accounts([{"account_id": 1, "opening": "10", "plans": [(JANUARY, "p")]}]), tariffs, 0)
    first = charge(events_to_cells([call(quantity=85)]), 0, 1, 1, tariffs, book)
    assert first.rated["allowance_quantity"].tolist() == [85]
    restored = from_arrow(to_arrow(book))
    assert same_state(restored, book)
    second = charge(events_to_cells([call(quantity=10) | {"id": 2}]), 0, 1, 2, tariffs, restored)
    assert second.rated["allowance_quantity"].tolist() == [5]
    assert second.rated["charge_nanos"].tolist() == [500_000_000]


def test_a_currency_without_a_tariff_is_refused():
    with pytest.raises(ReferenceDataError, match="accounts in USD"):
        new_book(currency="USD")


@pytest.mark.parametrize("mix", ["design", "rich"])
def test_the_benchmark_runs_and_its_checksum_is_that_of_any_block_size_and_any_number_of_threads(mix):
    from benchmarks.rating import SMOKE, run
    small = {**SMOKE, "events": 3000, "first": 1000}
    whole = run({**small, "block": 4000}, mix)
    assert whole["rated"] == 3000
    assert (whole["legs_per_event"] > 0) == (mix == "rich")
    assert run({**small, "block": 700}, mix, threads=2)["checksum"] == whole["checksum"]
