"""The kernels against the oracle: prices, balances, buckets, however the block is cut and whoever shares."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.exactness import SMOKE, run
from rating.explain import explain_rated
from rating.snapshot import same_state
from schemas.codes import LedgerAccount, PostingReason
from schemas.errors import ReferenceDataError
from schemas.rated import POSTING, RATED
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT
from schemas.usage import SUSPENSE
from tests.property.rating_checks import (
    compile_world,
    describe,
    differences,
    rows_of,
    run_product,
    sum_differences,
    told,
)
from tests.property.rating_features import LANDED
from tests.property.rating_worlds import legs_apart, make_session, make_world, run_oracle
from tests.rating_support import join

# No shrinking: it takes minutes where a world takes a tenth of a second; benchmarks.exactness makes small examples.
QUICK = settings(deadline=None, max_examples=15, phases=[Phase.explicit, Phase.generate],
                 suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 1 << 40)


def world_of(seed, features=LANDED, **more):
    """A world that compiles: bounds that could overflow are refused, and are another test's."""
    while True:
        world = make_world(Random(seed), features, **more)
        try:
            return world, compile_world(world)
        except ReferenceDataError as refused:
            assert "overflow" in str(refused), f"{refused}\n{describe(world)}"
            seed += 1 << 41


@QUICK
@given(seed=SEEDS)
def test_charging_equals_the_oracle_however_the_block_is_cut(seed):
    world, compiled = world_of(seed)
    whole = run_product(world, compiled)
    oracle, expected = run_oracle(world)
    found = differences(world, whole, expected, oracle) + sum_differences(whole)
    assert not found, "\n".join([f"seed {seed}", *found[:5], describe(world)])
    cuts = Random(seed)
    parts = run_product(world, compiled, lambda events: [cuts.randrange(events) for _ in range(3)], reopen=True)
    assert same_state(whole.book, parts.book)
    for columns, one, two in zip((RATED, POSTING, SUSPENSE), join(whole.parts), join(parts.parts), strict=True):
        assert one.shape == two.shape
        differing = [c.name for c, left, right in zip(columns.columns, one, two, strict=True) if (left != right).any()]
        assert not differing, differing


def test_cycles_without_usage_are_met_and_rolled_over_as_the_oracle_says():
    """Worlds of allowances that roll over, in which accounts, plans and states change: many a cycle is made up for."""
    made_up = 0
    for seed in range(1000, 1030):
        world, compiled = world_of(seed, frozenset(("rollover", "week", "late", "plans", "states", "commands")),
                                   count=40, small=True)
        run = run_product(world, compiled)
        oracle, expected = run_oracle(world)
        found = differences(world, run, expected, oracle) + sum_differences(run)
        assert not found, "\n".join([f"seed {seed}", *found[:5], describe(world)])
        granted = Counter((row["movement_hi"], row["account_id"], row["bucket_id"] >> BUCKET_CYCLE_SHIFT)
                          for part in run.parts for row in rows_of(part.posting)
                          if row["reason"] == PostingReason.GRANT and row["bucket_id"] >= 0)
        made_up += sum(count > 1 for count in granted.values())
    assert made_up > 10, made_up


@QUICK
@given(seed=SEEDS)
def test_what_the_ledger_says_of_a_plain_event_prices_it_again(seed):
    """Each rated row is recomputed from its own columns, unless an earlier report's minimum rules."""
    world, compiled = world_of(seed, frozenset())
    for part in run_product(world, compiled).parts:
        taken = {}
        for row in rows_of(part.posting):
            if row["ledger_account"] == LedgerAccount.ALLOWANCE and row["amount"] < 0:
                taken.setdefault(row["movement_hi"], []).append((row["bucket_id"], -row["amount"]))
        for row in rows_of(part.rated):
            said = explain_rated(row, compiled, taken.get(row["event_id_hi"], []))
            raised = row["session_quantity_before"] > 0 and row["session_charged_before_nanos"] > 0
            assert said["agrees"] or raised, (row, said)


@QUICK
@given(seed=SEEDS)
def test_accounts_that_share_nothing_do_not_see_each_other(seed):
    """Only the order within a charging group decides: groups taken one after the other come to the same."""
    world, compiled = world_of(seed, LANDED - {"legs"})
    world.steps = world.events
    group = {1: 1, 2: 2, 3: 2, 4: 2, 5: 5, 6: 6}
    apart = replace(world, steps=sorted(world.events, key=lambda e: group[e["account_id"]]))
    one, two = run_product(world, compiled), run_product(apart, compiled)
    assert told(one) == told(two)
    assert rows_of(one.book.balances(compiled, 0)) == rows_of(two.book.balances(compiled, 0))


@QUICK
@given(seed=SEEDS)
def test_a_session_costs_the_same_in_any_number_of_partials(seed):
    """Law 4: from the same balances, one report or ten. Data partials have the time of their session.

    Each leg for itself; legs of one account take turns at its balances, as two sessions do, so here each has its own.
    """
    r = Random(seed)
    world, _ = world_of(seed, LANDED - {"report", "day"}, count=1)
    compiled = compile_world(legs_apart(world))
    one, parts = make_session(r, world)
    whole, many = (run_product(replace(world, steps=steps), compiled) for steps in ([one], parts))
    if many.parts and any(len(part.suspense) for part in (*whole.parts, *many.parts)):
        assert all(len(part.rated) == 0 for part in (*whole.parts, *many.parts))
        return
    for name in ("charge_nanos", "uncollected_nanos", "connect_fee_nanos"):
        sums = Counter(), Counter()
        for found, product in zip(sums, (whole, many), strict=True):
            for row in (row for part in product.parts for row in rows_of(part.rated)):
                found[row["leg"]] += row[name]
        assert sums[0] == sums[1], name
    assert rows_of(whole.book.balances(compiled, 0)) == rows_of(many.book.balances(compiled, 0))


@pytest.mark.parametrize("seed", range(2))
def test_generated_events_in_numbers(seed):
    found = run({**SMOKE, "seed": seed})
    assert found["events"] >= SMOKE["events"]
    assert found["disagreements"] == 0, found["examples"]
