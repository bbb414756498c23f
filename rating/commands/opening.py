"""What an account begins with when it comes from another system: money, buckets, where its counters stand.

It stands against the opening account, and only where nothing is yet: an account that has moved is not opened again.
"""

from dataclasses import dataclass

from rating.book import NEVER_US, BalanceBook
from rating.commands.context import Context, RefusedError
from rating.commands.grants import CATALOGUE, LARGEST, give_bucket
from rating.commands.movement import Movement
from rating.counters import CounterKind, counter_kinds, cycle_day, cycle_end_us, has_counter, set_counter
from rating.days import begin_with
from rating.kernels.layout import (
    B_CLOCK,
    B_DUE,
    B_LATENESS,
    B_SPILLED,
    B_THROUGH,
    B_UNTIL,
    BUCKET_ID,
    F_SPILL,
    F_TRAITS,
    MONEY,
    S_BUCKET,
    S_FROM,
    S_NEXT,
    S_REMAINING,
    S_ROW,
    S_TO,
    SLOTS,
    SPILL_WORDS,
    TRAIT_ZONE,
)
from reference_data.tariffs.compile import Tariffs, definition_key
from reference_data.tariffs.granting import parse_amount
from reference_data.tariffs.model import CYCLES, Allowance
from schemas.codes import LedgerAccount, PostingReason, Unit
from schemas.money import MAX_NANOS
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT
from schemas.timepoint import local_midnight_us

_FAMILY = -(1 << BUCKET_CYCLE_SHIFT)  # masks the day out of a bucket's id


@dataclass(frozen=True)
class OpeningBucket:
    """A bucket that a name means for an account: plan ("" for the catalogue) and definition."""

    plan: str
    definition: Allowance


def open_balance(context: Context, movement: Movement) -> None:
    """Money (`amount`, `currency`), a bucket (`bucket`, `amount`, ...) or a counter (`counter`, `value`)."""
    given = {"bucket", "counter"} & set(context.command)
    if len(given) == 2:
        raise RefusedError
    {"bucket": _bucket, "counter": _counter}.get("".join(given), _money)(context, movement)


def find_bucket(book: BalanceBook, row: int, tariffs: Tariffs, name: str, plan: str, time_us: int, at_us: int
                ) -> OpeningBucket | None:
    """The allowance of this name: of `plan`, else of the plans that the account has at `at_us`, else of the catalogue.

    time_us: says which version.
    """
    version = tariffs.version_at(time_us)
    if version is None:
        return None
    for held in [plan] if plan else book.plans_at(row, at_us):
        for allowance in version.plans[held].allowances if held in version.plans else ():
            if allowance.name == name:
                return OpeningBucket(held, allowance)
    return OpeningBucket(CATALOGUE, version.buckets[name]) if not plan and name in version.buckets else None


def find_counter(tariffs: Tariffs, name: str) -> CounterKind | None:
    """The counter of this name, None when no version has it."""
    return counter_kinds(tariffs).get(name)


def counter_unit(kind: CounterKind) -> Unit:
    """What its values are written in; events are plain numbers."""
    return Unit.UNIT if kind.unit is None else kind.unit


def granted_alike(book: BalanceBook, row: int, key: int, from_us: int, to_us: int) -> bool:
    """Whether the account holds a granted bucket of this definition with this very validity."""
    at = int(book.profile[row, F_SPILL])
    while at >= 0:
        bucket, start_us, end_us = (int(book.spill[at, word]) for word in (S_BUCKET, S_FROM, S_TO))
        if bucket & _FAMILY == key and (start_us, end_us) == (from_us, to_us):
            return True
        at = int(book.spill[at, S_NEXT])
    return False


def holds_bucket(book: BalanceBook, row: int, bucket_id: int) -> bool:
    """Whether the account has this bucket of a cycle, be it empty."""
    if bool((book.records[row, BUCKET_ID + 1:] == bucket_id).any()):
        return True
    at = int(book.profile[row, F_SPILL])
    while at >= 0 and int(book.spill[at, S_BUCKET]) != bucket_id:
        at = int(book.spill[at, S_NEXT])
    return at >= 0


