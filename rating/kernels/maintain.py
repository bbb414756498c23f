"""Building what selection looks up."""

import numpy as np
from numba import types

from schemas.hashing import mix_nb
from schemas.jit import CELLS_OUT, I64_IN, kernel


@kernel(types.void(I64_IN, CELLS_OUT), error_model="numpy")
def index_accounts_nb(account_ids, index):
    """Fill `index` (a power of two above the count, 2), all -1 before, with account id and row."""
    mask = index.shape[0] - 1
    for row in range(account_ids.size):
        place = np.int64(mix_nb(np.uint64(account_ids[row])) & np.uint64(mask))
        while index[place, 1] >= 0:
            place = (place + 1) & mask
        index[place, 0] = account_ids[row]
        index[place, 1] = row
