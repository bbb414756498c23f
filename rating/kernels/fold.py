"""Charging: events in order, each folded into its session, its account's buckets and its money.

Gather the buckets that may cover it, walk its session, price the walk, collect what is due, and write down all of it.
"""

import numpy as np
from numba import types

from rating.kernels.candidates import gather_nb, post_taken_nb
from rating.kernels.layout import (
    B_HORIZON,
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
    F_CREDIT,
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
    U_EVENT_HI,
    U_EVENT_LO,
    U_GROUP,
    U_QUANTITY,
    U_SERVICE_ID,
    U_SESSION_HI,
    U_SESSION_LO,
    U_TIME,
    W_ALLOWANCE,
    W_BAND,
    W_CONNECT,
    W_CONNECTED,
    W_MINIMUM,
    W_NUMERATOR,
    W_PAID,
    W_PRICED,
    W_RATE,
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
from rating.kernels.pay import collect_nb
from rating.kernels.price import round_nb
from rating.kernels.sessions import find_session_nb, session_key_nb
from rating.kernels.walk import walk_nb
from schemas.codes import RatingStatus, Reason
from schemas.jit import kernel
from schemas.tariff_tables import (
    ENTRY_FAMILY,
    FAMILY_BOUND,
    FAMILY_DENOMINATOR,
    FAMILY_KEY,
    FAMILY_QUANTUM,
    FAMILY_RULE,
    FAMILY_UNIT,
    SET_FIRST,
    TABLES,
    VERSION_CURRENCY,
)

RATED, FREE, BY_ALLOWANCE, PARTLY_UNCOLLECTED = (int(s) for s in RatingStatus)
BEYOND_BOUND = int(Reason.QUANTITY_BEYOND_BOUND)
BLOCK = 256


@kernel(types.void(CELLS_IN, types.int64, types.int64, CELLS_OUT, TABLES, types.int64, CELLS_OUT, CELLS_OUT, CELLS_OUT,
                   CELLS_OUT, I64_OUT, types.UniTuple(I64_IN, 3), CELLS_OUT, I64_OUT, CELLS_OUT, CELLS_OUT, I64_OUT),
        error_model="numpy")
def fold_nb(usage, start, stop, choice, tables, position, records, profile, spill, sessions, scalars, zones,
            candidates, walk, rated, posting, progress):
    """Charge usage rows from progress[G_NEXT] to stop, or until `posting` or `spill` may lack room.

    choice (CHOICE, stop - start): what `select_nb` found; a reason found here is written back into it. rated: a row
    for each charged event from progress[G_RATED], its own columns only. posting: rows from progress[G_POSTED].
    candidates (MAX_CANDIDATES, CANDIDATE_WORDS) and walk (WALK,) are scratch. sessions has room for every
    event; `position` is the journal's.
    """
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

        count, posted = gather_nb(tables, records, profile, spill, scalars, zones, row, own_set, shared, shared_set,
                                  time_us, event_hi, event_lo, position, posting, progress[G_POSTED], candidates)
        index = posted - progress[G_POSTED]
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
        first_bucket, posted, index = post_taken_nb(profile, candidates, count, time_us, event_hi, event_lo, position,
                                                    posting, posted, index)
        left, posted = collect_nb(tables, records, profile, family, row, shared, due, currency, time_us, event_hi,
                                  event_lo, position, posting, posted, index)
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