def cycle_closed(book: BalanceBook, row: int, end_us: int) -> bool:
    """Whether a cycle of the account that ends then is closed."""
    zone = book.time_zones[int(book.profile[row, F_TRAITS]) >> TRAIT_ZONE & 0xFFFF]
    return end_us <= max(int(book.scalars[B_CLOCK] - book.scalars[B_LATENESS]), int(book.scalars[B_UNTIL]),
                         local_midnight_us(zone, int(book.scalars[B_THROUGH]) + 1))


def _money(context: Context, movement: Movement) -> None:
    nanos = context.amount()
    if context.book.money(context.row):
        raise RefusedError
    context.book.records[context.row, MONEY] = nanos
    movement.pair(context.row, LedgerAccount.BALANCE, LedgerAccount.OPENING, Unit.MONEY, nanos, PostingReason.OPENING)


def _bucket(context: Context, movement: Movement) -> None:
    at_us = context.instant("cycle", context.time_us)
    found = find_bucket(context.book, context.row, context.tariffs, context.text("bucket"),
                        context.text("plan") if "plan" in context.command else "", context.time_us, at_us)
    if found is None:
        raise RefusedError
    amount = _units(context, "amount", found.definition.unit)
    if found.plan == CATALOGUE:
        _granted(context, movement, found.definition, amount)
        return
    book, row = context.book, context.row
    cycle = CYCLES.index(found.definition.cycle)
    day = cycle_day(book, row, cycle, at_us)
    bucket_id = definition_key(found.plan, found.definition) | day
    end_us = cycle_end_us(book, row, cycle, day)
    if holds_bucket(book, row, bucket_id) or cycle_closed(book, row, end_us):
        raise RefusedError
    _put(book, row, bucket_id, amount, end_us)
    if cycle:
        begin_with(book, row, day)
    movement.pair(row, LedgerAccount.ALLOWANCE, LedgerAccount.OPENING, found.definition.unit, amount,
                  PostingReason.OPENING, bucket_id)


def _granted(context: Context, movement: Movement, bucket: Allowance, amount: int) -> None:
    from_us, to_us = context.instant("from", context.time_us), context.instant("to", NEVER_US)
    if "cycle" in context.command or granted_alike(
            context.book, context.row, definition_key(CATALOGUE, bucket), from_us, to_us):
        raise RefusedError
    give_bucket(context, movement, bucket, PostingReason.OPENING, amount, from_us, to_us, LedgerAccount.OPENING)


def _counter(context: Context, _movement: Movement) -> None:
    kind = find_counter(context.tariffs, context.text("counter"))
    at_us = context.instant("cycle", context.time_us)
    if kind is None:
        raise RefusedError
    value = _units(context, "value", counter_unit(kind))
    book, row = context.book, context.row
    end_us = cycle_end_us(book, row, kind.cycle, cycle_day(book, row, kind.cycle, at_us))
    if has_counter(book, row, kind, at_us) or cycle_closed(book, row, end_us):
        raise RefusedError
    set_counter(book, row, kind, value, at_us)


def _units(context: Context, name: str, unit: Unit) -> int:
    try:
        amount = parse_amount(context.text(name), unit)
    except ValueError:
        raise RefusedError from None
    if not 0 <= amount <= (MAX_NANOS if unit == Unit.MONEY else LARGEST):
        raise RefusedError
    return amount


def _put(book: BalanceBook, row: int, bucket_id: int, amount: int, end_us: int) -> None:
    """As `add_bucket_nb`: into an empty slot of the record, or into the spill list."""
    book.scalars[B_DUE] = min(int(book.scalars[B_DUE]), end_us)
    for slot in range(1, SLOTS):
        if not book.records[row, BUCKET_ID + slot]:
            book.records[row, [slot, BUCKET_ID + slot]] = (amount, bucket_id)
            return
    if book.scalars[B_SPILLED] == book.spill.shape[0]:
        book.grow_spill()
    at = int(book.scalars[B_SPILLED])
    spilled = [0] * SPILL_WORDS
    for word, value in ((S_BUCKET, bucket_id), (S_REMAINING, amount), (S_NEXT, int(book.profile[row, F_SPILL])),
                        (S_ROW, row)):
        spilled[word] = value
    book.spill[at] = spilled
    book.profile[row, F_SPILL] = at
    book.scalars[B_SPILLED] = at + 1
