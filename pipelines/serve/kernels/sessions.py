"""Open sessions as arrays: a hash table of rows, the oldest let go first, and their texts in blocks.

`index` has a place for each row and more, twice as many at least: row + 1, or 0 for none; linear probing, and rows that
go are closed up behind. A row is 64 octets, a line of the cache. Texts of a session (Session-Id, Origin-Host,
Origin-Realm) stand one behind the other in a chain of blocks. Rows and blocks that are free are chained too.
"""

import numpy as np
from numba import types

from pipelines.diameter.columns import MESSAGE
from pipelines.diameter.results import Result
from pipelines.serve.kernels.gy import R_MESSAGE
from schemas.hashing import mix_nb
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, U8_IN, U8_OUT, kernel
from schemas.online import ANSWER, REQUEST, RequestKind

I32_OUT = types.int32[::1]
# Of a row. OLDER and NEWER: neighbours by age, -1 for none; a free row's NEWER is the next free one.
HI, LO, ACCOUNT, BLOCK, LENGTHS, OLDER, NEWER, STATE = range(8)
COLUMNS = 8
FREE, OPEN, FINAL = 0, 1, 2   # of STATE: FINAL some service of it was granted its final units
# Of the whole.
COUNT, OLDEST, NEWEST, FREE_ROW, USED_ROWS, FREE_BLOCK, USED_BLOCKS, FREE_BLOCKS, LOST_FINALS = range(9)
SCALARS = 9
OCTETS = 32    # of a block
NONE = -1
SHIFT, MASK = 20, (1 << 20) - 1   # of the three lengths in LENGTHS

EVENT, TERMINATION = int(RequestKind.EVENT), int(RequestKind.TERMINATION)
_Q = {n: REQUEST.index(n) for n in REQUEST.names}
Q_HI, Q_LO, Q_KIND, Q_ACCOUNT = (_Q[n] for n in ("session_hi", "session_lo", "kind", "account_id"))
A_CODE, A_FINAL = ANSWER.index("message_code"), ANSWER.index("final_action")
M_SESSION, M_HOST, M_REALM = (MESSAGE.index(n) for n in ("session_text", "origin_host_text", "origin_realm_text"))
ABSENT = -1
SUCCESS, LIMITED = int(Result.SUCCESS), int(Result.LIMITED_SUCCESS)


@kernel(None, forceinline=True)
def home_nb(index, hi, lo):
    """Place at which the search for a session begins. Keys that others chose need not be spread evenly."""
    return np.int64(mix_nb(np.uint64(hi) ^ np.uint64(lo)) & np.uint64(index.size - 1))


@kernel(types.int64(I32_OUT, CELLS_OUT, types.int64, types.int64))
def place_nb(index, rows, hi, lo):
    """Place of a session in the index, or ~place of where it belongs."""
    mask = index.size - 1
    place = home_nb(index, hi, lo)
    while index[place] != 0:
        row = index[place] - 1
        if rows[row, HI] == hi and rows[row, LO] == lo:
            return place
        place = place + 1 & mask
    return ~place


@kernel(types.void(CELLS_OUT, I32_OUT, I64_OUT, types.int64))
def free_texts_nb(rows, links, scalars, row):
    """Give the blocks of a row back."""
    block = rows[row, BLOCK]
    while block != NONE:
        behind = links[block]
        links[block] = scalars[FREE_BLOCK]
        scalars[FREE_BLOCK] = block
        scalars[FREE_BLOCKS] += 1
        block = behind
    rows[row, BLOCK] = NONE


