"""Kernels of the duplicate index: order a batch by key hash, probe a run, encode and merge runs.

A run is one array of 64-bit words; `mediation/duplicate_runs.py` draws its layout. Rows of a run are decoded to a
matrix of `RUN_COLUMNS` columns: key_hi, key_lo, content, file_id, record_offset, key_0..key_4, key_time_us.
"""

import numpy as np
from numba import types

from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, U8_IN, U8_OUT, U64_OUT, kernel
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
S_DAY, S_FIRST, S_LAST, S_FILTER, S_LINES = range(5)
STEPS = 5

NEW, DUPLICATE, CONFLICT, TOO_OLD = 0, 1, 2, 3
OPEN, FOUND, FOLLOWS, PAST = 0, 1, 2, 3  # what is known of a row while its batch is probed

LINE_WORDS = 8          # one cache line of filter
FILTER_BITS = 16        # filter bits per key: about 1 of 700 new keys is looked up in vain

_ONE, _SIX, _FULL = np.uint64(1), np.uint64(6), np.uint64(0xFFFFFFFFFFFFFFFF)
_LOW6, _S48, _S16 = np.uint64(63), np.uint64(48), np.uint64(16)
_TWO, _THREE, _FOUR = np.uint64(2), np.uint64(3), np.uint64(4)


@kernel(None)
def _line(lo, lines):
    """First word of a key's filter line: chosen by the top 16 bits of its lower hash; the other 48 choose bits."""
    return (((lo >> _S48) * np.uint64(lines)) >> _S16) << _THREE


@kernel(None)
def _sectors(hi):
    """The two words of its line in which a key sets bits, one of the first four and one of the last."""
    return hi & _THREE, _FOUR | ((hi >> _TWO) & _THREE)


@kernel(None)
def _bits(lo, first):
    """Four bits of a word, six bits of the hash each."""
    mask = np.uint64(0)
    for k in range(4):
        mask |= _ONE << ((lo >> np.uint64(first + 6 * k)) & _LOW6)
    return mask


@kernel(None)
def _missing(filters, at, lines, hi, lo, first_bits, second_bits):
    """Bits of a key that its line lacks; none: it may be there."""
    line = at + _line(lo, lines)
    first_word, second_word = _sectors(hi)
    return (first_bits & ~filters[line + first_word]) | (second_bits & ~filters[line + second_word])


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
    """base + the value at place `row` of a packed column; wraps like int64. Reads one word on: the trailer follows."""
    place = np.uint64(row) * np.uint64(bits)
    word, shift = np.uint64(start) + (place >> _SIX), place & _LOW6
    value = (words[word] >> shift) | ((words[word + _ONE] << _ONE) << (_LOW6 - shift))
    return np.int64(np.uint64(base) + (value & _mask(bits)))


@kernel(None)
def _mask(bits):
    return np.uint64(0) if bits == 0 else _FULL >> np.uint64(64 - bits)


@kernel(types.int64(U64_IN, U64_IN, types.int64, I64_OUT, U64_OUT, U64_OUT, I64_OUT))
def order_by_hash_nb(hi, lo, bits, order, hi_sorted, lo_sorted, counts):
    """Stable order of rows by (hi, lo): one pass into 2**bits buckets by the leading bits, then insertion.

    counts (2**bits + 1,) is scratch. Returns the size of the largest bucket; above 64 the rows are left unsorted
    within buckets, and the caller sorts otherwise.
    """
    shift = np.uint64(64 - bits)
    counts[:] = 0
    for i in range(hi.size):
        counts[(hi[i] >> shift) + _ONE] += 1
    largest = 0
    for b in range(1, counts.size):
        largest = max(largest, counts[b])
        counts[b] += counts[b - 1]
    for i in range(hi.size):
        b = hi[i] >> shift
        at = np.uint64(counts[b])
        order[at] = i
        hi_sorted[at] = hi[i]
        lo_sorted[at] = lo[i]
        counts[b] += 1
    if largest > 64:
        return largest
    for i in range(1, hi.size):
        if hi_sorted[i - 1] < hi_sorted[i]:
            continue
        row, high, low = order[i], hi_sorted[i], lo_sorted[i]
        j = i - 1
        while j >= 0 and (hi_sorted[j] > high or (hi_sorted[j] == high and lo_sorted[j] > low)):
            order[j + 1], hi_sorted[j + 1], lo_sorted[j + 1] = order[j], hi_sorted[j], lo_sorted[j]
            j -= 1
        order[j + 1], hi_sorted[j + 1], lo_sorted[j + 1] = row, high, low
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


