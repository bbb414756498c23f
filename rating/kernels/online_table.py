"""Tables of online sessions: found by key, their services chained, and a wheel of seconds on which they fall due."""

import numpy as np
from numba import types

from rating.kernels.online_layout import (
    FREE,
    MOST_SERVICES,
    N_SECOND,
    N_SERVICE_FREE,
    N_SERVICE_TOP,
    N_SERVICES,
    N_SESSION_FREE,
    N_SESSION_TOP,
    N_SESSIONS,
    O_ANSWERED,
    O_DUE,
    O_FIRST,
    O_HEARD,
    O_HI,
    O_LO,
    O_NEXT,
    O_STATE,
    O_UNITS,
    OPEN,
    R_BEFORE,
    R_HI,
    R_LO,
    V_GROUP,
    V_NEXT,
    V_NUMBER,
    V_SERVICE_ID,
    V_SINCE,
    WHEEL,
)
from rating.kernels.online_repeats import forget_given_nb
from schemas.hashing import mix_nb
from schemas.jit import CELLS_IN, CELLS_OUT, I64_OUT, kernel


@kernel(None, error_model="numpy", forceinline=True)
def home_nb(index, hi, lo):
    """Place at which the search for a session begins."""
    return np.int64(mix_nb(np.uint64(hi) ^ np.uint64(lo)) & np.uint64(index.size - 1))


@kernel(None, error_model="numpy")
def find_online_nb(index, sessions, hi, lo):
    """Row of a session, or ~place of the index where it belongs."""
    mask = index.size - 1
    place = home_nb(index, hi, lo)
    while index[place] >= 0:
        row = index[place]
        if sessions[row, O_HI] == hi and sessions[row, O_LO] == lo:
            return row
        place = (place + 1) & mask
    return ~place


@kernel(None, error_model="numpy")
def add_online_nb(index, sessions, counts, wheel, place, hi, lo, due_s):
    """A new row for a session whose place in the index is known; all zero but its key. There is room."""
    row = counts[N_SESSION_FREE]
    if row >= 0:
        counts[N_SESSION_FREE] = sessions[row, O_NEXT]
    else:
        row = counts[N_SESSION_TOP]
        counts[N_SESSION_TOP] += 1
    counts[N_SESSIONS] += 1
    sessions[row] = 0
    sessions[row, O_HI] = hi
    sessions[row, O_LO] = lo
    sessions[row, O_FIRST] = -1
    index[place] = row
    wait_nb(sessions, counts, wheel, row, due_s)
    return row


@kernel(None, error_model="numpy", forceinline=True)
def wait_nb(sessions, counts, wheel, row, due_s):
    """Put a session on the wheel, where it is not."""
    due_s = min(max(due_s, counts[N_SECOND] + 1), counts[N_SECOND] + WHEEL - 1)
    slot = due_s % WHEEL
    sessions[row, O_DUE] = due_s
    sessions[row, O_NEXT] = wheel[slot]
    wheel[slot] = row


@kernel(None, error_model="numpy")
def remove_online_nb(index, sessions, services, given, counts, row):
    """Forget a session that is off the wheel. Entries behind it that were put off by it move up."""
    forget_given_nb(given, counts, sessions, row)
    at = sessions[row, O_FIRST]
    while at >= 0:
        after = services[at, V_NEXT]
        services[at, V_NEXT] = counts[N_SERVICE_FREE]
        counts[N_SERVICE_FREE] = at
        counts[N_SERVICES] -= 1
        at = after
    mask = index.size - 1
    place = home_nb(index, sessions[row, O_HI], sessions[row, O_LO])
    while index[place] != row:
        place = (place + 1) & mask
    gap, at = place, (place + 1) & mask
    while index[at] >= 0:
        home = home_nb(index, sessions[index[at], O_HI], sessions[index[at], O_LO])
        if (at - home) & mask >= (at - gap) & mask:
            index[gap] = index[at]
            gap = at
        at = (at + 1) & mask
    index[gap] = -1
    sessions[row, O_STATE] = FREE
    sessions[row, O_HI] = 0
    sessions[row, O_LO] = 0
    sessions[row, O_NEXT] = counts[N_SESSION_FREE]
    counts[N_SESSION_FREE] = row
    counts[N_SESSIONS] -= 1


