"""Charging: events in order, each folded into its session, its account's buckets and its money.

Gather the buckets that may cover it, walk its session, price the walk, collect what is due, and write down all of it.
"""

import numpy as np
from numba import types

from rating.kernels.ahead import SOON, ask_to_fold_nb, ask_to_write_nb
from rating.kernels.candidates import gather_nb, post_taken_nb, room_nb
from rating.kernels.cycles import (
    DAY,
    GUARD,
    LEG,
    PRICE,
    count_nb,
    end_us_nb,
    find_or_add_nb,
    local_day_nb,
    meet_counters_nb,
    row_key_nb,
    thresholds_of_nb,
)
from rating.kernels.holds import RELEASE_POSTINGS, hold_nb, release_nb, undo_nb
from rating.kernels.layout import (
    B_CLOCK,
    B_GONE,
    B_HORIZON,
    B_SESSIONS,
    B_SPILLED,
    C_ASK,
    C_CURRENCY,
    C_DUE,
    C_ENTRY,
    C_GRANTED,
    C_LEAST,
    C_LEG,
    C_PLAN,
    C_QUANTITY,
    C_REASON,
    C_ROW,
    C_SET,
    C_SHARED_ROW,
    C_SHARED_SET,
    C_SOURCE,
    C_VERSION,
    C_ZONE,
    CELLS_IN,
    CELLS_OUT,
    CHARGE,
    CHARGED_BEFORE,
    CONNECTED,
    DEBIT,
    DISCONNECTS,
    F_ACCOUNT,
    F_TRAITS,
    G_ASKED,
    G_FIRST,
    G_NEXT,
    G_NOTIFIED,
    G_POSTED,
    G_RATED,
    G_TURNS,
    I64_IN,
    I64_OUT,
    M_COUNTER,
    M_DAY,
    M_END,
    M_HI,
    M_LO,
    MAX_CANDIDATES,
    MAX_ENTRIES,
    NOT_CHARGED,
    P_LEG,
    R_ALLOWANCE,
    R_BAND,
    R_BEGAN,
    R_BILLED,
    R_BILLED_BEFORE,
    R_BUCKET,
    R_CHARGE,
    R_CHARGED_BEFORE,
    R_CONNECT,
    R_COUNTER_BEFORE,
    R_CURRENCY,
    R_LEG,
    R_MAXIMUM,
    R_MINIMUM_BEFORE,
    R_NUMERATOR_BEFORE,
    R_PLAN,
    R_QUANTITY_BEFORE,
    R_RATE,
    R_REACHED,
    R_SCOPE_BEFORE,
    R_STATUS,
    R_STEPS_BEFORE,
    R_TAX,
    R_UNCOLLECTED,
    R_VERSION,
    R_ZONE,
    RELEASE,
    REPORT,
    RESERVE,
    U_EVENT_HI,
    U_EVENT_LO,
    U_GROUP,
    U_SERVICE_ID,
    U_SESSION_HI,
    U_SESSION_LO,
    U_TIME,
    W_ALLOWANCE,
    W_BAND,
    W_BLOCKED,
    W_CONNECT,
    W_CONNECTED,
    W_FLOOR,
    W_FORMS,
    W_MAXIMUM,
    W_MINIMUM,
    W_NUMERATOR,
    W_PAID,
    W_PAYABLE,
    W_PRICED,
    W_RATE,
    W_REACHED,
    W_STEPS,
    W_TURNS,
    X_BEGAN,
    X_CHARGED,
    X_CONNECTED,
    X_FAMILY,
    X_NUMERATOR,
    X_PAID,
    X_POSITION,
    X_TAX,
    X_TIME,
)
from rating.kernels.pay import collect_nb, post_tax_nb
from rating.kernels.price import connect_nanos_nb, exact_price_nb, rounded_nb, tax_in_nb
from rating.kernels.rollover import PAST
from rating.kernels.sessions import find_session_nb, load_price_nb, session_key_nb, store_price_nb
from rating.kernels.walk import volume_nb, walk_nb
from schemas.codes import RatingStatus, Reason
from schemas.jit import kernel
from schemas.tariff_tables import (
    COUNTER_KEY,
    CYCLE_DAY,
    ENTRY_COUNTER_FIRST,
    ENTRY_FAMILY,
    ENTRY_RATE,
    ENTRY_RATE_FIRST,
    F_SESSION_START,
    F_VOLUME,
    FAMILY_BOUND,
    FAMILY_KEY,
    FAMILY_LATE,
    FAMILY_SCOPE,
    FAMILY_TAX_NUMERATOR,
    FAMILY_UNIT,
    FLAT_STEP,
    NO_CAP,
    RATE_COUNTER,
    RATE_FORM,
    SCOPE_DAY,
    SCOPE_REPORT,
    SCOPE_SESSION,
    TABLES,
)

