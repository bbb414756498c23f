"""Many ticks of requests in one call: what `OnlineDesk.serve` does with one, tick by tick, with the same kernels.

A replay has all ticks at hand, and their fixed cost in Python is a hundred times what their requests cost. Each tick is
planned, folded and answered before the next is looked at, so nothing is different from one call for each. The
caller is asked for room before a tick begins, or in its midst where the fold stops for it, and goes on where it was.
"""

from numba import types

from rating.kernels.choices import answer_nb, ask_nb
from rating.kernels.fold import fold_nb
from rating.kernels.layout import (
    B_HOLDS,
    B_SESSIONS,
    C_REASON,
    C_ROW,
    C_SOURCE,
    G_ASKED,
    G_NEXT,
    G_NOTIFIED,
    G_POSTED,
    G_RATED,
    I32_IN,
    OWN,
    STATE,
    U_ACCOUNT,
)
from rating.kernels.maintain import find_account_nb
from rating.kernels.online import plan_online_nb, room_online_nb
from rating.kernels.online_answers import conclude_online_nb
from rating.kernels.online_layout import (
    A_SESSION,
    N_SECOND,
    N_SERVICE_TOP,
    N_SESSION_TOP,
    N_SESSIONS,
    O_ACCOUNT,
)
from rating.kernels.rollover import PAST
from rating.kernels.select import select_nb
from schemas.codes import AccountState
from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, kernel
from schemas.online import REQUEST
from schemas.rated import RATED
from schemas.tariff_tables import TABLES

COLUMNS = len(REQUEST.columns)
POSITION = RATED.index("journal_position") - OWN
ACTIVE = int(AccountState.ACTIVE)

# Where it is: next tick; whether that is begun, and so planned; rows of its fold, and how many of them are through;
# whether a piece of them is being folded, and rated rows before that piece and before the tick; whether states of its
# accounts are to be looked at; how many rows of the fold it may need. Then, of all ticks so far: rows of `grants` and
# of `aside`, and events that were charged or set aside.
(T_NEXT, T_BEGUN, T_ROWS, T_LOW, T_FOLDING, T_PIECE, T_BEFORE, T_LOOK, T_ROOM, T_GRANTS, T_ASIDE,
 T_EVENTS) = range(12)
MANY_WORDS = 12
# What it returns: all ticks are through; it needs room; a tick is through (rated rows from T_BEFORE on) whose accounts'
# states are to be looked at before the next.
THROUGH, ROOM, STATES = range(3)
# Terms: seconds of rules; rows of the table of open sessions that an event may add, and that stay free beyond; most
# notifications of an event; rows that are selected at once; whether states are looked at whatever they are, or not at
# all, since all accounts are active; whether `grants` are wanted.
(K_SUPERVISION, K_REMEMBER, K_ADDS, K_SPARE, K_NOTIFIED, K_PIECE, K_LOOK, K_ACTIVE, K_GRANTS) = range(9)
TERMS = 9


@kernel(None, error_model="numpy")
def has_room_nb(count, many, progress, terms, scalars, book_sessions, holds, index, sessions, services, counts, fold,
                rated, posting, notification, grants, aside):
    """Whether the next tick, of `count` requests, may begin."""
    room = many[T_ROOM]
    return (room <= fold.shape[1]
            and counts[N_SESSION_TOP] + count <= sessions.shape[0]
            and counts[N_SERVICE_TOP] + count <= services.shape[0]
            and 2 * (counts[N_SESSIONS] + count) <= index.size
            and 4 * (scalars[B_HOLDS] + room) <= 3 * holds.shape[0]
            and 4 * (scalars[B_SESSIONS] + room * terms[K_ADDS] + terms[K_SPARE]) <= 3 * book_sessions.shape[0]
            and progress[G_RATED] + room <= rated.shape[1]
            and progress[G_POSTED] + count <= posting.shape[1]
            and progress[G_NOTIFIED] + terms[K_NOTIFIED] <= notification.shape[1]
            and many[T_GRANTS] + count <= grants.shape[1]
            and many[T_ASIDE] + room <= aside.shape[1])


@kernel(None, error_model="numpy")
def keep_origins_nb(fold, choice, rows, usage, k, aside, put):
    """Usage columns of the rows of a piece that were charged, in `usage` from `k` on; those of the rows that are set
    aside, with their reason, in `aside` from `put` on. Returns where the latter end."""
    for i in range(rows):
        reason, source = choice[C_REASON, i], choice[C_SOURCE, i]
        if reason == 0:
            for c in range(OWN):
                usage[c, k] = fold[c, source]
            k += 1
        elif reason > 0:
            for c in range(OWN):
                aside[c, put] = fold[c, source]
            aside[OWN, put] = reason
            put += 1
    return put


@kernel(None, error_model="numpy")
def copied_nb(rows, made, out, at):
    """The first `made` rows in `out` from `at` on; returns where they end."""
    for c in range(rows.shape[0]):
        for i in range(made):
            out[c, at + i] = rows[c, i]
    return at + made


