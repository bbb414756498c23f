"""Kernels of the duplicate index: order a batch by key hash, probe a run, encode and merge runs.

A run is one array of 64-bit words; `mediation/duplicate_runs.py` draws its layout. Rows of a run are decoded to a
matrix of `RUN_COLUMNS` columns: key_hi, key_lo, content, file_id, record_offset, key_0..key_4, key_time_us.
"""

import numpy as np
from numba import types

from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, U8_IN, U64_OUT, kernel
from schemas.usage import KEY

U64_IN = types.Array(types.uint64, 1, "C", readonly=True)

DAY_US = 86_400_000_000
FULL_KEY = 6  # key_0..key_4 and key_time_us, the first rows of the key matrix
HI, LO, CONTENT, TIME = (KEY.index(name) for name in ("key_hi", "key_lo", "content", "key_time_us"))

# Columns of a decoded run. The first three are whole words; the rest are packed: value - base in `bits` bits.
RUN_COLUMNS, WHOLE, PACKED = 11, 3, 8

# One directory row per block, int64.
D_DAY, D_FIRST, D_LAST, D_START, D_ROWS, D_LINES, D_CHECK_A, D_CHECK_B, D_BASE, D_BITS = 0, 1, 2, 3, 4, 5, 6, 7, 8, 16
DIRECTORY_COLUMNS = 24

NEW, DUPLICATE, CONFLICT, TOO_OLD = 0, 1, 2, 3

LINE_WORDS = 8          # one cache line of filter
FILTER_BITS = 12        # filter bits per key: about 1 % of new keys are looked up in vain

_ONE, _SIX, _WORD, _FULL = np.uint64(1), np.uint64(6), np.uint64(64), np.uint64(0xFFFFFFFFFFFFFFFF)
_LOW6, _S48 = np.uint64(63), np.uint64(48)


@kernel(None)
def _line(lo, lines):
    """Which filter line a key belongs to: the top 16 bits of its lower hash; the other 48 choose the bits."""
    return np.int64(((lo >> _S48) * np.uint64(lines)) >> np.uint64(16))


@kernel(None)
def _in_filter(words, at, lo):
    """One bit in each of the eight words of a line."""
    hit = _ONE
    for k in range(LINE_WORDS):
        hit &= words[at + k] >> ((lo >> np.uint64(6 * k)) & _LOW6)
    return hit == _ONE


@kernel(None)
def _packed_words(rows, bits):
    return (rows * bits + 63) >> 6


@kernel(None)
def _column_start(directory, block, column):
    """Word at which a column of a block starts. Columns follow the filter, whole ones first."""
    rows = directory[block, D_ROWS]
    start = directory[block, D_START] + directory[block, D_LINES] * LINE_WORDS
    if column < WHOLE:
        return start + column * rows
    start += WHOLE * rows
    for p in range(column - WHOLE):
        start += _packed_words(rows, directory[block, D_BITS + p])
    return start


@kernel(None)
def _unpack(words, start, bits, base, row):
    """base + the value of `bits` bits at place `row` of a packed column; wraps like int64."""
    if bits == 0:
        return base
    place = row * bits
    word = start + (place >> 6)
    shift = np.uint64(place & 63)
    value = words[word] >> shift
    if np.int64(shift) + bits > 64:
        value |= words[word + 1] << (_WORD - shift)
    value &= _FULL >> np.uint64(64 - bits)
    return base + np.int64(value)


@kernel(types.int64(U64_IN, U64_IN, I64_IN, I64_OUT, I64_OUT, U64_OUT))
def order_by_hash_nb(hi, lo, counts_shape, order, counts, carried):
    """Stable order of rows by (hi, lo): one pass into buckets by the leading bits, then insertion.

    counts (buckets + 1,) with buckets a power of two, counts_shape (1,) its bits. Returns the size of the largest
    bucket; above 64 the order is left unsorted within buckets and the caller sorts otherwise.
    """
    shift = np.uint64(64 - counts_shape[0])
    counts[:] = 0
    for i in range(hi.size):
        counts[np.int64(hi[i] >> shift) + 1] += 1
    largest = 0
    for b in range(1, counts.size):
        largest = max(largest, counts[b])
        counts[b] += counts[b - 1]
    for i in range(hi.size):
        b = np.int64(hi[i] >> shift)
        order[counts[b]] = i
        carried[counts[b]] = hi[i]
        counts[b] += 1
    if largest > 64:
        return largest
    for i in range(1, hi.size):
        row, value = order[i], carried[i]
        j = i - 1
        while j >= 0 and (carried[j] > value or (carried[j] == value and lo[order[j]] > lo[row])):
            order[j + 1], carried[j + 1] = order[j], carried[j]
            j -= 1
        order[j + 1], carried[j + 1] = row, value
    return largest


