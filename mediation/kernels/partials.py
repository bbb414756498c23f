"""Open sessions in arrays: which record sequence numbers were seen, what is held, when patience ends.

sessions (s, WIDTH) row-major, found by an open-addressed `index` of rows; groups (g, usage columns + 1), what is held
of a session per rating group, service identifier and serving network, a linked list in that order; queue (q, 3),
deadlines first in, first out, stale entries known by their activity number. `counters` holds the sizes.
"""

import numpy as np
from numba import types

from schemas.codes import RecordType, Unit
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, U8_IN, kernel
from schemas.usage import ORIGIN, USAGE

ABSENT = -1
PASS, HELD, OVERLAP, COVERED, SILENT = range(5)  # what becomes of a container
OPEN, RELEASED, WATCHED = 1, 2, 3        # state of a session; WATCHED: nothing is held, only sequences are known
NO_FINAL, FINAL_UNNUMBERED = -1, -2
ZERO_SEEN, MISSED = 1, 2                 # flaws

(HI, LO, CONTIGUOUS, WINDOW, FLAWS, FINAL, ACTIVITY, DEADLINE, STATE, UP, DOWN, DURATION, FIRST_GROUP,
 TOUCHED) = range(14)
WIDTH = 14
(SESSIONS, SESSION_TOP, FREE_SESSION, GROUP_TOP, FREE_GROUP, QUEUE_HEAD, QUEUE_TAIL, LAST_ACTIVITY, WATERMARK,
 EMITTED, RELEASED_ROWS, MERGED_ROWS, TOUCHED_ROWS, BATCH, GROUPS, BOUNDARY) = range(16)
COUNTERS = 16
UNTIL_FINAL, PATIENCE_US, TOTALS, RECYCLED, CLOCK_US = range(5)  # settings; TOTALS 0 never, 1 always, 2 by record type

_COLUMNS = len(USAGE.columns)
NEXT = _COLUMNS
GROUP_WIDTH = _COLUMNS + 1
_ORIGIN = len(ORIGIN)
_U_SOURCE, _U_FILE, _U_OFFSET = (USAGE.index(n) for n in ("source", "file_id", "record_offset"))
_U_HI, _U_LO = USAGE.index("session_hi"), USAGE.index("session_lo")
_U_ID_HI, _U_ID_LO = USAGE.index("event_id_hi"), USAGE.index("event_id_lo")
_U_SEQUENCE, _U_CAUSE = USAGE.index("partial_sequence"), USAGE.index("cause_for_closing")
_U_LOCAL, _U_TYPE = USAGE.index("local_sequence"), USAGE.index("record_type")
_U_START, _U_END, _U_DURATION = (USAGE.index(n) for n in ("event_time_us", "end_time_us", "duration_s"))
_U_UP, _U_DOWN, _U_QUANTITY = (USAGE.index(n) for n in ("uplink_octets", "downlink_octets", "quantity"))
_U_UNIT, _U_COUNT, _U_INCOMPLETE = (USAGE.index(n) for n in ("unit", "merged_count", "incomplete"))
_U_GROUP, _U_SERVICE = USAGE.index("rating_group"), USAGE.index("service_identifier")
_U_PLMN = USAGE.index("serving_plmn")
WIFI = int(RecordType.WIFI)
_OCTET, _SECOND = int(Unit.OCTET), int(Unit.SECOND)
_ONE = np.uint64(1)


@kernel(None)
def is_final_nb(cause):
    """No further partial follows: normal release, unsuccessful attempt, abnormal release, CAMEL release."""
    return cause == 0 or 3 <= cause <= 5


@kernel(None)
def find_nb(hi, lo, sessions, index):
    """Place in `index` that holds the session, or the free place where it belongs."""
    mask = index.size - 1
    place = lo & mask
    while index[place] != ABSENT and (sessions[index[place], HI] != hi or sessions[index[place], LO] != lo):
        place = place + 1 & mask
    return place


@kernel(None)
def open_session_nb(place, hi, lo, sessions, index, counters):
    """A new session at a free place of `index`."""
    row = counters[FREE_SESSION]
    if row == ABSENT:
        row = counters[SESSION_TOP]
        counters[SESSION_TOP] += 1
    else:
        counters[FREE_SESSION] = sessions[row, FIRST_GROUP]
    counters[SESSIONS] += 1
    index[place] = row
    sessions[row, :] = 0
    sessions[row, HI], sessions[row, LO], sessions[row, FINAL] = hi, lo, NO_FINAL
    sessions[row, FIRST_GROUP], sessions[row, TOUCHED] = ABSENT, ABSENT
    return row


