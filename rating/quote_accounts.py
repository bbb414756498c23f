"""Accounts of a quote: from a balances file, or made up from the plans that the events name.

docs/quote.md describes the file. Nothing here is kept: a quote ends with the book it made.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rating.book import NEVER_US, BalanceBook
from rating.commands.grants import CATALOGUE
from rating.counters import CounterKind, counter_kinds, cycle_day, set_counter
from rating.days import begin_with
from rating.friends import add_friends
from rating.kernels.layout import L_VALID
from rating.quote_events import AccountName, QuoteEvent, account_key, account_of
from rating.quote_lines import EARLIEST_US, Fields, shown
from reference_data.accounts import FOREVER_US, PAYMENTS, STATES, Accounts, accounts_from_arrow
from reference_data.tariffs.compile import Tariffs, definition_key
from reference_data.tariffs.granting import parse_amount
from reference_data.tariffs.model import CYCLES, GRANTED, Allowance
from schemas.codes import Unit
from schemas.errors import ReferenceDataError
from schemas.money import format_money, parse_money
from schemas.timepoint import is_time_zone
from schemas.units import parse_quantity

ABSENT_ACCOUNT = 1 << 62  # no book has it
ANY_FRIEND = 1  # token of a number that is everybody's friend: what an event says of itself
UNLIMITED = "1000000000"  # credit of accounts that a quote makes up, in units of their currency
ACCOUNT_FIELDS = frozenset((
    "account", "account_id", "payment", "currency", "balance", "credit_limit", "time_zone", "anchor_day", "state",
    "valid_until", "plan", "plans", "shared_account", "shared_account_id", "friends", "buckets", "counters"))
_STAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class GivenBucket:
    """A bucket that the file says is there already. at_us: an instant within its cycle, -1: that of the first event.

    from_us, to_us: validity of a bucket of the catalogue.
    """

    name: str
    plan: str
    remaining: str
    at_us: int
    place: str
    from_us: int
    to_us: int


@dataclass(frozen=True)
class GivenCounter:
    """Where a counter stands already. at_us: an instant within its cycle, -1: that of the first event."""

    name: str
    value: str
    at_us: int
    place: str


@dataclass(frozen=True)
class GivenAccount:
    """One account of the file, or a made-up one."""

    name: AccountName
    plans: tuple[tuple[str, int, int | None, int], ...]  # plan, from, to, priority
    payment: str = "prepaid"
    currency: str = ""
    balance: str = "0"
    credit_limit: str = "0"
    time_zone: str = ""
    anchor_day: int = 1
    state: str = "active"
    shared: AccountName | None = None
    friends: frozenset[str] = frozenset()
    buckets: tuple[GivenBucket, ...] = ()
    counters: tuple[GivenCounter, ...] = ()
    valid_until_us: int = NEVER_US


class AccountNames:
    """Account names to numbers and back: numbers stand for themselves, texts get the lowest that are free."""

    def __init__(self, names: Sequence[AccountName]) -> None:
        keys = [account_key(name) for name in names]
        taken = {key for key in keys if isinstance(key, int)}
        self._number: dict[AccountName, int] = {number: number for number in taken}
        free = 1
        for key in keys:
            if key not in self._number:
                while free in taken:
                    free += 1
                taken.add(free)
                self._number[key] = free
        self.name: dict[int, AccountName] = {self.number(name): name for name in names}

    def number(self, name: AccountName) -> int:
        """The account's number; ABSENT_ACCOUNT when there is none of that name."""
        return self._number.get(account_key(name), ABSENT_ACCOUNT)


def read_accounts(value: object, file: str, tariffs: Tariffs, time_zone: str) -> list[GivenAccount]:
    """Accounts of a balances file: a list, `{"accounts": [...]}`, or a mapping of names. Raises ReferenceDataError."""
    if isinstance(value, dict) and set(value) <= {"accounts"}:
        value = value.get("accounts")
    if isinstance(value, dict):
        value = [{"account": name, **(item if isinstance(item, dict) else {"": item})} for name, item in value.items()]
    if not isinstance(value, list) or not value:
        raise ReferenceDataError(f"{file}: {shown(value)}", 'a list of accounts, or {"accounts": [...]}')
    accounts = []
    for number, item in enumerate(value, 1):
        if not isinstance(item, dict):
            raise ReferenceDataError(f"{file}, account {number}: {shown(item)}", "a mapping such as "
                                     '{"account": 7, "plan": "basic", "balance": "10.00"}')
        accounts.append(_account(Fields(f"{file}, account {number}", item), tariffs, time_zone))
    seen: set[AccountName] = set()
    for account in accounts:
        if account_key(account.name) in seen:
            raise ReferenceDataError(f"{file}: account {account.name!r} appears twice", "each account once")
        seen.add(account_key(account.name))
    for account in accounts:
        if account.shared is None:
            continue
        shared = account_key(account.shared)
        if shared not in seen or shared == account_key(account.name):
            raise ReferenceDataError(f"{file}, account {account.name!r}: shared_account {account.shared!r}",
                                     "another account of the file")
    return accounts


