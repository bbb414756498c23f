"""Buckets that may cover an event: gathered in the order of use, debited by the walk, posted.

Most allowances have no form: units that cost nothing, once in a cycle. What has one is looked at for it alone: rolled
over rests, own prices, blocking, caps of members, bands, money, and granted buckets, which only accounts that hold
some look for.
"""

import numpy as np

from rating.kernels.buckets import (
    ALLOWANCE,
    GRANT,
    add_bucket_nb,
    bucket_cycle_nb,
    bucket_end_us_nb,
    bucket_unit_nb,
    closed_us_nb,
    current_us_nb,
    cycle_bucket_nb,
    find_bucket_nb,
    is_closed_nb,
    maybe_closed_us_nb,
    rolled_id_nb,
)
from rating.kernels.calendar import NEVER_US, SECOND_US, band_at_nb, cycle_start_nb
from rating.kernels.cycles import find_or_add_nb, local_day_nb, row_key_nb
from rating.kernels.layout import (
    CANDIDATE_WORDS,
    F_ACCOUNT,
    F_SPILL,
    F_TRAITS,
    HAS_GRANTED,
    K_BUCKET,
    K_CAP,
    K_DEFINITION,
    K_FORM,
    K_OPEN,
    K_PLACE,
    K_PRICE,
    K_ROW,
    K_STEP,
    K_TAKEN,
    MAX_GRANTED,
    S_BUCKET,
    S_FROM,
    S_NEXT,
    S_REMAINING,
    S_TO,
    SET_BITS,
    SET_MASK,
    SLOTS,
    TRAIT_ZONE,
    W_ALLOWANCE,
    W_BLOCKED,
    W_FLOOR,
    W_FORMS,
    W_MAXIMUM,
    W_MINIMUM,
    W_NUMERATOR,
    W_PAYABLE,
    X_POSITION,
    X_TIME,
)
from rating.kernels.postings import put_pair_nb
from rating.kernels.rollover import begin_days_nb, carry_over_nb
from rating.kernels.sessions import find_session_nb
from schemas.codes import LedgerAccount, PostingReason, Unit
from schemas.jit import kernel
from schemas.tariff_tables import (
    A_AFTER,
    A_BANDS,
    A_BLOCKING,
    A_MEMBER_CAP,
    A_MONEY,
    A_PRICE,
    A_ROLLOVER,
    BUCKET_CYCLE_SHIFT,
    CYCLE_GRANTED,
    DEFINITION_AMOUNT,
    DEFINITION_BANDS,
    DEFINITION_FORM,
    DEFINITION_KEY,
    DEFINITION_MEMBER_CAP,
    DEFINITION_PER,
    DEFINITION_PRICE,
    DEFINITION_STEP,
    DEFINITION_TIMING,
    FAMILY_DENOMINATOR,
    FAMILY_LATE,
    FAMILY_MULTIPLE,
    FAMILY_OWN_DENOMINATOR,
    FAMILY_OWN_NUMERATOR,
    FAMILY_UNIT,
    FULL_DEFINITION,
    FULL_FIRST,
    LATE_CURRENT,
    LATE_SUSPEND,
    ROLLED,
    SET_DEFINITION,
    SET_FIRST,
)

CONSUMED, GRANTED, CHARGED = int(LedgerAccount.CONSUMED), int(PostingReason.GRANT), int(PostingReason.CHARGE)
MONEY_UNIT = int(Unit.MONEY)
MEMBER = 4  # a row of the table of open sessions: what a member took of a shared bucket


@kernel(None, error_model="numpy")
def room_nb(tables, profile, owner, chosen):
    """Buckets that the sets of an account's plans can add, and half the pairs that these post: four of an allowance
    that rolls over (its own, that of a cycle before that nothing met, and what rolled into each of them)."""
    size = np.int64(0)
    full = owner >= 0 and profile[owner, F_TRAITS] & HAS_GRANTED != 0
    while chosen > 0:
        part = chosen & SET_MASK
        first = tables[FULL_FIRST] if full else tables[SET_FIRST]
        size += 4 * (first[part + 1] - first[part])
        chosen >>= SET_BITS
    return size + MAX_GRANTED if full else size


@kernel(None, error_model="numpy")
def meets_closed_nb(tables, profile, scalars, zones, owner, chosen, unit, time_us):
    """Whether usage of an instant, counted in a unit, would meet an allowance's cycle that is closed."""
    if owner < 0 or time_us > maybe_closed_us_nb(scalars):
        return False
    traits = profile[owner, F_TRAITS]
    while chosen > 0:
        part = chosen & SET_MASK
        chosen >>= SET_BITS
        for d in range(tables[SET_FIRST][part], tables[SET_FIRST][part + 1]):
            key = tables[DEFINITION_KEY][tables[SET_DEFINITION][d]]
            if (bucket_unit_nb(key) == unit or bucket_unit_nb(key) == MONEY_UNIT) and is_closed_nb(
                    scalars, zones, traits, cycle_bucket_nb(key, traits, zones, time_us), time_us):
                return True
    return False


