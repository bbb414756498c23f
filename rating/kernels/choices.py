"""What is wanted of rows that were chosen, what became of it, and which rows were charged and which set aside."""

from numba import types

from rating.kernels.layout import (
    C_ACCOUNT,
    C_ASK,
    C_DUE,
    C_GRANTED,
    C_LEAST,
    C_LEG,
    C_LEGS,
    C_REASON,
    C_SOURCE,
    DEBIT,
    NOT_CHARGED,
    REPORT,
)
from schemas.columns import ABSENT
from schemas.jit import CELLS_OUT, I64_IN, I64_OUT, kernel


@kernel(types.void(CELLS_OUT, types.int64, I64_IN, I64_IN, types.int64), error_model="numpy")
def ask_nb(choice, rows, ask, least, low):
    """Put the wishes of a piece, which begin at `low`, beside what was found. What is no usage has no charge legs."""
    for i in range(rows):
        wanted = ask[low + i]
        choice[C_ASK, i] = wanted
        choice[C_LEAST, i] = least[low + i]
        choice[C_GRANTED, i] = ABSENT
        choice[C_DUE, i] = 0
        if wanted > REPORT and wanted != DEBIT:
            choice[C_LEGS, i] = 0


@kernel(types.int64(CELLS_OUT, types.int64, types.int64, I64_OUT, I64_OUT, I64_OUT), error_model="numpy")
def answer_nb(choice, rows, at, granted, due, reason):
    """Tell what became of the wishes of a piece, from `at` on; returns how many rows were no usage in the end.

    What was never used has no place among what is set aside.
    """
    idle = 0
    for i in range(rows):
        found = choice[C_REASON, i]
        if choice[C_LEG, i] == 0:
            granted[at], due[at], reason[at] = choice[C_GRANTED, i], choice[C_DUE, i], max(found, 0)
            at += 1
        if found > 0 and choice[C_ASK, i] > REPORT:
            choice[C_REASON, i] = NOT_CHARGED
        idle += choice[C_LEG, i] == 0 and choice[C_REASON, i] == NOT_CHARGED
    return idle


@kernel(types.void(CELLS_OUT, types.int64, CELLS_OUT, CELLS_OUT, I64_OUT), error_model="numpy")
def origins_nb(choice, rows, charged, aside, counts):
    """Append the source, account and leg of rows that were charged to `charged`, and those of rows that have a reason,
    with it, to `aside`. counts: of both, moved on. A leg whose event was not charged has no reason."""
    for i in range(rows):
        reason = choice[C_REASON, i]
        if reason == 0:
            at = counts[0]
            charged[0, at], charged[1, at], charged[2, at] = choice[C_SOURCE, i], choice[C_ACCOUNT, i], choice[C_LEG, i]
            counts[0] += 1
        elif reason > 0:
            at = counts[1]
            aside[0, at], aside[1, at], aside[2, at] = choice[C_SOURCE, i], choice[C_ACCOUNT, i], choice[C_LEG, i]
            aside[3, at] = reason
            counts[1] += 1
