"""Containers against what was charged online: which rows of the index concern each, and what they cover.

Rows of the index are row-major (m, WIDTH), sorted by key; the words are named below. A container asks with up to
KEYS keys. Times are UTC microseconds; ABSENT is -1.
"""

import numpy as np
from numba import types

from schemas.hashing import absorb_hi_nb, absorb_lo_nb, bytes_hash_nb
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, U8_IN, kernel

ABSENT = -1
# Words of a row. KIND: what it says; BY: under which sort of key; WITNESS: kind of CDR that a share was taken by, FILE
# and OFFSET its record.
(KEY, SINCE, UNTIL, KIND, BY, SESSION_HI, SESSION_LO, RATING_GROUP, SERVICE_IDENTIFIER, GATEWAY, SERVICE_ID, MSISDN,
 IMSI, DIRECTION, QUANTITY, EVENT_HI, EVENT_LO, WITNESS, FILE, OFFSET) = range(20)
WIDTH = 20
# KIND: usage, a request without, the session's end, a share that a CDR has taken, and one of a CDR that reports cover
# only in part.
REPORT, WORD, CLOSED, TAKEN, STRADDLED = range(5)
BY_CHARGING_ID, BY_REFERENCE, BY_PARTY = range(3)
KEYS = 4  # by charging id, by reference, by party in two stretches of time
# What is asked of a container.
(A_START, A_END, A_QUANTITY, A_RATING_GROUP, A_SERVICE_IDENTIFIER, A_GATEWAY, A_SERVICE_ID, A_MSISDN, A_IMSI,
 A_DIRECTION, A_WITNESS, A_FILE, A_OFFSET, A_MARK, A_WAIT, A_TOLERANCE, A_WINDOW) = range(17)
ASKED = 17
CHARGED, MATCHED, PART, WAITS = range(4)
NOTHING, TOUCHED, LIMITED, WHOLE = range(4)  # how much of a container online reports cover


@kernel(types.void(I64_IN, I64_IN, I64_OUT))
def reference_keys_nb(hi, lo, keys):
    """One word for a 128-bit key; neither half may be ABSENT to mean one."""
    for i in range(keys.size):
        keys[i] = absorb_hi_nb(absorb_hi_nb(BY_REFERENCE, hi[i]), lo[i])


@kernel(types.void(I64_IN, I64_IN, I64_IN, types.int64, I64_OUT))
def mixed_keys_nb(first, second, third, by, keys):
    """One word for three."""
    for i in range(keys.size):
        keys[i] = absorb_lo_nb(absorb_lo_nb(absorb_lo_nb(by, first[i]), second[i]), third[i])


@kernel(types.void(U8_IN, I64_IN, types.uint64, types.uint64, I64_OUT, I64_OUT))
def text_keys_nb(buffer, text, hi_seed, lo_seed, hi, lo):
    """128-bit keys of the texts that references point at (offset << 16 | length); ABSENT twice for none."""
    for i in range(text.size):
        hi[i] = lo[i] = ABSENT
        if text[i] != ABSENT:
            start, length = text[i] >> 16, text[i] & 0xFFFF
            hi[i] = bytes_hash_nb(buffer, start, length, hi_seed)
            lo[i] = bytes_hash_nb(buffer, start, length, lo_seed)


@kernel(types.void(CELLS_IN, I64_IN, I64_OUT, I64_OUT))
def stretches_nb(rows, keys, first, stop):
    """Rows of a run that each of some sorted, different keys has: [first, stop)."""
    at, count = 0, rows.shape[0]
    for k in range(keys.size):
        low, step = at, 1  # gallop, since keys are sorted as rows are
        while low + step < count and rows[low + step, KEY] < keys[k]:
            low += step
            step *= 2
        high = min(low + step, count)
        while low < high:
            middle = (low + high) // 2
            if rows[middle, KEY] < keys[k]:
                low = middle + 1
            else:
                high = middle
        at = low
        first[k] = at
        while at < count and rows[at, KEY] == keys[k]:
            at += 1
        stop[k] = at


@kernel(types.void(CELLS_IN, I64_IN, I64_IN, I64_OUT, CELLS_OUT))
def copy_nb(rows, first, stop, at, out):
    """Copy stretches of a run behind what is there: `at` (k,) is where each key's next row goes, and moves on."""
    for k in range(first.size):
        for row in range(first[k], stop[k]):
            for word in range(WIDTH):
                out[at[k], word] = rows[row, word]
            at[k] += 1


