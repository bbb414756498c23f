"""Friends of accounts: a hashed list of (account row, token of a number, from, to)."""

import numpy as np
from numba import types

from rating.kernels.layout import CELLS_IN, CELLS_OUT, E_FROM, E_ROW, E_TO, E_TOKEN
from schemas.hashing import mix_nb
from schemas.jit import kernel

EMPTY, REMOVED = -1, -2


@kernel(None, error_model="numpy", forceinline=True)
def friend_place_nb(friends, row, token):
    """Where the search for a pair begins."""
    return np.int64(mix_nb(np.uint64(token) ^ mix_nb(np.uint64(row))) & np.uint64(friends.shape[0] - 1))


@kernel(types.int64(CELLS_IN, types.int64, types.int64, types.int64), error_model="numpy")
def is_friend_nb(friends, row, token, time_us):
    """1 if the number of a token is on the account's list at an instant, else 0. Tokens below 0 are nobody's."""
    if token < 0:
        return 0
    place = friend_place_nb(friends, row, token)
    while friends[place, E_ROW] != EMPTY:
        if friends[place, E_ROW] == row and friends[place, E_TOKEN] == token and \
                friends[place, E_FROM] <= time_us < friends[place, E_TO]:
            return 1
        place = (place + 1) & (friends.shape[0] - 1)
    return 0


@kernel(types.void(CELLS_OUT, CELLS_IN), error_model="numpy")
def add_friends_nb(friends, more):
    """Add rows (row, token, from, to). friends (capacity, 4), a power of two, has at least one row empty after."""
    mask = friends.shape[0] - 1
    for i in range(more.shape[0]):
        if more[i, E_ROW] < 0:
            continue
        place = friend_place_nb(friends, more[i, E_ROW], more[i, E_TOKEN])
        while friends[place, E_ROW] >= 0:
            place = (place + 1) & mask
        for word in range(4):
            friends[place, word] = more[i, word]


@kernel(types.int64(CELLS_OUT, types.int64, types.int64, types.int64), error_model="numpy")
def end_friend_nb(friends, row, token, time_us):
    """End a friendship at an instant; returns how many intervals were shortened or removed."""
    place = friend_place_nb(friends, row, token)
    ended = 0
    while friends[place, E_ROW] != EMPTY:
        if friends[place, E_ROW] == row and friends[place, E_TOKEN] == token and friends[place, E_TO] > time_us:
            friends[place, E_TO] = time_us
            if friends[place, E_FROM] >= time_us:
                friends[place, E_ROW] = REMOVED
            ended += 1
        place = (place + 1) & (friends.shape[0] - 1)
    return ended
