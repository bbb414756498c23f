"""Commands that move balances or change accounts: journaled one by one, applied once for each id.

A command is a mapping: id (text), time (ISO), kind, and what the kind needs:

    top_up         account_id, amount > 0, currency
    adjust         account_id, amount (either sign; not below the credit limit), currency
    plan_change    account_id, plan, from (ISO, default: time)
    credit_limit   account_id, amount >= 0, currency
    state          account_id, state
    clock          nothing more: expires what is over, forgets sessions beyond the horizon

An id that was applied before changes nothing and writes nothing. What cannot be carried out goes to suspense.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rating.book import BalanceBook, currency_label
from rating.charging import Charged, check_postings
from rating.kernels.buckets import expire_nb
from rating.kernels.layout import (
    B_CLOCK,
    B_HORIZON,
    B_SPILLED,
    F_CREDIT,
    F_TRAITS,
    G_NEXT,
    G_POSTED,
    MONEY,
    STATE,
    TRAIT_CURRENCY,
)
from rating.kernels.select import find_account_nb
from reference_data.accounts import STATES
from reference_data.tariffs.compile import Tariffs
from schemas.codes import LedgerAccount, PostingReason, Reason, RecordType, Stage, Unit
from schemas.columns import ABSENT, Cells
from schemas.errors import ReferenceDataError
from schemas.money import MAX_NANOS, parse_money
from schemas.rated import POSTING, RATED
from schemas.timepoint import DAY_S, SECOND_US, parse_time
from schemas.usage import SUSPENSE

DAY_US = DAY_S * SECOND_US


class _RefusedError(Exception):
    """A command that cannot be carried out, and why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


@dataclass(frozen=True)
class Origin:
    """Where the command was written: source label, file, place and length of its line."""

    source: int = 0
    file_id: int = 0
    record_offset: int = 0
    record_length: int = 0


@dataclass(frozen=True)
class _Context:
    """What carrying out a command needs: its account's row, its time, its movement id."""

    command: Mapping[str, object]
    row: int
    time_us: int
    movement: tuple[int, int]
    position: int
    tariffs: Tariffs
    book: BalanceBook


def apply_command(command: Mapping[str, object], journal_position: int, tariffs: Tariffs, book: BalanceBook,
                  origin: Origin | None = None, check: bool = True) -> Charged:
    """Carry out one command. Nothing is rated; postings of its movement, or one row of suspense.

    check: that the movement sums to zero; whoever carries out many checks them together.
    """
    origin = origin or Origin()
    nothing = Charged(Cells.empty(RATED), Cells.empty(POSTING), Cells.empty(SUSPENSE))
    digest = hashlib.sha256(str(command.get("id", "")).encode(errors="surrogatepass")).digest()[:16]
    if digest in book.applied:
        return nothing
    movement = (int.from_bytes(digest[:8], "little", signed=True), int.from_bytes(digest[8:], "little", signed=True))
    time_us, account = _time(command), _account(command)
    try:
        if not isinstance(command.get("id"), str) or not command["id"] or time_us is None:
            raise _RefusedError(Reason.BAD_COMMAND)
        kind = command.get("kind")
        if kind not in _ACTIONS:
            raise _RefusedError(Reason.BAD_COMMAND)
        row = -1
        if kind != "clock":
            row = int(_find(book, account))
            if row < 0:
                raise _RefusedError(Reason.UNKNOWN_ACCOUNT)
        posting = _ACTIONS[str(kind)](_Context(command, row, time_us, movement, journal_position, tariffs, book))
    except _RefusedError as refused:
        return Charged(nothing.rated, nothing.posting,
                       _suspended(refused.reason, movement, time_us, account, origin))
    book.applied.add(digest)
    charged = Charged(nothing.rated, posting, nothing.suspense)
    if check:
        check_postings(charged, 0)
    return charged


def _time(command: Mapping[str, object], name: str = "time") -> int | None:
    try:
        return parse_time(str(command[name]))
    except (KeyError, ValueError, OverflowError):
        return None


def _account(command: Mapping[str, object]) -> int:
    account = command.get("account_id")
    return account if isinstance(account, int) and not isinstance(account, bool) and 0 <= account < 1 << 62 else ABSENT


def _find(book: BalanceBook, account: int) -> int:
    row: int = find_account_nb(book.index, account) if account != ABSENT and len(book) else -1
    return row


def _amount(context: _Context) -> int:
    """Nanos of the command's amount, in the account's currency."""
    traits = int(context.book.profile[context.row, F_TRAITS])
    currency = context.book.currencies[traits >> TRAIT_CURRENCY & 0xFFF]
    text = context.command.get("amount")
    if not isinstance(text, str) or context.command.get("currency") != currency:
        raise _RefusedError(Reason.BAD_COMMAND)
    try:
        nanos = parse_money(text)
    except ValueError:
        raise _RefusedError(Reason.BAD_COMMAND) from None
    if abs(nanos) >= MAX_NANOS:
        raise _RefusedError(Reason.BAD_COMMAND)
    return nanos


