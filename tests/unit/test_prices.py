"""What prices have beyond slots and steps, worked by hand: limits, flat slots, straddling, discounts, tax, counters."""

import pytest

from rating.book import BalanceBook
from rating.charging import charge
from rating.explain import explain_rated
from rating.snapshot import from_arrow, same_state, to_arrow
from reference_data.tariffs.compile import load_tariffs
from schemas.codes import LedgerAccount, PostingReason, Reason
from schemas.errors import ReferenceDataError
from schemas.money import parse_money
from schemas.timepoint import parse_time
from tests.rating_support import events_to_cells, make_accounts

JANUARY = parse_time("2026-01-01T00:00:00+00:00")
NOON = parse_time("2026-06-01T12:00:00+00:00")  # a Monday
SECOND_US = 1_000_000
BANDS = """
timings:
  hours:
    - {band: peak, from: "08:00", to: "20:00"}
    - {band: calm, otherwise: true}
"""
PRICE = "{service: voice, rate: r}"


class World:
    """A tariff of one plan `p`, written in a folder, and an account on it with 100.00."""

    def __init__(self, folder, rates, prices=PRICE, more="", **plan):
        (folder / "d.csv").write_text("prefix,zone\n4,near\n3,far\n")
        lines = "\n".join(f"    {key}: {value}" for key, value in plan.items())
        listed = "\n".join(f"  {name}: {rate}" for name, rate in rates.items())
        (folder / "t.yaml").write_text(f"""version: t
active_from: 2026-01-01T00:00:00
time_zone: UTC
currency: EUR
decks: {{main: d.csv}}
{BANDS}
{more}
rates:
{listed}
plans:
  p:
    prices: [{prices}]
{lines}
""")
        self.tariffs = load_tariffs(folder)
        self.book = BalanceBook.create()
        self.book.open_accounts(make_accounts([
            {"account_id": 1, "opening": "100", "plans": [(JANUARY, "p")], "zone": "Europe/Berlin", "anchor": 15},
            {"account_id": 2, "opening": "100", "plans": [(JANUARY, "p")]}]), self.tariffs, 0)
        self.position = 0

    def charge(self, *events):
        self.position += 1
        cells = events_to_cells([e | {"id": 100 * self.position + n} for n, e in enumerate(events)])
        self.last = charge(cells, 0, len(cells), self.position, self.tariffs, self.book)
        self.check_explained()
        return self.last

    def check_explained(self):
        """Every charge is recomputed from what its row says."""
        posting = self.last.posting
        for k in range(len(self.last.rated)):
            row = {name: int(self.last.rated[name][k]) for name in self.last.rated.columns.names}
            mine = ((posting["movement_hi"] == row["event_id_hi"]) & (posting["amount"] < 0)
                    & (posting["ledger_account"] == LedgerAccount.ALLOWANCE))
            taken = list(zip(posting["bucket_id"][mine].tolist(), (-posting["amount"][mine]).tolist(), strict=True))
            said = explain_rated(row, self.tariffs, taken)
            assert said["agrees"], (row, said)

    def cost(self, *events):
        """Charges as decimal numbers."""
        rated = self.charge(*events).rated
        assert len(rated) == len(events), [Reason(r) for r in self.last.suspense["reason"]]
        return [n / 10**9 for n in rated["charge_nanos"].tolist()]


def call(quantity, time_us=NOON, number="49", account=1, **more):
    return {"service": "voice", "direction": "originating", "account_id": account, "number": number,
            "quantity": quantity, "time_us": time_us, **more}


def parts(*quantities, time_us=NOON, **more):
    """Reports of one call, one after the other."""
    events, at = [], 0
    for quantity in quantities:
        events.append(call(quantity, time_us + at * SECOND_US, session=7, **more))
        at += quantity
    return events


def both_ways(world, whole, *quantities, **more):
    """A call costs the same as one record and in parts."""
    assert sum(quantities) == whole["quantity"]
    at_once = world.cost(whole)[0]
    assert round(sum(world.cost(*parts(*quantities, **more))), 9) == at_once
    return at_once


