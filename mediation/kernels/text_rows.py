"""Spans of a record to one DECODED row, driven by the compiled field table of a layout.

Every text family finds the spans of its fields in its own way (`csv_lines`, `fixed_lines`, `json_lines`,
`radius_packets`) and hands them here. A field table is int64 (fields, FIELD_WIDTH); texts it needs (prefixes,
patterns, map keys) lie in one byte pool.
"""

from numba import types

from mediation.kernels.text_values import (
    LARGEST,
    LONGEST_TEXT,
    boolean_nb,
    byte_nb,
    clock_nb,
    compact_time_nb,
    decimal_nb,
    digits_nb,
    hexadecimal_nb,
    ipv4_nb,
    iso_time_nb,
    pattern_time_nb,
    phone_nb,
    plmn_nb,
    unsigned_nb,
)
from schemas.codes import NumberType, Reason
from schemas.columns import ABSENT
from schemas.decoded import DECODED
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, U8_IN, U8_OUT, kernel

# Columns of a field table. SKIP: how many of the fields after this one are its alternatives, passed over when it is
# there. BAD and NEGATIVE: the reasons for a value that cannot be read, and for one below zero.
(SLOT, CONVERSION, TARGET, COMPANION, MODE, SKIP, ARGUMENT, MULTIPLY, ROUNDING, PREFIX_AT, PREFIX_END, TABLE_AT,
 TABLE_END, BAD, NEGATIVE, FIELD_WIDTH) = range(16)

# Conversions.
(TEXT, NUMBER, HEXADECIMAL, UNSIGNED, DIGITS, IMEI, PHONE, IPV4, ADDRESS, BOOLEAN, PRESENT, PLMN, ISO_TIME,
 COMPACT_TIME, PATTERN_TIME, CLOCK, CODE_MAP) = range(17)

# Modes: what a value does to its target column. ADD counts an absent target as 0; SUBTRACT leaves it absent.
SET, ADD, SUBTRACT = range(3)

# Columns of a map table (entries sorted by hash within a map), and what a map does with an unlisted text.
MAP_HASH, MAP_AT, MAP_END, MAP_VALUE, MAP_WIDTH = range(5)
REFUSE = -2

# Columns of a span table; PLAIN needs nothing, the others are unescaped before all conversions but text.
SPAN_START, SPAN_STOP, SPAN_FLAG, SPAN_WIDTH = range(4)
PLAIN, JSON_ESCAPES, DOUBLED_QUOTES = range(3)

STATUS, STATUS_OFFSET = DECODED.index("status"), DECODED.index("status_offset")
RECORD_OFFSET, RECORD_LENGTH = DECODED.index("record_offset"), DECODED.index("record_length")
CONTAINER_INDEX, CONTAINER_COUNT = DECODED.index("container_index"), DECODED.index("container_count")
COLUMN_COUNT = len(DECODED.columns)
# Working rows are row-major: the columns of DECODED, then the layout's own values (`_name`).
OWN_VALUES = 16
ROW_WIDTH = COLUMN_COUNT + OWN_VALUES

_OK, _BAD = int(Reason.OK), int(Reason.BAD_VALUE)
_TEXT_TYPE, _INTERNATIONAL = int(NumberType.TEXT), int(NumberType.INTERNATIONAL)


@kernel(None)
def hash_nb(buffer, start, stop):
    """FNV-1a folded to 62 bits: finds map entries and JSON keys, which are then compared byte by byte."""
    value = -3750763034362895579
    for i in range(start, stop):
        value = (value ^ byte_nb(buffer, i)) * 1099511628211
    return value & 0x3FFFFFFFFFFFFFFF


@kernel(None)
def same_nb(buffer, start, stop, pool, at, end):
    """Whether two spans hold the same bytes."""
    if stop - start != end - at:
        return False
    for i in range(stop - start):
        if byte_nb(buffer, start + i) != byte_nb(pool, at + i):
            return False
    return True


@kernel(types.UniTuple(types.int64, 2)(U8_IN, types.int64, types.int64, CELLS_IN, types.int64, types.int64, U8_IN))
def find_nb(buffer, start, stop, maps, low, high, pool):
    """Value that a map gives for a text, and 1; or 0, 0. Entries `[low, high)` are sorted by hash."""
    wanted = hash_nb(buffer, start, stop)
    while low < high:
        middle = (low + high) >> 1
        if maps[middle, MAP_HASH] < wanted:
            low = middle + 1
        else:
            high = middle
    while low < maps.shape[0] and maps[low, MAP_HASH] == wanted:
        if same_nb(buffer, start, stop, pool, maps[low, MAP_AT], maps[low, MAP_END]):
            return maps[low, MAP_VALUE], 1
        low += 1
    return 0, 0


@kernel(None)
def _hex_nb(byte):
    if 48 <= byte <= 57:
        return byte - 48
    byte |= 32
    return byte - 87 if 97 <= byte <= 102 else -1


@kernel(types.int64(U8_IN, types.int64, types.int64, types.int64, U8_OUT))
def unescape_nb(buffer, start, stop, flag, scratch):
    """Write a text without its escapes to `scratch`; its length, or -1 when it is too long or wrong.

    Characters beyond ASCII that JSON wrote as \\u become `?`: no conversion but text takes them anyway.
    """
    at, i = 0, start
    while i < stop:
        if at >= scratch.size:
            return -1
        byte = byte_nb(buffer, i)
        if flag == DOUBLED_QUOTES:
            if i + 1 < stop and byte == byte_nb(buffer, i + 1) and (byte == 34 or byte == 39):
                i += 1
        elif byte == 92:
            i += 1
            if i >= stop:
                return -1
            byte = byte_nb(buffer, i)
            if byte == 117:
                if i + 4 >= stop:
                    return -1
                code = 0
                for k in range(1, 5):
                    digit = _hex_nb(byte_nb(buffer, i + k))
                    if digit < 0:
                        return -1
                    code = code * 16 + digit
                byte = code if code < 128 else 63
                i += 4
            elif byte == 110 or byte == 116 or byte == 114 or byte == 98 or byte == 102:
                byte = 32
        scratch[at] = byte
        at += 1
        i += 1
    return at