@kernel(types.void(CELLS_IN, I64_IN, U64_IN, U64_IN, U8_IN, I64_OUT, U8_OUT, U64_OUT, U64_OUT))
def find_heads_nb(matrix, order, hi, lo, too_old, head, state, first_bits, second_bits):
    """Mark repetitions inside the batch. All but matrix and too_old are by place in `order`: (day, hi, lo), stable.

    head[place]: place of the first row of the batch with the same full key, itself if there is none. state[place]:
    OPEN for heads, FOLLOWS for the others, PAST for rows that are too old, which head nobody. first_bits, second_bits:
    what each key has set in a filter, once for all runs.
    """
    group = 0
    for i in range(order.size):
        first_bits[i], second_bits[i] = _bits(lo[i], 0), _bits(lo[i], 24)
        head[i] = i
        state[i] = PAST if too_old[order[i]] != 0 else OPEN
        if hi[i] != hi[group] or lo[i] != lo[group]:
            group = i
            continue
        for j in range(group, i):
            if state[i] == OPEN and state[j] == OPEN:
                same = True
                for c in range(FULL_KEY):
                    same &= matrix[c, order[i]] == matrix[c, order[j]]
                if same:
                    head[i] = j
                    state[i] = FOLLOWS
                    break


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


@kernel(None)
def _before(steps, block, day, hi):
    """The block ends before (day, hi)."""
    its_day = steps[S_DAY, block]
    return its_day < day or (its_day == day and np.uint64(steps[S_LAST, block]) < hi)


@kernel(None)
def _block_of(steps, block, day, hi):
    """First block from `block` on that does not end before (day, hi): gallop, then halve."""
    blocks = steps.shape[1]
    if block == blocks or not _before(steps, block, day, hi):
        return block
    step = 1
    while block + step < blocks and _before(steps, block + step, day, hi):
        block += step
        step *= 2
    low, high = block + 1, min(block + step, blocks)
    while low < high:
        middle = (low + high) >> 1
        if _before(steps, middle, day, hi):
            low = middle + 1
        else:
            high = middle
    return low


@kernel(types.int64(U64_IN, U64_IN, CELLS_IN, CELLS_IN, CELLS_IN, I64_IN, U64_IN, U64_IN, I64_IN, U64_IN, U64_IN,
                    U8_OUT, CELLS_OUT))