def test_a_session_is_billed_as_if_it_had_the_minimum_quantity(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, minimum_quantity: 60, slots: [{price: 0.01}]}"})
    assert world.cost(call(1), call(61), call(0)) == [0.60, 0.61, 0]
    assert world.cost(*parts(20, 30, 40)) == [0.60, 0, 0.30]


def test_a_maximum_makes_the_rest_free_and_says_where_it_disconnects(tmp_path):
    slots = "connect_fee: 0.05, maximum_charge: 1.00, slots: [{price: 0.10, per: 60, step: 60}]"
    world = World(tmp_path, {"r": f"{{unit: second, {slots}}}",
                             "s": f"{{unit: second, at_maximum: disconnect, {slots}}}"},
                  "{service: voice, zones: [near], rate: r}, {service: voice, zones: [far], rate: s}")
    # 0.05 + 9 minutes is 0.95; the tenth minute would make it 1.05.
    assert world.cost(call(540), call(541), call(100_000)) == [0.95, 1.00, 1.00]
    assert world.last.rated["maximum_reached_at"].tolist() == [-1, -1, -1]
    assert world.cost(call(540, number="3"), call(541, number="3"), call(100_000, number="3")) == [0.95, 1.00, 1.00]
    assert world.last.rated["maximum_reached_at"].tolist() == [-1, 600, 600]
    assert world.cost(*parts(500, 100, 300, number="3")) == [0.95, 0.05, 0]
    assert world.last.rated["maximum_reached_at"].tolist() == [-1, 600, 600]


def test_what_a_maximum_has_made_free_takes_no_allowance(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, maximum_charge: 0.10, slots: [{price: 0.01}]}"}, allowances="["
                  "{name: a, unit: second, amount: 100, cycle: day, services: [voice]}]")
    midnight = parse_time("2026-06-01T22:00:00+00:00")  # in Berlin
    first, second = parts(110, 50, time_us=midnight - 110 * SECOND_US)
    assert world.cost(first, second) == [0.10, 0]
    assert world.last.rated["allowance_quantity"].tolist() == [100, 0]


def test_flat_slots_cost_their_amount_once_when_the_session_reaches_them(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, slots: [{flat: 0.50}, {from: 60, flat: 0.30}, "
                                  "{from: 600, price: 0.01}, {from: 700, flat: 2}]}"})
    assert world.cost(call(1), call(60), call(61), call(600), call(601), call(700), call(701), call(9999)) == [
        0.50, 0.50, 0.80, 0.80, 0.81, 1.80, 3.80, 3.80]
    assert world.last.rated["billed_quantity"].tolist() == [60, 60, 600, 600, 601, 700, 701, 9999]
    both_ways(world, call(9000), 30, 40, 800, 8130)


def test_the_free_quantity_lies_before_the_slots(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, free_quantity: 30, slots: [{price: 0.10, step: 10}, "
                                  "{from: 60, price: 0.01}]}"})
    assert world.cost(call(30), call(31), call(90), call(100)) == [0, 1.00, 6.00, 6.10]


@pytest.mark.parametrize(("straddling", "expected"), [
    ("begin", 0.80),           # the step from 19:59:40 is peak to its end; the next minute is calm: 0.60 + 0.20
    ("session_start", 1.20),   # two minutes of peak
    ("split", 0.20 + 0.20 * 40 / 60 + 0.20),   # 20 s of peak, 40 s of calm, a minute of calm
])
def test_a_step_over_a_boundary_of_bands(tmp_path, straddling, expected):
    world = World(tmp_path, {
        "peak": f"{{unit: second, straddling: {straddling}, slots: [{{price: 0.60, per: 60, step: 60}}]}}",
        "calm": f"{{unit: second, straddling: {straddling}, slots: [{{price: 0.20, per: 60, step: 60}}]}}"},
        "{service: voice, timing: hours, rates: {peak: peak, calm: calm}}")
    evening = parse_time("2026-06-01T19:59:40+00:00")
    assert world.cost(call(61, evening)) == [round(expected, 4)]
    assert both_ways(world, call(61, evening), 10, 30, 21, time_us=evening) == round(expected, 4)


