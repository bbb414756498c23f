"""Prices worked by hand where features meet: limits over reports, discounts and tax, rounding scopes, tiers, DST.

The arithmetic stands beside each case where it is not plain. Features one by one: docs/tariff-examples.md.
"""

import json

import pytest

from pipelines.quoting import quote_files
from reference_data.tariffs.compile import load_tariffs
from tests.unit.test_tariff_examples import write

T = "2026-06-01T12:00:00"


def call(duration, **more):
    return {"service": "voice", "time": T, "duration": duration, "called": "+4930123456", **more}


def text(**more):
    return {"service": "sms", "time": T, "called": "+4930123456", **more}


CASES = {
    "max incl connect fee": (
        """
        rates: {r: {unit: second, connect_fee: 0.50, maximum_charge: 2.00, slots: [{price: 1.00, per: 60,
            step: 60}]}}
        plans: {p: {prices: [{service: voice, rate: r}]}}
        """,
        None,
        [
            (call(60), "1.50"),
            (call(120), "2.00"),
            (call(600), "2.00"),
        ],
    ),
    "max over reports": (
        """
        rates: {r: {unit: second, connect_fee: 0.50, maximum_charge: 2.00, slots: [{price: 1.00, per: 60,
            step: 60}]}}
        plans: {p: {prices: [{service: voice, rate: r}]}}
        """,
        None,
        [
            (call(60, session="a"), "1.50"),
            (call(60, session="a"), "0.50"),
            (call(600, session="a"), "0.00"),
        ],
    ),
    "percent discount cap": (
        """
        rates: {r: {unit: second, slots: [{price: 1.00, per: 60, step: 60}]}}
        discounts: {d: {percent: 50, cap: 1.00}}
        plans: {p: {discounts: [d], prices: [{service: voice, rate: r}]}}
        """,
        None,
        [
            (call(60), "0.50"),
            (call(120), "1.00"),
            (call(300), "4.00"),
            (call(60, session="a"), "0.50"),
            (call(60, session="a"), "0.50"),
            (call(180, session="a"), "3.00"),
        ],
    ),
    "discount order": (
        """
        rates: {r: {unit: message, slots: [{price: 1.00}]}}
        discounts: {a: {amount: 0.20}, b: {percent: 10}}
        plans: {p: {discounts: [a, b], prices: [{service: sms, rate: r}]}, q: {discounts: [b, a],
            prices: [{service: sms, rate: r}]}}
        """,
        None,
        [
            (text(plan="p"), "0.72"),
            (text(plan="q"), "0.70"),
        ],
    ),
    "amount discount never below zero": (
        """
        rates: {r: {unit: message, slots: [{price: 0.10}]}}
        discounts: {a: {amount: 0.20}}
        plans: {p: {discounts: [a], prices: [{service: sms, rate: r}]}}
        """,
        None,
        [
            (text(), "0.00"),
        ],
    ),
    # 1.10 net is 1.309 gross, 1.31 rounded; of it 1.31 * 19 / 119 = 0.2092 is tax
    "tax exclusive": (
        """
        rates: {r: {unit: second, connect_fee: 0.10, slots: [{price: 1.00, per: 60, step: 60}]}}
        plans: {p: {tax: {percent: 19, prices: exclusive}, rounding: {rule: half_up, decimals: 2},
            prices: [{service: voice, rate: r}]}}
        """,
        None,
        [
            (call(60), {"charge": "1.31", "tax": "0.21"}),
        ],
    ),
    # tax so far: 0.03 * 19 / 119 = 0.0048, then 0.0096, then 0.0112
    "tax inclusive over reports": (
        """
        rates: {r: {unit: second, slots: [{price: 0.01, step: 1}]}}
        plans: {p: {tax: {percent: 19, prices: inclusive}, rounding: {rule: half_up, decimals: 2},
            prices: [{service: voice, rate: r}]}}
        """,
        None,
        [
            (call(3, session="a"), {"charge": "0.03", "tax": "0.00"}),
            (call(3, session="a"), {"charge": "0.03", "tax": "0.01"}),
            (call(1, session="a"), {"charge": "0.01", "tax": "0.00"}),
        ],
    ),
    "rounding report": (
        """
        rates: {r: {unit: second, slots: [{price: 0.10, per: 60, step: 1}]}}
        plans: {p: {rounding: {rule: up, decimals: 2, scope: report}, prices: [{service: voice, rate: r}]}}
        """,
        None,
        [
            (call(1, session="a"), "0.01"),
            (call(1, session="a"), "0.01"),
            (call(61), "0.11"),
        ],
    ),
    # seven seconds of 1 June come to 0.01166..., rounded up to 0.02 over the day
    "rounding day": (
        """
        rates: {r: {unit: second, slots: [{price: 0.10, per: 60, step: 1}]}}
        plans: {p: {rounding: {rule: up, decimals: 2, scope: day}, prices: [{service: voice, rate: r}]}}
        """,
        {"a": {"plan": "p", "balance": "1"}},
        [
            (call(1, account="a"), "0.01"),
            (call(1, account="a"), "0.00"),
            (call(5, account="a"), "0.01"),
            (call(1, time="2026-06-02T00:00:00", account="a"), "0.01"),
        ],
    ),
    # six minutes at 0.05 are cheaper than the four at 0.10 already paid: the difference is credited
    "volume by call length": (
        """
        rates: {r: {unit: second, tiers: volume, slots: [{price: 0.10, per: 60, step: 60},{from: 5 min,
            price: 0.05, per: 60, step: 60}]}}
        plans: {p: {prices: [{service: voice, rate: r}]}}
        """,
        None,
        [
            (call(300), "0.50"),
            (call(301), "0.30"),
            (call(240, session="a"), "0.40"),
            (call(120, session="a"), "-0.10"),
        ],
    ),
    # 0.20 + 1.00; half of that; 0.10 + 30 s at 0.50 + 30 s at 1.00; 0.20 + 30 s at 1.00 + 30 s at 0.50
    "happy hour": (
        """
        timings: {t: [{band: happy, from: "17:00", to: "19:00"},{band: rest, otherwise: true}]}
        rates: {r: {unit: second, connect_fee: 0.20, slots: [{price: 1.00, per: 60, step: 1}]}}
        discounts: {h: {percent: 50, timing: t, bands: [happy]}}
        plans: {p: {discounts: [h], prices: [{service: voice, rate: r}]}}
        """,
        None,
        [
            (call(60), "1.20"),
            (call(60, time="2026-06-01T18:00:00"), "0.60"),
            (call(60, time="2026-06-01T18:59:30"), "0.85"),
            (call(60, time="2026-06-01T16:59:30"), "0.95"),
        ],
    ),
    "free quantity over reports": (
        """
        rates: {r: {unit: second, free_quantity: 60, slots: [{price: 0.10, per: 60, step: 60}]}}
        plans: {p: {prices: [{service: voice, rate: r}]}}
        """,
        None,
        [
            (call(30, session="a"), "0.00"),
            (call(40, session="a"), "0.10"),
            (call(50, session="a"), "0.00"),
            (call(1, session="a"), "0.10"),
            (call(60), "0.00"),
        ],
    ),
    "minimum charge with partial allowance": (
        """
        rates: {r: {unit: second, minimum_charge: 0.50, slots: [{price: 0.10, per: 60, step: 60}]}}
        plans: {p: {allowances: [{name: m, unit: second, amount: 60, cycle: month}], prices: [{service: voice,
            rate: r}]}}
        """,
        {"a": {"plan": "p", "balance": "9"}, "b": {"plan": "p"}},
        [
            (call(61, account="a"), "0.50"),
            (call(30, account="b"), "0.00"),
        ],
    ),
    # spring: half an hour each side of the hour that is not; autumn: two and a half hours of night from 01:30
    "split over DST": (
        """
        timings: {t: [{band: n, from: "00:00", to: "03:00"},{band: d, otherwise: true}]}
        rates: {a: {unit: second, straddling: split, slots: [{price: 1.00, per: 1 h, step: 1 h}]},
            b: {unit: second, straddling: split, slots: [{price: 3.00, per: 1 h, step: 1 h}]}}
        plans: {p: {prices: [{service: voice, timing: t, rates: {n: a, d: b}}]}}
        """,
        None,
        [
            (call("1h", time="2026-03-29T01:30:00"), "2.00"),
            (call("1h", time="2026-10-25T01:30:00"), "1.00"),
            (call("3h", time="2026-10-25T01:30:00"), "4.00"),
        ],
    ),
    "disconnect": (
        """
        rates: {r: {unit: second, maximum_charge: 1.00, at_maximum: disconnect, slots: [{price: 0.50, per: 60,
            step: 60}]}}
        plans: {p: {prices: [{service: voice, rate: r}]}}
        """,
        None,
        [
            (call(60), {"charge": "0.50"}),
            (call(600), {"charge": "1.00", "disconnect_at": 120}),
        ],
    ),
    # 0.0005, 0.0015 and 0.0025 go to the even neighbour
    "half even": (
        """
        rates: {r: {unit: second, slots: [{price: 0.0005, step: 1}]}}
        plans: {p: {rounding: {rule: half_even, decimals: 3}, prices: [{service: voice, rate: r}]}}
        """,
        None,
        [
            (call(1), "0.00"),
            (call(3), "0.002"),
            (call(5), "0.002"),
        ],
    ),
    "threshold event counter once": (
        """
        rates: {r: {unit: message, slots: [{price: 0.05}]}}
        counters: {m: {events: true, cycle: month, thresholds: [2]}}
        plans: {p: {counters: [m], prices: [{service: sms, rate: r}]}}
        """,
        {"a": {"plan": "p", "balance": "1"}},
        [
            (text(account="a"), {"notifications": None}),
            (text(account="a"), {"notifications": [{"threshold": 2, "value": 2}]}),
            (text(account="a"), {"notifications": None}),
        ],
    ),
    "session plan change new price no second fee": (
        """
        rates: {r: {unit: second, connect_fee: 0.30, slots: [{price: 0.10, per: 60, step: 60}]},
            q: {unit: second, connect_fee: 0.30, slots: [{price: 0.20, per: 60, step: 60}]}}
        plans: {p: {prices: [{service: voice, rate: r}]}, q: {prices: [{service: voice, rate: q}]}}
        """,
        {"a": {"plan": "p", "balance": "1"}},
        [
            (call(60, account="a", session="s"), "0.40"),
            (
                {"kind": "plan_change", "account": "a", "plan": "q", "time": "2026-06-01T12:01:00"},
                {"status": "applied"},
            ),
            (call(60, time="2026-06-01T12:01:00", account="a", session="s"), "0.20"),
        ],
    ),
    "specificity order: friends over network over category over roaming": (
        """
        rates: {a: {unit: second, slots: [{price: 0.10, per: 60, step: 60}]}, b: {unit: second,
            slots: [{price: 0.20, per: 60, step: 60}]}, c: {unit: second, slots: [{price: 0.40, per: 60,
            step: 60}]}}
        own_networks: [us]
        plans: {p: {prices: [{service: voice, network: on_net, rate: b}, {service: voice, friends: true,
            rate: a}, {service: voice, categories: [x], rate: c}, {service: voice, roaming: any, rate: c}]}}
        """,
        None,
        [
            (call(60, network="us", friend=True), "0.10"),
            (call(60, network="us", category="x"), "0.20"),
            (call(60, category="x"), "0.40"),
            (call(60), "0.40"),
        ],
    ),
    "terminating direction list": (
        """
        rates: {a: {unit: second, slots: [{price: 0.10, per: 60, step: 60}]}, b: {unit: second,
            slots: [{price: 0.20, per: 60, step: 60}]}, c: {unit: second, slots: [{price: 0.40, per: 60,
            step: 60}]}}
        plans: {p: {prices: [{service: voice, direction: [terminating, forwarded], rate: a},{service: voice,
            rate: b}]}}
        """,
        None,
        [
            (call(60, direction="terminating", calling="+4930123"), "0.10"),
            (call(60, direction="forwarded"), "0.10"),
            (call(60), "0.20"),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_price_is_what_was_worked_out_by_hand(case, tmp_path):
    tariff, balances, usage = CASES[case]
    (tmp_path / "tariff").mkdir()
    write(tmp_path / "tariff", [tariff])
    (tmp_path / "e.jsonl").write_text(
        "\n".join(
            json.dumps(event | {"expect": expected if isinstance(expected, dict) else {"charge": expected}})
            for event, expected in usage
        )
    )
    if balances is not None:
        (tmp_path / "b.json").write_text(json.dumps(balances))
    found = quote_files(
        load_tariffs(tmp_path / "tariff"), tmp_path / "e.jsonl", None if balances is None else tmp_path / "b.json", None
    )
    assert [result.get("differences", []) for result in found.results] == [[]] * len(usage)
    assert all(result.get("breakdown", {}).get("agrees", True) for result in found.results)
