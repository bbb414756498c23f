"""Whether a book that is charged by some tariffs can be charged by others from now on.

State names plans, buckets, counters and currencies by themselves, never by a place in the tariff: what both have goes
on. What is refused is what would leave accounts without a price that they have now.
"""

import numpy as np

from rating.book import NEVER_US, BalanceBook
from rating.kernels.layout import F_PLAN, F_PLAN_FROM, F_PLAN_NEXT, N_FROM, N_NEXT, N_PLAN
from reference_data.accounts import PLAN_SEPARATOR
from reference_data.tariffs.compile import Tariffs
from reference_data.tariffs.model import TariffVersion
from schemas.columns import I64
from schemas.errors import ReferenceDataError
from schemas.timepoint import format_time


def check_takeover(book: BalanceBook, before: Tariffs, after: Tariffs, now_us: int) -> None:
    """Raises ReferenceDataError: no version now, a currency or a plan that accounts have and `after` has not, or a plan
    that charges in another currency. By another thread than the one that ticks."""
    lost = [name for name in book.currencies if name not in after.labels["currency"]]
    if lost:
        raise ReferenceDataError(f"accounts in {', '.join(lost)}, a currency that no version of these tariffs has",
                                 "one of " + ", ".join(after.labels["currency"]), "keep a version in that currency")
    names = {plan for joined in tuple(book.plans) for plan in joined.split(PLAN_SEPARATOR)}
    moments = [now_us, *sorted({v.active_from_us for t in (before, after) for v in t.versions
                                if v.active_from_us > now_us})]
    for from_us, to_us in zip(moments, [*moments[1:], NEVER_US], strict=True):
        old, new = before.version_at(from_us), after.version_at(from_us)
        if old is None:
            continue
        if new is None:
            raise ReferenceDataError(f"no version of these tariffs is in force from {format_time(from_us)}",
                                     f"one, as {old.name} is now", "keep the version that is in force in the folder")
        for plan in sorted(names & set(old.plans)):
            if plan in new.plans:
                _check_currency(plan, old, new)
            elif (holders := _holders(book, plan, from_us, to_us)):
                raise ReferenceDataError(
                    f"version {new.name} has no plan {plan!r}, which {holders:,} accounts have from "
                    f"{format_time(from_us)}", "every plan that accounts have", "change their plan first, or keep it")


def _check_currency(plan: str, old: TariffVersion, new: TariffVersion) -> None:
    was, is_now = (version.plans[plan].currency or version.currency for version in (old, new))
    if was != is_now:
        raise ReferenceDataError(f"plan {plan!r} of version {new.name} is in {is_now}", f"{was}, as its accounts are",
                                 "give it another name")


def _holders(book: BalanceBook, plan: str, from_us: int, to_us: int) -> int:
    """Accounts that have a plan at some time of [from_us, to_us)."""
    profile = book.profile
    start, held, at = (profile[:, word].copy() for word in (F_PLAN_FROM, F_PLAN, F_PLAN_NEXT))
    nodes = book.nodes  # after the profile, and names after both: they only grow, and ticks go on
    wanted = np.array([plan in joined.split(PLAN_SEPARATOR) for joined in tuple(book.plans)] + [False])  # -1: none
    account: I64 = np.arange(len(profile))
    end = np.full(start.size, NEVER_US)
    found = np.zeros(start.size, np.bool_)
    while account.size:  # one round for each older change point, all accounts at once
        found[account] |= wanted[held] & (start < to_us) & (end > from_us)
        older = (at >= 0) & (start > from_us)
        account, end = account[older], start[older]
        place = at[older]
        start, held, at = nodes[place, N_FROM], nodes[place, N_PLAN], nodes[place, N_NEXT]
    return int(found.sum())