def test_a_split_step_is_cut_at_slots_too(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, straddling: split, slots: [{price: 0.60, per: 60, step: 60}, "
                                  "{from: 90, price: 0.10, per: 60, step: 1}]}"})
    # A minute at 0.60; the second minute: 30 s of it at 0.60, 30 s at 0.10; then by the second.
    assert world.cost(call(60), call(61), call(120), call(126)) == [0.60, 0.95, 0.95, 0.96]
    assert both_ways(world, call(126), 61, 65) == 0.96


def test_prices_of_one_call_are_cut_into_few_pieces_however_long_it_is(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, slots: [{price: 0.0001}]}",
                             "d": "{unit: octet, slots: [{price: 0.01, per: 1 MB, step: 1}]}"},
                  PRICE + ", {service: data, rate: d}", more="data_classes: [{class: web}]")
    world.charge({"service": "data", "direction": "originating", "account_id": 1, "quantity": 10**12,
                  "time_us": NOON, "rating_group": 1})
    assert world.last.turns == 1
    assert world.last.rated["charge_nanos"].tolist() == [parse_money("10000")]
    world.charge({"service": "data", "direction": "originating", "account_id": 2, "quantity": 1,
                  "time_us": NOON, "rating_group": 1})
    assert world.last.turns == 1


@pytest.mark.parametrize(("scope", "expected"), [
    ("session", [0.02, 0, 0.01, 0.02]),   # 0.015 -> 0.02; 0.020; 0.025 -> 0.03 (half up); another call 0.015
    ("report", [0.02, 0.01, 0.01, 0.02]),  # each of its own: 0.015, 0.005, 0.005, 0.015
    ("day", [0.02, 0, 0.01, 0.01]),        # 0.015, 0.020, 0.025, 0.040
])
def test_what_is_rounded_once(tmp_path, scope, expected):
    world = World(tmp_path, {"r": "{unit: second, slots: [{price: 0.005}]}"},
                  rounding=f"{{rule: half_up, decimals: 2, scope: {scope}}}")
    assert world.cost(*parts(3, 1, 1), call(3)) == expected


def test_a_day_of_the_account_begins_at_its_midnight_and_other_accounts_have_their_own(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, slots: [{price: 0.004}]}"},
                  rounding="{rule: half_up, decimals: 2, scope: day}")
    midnight = parse_time("2026-06-01T22:00:00+00:00")  # in Berlin; account 2 lives in UTC
    assert world.cost(call(1), call(1), call(1, midnight), call(1, midnight), call(1, midnight, account=2),
                      call(1, account=2)) == [0, 0.01, 0, 0.01, 0, 0.01]
    assert same_state(from_arrow(to_arrow(world.book)), world.book)


def test_discounts_apply_in_their_order_within_their_scope(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, connect_fee: 0.10, slots: [{price: 0.01}]}"}, more="""
discounts:
  tenth: {percent: 10, cap: 0.50}
  off: {amount: 0.20, zones: [near]}
  half: {percent: 50, zones: [far]}
""", discounts="[tenth, off, half]")
    # Near: 1.10 - 0.11 - 0.20; 10.10 - 0.50 (cap) - 0.20; 0.15 - 0.015 - 0.135. Far: 1.10 * 0.9 * 0.5.
    assert world.cost(call(100), call(1000), call(5), call(100, number="3")) == [0.79, 9.40, 0, 0.495]
    assert round(sum(world.cost(*parts(5, 95, 900))), 9) == 9.40


def test_a_session_whose_discounts_change_goes_on_at_its_position_without_a_second_fee(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, connect_fee: 0.10, slots: [{price: 0.01, step: 60}]}"}, more="""
discounts:
  half: {percent: 50, zones: [far]}
