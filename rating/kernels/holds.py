"""What is held for sessions that go on: taken from buckets and money when it is granted, given back before usage is
charged.

A hold is the postings that charging the units would write, without being posted: what they take is gone from the
account, so that nobody else is granted it, and still belongs to it.
"""

import numpy as np
from numba import types

from rating.kernels.buckets import ALLOWANCE, bucket_unit_nb, find_bucket_nb
from rating.kernels.candidates import MEMBER, capped_id_nb
from rating.kernels.cycles import row_key_nb
from rating.kernels.layout import (
    B_HOLDS,
    CAPPED,
    CELLS_IN,
    CELLS_OUT,
    ENTRY_WORDS,
    F_ACCOUNT,
    F_TRAITS,
    H_COUNT,
    H_ENTRY,
    H_GRANTED,
    H_ROW,
    H_SHARED,
    HOLD_WORDS,
    K_BUCKET,
    K_CAP,
    MAX_ENTRIES,
    MONEY,
    P_ACCOUNT,
    P_AMOUNT,
    P_BUCKET,
    P_LEDGER,
    S_REMAINING,
    SLOTS,
    TRAIT_CURRENCY,
    U_EVENT_HI,
    U_EVENT_LO,
    U_GROUP,
    U_SERVICE_ID,
    U_SESSION_HI,
    U_SESSION_LO,
    U_TIME,
    X_HI,
    X_LO,
    X_POSITION,
)
from rating.kernels.postings import put_pair_nb
from rating.kernels.sessions import find_session_nb, session_home_nb, session_key_nb
from schemas.codes import LedgerAccount, PostingReason, Unit
from schemas.jit import kernel

EXPIRY, EXPIRED = int(LedgerAccount.EXPIRY), int(PostingReason.EXPIRY)
UNCOLLECTED, MONEY_UNIT = int(LedgerAccount.UNCOLLECTED), int(Unit.MONEY)
RELEASE_POSTINGS = 2 * MAX_ENTRIES  # rows that giving back may write, where every bucket has expired meanwhile


@kernel(None, error_model="numpy", forceinline=True)
def give_back_nb(records, profile, spill, sessions, row, member, bucket_id, amount):
    """Return an amount to where it was taken; whether its bucket is still there.

    member: the account whose cap counts what it takes of that bucket, -1 for none.
    """
    if member >= 0:
        hi, lo = row_key_nb(MEMBER, capped_id_nb(bucket_id), member, 0)
        used = find_session_nb(sessions, hi, lo)
        if used >= 0:
            sessions[used, X_POSITION] -= amount
    if bucket_id < 0:
        records[row, MONEY] += amount
        return True
    place = find_bucket_nb(records, profile, spill, row, bucket_id)
    if place < 0:
        return False
    if place < SLOTS:
        records[row, place] += amount
    else:
        spill[place - SLOTS, S_REMAINING] += amount
    return True


@kernel(None, error_model="numpy", forceinline=True)
def is_capped_nb(candidates, count, bucket_id):
    """Whether a member's cap counts what an event takes of a bucket."""
    for c in range(count):
        if candidates[c, K_BUCKET] == bucket_id and candidates[c, K_CAP] >= 0:
            return True
    return False


@kernel(None, error_model="numpy")
def undo_nb(records, profile, spill, sessions, candidates, count, row, shared, posting, first, stop):
    """Give back what posting rows [first, stop), customer's side first, have taken: they do not happen."""
    account = profile[row, F_ACCOUNT]
    for p in range(first, stop, 2):
        if posting[P_LEDGER, p] == UNCOLLECTED:  # nobody's
            continue
        bucket_id = posting[P_BUCKET, p]
        owner = row if posting[P_ACCOUNT, p] == account else shared
        capped = bucket_id >= 0 and is_capped_nb(candidates, count, bucket_id)
        give_back_nb(records, profile, spill, sessions, owner, account if capped else np.int64(-1), bucket_id,
                     -posting[P_AMOUNT, p])