@kernel(None)
def _same_party_nb(row, asked, i, unknown):
    """Whether row and container are of one subscriber; `unknown` where nothing that both have says so."""
    if row[SERVICE_ID] != ABSENT and asked[A_SERVICE_ID, i] != ABSENT:
        return row[SERVICE_ID] == asked[A_SERVICE_ID, i]
    if row[MSISDN] != ABSENT and asked[A_MSISDN, i] != ABSENT:
        return row[MSISDN] == asked[A_MSISDN, i]
    if row[IMSI] != ABSENT and asked[A_IMSI, i] != ABSENT:
        return row[IMSI] == asked[A_IMSI, i]
    return unknown


@kernel(None)
def _concerns_nb(row, asked, i):
    """Whether a row under one of the container's keys is of its usage."""
    if row[KIND] >= TAKEN and row[WITNESS] != asked[A_WITNESS, i]:
        return False
    if row[DIRECTION] != ABSENT and asked[A_DIRECTION, i] != ABSENT and row[DIRECTION] != asked[A_DIRECTION, i]:
        return False
    if row[BY] == BY_PARTY:
        return abs(row[UNTIL] - asked[A_START, i]) <= asked[A_WINDOW, i] and _same_party_nb(row, asked, i, False)
    if row[BY] == BY_REFERENCE:
        if not _same_party_nb(row, asked, i, True):
            return False
    elif row[GATEWAY] != ABSENT and asked[A_GATEWAY, i] != ABSENT:
        if row[GATEWAY] != asked[A_GATEWAY, i]:
            return False
    elif not _same_party_nb(row, asked, i, False):
        return False
    if row[KIND] == CLOSED:
        return True
    group, service = asked[A_RATING_GROUP, i], asked[A_SERVICE_IDENTIFIER, i]
    # Usage that was reported without a rating group is all that the session had.
    if row[RATING_GROUP] != ABSENT and row[RATING_GROUP] != group and (
            group != ABSENT or row[BY] == BY_CHARGING_ID):
        return False
    return row[SERVICE_IDENTIFIER] == ABSENT or service == ABSENT or row[SERVICE_IDENTIFIER] == service


@kernel(None)
def _before_nb(rows, a, b):
    """Order of reports: since and event, which are the same when those behind it were joined to it."""
    for word in (SINCE, EVENT_HI, EVENT_LO, UNTIL):
        if rows[a, word] != rows[b, word]:
            return rows[a, word] < rows[b, word]
    return False


@kernel(None)
def _overlap_nb(since, until, start, end):
    """Whether two stretches of time have more in common than a border; a moment, when it lies in the other."""
    if since == until or start == end:
        return since <= end and start <= until
    return since < end and start < until


@kernel(None)
def _asked_nb(row, asked, i):
    """Whether a row, no share, says that its session asked for this usage, or reported it. A request that names no
    rating group has asked for none."""
    return row[KIND] == REPORT or (row[KIND] == WORD and (row[RATING_GROUP] != ABSENT
                                                         or asked[A_RATING_GROUP, i] == ABSENT))


@kernel(None)
def _open_nb(rows, chosen, count, asked, i):
    """Whether an online session that asked for this usage may still report it: begun, not closed, and not heard of
    since the container's end."""
    for a in range(count):
        row = rows[chosen[a]]
        if not _asked_nb(row, asked, i) or row[SINCE] > asked[A_END, i]:
            continue
        last, closed = row[UNTIL], False
        for b in range(count):
            other = rows[chosen[b]]
            if other[SESSION_HI] == row[SESSION_HI] and other[SESSION_LO] == row[SESSION_LO]:
                if other[KIND] == CLOSED:
                    closed = True
                elif _asked_nb(other, asked, i):
                    last = max(last, other[UNTIL])
        if not closed and last < asked[A_END, i] - asked[A_TOLERANCE, i]:
            return True
    return False


@kernel(None)
def _sort_nb(rows, order, count):
    for a in range(1, count):  # nearly sorted already
        moving, b = order[a], a
        while b > 0 and _before_nb(rows, moving, order[b - 1]):
            order[b] = order[b - 1]
            b -= 1
        order[b] = moving


@kernel(None)
def _reach_back_nb(rows, order, count):
    """A report of nothing used says so since the session's word before on the same service: from there on it is
    covered. Changes rows; returns whether it did."""
    changed = False
    for a in range(1, count):
        row = order[a]
        if rows[row, KIND] != REPORT or rows[row, QUANTITY] != 0 or rows[row, SINCE] != rows[row, UNTIL]:
            continue
        since = np.int64(ABSENT)
        for b in range(count):
            other = order[b]
            if (rows[other, KIND] == REPORT or rows[other, KIND] == WORD) and \
                    rows[other, UNTIL] < rows[row, UNTIL] and rows[other, SESSION_HI] == rows[row, SESSION_HI] and \
                    rows[other, SESSION_LO] == rows[row, SESSION_LO] and \
                    rows[other, RATING_GROUP] == rows[row, RATING_GROUP] and \
                    rows[other, SERVICE_IDENTIFIER] == rows[row, SERVICE_IDENTIFIER]:
                since = max(since, rows[other, UNTIL])
        if since != ABSENT:
            rows[row, SINCE] = since
            changed = True
    return changed


