"""Fees that the passing of time brings: when a plan begins, and at the beginning of each cycle."""

from datetime import timedelta
from fractions import Fraction

from tests.oracle.rating.amounts import amount, convert, local_day, midnight_us, round_money, true
from tests.oracle.rating.cycles import cycle
from tests.oracle.rating.selecting import named, plans_of, version_at


def beginnings(account, start, end):
    """Instants in (start, end] at which a day, and so perhaps a cycle, begins, or a plan does; ascending."""
    found = {us for us, _ in account.points if start < us <= end}
    day = local_day(start, account.zone)
    while (us := midnight_us(day, account.zone)) <= end:
        if us > start:
            found.add(us)
        day += timedelta(days=1)
    return sorted(found)


def fees_due(oracle, account, start, end):
    """Amount of each fee between two clocks, in order of time and plan."""
    for us in beginnings(account, start, end):
        before, version = account.plans_at(us - 1), version_at(oracle, us)
        for plan in plans_of(version, account, us) if version else []:
            yield from fees_of(version, account, plan, us, plan not in before)


def fees_of_beginning(oracle, account, plan, us):
    """Amount of each fee of a plan that begins behind the clock."""
    version = version_at(oracle, us)
    if version is not None and plan in plans_of(version, account, us):
        yield from fees_of(version, account, plan, us, True)


def fees_of(version, account, plan, us, new):
    for _, fee in named(version, plan, "fees", "fees"):
        share = share_due(account, fee, us, new)
        if share:
            yield charge_of(version, plan, fee, us, share)


def share_due(account, fee, us, new):
    """What part of a fee an instant brings: none, all of it, or the days that are left of a cycle."""
    kind = fee.get("cycle", "none")
    if kind == "none":
        return Fraction(int(new))
    first, end = cycle(kind, account, us)
    if midnight_us(first, account.zone) == us:
        return Fraction(1)
    if not new:
        return Fraction(0)
    if not true(fee.get("prorate")):
        return Fraction(1)
    last = local_day(end, account.zone)
    return Fraction((last - local_day(us, account.zone)).days, (last - first).days)


def charge_of(version, plan, fee, us, share):
    terms = version["plans"][plan]
    rounding = terms.get("rounding", {"rule": "half_up", "decimals": 4})
    tax = terms.get("tax", {"percent": 0, "prices": "inclusive"})
    exact = share * convert(version, amount(fee["amount"]), fee.get("currency", version["currency"]),
                            terms.get("currency", version["currency"]), us)
    if tax["prices"] == "exclusive":
        exact *= 1 + amount(tax["percent"]) / 100
    return round_money(exact, rounding["rule"], int(rounding["decimals"]))