def probe_run_nb(words, filters, steps, directory, matrix, order, hi, lo, day, first_bits, second_bits, state, found):
    """Look in one run for the keys that are OPEN; those found become FOUND. Returns how many were looked up.

    filters: copy of all filter lines of the run. steps (STEPS, blocks): what finding a block and its filter takes,
    column by column, since a large run has as many blocks as a batch has rows.
    order, hi, lo, day, state (n,) are by (day, hi, lo); matrix is the batch's KEY cells. found (3, n) takes content,
    file_id and record_offset of the recorded row.
    """
    n, blocks = order.size, steps.shape[1]
    i, block, looked_up = 0, 0, 0
    while i < n:
        block = _block_of(steps, block, day[i], hi[i])
        if block == blocks:
            break
        its_day = steps[S_DAY, block]
        first, last = np.uint64(steps[S_FIRST, block]), np.uint64(steps[S_LAST, block])
        while i < n and (day[i] < its_day or (day[i] == its_day and hi[i] < first)):
            i += 1
        stop = i
        while stop < n and day[stop] == its_day and hi[stop] <= last:
            stop += 1
        filter_at, lines = np.uint64(steps[S_FILTER, block]), steps[S_LINES, block]
        # First whether any may be there, without a branch or a store, so that many lines are fetched at a time: waiting
        # for them is most of what a probe costs.
        passed = np.uint64(0)
        for k in range(i, stop):
            missing = _missing(filters, filter_at, lines, hi[k], lo[k], first_bits[k], second_bits[k])
            passed |= np.uint64(missing == np.uint64(0))
        if passed != np.uint64(0):
            for k in range(i, stop):
                missing = _missing(filters, filter_at, lines, hi[k], lo[k], first_bits[k], second_bits[k])
                if missing != np.uint64(0) or state[k] != OPEN:
                    continue
                looked_up += 1
                place = _look_up(words, directory, block, hi[k], lo[k], matrix, order[k])
                if place >= 0:
                    state[k] = FOUND
                    found[0, k] = np.int64(words[_column_start(directory, block, 2) + place])
                    for p in range(2):
                        found[1 + p, k] = _unpack(words, _column_start(directory, block, WHOLE + p),
                                                  directory[block, D_BITS + p], directory[block, D_BASE + p], place)
        i = stop
        block += 1
        if block < blocks and steps[S_DAY, block] == its_day and np.uint64(steps[S_FIRST, block]) == last:
            # Rows of one hash lie on both sides of the edge.
            while i > 0 and hi[i - 1] == last and day[i - 1] == its_day:
                i -= 1
    return looked_up


@kernel(types.int64(CELLS_IN, I64_IN, I64_IN, U8_IN, U8_IN, I64_IN, I64_IN, CELLS_IN, U8_OUT, I64_OUT, I64_OUT,
                    I64_OUT))
def decide_nb(matrix, order, head, state, recycled, file_id, record_offset, found, verdict, first_file_id,
              first_record_offset, new_places):
    """Verdict of each row, and the places in `order` of the rows to be added. Returns how many are to be added.

    verdict, first_file_id, first_record_offset (rows) come filled with NEW, -1, -1.
    Law: as if rows were taken one by one in collection order, each against all before it.
    """
    n = 0
    for i in range(order.size):
        if state[i] == OPEN:
            new_places[n] = i
            n += 1
            continue
        row = order[i]
        if state[i] == PAST:
            verdict[row] = TOO_OLD
            continue
        first = head[i]
        if state[first] == FOUND:
            content, first_file, first_offset = found[0, first], found[1, first], found[2, first]
        else:  # followers see their head as the recorded row
            origin = order[first]
            content, first_file, first_offset = matrix[CONTENT, origin], file_id[origin], record_offset[origin]
        own = file_id[row] == first_file and record_offset[row] == first_offset
        if own and (recycled[row] != 0 or state[first] == OPEN):
            continue
        verdict[row] = DUPLICATE if content == matrix[CONTENT, row] else CONFLICT
        first_file_id[row] = first_file
        first_record_offset[row] = first_offset
    return n


@kernel(None)
def _gather(column, order, places, out):
    for i in range(places.size):
        out[i] = column[np.uint64(order[np.uint64(places[i])])]


