"""Buckets of units: finding, granting and expiring them. A bucket is of an allowance and a cycle."""

import numpy as np
from numba import types

from rating.kernels.calendar import DAY_S, SECOND_US, cycle_end_us_nb, cycle_start_nb, offset_at_nb
from rating.kernels.layout import (
    B_CLOCK,
    B_LATENESS,
    B_SPILLED,
    BUCKET_ID,
    CELLS_OUT,
    F_ACCOUNT,
    F_SPILL,
    F_TRAITS,
    G_NEXT,
    G_POSTED,
    I64_IN,
    I64_OUT,
    S_BUCKET,
    S_NEXT,
    S_REMAINING,
    S_ROW,
    SLOTS,
    TRAIT_ZONE,
)
from rating.kernels.postings import put_pair_nb
from schemas.codes import LedgerAccount, PostingReason
from schemas.jit import kernel
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT, BUCKET_UNIT_SHIFT, DEFINITION_KEY

ALLOWANCE, GRANT, EXPIRY = int(LedgerAccount.ALLOWANCE), int(LedgerAccount.GRANT), int(LedgerAccount.EXPIRY)
EXPIRED = int(PostingReason.EXPIRY)


@kernel(None, error_model="numpy", forceinline=True)
def bucket_unit_nb(bucket_id):
    """Unit that a bucket counts; part of its id."""
    return bucket_id >> BUCKET_UNIT_SHIFT & 7


@kernel(None, error_model="numpy", forceinline=True)
def bucket_of_nb(tables, definition, traits, zones, time_us, closed_us):
    """Bucket id of an allowance at an instant, 0 when that cycle is closed already."""
    key = tables[DEFINITION_KEY][definition]
    zone = traits >> TRAIT_ZONE & 0xFFFF
    anchor = traits & 0xFF
    second = time_us // SECOND_US
    day = (second + offset_at_nb(zones, zone, second)) // DAY_S
    bucket_id = key | cycle_start_nb(key >> BUCKET_CYCLE_SHIFT & 7, day, anchor)
    # Only usage older than the last clock can belong to a closed cycle.
    if time_us <= closed_us and cycle_end_us_nb(zones, zone, bucket_id, anchor) <= closed_us:
        return np.int64(0)
    return bucket_id


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
def add_bucket_nb(records, profile, spill, scalars, row, bucket_id, amount):
    """Put a new bucket into an empty slot, or spill it over; returns its place as `find_bucket_nb` does."""
    for slot in range(1, SLOTS):
        if records[row, BUCKET_ID + slot] == 0:
            records[row, BUCKET_ID + slot] = bucket_id
            records[row, slot] = amount
            return np.int64(slot)
    at = scalars[B_SPILLED]
    scalars[B_SPILLED] = at + 1
    spill[at, S_BUCKET] = bucket_id
    spill[at, S_REMAINING] = amount
    spill[at, S_NEXT] = profile[row, F_SPILL]
    spill[at, S_ROW] = row
    profile[row, F_SPILL] = at
    return at + SLOTS


@kernel(types.void(CELLS_OUT, CELLS_OUT, CELLS_OUT, I64_OUT, types.UniTuple(I64_IN, 3), types.int64, types.int64,
                   types.int64, CELLS_OUT, I64_OUT), error_model="numpy")
def expire_nb(records, profile, spill, scalars, zones, movement_hi, movement_lo, position, posting, progress):
    """Empty every bucket whose cycle is over by the clock; from account progress[G_NEXT] until postings are full.

    Spilled buckets are marked by id 0; the book rebuilds the lists afterwards.
    """
    closed_us = scalars[B_CLOCK] - scalars[B_LATENESS]
    while progress[G_NEXT] < records.shape[0]:
        row = progress[G_NEXT]
        spilled = 0
        at = profile[row, F_SPILL]
        while at >= 0:
            spilled += 1
            at = spill[at, S_NEXT]
        if progress[G_POSTED] + 2 * (SLOTS + spilled) > posting.shape[1]:
            return
        traits = profile[row, F_TRAITS]
        index = 0
        at = profile[row, F_SPILL]
        slot = 1
        while slot < SLOTS or at >= 0:
            inside = slot < SLOTS
            bucket_id = records[row, BUCKET_ID + slot] if inside else spill[at, S_BUCKET]
            left = records[row, slot] if inside else spill[at, S_REMAINING]
            if bucket_id != 0 and cycle_end_us_nb(zones, traits >> TRAIT_ZONE & 0xFFFF, bucket_id,
                                                  traits & 0xFF) <= closed_us:
                if left > 0:
                    put_pair_nb(posting, progress[G_POSTED], movement_hi, movement_lo ^ profile[row, F_ACCOUNT],
                                index, position, scalars[B_CLOCK], profile[row, F_ACCOUNT], bucket_id,
                                bucket_unit_nb(bucket_id), -1, -left, ALLOWANCE, EXPIRY, EXPIRED)
                    progress[G_POSTED] += 2
                    index += 2
                if inside:
                    records[row, BUCKET_ID + slot] = 0
                    records[row, slot] = 0
                else:
                    spill[at, S_BUCKET] = 0
                    spill[at, S_REMAINING] = 0
            if inside:
                slot += 1
            else:
                at = spill[at, S_NEXT]
        progress[G_NEXT] = row + 1
