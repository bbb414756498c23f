"""One column of a batch as one Parquet column chunk: an optional dictionary page and one data page.

The encodings are few and chosen by what is there: nothing but nulls is no values at all; one value throughout is a
dictionary of one; names are dictionary indices; noise is plain; every other integer is bit-packed differences
(Parquet's DELTA_BINARY_PACKED, blocks of 128 in miniblocks of 32). Nothing is compressed on top.

Source: https://parquet.apache.org/docs/file-format/ (pages, encodings), parquet.thrift.
"""

import numpy as np
from numba import types

from pipelines.ledger.kernels.octets import bits_nb, pack_nb, put_octet_nb, put_varint_nb, put_word_nb, put_zigzag_nb
from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, CELLS_OUT, U8_IN, U8_OUT, U64_OUT, kernel
from schemas.vectors import VECTOR, VECTORS

# What is to be written, per column of a batch: the columns of `specs`.
HOW, WIDTH, NULLABLE, SUMMED, NAMES_AT, NAMES_OCTETS, NAMES = range(7)
SPECS = 7
PLAIN, DELTA, NAMED, TRUTH = range(4)  # HOW: noise, differences, names by dictionary, booleans

# What was found and written, per column: the columns of `facts`.
(NULLS, LOW, HIGH, SUM_UPPER, SUM_LOWER, CHUNK_AT, DICTIONARY_AT, PAGE_AT, CHUNK_STOP, ENCODING) = range(10)
FACTS = 10

# Encodings, page types and physical types as parquet.thrift numbers them.
AS_PLAIN, AS_RLE, AS_DELTA, AS_DICTIONARY = 0, 3, 5, 8
DATA_PAGE, DICTIONARY_PAGE = 0, 2
BOOLEAN, INT32, INT64, BYTE_ARRAY = 0, 1, 2, 6

_BLOCK, _MINIBLOCK = 128, 32
_HEADER_OCTETS = 48  # more than any page header takes
_MOST, _LEAST = np.int64((1 << 63) - 1), np.int64(-(1 << 63))


@kernel([types.void(VECTORS, types.int64, types.int64, CELLS_IN, CELLS_OUT)])
def measure_nb(columns, start, stop, specs, facts):
    """Nulls, smallest and largest value, and sum of rows [start, stop) of every column.

    Sums are of the upper and the lower 32 bits apart, where one int64 could overflow; of columns that ask for it.
    """
    for column in range(specs.shape[0]):
        values = columns[column]
        nulls, low, high = 0, _MOST, _LEAST
        if specs[column, NULLABLE]:
            for i in range(start, stop):
                value = values[np.uint64(i)]
                null = value == ABSENT
                nulls += null
                low = min(low, _MOST if null else value)
                high = max(high, _LEAST if null else value)
        else:
            for i in range(start, stop):
                value = values[np.uint64(i)]
                low = min(low, value)
                high = max(high, value)
        facts[column, NULLS], facts[column, LOW], facts[column, HIGH] = nulls, low, high
        upper, lower = 0, 0
        if specs[column, SUMMED]:
            for i in range(start, stop):
                value = values[np.uint64(i)]
                upper += value >> 32
                lower += value & 0xFFFFFFFF
            if specs[column, NULLABLE]:
                upper += nulls
                lower -= nulls * 0xFFFFFFFF
        facts[column, SUM_UPPER], facts[column, SUM_LOWER] = upper, lower


@kernel([types.void(VECTOR, types.int64, types.int64, types.int64, U64_OUT)])
def present_nb(values, start, stop, nulls, kept):
    """Values that are there, of rows [start, stop), to the front of `kept`."""
    if nulls == 0:
        for i in range(stop - start):
            kept[np.uint64(i)] = np.uint64(values[np.uint64(start + i)])
        return
    count = 0
    for i in range(start, stop):
        value = values[np.uint64(i)]
        kept[np.uint64(count)] = np.uint64(value)
        count += value != ABSENT


