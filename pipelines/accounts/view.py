"""An account as people are shown it: state, plans, balances, family. No number is in it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rating.book import NEVER_US, BalanceBook
from rating.counters import cycle_end_us
from rating.kernels.layout import (
    F_CREDIT,
    F_SHARED,
    F_TRAITS,
    L_SINCE,
    L_VALID,
    STATE,
    TRAIT_CURRENCY,
    TRAIT_PAYMENT,
    TRAIT_ZONE,
)
from reference_data.accounts import PAYMENTS, STATES
from reference_data.tariffs.compile import Tariffs, definition_key
from schemas.codes import Unit
from schemas.money import format_money
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT, BUCKET_DAY_BITS, BUCKET_UNIT_SHIFT, CYCLE_GRANTED
from schemas.timepoint import format_time

NAME_SHIFT = BUCKET_UNIT_SHIFT + 3  # a bucket's id above it is the hash of its plan and name


@dataclass(frozen=True)
class BucketView:
    """What is left of a bucket: nanos of money, else units. to_us: None for ever or the end of its cycle."""

    bucket_id: int
    plan: str
    name: str
    unit: Unit
    amount: int
    held: int
    from_us: int | None
    to_us: int | None

    def words(self, amount: int) -> str:
        return format_money(amount) if self.unit == Unit.MONEY else str(amount)


@dataclass(frozen=True)
class AccountView:
    """Money in nanos; `available` is what can be spent: balance and credit limit, less what is held."""

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
    held: int
    credit_limit: int
    shares_with: int | None
    shared_by: int
    buckets: tuple[BucketView, ...] = field(default=())

    @property
    def available(self) -> int:
        return self.money - self.held + self.credit_limit

    def as_json(self) -> dict[str, Any]:
        """Money as decimal text, times as ISO."""
        return {
            "account_id": self.account_id, "state": self.state, "since": _time(self.since_us),
            "valid_until": _time(self.valid_until_us), "payment": self.payment, "currency": self.currency,
            "time_zone": self.time_zone, "plans": list(self.plans),
            "later_plans": [{"from": _time(at), "plans": list(plans)} for at, plans in self.later_plans],
            "balance": format_money(self.money), "held": format_money(self.held),
            "credit_limit": format_money(self.credit_limit), "available": format_money(self.available),
            "shares_with": self.shares_with, "shared_by": self.shared_by,
            "buckets": [{"name": b.name, "plan": b.plan, "unit": b.unit.name.lower(), "amount": b.words(b.amount),
                         "held": b.words(b.held), "from": _time(b.from_us), "to": _time(b.to_us)}
                        for b in self.buckets]}


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
        money_held = sum(amount for bucket, amount in held.items() if bucket < 0)
        points = book.plan_points(row)
        since, valid, shared = (int(book.life[row, L_SINCE]), int(book.life[row, L_VALID]),
                                int(book.profile[row, F_SHARED]))
        return AccountView(
            int(book.account_ids[row]), STATES[int(book.records[row, STATE])], since if since > 0 else None,
            valid if valid < NEVER_US else None, PAYMENTS[traits >> TRAIT_PAYMENT & 0xF],
            book.currencies[traits >> TRAIT_CURRENCY & 0xFFF], book.time_zones[traits >> TRAIT_ZONE & 0xFFFF],
            tuple(book.plans_at(row, time_us)),
            tuple((at, tuple(plans)) for at, plans in points if at > time_us), book.money(row) + money_held, money_held,
            int(book.profile[row, F_CREDIT]), None if shared < 0 else int(book.account_ids[shared]),
            book.shared_by(row), tuple(self._buckets(book, row, held)))

    def _buckets(self, book: BalanceBook, row: int, held: dict[int, int]) -> list[BucketView]:
        found = []
        for bucket, left, from_us, to_us in book.buckets_of(row):
            plan, name = self.bucket_name(bucket)
            cycle = bucket >> BUCKET_CYCLE_SHIFT & 7
            if cycle != CYCLE_GRANTED:
                to_us = cycle_end_us(book, row, cycle, bucket & (1 << BUCKET_DAY_BITS) - 1)
            found.append(BucketView(bucket, plan, name, Unit(bucket >> BUCKET_UNIT_SHIFT & 7),
                                    left + held.get(bucket, 0), held.get(bucket, 0), from_us or None,
                                    to_us if 0 < to_us < NEVER_US else None))
        return sorted(found, key=lambda b: b.bucket_id)


def held_of(book: BalanceBook, row: int) -> dict[int, int]:
    """What sessions that go on hold of an account, by bucket (-1: money). Looks at all holds."""
    rows, buckets, amounts = book.held()
    mine = np.flatnonzero(rows == row)
    return {int(buckets[i]): int(amounts[i]) for i in mine.tolist()}


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else format_time(time_us)
