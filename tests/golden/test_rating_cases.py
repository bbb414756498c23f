"""Charges worked out by hand, with the arithmetic beside them: held by the oracle, and by the kernels.

A file in rating_cases/ has `cases`; each has a piece of a tariff, accounts where the one of `ACCOUNT` will not do, and
steps: events with what they `expect` (a charge, or several things by name), and commands. `needs` names the features
(`tests.property.rating_features`) that the kernels must have to be asked.
"""

from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from tests.oracle.rating.amounts import amount, local_time
from tests.property.rating_checks import compile_world, differences, run_product, sum_differences
from tests.property.rating_features import LANDED
from tests.property.rating_worlds import World, run_oracle

ZONE = "Europe/Berlin"
VERSION = {"version": "g", "time_zone": ZONE, "currency": "EUR"}
DECK = {"49": "national", "4915": "mobile", "33": "europe", "1": "world"}
ACCOUNT = {"account_id": 1, "opening": "1000", "credit": "0", "plan": "p", "zone": ZONE, "anchor": "1"}
START = local_time("2026-01-01", ZONE)
NUMBERS = ("quantity", "segments", "rating_group", "service_identifier", "rat", "account_id", "to_account_id",
           "other_token", "session", "anchor", "shared", "priority")


def case_files():
    for path in sorted((Path(__file__).parent / "rating_cases").glob("*.yaml")):
        for case in yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)["cases"]:
            yield pytest.param(case, id=f"{path.stem}: {case['name']}")


def whole_numbers(mapping):
    return {key: int(value) if key in NUMBERS else value for key, value in mapping.items()}


def account_of(given):
    row = whole_numbers(ACCOUNT | given)
    plans = row.pop("plan")
    row |= {"plans": [(START, plans)], "friends": [int(f) for f in row.get("friends", [])],
            "shared": row.get("shared")}
    if "then" in row:  # a change of plan: [time, plan]
        time, plan = row.pop("then")
        row["plans"].append((local_time(time, ZONE), plan))
    row["more_plans"] = [(int(p), plan, START, None) for p, plan in row.pop("more", [])]
    if "valid_to" in row:
        row["valid_to"] = local_time(row["valid_to"], ZONE)
    return row


def step_of(number, given):
    step = whole_numbers({k: v for k, v in given.items() if k != "expect"})
    if "kind" in step:
        return {"id": f"c{number}", "account_id": 1} | step
    event = {"id": number, "service": "voice", "direction": "originating", "account_id": 1} | step
    event["time_us"] = local_time(event.pop("time"), ZONE)
    event.setdefault("quantity", 1)
    if event["service"] != "data":
        event.setdefault("number", "4930123456")
    else:
        event |= {"rating_group": event.get("rating_group", 1)}
    return event


def world_of(case):
    versions, decks = [], {}
    for tariff in case["tariff"] if isinstance(case["tariff"], list) else [case["tariff"]]:
        version = VERSION | {k: v for k, v in tariff.items() if k != "active_from"}
        version["active_from_us"] = local_time(tariff.get("active_from", "2026-01-01"), ZONE)
        decks[version["version"], "main"] = case.get("deck", DECK)
        versions.append(version)
    rows = [account_of(row) for row in case.get("accounts", [{}])]
    return World(versions, decks, rows, [step_of(n, step) for n, step in enumerate(case["steps"], 1)])


def check(step, wanted, result):
    """Hold one result of the oracle to what the case expects of it."""
    if not isinstance(wanted, dict):
        wanted = {"charge": wanted}
    for key, value in wanted.items():
        if key in ("charge", "uncollected", "blocked", "tax", "connect"):
            assert result.get(key) == amount(value), (step, key, result)
        elif key in ("allowance", "refusal", "disconnect"):
            assert result.get(key) == int(value), (step, key, result)
        elif key == "notifications":
            said = [f"{name} {threshold}" for _, name, _, threshold in result[key]]
            assert said == [f"{n} {amount(t)}" for n, t in (v.split() for v in value)], (step, said)
        elif key == "legs":
            said = [str(leg.get("reason", leg.get("charge"))) for leg in result[key] if leg is not None]
            assert said == [str(Fraction(v)) if v[0].isdigit() else v for v in value], (step, said)
        else:
            assert str(result.get(key)) == value, (step, key, result)


@pytest.mark.parametrize("case", list(case_files()))
def test_a_case_costs_what_was_worked_out_by_hand(case):
    world = world_of(case)
    oracle, results = run_oracle(world)
    expects = 0
    for step, given, result in zip(world.steps, case["steps"], results, strict=True):
        if "kind" in step:
            assert result == given.get("expect"), (step, result)
        else:
            expects += 1
            check(step, given["expect"], result)
    for account, left in case.get("money", {}).items():
        assert oracle.accounts[int(account)].money == amount(left), account
    for account, left in case.get("buckets", {}).items():
        have = oracle.accounts[int(account)].buckets
        assert sorted(n for n in have.values() if n) == sorted(amount(n) for n in left), have
    assert expects or "money" in case, "a case that expects nothing"


@pytest.mark.parametrize("case", [c for c in case_files() if set(c.values[0].get("needs", [])) <= LANDED])
def test_the_kernels_charge_a_case_like_the_oracle(case):
    world = world_of(case)
    oracle, results = run_oracle(world)
    product = run_product(world, compile_world(world))
    assert not differences(world, product, results, oracle) + sum_differences(product)


def test_there_are_cases_of_every_feature():
    cases = [case.values[0] for case in case_files()]
    assert len(cases) >= 60
