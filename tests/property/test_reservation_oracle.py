"""Reservations against the oracle of charging, which knows none: a grant is what it lets be paid, to the unit."""

import copy
from random import Random

import numpy as np
import pytest

from rating.charging import Wishes, charge
from rating.kernels.layout import RESERVE
from rating.snapshot import from_arrow, to_arrow
from schemas.codes import Reason
from schemas.errors import ReferenceDataError
from tests.property.rating_checks import LABELS, POSITION, compile_world, describe, money, run_product
from tests.property.rating_features import LANDED
from tests.property.rating_worlds import make_event, make_world, run_oracle
from tests.rating_support import events_to_cells


def reserved(run, event):
    """(granted, due, reason's name or None) of a request for `event`, on a copy of the book."""
    cells = events_to_cells([event], LABELS)
    wishes = Wishes(np.array([RESERVE]), np.array([1]))
    answers = charge(cells, 0, 1, POSITION, run.compiled, from_arrow(to_arrow(run.book)), LABELS, wishes).answers
    reason = int(answers.reason[0])
    return int(answers.granted[0]), money(answers.due[0]), Reason(reason).name if reason else None


def charged(oracle, event, quantity):
    """What the oracle makes of so much usage, which then did not happen."""
    return copy.deepcopy(oracle).charge(event | {"quantity": quantity})


def requests(r, world, count):
    """Requests of sessions, new ones and those that the world has had already."""
    while count:
        event = make_event(r, world.features, 10_000 + count, True) | {"quantity": r.choice((1, 30, 900, 40_000))}
        if event["service"] not in ("sms", "mms") and event["account_id"] != 6:
            event.setdefault("session", 5_000 + count)
            count -= 1
            yield event


def check(seed, count):
    """How many of the requests of a world were shrunk, and how many refused."""
    world = make_world(Random(seed), LANDED, count=30, small=True)
    try:
        run = run_product(world, compile_world(world))
    except ReferenceDataError:
        return 0, 0
    oracle, _ = run_oracle(world)
    shrunk = refused = 0
    for event in requests(Random(seed), world, count):
        granted, due, reason = reserved(run, event)
        text = f"seed {seed}: {granted} granted for {due}, {reason}, of {event}\n{describe(world)}"
        asked = charged(oracle, event, event["quantity"])
        if reason is not None or "reason" in asked:
            assert asked.get("reason") == reason, f"{asked}\n{text}"
            continue
        if granted:
            paid = charged(oracle, event, granted)
            assert (paid["uncollected"], paid["charge"]) == (0, due), f"{paid}\n{text}"
        if granted < event["quantity"]:
            beyond = charged(oracle, event, granted + 1)
            assert beyond["uncollected"] > 0 or beyond["disconnect"], f"{beyond}\n{text}"
            shrunk, refused = shrunk + (granted > 0), refused + (granted == 0)
    return shrunk, refused


def test_a_grant_is_what_the_oracle_lets_be_paid_and_one_unit_more_is_not():
    found = [check(seed, 5) for seed in range(36)]
    assert sum(shrunk for shrunk, _ in found) > 3 and sum(refused for _, refused in found) > 3, found


@pytest.mark.slow
def test_more_grants_are_what_the_oracle_lets_be_paid():
    for seed in range(1000, 2000):
        check(seed, 8)