@kernel(None)
def _forget_nb(row, sessions, index, counters):
    """Remove a session that holds nothing; places behind it move up, so that no search breaks off."""
    mask = index.size - 1
    free = find_nb(sessions[row, HI], sessions[row, LO], sessions, index)
    index[free] = ABSENT
    place = free + 1 & mask
    while index[place] != ABSENT:
        home = sessions[index[place], LO] & mask
        if (place - home & mask) >= (place - free & mask):
            index[free] = index[place]
            index[place] = ABSENT
            free = place
        place = place + 1 & mask
    sessions[row, STATE], sessions[row, ACTIVITY] = 0, 0
    sessions[row, FIRST_GROUP] = counters[FREE_SESSION]
    counters[FREE_SESSION] = row
    counters[SESSIONS] -= 1


@kernel(None)
def _touch_nb(row, sessions, touched, counters):
    if sessions[row, TOUCHED] != counters[BATCH]:
        sessions[row, TOUCHED] = counters[BATCH]
        touched[counters[TOUCHED_ROWS]] = row
        counters[TOUCHED_ROWS] += 1


@kernel(None)
def _wait_nb(row, patience, sessions, queue, counters):
    """Patience begins anew at the watermark."""
    counters[LAST_ACTIVITY] += 1
    sessions[row, ACTIVITY] = counters[LAST_ACTIVITY]
    sessions[row, DEADLINE] = counters[WATERMARK] + patience
    tail = counters[QUEUE_TAIL]
    queue[tail, 0], queue[tail, 1], queue[tail, 2] = row, sessions[row, ACTIVITY], sessions[row, DEADLINE]
    counters[QUEUE_TAIL] += 1


@kernel(None)
def _release_nb(row, incomplete, sessions, groups, counters, held_by_source, emits, released):
    """Emit what a session holds, in the order of its list."""
    group = sessions[row, FIRST_GROUP]
    while group != ABSENT:
        out = counters[RELEASED_ROWS]
        for column in range(_COLUMNS):
            released[out, column] = groups[group, column]
        released[out, _U_INCOMPLETE] = incomplete
        held_by_source[groups[group, _U_SOURCE]] -= 1
        emits[counters[EMITTED]] = ~out
        counters[RELEASED_ROWS] += 1
        counters[EMITTED] += 1
        following = groups[group, NEXT]
        groups[group, NEXT] = counters[FREE_GROUP]
        counters[FREE_GROUP] = group
        counters[GROUPS] -= 1
        group = following
    sessions[row, FIRST_GROUP] = ABSENT


@kernel(None)
def _gap_nb(row, sessions):
    """Whether a number below the highest seen is missing."""
    return sessions[row, WINDOW] != 0 or sessions[row, FLAWS] & MISSED != 0


@kernel(None)
def _complete_nb(row, sessions):
    final = sessions[row, FINAL]
    if final == FINAL_UNNUMBERED:
        return not _gap_nb(row, sessions)
    return final != NO_FINAL and sessions[row, CONTIGUOUS] >= final and not _gap_nb(row, sessions)


@kernel(None)
def _cycle_end_nb(sessions, groups, queue, counters, held_by_source, emits, released, touched):
    """A cycle ends: what is held is due; its sessions go on."""
    for entry in range(counters[QUEUE_HEAD], counters[QUEUE_TAIL]):
        row = queue[entry, 0]
        if sessions[row, ACTIVITY] == queue[entry, 1] and sessions[row, FIRST_GROUP] != ABSENT:
            _release_nb(row, 1 if _gap_nb(row, sessions) else 0, sessions, groups, counters, held_by_source, emits,
                        released)
            _touch_nb(row, sessions, touched, counters)