@kernel(types.int64(
    I64_OUT, types.UniTuple(I64_IN, 5), I64_IN, CELLS_IN, I64_IN, CELLS_IN,
    TABLES, I32_IN, I64_IN, types.UniTuple(I64_IN, 4), PAST, CELLS_IN,
    CELLS_IN, CELLS_OUT, CELLS_OUT, CELLS_OUT, CELLS_OUT, I64_OUT, types.UniTuple(I64_IN, 3), CELLS_OUT, CELLS_IN,
    I64_OUT, CELLS_OUT, CELLS_OUT, CELLS_OUT, I64_OUT, I64_OUT,
    CELLS_OUT, CELLS_OUT, CELLS_OUT, types.UniTuple(I64_OUT, 8), CELLS_OUT, CELLS_OUT, I64_OUT,
    CELLS_OUT, CELLS_OUT, CELLS_OUT,
    CELLS_OUT, CELLS_OUT, CELLS_OUT, CELLS_OUT, CELLS_OUT, CELLS_OUT, I64_OUT, I64_OUT), error_model="numpy")
def serve_many_nb(requests, ticks, terms, rules, offline, refusals,
                  tables, slots, leaves, places, past, no_legs,
                  accounts, records, profile, spill, book_sessions, scalars, zones, holds, friends,
                  index, sessions, services, given, counts, wheel,
                  fold, plan, choice, of_rows, candidates, marks, walk,
                  answer, grant, moved,
                  usage, rated, posting, notification, grants, aside, progress, many):
    """Serve ticks from many[T_NEXT] on; returns THROUGH, ROOM or STATES.

    requests: ticks one behind the other, each a matrix of REQUEST columns. ticks: first row of each and where the last
    ends; journal position and time of each; of each request the version at its time, and when a tariff changes next.
    no_legs (2, 0). Scratch for the rows of one tick: fold to moved; of_rows: asked, least, granted, due, reason,
    account row, final, made. What it comes to: usage and rated from progress[G_RATED] on, posting, notification, grants
    from many[T_GRANTS] on, aside (columns of usage, reason) from many[T_ASIDE] on.
    """
    first, position, received_us, version, change_us = ticks
    ask, least, granted, due, reason, account_row, final, made = of_rows
    while many[T_NEXT] < position.size:
        t = many[T_NEXT]
        begin, end = first[t], first[t + 1]
        count = end - begin
        request = requests[COLUMNS * begin:COLUMNS * end].reshape((COLUMNS, count))
        if many[T_BEGUN] == 0:
            many[T_ROOM] = room_online_nb(request, index, sessions, services)
            if not has_room_nb(count, many, progress, terms, scalars, book_sessions, holds, index, sessions, services,
                               counts, fold, rated, posting, notification, grants, aside):
                return ROOM
            if counts[N_SECOND] == 0:
                counts[N_SECOND] = received_us[t] // 1_000_000
            many[T_ROWS] = plan_online_nb(request, received_us[t], position[t], terms[K_SUPERVISION],
                                          terms[K_REMEMBER], rules, offline, refusals, version[begin:end], accounts,
                                          records, index, sessions, services, counts, wheel, fold, ask, least, plan)
            many[T_BEGUN], many[T_LOW], many[T_FOLDING], many[T_LOOK] = 1, 0, 0, terms[K_LOOK]
            many[T_BEFORE] = progress[G_RATED]
        while many[T_LOW] < many[T_ROWS]:
            low = many[T_LOW]
            rows = min(terms[K_PIECE], many[T_ROWS] - low)
            if many[T_FOLDING] == 0:
                select_nb(fold, low, low + rows, tables, slots, leaves, accounts, profile, past[0], friends, past[1],
                          places, no_legs, choice)
                ask_nb(choice, rows, ask, least, low)
                progress[G_NEXT], progress[G_ASKED] = 0, -1
                many[T_FOLDING], many[T_PIECE] = 1, progress[G_RATED]
            fold_nb(fold, choice, rows, tables, position[t], records, profile, spill, book_sessions, scalars, zones,
                    holds, places[0], candidates, walk, marks, rated, posting, notification, progress, past)
            if progress[G_NEXT] < rows:
                return ROOM
            many[T_FOLDING] = 0
            many[T_EVENTS] += rows - answer_nb(choice, rows, low, granted, due, reason)
            many[T_ASIDE] = keep_origins_nb(fold, choice, rows, usage, many[T_PIECE], aside, many[T_ASIDE])
            if terms[K_ACTIVE] == 0 and many[T_LOOK] == 0:
                for i in range(rows):
                    if choice[C_REASON, i] == 0 and records[choice[C_ROW, i], STATE] != ACTIVE:
                        many[T_LOOK] = 1
            many[T_LOW] = low + rows
        if progress[G_POSTED] + 2 * count > posting.shape[1]:
            return ROOM
        for k in range(many[T_BEFORE], progress[G_RATED]):
            rated[POSITION, k] = position[t]
        for i in range(count):
            account = request[U_ACCOUNT, i]
            if account == ABSENT:
                account = sessions[plan[A_SESSION, i], O_ACCOUNT]
            account_row[i] = find_account_nb(accounts, account)
        conclude_online_nb(request, plan, granted, due, reason, rules, received_us[t], position[t],
                           change_us[begin:end], account_row, records, profile, places[0], sessions, services, given,
                           counts, answer, grant, moved, final, made)
        progress[G_POSTED] = copied_nb(moved, made[1], posting, progress[G_POSTED])
        if terms[K_GRANTS] != 0:
            many[T_GRANTS] = copied_nb(grant, made[0], grants, many[T_GRANTS])
        many[T_BEGUN] = 0
        many[T_NEXT] = t + 1
        if many[T_LOOK] != 0 and progress[G_RATED] > many[T_BEFORE]:
            return STATES
    return THROUGH