@kernel([types.int64(VECTOR, types.int64, types.int64, types.int64, U8_OUT, types.int64)])
def levels_nb(values, start, stop, nulls, out, at):
    """Definition levels of rows [start, stop): which of them are there. Their octets go before them."""
    count = stop - start
    begin = at
    at += 4
    if nulls == 0 or nulls == count:
        at = put_varint_nb(out, at, np.uint64(count) << np.uint64(1))
        at = put_octet_nb(out, at, nulls == 0)
    else:
        groups = (count + 7) >> 3
        at = put_varint_nb(out, at, np.uint64(groups) << np.uint64(1) | np.uint64(1))
        whole = count >> 3
        for group in range(whole):
            octet = 0
            for bit in range(8):
                octet |= np.int64(values[np.uint64(start + 8 * group + bit)] != ABSENT) << bit
            at = put_octet_nb(out, at, octet)
        if groups > whole:
            octet = 0
            for bit in range(count - 8 * whole):
                octet |= np.int64(values[np.uint64(start + 8 * whole + bit)] != ABSENT) << bit
            at = put_octet_nb(out, at, octet)
    octets = at - begin - 4
    for k in range(4):
        put_octet_nb(out, begin + k, octets >> (8 * k) & 0xFF)
    return at


@kernel([types.int64(U64_OUT, types.int64, types.int64, U64_OUT, U8_OUT, types.int64)])
def differences_nb(values, count, width, deltas, out, at):
    """The first `count` (one or more) values as DELTA_BINARY_PACKED. deltas: (128,) room. width: 32 or 64 bits."""
    at = put_varint_nb(out, at, np.uint64(_BLOCK))
    at = put_varint_nb(out, at, np.uint64(_BLOCK // _MINIBLOCK))
    at = put_varint_nb(out, at, np.uint64(count))
    at = put_zigzag_nb(out, at, np.int64(values[0]))
    shift = 64 - width
    mask = ~np.uint64(0) >> np.uint64(shift)
    for begin in range(1, count, _BLOCK):
        size = min(_BLOCK, count - begin)
        least = _MOST
        for i in range(size):
            delta = np.int64(values[np.uint64(begin + i)] - values[np.uint64(begin + i - 1)]) << shift >> shift
            deltas[np.uint64(i)] = np.uint64(delta)
            least = min(least, delta)
        for i in range(size):
            deltas[np.uint64(i)] = (deltas[np.uint64(i)] - np.uint64(least)) & mask
        for i in range(size, _BLOCK):
            deltas[np.uint64(i)] = np.uint64(0)
        at = put_zigzag_nb(out, at, least)
        widths = at
        at += _BLOCK // _MINIBLOCK
        for mini in range(_BLOCK // _MINIBLOCK):
            low = mini * _MINIBLOCK
            together = np.uint64(0)
            for i in range(low, low + _MINIBLOCK):
                together |= deltas[np.uint64(i)]
            bits = bits_nb(together)
            put_octet_nb(out, widths + mini, bits)
            if bits:
                at = pack_nb(deltas, low, low + _MINIBLOCK, bits, out, at)
    return at


@kernel([types.int64(U64_OUT, types.int64, types.int64, U8_OUT, types.int64)])
def indices_nb(values, count, width, out, at):
    """The first `count` dictionary indices, bit-packed; room behind them is filled with index 0."""
    at = put_octet_nb(out, at, width)
    groups = (count + 7) >> 3
    at = put_varint_nb(out, at, np.uint64(groups) << np.uint64(1) | np.uint64(1))
    for i in range(count, 8 * groups):
        values[np.uint64(i)] = np.uint64(0)
    return pack_nb(values, 0, 8 * groups, width, out, at)


@kernel([types.int64(types.int64, types.int64, types.int64, U8_OUT, types.int64)])
def same_index_nb(value, count, width, out, at):
    """One dictionary index, `count` times."""
    at = put_octet_nb(out, at, width)
    at = put_varint_nb(out, at, np.uint64(count) << np.uint64(1))
    for k in range((width + 7) >> 3):
        at = put_octet_nb(out, at, value >> (8 * k) & 0xFF)
    return at


@kernel([types.int64(U64_OUT, types.int64, U8_OUT, types.int64)])
def truths_nb(values, count, out, at):
    """The first `count` values as bits, anything but 0 being true."""
    for i in range(count):
        values[np.uint64(i)] = np.uint64(values[np.uint64(i)] != np.uint64(0))
    return pack_nb(values, 0, count, 1, out, at)


@kernel([types.int64(types.int64, types.int64, types.int64, types.int64, U8_OUT, types.int64)])
def page_header_nb(kind, octets, count, encoding, out, at):
    """Thrift's PageHeader of an uncompressed page."""
    at = put_octet_nb(out, at, 0x15)
    at = put_zigzag_nb(out, at, kind)
    at = put_octet_nb(out, at, 0x15)
    at = put_zigzag_nb(out, at, octets)
    at = put_octet_nb(out, at, 0x15)
    at = put_zigzag_nb(out, at, octets)
    at = put_octet_nb(out, at, 0x4C if kind == DICTIONARY_PAGE else 0x2C)
    at = put_octet_nb(out, at, 0x15)
    at = put_zigzag_nb(out, at, count)
    at = put_octet_nb(out, at, 0x15)
    at = put_zigzag_nb(out, at, encoding)
    if kind == DATA_PAGE:
        for _ in range(2):  # how definition and repetition levels are written
            at = put_octet_nb(out, at, 0x15)
            at = put_zigzag_nb(out, at, AS_RLE)
    at = put_octet_nb(out, at, 0)
    return put_octet_nb(out, at, 0)


@kernel([types.int64(VECTORS, types.int64, types.int64, CELLS_IN, U8_IN, CELLS_OUT, U64_OUT, U64_OUT, U8_OUT, U8_OUT,
                     types.int64)])
def chunks_nb(columns, start, stop, specs, names, facts, kept, deltas, header, out, at):
    """Rows [start, stop) of every column to column chunks at `at`; `facts` must be measured. Returns where they end.

    names: dictionary pages of the named columns, whole. kept (rows + 8,), deltas (128,), header (48,): room.
    Between two chunks a few octets may lie idle: how long a page's header is shows only behind the page. They are
    zeros: what the memory held before, a number perhaps, must not come into the file.
    """
    count = stop - start
    for column in range(specs.shape[0]):
        values, how, width = columns[column], specs[column, HOW], specs[column, WIDTH]
        nulls, low, high = facts[column, NULLS], facts[column, LOW], facts[column, HIGH]
        there = count - nulls
        single = there > 0 and low == high and how != TRUTH
        chunk, dictionary = at, -1
        octets = width >> 3
        if there and how == NAMED:
            dictionary = at
            at = page_header_nb(DICTIONARY_PAGE, specs[column, NAMES_OCTETS], specs[column, NAMES], AS_PLAIN, out, at)
            for k in range(specs[column, NAMES_OCTETS]):
                out[np.uint64(at + k)] = names[np.uint64(specs[column, NAMES_AT] + k)]
            at += specs[column, NAMES_OCTETS]
        elif single:
            dictionary = at
            at = page_header_nb(DICTIONARY_PAGE, octets, 1, AS_PLAIN, out, at)
            put_word_nb(out, at, np.uint64(low))
            at += octets
        # The page's body first: a header cannot be shorter than 14 octets, and where there is a dictionary before
        # it the two must touch, so that the body moves up to it.
        body = at + _HEADER_OCTETS
        end = body
        if specs[column, NULLABLE]:
            end = levels_nb(values, start, stop, nulls, out, end)
        encoding = AS_PLAIN
        if there == 0:
            pass
        elif how == NAMED:
            encoding = AS_DICTIONARY
            bits = max(bits_nb(np.uint64(specs[column, NAMES] - 1)), 1)
            if single:
                end = same_index_nb(low, there, bits, out, end)
            else:
                present_nb(values, start, stop, nulls, kept)
                end = indices_nb(kept, there, bits, out, end)
        elif single:
            encoding = AS_DICTIONARY
            end = same_index_nb(0, there, 1, out, end)
        else:
            present_nb(values, start, stop, nulls, kept)
            if how == PLAIN:
                for i in range(there):
                    end = put_word_nb(out, end, kept[np.uint64(i)])
            elif how == DELTA:
                encoding = AS_DELTA
                end = differences_nb(kept, there, width, deltas, out, end)
            else:
                end = truths_nb(kept, there, out, end)
        size = page_header_nb(DATA_PAGE, end - body, count, encoding, header, 0)
        if dictionary < 0:
            page = body - size
            chunk = page
            for k in range(at, page):
                out[np.uint64(k)] = 0
        else:
            page = at
            for k in range(end - body):
                out[np.uint64(page + size + k)] = out[np.uint64(body + k)]
            end = page + size + end - body
        for k in range(size):
            out[np.uint64(page + k)] = header[np.uint64(k)]
        facts[column, CHUNK_AT], facts[column, DICTIONARY_AT], facts[column, PAGE_AT] = chunk, dictionary, page
        facts[column, CHUNK_STOP], facts[column, ENCODING] = end, encoding
        at = end
    return at
