"""What is left of a cycle, moved into the next one; a cycle that no usage met is made up for when the next one is met.

What rolled over once does not roll again, so that only the cycle before can reach a cycle: one is looked at, never a
row of them. What rolls into a cycle is decided once, by its grant or by the closing of the cycle before: the bucket of
what rolled over says that it was, be it empty.
"""

import numpy as np
from numba import types

from rating.kernels.buckets import (
    ALLOWANCE,
    GRANT,
    add_bucket_nb,
    bucket_cycle_nb,
    bucket_unit_nb,
    find_bucket_nb,
    rolled_id_nb,
)
from rating.kernels.calendar import cycle_start_nb, last_at_most_nb, midnight_us_nb
from rating.kernels.layout import (
    CELLS_IN,
    CELLS_OUT,
    DAY_MASK,
    F_ACCOUNT,
    F_TRAITS,
    I64_IN,
    MAX_PLANS,
    P_BUCKET,
    QUARANTINED,
    S_REMAINING,
    SLOTS,
    STATE,
    TERMINATED,
    TRAIT_SINCE,
    TRAIT_ZONE,
)
from rating.kernels.postings import put_pair_nb
from rating.kernels.select import plan_at_nb
from schemas.codes import PostingReason
from schemas.jit import kernel
from schemas.tariff_tables import DEFINITION_ROLLOVER

GRANTED, ROLLOVER = int(PostingReason.GRANT), int(PostingReason.ROLLOVER)
# Columns of `rolls`, allowances that roll over in some version, a row for every version, ascending by key, then time.
KEY, FROM, PLAN, CAP, AMOUNT, CURRENCY = range(6)
ROLLS = types.UniTuple(I64_IN, 6)
# What cycles before are known by: the book's older plans, `select_nb`'s plan_of, and `rolls`.
PAST = types.Tuple((CELLS_OUT, CELLS_IN, ROLLS))


@kernel(None, error_model="numpy")
def roll_at_nb(rolls, key, at_us):
    """Row of an allowance as the version in force at an instant says it, -1: none is, or it never rolls over."""
    if rolls[KEY].size == 0:
        return np.int64(-1)
    at = last_at_most_nb(rolls[KEY], 0, rolls[KEY].size, key)
    while at > 0 and rolls[KEY][at] == key and rolls[FROM][at] > at_us:
        at -= 1
    return np.int64(at) if rolls[KEY][at] == key and rolls[FROM][at] <= at_us else np.int64(-1)


@kernel(None, error_model="numpy")
def rolls_ever_nb(rolls, key):
    """Whether an allowance rolls over in some version."""
    return rolls[KEY].size > 0 and rolls[KEY][last_at_most_nb(rolls[KEY], 0, rolls[KEY].size, key)] == key


@kernel(None, error_model="numpy")
def holds_plan_nb(profile, nodes, plan_of, row, label, at_us):
    """Whether an account has a plan of the tariff at an instant."""
    plan = plan_at_nb(profile, nodes, row, at_us)
    for option in range(MAX_PLANS):
        if plan >= 0 and plan_of[plan, option] == label:
            return True
    return False


@kernel(None, error_model="numpy")
def rollover_cap_nb(profile, nodes, plan_of, rolls, row, key, begins_us):
    """How much of a cycle's rest goes into the one that begins then, 0 for none.

    The version in force then says so, of plans that the account then has.
    """
    at = roll_at_nb(rolls, key, begins_us)
    return rolls[CAP][at] if at >= 0 and holds_plan_nb(profile, nodes, plan_of, row, rolls[PLAN][at],
                                                       begins_us) else np.int64(0)


@kernel(None, error_model="numpy")
def unmet_cycle_nb(records, profile, zones, past, row, key, start, currency):
    """(amount, how much of it rolls over) of a cycle that nothing met and that ended where `start` begins."""
    nodes, plan_of, rolls = past
    nothing = np.int64(0), np.int64(0)
    traits, state = profile[row, F_TRAITS], records[row, STATE]
    since = traits >> TRAIT_SINCE & DAY_MASK
    if since == 0 or since >= start or state == TERMINATED or state == QUARANTINED:
        return nothing
    begins_us = midnight_us_nb(zones, traits >> TRAIT_ZONE & 0xFFFF, start)
    then, now = roll_at_nb(rolls, key, begins_us - 1), roll_at_nb(rolls, key, begins_us)
    if then < 0 or now < 0 or rolls[CURRENCY][then] != currency or rolls[CURRENCY][now] != currency or (
            not holds_plan_nb(profile, nodes, plan_of, row, rolls[PLAN][then], begins_us - 1)):
        return nothing
    return rolls[AMOUNT][then], rollover_cap_nb(profile, nodes, plan_of, rolls, row, key, begins_us)