RATED, FREE, BY_ALLOWANCE, PARTLY_UNCOLLECTED = (int(s) for s in RatingStatus)
BEYOND_BOUND, PERIOD_CLOSED = int(Reason.QUANTITY_BEYOND_BOUND), int(Reason.PERIOD_CLOSED)
SESSION_ROOM = 64  # rows of the table of open sessions that an event's own counters and prices may add


@kernel(None, error_model="numpy", forceinline=True)
def roomless_nb(candidates, progress, posting, scalars, spill, sessions):
    """Whether an event with so many candidates may find too little room for what it brings."""
    return progress[G_POSTED] + 4 * candidates + 10 > posting.shape[1] or (
        scalars[B_SPILLED] + candidates > spill.shape[0]) or (
        4 * (scalars[B_SESSIONS] + candidates + SESSION_ROOM) > 3 * sessions.shape[0])


@kernel(None, error_model="numpy", forceinline=True)
def next_trial_nb(asked, tried, could, payable, beyond):
    """Between the most that could be paid and the least that could not: (what to try next or 0, both, moved).

    Where all of it is too much, one unit is tried next: who has nothing left is told so at once.
    """
    if could:
        payable = tried
    else:
        beyond = tried
    if beyond - payable <= 1:
        return (np.int64(0) if could else payable), payable, beyond
    if not could and tried == asked and payable == 0:
        return np.int64(1), payable, beyond
    return (payable + beyond) // 2, payable, beyond


@kernel(types.void(CELLS_IN, CELLS_OUT, types.int64, TABLES, types.int64, CELLS_OUT, CELLS_OUT, CELLS_OUT,
                   CELLS_OUT, I64_OUT, types.UniTuple(I64_IN, 3), CELLS_OUT, I64_IN, CELLS_OUT, I64_OUT, CELLS_OUT,
                   CELLS_OUT, CELLS_OUT, CELLS_OUT, I64_OUT, PAST),
        error_model="numpy")