@kernel(types.void(I64_IN, I64_IN, I64_OUT, I64_OUT))
def order_by_day_nb(order, day, counts, by_day):
    """Stable counting sort of `order` by day (n,), which counts from 0 to counts.size - 2."""
    counts[:] = 0
    for i in range(day.size):
        counts[day[i] + 1] += 1
    for d in range(1, counts.size):
        counts[d] += counts[d - 1]
    for i in range(order.size):
        d = day[order[i]]
        by_day[counts[d]] = order[i]
        counts[d] += 1


@kernel(None)
def _same_key(matrix, one, other):
    same = True
    for c in range(FULL_KEY):
        same &= matrix[c, one] == matrix[c, other]
    return same


@kernel(types.void(CELLS_IN, I64_IN, U8_IN, I64_OUT))
def find_heads_nb(matrix, order, too_old, head):
    """head[row]: the first row of the batch with the same full key, itself if there is none.

    order (n,) by (day, key_hi, key_lo), stable, so that rows of one key are neighbours in collection order. Rows
    that are too old head nobody.
    """
    group = 0
    for i in range(order.size):
        row = order[i]
        head[row] = row
        first = order[group]
        if matrix[HI, row] != matrix[HI, first] or matrix[LO, row] != matrix[LO, first]:
            group = i
            continue
        for j in range(group, i):
            other = order[j]
            if head[other] == other and too_old[other] == 0 and _same_key(matrix, row, other):
                head[row] = other
                break


@kernel(types.int64(CELLS_IN, I64_IN, I64_IN, U8_IN, I64_OUT, U64_OUT, U64_OUT, I64_OUT))
def gather_heads_nb(matrix, order, head, too_old, rows, hi, lo, day):
    """Heads that are not too old, in order, with what a probe reads of each. Returns their number."""
    n = 0
    for i in range(order.size):
        row = order[i]
        if head[row] == row and too_old[row] == 0:
            rows[n] = row
            hi[n] = np.uint64(matrix[HI, row])
            lo[n] = np.uint64(matrix[LO, row])
            day[n] = matrix[TIME, row] // DAY_US
            n += 1
    return n


@kernel(None)
def _look_up(words, directory, block, hi, lo, matrix, row):
    """Place in the block of the row with this hash and the same full key, or -1."""
    start = _column_start(directory, block, 0)
    count = directory[block, D_ROWS]
    low, high = start, start + count
    while low < high:
        middle = (low + high) >> 1
        if words[middle] < hi:
            low = middle + 1
        else:
            high = middle
    place = low - start
    while place < count and words[start + place] == hi:
        if words[start + count + place] == lo:
            column = start + WHOLE * count
            same = True
            for p in range(PACKED):
                bits = directory[block, D_BITS + p]
                # The first two packed columns are the origin; the rest is the full key.
                if p >= 2 and _unpack(words, column, bits, directory[block, D_BASE + p], place) != matrix[p - 2, row]:
                    same = False
                    break
                column += _packed_words(count, bits)
            if same:
                return place
        place += 1
    return -1


