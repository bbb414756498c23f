"""Counters of a cycle, and the thresholds that are notified once."""

from tests.oracle.rating.amounts import amount, listed, true, units
from tests.oracle.rating.buckets import meeting_us
from tests.oracle.rating.cycles import cycle
from tests.oracle.rating.scopes import covers
from tests.oracle.rating.selecting import FREE, quantity_of


def kept(oracle, choice, account, event):
    """{name: first day of the cycle} of the counters that this event counts on."""
    found = {}
    if choice.rule is FREE:
        return found  # emergency and toll-free calls that no price names count for nothing
    for name in listed(choice.version["plans"][choice.plan].get("counters", [])):
        counter = choice.version["counters"][name]
        if "unit" in counter and counter["unit"] != choice.unit:
            continue
        if covers(oracle, choice.version, choice.plan, counter, event, choice.seen):
            met = meeting_us(oracle, choice, account, counter["cycle"], event["time_us"])
            if met is not None:
                found[name] = cycle(counter["cycle"], account, met)[0]
    return found


def count(choice, account, event, names, charge):
    """Add an event; returns the notifications (account, counter, first day, threshold)."""
    notified = []
    for name, first in names.items():
        counter = choice.version["counters"][name]
        if true(counter.get("charge")):
            added, threshold = charge, amount
        elif true(counter.get("events")):
            added, threshold = 1, units
        else:
            added, threshold = quantity_of(event, choice.unit), units
        before = account.highest.get((name, first), 0)
        value = account.counters.get((name, first), 0) + added
        account.counters[name, first] = value
        account.highest[name, first] = max(before, value)
        notified += [(account.account_id, name, first, threshold(t)) for t in listed(counter.get("thresholds", []))
                     if before < threshold(t) <= value]
    return notified
