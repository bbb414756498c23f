"""Building and asking the tables beside the accounts: row of an id."""

import numpy as np
from numba import types

from schemas.hashing import mix_nb
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, kernel


@kernel(None, error_model="numpy", forceinline=True)
def account_home_nb(index, account_id):
    """Place at which the search for an account begins."""
    return np.int64(mix_nb(np.uint64(account_id)) & np.uint64(index.shape[0] - 1))


@kernel(types.int64(CELLS_IN, types.int64), error_model="numpy")
def find_account_nb(index, account_id):
    """Row of an account, -1 for none. index (capacity, 2): account id and row, open addressing, row -1 empty."""
    mask = index.shape[0] - 1
    place = account_home_nb(index, account_id)
    while index[place, 1] >= 0:
        if index[place, 0] == account_id:
            return index[place, 1]
        place = (place + 1) & mask
    return np.int64(-1)


@kernel(types.void(CELLS_IN, I64_IN, I64_OUT), error_model="numpy")
def rows_of_nb(index, account_ids, rows):
    """Row of each account id, -1 for none."""
    for i in range(account_ids.size):
        rows[i] = find_account_nb(index, account_ids[i])


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