@kernel(types.int64(U64_IN, CELLS_IN, CELLS_IN, I64_IN, U64_IN, U64_IN, I64_IN, CELLS_OUT))
def probe_run_nb(words, directory, matrix, rows, hi, lo, day, found):
    """Look for keys in one run. Rows, hi, lo, day (m,) are sorted by (day, hi, lo).

    matrix is the batch's KEY cells. found (4, batch rows): 1 where found, then content, file_id, record_offset of the
    recorded row; rows already found in another run are skipped. Returns how many were found.
    """
    block, blocks, hits = 0, directory.shape[0], 0
    for i in range(rows.size):
        while block < blocks and (directory[block, D_DAY] < day[i] or (
                directory[block, D_DAY] == day[i] and np.uint64(directory[block, D_LAST]) < hi[i])):
            block += 1
        at = block
        while at < blocks and directory[at, D_DAY] == day[i] and np.uint64(directory[at, D_FIRST]) <= hi[i]:
            line = directory[at, D_START] + _line(lo[i], directory[at, D_LINES]) * LINE_WORDS
            if _in_filter(words, line, lo[i]) and found[0, rows[i]] == 0:
                place = _look_up(words, directory, at, hi[i], lo[i], matrix, rows[i])
                if place >= 0:
                    row = rows[i]
                    found[0, row] = 1
                    found[1, row] = np.int64(words[_column_start(directory, at, 2) + place])
                    for p in range(2):
                        found[2 + p, row] = _unpack(words, _column_start(directory, at, WHOLE + p),
                                                    directory[at, D_BITS + p], directory[at, D_BASE + p], place)
                    hits += 1
                    break
            at += 1
    return hits


@kernel(types.int64(CELLS_IN, I64_IN, I64_IN, U8_IN, U8_IN, I64_IN, I64_IN, CELLS_IN, CELLS_OUT, I64_OUT))
def decide_nb(matrix, order, head, too_old, recycled, file_id, record_offset, found, verdict, new_rows):
    """Verdict of each row and, in `order`, the rows to be added. Returns how many are to be added.

    verdict (3, n): code, first_file_id, first_record_offset. found: as `probe_run_nb` left it, 0 where unknown.
    Law: as if rows were taken one by one in collection order, each against all before it.
    """
    n = 0
    for i in range(order.size):
        row = order[i]
        first = head[row]
        verdict[1, row] = -1
        verdict[2, row] = -1
        if too_old[row] != 0:
            verdict[0, row] = TOO_OLD
            continue
        if found[0, first] == 0:
            if first == row:
                verdict[0, row] = NEW
                new_rows[n] = row
                n += 1
                continue
            # Followers see their head as the recorded row.
            content, first_file, first_offset = matrix[CONTENT, first], file_id[first], record_offset[first]
        else:
            content, first_file, first_offset = found[1, first], found[2, first], found[3, first]
        own = file_id[row] == first_file and record_offset[row] == first_offset
        if own and (recycled[row] != 0 or found[0, first] == 0):
            verdict[0, row] = NEW
            continue
        verdict[0, row] = DUPLICATE if content == matrix[CONTENT, row] else CONFLICT
        verdict[1, row] = first_file
        verdict[2, row] = first_offset
    return n


@kernel(types.void(CELLS_IN, I64_IN, I64_IN, I64_IN, CELLS_OUT))
def gather_run_nb(matrix, file_id, record_offset, rows, out):
    """Columns of a run for the given rows of a batch."""
    for i in range(rows.size):
        row = rows[i]
        out[0, i] = matrix[HI, row]
        out[1, i] = matrix[LO, row]
        out[2, i] = matrix[CONTENT, row]
        out[3, i] = file_id[row]
        out[4, i] = record_offset[row]
    for c in range(FULL_KEY):
        for i in range(rows.size):
            out[5 + c, i] = matrix[c, rows[i]]