@kernel(types.void(CELLS_IN, I64_IN, I64_IN, I64_IN, U64_IN, U64_IN, I64_IN, CELLS_OUT))
def gather_run_nb(matrix, file_id, record_offset, order, hi, lo, new_places, out):
    """Columns of a run for the places `new_places` of `order`. Column by column: one at a time fits the cache."""
    for i in range(new_places.size):
        out[0, i] = np.int64(hi[new_places[i]])
        out[1, i] = np.int64(lo[new_places[i]])
    _gather(matrix[CONTENT], order, new_places, out[2])
    _gather(file_id, order, new_places, out[3])
    _gather(record_offset, order, new_places, out[4])
    for c in range(FULL_KEY):
        _gather(matrix[c], order, new_places, out[5 + c])


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
    at = np.uint64(lines * LINE_WORDS)
    for i in range(first, first + rows):
        lo = np.uint64(columns[1, i])
        line = _line(lo, lines)
        first_word, second_word = _sectors(np.uint64(columns[0, i]))
        words[line + first_word] |= _bits(lo, 0)
        words[line + second_word] |= _bits(lo, 24)
    for c in range(WHOLE):
        for i in range(rows):
            words[at + np.uint64(i)] = np.uint64(columns[c, first + i])
        at += np.uint64(rows)
    for p in range(PACKED):
        bits, base = directory[block, D_BITS + p], np.uint64(directory[block, D_BASE + p])
        if bits == 0:
            continue
        gathered, room, word = np.uint64(0), 64, at
        for i in range(first, first + rows):
            value = np.uint64(columns[WHOLE + p, i]) - base
            gathered |= value << np.uint64(64 - room)
            room -= bits
            if room <= 0:
                words[word] = gathered
                word += _ONE
                # What did not fit: the upper -room bits of value.
                gathered = np.uint64(0) if room == 0 else value >> np.uint64(bits + room)
                room += 64
        if room < 64:
            words[word] = gathered
        at += np.uint64(_packed_words(rows, bits))
    a, b = _check(words, 0, words.size)
    directory[block, D_CHECK_A] = np.int64(a)
    directory[block, D_CHECK_B] = np.int64(b)


@kernel(types.boolean(U64_IN, CELLS_IN, types.int64, types.int64, CELLS_OUT))
def decode_block_nb(words, directory, block, size, out):
    """Decode a block of `size` words to out (RUN_COLUMNS, >= rows). False when its checks do not hold."""
    rows = directory[block, D_ROWS]
    start = directory[block, D_START]
    a, b = _check(words, start, size)
    at = np.uint64(start + directory[block, D_LINES] * LINE_WORDS)
    for c in range(WHOLE):
        for i in range(rows):
            out[c, i] = np.int64(words[at + np.uint64(i)])
        at += np.uint64(rows)
    for p in range(PACKED):
        bits, base = directory[block, D_BITS + p], directory[block, D_BASE + p]
        mask = _mask(bits)
        if bits == 0:
            for i in range(rows):
                out[WHOLE + p, i] = base
            continue
        place, low, step = at << _SIX, np.uint64(base), np.uint64(bits)
        for i in range(rows):
            word, shift = place >> _SIX, place & _LOW6
            value = (words[word] >> shift) | ((words[word + _ONE] << _ONE) << (_LOW6 - shift))
            out[WHOLE + p, i] = np.int64(low + (value & mask))
            place += step
        at += np.uint64(_packed_words(rows, bits))
    return a == np.uint64(directory[block, D_CHECK_A]) and b == np.uint64(directory[block, D_CHECK_B])


@kernel(types.int64(I64_IN, types.int64, I64_IN, I64_OUT, I64_IN, U64_OUT, I64_OUT, CELLS_OUT, types.int64,
                    types.int64))
def merge_rows_nb(sources, rows, active, cursor, available, heads, picks, out, filled, room):
    """Move rows in key_hi order from sources[active] (source, column, row), flat, to out (RUN_COLUMNS, >= room).

    active: the sources that have rows left, each with cursor < available; equal hashes come out in this order. Stops
    when `out` holds `room` rows or a source is used up, so that the caller can decode its next block. heads
    (active,) and picks (room,) are scratch. Returns the rows that `out` then holds.
    """
    for k in range(active.size):
        heads[k] = np.uint64(sources[active[k] * RUN_COLUMNS * rows + cursor[active[k]]])
    n = filled
    while n < room:
        best, best_hi = 0, heads[0]
        for k in range(1, active.size):
            less = heads[k] < best_hi
            best = k if less else best
            best_hi = heads[k] if less else best_hi
        source = active[best]
        at = cursor[source]
        first = source * RUN_COLUMNS * rows
        picks[n] = first + at
        n += 1
        at += 1
        cursor[source] = at
        if at == available[source]:
            break
        heads[best] = np.uint64(sources[first + at])
    for c in range(RUN_COLUMNS):
        column = np.uint64(c * rows)
        for i in range(filled, n):
            out[c, i] = sources[np.uint64(picks[i]) + column]
    return n