def fold_nb(usage, choice, rows, tables, position, records, profile, spill, sessions, scalars, zones, holds,
            currency_of, candidates, walk, marks, rated, posting, notification, progress, past):
    """Charge rows of the choice from progress[G_NEXT] to `rows`, or until `posting`, `notification` or `spill` may lack
    room.

    choice (CHOICE, ...): what `select_nb` found; a reason found here is written back into it. rated: a row for each
    that is charged from progress[G_RATED], own columns only, those of RATED_USUAL where they say something. posting:
    rows from progress[G_POSTED]. notification: rows from progress[G_NOTIFIED]. currency_of: the book's currencies as
    labels. candidates (MAX_CANDIDATES, CANDIDATE_WORDS), walk (WALK,), marks (MAX_COUNTERS, MARK_WORDS): scratch.
    sessions, holds: room for every event. `position` is the journal's. past: see `rating.kernels.rollover`. Legs
    follow their event, and are charged only when that was. What is wanted of a row is in C_ASK: rows that are no usage
    end as NOT_CHARGED.
    """
    at = progress[G_NEXT]
    tried, trial, payable, beyond = np.int64(-1), np.int64(0), np.int64(0), np.int64(0)
    ask_to_fold_nb(usage, choice, at, min(at + SOON, rows), records, profile, sessions)
    while at < rows:
        if at + SOON < rows:
            ask_to_fold_nb(usage, choice, at + SOON, at + SOON + 1, records, profile, sessions)
        leg, ask = choice[C_LEG, at], choice[C_ASK, at]
        if ask != CHARGE:
            if progress[G_ASKED] != at:
                if progress[G_POSTED] + RELEASE_POSTINGS > posting.shape[1]:
                    break
                progress[G_ASKED] = at
                progress[G_FIRST] = progress[G_POSTED]
                if ask <= RELEASE:
                    progress[G_POSTED] = release_nb(holds, scalars, records, profile, spill, sessions, currency_of,
                                                    usage, choice[C_SOURCE, at], position, posting,
                                                    progress[G_POSTED])
                if ask == RELEASE:
                    choice[C_REASON, at] = NOT_CHARGED
            if tried != at:
                tried, trial, payable, beyond = at, choice[C_QUANTITY, at], np.int64(0), choice[C_QUANTITY, at] + 1
        elif leg == 0:
            progress[G_FIRST] = progress[G_POSTED]
        else:
            retail = at - 1
            while choice[C_LEG, retail] > 0:
                retail -= 1
            if choice[C_REASON, retail] != 0 and choice[C_REASON, retail] != CHARGED_BEFORE:
                choice[C_REASON, at] = NOT_CHARGED
        if choice[C_REASON, at] != 0:
            at += 1
            continue
        i = choice[C_SOURCE, at]
        row, entry, shared = choice[C_ROW, at], choice[C_ENTRY, at], choice[C_SHARED_ROW, at]
        own_set, shared_set = choice[C_SET, at], choice[C_SHARED_SET, at]
        worst = np.int64(MAX_CANDIDATES)
        if roomless_nb(worst, progress, posting, scalars, spill, sessions):  # so it is worth counting
            worst = room_nb(tables, profile, row, own_set) + room_nb(tables, profile, shared, shared_set)
            if roomless_nb(worst, progress, posting, scalars, spill, sessions):
                break
        family = tables[ENTRY_FAMILY][entry]
        time_us, quantity = usage[U_TIME, i], trial if ask == RESERVE else choice[C_QUANTITY, at]
        event_hi, event_lo = usage[U_EVENT_HI, i], usage[U_EVENT_LO, i]

        # The session so far.
        account, traits = profile[row, F_ACCOUNT], profile[row, F_TRAITS]
        key = tables[FAMILY_KEY][family]
        first_rate = tables[ENTRY_RATE][tables[ENTRY_RATE_FIRST][entry]]
        form = tables[RATE_FORM][first_rate]
        hi, lo, session = np.int64(0), np.int64(0), np.int64(0)
        partial = usage[U_SESSION_HI, i] != event_hi or usage[U_SESSION_LO, i] != event_lo
        known = False
        if partial:
            hi, lo = session_key_nb(usage[U_SESSION_HI, i], usage[U_SESSION_LO, i], usage[U_GROUP, i],
                                    usage[U_SERVICE_ID, i])
            if leg > 0:
                hi, lo = row_key_nb(LEG, hi, lo, leg)
            session = find_session_nb(sessions, hi, lo)
            known = session >= 0
        before, began_us, price_row = np.int64(0), time_us, np.int64(-1)
        walk[:] = 0
        fresh = known and time_us - sessions[session, X_TIME] > scalars[B_HORIZON]
        if known and not fresh:
            before, began_us = sessions[session, X_POSITION], sessions[session, X_BEGAN]
            walk[W_PAID] = sessions[session, X_PAID]
            walk[W_CONNECTED] = sessions[session, X_CONNECTED] & CONNECTED
            if sessions[session, X_FAMILY] == key:
                price_row = session
        if quantity > tables[FAMILY_BOUND][family] - before:
            choice[C_REASON, at] = BEYOND_BOUND
            at += 1
            continue

        # What it counts on, and whether its price does.
        start_at, over, met = before, np.int64(-1), np.int64(0)
        over_hi, over_lo = np.int64(0), np.int64(0)
        if tables[ENTRY_COUNTER_FIRST][entry + 1] > tables[ENTRY_COUNTER_FIRST][entry]:
            if progress[G_NOTIFIED] + thresholds_of_nb(tables, entry) > notification.shape[1]:
                break
            met = meet_counters_nb(tables, entry, tables[FAMILY_LATE][family], traits, account, zones, scalars,
                                   time_us, marks)
            if met < 0:
                choice[C_REASON, at] = PERIOD_CLOSED
                at += 1
                continue
            for m in range(met):
                if marks[m, M_COUNTER] == tables[RATE_COUNTER][first_rate]:
                    over = np.int64(m)
        if over >= 0:
            place = find_session_nb(sessions, marks[over, M_HI], marks[over, M_LO])
            start_at = sessions[place, X_POSITION] if place >= 0 else np.int64(0)
            over_hi, over_lo = row_key_nb(PRICE, key ^ tables[COUNTER_KEY][marks[over, M_COUNTER]], account,
                                          marks[over, M_DAY])
            price_row = find_session_nb(sessions, over_hi, over_lo)
            walk[W_PAID] = max(start_at, sessions[price_row, X_PAID]) if price_row >= 0 else start_at
        charged, taxed = np.int64(0), np.int64(0)
        if price_row >= 0:
            load_price_nb(sessions, price_row, walk)
            charged, taxed = sessions[price_row, X_CHARGED], sessions[price_row, X_TAX]
        scope = tables[FAMILY_SCOPE][family] if over < 0 else SCOPE_SESSION
        scope_sum, day, day_hi, day_lo = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        day_end_us = np.int64(0)
        if scope == SCOPE_DAY:
            day = local_day_nb(zones, traits, time_us)
            day_end_us = end_us_nb(zones, traits, CYCLE_DAY, day)
            if day_end_us < max(scalars[B_CLOCK] - scalars[B_HORIZON], scalars[B_GONE]):
                scope = SCOPE_REPORT  # that day's row may be forgotten: its usage is rounded on its own
        if scope == SCOPE_DAY:
            day_hi, day_lo = row_key_nb(DAY, key, account, day)
            place = find_session_nb(sessions, day_hi, day_lo)
            charged, taxed = np.int64(0), np.int64(0)
            if place >= 0:
                scope_sum = sessions[place, X_NUMERATOR]
                charged, taxed = sessions[place, X_CHARGED], sessions[place, X_TAX]
        if (scope_sum > GUARD or (over >= 0 and walk[W_NUMERATOR] > GUARD)
                or quantity > tables[FAMILY_BOUND][family] - start_at):
            choice[C_REASON, at] = BEYOND_BOUND
            at += 1
            continue
        paid_before, numerator_before = walk[W_PAID], walk[W_NUMERATOR]
        minimum_before, steps_before = walk[W_MINIMUM], walk[W_STEPS]
        exact_before = np.int64(0)
        if scope != SCOPE_SESSION:
            exact_before = exact_price_nb(tables, family, walk[W_NUMERATOR], walk[W_MINIMUM], walk[W_MAXIMUM])

        count, posted = gather_nb(tables, records, profile, spill, scalars, zones, sessions, row, own_set, shared,
                                  shared_set, family, choice[C_CURRENCY, at], time_us, event_hi, event_lo, position,
                                  posting, progress[G_POSTED], progress[G_POSTED] - progress[G_FIRST], candidates, walk,
                                  past)
        if count < 0:
            choice[C_REASON, at] = PERIOD_CLOSED
            at += 1
            continue
        index = posted - progress[G_FIRST]
        if form & F_VOLUME:
            volume_nb(tables, entry, time_us, start_at + quantity, walk)
        else:
            walk_nb(tables, entry, tables[FAMILY_UNIT][family], time_us, began_us, start_at, start_at + quantity,
                    records, spill, candidates, count, walk)

        # One rounding of what is rounded once; this report owes the difference.
        exact = exact_price_nb(tables, family, walk[W_NUMERATOR], walk[W_MINIMUM], walk[W_MAXIMUM])
        if scope == SCOPE_SESSION:
            price = rounded_nb(tables, family, exact)
        elif scope == SCOPE_REPORT:
            charged, taxed = np.int64(0), np.int64(0)
            price = rounded_nb(tables, family, exact - exact_before)
        else:
            price = rounded_nb(tables, family, scope_sum + exact - exact_before)
        due, tax = price - charged, np.int64(-1)
        blocked = np.int64(0)
        if walk[W_BLOCKED]:  # what came behind a used-up bucket that blocks is nobody's to pay
            exact_open = exact_price_nb(tables, family, walk[W_PAYABLE], walk[W_FLOOR], walk[W_MAXIMUM])
            if scope == SCOPE_REPORT:
                exact_open -= exact_before
            elif scope == SCOPE_DAY:
                exact_open += scope_sum - exact_before
            blocked = min(max(price - rounded_nb(tables, family, exact_open), np.int64(0)), max(due, np.int64(0)))

        # Who pays: units taken, then money, own before shared, then what no balance covers.
        currency, kept = choice[C_CURRENCY, at], posted
        first_bucket, posted, index = post_taken_nb(profile, spill, scalars, zones, sessions, candidates, count,
                                                    account, time_us, event_hi, event_lo, position, posting, posted,
                                                    index)
        left, posted = collect_nb(tables, records, profile, spill, candidates, count, walk[W_FORMS], family, row,
                                  shared, due, blocked, currency, time_us, event_hi, event_lo, position, posting,
                                  posted, index)
        if ask != CHARGE:
            choice[C_DUE, at] = due
        if ask > REPORT:
            if ask == DEBIT and left == 0:
                choice[C_GRANTED, at] = quantity
            else:
                # No grant goes beyond where a maximum ends the session, nor takes of more than a hold has room for.
                could = left == 0 and posted - kept <= 2 * MAX_ENTRIES and (
                    walk[W_CONNECTED] & DISCONNECTS == 0 or not 0 < walk[W_REACHED] < start_at + quantity)
                if ask == RESERVE and could and beyond - quantity <= 1 and quantity >= min(
                        choice[C_LEAST, at], choice[C_QUANTITY, at]):
                    hold_nb(holds, scalars, profile, candidates, count, row, shared, hi, lo, quantity, posting, kept,
                            posted)
                    choice[C_GRANTED, at] = quantity
                else:
                    undo_nb(records, profile, spill, sessions, candidates, count, row, shared, posting, kept, posted)
                    if ask == RESERVE:
                        trial, payable, beyond = next_trial_nb(choice[C_QUANTITY, at], quantity, could, payable,
                                                               beyond)
                        if trial > 0:
                            progress[G_POSTED] = kept
                            continue
                    choice[C_GRANTED, at] = quantity if ask > DEBIT and left == 0 else np.int64(0)
                progress[G_POSTED] = kept
                choice[C_REASON, at] = NOT_CHARGED
                at += 1
                continue

        # What is remembered of it.
        if tables[FAMILY_TAX_NUMERATOR][family] != 0:
            tax = tax_in_nb(tables, family, price) - taxed
            taxed += tax
        if partial:
            if not known:
                session = find_or_add_nb(sessions, scalars, hi, lo)
            if fresh or not known:
                sessions[session, X_BEGAN] = time_us
                sessions[session, X_TIME] = time_us
                sessions[session, X_PAID] = 0
                sessions[session, X_FAMILY] = 0
                sessions[session, X_CONNECTED] = 0
            if over < 0:
                # What lies within what was billed already begins no new price, whatever its terms.
                if price_row >= 0 or walk[W_PAID] > paid_before:
                    sessions[session, X_PAID] = walk[W_PAID]
                    sessions[session, X_FAMILY] = key
                    sessions[session, X_CHARGED] = price if scope == SCOPE_SESSION else np.int64(0)
                    sessions[session, X_TAX] = taxed if scope == SCOPE_SESSION else np.int64(0)
                    store_price_nb(sessions, session, walk)
            else:
                sessions[session, X_PAID] = max(sessions[session, X_PAID], before + quantity)
                sessions[session, X_CONNECTED] = (sessions[session, X_CONNECTED] & DISCONNECTS
                                                  | walk[W_CONNECTED] & CONNECTED)
            sessions[session, X_POSITION] = before + quantity
            sessions[session, X_TIME] = max(time_us, sessions[session, X_TIME])
        if over >= 0:
            place = find_or_add_nb(sessions, scalars, over_hi, over_lo)
            sessions[place, X_PAID] = walk[W_PAID]
            sessions[place, X_CHARGED] = price
            sessions[place, X_TAX] = taxed
            sessions[place, X_TIME] = marks[over, M_END]
            store_price_nb(sessions, place, walk)
        elif scope == SCOPE_DAY:
            place = find_or_add_nb(sessions, scalars, day_hi, day_lo)
            sessions[place, X_NUMERATOR] = scope_sum + exact - exact_before
            sessions[place, X_CHARGED] = price
            sessions[place, X_TAX] = taxed
            sessions[place, X_TIME] = day_end_us
        if met > 0:
            progress[G_NOTIFIED] = count_nb(tables, marks, met, sessions, scalars, account, quantity, due, time_us,
                                            event_hi, event_lo, position, notification, progress[G_NOTIFIED])

        if tax != -1:
            posted = post_tax_nb(account, tax, currency, time_us, event_hi, event_lo, position, posting, posted,
                                 posted - progress[G_FIRST])
        if leg > 0:
            for p in range(progress[G_POSTED], posted):
                posting[P_LEG, p] = leg
        progress[G_POSTED] = posted
        progress[G_TURNS] += walk[W_TURNS]

        k = progress[G_RATED]
        ask_to_write_nb(rated, k)
        rated[R_VERSION, k] = choice[C_VERSION, at]
        rated[R_PLAN, k] = choice[C_PLAN, at]
        rated[R_ZONE, k] = choice[C_ZONE, at]
        rated[R_BAND, k] = walk[W_BAND]
        rated[R_RATE, k] = walk[W_RATE]
        rated[R_QUANTITY_BEFORE, k] = before
        rated[R_BILLED_BEFORE, k] = paid_before
        rated[R_NUMERATOR_BEFORE, k] = numerator_before
        rated[R_CHARGED_BEFORE, k] = charged
        # The last flat slot has no end: what was billed of it is what was used.
        rated[R_BILLED, k] = ((walk[W_PAID] if walk[W_PAID] < FLAT_STEP else start_at + quantity)
                              - (paid_before if paid_before < FLAT_STEP else start_at))
        rated[R_ALLOWANCE, k] = walk[W_ALLOWANCE]
        rated[R_BUCKET, k] = first_bucket
        rated[R_CONNECT, k] = connect_nanos_nb(tables, family, walk[W_CONNECT])
        rated[R_CHARGE, k] = due
        rated[R_UNCOLLECTED, k] = left
        rated[R_CURRENCY, k] = currency
        if leg > 0:
            rated[R_LEG, k] = leg
        if tax != -1:
            rated[R_TAX, k] = tax
        if 0 < walk[W_REACHED] < FLAT_STEP:
            rated[R_REACHED, k] = walk[W_REACHED]
        if over >= 0:
            rated[R_COUNTER_BEFORE, k] = start_at
        if scope == SCOPE_DAY:
            rated[R_SCOPE_BEFORE, k] = scope_sum
        if form & F_SESSION_START:
            rated[R_BEGAN, k] = began_us
        if minimum_before > 0:
            rated[R_MINIMUM_BEFORE, k] = minimum_before
        if 0 < walk[W_MAXIMUM] < NO_CAP:
            rated[R_MAXIMUM, k] = walk[W_MAXIMUM]
        if form & F_VOLUME:
            rated[R_STEPS_BEFORE, k] = steps_before
        if left > 0:
            rated[R_STATUS, k] = PARTLY_UNCOLLECTED
        elif due != 0:
            rated[R_STATUS, k] = RATED
        elif walk[W_ALLOWANCE] > 0:
            rated[R_STATUS, k] = BY_ALLOWANCE
        else:
            rated[R_STATUS, k] = RATED if walk[W_PRICED] == 1 else FREE
        progress[G_RATED] = k + 1
        at += 1
    progress[G_NEXT] = at