@kernel(None, error_model="numpy")
def begin_days_nb(records, profile, row, day):
    """Usage of a day was granted an allowance: the account's days begin there, unless they had begun before."""
    state, traits = records[row, STATE], profile[row, F_TRAITS]
    since = traits >> TRAIT_SINCE & DAY_MASK
    if state != TERMINATED and state != QUARANTINED and (since == 0 or day < since):
        profile[row, F_TRAITS] = traits & ~(DAY_MASK << TRAIT_SINCE) | day << TRAIT_SINCE


@kernel(None, error_model="numpy")
def before_nb(traits, bucket_id):
    """Id of the bucket of the cycle before a bucket's."""
    start = bucket_id & DAY_MASK
    return bucket_id - start + cycle_start_nb(bucket_cycle_nb(bucket_id), start - 1, traits & 0xFF)


@kernel(None, error_model="numpy")
def move_rest_nb(records, profile, spill, scalars, zones, owner, bucket_id, cap, money, time_us, event_hi, event_lo,
                 index, position, posting, posted):
    """What the cycle before a bucket's has left, at most the cap, moves into a bucket of its own. Returns `posted`."""
    before = before_nb(profile[owner, F_TRAITS], bucket_id)
    rolled = rolled_id_nb(bucket_id, bucket_id & DAY_MASK)
    place = find_bucket_nb(records, profile, spill, owner, before)
    if place < 0 or find_bucket_nb(records, profile, spill, owner, rolled) >= 0:
        return posted
    left = records[owner, place] if place < SLOTS else spill[place - SLOTS, S_REMAINING]
    moved = min(left, cap)
    if moved <= 0:
        return posted
    if place < SLOTS:
        records[owner, place] = left - moved
    else:
        spill[place - SLOTS, S_REMAINING] = left - moved
    add_bucket_nb(records, profile, spill, scalars, zones, owner, rolled, moved)
    put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, profile[owner, F_ACCOUNT], before,
                bucket_unit_nb(bucket_id), money, -moved, ALLOWANCE, ALLOWANCE, ROLLOVER)
    posting[P_BUCKET, posted + 1] = rolled
    return posted + 2


@kernel(None, error_model="numpy")
def carry_over_nb(tables, records, profile, spill, scalars, zones, past, owner, definition, bucket_id, currency, money,
                  time_us, event_hi, event_lo, index, position, posting, posted):
    """A new cycle's grant was made: what the cycle before leaves moves into it. Returns `posted`.

    currency: of the price, which the plans concerned must charge too; money: that of the bucket, -1 for units. Up to
    three pairs: a grant for a cycle that nothing met, what moves into that one, and out of it.
    """
    traits, start = profile[owner, F_TRAITS], bucket_id & DAY_MASK
    before, cap = before_nb(traits, bucket_id), tables[DEFINITION_ROLLOVER][definition]
    if find_bucket_nb(records, profile, spill, owner, before) < 0 and find_bucket_nb(
            records, profile, spill, owner, rolled_id_nb(bucket_id, start)) < 0:
        amount, unmet_cap = unmet_cycle_nb(records, profile, zones, past, owner, bucket_id - start, start, currency)
        if amount <= 0 or unmet_cap <= 0:
            return posted
        add_bucket_nb(records, profile, spill, scalars, zones, owner, before, amount)
        put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, profile[owner, F_ACCOUNT], before,
                    bucket_unit_nb(before), money, amount, ALLOWANCE, GRANT, GRANTED)
        first = posted
        posted = move_rest_nb(records, profile, spill, scalars, zones, owner, before, cap, money, time_us, event_hi,
                              event_lo, index + 2, position, posting, posted + 2)
        index, cap = index + posted - first, unmet_cap
    return move_rest_nb(records, profile, spill, scalars, zones, owner, bucket_id, cap, money, time_us, event_hi,
                        event_lo, index, position, posting, posted)