@kernel(None, error_model="numpy", forceinline=True)
def capped_id_nb(bucket_id):
    """What a member's cap counts on: the cycle's bucket, for what rolled over into the cycle too."""
    return bucket_id - (ROLLED << BUCKET_CYCLE_SHIFT) if bucket_cycle_nb(bucket_id) > ROLLED else bucket_id


@kernel(None, error_model="numpy", forceinline=True)
def common_divisor_nb(one, other):
    """Greatest common divisor of two numbers above zero."""
    while other != 0:
        one, other = other, one % other
    return one


@kernel(None, error_model="numpy")
def own_price_nb(tables, definition, family):
    """Price of a unit that a bucket covers, as a numerator of the family: whole by construction."""
    price, per = tables[DEFINITION_PRICE][definition], tables[DEFINITION_PER][definition]
    if price == 0:
        return np.int64(0)
    numerator, denominator = tables[FAMILY_OWN_NUMERATOR][family], tables[FAMILY_OWN_DENOMINATOR][family]
    across = common_divisor_nb(price, denominator)
    price, denominator = price // across, denominator // across
    across = common_divisor_nb(numerator, per)
    numerator, per = numerator // across, per // across
    price, share = price * numerator, tables[FAMILY_DENOMINATOR][family] // (per * denominator)
    multiple = tables[FAMILY_MULTIPLE][family]
    across = common_divisor_nb(multiple, share)
    return share // across * (price // (multiple // across))


@kernel(None, error_model="numpy")
def put_candidate_nb(tables, candidates, at, owner, place, bucket_id, definition, family, sessions, member):
    """Write a candidate's row; `member` is the account that takes of another's bucket, -1 for the owner itself."""
    form = tables[DEFINITION_FORM][definition]
    candidates[at, K_ROW] = owner
    candidates[at, K_PLACE] = place
    candidates[at, K_STEP] = tables[DEFINITION_STEP][definition]
    candidates[at, K_TAKEN] = 0
    candidates[at, K_BUCKET] = bucket_id
    candidates[at, K_DEFINITION] = definition
    candidates[at, K_FORM] = form
    candidates[at, K_OPEN] = 0 if form & A_MONEY else 1
    candidates[at, K_CAP] = -1
    candidates[at, K_PRICE] = 0
    if form & A_PRICE:
        candidates[at, K_PRICE] = own_price_nb(tables, definition, family)
    if form & A_MEMBER_CAP and member >= 0:
        hi, lo = row_key_nb(MEMBER, capped_id_nb(bucket_id), member, 0)
        used = find_session_nb(sessions, hi, lo)
        cap = tables[DEFINITION_MEMBER_CAP][definition]
        candidates[at, K_CAP] = max(cap - sessions[used, X_POSITION], 0) if used >= 0 else cap


@kernel(None, error_model="numpy")
def gather_granted_nb(tables, profile, spill, scalars, zones, owner, definition, family, sessions, member,
                      time_us, candidates, count):
    """An account's granted buckets of a definition that are valid at an instant, the earliest end first."""
    traits = profile[owner, F_TRAITS]
    key = tables[DEFINITION_KEY][definition] >> BUCKET_CYCLE_SHIFT
    closed_us = closed_us_nb(scalars, zones, traits >> TRAIT_ZONE & 0xFFFF) if time_us <= maybe_closed_us_nb(
        scalars) else -NEVER_US
    first = count
    at = profile[owner, F_SPILL]
    while at >= 0:
        held = False
        if spill[at, S_BUCKET] >> BUCKET_CYCLE_SHIFT == key and spill[at, S_FROM] <= time_us < spill[at, S_TO] and (
                spill[at, S_TO] > closed_us):
            for c in range(first):  # by another of the account's plans
                held |= candidates[c, K_ROW] == owner and candidates[c, K_PLACE] == at + SLOTS
            if not held:
                c = count
                while c > first:
                    other = candidates[c - 1, K_PLACE] - SLOTS
                    if (spill[other, S_TO], spill[other, S_FROM], spill[other, S_BUCKET]) < (
                            spill[at, S_TO], spill[at, S_FROM], spill[at, S_BUCKET]):
                        break
                    for word in range(CANDIDATE_WORDS):
                        candidates[c, word] = candidates[c - 1, word]
                    c -= 1
                put_candidate_nb(tables, candidates, c, owner, at + SLOTS, spill[at, S_BUCKET], definition, family,
                                 sessions, member)
                count += 1
        at = spill[at, S_NEXT]
    return count