def _account(fields: Fields, tariffs: Tariffs, time_zone: str) -> GivenAccount:
    fields.only(ACCOUNT_FIELDS)
    name = account_of(fields)
    if name is None:
        raise fields.missing("account", "a number or a name")
    zone = fields.text("time_zone", time_zone)
    if not is_time_zone(zone):
        raise fields.wrong("time_zone", "an IANA name such as Europe/Berlin")
    for key, known in (("payment", PAYMENTS), ("state", STATES)):
        fields.choice(key, {n: i for i, n in enumerate(known)}, 0)
    if fields.money("credit_limit") < 0:
        raise fields.wrong("credit_limit", "zero or more")
    plans = _plans(fields, tariffs, zone)
    currency = fields.text("currency", plan_currency(tariffs, plans[0][0]) if plans else tariffs.labels["currency"][0])
    if currency not in tariffs.labels["currency"]:
        raise fields.refuse("currency", f"{currency!r}, a currency that no tariff version has",
                            "one of " + ", ".join(tariffs.labels["currency"]))
    friends = fields.values.get("friends") or []
    if not isinstance(friends, list) or not all(isinstance(f, str | int) for f in friends):
        raise fields.wrong("friends", 'a list of numbers such as ["+4915112345678"]')
    return GivenAccount(
        name, plans, fields.text("payment", "prepaid"), currency, format_money(fields.money("balance")),
        format_money(fields.money("credit_limit")), zone, fields.whole("anchor_day", 1, 31, 1),
        fields.text("state", "active"), account_of(fields, "shared_account"),
        frozenset("".join(c for c in str(f) if c.isdigit()) for f in friends), _buckets(fields, tariffs, zone),
        tuple(GivenCounter(one.text("counter"), str(one.values["value"]), at_us, one.place)
              for one, at_us in _listed(fields, "counters", ("counter", "value"), zone)),
        fields.moment("valid_until", zone) if fields.has("valid_until") else NEVER_US)


def _plans(fields: Fields, tariffs: Tariffs, zone: str) -> tuple[tuple[str, int, int | None, int], ...]:
    given = fields.values.get("plans", fields.values.get("plan"))
    if given is None:
        return ()
    found = []
    for number, item in enumerate(given if isinstance(given, list) else [given], 1):
        one = Fields(f"{fields.place}, plan {number}", item if isinstance(item, dict) else {"plan": item})
        one.only(("plan", "from", "to", "priority"))
        name = known_plan(one, tariffs)
        if name is None:
            raise one.missing("plan", "the name of a plan")
        found.append((name, one.moment("from", zone) if one.has("from") else EARLIEST_US,
                      one.moment("to", zone) if one.has("to") else None, one.whole("priority", 0, 1000, number - 1)))
    return tuple(found)


def known_plan(fields: Fields, tariffs: Tariffs) -> str | None:
    """The plan that the fields name; refused when no version has it."""
    name = fields.text("plan") or None
    if name is not None and name not in tariffs.labels["plan"]:
        raise fields.refuse("plan", f"{name!r}, which no tariff version has",
                            "one of " + ", ".join(tariffs.labels["plan"][:12]))
    return name


def _buckets(fields: Fields, tariffs: Tariffs, zone: str) -> tuple[GivenBucket, ...]:
    return tuple(GivenBucket(one.text("bucket"), known_plan(one, tariffs) or "", str(one.values["remaining"]), at_us,
                             one.place, one.moment("from", zone) if one.has("from") else EARLIEST_US,
                             one.moment("to", zone) if one.has("to") else NEVER_US)
                 for one, at_us in _listed(fields, "buckets", ("bucket", "remaining"), zone, ("plan", "from", "to")))


