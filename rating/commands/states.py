"""Account states: by a command, by a timer of the tariff when the clock passes it. First use is charging's."""

import numpy as np

from rating.book import NEVER_US, NO_CLOCK_US, BalanceBook
from rating.commands.context import Context, RefusedError
from rating.commands.movement import Movement, state_cells
from rating.days import enter_state
from rating.kernels.layout import L_SINCE, L_VALID, STATE
from reference_data.accounts import STATES
from reference_data.tariffs.compile import Tariffs
from schemas.codes import StateCause
from schemas.columns import I64, Cells
from schemas.timepoint import SECOND_US

ACTIVE = STATES.index("active")


def state(context: Context, movement: Movement) -> None:
    """Bring the account into a state, with another end of its validity where the command says one."""
    name = context.text("state")
    if name not in STATES:
        raise RefusedError
    until = int(context.book.life[context.row, L_VALID])
    if "valid_until" in context.command:
        until = NEVER_US if context.command["valid_until"] is None else context.instant("valid_until", NEVER_US)
    movement.state(context.row, STATES.index(name), until, context.time_us, StateCause.COMMAND)


def run_timers(book: BalanceBook, tariffs: Tariffs, movement: tuple[int, int], position: int, time_us: int) -> Cells:
    """Move accounts on whose time in a state is over; a row for each step, dated when it was due.

    The rules are those of the version in force at the clock. An account may pass several states in one call.
    """
    version = tariffs.version_at(time_us)
    if version is None or (book.timer_due_us > time_us and book.timer_version == version.name):
        return state_cells([], movement, position)
    rules = [(STATES.index(name), rule.after_s * SECOND_US, STATES.index(rule.then))
             for name, rule in version.states.items() if rule.after_s is not None and rule.then is not None]
    steps: list[tuple[int, int, int, int, int]] = []  # due, row, before, after, valid until
    earliest_us = NEVER_US
    rows = np.arange(len(book)) if rules else np.zeros(0, np.int64)
    if rules:  # an account that was opened since the last clock is in its state from now on
        fresh = book.life[:, L_SINCE] == NO_CLOCK_US
        book.life[fresh, L_SINCE] = time_us
    for _ in range(len(STATES)):
        moved = []
        states = book.records[rows, STATE]
        for before, period_us, after in rules:
            here = rows[states == before]
            due = _due(book, here, before, period_us)
            over = due <= time_us
            if (~over).any():
                earliest_us = min(earliest_us, int(due[~over].min()))
            for row, when in zip(here[over].tolist(), due[over].tolist(), strict=True):
                book.records[row, STATE], book.life[row, L_SINCE] = after, when
                enter_state(book, row, before, after, when)
                book.all_active = None
                steps.append((when, row, before, after, int(book.life[row, L_VALID])))
            moved.append(here[over])
        rows = np.concatenate(moved) if moved else rows[:0]
        if not rows.size:
            break
    book.timer_due_us, book.timer_version = (NEVER_US if not rules else earliest_us), version.name
    return state_cells([(int(book.account_ids[row]), when, before, after, until, StateCause.TIMER)
                        for when, row, before, after, until in sorted(steps, key=lambda s: s[1])], movement, position)


def _due(book: BalanceBook, rows: I64, state_code: int, period_us: int) -> I64:
    """When accounts in a state are to leave it: a period after they came, of active ones after their validity."""
    begin = book.life[rows, L_VALID if state_code == ACTIVE else L_SINCE]
    known = (begin < NEVER_US) & (begin > -NEVER_US // 4)
    due: I64 = np.where(known, begin + np.where(known, period_us, 0), NEVER_US)
    return due
