"""The clock over buckets: what is over and closed expires or rolls over into the next cycle; the list shrinks."""

from numba import types

from rating.kernels.buckets import (
    ALLOWANCE,
    add_bucket_nb,
    bucket_cycle_nb,
    bucket_end_us_nb,
    bucket_unit_nb,
    closed_us_nb,
    find_bucket_nb,
    maybe_closed_us_nb,
    rolled_id_nb,
    spill_bucket_nb,
)
from rating.kernels.calendar import cycle_end_us_nb, next_cycle_nb
from rating.kernels.layout import (
    B_DUE,
    B_SPILLED,
    BUCKET_ID,
    CELLS_IN,
    CELLS_OUT,
    F_ACCOUNT,
    F_SPILL,
    F_TRAITS,
    G_NEXT,
    G_POSTED,
    HAS_GRANTED,
    I64_IN,
    I64_OUT,
    P_BUCKET,
    S_BUCKET,
    S_FROM,
    S_NEXT,
    S_REMAINING,
    S_ROW,
    S_TO,
    SLOTS,
    TRAIT_CURRENCY,
    TRAIT_ZONE,
)
from rating.kernels.postings import put_pair_nb
from rating.kernels.rollover import ROLLS, rollover_cap_nb, rolls_ever_nb
from schemas.codes import LedgerAccount, PostingReason, Unit
from schemas.jit import kernel
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT, CYCLE_GRANTED, CYCLE_NONE, ROLLED

EXPIRY = int(LedgerAccount.EXPIRY)
EXPIRED, ROLLOVER = int(PostingReason.EXPIRY), int(PostingReason.ROLLOVER)
MONEY_UNIT = int(Unit.MONEY)


@kernel(types.void(CELLS_OUT, CELLS_OUT, CELLS_IN, CELLS_OUT, I64_OUT, types.UniTuple(I64_IN, 3), I64_IN, CELLS_IN,
                   ROLLS, types.int64, types.int64, types.int64, types.int64, CELLS_OUT, I64_OUT),
        error_model="numpy")
