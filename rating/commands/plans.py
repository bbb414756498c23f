"""Commands that change what an account is sold and with whom it shares: plans, options, friends, families."""

import numpy as np

from rating.book import NEVER_US
from rating.commands.context import Context, RefusedError, read_time
from rating.commands.fees import charge_begun
from rating.commands.movement import Movement
from rating.friends import add_friends, end_friend
from rating.kernels.friends import is_friend_nb
from rating.kernels.layout import F_SHARED
from reference_data.accounts import MAX_PLANS


def plan_change(context: Context, movement: Movement) -> None:
    """From an instant on, until the next change that is known, the account has another plan: it alone."""
    plan, from_us = _plan(context), context.instant("from", context.time_us)
    before = context.book.plans_at(context.row, from_us - 1)
    context.book.change_plan(context.row, plan, from_us)
    if plan not in before:
        charge_begun(context, movement, plan, from_us)


def option_add(context: Context, movement: Movement) -> None:
    """A further plan for a time, asked for a price before the plans that the account has then, or after them."""
    plan, from_us = _plan(context), context.instant("from", context.time_us)
    to_us = context.instant("to", NEVER_US)
    order = context.command.get("order", "before")
    spans = context.book.plans_between(context.row, from_us, to_us)
    if order not in ("before", "after") or not spans or any(
            not held or plan in held or len(held) == MAX_PLANS for _, _, held in spans):
        raise RefusedError.told(f"option {plan!r} in a time without a plan, with that plan, or with {MAX_PLANS} plans",
                                "a time in which the account has others; order: before or after")
    for start_us, end_us, held in spans:
        context.book.set_plans(context.row, start_us, end_us, [plan, *held] if order == "before" else [*held, plan])
    charge_begun(context, movement, plan, from_us)


def option_remove(context: Context, _movement: Movement) -> None:
    """End an option; what is left of its allowances stays until their cycle is over."""
    plan, from_us = context.text("plan"), context.instant("from", context.time_us)
    held = [span for span in context.book.plans_between(context.row, from_us, NEVER_US) if plan in span[2]]
    if not held or any(len(plans) == 1 for _, _, plans in held):
        raise RefusedError.told(f"plan {plan[:40]!r}, which the account does not have then, or has alone",
                                "one of several plans that it has", "change the plan by plan_change")
    for start_us, end_us, plans in held:
        context.book.set_plans(context.row, start_us, end_us, [name for name in plans if name != plan])


def friend_add(context: Context, _movement: Movement) -> None:
    """Put a number on the account's list, from and to; one that is on it then already is refused."""
    book, row, token = context.book, context.row, _token(context)
    from_us, to_us = context.instant("from", context.time_us), context.instant("to", NEVER_US)
    if to_us <= from_us or is_friend_nb(book.friends, row, token, from_us):
        raise RefusedError.told("a number that is on the list already, or an end before its beginning",
                                "one that is not, and `to` after `from`")
    add_friends(book, *(np.array([value], np.int64) for value in (row, token, from_us, to_us)))


def friend_remove(context: Context, _movement: Movement) -> None:
    """Take a number off the list from an instant on; refused when it is not there."""
    if not end_friend(context.book, context.row, _token(context), context.instant("from", context.time_us)):
        raise RefusedError.told("a number that is not on the list", "one that is")


def share_join(context: Context, _movement: Movement) -> None:
    """From now on another account's buckets and money stand behind the account's own, which stay its own.

    Refused: that account itself shares another's, or someone shares this one's (families are one deep), or the
    currencies differ. What a member has taken of a cap in this cycle is remembered when it leaves and comes back.
    """
    book, row = context.book, context.row
    other = context.other_row("shared_account_id")
    if other == row or book.profile[other, F_SHARED] >= 0 or book.shared_by(row):
        raise RefusedError.told("an account that shares another's balance, or whose balance is shared",
                                "one that stands alone, joining one that shares nobody's", "leave first")
    if context.currency(other) != context.currency(row):
        raise RefusedError.told(f"a balance in {context.currency(other)}", context.currency(row))
    book.share(row, other)


def share_leave(context: Context, _movement: Movement) -> None:
    """From now on the account stands alone; what it took of the family's stays taken."""
    if context.book.profile[context.row, F_SHARED] < 0:
        raise RefusedError.told("an account that shares nobody's balance", "a member of a family", "nothing to leave")
    context.book.share(context.row, -1)


def _plan(context: Context) -> str:
    plan = context.text("plan")
    if plan not in context.tariffs.labels["plan"] or ("from" in context.command and read_time(
            context.command, "from") is None):
        raise RefusedError.told(f"plan {plan!r}", "one of " + ", ".join(sorted(filter(
            None, context.tariffs.labels["plan"])))[:400], "activate a tariff that has it first")
    return plan


def _token(context: Context) -> int:
    token = context.command.get("token")
    if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < 1 << 63:
        raise RefusedError
    return token