""", discounts="[half]")
    near, far = call(50, session=9), call(50, session=9, number="3")
    assert world.cost(near, far) == [0.70, 0.30]  # the second minute, at half


@pytest.mark.parametrize(("prices", "expected", "tax"), [("inclusive", 1.19, 0.19), ("exclusive", 1.4161, 0.2261)])
def test_tax_is_a_part_of_every_charge(tmp_path, prices, expected, tax):
    world = World(tmp_path, {"r": "{unit: second, slots: [{price: 0.0119}]}"},
                  tax=f"{{percent: 19, prices: {prices}}}")
    assert world.cost(call(100)) == [expected]
    assert world.last.rated["tax_nanos"].tolist() == [parse_money(str(tax))]
    by_account = {}
    for account, amount in zip(world.last.posting["ledger_account"].tolist(), world.last.posting["amount"].tolist(),
                               strict=True):
        by_account[LedgerAccount(account)] = by_account.get(LedgerAccount(account), 0) + amount
    assert by_account == {LedgerAccount.BALANCE: -parse_money(str(expected)), LedgerAccount.TAX: parse_money(str(tax)),
                          LedgerAccount.REVENUE: parse_money(str(expected)) - parse_money(str(tax))}
    assert round(sum(world.cost(*parts(33, 33, 34))), 9) == expected
    assert sum(world.last.rated["tax_nanos"].tolist()) == parse_money(str(tax))


MINUTES = "counters: {minutes: {unit: second, cycle: month, service: voice, thresholds: [60, 90, 300]}}"


def test_graduated_tiers_over_a_counter_go_on_in_the_next_call_of_the_cycle(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, over: minutes, connect_fee: 0.01, slots: [{price: 0.10}, "
                                  "{from: 100, price: 0.02}]}"}, more=MINUTES, counters="[minutes]")
    assert world.cost(call(90), call(20), call(10)) == [9.01, 1.21, 0.21]
    assert world.last.rated["counter_before"].tolist() == [0, 90, 110]
    # The account's cycle turns on the 15th, at midnight in Berlin.
    turn = parse_time("2026-06-14T22:00:00+00:00")
    assert world.cost(call(1, turn - 1), call(1, turn)) == [0.03, 0.11]


def test_a_package_is_a_step_as_large_as_the_package(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, over: minutes, slots: [{price: 5, per: 3600, step: 3600}]}"},
                  more=MINUTES, counters="[minutes]")
    assert world.cost(call(600), call(3000), call(1), call(3000)) == [5, 0, 5, 0]


def test_a_daily_cap(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, over: today, maximum_charge: 2, slots: [{price: 0.01}]}"},
                  more="counters: {today: {unit: second, cycle: day}}", counters="[today]")
    assert world.cost(call(150), call(150), call(150), call(10, account=2)) == [1.50, 0.50, 0, 0.10]
    assert world.cost(call(10, NOON + 86_400 * SECOND_US)) == [0.10]


def test_volume_tiers_credit_what_was_too_much(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, over: minutes, tiers: volume, slots: [{price: 0.10}, "
                                  "{from: 100, price: 0.05}]}"}, more=MINUTES, counters="[minutes]",
                  tax="{percent: 25, prices: inclusive}")
    assert world.cost(call(90), call(10), call(1), call(99)) == [9.00, 1.00, -4.95, 4.95]
    assert world.last.rated["tax_nanos"].tolist() == [parse_money(n) for n in ("1.80", "0.20", "-0.99", "0.99")]
    money = world.last.posting["ledger_account"] == LedgerAccount.BALANCE
    assert world.last.posting["amount"][money].tolist() == [parse_money(n) for n in ("-9", "-1", "4.95", "-4.95")]
    assert set(world.last.posting["reason"][money].tolist()) == {PostingReason.CHARGE}


def test_price_by_call_length(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, tiers: volume, slots: [{price: 0.30, per: 60, step: 60}, "
                                  "{from: 300, price: 0.10, per: 60, step: 60}]}"})
    assert world.cost(call(60), call(300), call(301)) == [0.30, 1.50, 0.60]
    assert both_ways(world, call(301), 100, 200, 1) == 0.60


def test_a_threshold_is_notified_once_in_a_cycle(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, slots: [{price: 0.10}]}"}, more="""
counters:
  minutes: {unit: second, cycle: month, service: voice, thresholds: [60, 90, 300]}
  spent: {charge: true, cycle: day, thresholds: [10.00]}
  calls: {events: true, cycle: week, zones: [near], thresholds: [2]}
