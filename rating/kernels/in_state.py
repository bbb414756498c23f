"""What accounts are in."""

from numba import types

from rating.kernels.layout import STATE
from rating.kernels.maintain import find_account_nb
from schemas.jit import CELLS_IN, I64_IN, kernel


@kernel(types.boolean(I64_IN, CELLS_IN, CELLS_IN, types.int64), error_model="numpy")
def all_in_state_nb(account_ids, index, records, state):
    """Whether all these accounts are in the book and in this state."""
    for i in range(account_ids.size):
        row = find_account_nb(index, account_ids[i])
        if row < 0 or records[row, STATE] != state:
            return False
    return True
