"""One command: read, carried out or refused, and what it wrote."""

import hashlib
from collections.abc import Callable, Mapping

from rating.book import BalanceBook
from rating.charging import Charged
from rating.commands.accounts import account_create
from rating.commands.clock import clock, period_close
from rating.commands.context import Context, Origin, RefusedError, find_row, read_account, read_time
from rating.commands.grants import grant
from rating.commands.identities import IDENTITY_ACTIONS, change_cells
from rating.commands.money import adjust, credit_limit, top_up, transfer
from rating.commands.movement import Movement
from rating.commands.opening import open_balance
from rating.commands.plans import (
    friend_add,
    friend_remove,
    option_add,
    option_remove,
    plan_change,
    share_join,
    share_leave,
)
from rating.commands.reserve import reservation_debit, reservation_release, reserve
from rating.commands.states import state
from rating.laws import check_movements
from reference_data.inventory import Inventory
from reference_data.tariffs.compile import Tariffs
from schemas.codes import Reason, RecordType, Stage
from schemas.columns import ABSENT, Cells
from schemas.rated import POSTING, RATED
from schemas.usage import SUSPENSE

_ACTIONS: dict[str, Callable[[Context, Movement], None]] = {
    "top_up": top_up, "adjust": adjust, "transfer": transfer, "credit_limit": credit_limit, "grant": grant,
    "open_balance": open_balance, "reserve": reserve, "reservation_debit": reservation_debit,
    "reservation_release": reservation_release,
    "plan_change": plan_change, "option_add": option_add, "option_remove": option_remove, "friend_add": friend_add,
    "friend_remove": friend_remove, "share_join": share_join, "share_leave": share_leave, "state": state,
    "account_create": account_create, **IDENTITY_ACTIONS, "clock": clock, "period_close": period_close}
_OF_ALL = ("clock", "period_close")
KINDS = tuple(_ACTIONS)


def apply_command(command: Mapping[str, object], journal_position: int, tariffs: Tariffs, book: BalanceBook,
                  origin: Origin | None = None, check: bool = True, inventory: Inventory | None = None) -> Charged:
    """Carry out one command. Nothing is rated; postings of its movement and states, or one row of suspense.

    check: that the movement sums to zero; whoever carries out many checks them together. inventory: the operator's,
    before what commands changed in it; asked by commands that change who holds what.
    """
    origin = origin or Origin()
    digest = _digest(command)
    if digest in book.applied:
        return Charged(Cells.empty(RATED), Cells.empty(POSTING), Cells.empty(SUSPENSE))
    movement_id = (int.from_bytes(digest[:8], "little", signed=True), int.from_bytes(digest[8:], "little", signed=True))
    time_us, account = read_time(command), read_account(command)
    try:
        if not isinstance(command.get("id"), str) or not command["id"] or time_us is None:
            raise RefusedError.told("no id or no time", "an id of its own, and a time such as 2026-07-01T00:00:00Z")
        kind = command.get("kind")
        if not isinstance(kind, str) or kind not in _ACTIONS:
            raise RefusedError.told("an unknown kind of command", "one of " + ", ".join(KINDS))
        row = -1
        if kind not in _OF_ALL:
            row = find_row(book, account)
            if row < 0 and kind != "account_create":
                raise RefusedError.told("no such account", "an account that is open", "", Reason.UNKNOWN_ACCOUNT)
        context = Context(command, row, time_us, movement_id, journal_position, tariffs, book, inventory)
        movement = Movement(context)
        known = len(book.changes)
        _ACTIONS[kind](context, movement)
    except RefusedError as refused:
        return Charged(Cells.empty(RATED), Cells.empty(POSTING),
                       _suspended(refused.reason, movement_id, time_us, account, origin),
                       refusal=refused.words or refused.reason.name.lower())
    book.applied.add(digest)
    charged = Charged(Cells.empty(RATED), movement.posting(), Cells.empty(SUSPENSE),
                      account_state=movement.states(), identity_change=change_cells(context, known))
    if check:
        check_movements(charged.posting)
    return charged


def is_applied(command: Mapping[str, object], book: BalanceBook) -> bool:
    """Whether a command of this id was carried out before: then it does nothing any more."""
    return _digest(command) in book.applied


def _digest(command: Mapping[str, object]) -> bytes:
    return hashlib.sha256(str(command.get("id", "")).encode(errors="surrogatepass")).digest()[:16]


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
