"""Identities that were changed by commands: points in time, found by hash, asked before the operator's files.

Two kinds of points, told apart by their key: (token, -1) says who holds an identity from an instant on, and
(service, kind of identity) which token is the only one of that kind that the service has from then on. So a new SIM
ends the one before without anybody knowing which that was.
"""

import numpy as np
from numba import types

from reference_data.kernels.intervals import NOT_THEN, SECOND, UNKNOWN, find_row_nb
from schemas.hashing import mix_nb
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, kernel

# One point. WHO: the account, of a service's point the token; HELD in UNTIL, else until when nobody may have it.
KEY, PART, FROM, RECORDED, WHO, SERVICE, GROUP, UNTIL, NEXT = range(9)
POINT_WORDS = 9
HELD = -1
OVERLAY = -10  # rows found here count down from it

I32_IN = types.Array(types.int32, 1, "C", readonly=True)


@kernel(None)
def home_nb(key, part, slots):
    """Where the search for a key begins. slots (capacity, 3): key, part, newest point or -1."""
    return np.int64(mix_nb(np.uint64(key) ^ np.uint64(part + 1) << np.uint64(61)) & np.uint64(slots.shape[0] - 1))


@kernel(None)
def find_point_nb(key, part, time_us, recorded_us, slots, points):
    """Point that holds at a time by what was recorded then; UNKNOWN where the key has none, NOT_THEN where none yet.

    The latest start decides, then the latest record, then the order of the journal.
    """
    place = home_nb(key, part, slots)
    while slots[place, 2] >= 0:
        if slots[place, 0] == key and slots[place, 1] == part:
            best = NOT_THEN
            row = slots[place, 2]
            while row >= 0:  # newest of the journal first
                if points[row, FROM] <= time_us and points[row, RECORDED] <= recorded_us and (
                        best < 0 or points[row, FROM] > points[best, FROM]
                        or (points[row, FROM] == points[best, FROM]
                            and points[row, RECORDED] > points[best, RECORDED])):
                    best = row
                row = points[row, NEXT]
            return best
        place = (place + 1) & (slots.shape[0] - 1)
    return UNKNOWN


@kernel(None)
def holder_nb(token, identity, time_us, recorded_us, directory, shift, holders, slots, points):
    """Who holds an identity: a row of `holders`; OVERLAY - row of `points`; UNKNOWN or NOT_THEN."""
    point = find_point_nb(token, np.int64(-1), time_us, recorded_us, slots, points)
    if point >= 0:
        if points[point, UNTIL] != HELD:
            return NOT_THEN
        row = OVERLAY - point
        service = points[point, SERVICE]
    else:
        row = find_row_nb(token, time_us, recorded_us, directory, shift, holders)
        if row < 0:
            return NOT_THEN if point == NOT_THEN else row
        service = holders[row, SECOND]
    only = find_point_nb(service, identity, time_us, recorded_us, slots, points)
    if only >= 0 and points[only, WHO] != token:
        return NOT_THEN
    return row


@kernel(None)
def known_nb(token, directory, shift, holders, slots, points):
    """Whether any service ever held an identity."""
    if find_row_nb(token, np.int64(0), np.int64(0), directory, shift, holders) != UNKNOWN:
        return True
    return find_point_nb(token, np.int64(-1), np.int64(0), np.int64(0), slots, points) != UNKNOWN


@kernel(types.void(I64_IN, I64_IN, I64_IN, types.int64, I32_IN, types.int64, CELLS_IN, CELLS_IN, CELLS_IN, I64_OUT))
def holders_nb(tokens, identities, time_us, recorded_us, directory, shift, holders, slots, points, found):
    """`holder_nb` of every token (ABSENT ones are UNKNOWN)."""
    for i in range(tokens.size):
        found[i] = UNKNOWN
        if tokens[i] >= 0:
            found[i] = holder_nb(tokens[i], identities[i], time_us[i], recorded_us, directory, shift, holders, slots,
                                 points)


@kernel(types.int64(types.int64, types.int64, types.int64, types.int64, CELLS_IN, CELLS_IN))
def point_at_nb(key, part, time_us, recorded_us, slots, points):
    """`find_point_nb` for Python."""
    return find_point_nb(key, part, time_us, recorded_us, slots, points)


@kernel(types.int64(types.int64, types.int64, CELLS_OUT, CELLS_OUT))
def link_points_nb(first, stop, slots, points):
    """Hang points [first, stop) into the table, each before the older ones of its key. Returns keys that are new."""
    fresh = 0
    for row in range(first, stop):
        place = home_nb(points[row, KEY], points[row, PART], slots)
        while slots[place, 2] >= 0 and (slots[place, 0] != points[row, KEY] or slots[place, 1] != points[row, PART]):
            place = (place + 1) & (slots.shape[0] - 1)
        if slots[place, 2] < 0:
            fresh += 1
            slots[place, 0], slots[place, 1] = points[row, KEY], points[row, PART]
        points[row, NEXT] = slots[place, 2]
        slots[place, 2] = row
    return fresh