""", counters="[minutes, spent, calls]")
    world.charge(call(59), call(1), call(500), call(1, number="3"))
    names = world.tariffs.labels["counter"]
    noted = [(names[c], t, v) for c, t, v in zip(*(world.last.notification[n].tolist() for n in (
        "counter", "threshold", "value")), strict=True)]
    assert noted == [("minutes", 60, 60), ("calls", 2, 2), ("minutes", 90, 560), ("minutes", 300, 560),
                     ("spent", parse_money("10.00"), parse_money("56.0"))]
    assert len(world.charge(call(500)).notification) == 0
    later = world.charge(call(60, NOON + 40 * 86_400 * SECOND_US)).notification
    assert [names[c] for c in later["counter"].tolist()] == ["minutes"]
    assert same_state(from_arrow(to_arrow(world.book)), world.book)


@pytest.mark.parametrize(("rates", "plan", "more", "message"), [
    ({"r": "{unit: second, over: minutes, slots: [{price: 1}]}"}, {}, MINUTES, "does not keep counter 'minutes'"),
    ({"r": "{unit: second, over: spent, slots: [{price: 1}]}"}, {"counters": "[spent]"},
     "counters: {spent: {charge: true, cycle: day}}", "does not count all usage of rate 'r'"),
    ({"r": "{unit: second, over: minutes, slots: [{price: 1}]}"}, {"counters": "[minutes]"},
     "counters: {minutes: {unit: second, cycle: day, zones: [far]}}", "does not count all usage of rate 'r'"),
    ({"r": "{unit: second, tiers: volume, slots: [{price: 1}, {from: 9, price: 0.5}]}"},
     {"allowances": "[{name: a, unit: second, amount: 1, cycle: day, services: [voice]}]"}, "",
     "an allowance covers usage under volume tiers"),
    ({"r": "{unit: second, tiers: volume, maximum_charge: 1, at_maximum: disconnect, slots: [{price: 1}]}"}, {}, "",
     "volume tiers that disconnect"),
    ({"r": "{unit: second, slots: [{price: 1}]}"}, {"discounts": "[gone]"}, "", "lists discount 'gone'"),
    ({"r": "{unit: second, slots: [{price: 1}]}"}, {"counters": "[minutes, minutes]"}, MINUTES, "listed twice"),
])
def test_what_does_not_go_together_is_refused(tmp_path, rates, plan, more, message):
    with pytest.raises(ReferenceDataError, match=message):
        World(tmp_path, rates, more=more, **plan)


def test_rates_of_one_price_that_straddle_differently_are_refused(tmp_path):
    with pytest.raises(ReferenceDataError, match="rates of one price differ in `straddling`"):
        World(tmp_path, {"a": "{unit: second, straddling: split, slots: [{price: 1}]}",
                         "b": "{unit: second, slots: [{price: 1}]}"},
              "{service: voice, timing: hours, rates: {peak: a, calm: b}}")


def test_tax_is_rounded_half_to_even_as_a_whole_number(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, slots: [{price: 0.003}]}"}, tax="{percent: 20, prices: inclusive}",
                  rounding="{rule: half_even, decimals: 3}")
    # A sixth of 8.949 is 1.4915: the even one of 1.491 and 1.492. Of 8.943 it is 1.4905.
    assert world.cost(call(2983), call(2981)) == [8.949, 8.943]
    assert world.last.rated["tax_nanos"].tolist() == [parse_money("1.492"), parse_money("1.49")]


def test_calls_that_are_free_by_their_number_count_for_nothing(tmp_path):
    world = World(tmp_path, {"r": "{unit: second, over: minutes, slots: [{price: 0.10}, {from: 100, price: 0.02}]}"},
                  more=MINUTES, counters="[minutes]")
    assert world.cost(call(100, other_class="emergency"), call(10)) == [0, 1.00]