@kernel(None, error_model="numpy", forceinline=True)
def gather_nb(tables, records, profile, spill, scalars, zones, sessions, row, own_set, shared, shared_set, family,
              currency, time_us, event_hi, event_lo, position, posting, posted, index, candidates, walk, past):
    """Fill `candidates` with the buckets that may cover an event: own, then shared. Returns how many, and `posted`.

    family: of the price, whose unit they have, or they are money. A cycle's bucket is granted, and posted from row
    `posted` on, as the event's posting `index`, when it is first met. walk[W_FORMS] becomes the forms
    of all of them. past: see `rating.kernels.rollover`. -1 candidates: late usage of a closed cycle, by a plan that
    sets it aside.
    """
    count = 0
    late, unit = tables[FAMILY_LATE][family], tables[FAMILY_UNIT][family]
    if late == LATE_SUSPEND and (
            meets_closed_nb(tables, profile, scalars, zones, row, own_set, unit, time_us)
            or meets_closed_nb(tables, profile, scalars, zones, shared, shared_set, unit, time_us)):
        return -1, posted
    for side in range(2):
        owner = row if side == 0 else shared
        chosen = own_set if side == 0 else shared_set
        if chosen == 0:
            continue
        traits = profile[owner, F_TRAITS]
        full = traits & HAS_GRANTED != 0
        member = np.int64(-1) if side == 0 else profile[row, F_ACCOUNT]
        today = local_day_nb(zones, traits, time_us)
        began = np.int64(0)  # first day that something was granted for
        while chosen > 0:  # a set for each plan of the owner, in their order
            part = chosen & SET_MASK
            chosen >>= SET_BITS
            first = tables[FULL_FIRST][part] if full else tables[SET_FIRST][part]
            stop = tables[FULL_FIRST][part + 1] if full else tables[SET_FIRST][part + 1]
            for d in range(first, stop):
                definition = tables[FULL_DEFINITION][d] if full else tables[SET_DEFINITION][d]
                form, key = tables[DEFINITION_FORM][definition], tables[DEFINITION_KEY][definition]
                if bucket_unit_nb(key) != unit and bucket_unit_nb(key) != MONEY_UNIT:
                    continue  # messages, where another of the plans counts segments
                walk[W_FORMS] |= form
                if bucket_cycle_nb(key) == CYCLE_GRANTED:
                    count = gather_granted_nb(tables, profile, spill, scalars, zones, owner, definition, family,
                                              sessions, member, time_us, candidates, count)
                    continue
                met_us = time_us
                bucket_id = key | cycle_start_nb(bucket_cycle_nb(key), today, traits & 0xFF)
                if is_closed_nb(scalars, zones, traits, bucket_id, time_us):
                    if late != LATE_CURRENT:
                        continue
                    met_us = current_us_nb(scalars, zones, traits)
                    bucket_id = cycle_bucket_nb(key, traits, zones, met_us)
                money = currency if form & A_MONEY else np.int64(-1)
                place = find_bucket_nb(records, profile, spill, owner, bucket_id)
                if place < 0:
                    amount = tables[DEFINITION_AMOUNT][definition]
                    place = add_bucket_nb(records, profile, spill, scalars, zones, owner, bucket_id, amount)
                    put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us,
                                profile[owner, F_ACCOUNT], bucket_id, bucket_unit_nb(bucket_id), money, amount,
                                ALLOWANCE, GRANT, GRANTED)
                    posted += 2
                    index += 2
                    if form & A_ROLLOVER:
                        before = posted
                        posted = carry_over_nb(tables, records, profile, spill, scalars, zones, past, owner, definition,
                                               bucket_id, currency, money, time_us, event_hi, event_lo, index,
                                               position, posting, posted)
                        index += posted - before
                    day = local_day_nb(zones, traits, met_us)
                    began = day if began == 0 else min(began, day)
                rolled = np.int64(-1)
                if form & A_ROLLOVER:
                    rolled_id = rolled_id_nb(bucket_id, bucket_id & ((1 << BUCKET_CYCLE_SHIFT) - 1))
                    rolled = find_bucket_nb(records, profile, spill, owner, rolled_id)
                    if rolled >= 0 and form & A_AFTER == 0:
                        put_candidate_nb(tables, candidates, count, owner, rolled, rolled_id, definition, family,
                                         sessions, member)
                        count += 1
                put_candidate_nb(tables, candidates, count, owner, place, bucket_id, definition, family, sessions,
                                 member)
                count += 1
                if rolled >= 0 and form & A_AFTER:
                    put_candidate_nb(tables, candidates, count, owner, rolled, rolled_id, definition, family,
                                     sessions, member)
                    count += 1
        if began != 0:
            begin_days_nb(records, profile, owner, began)
    return count, posted