@kernel(None)
def _gather_nb(asked, keys, first, stop, rows, base, newest, before, order, i):
    """Places of the rows that concern a container, in order of time; returns how many."""
    count = 0
    for k in range(KEYS):
        key = keys[k, i]
        if key == ABSENT:
            continue
        for row in range(first[key], stop[key]):
            if _concerns_nb(rows[row], asked, i):
                order[count] = row
                count += 1
        link = newest[key]
        while link != ABSENT:
            if _concerns_nb(rows[base + link], asked, i):
                order[count] = base + link
                count += 1
            link = before[link]
    _sort_nb(rows, order, count)
    if _reach_back_nb(rows, order, count):
        _sort_nb(rows, order, count)
    return count


@kernel(None)
def _cover_message_nb(rows, order, count, cover):
    """A message: one that was charged online for one, the earliest that is left."""
    for a in range(count):
        report = order[a]
        if rows[report, KIND] != REPORT or rows[report, BY] != BY_PARTY:
            continue
        left = rows[report, QUANTITY]
        for b in range(count):
            other = rows[order[b]]
            if other[KIND] >= TAKEN and other[EVENT_HI] == rows[report, EVENT_HI] and \
                    other[EVENT_LO] == rows[report, EVENT_LO]:
                left -= other[QUANTITY]
        if left > 0:
            cover[0], cover[1], cover[2], cover[3] = report, rows[report, SINCE], rows[report, UNTIL], left
            return LIMITED
    return NOTHING


@kernel(None)
def _stretch_nb(rows, order, count, a, tolerance):
    """Reports that go on from that at place `a` without a gap: until when, how much, the place behind the last."""
    until, quantity, stop = rows[order[a], UNTIL], rows[order[a], QUANTITY], a + 1
    for b in range(a + 1, count):
        row = rows[order[b]]
        if row[KIND] != REPORT or row[BY] == BY_PARTY:
            continue
        if row[SINCE] > until + tolerance:
            break
        until, quantity, stop = max(until, row[UNTIL]), quantity + row[QUANTITY], b + 1
    return until, quantity, stop


@kernel(None)
def _report_nb(rows, order, count, a):
    """The next place of a report, from `a` on; `count` where there is none."""
    while a < count and (rows[order[a], KIND] != REPORT or rows[order[a], BY] == BY_PARTY):
        a += 1
    return a


@kernel(None)
def _latest_nb(rows, order, a, b, latest):
    """Until when shares at places from `a` to before `b` last, or `latest`."""
    for place in range(a, b):
        if rows[order[place], KIND] >= TAKEN:
            latest = max(latest, rows[order[place], UNTIL])
    return latest


@kernel(None)
def _cover_nb(asked, rows, order, count, i, cover):
    """What online reports cover of a container: NOTHING; TOUCHED, where they have time in common; WHOLE or LIMITED,
    when one stretch of uninterrupted reports has all of its time in it.

    cover: first report, since and until of the stretches concerned, and what of their quantity no CDR has taken.
    Of stretches that a container was only partly in, nobody can say how much each should have had: it got what was
    there, and containers inside get what is left, of all that it connects: so charges and online usage add up.
    """
    start, end, tolerance = asked[A_START, i], asked[A_END, i], asked[A_TOLERANCE, i]
    cover[0], cover[1], cover[2], cover[3] = ABSENT, 0, 0, 0
    # A pool: stretches that containers between them connect. Those of its stretches that touch the container count.
    # reach: until when those who straddled a stretch of the pool last. latest: until when any share does of those
    # before the stretch before.
    left, straddled, touched, inside, reach = np.int64(0), False, False, False, np.int64(ABSENT)
    before, before_since, before_until, latest = 0, np.int64(0), np.int64(0), np.int64(ABSENT)
    place = _report_nb(rows, order, count, 0)
    while place < count:
        since = rows[order[place], SINCE]
        until, quantity, behind = _stretch_nb(rows, order, count, place, tolerance)
        same = since < reach or (since == until and since == reach)
        first = before
        if not same:  # the pool has ended
            if touched:
                cover[3] += max(left, 0)
                if inside:
                    return LIMITED if straddled else WHOLE
            left, straddled, touched, inside, reach = np.int64(0), False, False, False, np.int64(ABSENT)
            if latest >= since:
                first = 0
        left += quantity
        now_inside = start >= since - tolerance and end <= until + tolerance
        if now_inside or _overlap_nb(since, until, start, end):
            if cover[0] == ABSENT or now_inside:
                cover[0], cover[1] = order[place], since
            cover[2] = until
            touched, inside = True, inside or now_inside
        for b in range(first, count):  # shares that were taken of it, and of no other of the pool
            other = rows[order[b]]
            if other[SINCE] > until:
                break
            if other[KIND] < TAKEN or other[BY] == BY_PARTY or \
                    not _overlap_nb(since, until, other[SINCE], other[UNTIL]) or \
                    (same and _overlap_nb(before_since, before_until, other[SINCE], other[UNTIL])):
                continue
            left -= other[QUANTITY]
            if other[KIND] == STRADDLED:
                reach = max(reach, other[UNTIL])
                straddled = straddled or other[QUANTITY] > 0
        latest = _latest_nb(rows, order, before, place, latest)
        before, before_since, before_until = place, since, until
        place = _report_nb(rows, order, count, behind)
    if touched:
        cover[3] += max(left, 0)
        if inside:
            return LIMITED if straddled else WHOLE
    return NOTHING if cover[0] == ABSENT else TOUCHED