@kernel(None, error_model="numpy")
def hold_nb(holds, scalars, profile, candidates, count, row, shared, hi, lo, granted, posting, first, stop):
    """Keep posting rows [first, stop) as a hold of a session instead, which has none now; none of what is free."""
    if stop == first:
        return
    place = ~find_session_nb(holds, hi, lo)
    account = profile[row, F_ACCOUNT]
    scalars[B_HOLDS] += 1
    holds[place, X_HI] = hi
    holds[place, X_LO] = lo
    holds[place, H_ROW] = row
    holds[place, H_SHARED] = shared
    holds[place, H_GRANTED] = granted
    entry = np.int64(H_ENTRY)
    for p in range(first, stop, 2):
        bucket_id = posting[P_BUCKET, p]
        capped = bucket_id >= 0 and is_capped_nb(candidates, count, bucket_id)
        holds[place, entry] = (row if posting[P_ACCOUNT, p] == account else shared) | (CAPPED if capped else 0)
        holds[place, entry + 1] = bucket_id
        holds[place, entry + 2] = -posting[P_AMOUNT, p]
        entry += ENTRY_WORDS
    holds[place, H_COUNT] = (entry - H_ENTRY) // ENTRY_WORDS


@kernel(None, error_model="numpy")
def remove_hold_nb(holds, scalars, place):
    """Empty a place. Rows behind it that were put off by it move up, so that a search still ends at the first empty
    one."""
    scalars[B_HOLDS] -= 1
    mask = holds.shape[0] - 1
    gap, at = place, (place + 1) & mask
    while holds[at, X_HI] != 0 or holds[at, X_LO] != 0:
        home = session_home_nb(holds, holds[at, X_HI], holds[at, X_LO])
        if (at - home) & mask >= (at - gap) & mask:
            for word in range(HOLD_WORDS):
                holds[gap, word] = holds[at, word]
            gap = at
        at = (at + 1) & mask
    holds[gap] = 0


@kernel(None, error_model="numpy")
def release_nb(holds, scalars, records, profile, spill, sessions, currency_of, usage, i, position, posting, posted):
    """Give back what is held for the session of usage row `i`, if anything is. Returns `posted`.

    What was taken of a bucket that has expired since expires too: the only thing that is posted, as the first of `i`.
    """
    hi, lo = session_key_nb(usage[U_SESSION_HI, i], usage[U_SESSION_LO, i], usage[U_GROUP, i], usage[U_SERVICE_ID, i])
    index = np.int64(0)
    place = find_session_nb(holds, hi, lo)
    if place < 0:
        return posted
    member = profile[holds[place, H_ROW], F_ACCOUNT]
    for number in range(holds[place, H_COUNT]):
        entry = H_ENTRY + number * ENTRY_WORDS
        owner, bucket_id = holds[place, entry] & (CAPPED - 1), holds[place, entry + 1]
        amount = holds[place, entry + 2]
        capped = holds[place, entry] & CAPPED != 0
        if not give_back_nb(records, profile, spill, sessions, owner, member if capped else np.int64(-1), bucket_id,
                            amount):
            unit, currency = bucket_unit_nb(bucket_id), np.int64(-1)
            if unit == MONEY_UNIT:
                currency = currency_of[profile[owner, F_TRAITS] >> TRAIT_CURRENCY & 0xFFF]
            put_pair_nb(posting, posted, usage[U_EVENT_HI, i], usage[U_EVENT_LO, i], index, position,
                        usage[U_TIME, i], profile[owner, F_ACCOUNT], bucket_id, unit, currency, -amount, ALLOWANCE,
                        EXPIRY, EXPIRED)
            posted += 2
            index += 2
    remove_hold_nb(holds, scalars, place)
    return posted


@kernel(types.void(CELLS_IN, CELLS_OUT), error_model="numpy")
def rehash_holds_nb(old, new):
    """Move all holds into `new`, which is all zero."""
    for i in range(old.shape[0]):
        if old[i, X_HI] != 0 or old[i, X_LO] != 0:
            place = ~find_session_nb(new, old[i, X_HI], old[i, X_LO])
            for word in range(HOLD_WORDS):
                new[place, word] = old[i, word]
