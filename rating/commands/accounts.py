"""An account that begins by a command, between runs or while the node serves."""

from dataclasses import replace

import numpy as np

from rating.book import NEVER_US
from rating.commands.context import Context, RefusedError, read_account
from rating.commands.fees import charge_begun
from rating.commands.movement import Movement
from reference_data.accounts import FOREVER_US, PAYMENTS, STATES, Accounts
from schemas.columns import ABSENT, I64
from schemas.money import MAX_NANOS, parse_money
from schemas.timepoint import is_time_zone


def account_create(context: Context, movement: Movement) -> None:
    """Open it, empty: money comes by a top-up, identities by `service_add`, a family by `share_join`."""
    account = read_account(context.command)
    if account == ABSENT or context.row >= 0:
        raise RefusedError.told("an account_id that is taken" if context.row >= 0 else "no account_id",
                                "a number that no account has, from 0", "choose another")
    plan, currency = context.text("plan"), context.text("currency")
    if plan not in context.tariffs.labels["plan"]:
        raise RefusedError.told(f"plan {plan!r}", "one of the tariffs' plans", "activate a tariff that has it first")
    if currency not in context.tariffs.labels["currency"]:
        raise RefusedError.told(f"currency {currency!r}", "one of " + ", ".join(context.tariffs.labels["currency"]))
    zone = context.text("time_zone")
    if not is_time_zone(zone):
        raise RefusedError.told(f"time_zone {zone!r}", "a zone of the IANA database, such as Europe/Berlin")
    from_us = context.instant("from", context.time_us)
    until = context.command.get("valid_until")
    valid_us = ABSENT if until is None else context.instant("valid_until", NEVER_US)
    accounts = Accounts(
        _one(account), _one(ABSENT), _one(_choice(context, "payment", PAYMENTS, "prepaid")),
        _one(_choice(context, "state", STATES, "active")), _one(0), _one(0), _one(_limit(context)), _one(0),
        _one(_anchor(context)), _one(account), _one(0), _one(from_us), _one(FOREVER_US), (currency,), (zone,), (plan,),
        _one(valid_us))
    context.book.open_accounts(accounts, context.tariffs, context.position)
    opened = replace(context, row=context.book.row_of(account))
    charge_begun(opened, movement, plan, from_us)


def _one(value: int) -> I64:
    return np.array([value], np.int64)


def _choice(context: Context, name: str, known: tuple[str, ...], default: str) -> int:
    value = context.command.get(name, default)
    if value not in known:
        raise RefusedError.told(f"{name} {str(value)[:40]!r}", "one of " + ", ".join(known))
    return known.index(str(value))


def _limit(context: Context) -> int:
    try:
        nanos = parse_money(context.text("credit_limit") if "credit_limit" in context.command else "0")
    except ValueError:
        nanos = -1
    if not 0 <= nanos < MAX_NANOS:
        raise RefusedError.told("credit_limit: no such amount", "decimal text from 0 on, such as \"50.00\"")
    return nanos


def _anchor(context: Context) -> int:
    day = context.command.get("anchor_day", 1)
    if not isinstance(day, int) or isinstance(day, bool) or not 1 <= day <= 31:
        raise RefusedError.told(f"anchor_day {str(day)[:20]!r}", "1 to 31")
    return day