@kernel(None)
def _take_nb(asked, keys, first, stop, rows, base, newest, before, taken, took, cover, kind, part, i):
    """Note that the container has taken a share of online reports: for those behind it, and to be kept."""
    place, report = base + took, cover[0]
    for word in range(WIDTH):
        rows[place, word] = rows[report, word]
    rows[place, KIND], rows[place, QUANTITY], rows[place, WITNESS] = kind, part, asked[A_WITNESS, i]
    rows[place, FILE], rows[place, OFFSET] = asked[A_FILE, i], asked[A_OFFSET, i]
    if rows[report, BY] != BY_PARTY:
        rows[place, SINCE] = min(max(asked[A_START, i], cover[1]), cover[2])
        rows[place, UNTIL] = max(min(asked[A_END, i], cover[2]), cover[1])
    for word in range(WIDTH):
        taken[took, word] = rows[place, word]
    for k in range(KEYS):
        key = keys[k, i]
        if key != ABSENT and first[key] < stop[key] and rows[first[key], KEY] == rows[place, KEY]:
            before[took] = newest[key]
            newest[key] = took
            break


@kernel(types.int64(CELLS_IN, CELLS_IN, I64_IN, I64_IN, CELLS_OUT, types.int64, I64_OUT, I64_OUT, I64_OUT, I64_OUT,
                    I64_OUT, I64_OUT, CELLS_OUT, CELLS_OUT))
def match_nb(asked, keys, first, stop, rows, base, order, newest, before, cover, verdict, share, event, taken):
    """What becomes of containers, in their order.

    asked (ASKED, n); keys (KEYS, n) places in first and stop (k,), ABSENT for none: [first, stop) are the rows of a
    key. rows (base + n, WIDTH): from `base` on, room for shares taken here. order: scratch, as many as rows.
    newest (k,) ABSENT, before (n,): chains of shares taken here. cover (4,): scratch.
    Out: verdict (n,); share (n,) of the quantity, charged online; event (2, n) the report that begins what covers it;
    taken (n, WIDTH) rows to be kept. Returns how many there are.
    """
    took = 0
    for i in range(verdict.size):
        quantity = asked[A_QUANTITY, i]
        verdict[i], share[i] = CHARGED, 0
        event[0, i] = event[1, i] = ABSENT
        count = _gather_nb(asked, keys, first, stop, rows, base, newest, before, order, i)
        covered = _cover_message_nb(rows, order, count, cover)
        if covered == NOTHING:
            covered = _cover_nb(asked, rows, order, count, i, cover)
        if covered <= TOUCHED and asked[A_MARK, i] < asked[A_END, i] + asked[A_WAIT, i] and \
                _open_nb(rows, order, count, asked, i):
            verdict[i] = WAITS
            continue
        part = np.int64(0) if covered == NOTHING else quantity if covered == WHOLE else min(quantity, cover[3])
        if covered == NOTHING or (part == 0 and quantity > 0):
            continue
        verdict[i], share[i] = MATCHED if part == quantity else PART, part
        event[0, i], event[1, i] = rows[cover[0], EVENT_HI], rows[cover[0], EVENT_LO]
        _take_nb(asked, keys, first, stop, rows, base, newest, before, taken, took, cover,
                 STRADDLED if covered == TOUCHED else TAKEN, part, i)
        took += 1
    return took