def _listed(fields: Fields, name: str, needed: tuple[str, ...], zone: str, more: tuple[str, ...] = ()
            ) -> list[tuple[Fields, int]]:
    """Mappings of a list with what each must have, and the instant that its `cycle` holds (-1: left out)."""
    given = fields.values.get(name) or []
    if not isinstance(given, list):
        raise fields.wrong(name, f"a list such as [{{{', '.join(f'{key}: ...' for key in needed)}}}]")
    found = []
    for number, item in enumerate(given, 1):
        one = Fields(f"{fields.place}, {name.removesuffix('s')} {number}", item if isinstance(item, dict) else {})
        one.only((*needed, *more, "cycle"))
        for key in needed:
            if not one.has(key):
                raise one.missing(key, f"{key}: ...")
        found.append((one, one.moment("cycle", zone) if one.has("cycle") else -1))
    return found


def made_up(events: Sequence[QuoteEvent], tariffs: Tariffs, time_zone: str) -> list[GivenAccount]:
    """Accounts for events without a balances file: one for each name, and one for each plan that stands alone.

    They have all the credit in the world, no balance, and cycles that begin on the first of the month.
    """
    plans: dict[AccountName, str] = {}
    for event in events:
        name = account_name(event, tariffs)
        if event.plan is not None and plans.setdefault(name, event.plan) != event.plan:
            raise ReferenceDataError(f"line {event.line}: account {name!r} has plan {plans[name]!r} before and "
                                     f"{event.plan!r} here", "one plan for an account",
                                     "use a plan_change command, or a balances file")
    every = tariffs.labels["plan"]
    for event in events:
        name = account_name(event, tariffs)
        if name not in plans:
            if len(every) != 1:
                raise ReferenceDataError(f"line {event.line}: neither a plan nor a balances file",
                                         "field 'plan', one of " + ", ".join(every[:12]))
            plans[name] = every[0]
    return [GivenAccount(name, ((plan, EARLIEST_US, None, 0),), "postpaid", plan_currency(tariffs, plan), "0",
                         UNLIMITED, time_zone) for name, plan in plans.items()]


def made_up_for_legs(given: Sequence[GivenAccount], tariffs: Tariffs, time_zone: str) -> list[GivenAccount]:
    """Accounts that charge legs name and `given` lacks, likewise: with all the credit in the world and no balance."""
    known = {account_key(account.name) for account in given}
    found: dict[int, GivenAccount] = {}
    for version in tariffs.versions:
        for leg in version.legs:
            for number in leg.accounts.values() if leg.account is None else (leg.account,):
                if number not in known:
                    found.setdefault(number, GivenAccount(number, (), "postpaid", plan_currency(tariffs, leg.plan), "0",
                                                          UNLIMITED, time_zone))
    return [found[number] for number in sorted(found)]


def account_name(event: QuoteEvent, tariffs: Tariffs) -> AccountName:
    """Whose event it is without a balances file: the account it names, or else its plan's own."""
    if event.account is not None:
        return account_key(event.account)
    return event.plan or (tariffs.labels["plan"][0] if len(tariffs.labels["plan"]) == 1 else "")


def plan_currency(tariffs: Tariffs, plan: str) -> str:
    """What a plan charges in, by the first version that has it."""
    for version in tariffs.versions:
        if plan in version.plans:
            return getattr(version.plans[plan], "currency", None) or version.currency
    return tariffs.labels["currency"][0]


def open_book(given: Sequence[GivenAccount], names: AccountNames, tariffs: Tariffs, first_us: int) -> BalanceBook:
    """A fresh book with these accounts. first_us: the instant whose cycles buckets without one belong to."""
    book = BalanceBook.create()
    book.open_accounts(_tables(given, names), tariffs, 0)
    _fill_buckets(book, given, names, tariffs, first_us)
    numbers = [(number, friend_token(friend)) for number, account in enumerate(given) for friend in account.friends]
    numbers += [(number, ANY_FRIEND) for number in range(len(given))]
    rows = book.rows_of(np.array([names.number(account.name) for account in given], np.int64))
    add_friends(book, rows[[number for number, _ in numbers]], np.array([token for _, token in numbers], np.int64),
                np.full(len(numbers), -FOREVER_US), np.full(len(numbers), FOREVER_US))
    book.life[rows, L_VALID] = [account.valid_until_us for account in given]
    book.timers_due()
    kinds = counter_kinds(tariffs)
    for account in given:
        row = int(book.rows_of(np.array([names.number(account.name)], np.int64))[0])
        for counter in account.counters:
            if counter.name not in kinds:
                raise ReferenceDataError(f"{counter.place}: counter {counter.name!r}",
                                         "one of " + (", ".join(kinds) or "none: the tariff has no counters"))
            set_counter(book, row, kinds[counter.name], _value(counter, kinds[counter.name]),
                        counter.at_us if counter.at_us >= 0 else first_us)
    return book


