"""Charging: events in order, each folded into its session, its account's buckets and its money.

A session is walked from where it was paid up to, until its new total. At each position the band of that moment gives
the rate and the slot gives the price; allowances cover units first, the rest is paid in whole steps. A step belongs
where it begins, and may reach beyond the report that began it: the next report starts where it ends. So the walk does
the same whatever the reports are. Work grows with slots and boundaries crossed, never with units.
"""

import numpy as np
from numba import types

from rating.kernels.buckets import add_bucket_nb, bucket_of_nb, bucket_unit_nb, find_bucket_nb
from rating.kernels.calendar import NEVER_US, SECOND_US, band_at_nb, last_at_most_nb
from rating.kernels.layout import (
    B_CLOCK,
    B_HORIZON,
    B_LATENESS,
    B_SESSIONS,
    B_SPILLED,
    BUCKET_ID,
    C_ENTRY,
    C_PLAN,
    C_REASON,
    C_ROW,
    C_SET,
    C_SHARED_ROW,
    C_SHARED_SET,
    C_VERSION,
    C_ZONE,
    CELLS_IN,
    CELLS_OUT,
    F_ACCOUNT,
    F_CREDIT,
    F_TRAITS,
    G_NEXT,
    G_POSTED,
    G_RATED,
    G_SINK,
    I64_IN,
    I64_OUT,
    MONEY,
    R_ALLOWANCE,
    R_BAND,
    R_BILLED,
    R_BILLED_BEFORE,
    R_BUCKET,
    R_CHARGE,
    R_CHARGED_BEFORE,
    R_CONNECT,
    R_CURRENCY,
    R_LEG,
    R_NUMERATOR_BEFORE,
    R_PLAN,
    R_POSITION,
    R_QUANTITY_BEFORE,
    R_RATE,
    R_REVISION,
    R_STATUS,
    R_UNCOLLECTED,
    R_VERSION,
    R_ZONE,
    S_REMAINING,
    SESSION_WORDS,
    SLOTS,
    U_EVENT_HI,
    U_EVENT_LO,
    U_GROUP,
    U_QUANTITY,
    U_SERVICE_ID,
    U_SESSION_HI,
    U_SESSION_LO,
    U_TIME,
    X_CHARGED,
    X_CONNECTED,
    X_FAMILY,
    X_HI,
    X_LO,
    X_MINIMUM,
    X_NUMERATOR,
    X_PAID,
    X_POSITION,
    X_TIME,
)
from rating.kernels.postings import put_pair_nb
from rating.kernels.sessions import find_session_nb, session_key_nb
from schemas.codes import LedgerAccount, PostingReason, RatingStatus, Reason, Unit
from schemas.jit import kernel
from schemas.money import Rounding
from schemas.tariff_tables import (
    DEFINITION_AMOUNT,
    DEFINITION_STEP,
    ENTRY_FAMILY,
    ENTRY_RATE,
    ENTRY_RATE_FIRST,
    ENTRY_TIMING,
    FAMILY_BOUND,
    FAMILY_DEBT,
    FAMILY_DENOMINATOR,
    FAMILY_KEY,
    FAMILY_QUANTUM,
    FAMILY_RULE,
    FAMILY_UNIT,
    RATE_CONNECT,
    RATE_MINIMUM,
    RATE_SLOT_FIRST,
    SET_DEFINITION,
    SET_FIRST,
    SLOT_FROM,
    SLOT_PRICE,
    SLOT_STEP,
    TABLES,
    VERSION_CURRENCY,
)

BALANCE, ALLOWANCE, REVENUE = int(LedgerAccount.BALANCE), int(LedgerAccount.ALLOWANCE), int(LedgerAccount.REVENUE)
CONSUMED, UNCOLLECTED, GRANT = (int(LedgerAccount.CONSUMED), int(LedgerAccount.UNCOLLECTED),
                                int(LedgerAccount.GRANT))
GRANTED, CHARGED = int(PostingReason.GRANT), int(PostingReason.CHARGE)
DEBT, LOSS = int(PostingReason.UNCOLLECTED_DEBT), int(PostingReason.UNCOLLECTED_LOSS)
SECOND, MONEY_UNIT = int(Unit.SECOND), int(Unit.MONEY)
RATED, FREE, BY_ALLOWANCE, PARTLY_UNCOLLECTED = (int(s) for s in RatingStatus)
BEYOND_BOUND = int(Reason.QUANTITY_BEYOND_BOUND)
UP, HALF_UP, HALF_EVEN = int(Rounding.UP), int(Rounding.HALF_UP), int(Rounding.HALF_EVEN)