@kernel(None)
def _advance_nb(watermark, settings, boundaries, sessions, index, groups, queue, counters, held_by_source, emits,
                released, touched):
    """Record time moves on: sessions whose patience ends are released, or, released before, forgotten."""
    while True:
        head = counters[QUEUE_HEAD]
        due = head < counters[QUEUE_TAIL] and queue[head, 2] <= watermark
        cycle = counters[BOUNDARY] < boundaries.size and boundaries[counters[BOUNDARY]] <= watermark
        if cycle and (not due or boundaries[counters[BOUNDARY]] < queue[head, 2]):
            counters[WATERMARK] = max(counters[WATERMARK], boundaries[counters[BOUNDARY]])
            counters[BOUNDARY] += 1
            _cycle_end_nb(sessions, groups, queue, counters, held_by_source, emits, released, touched)
            continue
        if not due:
            break
        counters[QUEUE_HEAD] += 1
        row = queue[head, 0]
        if sessions[row, STATE] == 0 or sessions[row, ACTIVITY] != queue[head, 1]:
            continue
        # The time at which it was due, not that of the record that showed it: how far a record jumps can't matter.
        counters[WATERMARK] = max(counters[WATERMARK], queue[head, 2])
        if sessions[row, STATE] == OPEN:
            _release_nb(row, 0 if _complete_nb(row, sessions) else 1, sessions, groups, counters, held_by_source, emits,
                        released)
            sessions[row, STATE] = RELEASED
            _touch_nb(row, sessions, touched, counters)
            _wait_nb(row, settings[PATIENCE_US], sessions, queue, counters)
        else:
            _forget_nb(row, sessions, index, counters)
    counters[WATERMARK] = max(counters[WATERMARK], watermark)


@kernel(None)
def _mark_nb(row, sequence, sessions):
    """Note a record sequence number; False when it was seen before, or lies below what can still be told."""
    if sequence == 0:
        if sessions[row, FLAWS] & ZERO_SEEN:
            return False
        sessions[row, FLAWS] |= ZERO_SEEN
        return True
    ahead = sequence - sessions[row, CONTIGUOUS] - 1
    if ahead < 0:
        return False
    window = np.uint64(sessions[row, WINDOW])
    if ahead >= 64:  # slide; what was missed on the way stays missed
        slide = ahead - 63
        window = window >> np.uint64(slide) if slide < 64 else np.uint64(0)
        sessions[row, CONTIGUOUS] += slide
        sessions[row, FLAWS] |= MISSED
        ahead = 63
    bit = _ONE << np.uint64(ahead)
    if window & bit:
        return False
    window |= bit
    while window & _ONE:
        window >>= _ONE
        sessions[row, CONTIGUOUS] += 1
    sessions[row, WINDOW] = np.int64(window)
    return True


@kernel(None)
def _difference_nb(row, k, sessions, usage):
    """Replace totals by what is new since the last report; False when nothing is."""
    new = False
    for column, place in ((_U_UP, UP), (_U_DOWN, DOWN), (_U_DURATION, DURATION)):
        total = max(usage[column, k], 0)
        grown = max(total - sessions[row, place], 0)
        sessions[row, place] = max(sessions[row, place], total)
        new = new or grown > 0
        if usage[column, k] != ABSENT:
            usage[column, k] = grown
    if usage[_U_UNIT, k] == _OCTET:
        usage[_U_QUANTITY, k] = max(usage[_U_UP, k], 0) + max(usage[_U_DOWN, k], 0)
    elif usage[_U_UNIT, k] == _SECOND:
        usage[_U_QUANTITY, k] = max(usage[_U_DURATION, k], 0)
    return new


@kernel(None)
def _sum_nb(a, b):
    """Sum of two counters either of which may be absent."""
    return b if a == ABSENT else (a if b == ABSENT else a + b)


@kernel(None)
def _order_nb(groups, group, usage, k):
    """-1, 0, 1: the group lies before, is, or lies behind that of container k."""
    for column in (_U_GROUP, _U_SERVICE, _U_PLMN, _U_UNIT):
        if groups[group, column] != usage[column, k]:
            return -1 if groups[group, column] < usage[column, k] else 1
    return 0


@kernel(None)
def insert_group_nb(row, k, usage, by_row, sessions, groups, counters):
    """(group, new): the group of container k in its session, opened in its place of the list if there is none.

    by_row: `usage` with its rows in one piece each, but for counters that `_difference_nb` changed since.
    """
    before, group = ABSENT, sessions[row, FIRST_GROUP]
    order = -1
    while group != ABSENT:
        order = _order_nb(groups, group, usage, k)
        if order >= 0:
            break
        before, group = group, groups[group, NEXT]
    if group != ABSENT and order == 0:
        return group, False
    fresh = counters[FREE_GROUP]
    if fresh == ABSENT:
        fresh = counters[GROUP_TOP]
        counters[GROUP_TOP] += 1
    else:
        counters[FREE_GROUP] = groups[fresh, NEXT]
    counters[GROUPS] += 1
    for column in range(_COLUMNS):
        groups[fresh, column] = by_row[k, column]
    for column in (_U_DURATION, _U_UP, _U_DOWN, _U_QUANTITY):
        groups[fresh, column] = usage[column, k]
    groups[fresh, NEXT] = group
    if before == ABSENT:
        sessions[row, FIRST_GROUP] = fresh
    else:
        groups[before, NEXT] = fresh
    return fresh, True