_SIGNATURE = types.UniTuple(types.int64, 2)(U8_IN, CELLS_IN, CELLS_IN, types.int64, types.int64, U8_IN, CELLS_IN,
                                            I64_IN, U8_OUT, U8_IN, CELLS_OUT, types.int64)


@kernel(_SIGNATURE)
def convert_row_nb(buffer, spans, fields, first, last, pool, maps, nulls, scratch, scratch_in, rows, row):
    """Fill `rows[row]` from the spans by fields `[first, last)`; returns the reason (0: OK) and where it lies.

    `scratch_in` is a read-only view of `scratch`. `nulls` holds two bounds: the map entries that stand for nothing.
    """
    f = first
    while f < last:
        slot, conversion = fields[f, SLOT], fields[f, CONVERSION]
        start, stop, escaped = spans[slot, SPAN_START], spans[slot, SPAN_STOP], spans[slot, SPAN_FLAG] != PLAIN
        source, at = buffer, start
        if conversion != UNSIGNED:
            while start < stop and (byte_nb(buffer, start) == 32 or byte_nb(buffer, start) == 9):
                start += 1
            while stop > start and (byte_nb(buffer, stop - 1) == 32 or byte_nb(buffer, stop - 1) == 9):
                stop -= 1
        if start >= 0 and escaped and conversion != TEXT:
            stop = unescape_nb(buffer, start, stop, spans[slot, SPAN_FLAG], scratch)
            if stop < 0:
                return _BAD, at
            source, start = scratch_in, 0
        present = start >= 0 and stop > start
        if present and nulls[1] > nulls[0]:
            _, hit = find_nb(source, start, stop, maps, nulls[0], nulls[1], pool)
            present = hit == 0
        if present and fields[f, PREFIX_END] > fields[f, PREFIX_AT]:
            length = fields[f, PREFIX_END] - fields[f, PREFIX_AT]
            present = stop - start > length and same_nb(source, start, start + length, pool, fields[f, PREFIX_AT],
                                                        fields[f, PREFIX_END])
            start += length
        if not present:
            f += 1
            continue
        value, good, companion = 0, True, ABSENT
        argument, multiply = fields[f, ARGUMENT], fields[f, MULTIPLY]
        if conversion == NUMBER:
            value, good = decimal_nb(source, start, stop, multiply, fields[f, ROUNDING])
        elif conversion == PHONE:
            value, companion = phone_nb(source, start, stop, argument)
            if companion == _TEXT_TYPE:
                good = not escaped and stop - start <= LONGEST_TEXT
        elif conversion == TEXT:
            value, good = start << 16 | (stop - start), stop - start <= LONGEST_TEXT
        elif conversion == ISO_TIME:
            value, good = iso_time_nb(source, start, stop, argument)
        elif conversion == CODE_MAP:
            value, hit = find_nb(source, start, stop, maps, fields[f, TABLE_AT], fields[f, TABLE_END], pool)
            if hit == 0:
                value, good = argument, argument != REFUSE
        elif conversion == UNSIGNED:
            value, good = unsigned_nb(source, start, stop)
            good = good and value <= LARGEST // multiply
            value *= multiply
        elif conversion == COMPACT_TIME:
            value, good = compact_time_nb(source, start, stop, argument)
        elif conversion == DIGITS or conversion == IMEI:
            if conversion == IMEI and stop - start > 14:
                stop = start + 14
            if byte_nb(source, start) == 43:
                start, companion = start + 1, _INTERNATIONAL
            else:
                companion = argument
            value, good = digits_nb(source, start, stop)
        elif conversion == IPV4:
            value, good = ipv4_nb(source, start, stop)
        elif conversion == ADDRESS:
            value, good = ipv4_nb(source, start, stop)
            companion = 0
            if not good and not escaped:
                for i in range(start, stop):
                    good = good or byte_nb(source, i) == 58
                value, companion = start << 16 | (stop - start), 1
        elif conversion == BOOLEAN:
            value, good = boolean_nb(source, start, stop)
        elif conversion == PRESENT:
            value = 1
        elif conversion == PLMN:
            value, good = plmn_nb(source, start, stop)
        elif conversion == CLOCK:
            value, good = clock_nb(source, start, stop, fields[f, ROUNDING])
        elif conversion == HEXADECIMAL:
            value, good = hexadecimal_nb(source, start, stop)
        else:
            value, good = pattern_time_nb(source, start, stop, pool, fields[f, TABLE_AT], fields[f, TABLE_END],
                                          argument)
        if not good:
            return fields[f, BAD], at
        target = fields[f, TARGET]
        mode, before = fields[f, MODE], rows[row, target]
        if mode == ADD:
            value += max(before, 0)
        elif mode == SUBTRACT:
            if before == ABSENT:
                f += 1
                continue
            value = before - value
        if value < 0 and not (value == ABSENT and conversion == CODE_MAP and mode == SET):
            return fields[f, NEGATIVE], at
        rows[row, target] = value
        if fields[f, COMPANION] >= 0 and companion != ABSENT:
            rows[row, fields[f, COMPANION]] = companion
        f += 1 + fields[f, SKIP]
    return _OK, ABSENT
