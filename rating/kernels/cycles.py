"""What adds up over a cycle of an account: counters, prices over a counter, what is rounded once for a day.

They are rows of the table of open sessions under keys of their own, which last until their cycle is over.
"""

import numpy as np

from rating.kernels.buckets import closed_us_nb, current_us_nb, maybe_closed_us_nb
from rating.kernels.calendar import DAY_S, SECOND_US, cycle_end_us_nb, cycle_start_nb, offset_at_nb
from rating.kernels.layout import (
    B_SESSIONS,
    M_COUNTER,
    M_DAY,
    M_END,
    M_HI,
    M_LO,
    N_ACCOUNT,
    N_COUNTER,
    N_CYCLE,
    N_HI,
    N_LO,
    N_POSITION,
    N_THRESHOLD,
    N_TIME,
    N_VALUE,
    TRAIT_ZONE,
    X_HI,
    X_LO,
    X_PAID,
    X_POSITION,
    X_TIME,
)
from rating.kernels.sessions import find_session_nb
from schemas.hashing import absorb_hi_nb, absorb_lo_nb
from schemas.jit import kernel
from schemas.tariff_tables import (
    BUCKET_CYCLE_SHIFT,
    COUNTER_KEY,
    COUNTER_KIND,
    COUNTER_NAME,
    COUNTER_THRESHOLD_FIRST,
    COUNTS_CHARGE,
    COUNTS_QUANTITY,
    ENTRY_COUNTER,
    ENTRY_COUNTER_FIRST,
    LATE_CURRENT,
    LATE_SUSPEND,
    THRESHOLD,
)

COUNTER, PRICE, DAY = 1, 2, 3  # kinds of rows; parts of their keys; 4 is a member's use of a shared bucket
LEG = 5  # a session of a charge leg
GUARD = 1 << 61  # a sum that reached this takes no more events, each of which the compiler keeps below it


@kernel(None, error_model="numpy")
def row_key_nb(kind, key, account, day):
    """(hi, lo) of a row of an account's cycle; never both zero."""
    hi, lo = np.uint64(key), np.uint64(kind)
    for value in (np.int64(kind), np.int64(key), np.int64(account), np.int64(day)):
        hi = absorb_hi_nb(hi, value)
        lo = absorb_lo_nb(lo, value)
    return np.int64(hi), np.int64(lo) | np.int64(hi == 0 and lo == 0)


@kernel(None, error_model="numpy", forceinline=True)
def local_day_nb(zones, traits, time_us):
    """Day of an account's calendar that holds an instant."""
    second = time_us // SECOND_US
    return (second + offset_at_nb(zones, traits >> TRAIT_ZONE & 0xFFFF, second)) // DAY_S


@kernel(None, error_model="numpy", forceinline=True)
def end_us_nb(zones, traits, cycle, day):
    """Instant at which the cycle that begins on a day is over."""
    return cycle_end_us_nb(zones, traits >> TRAIT_ZONE & 0xFFFF, cycle << BUCKET_CYCLE_SHIFT | day, traits & 0xFF)


@kernel(None, error_model="numpy")
def meet_counters_nb(tables, entry, late, traits, account, zones, scalars, time_us, marks):
    """Fill `marks` with the cycles of counters that usage of an instant meets; returns how many.

    A closed cycle is met by nobody, or the clock's cycle instead, or the usage is set aside: then -1.
    """
    count = 0
    closed_us, today = maybe_closed_us_nb(scalars), local_day_nb(zones, traits, time_us)
    for at in range(tables[ENTRY_COUNTER_FIRST][entry], tables[ENTRY_COUNTER_FIRST][entry + 1]):
        counter = tables[ENTRY_COUNTER][at]
        cycle = tables[COUNTER_KEY][counter] >> BUCKET_CYCLE_SHIFT & 7
        day = cycle_start_nb(cycle, today, traits & 0xFF)
        end = end_us_nb(zones, traits, cycle, day)
        if time_us <= closed_us and end <= closed_us_nb(scalars, zones, traits >> TRAIT_ZONE & 0xFFFF):
            if late == LATE_SUSPEND:
                return np.int64(-1)
            if late != LATE_CURRENT:
                continue
            day = local_day_nb(zones, traits, current_us_nb(scalars, zones, traits))
            day = cycle_start_nb(cycle, day, traits & 0xFF)
            end = end_us_nb(zones, traits, cycle, day)
        hi, lo = row_key_nb(COUNTER, tables[COUNTER_KEY][counter], account, day)
        marks[count, M_COUNTER] = counter
        marks[count, M_HI] = hi
        marks[count, M_LO] = lo
        marks[count, M_DAY] = day
        marks[count, M_END] = end
        count += 1
    return np.int64(count)


@kernel(None, error_model="numpy", forceinline=True)
def find_or_add_nb(sessions, scalars, hi, lo):
    """Place of a row, which is put there when it is new."""
    place = find_session_nb(sessions, hi, lo)
    if place < 0:
        place = ~place
        sessions[place, X_HI] = hi
        sessions[place, X_LO] = lo
        scalars[B_SESSIONS] += 1
    return place


@kernel(None, error_model="numpy", forceinline=True)
def thresholds_of_nb(tables, entry):
    """How many notifications an event may bring at most."""
    count = 0
    for at in range(tables[ENTRY_COUNTER_FIRST][entry], tables[ENTRY_COUNTER_FIRST][entry + 1]):
        counter = tables[ENTRY_COUNTER][at]
        count += tables[COUNTER_THRESHOLD_FIRST][counter + 1] - tables[COUNTER_THRESHOLD_FIRST][counter]
    return count


@kernel(None, error_model="numpy")
def count_nb(tables, marks, count, sessions, scalars, account, quantity, charge, time_us, event_hi, event_lo, position,
             notification, notified):
    """Add an event to its counters, and note the thresholds that they reach for the first time in their cycle.

    Returns the next free row of `notification`. A charge counter can fall; X_PAID keeps the highest value it had.
    """
    for m in range(count):
        counter = marks[m, M_COUNTER]
        place = find_or_add_nb(sessions, scalars, marks[m, M_HI], marks[m, M_LO])
        counts = tables[COUNTER_KIND][counter]
        value = sessions[place, X_POSITION] + (quantity if counts == COUNTS_QUANTITY else
                                               charge if counts == COUNTS_CHARGE else np.int64(1))
        highest = sessions[place, X_PAID]
        sessions[place, X_POSITION] = value
        sessions[place, X_PAID] = max(highest, value)
        sessions[place, X_TIME] = marks[m, M_END]
        for t in range(tables[COUNTER_THRESHOLD_FIRST][counter], tables[COUNTER_THRESHOLD_FIRST][counter + 1]):
            threshold = tables[THRESHOLD][t]
            if highest < threshold and threshold <= value:
                notification[N_HI, notified] = event_hi
                notification[N_LO, notified] = event_lo
                notification[N_POSITION, notified] = position
                notification[N_TIME, notified] = time_us
                notification[N_ACCOUNT, notified] = account
                notification[N_COUNTER, notified] = tables[COUNTER_NAME][counter]
                notification[N_CYCLE, notified] = marks[m, M_DAY]
                notification[N_THRESHOLD, notified] = threshold
                notification[N_VALUE, notified] = value
                notified += 1
    return notified
