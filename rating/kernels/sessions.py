"""Open sessions: open addressing by a 128-bit key of session, rating group and service identifier.

Two zero halves mean an empty place. A session unheard of for the horizon of record time counts as new; only a clock
command removes it, so that neither the size of a batch nor of the table decides.
"""

import numpy as np
from numba import types

from rating.kernels.layout import (
    DISCONNECTS,
    SESSION_WORDS,
    W_CONNECTED,
    W_MAXIMUM,
    W_MINIMUM,
    W_NUMERATOR,
    W_REACHED,
    W_STEPS,
    W_TIER,
    X_CONNECTED,
    X_HI,
    X_LO,
    X_MAXIMUM,
    X_MINIMUM,
    X_NUMERATOR,
    X_REACHED,
    X_STEPS,
    X_TIER,
    X_TIME,
)
from schemas.hashing import absorb_hi_nb, absorb_lo_nb
from schemas.jit import CELLS_IN, CELLS_OUT, kernel


@kernel(None, forceinline=True)
def session_key_nb(session_hi, session_lo, group, service_identifier):
    """(hi, lo) of what is priced together; never both zero."""
    hi = np.int64(absorb_hi_nb(absorb_hi_nb(np.uint64(session_hi), group), service_identifier))
    lo = np.int64(absorb_lo_nb(absorb_lo_nb(np.uint64(session_lo), group), service_identifier))
    return hi, lo | np.int64(hi == 0 and lo == 0)


@kernel(None, error_model="numpy", forceinline=True)
def session_home_nb(table, hi, lo):
    """Place at which the search for a session begins."""
    return np.int64((np.uint64(hi) ^ np.uint64(lo)) & np.uint64(table.shape[0] - 1))


@kernel(None, error_model="numpy", forceinline=True)
def find_session_nb(table, hi, lo):
    """Place of a session, or ~place of the empty slot where it belongs."""
    mask = table.shape[0] - 1
    place = session_home_nb(table, hi, lo)
    while True:
        if table[place, X_HI] == hi and table[place, X_LO] == lo:
            return place
        if table[place, X_HI] == 0 and table[place, X_LO] == 0:
            return ~place
        place = (place + 1) & mask


@kernel(types.int64(CELLS_IN, CELLS_OUT, types.int64), error_model="numpy")
def rehash_nb(old, new, heard_since_us):
    """Move the sessions heard of since then into `new`, which is all zero; returns how many."""
    moved = 0
    for i in range(old.shape[0]):
        if (old[i, X_HI] != 0 or old[i, X_LO] != 0) and old[i, X_TIME] >= heard_since_us:
            place = ~find_session_nb(new, old[i, X_HI], old[i, X_LO])
            for word in range(SESSION_WORDS):
                new[place, word] = old[i, word]
            moved += 1
    return moved


@kernel(None, error_model="numpy", forceinline=True)
def load_price_nb(table, place, walk):
    """The price of a session or a cycle, to be walked on. Whether the connect fee was charged is the session's."""
    walk[W_NUMERATOR] = table[place, X_NUMERATOR]
    walk[W_MINIMUM] = table[place, X_MINIMUM]
    walk[W_MAXIMUM] = table[place, X_MAXIMUM]
    walk[W_CONNECTED] |= table[place, X_CONNECTED] & DISCONNECTS
    walk[W_STEPS] = table[place, X_STEPS]
    walk[W_TIER] = table[place, X_TIER]
    walk[W_REACHED] = table[place, X_REACHED]


@kernel(None, error_model="numpy", forceinline=True)
def store_price_nb(table, place, walk):
    """The price after a walk."""
    table[place, X_NUMERATOR] = walk[W_NUMERATOR]
    table[place, X_MINIMUM] = walk[W_MINIMUM]
    table[place, X_MAXIMUM] = walk[W_MAXIMUM]
    table[place, X_CONNECTED] = walk[W_CONNECTED]
    table[place, X_STEPS] = walk[W_STEPS]
    table[place, X_TIER] = walk[W_TIER]
    table[place, X_REACHED] = walk[W_REACHED]


@kernel(types.int64(CELLS_OUT, types.int64), error_model="numpy")
def forget_nb(table, heard_since_us):
    """Remove the sessions unheard of since then, in place; returns how many are left.

    Behind a gap the rows of a run are put in anew, from the run's beginning: what is looked for is found as before.
    """
    mask = table.shape[0] - 1
    start = 0
    while table[start, X_HI] != 0 or table[start, X_LO] != 0:
        start += 1
    left, gap = 0, False
    for i in range(1, table.shape[0] + 1):
        at = (start + i) & mask
        hi, lo = table[at, X_HI], table[at, X_LO]
        if hi == 0 and lo == 0:
            gap = False
            continue
        if table[at, X_TIME] < heard_since_us:
            table[at] = 0
            gap = True
            continue
        left += 1
        if gap:
            table[at, X_HI] = 0
            table[at, X_LO] = 0
            place = ~find_session_nb(table, hi, lo)
            table[at, X_HI] = hi
            table[at, X_LO] = lo
            if place != at:
                for word in range(SESSION_WORDS):
                    table[place, word] = table[at, word]
                    table[at, word] = 0
    return left