@kernel(types.int64(CELLS_IN, types.int64, types.int64, types.int64, types.int64, CELLS_OUT, types.int64))
def measure_block_nb(columns, first, rows, start, day, directory, block):
    """Fill the directory row of columns[:, first:first + rows], all of one day. Returns words needed, line-aligned."""
    lines = max(1, (rows * FILTER_BITS + 511) // 512)
    directory[block, D_DAY] = day
    directory[block, D_FIRST] = columns[0, first]
    directory[block, D_LAST] = columns[0, first + rows - 1]
    directory[block, D_START] = start
    directory[block, D_ROWS] = rows
    directory[block, D_LINES] = lines
    directory[block, D_CHECK_A] = 0
    directory[block, D_CHECK_B] = 0
    words = lines * LINE_WORDS + WHOLE * rows
    for p in range(PACKED):
        low = columns[WHOLE + p, first]
        high = low
        for i in range(first, first + rows):
            low = min(low, columns[WHOLE + p, i])
            high = max(high, columns[WHOLE + p, i])
        span = np.uint64(high) - np.uint64(low)
        bits = 0
        while bits < 64 and (span >> np.uint64(bits)) != np.uint64(0):
            bits += 1
        directory[block, D_BASE + p] = low
        directory[block, D_BITS + p] = bits
        words += _packed_words(rows, bits)
    return (words + LINE_WORDS - 1) // LINE_WORDS * LINE_WORDS


@kernel(None)
def _check(words, start, count):
    """Sum and sum of sums of words: tells damage by chance, not by intent."""
    a, b = np.uint64(0), np.uint64(0)
    for i in range(start, start + count):
        a += words[i]
        b += a
    return a, b


@kernel(types.void(CELLS_IN, types.int64, CELLS_OUT, types.int64, U64_OUT))
def encode_block_nb(columns, first, directory, block, words):
    """Write the block that `measure_block_nb` measured to words (exactly its size), its checks to the directory."""
    rows, lines = directory[block, D_ROWS], directory[block, D_LINES]
    words[:] = np.uint64(0)
    at = lines * LINE_WORDS
    for i in range(rows):
        lo = np.uint64(columns[1, first + i])
        line = _line(lo, lines) * LINE_WORDS
        for k in range(LINE_WORDS):
            words[line + k] |= _ONE << ((lo >> np.uint64(6 * k)) & _LOW6)
    for c in range(WHOLE):
        for i in range(rows):
            words[at + i] = np.uint64(columns[c, first + i])
        at += rows
    for p in range(PACKED):
        bits, base = directory[block, D_BITS + p], np.uint64(directory[block, D_BASE + p])
        if bits == 0:
            continue
        place = 0
        for i in range(rows):
            value = np.uint64(columns[WHOLE + p, first + i]) - base
            word = at + (place >> 6)
            shift = np.uint64(place & 63)
            words[word] |= value << shift
            if (place & 63) + bits > 64:
                words[word + 1] |= value >> (_WORD - shift)
            place += bits
        at += _packed_words(rows, bits)
    a, b = _check(words, 0, words.size)
    directory[block, D_CHECK_A] = np.int64(a)
    directory[block, D_CHECK_B] = np.int64(b)


@kernel(types.boolean(U64_IN, CELLS_IN, types.int64, types.int64, CELLS_OUT))
def decode_block_nb(words, directory, block, size, out):
    """Decode a block of `size` words to out (RUN_COLUMNS, >= rows). False when its checks do not hold."""
    rows = directory[block, D_ROWS]
    start = directory[block, D_START]
    a, b = _check(words, start, size)
    at = start + directory[block, D_LINES] * LINE_WORDS
    for c in range(WHOLE):
        for i in range(rows):
            out[c, i] = np.int64(words[at + i])
        at += rows
    for p in range(PACKED):
        bits, base = directory[block, D_BITS + p], directory[block, D_BASE + p]
        for i in range(rows):
            out[WHOLE + p, i] = _unpack(words, at, bits, base, i)
        at += _packed_words(rows, bits)
    return a == np.uint64(directory[block, D_CHECK_A]) and b == np.uint64(directory[block, D_CHECK_B])


@kernel(types.int64(types.Array(types.int64, 3, "C"), I64_OUT, I64_IN, CELLS_OUT, types.int64, types.int64))
def merge_rows_nb(sources, cursor, available, out, filled, room):
    """Move rows in (hi, lo) order from the sources (source, column, row) to out (RUN_COLUMNS, >= room).

    Stops when `out` holds `room` rows or a source with cursor < available has been used up, so that the caller can
    decode its next block; a source with available 0 has ended. Equal hashes: the earlier source first.
    Returns the rows that `out` then holds.
    """
    while filled < room:
        best = -1
        best_hi, best_lo = np.uint64(0), np.uint64(0)
        for s in range(cursor.size):
            if cursor[s] < available[s]:
                hi = np.uint64(sources[s, 0, cursor[s]])
                if best < 0 or hi <= best_hi:
                    lo = np.uint64(sources[s, 1, cursor[s]])
                    if best < 0 or hi < best_hi or lo < best_lo:
                        best, best_hi, best_lo = s, hi, lo
        if best < 0:
            return filled
        row = cursor[best]
        for c in range(RUN_COLUMNS):
            out[c, filled] = sources[best, c, row]
        filled += 1
        cursor[best] += 1
        if cursor[best] == available[best]:
            return filled
    return filled