@kernel(types.void(I32_OUT, CELLS_OUT, I32_OUT, I64_OUT, types.int64))
def remove_nb(index, rows, links, scalars, place):
    """A session is over."""
    row = index[place] - 1
    if rows[row, STATE] & FINAL:
        scalars[LOST_FINALS] += 1
    older, newer = rows[row, OLDER], rows[row, NEWER]
    if older != NONE:
        rows[older, NEWER] = newer
    else:
        scalars[OLDEST] = newer
    if newer != NONE:
        rows[newer, OLDER] = older
    else:
        scalars[NEWEST] = older
    free_texts_nb(rows, links, scalars, row)
    rows[row, STATE], rows[row, NEWER] = FREE, scalars[FREE_ROW]
    scalars[FREE_ROW] = row
    scalars[COUNT] -= 1
    mask = index.size - 1
    hole, at = place, place
    while True:  # whoever could not have its own place moves up
        at = at + 1 & mask
        if index[at] == 0:
            break
        home = home_nb(index, rows[index[at] - 1, HI], rows[index[at] - 1, LO])
        if (at - home & mask) >= (at - hole & mask):
            index[hole] = index[at]
            hole = at
    index[hole] = 0


@kernel(types.void(I32_OUT, CELLS_OUT, I32_OUT, I64_OUT))
def drop_oldest_nb(index, rows, links, scalars):
    row = scalars[OLDEST]
    remove_nb(index, rows, links, scalars, place_nb(index, rows, rows[row, HI], rows[row, LO]))


@kernel(types.void(CELLS_OUT, U8_OUT, I32_OUT, I64_OUT, types.int64, U8_IN, types.int64, types.int64, types.int64))
def write_texts_nb(rows, blocks, links, scalars, row, buffer, session, host, realm):
    """Texts of a row that has none into blocks, of which there are enough."""
    last, at = NONE, OCTETS
    for reference in (session, host, realm):
        start = reference >> 16
        for i in range(reference & 0xFFFF if reference != ABSENT else 0):
            if at == OCTETS:
                block = scalars[FREE_BLOCK]
                if block != NONE:
                    scalars[FREE_BLOCK] = links[block]
                else:
                    block = scalars[USED_BLOCKS]
                    scalars[USED_BLOCKS] += 1
                scalars[FREE_BLOCKS] -= 1
                links[block] = NONE
                if last == NONE:
                    rows[row, BLOCK] = block
                else:
                    links[last] = block
                last, at = block, 0
            blocks[last * OCTETS + at] = buffer[start + i]
            at += 1


@kernel(types.int64(types.int64))
def length_nb(reference):
    return reference & 0xFFFF if reference != ABSENT else 0


@kernel(types.int64(I32_OUT, CELLS_OUT, U8_OUT, I32_OUT, I64_OUT, types.int64, types.int64, types.int64, U8_IN,
                    types.int64, types.int64, types.int64))
def begin_nb(index, rows, blocks, links, scalars, hi, lo, account, buffer, session, host, realm):
    """A session that is not known; the oldest make room for it. Returns its row."""
    lengths = length_nb(session), length_nb(host), length_nb(realm)
    needed = (lengths[0] + lengths[1] + lengths[2] + OCTETS - 1) // OCTETS
    while scalars[COUNT] > 0 and (scalars[COUNT] == rows.shape[0] or scalars[FREE_BLOCKS] < needed):
        drop_oldest_nb(index, rows, links, scalars)
    row = scalars[FREE_ROW]
    if row != NONE:
        scalars[FREE_ROW] = rows[row, NEWER]
    else:
        row = scalars[USED_ROWS]
        scalars[USED_ROWS] += 1
    rows[row, HI], rows[row, LO], rows[row, ACCOUNT], rows[row, BLOCK] = hi, lo, account, NONE
    rows[row, LENGTHS] = lengths[0] << 2 * SHIFT | lengths[1] << SHIFT | lengths[2]
    rows[row, OLDER], rows[row, NEWER], rows[row, STATE] = scalars[NEWEST], NONE, OPEN
    write_texts_nb(rows, blocks, links, scalars, row, buffer, session, host, realm)
    if scalars[NEWEST] != NONE:
        rows[scalars[NEWEST], NEWER] = row
    else:
        scalars[OLDEST] = row
    scalars[NEWEST] = row
    scalars[COUNT] += 1
    index[~place_nb(index, rows, hi, lo)] = row + 1
    return row


@kernel(types.int64(CELLS_IN, CELLS_IN, CELLS_IN, CELLS_IN, U8_IN, I32_OUT, CELLS_OUT, U8_OUT, I32_OUT, I64_OUT,
                    I64_OUT))
