"""Cases whose numbers or flows are public: each names its source. Facts only; no text is taken over.

Increments `first/next` in seconds: ITWissen, "billing increment" (83 seconds under 60/10, 60/1 and 60/60); a carrier's
note on 6/6 (5 and 8 seconds). Minimum duration with a smaller step for volume: the Fleet One price list (50 kB, then
20 kB). Minute increments for charges and allowances, rounded up to the penny, with a connection charge: BreezeTel's
call charges. Surcharge per call beside minutes: intrastate tariffs of US carriers. Session flows: RFC 8506 (sections
5.3, 5.4 and appendix A, as in RFC 4006); a capture of a Kamailio Ro client. Tariff switches and events: 3GPP TS 32.296,
clauses 6.2.1.1.1 and 6.2.1.2.2; cycles of unequal months: the calendar.
"""

import json
from fractions import Fraction

import pytest

from pipelines.quoting import quote_files
from reference_data.tariffs.compile import load_tariffs
from tests.unit.test_tariff_examples import write

T = "2026-06-01T12:00:00"


def ask(folder, tariff, events, balances=None):
    """Results of events under a tariff that is laid over the base of the worked examples."""
    tariffs = folder / "tariff"
    tariffs.mkdir(parents=True)
    write(tariffs, [tariff])
    (folder / "e.jsonl").write_text("\n".join(json.dumps(event) for event in events))
    if balances is not None:
        (folder / "b.json").write_text(json.dumps(balances))
    return quote_files(load_tariffs(tariffs), folder / "e.jsonl", None if balances is None else folder / "b.json", None)


def charges(folder, tariff, events, balances=None):
    return [r.get("charge", r["status"]) for r in ask(folder, tariff, events, balances).results]


def call(duration, **more):
    return {"service": "voice", "time": T, "duration": duration, "called": "+4930123456", **more}


def slots(first, following, price="0.60"):
    """A rate that charges `first` seconds whole and then begun `following` ones, at `price` a minute."""
    after = "" if first == following else f", {{from: {first}, price: {price}, per: 60, step: {following}}}"
    return (f"rates: {{r: {{unit: second, slots: [{{price: {price}, per: 60, step: {first}}}{after}]}}}}\n"
            "plans: {p: {prices: [{service: voice, rate: r}]}}")


@pytest.mark.parametrize(("first", "following", "used", "billed"), [
    (60, 10, 83, 90), (60, 1, 83, 83), (60, 60, 83, 120), (6, 6, 5, 6), (6, 6, 8, 12), (30, 6, 1, 30), (30, 6, 31, 36),
    (60, 30, 60, 60), (60, 30, 61, 90), (1, 1, 83, 83)])
def test_billing_increments_of_price_lists(first, following, used, billed, tmp_path):
    found = ask(tmp_path, slots(first, following), [call(used)]).results[0]
    assert Fraction(found["charge"]) == Fraction(billed, 100)  # 0.60 a minute: a cent for each second
    assert found["billed_quantity"] == billed


def test_a_minimum_volume_with_a_smaller_step_beyond_it(tmp_path):
    tariff = ("rates: {r: {unit: octet, slots: [{price: 0.50, per: 100 kB, step: 50 kB}, "
              "{from: 50 kB, price: 0.50, per: 100 kB, step: 20 kB}]}}\n"
              "plans: {p: {prices: [{service: data, rate: r}]}}")
    events = [{"service": "data", "time": T, "octets": size} for size in ("1 kB", "50 kB", "51 kB", "70 kB", "100 kB")]
    assert charges(tmp_path, tariff, events) == ["0.25", "0.25", "0.35", "0.35", "0.55"]  # 50, 50, 70, 70, 110 kB


def test_a_surcharge_for_each_call_beside_its_minutes(tmp_path):
    tariff = ("rates: {r: {unit: second, connect_fee: 0.65, slots: [{price: 0.35, per: 60, step: 60}]}}\n"
              "plans: {p: {prices: [{service: voice, rate: r}]}}")
    assert charges(tmp_path, tariff, [call(60), call(61), call(600)]) == ["1.00", "1.35", "4.15"]


