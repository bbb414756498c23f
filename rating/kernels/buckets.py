"""Buckets: which one an allowance means at an instant, finding it, adding it, how long it stays open."""

import numpy as np

from rating.kernels.calendar import DAY_S, SECOND_US, cycle_end_us_nb, cycle_start_nb, midnight_us_nb, offset_at_nb
from rating.kernels.layout import (
    B_CLOCK,
    B_DUE,
    B_LATENESS,
    B_SPILLED,
    B_THROUGH,
    B_UNTIL,
    BUCKET_ID,
    F_SPILL,
    F_TRAITS,
    HAS_GRANTED,
    S_BUCKET,
    S_FROM,
    S_NEXT,
    S_REMAINING,
    S_ROW,
    S_TO,
    SLOTS,
    TRAIT_ZONE,
)
from schemas.codes import LedgerAccount
from schemas.jit import kernel
from schemas.tariff_tables import (
    BUCKET_CYCLE_SHIFT,
    BUCKET_UNIT_SHIFT,
    CYCLE_GRANTED,
    DEFINITION_KEY,
    ROLLED,
)

ALLOWANCE, GRANT = int(LedgerAccount.ALLOWANCE), int(LedgerAccount.GRANT)
HALF_DAY_US = 43_200_000_000  # no zone is further from UTC, to the west


@kernel(None, error_model="numpy", forceinline=True)
def bucket_unit_nb(bucket_id):
    """Unit that a bucket counts; part of its id."""
    return bucket_id >> BUCKET_UNIT_SHIFT & 7


@kernel(None, error_model="numpy", forceinline=True)
def bucket_cycle_nb(bucket_id):
    """Kind of cycle of a bucket, a part of its id: CYCLE_*, or ROLLED + one."""
    return bucket_id >> BUCKET_CYCLE_SHIFT & 7


@kernel(None, error_model="numpy", forceinline=True)
def maybe_closed_us_nb(scalars):
    """No zone has closed anything that ends after this."""
    return max(max(scalars[B_CLOCK] - scalars[B_LATENESS], scalars[B_UNTIL]),
               (scalars[B_THROUGH] + 1) * DAY_S * SECOND_US + HALF_DAY_US)


@kernel(None, error_model="numpy", forceinline=True)
def closed_us_nb(scalars, zones, zone):
    """What was over by then is closed in this zone: by the clock, or by `period_close`."""
    return max(max(scalars[B_CLOCK] - scalars[B_LATENESS], scalars[B_UNTIL]),
               midnight_us_nb(zones, zone, scalars[B_THROUGH] + 1))


@kernel(None, error_model="numpy", forceinline=True)
def current_us_nb(scalars, zones, traits):
    """An instant of the cycles that are open now: the clock's, or those after the newest closing."""
    return max(scalars[B_CLOCK], closed_us_nb(scalars, zones, traits >> TRAIT_ZONE & 0xFFFF))


@kernel(None, error_model="numpy", forceinline=True)
def cycle_bucket_nb(key, traits, zones, time_us):
    """Bucket id of an allowance at an instant; `key` is the id without its day."""
    second = time_us // SECOND_US
    day = (second + offset_at_nb(zones, traits >> TRAIT_ZONE & 0xFFFF, second)) // DAY_S
    return key | cycle_start_nb(bucket_cycle_nb(key), day, traits & 0xFF)


@kernel(None, error_model="numpy", forceinline=True)
def is_closed_nb(scalars, zones, traits, bucket_id, time_us):
    """Whether the cycle of a bucket, met by usage at `time_us`, is closed already."""
    if time_us > maybe_closed_us_nb(scalars):  # what is not over cannot be closed
        return False
    zone = traits >> TRAIT_ZONE & 0xFFFF
    return cycle_end_us_nb(zones, zone, bucket_id, traits & 0xFF) <= closed_us_nb(scalars, zones, zone)


@kernel(None, error_model="numpy", forceinline=True)
def bucket_of_nb(tables, definition, traits, zones, time_us, scalars):
    """Bucket id of an allowance at an instant, 0 when that cycle is closed already."""
    bucket_id = cycle_bucket_nb(tables[DEFINITION_KEY][definition], traits, zones, time_us)
    return np.int64(0) if is_closed_nb(scalars, zones, traits, bucket_id, time_us) else bucket_id


@kernel(None, error_model="numpy", forceinline=True)
def find_bucket_nb(records, profile, spill, row, bucket_id):
    """Where a bucket is: its slot, or SLOTS + row of the spill list; -1 for nowhere."""
    for slot in range(1, SLOTS):
        if records[row, BUCKET_ID + slot] == bucket_id:
            return np.int64(slot)
    at = profile[row, F_SPILL]
    while at >= 0:
        if spill[at, S_BUCKET] == bucket_id:
            return at + SLOTS
        at = spill[at, S_NEXT]
    return np.int64(-1)


@kernel(None, error_model="numpy", forceinline=True)
def spill_bucket_nb(profile, spill, scalars, row, bucket_id, amount, from_us, to_us):
    """Put a bucket into the spill list; returns its place."""
    at = scalars[B_SPILLED]
    scalars[B_SPILLED] = at + 1
    spill[at, S_BUCKET] = bucket_id
    spill[at, S_REMAINING] = amount
    spill[at, S_NEXT] = profile[row, F_SPILL]
    spill[at, S_ROW] = row
    spill[at, S_FROM] = from_us
    spill[at, S_TO] = to_us
    profile[row, F_SPILL] = at
    if bucket_cycle_nb(bucket_id) == CYCLE_GRANTED:
        profile[row, F_TRAITS] |= HAS_GRANTED
    return at + SLOTS


@kernel(None, error_model="numpy", forceinline=True)
def add_bucket_nb(records, profile, spill, scalars, zones, row, bucket_id, amount):
    """Put a new bucket of a cycle into an empty slot, or spill it over; returns its place as `find_bucket_nb` does."""
    traits = profile[row, F_TRAITS]
    end_us = cycle_end_us_nb(zones, traits >> TRAIT_ZONE & 0xFFFF, bucket_id, traits & 0xFF)
    scalars[B_DUE] = min(scalars[B_DUE], end_us)
    for slot in range(1, SLOTS):
        if records[row, BUCKET_ID + slot] == 0:
            records[row, BUCKET_ID + slot] = bucket_id
            records[row, slot] = amount
            return np.int64(slot)
    return spill_bucket_nb(profile, spill, scalars, row, bucket_id, amount, np.int64(0), np.int64(0))


@kernel(None, error_model="numpy", forceinline=True)
def bucket_end_us_nb(zones, traits, bucket_id, to_us):
    """Instant at which a bucket is over; `to_us` is what its grant said, for granted ones."""
    if bucket_cycle_nb(bucket_id) == CYCLE_GRANTED:
        return to_us
    return cycle_end_us_nb(zones, traits >> TRAIT_ZONE & 0xFFFF, bucket_id, traits & 0xFF)


@kernel(None, error_model="numpy", forceinline=True)
def rolled_id_nb(bucket_id, day):
    """Id of the bucket that takes over what is left of this one, in the cycle that begins on `day`."""
    family = bucket_id >> BUCKET_CYCLE_SHIFT << BUCKET_CYCLE_SHIFT
    return family + (ROLLED << BUCKET_CYCLE_SHIFT) | day