def keep_nb(messages, requests, answers, route, buffer, index, rows, blocks, links, scalars, noted):
    """What a tick's answers say of sessions: those that begin, those that end. Returns how many rows are in `noted`: of
    sessions with final units, ~row where it is the first of its session."""
    count = 0
    for i in range(requests.shape[1]):
        kind = requests[Q_KIND, i]
        if kind == EVENT:
            continue
        hi, lo = requests[Q_HI, i], requests[Q_LO, i]
        place = place_nb(index, rows, hi, lo)
        if kind == TERMINATION:
            if place >= 0:
                remove_nb(index, rows, links, scalars, place)
            continue
        code, final = answers[A_CODE, i], answers[A_FINAL, i] > 0
        if code != SUCCESS and code != LIMITED and not final:
            continue
        if place < 0:
            m = route[R_MESSAGE, i]
            row = begin_nb(index, rows, blocks, links, scalars, hi, lo, requests[Q_ACCOUNT, i], buffer,
                           messages[M_SESSION, m], messages[M_HOST, m], messages[M_REALM, m])
        else:
            row = index[place] - 1
        if final or rows[row, STATE] & FINAL:
            noted[count] = i if rows[row, STATE] & FINAL else ~i
            count += 1
            rows[row, STATE] |= FINAL
    return count


@kernel(types.boolean(CELLS_OUT, U8_OUT, I32_OUT, types.int64, U8_IN, types.int64))
def is_host_nb(rows, blocks, links, row, buffer, host):
    """Whether a row has this host and no other text."""
    length = length_nb(host)
    if rows[row, LENGTHS] != length << SHIFT:
        return False
    block, at = rows[row, BLOCK], 0
    for i in range(length):
        if at == OCTETS:
            block, at = links[block], 0
        if blocks[block * OCTETS + at] != buffer[(host >> 16) + i]:
            return False
        at += 1
    return True


@kernel(types.void(I32_OUT, CELLS_OUT, U8_OUT, I32_OUT, I64_OUT, I64_IN, I64_IN, I64_IN, U8_IN, I64_IN))
def call_nb(index, rows, blocks, links, scalars, hi, lo, accounts, buffer, hosts):
    """Where sessions are called, new or known; ABSENT: nothing is said of it. Who moves is as one that begins, but that
    its final units stay noted."""
    for i in range(hi.size):
        if hosts[i] == ABSENT:
            continue
        place, account, state = place_nb(index, rows, hi[i], lo[i]), accounts[i], OPEN
        if place >= 0:
            row = index[place] - 1
            if is_host_nb(rows, blocks, links, row, buffer, hosts[i]):
                continue
            account, state = rows[row, ACCOUNT], rows[row, STATE]
            if state & FINAL:
                scalars[LOST_FINALS] -= 1  # it is not lost
            remove_nb(index, rows, links, scalars, place)
        row = begin_nb(index, rows, blocks, links, scalars, hi[i], lo[i], account, buffer, ABSENT, hosts[i], ABSENT)
        rows[row, STATE] = state


@kernel(types.int64(CELLS_OUT, U8_IN, I32_OUT, types.int64, U8_OUT))
def read_texts_nb(rows, blocks, links, row, out):
    """The octets of a row's texts, one behind the other. Returns how many."""
    lengths = rows[row, LENGTHS]
    total = (lengths >> 2 * SHIFT) + (lengths >> SHIFT & MASK) + (lengths & MASK)
    block, at = rows[row, BLOCK], 0
    for i in range(total):
        if at == OCTETS:
            block, at = links[block], 0
        out[i] = blocks[block * OCTETS + at]
        at += 1
    return total


@kernel(types.int64(CELLS_OUT, I64_IN, types.boolean, I64_OUT, I64_OUT))
def accounts_nb(rows, scalars, only_final, accounts, places):
    """Accounts of sessions, all or those with final units, and their rows. Returns how many."""
    count, state = 0, FINAL if only_final else FINAL | OPEN
    for row in range(scalars[USED_ROWS]):
        if rows[row, STATE] & state:
            accounts[count], places[count] = rows[row, ACCOUNT], row
            count += 1
    return count
