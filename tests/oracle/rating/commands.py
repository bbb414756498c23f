"""Commands: what moves balances, changes accounts, or lets time pass. Each id counts once."""

from datetime import date, timedelta
from fractions import Fraction

from tests.oracle.rating.amounts import SECOND_US, amount, local_day, local_time, midnight_us, units
from tests.oracle.rating.buckets import expire, size
from tests.oracle.rating.cycles import cycle_from
from tests.oracle.rating.fees import fees_due, fees_of_beginning
from tests.oracle.rating.selecting import version_at
from tests.oracle.rating.states import DEFAULT, RESTING, enter, move_states

NANO = Fraction(1, 10**9)
DAY_US = 86_400 * SECOND_US


class Invalid(Exception):  # noqa: N818
    """A command that cannot be carried out."""


def carry_out(oracle, command):
    """None, or the reason for which the command is set aside. `time_us` may stand for `time`."""
    if command["id"] in oracle.applied:
        return None
    us = command["time_us"] if "time_us" in command else local_time(command["time"], "UTC")
    account = None
    if command["kind"] not in ("clock", "period_close"):
        account = oracle.accounts.get(command["account_id"])
        if account is None:
            return "UNKNOWN_ACCOUNT"
    try:
        ACTIONS[command["kind"]](oracle, account, command, us)
    except Invalid:
        return "BAD_COMMAND"
    oracle.applied.add(command["id"])
    return None


def money_of(account, command, positive=True):
    value = amount(command["amount"])
    if command.get("currency") != account.currency or value == 0 or (positive and value < 0):
        raise Invalid
    return value


def top_up(oracle, account, command, us):
    value = money_of(account, command)
    account.money += value
    version = version_at(oracle, us)
    if version is None or version["currency"] != account.currency:
        return
    for rule in version.get("top_ups", []):
        if amount(rule.get("from", 0)) <= value and ("to" not in rule or value <= amount(rule["to"])):
            account.money += amount(rule.get("bonus", 0))
            account.money += value * amount(rule.get("bonus_percent", 0)) / 100 // NANO * NANO
            if "bucket" in rule:
                give(version, account, rule["bucket"], us, {})
            if "extends_validity" in rule:
                account.valid_to = max(account.valid_to or 0, us + units(rule["extends_validity"]) * SECOND_US)
                if account.state == "one_way":
                    account.state, account.state_since = "active", us
            return


def give(version, account, name, us, stated):
    """A bucket of the catalogue, one of its own for every grant."""
    definition = version.get("buckets", {}).get(name)
    if definition is None or (definition["unit"] == "money" and version["currency"] != account.currency):
        raise Invalid
    start = local_time(stated["from"], "UTC") if "from" in stated else us
    if "to" in stated:
        end = local_time(stated["to"], "UTC")
    else:
        end = start + units(definition["validity"]) * SECOND_US if "validity" in definition else None
    if end is not None and end <= max(start, us):
        raise Invalid
    number = 0
    while (key := (None, name, definition["unit"], "granted", (start, end, number), "grant")) in account.buckets:
        number += 1
    account.buckets[key] = size(definition | stated)


def grant(oracle, account, command, us):
    version = version_at(oracle, us)
    if version is None:
        raise Invalid
    give(version, account, command["bucket"], us, {k: command[k] for k in ("amount", "from", "to") if k in command})


def adjust(oracle, account, command, us):
    value = money_of(account, command, positive=False)
    if value < 0 and account.money + value < -account.credit:
        raise Invalid
    account.money += value


def transfer(oracle, account, command, us):
    value, other = money_of(account, command), oracle.accounts.get(command["to_account_id"])
    if other is None or other is account or other.currency != account.currency:
        raise Invalid
    if account.money - value < -account.credit:
        raise Invalid
    account.money -= value
    other.money += value


def plan_change(oracle, account, command, us):
    start = local_time(command["from"], "UTC") if "from" in command else us
    if not any(command["plan"] in version["plans"] for version in oracle.versions):
        raise Invalid
    new = command["plan"] not in account.plans_at(start - 1)
    account.points = sorted([p for p in account.points if p[0] != start] + [(start, [command["plan"]])])
    if new and oracle.clock_us is not None and start <= oracle.clock_us:  # no clock will come by it any more
        for due in fees_of_beginning(oracle, account, command["plan"], start):
            debit(oracle, account, due)


def credit_limit(oracle, account, command, us):
    if command.get("currency") != account.currency or amount(command["amount"]) < 0:
        raise Invalid
    account.credit = amount(command["amount"])


def state(oracle, account, command, us):
    if command["state"] not in DEFAULT:
        raise Invalid
    if command["state"] != account.state:
        enter(account, command["state"], us)


def period_close(oracle, account, command, us):
    """Close what ends by an instant, or with a day of each account's zone; what is over and closed expires."""
    now = max(us, us if oracle.clock_us is None else oracle.clock_us)
    if "until" in command:
        until = local_time(command["until"], "UTC")
        if until > now:
            raise Invalid
        oracle.closed_until = max(until, oracle.closed_until or until)
    else:
        through = date.fromisoformat(command["through"])
        if through >= local_day(now, "UTC"):
            raise Invalid
        oracle.closed_through = max(through, oracle.closed_through or through)
    expire(oracle)


def clock(oracle, account, command, us):
    """Fees, then states, then what expires; with a new day (UTC) sessions beyond the horizon are forgotten."""
    before = oracle.clock_us
    oracle.clock_us = us if before is None else max(us, before)
    for each in oracle.accounts.values():
        if before is None and each.state not in RESTING:
            each.begins(us)
    for each in (oracle.accounts[number] for number in sorted(oracle.accounts)):
        if before is not None:
            for due in list(fees_due(oracle, each, before, oracle.clock_us)):
                debit(oracle, each, due)
        move_states(version_at(oracle, oracle.clock_us), each, oracle.clock_us)
    expire(oracle)
    if before is None or before // DAY_US != oracle.clock_us // DAY_US:
        forget(oracle, oracle.clock_us - max(oracle.horizon_us, oracle.lateness_us))


def forget(oracle, us):
    """Once a day of the clock: sessions unheard of since then, and days and cycles that ended before."""
    for key in [k for k, s in oracle.sessions.items() if s.time < us]:
        del oracle.sessions[key]
    for key in list(oracle.days):
        account, _, day = key
        if midnight_us(day + timedelta(days=1), oracle.accounts[account].zone) < us:
            del oracle.days[key]
    for account in oracle.accounts.values():
        for name, first in list(account.counters):
            kinds = {v["counters"][name]["cycle"] for v in oracle.versions if name in v.get("counters", {})}
            if all(cycle_from(kind, account, first) < us for kind in kinds):
                del account.counters[name, first], account.highest[name, first]
                for key in [k for k in oracle.cycle_prices if k[:3] == (account.account_id, name, first)]:
                    del oracle.cycle_prices[key]


def debit(oracle, account, due):
    """A fee: own money, then the shared account's; the rest is uncollected. Returns the rest."""
    if account.state in ("pre_active", "terminated", "quarantined"):
        return due
    for payer in (account, oracle.accounts.get(account.shared)):
        if payer is not None:
            paid = min(max(payer.money + payer.credit, Fraction(0)), due)
            payer.money -= paid
            due -= paid
    return due


ACTIONS = {"top_up": top_up, "grant": grant, "adjust": adjust, "transfer": transfer, "plan_change": plan_change,
           "credit_limit": credit_limit, "state": state, "period_close": period_close, "clock": clock}