# Candidate buckets of an event, in the order of use: account row, place, step, units taken, bucket id.
MAX_CANDIDATES = 60
K_ROW, K_PLACE, K_STEP, K_TAKEN, K_BUCKET = range(5)
# What a walk leaves behind.
(W_PAID, W_NUMERATOR, W_MINIMUM, W_CONNECTED, W_ALLOWANCE, W_CONNECT, W_PRICED, W_RATE, W_BAND) = range(9)
BLOCK = 256


@kernel(None, error_model="numpy", forceinline=True)
def round_nb(numerator, denominator, rule):
    """numerator / denominator, both not negative, to a whole number by a named rule."""
    quotient = numerator // denominator
    rest = numerator - quotient * denominator
    if rest == 0:
        return quotient
    if rule == UP:
        return quotient + 1
    twice = 2 * rest
    if rule == HALF_UP:
        return quotient + (1 if twice >= denominator else 0)
    if rule == HALF_EVEN:
        return quotient + (1 if twice > denominator or (twice == denominator and quotient & 1 == 1) else 0)
    return quotient


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
def walk_nb(tables, entry, unit, time_us, before, total, records, spill, candidates, count, walk):
    """Take a session from walk[W_PAID] to `total` units; `before` of them came in earlier reports.

    `walk` holds the state of the session's price and is moved on; buckets are debited, money is not.
    """
    timing, rates = tables[ENTRY_TIMING][entry], tables[ENTRY_RATE_FIRST][entry]
    paid = walk[W_PAID]
    place, band, change_us = band_at_nb(tables, timing, time_us)
    walk[W_BAND] = band
    walk[W_RATE] = tables[ENTRY_RATE][rates + place]
    moving = unit == SECOND and change_us != NEVER_US
    while paid < total:
        limit = total
        if moving:
            # The unit at position p is used at time_us + (p - before) seconds.
            now_us = time_us + (paid - before) * SECOND_US
            if now_us >= change_us:
                place, band, change_us = band_at_nb(tables, timing, now_us)
            limit = min(limit, paid + -((now_us - change_us) // SECOND_US))
        rate = tables[ENTRY_RATE][rates + place]
        last = tables[RATE_SLOT_FIRST][rate + 1]
        slot = tables[RATE_SLOT_FIRST][rate]
        if last - slot > 1:
            slot = last_at_most_nb(tables[SLOT_FROM], slot, last, paid)
            if slot + 1 < last:
                limit = min(limit, tables[SLOT_FROM][slot + 1])
        price = tables[SLOT_PRICE][slot]
        if price > 0:
            walk[W_PRICED] = 1
            if count > 0:
                covered = take_nb(records, spill, candidates, count, limit - paid)
                walk[W_ALLOWANCE] += covered
                paid += covered
                if paid >= limit:
                    continue
        step = tables[SLOT_STEP][slot]
        steps = (limit - paid + step - 1) // step
        paid += steps * step
        walk[W_NUMERATOR] += steps * price
        walk[W_MINIMUM] = max(walk[W_MINIMUM], tables[RATE_MINIMUM][rate])
        if walk[W_CONNECTED] == 0:
            walk[W_CONNECTED] = 1
            walk[W_CONNECT] = tables[RATE_CONNECT][rate]
            walk[W_NUMERATOR] += tables[RATE_CONNECT][rate]
    walk[W_PAID] = paid


@kernel(None, error_model="numpy", forceinline=True)
def pay_nb(records, profile, row, due):
    """Money that an account, credit included, has for what is due; takes it."""
    paid = min(max(records[row, MONEY] + profile[row, F_CREDIT], np.int64(0)), due)
    records[row, MONEY] -= paid
    return paid


@kernel(types.void(CELLS_IN, types.int64, types.int64, CELLS_OUT, TABLES, types.int64, CELLS_OUT, CELLS_OUT, CELLS_OUT,
                   CELLS_OUT, I64_OUT, types.UniTuple(I64_IN, 3), CELLS_OUT, I64_OUT, CELLS_OUT, CELLS_OUT, I64_OUT),
        error_model="numpy")
def fold_nb(usage, start, stop, choice, tables, position, records, profile, spill, sessions, scalars, zones,
            candidates, walk, rated, posting, progress):
    """Charge usage rows from progress[G_NEXT] to stop, or until `posting` or `spill` may lack room.

    choice (CHOICE, stop - start): what `select_nb` found; a reason found here is written back into it. rated: a row
    for each charged event from progress[G_RATED], its own columns only. posting: rows from progress[G_POSTED].
    candidates (MAX_CANDIDATES, 5) and walk (9,) are scratch. sessions has room for every event; `position` is
    the journal's.
    """
    closed_us = scalars[B_CLOCK] - scalars[B_LATENESS]
    i = progress[G_NEXT]
    while i < stop:
        if (i - start) % BLOCK == 0 or i == progress[G_NEXT]:
            # Ask for the records of the block at once, so that the misses overlap.
            sink = np.int64(0)
            for j in range(i - start, min(i - start - (i - start) % BLOCK + BLOCK, stop - start)):
                if choice[C_REASON, j] == 0:
                    row = choice[C_ROW, j]
                    sink += records[row, MONEY] + records[row, BUCKET_ID] + profile[row, F_CREDIT]
            progress[G_SINK] += sink
        at = i - start
        if choice[C_REASON, at] != 0:
            i += 1
            continue
        row, entry, shared = choice[C_ROW, at], choice[C_ENTRY, at], choice[C_SHARED_ROW, at]
        own_set, shared_set = choice[C_SET, at], choice[C_SHARED_SET, at]
        sets = tables[SET_FIRST]
        worst = sets[own_set + 1] - sets[own_set] + sets[shared_set + 1] - sets[shared_set]
        if progress[G_POSTED] + 4 * worst + 6 > posting.shape[1] or scalars[B_SPILLED] + worst > spill.shape[0]:
            break
        family = tables[ENTRY_FAMILY][entry]
        time_us, quantity = usage[U_TIME, i], usage[U_QUANTITY, i]
        event_hi, event_lo = usage[U_EVENT_HI, i], usage[U_EVENT_LO, i]

        # The session so far.
        hi, lo, session = np.int64(0), np.int64(0), np.int64(0)
        partial = usage[U_SESSION_HI, i] != event_hi or usage[U_SESSION_LO, i] != event_lo
        known = False
        if partial:
            hi, lo = session_key_nb(usage[U_SESSION_HI, i], usage[U_SESSION_LO, i], usage[U_GROUP, i],
                                    usage[U_SERVICE_ID, i])
            session = find_session_nb(sessions, hi, lo)
            known = session >= 0
        before, charged = np.int64(0), np.int64(0)
        walk[:] = 0
        fresh = known and time_us - sessions[session, X_TIME] > scalars[B_HORIZON]
        if known and not fresh:
            before = sessions[session, X_POSITION]
            walk[W_PAID] = sessions[session, X_PAID]
            walk[W_CONNECTED] = sessions[session, X_CONNECTED]
            if sessions[session, X_FAMILY] == tables[FAMILY_KEY][family]:
                charged = sessions[session, X_CHARGED]
                walk[W_NUMERATOR] = sessions[session, X_NUMERATOR]
                walk[W_MINIMUM] = sessions[session, X_MINIMUM]
        if quantity > tables[FAMILY_BOUND][family] - before:
            choice[C_REASON, at] = BEYOND_BOUND
            i += 1
            continue
        paid_before, numerator_before = walk[W_PAID], walk[W_NUMERATOR]

        # Buckets that may cover it: own, then shared. A cycle's bucket is granted when it is first met.
        posted, index, count = progress[G_POSTED], 0, 0
        for side in range(2):
            owner = row if side == 0 else shared
            chosen = own_set if side == 0 else shared_set
            for d in range(sets[chosen], sets[chosen + 1]):
                definition = tables[SET_DEFINITION][d]
                bucket_id = bucket_of_nb(tables, definition, profile[owner, F_TRAITS], zones, time_us, closed_us)
                if bucket_id == 0:
                    continue
                place = find_bucket_nb(records, profile, spill, owner, bucket_id)
                if place < 0:
                    amount = tables[DEFINITION_AMOUNT][definition]
                    place = add_bucket_nb(records, profile, spill, scalars, owner, bucket_id, amount)
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

        walk_nb(tables, entry, tables[FAMILY_UNIT][family], time_us, before, before + quantity, records, spill,
                candidates, count, walk)

        # One rounding of the whole session's price; this report owes the difference.
        denominator, quantum = tables[FAMILY_DENOMINATOR][family], tables[FAMILY_QUANTUM][family]
        price = round_nb(max(walk[W_NUMERATOR], walk[W_MINIMUM]), denominator * quantum,
                         tables[FAMILY_RULE][family]) * quantum
        due = price - charged
        if partial:
            if not known:
                session = ~session
                scalars[B_SESSIONS] += 1
            sessions[session, X_HI] = hi
            sessions[session, X_LO] = lo
            sessions[session, X_POSITION] = before + quantity
            sessions[session, X_PAID] = walk[W_PAID]
            sessions[session, X_NUMERATOR] = walk[W_NUMERATOR]
            sessions[session, X_CHARGED] = price
            sessions[session, X_MINIMUM] = walk[W_MINIMUM]
            sessions[session, X_FAMILY] = tables[FAMILY_KEY][family]
            sessions[session, X_CONNECTED] = walk[W_CONNECTED]
            sessions[session, X_TIME] = time_us if fresh or not known else max(time_us, sessions[session, X_TIME])

        # Postings: units taken, then money, own before shared, then what no balance covers.
        currency = tables[VERSION_CURRENCY][choice[C_VERSION, at]]
        account = profile[row, F_ACCOUNT]
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
        left = due
        if left > 0:
            paid = pay_nb(records, profile, row, left)
            if paid > 0:
                put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, account, -1, MONEY_UNIT,
                            currency, -paid, BALANCE, REVENUE, CHARGED)
                posted += 2
                index += 2
                left -= paid
            if left > 0 and shared >= 0:
                paid = pay_nb(records, profile, shared, left)
                if paid > 0:
                    put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us,
                                profile[shared, F_ACCOUNT], -1, MONEY_UNIT, currency, -paid, BALANCE, REVENUE, CHARGED)
                    posted += 2
                    index += 2
                    left -= paid
            if left > 0:
                put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, account, -1, MONEY_UNIT,
                            currency, -left, UNCOLLECTED, REVENUE, DEBT if tables[FAMILY_DEBT][family] else LOSS)
                posted += 2
        progress[G_POSTED] = posted

        k = progress[G_RATED]
        rated[R_LEG, k] = 0
        rated[R_REVISION, k] = 0
        rated[R_POSITION, k] = position
        rated[R_VERSION, k] = choice[C_VERSION, at]
        rated[R_PLAN, k] = choice[C_PLAN, at]
        rated[R_ZONE, k] = choice[C_ZONE, at]
        rated[R_BAND, k] = walk[W_BAND]
        rated[R_RATE, k] = walk[W_RATE]
        rated[R_QUANTITY_BEFORE, k] = before
        rated[R_BILLED_BEFORE, k] = paid_before
        rated[R_NUMERATOR_BEFORE, k] = numerator_before
        rated[R_CHARGED_BEFORE, k] = charged
        rated[R_BILLED, k] = walk[W_PAID] - paid_before
        rated[R_ALLOWANCE, k] = walk[W_ALLOWANCE]
        rated[R_BUCKET, k] = first_bucket
        rated[R_CONNECT, k] = walk[W_CONNECT] // denominator
        rated[R_CHARGE, k] = due
        rated[R_UNCOLLECTED, k] = left
        rated[R_CURRENCY, k] = currency
        if left > 0:
            rated[R_STATUS, k] = PARTLY_UNCOLLECTED
        elif due > 0:
            rated[R_STATUS, k] = RATED
        elif walk[W_ALLOWANCE] > 0:
            rated[R_STATUS, k] = BY_ALLOWANCE
        else:
            rated[R_STATUS, k] = RATED if walk[W_PRICED] == 1 else FREE
        progress[G_RATED] = k + 1
        i += 1
    progress[G_NEXT] = i


__all__ = ["MAX_CANDIDATES", "SESSION_WORDS", "fold_nb"]