@kernel(None)
def _hold_nb(row, k, usage, by_row, sessions, groups, counters, held_by_source, merged):
    """Add container k to what its session holds; all but the first of a group are merged away."""
    group, new = insert_group_nb(row, k, usage, by_row, sessions, groups, counters)
    if new:
        held_by_source[usage[_U_SOURCE, k]] += 1
        return
    out = counters[MERGED_ROWS]
    counters[MERGED_ROWS] += 1
    for column in range(_ORIGIN):
        merged[out, column] = usage[column, k]
    merged[out, _ORIGIN], merged[out, _ORIGIN + 1] = groups[group, _U_ID_HI], groups[group, _U_ID_LO]
    merged[out, _ORIGIN + 2], merged[out, _ORIGIN + 3] = usage[_U_SEQUENCE, k], usage[_U_QUANTITY, k]
    start, end, count = groups[group, _U_START], groups[group, _U_END], groups[group, _U_COUNT]
    duration, quantity = groups[group, _U_DURATION], groups[group, _U_QUANTITY]
    up, down = groups[group, _U_UP], groups[group, _U_DOWN]
    sequence, cause, local = groups[group, _U_SEQUENCE], groups[group, _U_CAUSE], groups[group, _U_LOCAL]
    if usage[_U_START, k] < start:  # where and how it began is what the earliest partial says
        for column in range(_ORIGIN, _COLUMNS):
            if column != _U_ID_HI and column != _U_ID_LO:
                groups[group, column] = by_row[k, column]
    if usage[_U_SEQUENCE, k] >= sequence:  # how it ended, what the last one says
        sequence, cause, local = usage[_U_SEQUENCE, k], usage[_U_CAUSE, k], usage[_U_LOCAL, k]
    groups[group, _U_START], groups[group, _U_END] = min(start, usage[_U_START, k]), max(end, usage[_U_END, k])
    groups[group, _U_DURATION] = _sum_nb(duration, usage[_U_DURATION, k])
    groups[group, _U_UP], groups[group, _U_DOWN] = _sum_nb(up, usage[_U_UP, k]), _sum_nb(down, usage[_U_DOWN, k])
    groups[group, _U_QUANTITY] = quantity + usage[_U_QUANTITY, k]
    groups[group, _U_COUNT] = count + usage[_U_COUNT, k]
    groups[group, _U_SEQUENCE], groups[group, _U_CAUSE], groups[group, _U_LOCAL] = sequence, cause, local


@kernel(None)
def _take_record_nb(start, stop, usage, by_row, silent, settings, sessions, index, groups, queue, counters,
                    held_by_source, action, emits, released, merged, touched):
    """One record: overlap, late, first of a session, further partial, or final."""
    sequence, final = usage[_U_SEQUENCE, start], is_final_nb(usage[_U_CAUSE, start])
    totals = settings[TOTALS] == 1 or (settings[TOTALS] == 2 and usage[_U_TYPE, start] == WIFI)
    merges = settings[UNTIL_FINAL] == 1
    verdict = PASS
    row = np.int64(ABSENT)
    if merges or totals or sequence != ABSENT:
        hi, lo = usage[_U_HI, start], usage[_U_LO, start]
        place = find_nb(hi, lo, sessions, index)
        row = index[place]
        if row == ABSENT and (sequence != ABSENT or totals or (merges and not final)):
            row = open_session_nb(place, hi, lo, sessions, index, counters)
            sessions[row, STATE] = OPEN if merges else WATCHED
    if row != ABSENT:
        if sequence != ABSENT and not _mark_nb(row, sequence, sessions) and settings[RECYCLED] == 0:
            verdict = OVERLAP
        elif sessions[row, STATE] == OPEN:
            verdict = HELD
        if verdict != OVERLAP:
            _touch_nb(row, sessions, touched, counters)
            _wait_nb(row, settings[PATIENCE_US], sessions, queue, counters)
            if final:
                sessions[row, FINAL] = max(sessions[row, FINAL], sequence) if sequence != ABSENT else FINAL_UNNUMBERED
    for k in range(start, stop):
        mine = verdict
        if silent[k] != 0:
            mine = SILENT
        elif totals and verdict != OVERLAP and not _difference_nb(row, k, sessions, usage) and verdict == PASS:
            mine = COVERED
        if mine == HELD:
            _hold_nb(row, k, usage, by_row, sessions, groups, counters, held_by_source, merged)
        elif mine == PASS:
            emits[counters[EMITTED]] = k
            counters[EMITTED] += 1
        action[k] = mine
    if verdict == HELD and _complete_nb(row, sessions):
        _release_nb(row, 0, sessions, groups, counters, held_by_source, emits, released)
        sessions[row, STATE] = RELEASED