@kernel(None, error_model="numpy")
def open_bands_nb(tables, candidates, count, now_us, paid, moving):
    """Open the candidates of bands that hold now; returns the position at which that may change."""
    edge = np.int64(NEVER_US)
    for c in range(count):
        if candidates[c, K_FORM] & A_BANDS and candidates[c, K_FORM] & A_MONEY == 0:
            definition = candidates[c, K_DEFINITION]
            place, _, change_us = band_at_nb(tables, tables[DEFINITION_TIMING][definition], now_us)
            candidates[c, K_OPEN] = tables[DEFINITION_BANDS][definition] >> place & 1
            if moving and change_us != NEVER_US:
                edge = min(edge, paid + -((now_us - change_us) // SECOND_US))
    return edge


@kernel(None, error_model="numpy", forceinline=True)
def is_last_nb(candidates, count, c):
    """Whether no bucket of the same owner and definition follows."""
    return c + 1 == count or candidates[c + 1, K_DEFINITION] != candidates[c, K_DEFINITION] or (
        candidates[c + 1, K_ROW] != candidates[c, K_ROW])


@kernel(None, error_model="numpy", forceinline=True)
def take_nb(records, spill, candidates, count, wanted, walk):
    """Units that the candidates cover of `wanted`, in their order; each rounds up to its step if it has as much.

    Own prices are added to walk[W_NUMERATOR]; where they reach the maximum, the rest is free and none are taken. Behind
    buckets that block and are used up (all of one definition) nothing is taken: walk[W_BLOCKED] becomes 1, and
    walk[W_PAYABLE] and walk[W_FLOOR] what price and minimum came to before.
    """
    covered = np.int64(0)
    for c in range(count):
        if covered >= wanted:
            break
        if candidates[c, K_OPEN] == 0:
            continue
        row, place, step = candidates[c, K_ROW], candidates[c, K_PLACE], candidates[c, K_STEP]
        held = records[row, place] if place < SLOTS else spill[place - SLOTS, S_REMAINING]
        left = held
        if candidates[c, K_CAP] >= 0:
            left = min(left, candidates[c, K_CAP])
        if left > 0:
            units = wanted - covered
            units = (units + step - 1) // step * step
            price = candidates[c, K_PRICE]
            if price > 0:
                least = (walk[W_MAXIMUM] - walk[W_NUMERATOR] + price - 1) // price
                units = min(units, (least + step - 1) // step * step)
            units = min(units, left)
            if place < SLOTS:
                records[row, place] = held - units
            else:
                spill[place - SLOTS, S_REMAINING] = held - units
            candidates[c, K_TAKEN] += units
            if candidates[c, K_CAP] >= 0:
                capped = capped_id_nb(candidates[c, K_BUCKET])
                for other in range(count):
                    if candidates[other, K_CAP] >= 0 and capped_id_nb(candidates[other, K_BUCKET]) == capped:
                        candidates[other, K_CAP] -= units
            walk[W_NUMERATOR] += units * price
            covered += units
            if walk[W_NUMERATOR] >= walk[W_MAXIMUM]:
                break
        if covered < wanted and candidates[c, K_FORM] & A_BLOCKING and is_last_nb(candidates, count, c):
            walk[W_BLOCKED] = 1
            walk[W_PAYABLE] = walk[W_NUMERATOR]
            walk[W_FLOOR] = walk[W_MINIMUM]
            break
    walk[W_ALLOWANCE] += covered
    return covered


@kernel(None, error_model="numpy", forceinline=True)
def post_taken_nb(profile, spill, scalars, zones, sessions, candidates, count, member, time_us, event_hi, event_lo,
                  position, posting, posted, index):
    """Post the units that were taken from buckets; returns (first bucket or -1, posted, index)."""
    first_bucket = np.int64(-1)
    for c in range(count):
        taken = candidates[c, K_TAKEN]
        if taken > 0:
            bucket_id, owner = candidates[c, K_BUCKET], candidates[c, K_ROW]
            if first_bucket < 0:
                first_bucket = bucket_id
            put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, profile[owner, F_ACCOUNT],
                        bucket_id, bucket_unit_nb(bucket_id), -1, -taken, ALLOWANCE, CONSUMED, CHARGED)
            posted += 2
            index += 2
            if candidates[c, K_CAP] >= 0:
                hi, lo = row_key_nb(MEMBER, capped_id_nb(bucket_id), member, 0)
                used = find_or_add_nb(sessions, scalars, hi, lo)
                place = candidates[c, K_PLACE]
                sessions[used, X_POSITION] += taken
                sessions[used, X_TIME] = bucket_end_us_nb(zones, profile[owner, F_TRAITS], bucket_id,
                                                          spill[place - SLOTS, S_TO] if place >= SLOTS else 0)
    return first_bucket, posted, index