def test_minutes_for_money_and_allowances_and_charges_rounded_up_to_the_penny(tmp_path):
    tariff = ("currency: GBP\n"
              "rates: {r: {unit: second, connect_fee: 0.005, slots: [{price: 0.031, per: 60, step: 60}]}}\n"
              "plans:\n  p:\n    rounding: {rule: up, decimals: 2}\n    allowances: [{name: inclusive, unit: second, "
              "amount: 3 min, step: 60, cycle: month}]\n    prices: [{service: voice, rate: r}]")
    found = ask(tmp_path, tariff, [call(61, account="a"), call(10, account="a"), call(61, account="a")],
                {"a": {"plan": "p", "balance": "1"}})
    assert [(r["charge"], r["allowance_quantity"]) for r in found.results] == [
        ("0.00", 120), ("0.00", 60), ("0.07", 0)]  # 0.005 + 2 x 0.031 = 0.067


PLAIN = slots(1, 1, "0.10")


def test_used_units_of_updates_and_termination_cost_what_the_whole_session_does(tmp_path):
    """RFC 8506, sections 5.3 and 5.4: used units count from the report before, each is deducted; the capture of a
    Kamailio Ro client reports 8, 8, 8 and 2 seconds of one call."""
    start = [("12:00:00", 8), ("12:00:08", 8), ("12:00:16", 8), ("12:00:24", 2)]
    parts = [call(used, session="ro", time=f"2026-06-01T{at}") for at, used in start]
    found = charges(tmp_path / "parts", PLAIN, parts)
    assert sum(map(Fraction, found)) == Fraction(charges(tmp_path / "whole", PLAIN, [call(26)])[0])
    assert found == ["0.0133", "0.0134", "0.0133", "0.0033"]  # 26 s come to 0.04333..., rounded once


def test_services_of_one_session_are_priced_apart_and_share_one_account(tmp_path):
    """RFC 8506, appendix A.9: bearer and services of several rating groups, which cost 10, 2 and 5 a unit of a pool."""
    tariff = ("data_classes: [{class: access, rating_groups: [0]}, {class: three, rating_groups: [2]}, "
              "{class: four, rating_groups: [3]}]\n"
              "rates:\n  ten: {unit: octet, slots: [{price: 10, per: 1 MB, step: 1 kB}]}\n"
              "  two: {unit: octet, slots: [{price: 2, per: 1 MB, step: 1 kB}]}\n"
              "  five: {unit: octet, slots: [{price: 5, per: 1 MB, step: 1 kB}]}\n"
              "plans: {p: {prices: [{service: data, zones: [access], rate: ten}, "
              "{service: data, zones: [three], rate: two}, {service: data, zones: [four], rate: five}]}}")
    def used(group, size):
        return {"account": "a", "session": "s", "service": "data", "time": T, "rating_group": group, "octets": size}
    found = ask(tmp_path, tariff, [used(0, "300 kB"), used(2, "1 MB"), used(3, "200 kB"), used(0, "100 kB")],
                {"a": {"plan": "p", "balance": "6.50"}})
    assert [r["charge"] for r in found.results] == ["3.00", "2.00", "1.00", "1.00"]
    assert [r["uncollected"] for r in found.results] == ["0.00", "0.00", "0.00", "0.50"]


def test_a_session_goes_on_after_the_account_was_replenished(tmp_path):
    """RFC 8506, appendix A.7: the account runs dry, is topped up while the call is held, and the call goes on."""
    found = ask(tmp_path, slots(60, 60, "1.00"), [
        call(60, account="a", session="s"),
        {"kind": "top_up", "account": "a", "time": "2026-06-01T12:02:00", "amount": "5.00", "currency": "EUR"},
        call(120, account="a", session="s", time="2026-06-01T12:05:00")], {"a": {"plan": "p", "balance": "1.00"}})
    assert [(r.get("charge"), r["balance"]) for r in found.results] == [
        ("1.00", "0.00"), (None, "5.00"), ("2.00", "3.00")]


