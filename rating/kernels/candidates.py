"""Buckets that may cover an event: gathered in the order of use, debited by the walk, posted."""

import numpy as np

from rating.kernels.buckets import ALLOWANCE, GRANT, add_bucket_nb, bucket_of_nb, bucket_unit_nb, find_bucket_nb
from rating.kernels.layout import (
    F_ACCOUNT,
    F_TRAITS,
    K_BUCKET,
    K_PLACE,
    K_ROW,
    K_STEP,
    K_TAKEN,
    S_REMAINING,
    SET_BITS,
    SET_MASK,
    SLOTS,
)
from rating.kernels.postings import put_pair_nb
from schemas.codes import LedgerAccount, PostingReason
from schemas.jit import kernel
from schemas.tariff_tables import (
    DEFINITION_AMOUNT,
    DEFINITION_STEP,
    SET_DEFINITION,
    SET_FIRST,
)

CONSUMED, GRANTED, CHARGED = int(LedgerAccount.CONSUMED), int(PostingReason.GRANT), int(PostingReason.CHARGE)


@kernel(None, error_model="numpy", forceinline=True)
def set_size_nb(tables, chosen):
    """Definitions in the sets of up to four plans."""
    size = np.int64(0)
    while chosen > 0:
        part = chosen & SET_MASK
        size += tables[SET_FIRST][part + 1] - tables[SET_FIRST][part]
        chosen >>= SET_BITS
    return size


@kernel(None, error_model="numpy", forceinline=True)
def gather_nb(tables, records, profile, spill, scalars, zones, row, own_set, shared, shared_set, time_us, event_hi,
              event_lo, position, posting, posted, candidates):
    """Fill `candidates` with the buckets that may cover an event: own, then shared. Returns how many, and `posted`.

    A cycle's bucket is granted, and posted from row `posted` on, when it is first met.
    """
    sets = tables[SET_FIRST]
    index, count = 0, 0
    for side in range(2):
        owner = row if side == 0 else shared
        chosen = own_set if side == 0 else shared_set
        while chosen > 0:  # a set for each plan of the owner, in their order
            part = chosen & SET_MASK
            chosen >>= SET_BITS
            for d in range(sets[part], sets[part + 1]):
                definition = tables[SET_DEFINITION][d]
                bucket_id = bucket_of_nb(tables, definition, profile[owner, F_TRAITS], zones, time_us, scalars)
                if bucket_id == 0:
                    continue
                place = find_bucket_nb(records, profile, spill, owner, bucket_id)
                if place < 0:
                    amount = tables[DEFINITION_AMOUNT][definition]
                    place = add_bucket_nb(records, profile, spill, scalars, zones, owner, bucket_id, amount)
                    put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us,
                                profile[owner, F_ACCOUNT], bucket_id, bucket_unit_nb(bucket_id), -1, amount,
                                ALLOWANCE, GRANT, GRANTED)
                    posted += 2
                    index += 2
                candidates[count, K_ROW] = owner
                candidates[count, K_PLACE] = place
                candidates[count, K_STEP] = tables[DEFINITION_STEP][definition]
                candidates[count, K_TAKEN] = 0
                candidates[count, K_BUCKET] = bucket_id
                count += 1
    return count, posted


@kernel(None, error_model="numpy", forceinline=True)
def take_nb(records, spill, candidates, count, wanted):
    """Units that the candidates cover of `wanted`, in their order; each rounds up to its step if it has as much."""
    covered = np.int64(0)
    for c in range(count):
        if covered >= wanted:
            break
        row, place, step = candidates[c, K_ROW], candidates[c, K_PLACE], candidates[c, K_STEP]
        left = records[row, place] if place < SLOTS else spill[place - SLOTS, S_REMAINING]
        if left <= 0:
            continue
        units = wanted - covered
        units = (units + step - 1) // step * step
        units = min(units, left)
        if place < SLOTS:
            records[row, place] = left - units
        else:
            spill[place - SLOTS, S_REMAINING] = left - units
        candidates[c, K_TAKEN] += units
        covered += units
    return covered


@kernel(None, error_model="numpy", forceinline=True)
def post_taken_nb(profile, candidates, count, time_us, event_hi, event_lo, position, posting, posted, index):
    """Post the units that were taken from buckets; returns (first bucket or -1, posted, index)."""
    first_bucket = np.int64(-1)
    for c in range(count):
        taken = candidates[c, K_TAKEN]
        if taken > 0:
            bucket_id = candidates[c, K_BUCKET]
            if first_bucket < 0:
                first_bucket = bucket_id
            put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us,
                        profile[candidates[c, K_ROW], F_ACCOUNT], bucket_id, bucket_unit_nb(bucket_id), -1,
                        -taken, ALLOWANCE, CONSUMED, CHARGED)
            posted += 2
            index += 2
    return first_bucket, posted, index