@kernel(types.void(CELLS_OUT, CELLS_IN, U8_IN, I64_IN, I64_IN, I64_IN, CELLS_OUT, I64_OUT, CELLS_OUT, CELLS_OUT,
                   I64_OUT, I64_OUT, I64_OUT, I64_OUT, CELLS_OUT, CELLS_OUT, I64_OUT))
def take_nb(usage, by_row, silent, watermark, settings, boundaries, sessions, index, groups, queue, counters,
            held_by_source, action, emits, released, merged, touched):
    """Take containers of one stream in collection order.

    by_row: `usage` transposed, needed where the stream merges. silent (n,): nonzero for a container whose record
    counts for its session, though it brings no usage of its own. watermark (n,): the stream's record time with
    that record. action (n,): PASS, HELD, OVERLAP, COVERED or SILENT.
    emits: what leaves, in order: a row of `usage`, or ~ a row of `released`. Totals in `usage` become differences.
    Afterwards record time moves to the clock of `settings`, where that is later.
    """
    rows = usage.shape[1]
    start = 0
    while start < rows:
        stop = start + 1
        while stop < rows and usage[_U_OFFSET, stop] == usage[_U_OFFSET, start] and \
                usage[_U_FILE, stop] == usage[_U_FILE, start]:
            stop += 1
        _advance_nb(watermark[start], settings, boundaries, sessions, index, groups, queue, counters, held_by_source,
                    emits, released, touched)
        _take_record_nb(start, stop, usage, by_row, silent, settings, sessions, index, groups, queue, counters,
                        held_by_source, action, emits, released, merged, touched)
        start = stop
    _advance_nb(settings[CLOCK_US], settings, boundaries, sessions, index, groups, queue, counters, held_by_source,
                emits, released, touched)


@kernel(types.void(CELLS_IN, CELLS_IN, I64_IN, CELLS_OUT))
def emit_nb(usage, released, emits, out):
    """Rows that leave, in order: from `usage` by column, or from `released` by row."""
    for i in range(emits.size):
        source = emits[i]
        if source >= 0:
            for column in range(_COLUMNS):
                out[column, i] = usage[column, source]
        else:
            for column in range(_COLUMNS):
                out[column, i] = released[~source, column]


@kernel(types.int64(I64_IN, CELLS_IN, CELLS_IN, CELLS_OUT))
def held_rows_nb(rows, sessions, groups, out):
    """What the sessions `rows` hold, as columns of `out`; counts only when `out` has no rows."""
    count = 0
    for i in range(rows.size):
        group = sessions[rows[i], FIRST_GROUP] if sessions[rows[i], STATE] != 0 else ABSENT
        while group != ABSENT:
            if out.shape[1] > 0:
                for column in range(_COLUMNS):
                    out[column, count] = groups[group, column]
            count += 1
            group = groups[group, NEXT]
    return count


@kernel(types.void(I64_IN, I64_IN, CELLS_OUT, I64_OUT, I64_OUT))
def restore_sessions_nb(hi, lo, sessions, index, counters):
    """Open empty sessions for keys, row i for key i; `sessions` and `counters` must be fresh."""
    for i in range(hi.size):
        open_session_nb(find_nb(hi[i], lo[i], sessions, index), hi[i], lo[i], sessions, index, counters)


@kernel(types.int64(CELLS_IN, CELLS_IN, CELLS_OUT, I64_IN, CELLS_OUT, I64_OUT, I64_OUT))
def restore_groups_nb(usage, by_row, sessions, index, groups, counters, held_by_source):
    """Give held rows back to their sessions; returns how many found none."""
    strays = 0
    for k in range(usage.shape[1]):
        row = index[find_nb(usage[_U_HI, k], usage[_U_LO, k], sessions, index)]
        if row == ABSENT:
            strays += 1
        else:
            insert_group_nb(row, k, usage, by_row, sessions, groups, counters)
            held_by_source[usage[_U_SOURCE, k]] += 1
    return strays


@kernel(types.void(CELLS_IN, types.int64, I64_OUT))
def rehash_nb(sessions, top, index):
    """Enter all live sessions into a fresh index."""
    mask = index.size - 1
    for row in range(top):
        if sessions[row, STATE] != 0:
            place = sessions[row, LO] & mask
            while index[place] != ABSENT:
                place = place + 1 & mask
            index[place] = row