@kernel(None, error_model="numpy")
def find_service_nb(sessions, services, row, group, service_identifier):
    """Row of a session's service, -1 where it has none of it."""
    at = sessions[row, O_FIRST]
    while at >= 0:
        if services[at, V_GROUP] == group and services[at, V_SERVICE_ID] == service_identifier:
            return at
        at = services[at, V_NEXT]
    return np.int64(-1)


@kernel(None, error_model="numpy")
def add_service_nb(sessions, services, counts, row, group, service_identifier, since_us):
    """A new service of a session, -1 where it has too many. There is room. The first of a session is found last."""
    if sessions[row, O_UNITS] >= MOST_SERVICES:
        return np.int64(-1)
    at = counts[N_SERVICE_FREE]
    if at >= 0:
        counts[N_SERVICE_FREE] = services[at, V_NEXT]
    else:
        at = counts[N_SERVICE_TOP]
        counts[N_SERVICE_TOP] += 1
    counts[N_SERVICES] += 1
    services[at] = 0
    services[at, V_GROUP] = group
    services[at, V_SERVICE_ID] = service_identifier
    services[at, V_NEXT] = sessions[row, O_FIRST]
    services[at, V_SINCE] = since_us
    services[at, V_NUMBER] = -1
    sessions[row, O_FIRST] = at
    sessions[row, O_UNITS] += 1
    return at


@kernel(types.void(CELLS_IN, types.int64, I64_OUT), error_model="numpy")
def index_online_nb(sessions, top, index):
    """Enter all sessions into `index`, which is all -1."""
    for row in range(top):
        if sessions[row, O_STATE] != FREE:
            index[~find_online_nb(index, sessions, sessions[row, O_HI], sessions[row, O_LO])] = row


@kernel(types.void(I64_OUT, CELLS_OUT, CELLS_OUT, types.int64), error_model="numpy")
def relink_given_nb(index, sessions, given, count):
    """Chain answers that are the 1st to the `count`-th of a ring to their sessions, which have none yet."""
    for nth in range(1, count + 1):
        at = nth % given.shape[0]
        row = np.int64(-1)
        if given[at, R_HI] != 0 or given[at, R_LO] != 0:
            row = find_online_nb(index, sessions, given[at, R_HI], given[at, R_LO])
        given[at, R_BEFORE] = sessions[row, O_ANSWERED] if row >= 0 else 0
        if row >= 0:
            sessions[row, O_ANSWERED] = nth


@kernel(types.void(CELLS_OUT, types.int64, I64_OUT, I64_OUT), error_model="numpy")
def refill_wheel_nb(sessions, top, counts, wheel):
    """Put every session into the slot of the second that it names; the wheel is all -1."""
    for row in range(top):
        if sessions[row, O_STATE] != FREE:
            wait_nb(sessions, counts, wheel, row, sessions[row, O_DUE])


@kernel(types.int64(I64_OUT, CELLS_OUT, CELLS_OUT, CELLS_OUT, I64_OUT, I64_OUT, *[types.int64] * 4, I64_OUT),
        error_model="numpy")
def turn_nb(index, sessions, services, given, counts, wheel, now_s, supervision_s, remember_s, most, silent):
    """Turn the wheel to `now_s`: forget sessions that ended long enough ago, and list those that fell silent.

    Whole seconds at a time, until `most` are listed or `silent` is full; the rest is found by the next turn. Returns
    how many are listed: they are off the wheel, and whoever closes them puts them on it again. Below zero: `silent`
    has no room for a single second, which needs so much.
    """
    found = np.int64(0)
    if now_s - counts[N_SECOND] > WHEEL:  # everything on the wheel is due to be looked at, in one round
        counts[N_SECOND] = now_s - WHEEL
    while counts[N_SECOND] < now_s and found < most:
        second = counts[N_SECOND] + 1
        slot = second % WHEEL
        length, at = np.int64(0), wheel[slot]
        while at >= 0:
            length += 1
            at = sessions[at, O_NEXT]
        if found + length > silent.size:
            return found if found > 0 else -length
        counts[N_SECOND] = second
        row = wheel[slot]
        wheel[slot] = -1
        while row >= 0:
            after = sessions[row, O_NEXT]
            is_open = sessions[row, O_STATE] == OPEN
            due_s = sessions[row, O_HEARD] // 1_000_000 + (supervision_s if is_open else remember_s)
            if due_s > second:
                wait_nb(sessions, counts, wheel, row, due_s)
            elif is_open:
                silent[found] = row
                found += 1
            else:
                remove_online_nb(index, sessions, services, given, counts, row)
            row = after
    return found
