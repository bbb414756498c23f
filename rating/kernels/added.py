"""Accounts that are added one by one: into the index that is there, without building it again."""

import numpy as np
from numba import types

from schemas.hashing import mix_nb
from schemas.jit import CELLS_OUT, I64_IN, kernel


@kernel(types.void(I64_IN, types.int64, CELLS_OUT), error_model="numpy")
def index_more_nb(account_ids, first, index):
    """Add accounts, whose rows begin with `first`, to an index that has room (see `kernels.maintain`)."""
    mask = index.shape[0] - 1
    for i in range(account_ids.size):
        place = np.int64(mix_nb(np.uint64(account_ids[i])) & np.uint64(mask))
        while index[place, 1] >= 0:
            place = (place + 1) & mask
        index[place, 0] = account_ids[i]
        index[place, 1] = first + i
