"""An account as people are shown it: state, plans, balances, family. No number is in it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rating.book import NEVER_US, BalanceBook
from rating.counters import cycle_end_us
from rating.kernels.layout import (
    CAPPED,
    ENTRY_WORDS,
    F_CREDIT,
    F_SHARED,
    F_TRAITS,
    H_COUNT,
    H_ENTRY,
    L_SINCE,
    L_VALID,
    MAX_ENTRIES,
    STATE,
    TRAIT_CURRENCY,
    TRAIT_PAYMENT,
    TRAIT_ZONE,
    X_HI,
    X_LO,
)
from reference_data.accounts import PAYMENTS, STATES
from reference_data.tariffs.compile import Tariffs, definition_key
from schemas.codes import Unit
from schemas.money import format_money
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT, BUCKET_DAY_BITS, BUCKET_UNIT_SHIFT, CYCLE_GRANTED
from schemas.timepoint import format_time

MOST_HOLDS = 1 << 15  # places in their table: one or two milliseconds
NAME_SHIFT = BUCKET_UNIT_SHIFT + 3  # a bucket's id above it is the hash of its plan and name


@dataclass(frozen=True)
class BucketView:
    """What is left of a bucket and not held: nanos of money, else units. to_us: end of its cycle, None for never."""

    bucket_id: int
    plan: str
    name: str
    unit: Unit
    amount: int
    held: int | None
    from_us: int | None
    to_us: int | None

    def words(self, amount: int) -> str:
        """An amount of it as text: money decimal, units whole."""
        return format_money(amount) if self.unit == Unit.MONEY else str(amount)


@dataclass(frozen=True)
class AccountView:
    """Money in nanos, what is held for open sessions not counted. held: None where there are too many sessions to look
    at for one question; what can be spent is always known."""

    account_id: int
    state: str
    since_us: int | None
    valid_until_us: int | None
    payment: str
    currency: str
    time_zone: str
    plans: tuple[str, ...]
    later_plans: tuple[tuple[int, tuple[str, ...]], ...]
    money: int
    held: int | None
    credit_limit: int
    shares_with: int | None
    shared_by: int
    buckets: tuple[BucketView, ...] = field(default=())

    @property
    def available(self) -> int:
        """What can be spent."""
        return self.money + self.credit_limit

    @property
    def balance(self) -> int | None:
        """What was posted: held money belongs to the account."""
        return None if self.held is None else self.money + self.held

    def as_json(self) -> dict[str, Any]:
        """Money as decimal text, times as ISO."""
        return {
            "account_id": self.account_id, "state": self.state, "since": _time(self.since_us),
            "valid_until": _time(self.valid_until_us), "payment": self.payment, "currency": self.currency,
            "time_zone": self.time_zone, "plans": list(self.plans),
            "later_plans": [{"from": _time(at), "plans": list(plans)} for at, plans in self.later_plans],
            "balance": _money(self.balance), "held": _money(self.held),
            "credit_limit": format_money(self.credit_limit), "available": format_money(self.available),
            "shares_with": self.shares_with, "shared_by": self.shared_by,
            "buckets": [{"name": b.name, "plan": b.plan, "unit": b.unit.name.lower(), "amount": b.words(b.amount),
                         "held": None if b.held is None else b.words(b.held), "from": _time(b.from_us),
                         "to": _time(b.to_us)} for b in self.buckets]}


class Viewer:
    """Names of buckets, made once for a set of tariffs."""

    def __init__(self, tariffs: Tariffs) -> None:
        self._names: dict[int, tuple[str, str]] = {}
        for version in tariffs.versions:
            for plan, known in [("", version.buckets.values()),
                                *((p.name, p.allowances) for p in version.plans.values())]:
                for each in known:
                    self._names[definition_key(plan, each) >> NAME_SHIFT] = plan, each.name

    def bucket_name(self, bucket_id: int) -> tuple[str, str]:
        """Plan and name; "" and the id where no tariff has it any more."""
        return self._names.get(bucket_id >> NAME_SHIFT, ("", str(bucket_id)))

    def account(self, book: BalanceBook, row: int, time_us: int) -> AccountView:
        """The account of a row, its plans as of a time. Looks at the account's own record only."""
        traits = int(book.profile[row, F_TRAITS])
        held = held_of(book, row)
        money_held = None if held is None else held.get(-1, 0)
        points = book.plan_points(row)
        since, valid, shared = (int(book.life[row, L_SINCE]), int(book.life[row, L_VALID]),
                                int(book.profile[row, F_SHARED]))
        return AccountView(
            int(book.account_ids[row]), STATES[int(book.records[row, STATE])], since if since > 0 else None,
            valid if valid < NEVER_US else None, PAYMENTS[traits >> TRAIT_PAYMENT & 0xF],
            book.currencies[traits >> TRAIT_CURRENCY & 0xFFF], book.time_zones[traits >> TRAIT_ZONE & 0xFFFF],
            tuple(book.plans_at(row, time_us)),
            tuple((at, tuple(plans)) for at, plans in points if at > time_us), book.money(row), money_held,
            int(book.profile[row, F_CREDIT]), None if shared < 0 else int(book.account_ids[shared]),
            book.shared_by(row), tuple(self._buckets(book, row, held)))

    def _buckets(self, book: BalanceBook, row: int, held: dict[int, int] | None) -> list[BucketView]:
        found = []
        for bucket, left, from_us, to_us in book.buckets_of(row):
            plan, name = self.bucket_name(bucket)
            cycle = bucket >> BUCKET_CYCLE_SHIFT & 7
            if cycle != CYCLE_GRANTED:
                to_us = cycle_end_us(book, row, cycle, bucket & (1 << BUCKET_DAY_BITS) - 1)
            found.append(BucketView(bucket, plan, name, Unit(bucket >> BUCKET_UNIT_SHIFT & 7), left,
                                    None if held is None else held.get(bucket, 0), from_us or None,
                                    to_us if 0 < to_us < NEVER_US else None))
        return sorted(found, key=lambda b: b.bucket_id)


def held_of(book: BalanceBook, row: int) -> dict[int, int] | None:
    """What sessions that go on hold of an account, by bucket (-1: money). It takes a look at all that is held by
    anybody, so None where that would keep a node from its requests."""
    holds = book.holds
    if holds.shape[0] > MOST_HOLDS:
        return None
    entries = holds[:, H_ENTRY:].reshape(-1, MAX_ENTRIES, ENTRY_WORDS)
    mine = ((entries[:, :, 0] & (CAPPED - 1)) == row) & (np.arange(MAX_ENTRIES) < holds[:, H_COUNT, np.newaxis]) & (
        (holds[:, X_HI] != 0) | (holds[:, X_LO] != 0))[:, np.newaxis]
    found: dict[int, int] = {}
    for _, bucket, amount in entries[mine].tolist():
        found[bucket] = found.get(bucket, 0) + amount
    return found


def _money(nanos: int | None) -> str | None:
    return None if nanos is None else format_money(nanos)


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else format_time(time_us)