def test_an_immediate_event_has_one_price_whatever_it_counts(tmp_path):
    """TS 32.296, clause 6.2.1.1.1: price request for an event."""
    tariff = ("rates: {m: {unit: message, slots: [{price: 0.19}]}, c: {unit: unit, slots: [{price: 2.99}]}}\n"
              "plans: {p: {prices: [{service: sms, rate: m}, {service: content, rate: c}]}}")
    assert charges(tmp_path, tariff, [{"service": "sms", "time": T, "called": "+4930123456"},
                                      {"service": "content", "time": T},
                                      {"service": "content", "time": T, "units": 3}]) == ["0.19", "2.99", "8.97"]


def test_several_tariff_switches_within_one_call(tmp_path):
    """TS 32.296, clause 6.2.1.2.2: a request that meets more than one tariff switch. 3.5 hours across three bands."""
    tariff = ("timings:\n  t:\n    - {band: day, from: '07:00', to: '18:00'}\n    - {band: evening, from: '18:00', "
              "to: '21:00'}\n    - {band: night, otherwise: true}\n"
              "rates:\n  d: {unit: second, slots: [{price: 0.60, per: 1 h, step: 1}]}\n"
              "  e: {unit: second, slots: [{price: 0.30, per: 1 h, step: 1}]}\n"
              "  n: {unit: second, slots: [{price: 0.12, per: 1 h, step: 1}]}\n"
              "plans: {p: {prices: [{service: voice, timing: t, rates: {day: d, evening: e, night: n}}]}}")
    found = ask(tmp_path, tariff, [call("3h30m", time="2026-06-01T17:45:00")]).results[0]
    assert found["bands"] == ["day", "evening", "night"]
    assert found["charge"] == "1.08"  # 0.15 + 0.90 + 0.03


@pytest.mark.parametrize(("when", "granted"), [
    ("2026-02-27T12:00:00", "2026-01-31"), ("2026-02-28T00:00:00", "2026-02-28"), ("2026-03-30T23:59:59", "2026-02-28"),
    ("2026-03-31T00:00:00", "2026-03-31"), ("2026-04-30T00:00:00", "2026-04-30"), ("2028-02-29T08:00:00", "2028-02-29"),
    ("2028-02-28T08:00:00", "2028-01-31")])
def test_a_cycle_that_begins_on_the_31st_begins_on_the_last_day_of_shorter_months(when, granted, tmp_path):
    tariff = ("rates: {r: {unit: second, slots: [{price: 1}]}}\nplans: {p: {allowances: [{name: m, unit: second, "
              "amount: 100, cycle: month}], prices: [{service: voice, rate: r}]}}")
    found = ask(tmp_path, tariff, [call(1, account="a", time=when)], {"a": {"plan": "p", "anchor_day": 31}}).results[0]
    assert found["buckets"][0]["cycle_from"] == granted


def test_a_terabyte_in_one_slot_is_exact(tmp_path):
    """Engines that walk increments stop at a million of them; this is a thousand million."""
    tariff = ("rates: {r: {unit: octet, slots: [{price: 0.0007, per: 1 MB, step: 1 kB}]}}\n"
              "plans: {p: {rounding: {rule: down, decimals: 9}, prices: [{service: data, rate: r}]}}")
    assert charges(tmp_path, tariff, [{"service": "data", "time": T, "octets": 10**12 + 1}]) == ["700.0000007"]


def test_a_price_a_second_that_is_no_decimal_is_not_rounded_a_second(tmp_path):
    """A second at 0.1/60 rounded to 0.00167 would make 120 seconds cost 0.2004; exactly they cost 0.20."""
    assert charges(tmp_path, PLAIN, [call(120), call(3600)]) == ["0.20", "6.00"]