def _move(context: _Context, nanos: int, against: LedgerAccount, reason: PostingReason) -> Cells:
    """Money to the account's balance from an operator's account, both rows."""
    book, row = context.book, context.row
    balance = int(book.records[row, MONEY]) + nanos
    if abs(balance) >= MAX_NANOS or (nanos < 0 and balance < -int(book.profile[row, F_CREDIT])):
        raise _RefusedError(Reason.BAD_COMMAND)
    traits = int(book.profile[row, F_TRAITS])
    currency = currency_label(context.tariffs, book.currencies[traits >> TRAIT_CURRENCY & 0xFFF])
    book.records[row, MONEY] = balance
    posting = Cells.empty(POSTING, 2, fill=ABSENT)
    for name, value in (("movement_hi", context.movement[0]), ("movement_lo", context.movement[1]),
                        ("posting_index", [0, 1]), ("journal_position", context.position),
                        ("event_time_us", context.time_us), ("account_id", book.account_ids[row]),
                        ("ledger_account", [LedgerAccount.BALANCE, against]), ("unit", Unit.MONEY),
                        ("currency", currency), ("amount", [nanos, -nanos]), ("reason", reason)):
        posting[name] = value
    return posting


def _top_up(context: _Context) -> Cells:
    nanos = _amount(context)
    if nanos <= 0:
        raise _RefusedError(Reason.BAD_COMMAND)
    return _move(context, nanos, LedgerAccount.TOP_UP, PostingReason.TOP_UP)


def _adjust(context: _Context) -> Cells:
    nanos = _amount(context)
    if nanos == 0:
        raise _RefusedError(Reason.BAD_COMMAND)
    return _move(context, nanos, LedgerAccount.ADJUSTMENT, PostingReason.ADJUSTMENT)


def _plan_change(context: _Context) -> Cells:
    plan = context.command.get("plan")
    from_us = _time(context.command, "from") if "from" in context.command else context.time_us
    if plan not in context.tariffs.labels["plan"] or from_us is None:
        raise _RefusedError(Reason.BAD_COMMAND)
    context.book.change_plan(context.row, str(plan), from_us)
    return Cells.empty(POSTING)


def _credit_limit(context: _Context) -> Cells:
    nanos = _amount(context)
    if nanos < 0:
        raise _RefusedError(Reason.BAD_COMMAND)
    context.book.profile[context.row, F_CREDIT] = nanos
    return Cells.empty(POSTING)


def _state(context: _Context) -> Cells:
    state = context.command.get("state")
    if state not in STATES:
        raise _RefusedError(Reason.BAD_COMMAND)
    context.book.records[context.row, STATE] = STATES.index(str(state))
    return Cells.empty(POSTING)


def _clock(context: _Context) -> Cells:
    """Expire the buckets of cycles that are over, lateness allowed for; forget sessions beyond the horizon."""
    book = context.book
    day_before = int(book.scalars[B_CLOCK]) // DAY_US
    book.scalars[B_CLOCK] = max(int(book.scalars[B_CLOCK]), context.time_us)
    if int(book.scalars[B_CLOCK]) // DAY_US != day_before:  # it walks all of them: once a day is enough
        book.forget_sessions(int(book.scalars[B_CLOCK]) - int(book.scalars[B_HORIZON]))
    book.set_buckets(*book.buckets())  # in the order of their ids, so that history does not number the postings
    progress = np.zeros(4, np.int64)
    parts = []
    while progress[G_NEXT] < len(book):
        posting = Cells.empty(POSTING, 1 << 14)
        before = int(progress[G_NEXT])
        progress[G_POSTED] = 0
        expire_nb(book.records, book.profile, book.spill, book.scalars, book.zones, context.movement[0],
                  context.movement[1], context.position, posting.matrix, progress)
        if progress[G_NEXT] == before:
            raise ReferenceDataError(f"account {book.account_ids[before]} has more than 8,000 buckets",
                                     "fewer", "send clock commands more often")
        parts.append(posting.slice(0, int(progress[G_POSTED])))
    if book.scalars[B_SPILLED]:
        book.set_buckets(*book.buckets())
    return Cells.concat(POSTING, parts)


_ACTIONS: dict[str, Callable[[_Context], Cells]] = {
    "top_up": _top_up, "adjust": _adjust, "plan_change": _plan_change, "credit_limit": _credit_limit,
    "state": _state, "clock": _clock}


def _suspended(reason: Reason, movement: tuple[int, int], time_us: int | None, account: int, origin: Origin) -> Cells:
    cells = Cells.empty(SUSPENSE, 1, fill=ABSENT)
    for name, value in (("source", origin.source), ("file_id", origin.file_id), ("container_index", 0),
                        ("record_offset", origin.record_offset), ("record_length", origin.record_length),
                        ("event_id_hi", movement[0]), ("event_id_lo", movement[1]), ("session_hi", movement[0]),
                        ("session_lo", movement[1]), ("record_type", RecordType.COMMAND), ("roaming", 0),
                        ("merged_count", 1), ("incomplete", 0), ("account_id", account), ("stage", Stage.CHARGE),
                        ("event_time_us", ABSENT if time_us is None else time_us), ("reason", reason)):
        cells[name] = value
    return cells
