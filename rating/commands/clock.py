"""The clock, and closing periods: what is over expires, fees fall due, states move on, sessions are forgotten.

Each part knows the earliest instant at which it can have anything to do, and does not look at the accounts before.
"""

from datetime import date

import numpy as np

from rating.book import NEVER_US, NO_CLOCK_US, currency_label
from rating.charging import plans_of
from rating.commands.context import Context, RefusedError
from rating.commands.fees import charge_clock
from rating.commands.movement import Movement
from rating.commands.reserve import end_reservations
from rating.commands.states import run_timers
from rating.days import begin_days
from rating.kernels.expiry import expire_nb
from rating.kernels.layout import B_CLOCK, B_DUE, B_HORIZON, B_LATENESS, B_SPILLED, B_THROUGH, B_UNTIL, G_NEXT, G_POSTED
from schemas.columns import ABSENT, Cells
from schemas.errors import ReferenceDataError
from schemas.rated import POSTING
from schemas.timepoint import DAY_S, SECOND_US

DAY_US = DAY_S * SECOND_US
_EPOCH = date(1970, 1, 1)
_CHUNK = 1 << 14


def clock(context: Context, movement: Movement) -> None:
    """It is now at least this late. A clock that is behind looks again at what has come since."""
    book, tariffs = context.book, context.tariffs
    before_us = int(book.scalars[B_CLOCK])
    now_us = max(before_us, context.time_us)
    book.scalars[B_CLOCK] = now_us
    if before_us == NO_CLOCK_US:
        begin_days(book, np.arange(len(book)), now_us)
    if now_us // DAY_US != before_us // DAY_US:  # it walks all of them: once a day is enough
        # Counters of cycles that are open yet are among them.
        book.forget_sessions(now_us - max(int(book.scalars[B_HORIZON]), int(book.scalars[B_LATENESS])))
    for _ in end_reservations(book, now_us):
        pass
    movement.parts.append(_expire(context, now_us))
    if now_us > before_us:
        movement.parts.append(charge_clock(book, tariffs, before_us, now_us, context.movement, context.position))
    movement.state_parts.append(run_timers(book, tariffs, context.movement, context.position, now_us))


def period_close(context: Context, movement: Movement) -> None:
    """Close every cycle that ends with a day or before, in each account's own zone, or by an instant; for good."""
    book = context.book
    if "until" in context.command:
        until_us = context.instant("until", 0)
        if until_us > max(int(book.scalars[B_CLOCK]), context.time_us):
            raise RefusedError.told("until: an instant to come", "one that is past, by the clock")
        book.scalars[B_UNTIL] = max(int(book.scalars[B_UNTIL]), until_us)
        movement.parts.append(_expire(context, max(int(book.scalars[B_CLOCK]), context.time_us)))
        return
    try:
        through = (date.fromisoformat(context.text("through")) - _EPOCH).days
    except ValueError:
        raise RefusedError.told("through: no day", "a day such as 2026-06-30") from None
    # A day that is not over anywhere yet by the clock (or, before the first, by the command's time) cannot be closed.
    now_us = max(int(book.scalars[B_CLOCK]), context.time_us)
    if not 0 <= through < now_us // DAY_US:
        raise RefusedError.told("through: a day that is not over", "one that is past, by the clock")
    book.scalars[B_THROUGH] = max(int(book.scalars[B_THROUGH]), through)
    movement.parts.append(_expire(context, now_us))


def _expire(context: Context, now_us: int) -> Cells:
    """Postings of all that is over and closed."""
    book = context.book
    closed_us = max(int(book.scalars[B_CLOCK] - book.scalars[B_LATENESS]), int(book.scalars[B_UNTIL]),
                    (int(book.scalars[B_THROUGH]) + 1) * DAY_US + DAY_US // 2)
    if book.scalars[B_DUE] > closed_us:
        return Cells.empty(POSTING)
    book.scalars[B_DUE] = NEVER_US
    plan_of = plans_of(context.tariffs, book)
    currency_of = np.array([currency_label(context.tariffs, name) for name in book.currencies] or [0], np.int64)
    progress = np.zeros(4, np.int64)
    parts = []
    chunk = _CHUNK
    while progress[G_NEXT] < len(book):
        posting = Cells.empty(POSTING, chunk)
        posting["leg"] = ABSENT
        before = int(progress[G_NEXT])
        progress[G_POSTED] = 0
        if book.spill.shape[0] < 2 * int(book.scalars[B_SPILLED]):
            book.grow_spill()
        expire_nb(book.records, book.profile, book.nodes, book.spill, book.scalars, book.zones, currency_of, plan_of,
                  context.tariffs.rolls, *context.movement, context.position, now_us, posting.matrix, progress)
        if progress[G_NEXT] == before:
            if chunk > 1 << 22:
                raise ReferenceDataError(f"account {book.account_ids[before]} has more than a million buckets", "fewer")
            chunk *= 2
        parts.append(posting.slice(0, int(progress[G_POSTED])))
    if book.scalars[B_SPILLED]:
        book.compact_spill()
    return Cells.concat(POSTING, parts)