def friend_token(digits: str) -> int:
    """Stands for a number within a quote; the vault's tokens are of no use here."""
    return max(int.from_bytes(hashlib.sha256(digits.encode()).digest()[:8], "big") >> 2, ANY_FRIEND + 1)


def _value(counter: GivenCounter, kind: CounterKind) -> int:
    try:
        if kind.unit == Unit.MONEY:
            return parse_money(counter.value)
        return parse_quantity(counter.value, Unit.UNIT if kind.unit is None else kind.unit)
    except ValueError as problem:
        raise ReferenceDataError(f"{counter.place}, field 'value': {problem}", "what the counter counts") from None


def _tables(given: Sequence[GivenAccount], names: AccountNames) -> Accounts:
    accounts = pa.table({
        "account_id": pa.array([names.number(g.name) for g in given], pa.int64()),
        "shared_account_id": pa.array([None if g.shared is None else names.number(g.shared) for g in given],
                                      pa.int64()),
        "payment": [g.payment for g in given], "currency": [g.currency for g in given],
        "credit_limit": [g.credit_limit for g in given], "opening_balance": [g.balance for g in given],
        "time_zone": [g.time_zone for g in given],
        "anchor_day": pa.array([g.anchor_day for g in given], pa.int64()), "state": [g.state for g in given]})
    rows = [(names.number(g.name), *plan) for g in given for plan in g.plans]
    plans = pa.table({
        "account_id": pa.array([r[0] for r in rows], pa.int64()), "plan": pa.array([r[1] for r in rows], pa.string()),
        "valid_from": pa.array([r[2] for r in rows], _STAMP), "valid_to": pa.array([r[3] for r in rows], _STAMP),
        "priority": pa.array([r[4] for r in rows], pa.int64()),
        "recorded_from": pa.array([0] * len(rows), _STAMP), "recorded_to": pa.array([None] * len(rows), _STAMP)})
    return accounts_from_arrow(accounts, plans)


def _fill_buckets(book: BalanceBook, given: Sequence[GivenAccount], names: AccountNames, tariffs: Tariffs,
                  first_us: int) -> None:
    found: dict[tuple[int, int], tuple[int, int, int]] = {}
    for account in given:
        row = int(book.rows_of(np.array([names.number(account.name)], np.int64))[0])
        for bucket in account.buckets:
            plan, allowance = _allowance(bucket, account, tariffs)
            try:
                remaining = parse_amount(bucket.remaining, allowance.unit)
            except ValueError as problem:
                raise ReferenceDataError(f"{bucket.place}, field 'remaining': {problem}",
                                         f"whole {allowance.unit.name.lower()}s") from None
            key = definition_key(plan, allowance)
            if allowance.cycle == GRANTED:
                while (row, key) in found:  # the last bits tell grants of one bucket apart
                    key += 1
                found[row, key] = remaining, bucket.from_us, bucket.to_us
                continue
            at_us = bucket.at_us if bucket.at_us >= 0 else first_us
            day = cycle_day(book, row, CYCLES.index(allowance.cycle), at_us)
            found[row, key | day] = remaining, 0, 0
            if day:
                begin_with(book, row, day)
    if found:
        keys = np.array(list(found), np.int64)
        values = np.array(list(found.values()), np.int64)
        book.set_buckets(*(np.ascontiguousarray(column) for column in (*keys.T, *values.T)))


def _allowance(bucket: GivenBucket, account: GivenAccount, tariffs: Tariffs) -> tuple[str, Allowance]:
    """The allowance that a bucket is of: of the plan it names, or of any plan of the account."""
    plans = [bucket.plan] if bucket.plan else [plan for plan, *_ in account.plans]
    known = []
    for version in tariffs.versions:
        for plan in plans:
            for allowance in version.plans[plan].allowances if plan in version.plans else ():
                if allowance.name == bucket.name:
                    return plan, allowance
                known.append(allowance.name)
        if not bucket.plan and bucket.name in version.buckets:
            return CATALOGUE, version.buckets[bucket.name]
        known += version.buckets
    raise ReferenceDataError(f"{bucket.place}: bucket {bucket.name!r} is no allowance of plan "
                             + " or ".join(repr(p) for p in plans) + (", and none of the catalogue" if known else ""),
                             "one of " + (", ".join(dict.fromkeys(known)) or "none"))
