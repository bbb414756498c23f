"""Money held by a command instead of by a session: in the same table, so that whoever looks at what is held sees it."""

from numba import types

from rating.kernels.holds import remove_hold_nb
from rating.kernels.layout import (
    B_HOLDS,
    ENTRY_WORDS,
    H_COUNT,
    H_ENTRY,
    H_GRANTED,
    H_ROW,
    H_SHARED,
    MONEY,
    X_HI,
    X_LO,
)
from rating.kernels.sessions import find_session_nb
from schemas.jit import CELLS_OUT, I64_OUT, kernel


@kernel(types.void(CELLS_OUT, I64_OUT, CELLS_OUT, *[types.int64] * 4), error_model="numpy")
def hold_money_nb(holds, scalars, records, row, hi, lo, nanos):
    """Take money of an account and hold it under a key that holds nothing yet. Room must be there."""
    place = ~find_session_nb(holds, hi, lo)
    scalars[B_HOLDS] += 1
    holds[place, X_HI] = hi
    holds[place, X_LO] = lo
    holds[place, H_ROW] = row
    holds[place, H_SHARED] = -1
    holds[place, H_GRANTED] = nanos
    holds[place, H_COUNT] = 1
    holds[place, H_ENTRY] = row
    holds[place, H_ENTRY + 1] = -1  # money
    holds[place, H_ENTRY + ENTRY_WORDS - 1] = nanos
    records[row, MONEY] -= nanos


@kernel(types.int64(CELLS_OUT, I64_OUT, CELLS_OUT, *[types.int64] * 2), error_model="numpy")
def give_money_back_nb(holds, scalars, records, hi, lo):
    """Give back what `hold_money_nb` took under a key. Returns how much; 0 where nothing is held."""
    place = find_session_nb(holds, hi, lo)
    if place < 0:
        return 0
    nanos = holds[place, H_ENTRY + ENTRY_WORDS - 1]
    records[holds[place, H_ROW], MONEY] += nanos
    remove_hold_nb(holds, scalars, place)
    return nanos