def expire_nb(records, profile, nodes, spill, scalars, zones, currency_of, plan_of, rolls, movement_hi, movement_lo,
              position, time_us, posting, progress):
    """Empty every bucket that is over and closed; from account progress[G_NEXT] until postings or `spill` are full.

    Buckets of an account go in the order of their ids, so that history does not number the postings. Spilled ones
    are marked by id 0, for `compact_nb`. scalars[B_DUE], NEVER_US before the first call, becomes the next end.
    currency_of: the book's currencies as labels. plan_of: as `select_nb`. rolls: as `rating.kernels.rollover`
    says. Where nothing moves of what may roll over, an empty bucket tells the next cycle that this one was met.
    """
    while progress[G_NEXT] < records.shape[0]:
        row = progress[G_NEXT]
        traits = profile[row, F_TRAITS]
        zone, anchor = traits >> TRAIT_ZONE & 0xFFFF, traits & 0xFF
        due, earliest_us, closed_us = 0, scalars[B_DUE], maybe_closed_us_nb(scalars)
        at = profile[row, F_SPILL]
        slot = 1
        while slot < SLOTS or at >= 0:
            inside = slot < SLOTS
            bucket_id = records[row, BUCKET_ID + slot] if inside else spill[at, S_BUCKET]
            if bucket_id != 0:
                end_us = bucket_end_us_nb(zones, traits, bucket_id, 0 if inside else spill[at, S_TO])
                if end_us <= closed_us:
                    due += 1
                earliest_us = min(earliest_us, end_us)
            if inside:
                slot += 1
            else:
                at = spill[at, S_NEXT]
        if due == 0:
            scalars[B_DUE] = earliest_us
            progress[G_NEXT] = row + 1
            continue
        if progress[G_POSTED] + 4 * due > posting.shape[1] or scalars[B_SPILLED] + due > spill.shape[0]:
            return
        closed_us = closed_us_nb(scalars, zones, zone)
        index = 0
        while True:
            chosen, place = 0, -1
            at = profile[row, F_SPILL]
            slot = 1
            while slot < SLOTS or at >= 0:
                inside = slot < SLOTS
                bucket_id = records[row, BUCKET_ID + slot] if inside else spill[at, S_BUCKET]
                if bucket_id != 0 and (chosen == 0 or bucket_id < chosen) and bucket_end_us_nb(
                        zones, traits, bucket_id, 0 if inside else spill[at, S_TO]) <= closed_us:
                    chosen, place = bucket_id, slot if inside else at + SLOTS
                if inside:
                    slot += 1
                else:
                    at = spill[at, S_NEXT]
            if chosen == 0:
                break
            if place < SLOTS:
                left = records[row, place]
                records[row, BUCKET_ID + place] = 0
                records[row, place] = 0
            else:
                left = spill[place - SLOTS, S_REMAINING]
                spill[place - SLOTS, S_BUCKET] = 0
                spill[place - SLOTS, S_REMAINING] = 0
            unit = bucket_unit_nb(chosen)
            currency = currency_of[traits >> TRAIT_CURRENCY & 0xFFF] if unit == MONEY_UNIT else -1
            cycle = bucket_cycle_nb(chosen)
            key = chosen >> BUCKET_CYCLE_SHIFT << BUCKET_CYCLE_SHIFT
            if CYCLE_NONE < cycle < ROLLED and rolls_ever_nb(rolls, key):
                end_us = bucket_end_us_nb(zones, traits, chosen, 0)
                rolled = min(left, rollover_cap_nb(profile, nodes, plan_of, rolls, row, key, end_us))
                start = next_cycle_nb(cycle, chosen & ((1 << BUCKET_CYCLE_SHIFT) - 1), anchor)
                next_id = rolled_id_nb(chosen, start)
                # Where the new cycle's grant was made it took its share then.
                if cycle_end_us_nb(zones, zone, next_id, anchor) > closed_us and find_bucket_nb(
                        records, profile, spill, row, key | start) < 0 and find_bucket_nb(
                        records, profile, spill, row, next_id) < 0:
                    add_bucket_nb(records, profile, spill, scalars, zones, row, next_id, rolled)
                    if rolled > 0:
                        put_pair_nb(posting, progress[G_POSTED], movement_hi, movement_lo ^ profile[row, F_ACCOUNT],
                                    index, position, time_us, profile[row, F_ACCOUNT], chosen, unit, currency,
                                    -rolled, ALLOWANCE, ALLOWANCE, ROLLOVER)
                        posting[P_BUCKET, progress[G_POSTED] + 1] = next_id
                        progress[G_POSTED] += 2
                        index += 2
                        left -= rolled
            if left > 0:
                put_pair_nb(posting, progress[G_POSTED], movement_hi, movement_lo ^ profile[row, F_ACCOUNT],
                            index, position, time_us, profile[row, F_ACCOUNT], chosen, unit, currency,
                            -left, ALLOWANCE, EXPIRY, EXPIRED)
                progress[G_POSTED] += 2
                index += 2
        # What stays decides when to look again.
        at = profile[row, F_SPILL]
        slot = 1
        while slot < SLOTS or at >= 0:
            inside = slot < SLOTS
            bucket_id = records[row, BUCKET_ID + slot] if inside else spill[at, S_BUCKET]
            if bucket_id != 0:
                scalars[B_DUE] = min(scalars[B_DUE], bucket_end_us_nb(
                    zones, traits, bucket_id, 0 if inside else spill[at, S_TO]))
            if inside:
                slot += 1
            else:
                at = spill[at, S_NEXT]
        progress[G_NEXT] = row + 1


@kernel(types.void(CELLS_OUT, CELLS_OUT, CELLS_OUT, I64_OUT), error_model="numpy")
def compact_nb(records, profile, spill, scalars):
    """Take emptied buckets out of the spill list, and move buckets of cycles back into slots that became free."""
    for at in range(scalars[B_SPILLED]):
        profile[spill[at, S_ROW], F_SPILL] = -1
        profile[spill[at, S_ROW], F_TRAITS] &= ~HAS_GRANTED
    count = scalars[B_SPILLED]
    scalars[B_SPILLED] = 0
    for at in range(count):
        bucket_id, row = spill[at, S_BUCKET], spill[at, S_ROW]
        if bucket_id == 0:
            continue
        remaining, from_us, to_us = spill[at, S_REMAINING], spill[at, S_FROM], spill[at, S_TO]
        free = SLOTS
        if bucket_cycle_nb(bucket_id) != CYCLE_GRANTED:
            free = 1
            while free < SLOTS and records[row, BUCKET_ID + free] != 0:
                free += 1
        if free < SLOTS:
            records[row, BUCKET_ID + free] = bucket_id
            records[row, free] = remaining
        else:
            spill_bucket_nb(profile, spill, scalars, row, bucket_id, remaining, from_us, to_us)
