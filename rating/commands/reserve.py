"""Money reserved by a command: held as sessions hold theirs, debited or given back by another, or over by the clock."""

from collections.abc import Iterator

from rating.book import BalanceBook
from rating.commands.context import Context, RefusedError
from rating.commands.movement import Movement
from rating.kernels.layout import F_CREDIT, MONEY, STATE
from rating.kernels.reserve import give_money_back_nb, hold_money_nb
from rating.reservations import MOST_US, Key, Reservation, ReservationState, key_of
from reference_data.accounts import STATES
from schemas.codes import LedgerAccount, PostingReason, Unit
from schemas.money import format_money, parse_money
from schemas.timepoint import DAY_S, SECOND_US

LASTS_US = DAY_S * SECOND_US  # unless it says until when
MOST_EACH = 100  # open ones of an account
_ACTIVE = STATES.index("active")


def reserve(context: Context, _movement: Movement) -> None:
    """Hold an amount of what can be spent until a time. Nothing is posted: it is the account's still."""
    book, row, nanos = context.book, context.row, context.amount()
    until_us = context.instant("until", context.time_us + LASTS_US)
    if nanos <= 0:
        raise RefusedError.told("amount: not above zero", "an amount to hold")
    if not context.time_us < until_us <= context.time_us + MOST_US:
        raise RefusedError.told("until: over already, or too far away", "a time within the next 35 days")
    if int(book.records[row, STATE]) != _ACTIVE:
        raise RefusedError.told("an account that is not active", "one that may spend")
    mine = book.reservations.of(int(book.account_ids[row]))
    over = [(key, each) for key, each in mine if each.until_us <= context.time_us]  # which no clock has met yet
    if len(mine) - len(over) >= MOST_EACH:
        raise RefusedError.told(f"{MOST_EACH} reservations that are open", "fewer", "debit or release some")
    free = int(book.records[row, MONEY]) + int(book.profile[row, F_CREDIT]) + sum(e.amount_nanos for _, e in over)
    if nanos > free:
        raise RefusedError.told("not enough money", f"at most {format_money(max(free, 0))}, which can be spent")
    for key, each in over:
        _end(book, key, ReservationState.EXPIRED, each.until_us)
    book.make_holds(1)
    hold_money_nb(book.holds, book.scalars, book.records, row, *context.movement, nanos)
    book.reservations.add(context.movement, Reservation(int(book.account_ids[row]), nanos, until_us))


def reservation_debit(context: Context, movement: Movement) -> None:
    """Take an amount of what is reserved, all of it by default, and give back the rest: the reservation is over."""
    book, row = context.book, context.row
    key, found = _open(context)
    nanos = found.amount_nanos
    if context.command.get("amount") is not None:
        try:
            nanos = parse_money(context.text("amount"))
        except ValueError:
            raise RefusedError.told("amount: no amount", 'decimal text such as "10.00"') from None
    if not 0 < nanos <= found.amount_nanos:
        raise RefusedError.told("amount: not above zero, or more than is reserved",
                                f"at most {format_money(found.amount_nanos)}")
    _end(book, key, ReservationState.USED, context.time_us, nanos)
    book.records[row, MONEY] -= nanos
    movement.pair(row, LedgerAccount.BALANCE, LedgerAccount.FEES, Unit.MONEY, -nanos, PostingReason.FEE)


def reservation_release(context: Context, _movement: Movement) -> None:
    """Give back what is reserved: the reservation is over."""
    key, _ = _open(context)
    _end(context.book, key, ReservationState.RELEASED, context.time_us)


def end_reservations(book: BalanceBook, now_us: int) -> Iterator[tuple[Key, Reservation]]:
    """Give back what has been reserved until now and no longer, the first first. What has no end yet waits."""
    for key, each in book.reservations.over(now_us):
        _end(book, key, ReservationState.EXPIRED, each.until_us)
        yield key, each


def _open(context: Context) -> tuple[Key, Reservation]:
    """The reservation of the account that the command names, which goes on."""
    key = key_of(context.text("reservation"))
    found = None if key is None else context.book.reservations.by_key.get(key)
    if key is None or found is None or found.account_id != int(context.book.account_ids[context.row]):
        raise RefusedError.told("no such reservation of this account", "the id of one that was made")
    if found.state != ReservationState.OPEN or found.until_us <= context.time_us:
        state = ReservationState.EXPIRED if found.state == ReservationState.OPEN else found.state
        raise RefusedError.told(f"a reservation that is over: it was {state.name.lower()}", "one that is open")
    return key, found


def _end(book: BalanceBook, key: Key, state: ReservationState, at_us: int, used_nanos: int = 0) -> None:
    give_money_back_nb(book.holds, book.scalars, book.records, *key)
    book.reservations.end(key, state, at_us, used_nanos)
