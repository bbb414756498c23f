"""Newline JSON to DECODED rows: one walk over the bytes, driven by the layout's key paths.

The paths form a tree of nodes; a key is looked up by (node, hash of the key) in an open table and then compared
byte by byte. A node may have a slot (its value's span is kept) or begin a list of containers. Keys without a node
are skipped with their whole value. One or two lists may be nested: the inner one's elements are the rows; the
outer's fields belong to every row of that element, the record's fields to all. Keys come in any order, so spans
are kept and converted at the end of the record.
"""

from numba import types

from mediation.kernels.csv_lines import (
    KIND_SLOT,
    LF,
    LONGEST_RECORD,
    SETTING_COUNT,
    after_blank_nb,
    fail_row_nb,
    kind_nb,
    line_end_nb,
    open_row_nb,
)
from mediation.kernels.text_derive import KIND_FIELDS, finish_row_nb
from mediation.kernels.text_rows import (
    CONTAINER_COUNT,
    CONTAINER_INDEX,
    JSON_ESCAPES,
    PLAIN,
    RECORD_LENGTH,
    ROW_WIDTH,
    SPAN_FLAG,
    SPAN_START,
    SPAN_STOP,
    SPAN_WIDTH,
    convert_row_nb,
    same_nb,
)
from mediation.kernels.text_values import byte_nb
from schemas.codes import Reason
from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, U8_IN, U8_OUT, kernel

_OK, _MALFORMED, _TRUNCATED = int(Reason.OK), int(Reason.MALFORMED_RECORD), int(Reason.TRUNCATED_RECORD)
_UNFRAMED, _UNKNOWN = int(Reason.UNFRAMED_BYTES), int(Reason.UNKNOWN_RECORD_TYPE)
_TOO_MANY = int(Reason.TOO_MANY_CONTAINERS)

# Columns of the key table, keyed by node and key hash; an empty place has KEY_NODE -1.
KEY_NODE, KEY_HASH, KEY_AT, KEY_END, KEY_CHILD, KEY_WIDTH = range(6)
# Columns of the node table. LEVEL: 0 record, 1 outer list element, 2 inner; LIST: the level its elements open, or 0.
NODE_SLOT, NODE_LEVEL, NODE_LIST, NODE_WIDTH = range(4)

MOST_CONTAINERS = 1000
MOST_DEPTH = 64
LEVELS = SETTING_COUNT  # setting after those of the line formats: how many lists are nested, 0, 1 or 2

_QUOTE, _BACKSLASH, _OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _COMMA, _COLON = 34, 92, 123, 125, 91, 93, 44, 58


@kernel(None)
def _space_nb(buffer, at, end):
    """The next byte that is no blank; line feeds end a record and are not passed."""
    while at < end and (byte_nb(buffer, at) == 32 or byte_nb(buffer, at) == 9 or byte_nb(buffer, at) == 13):
        at += 1
    return at


@kernel(None)
def _string_nb(buffer, at, end):
    """Where the string that begins after `at - 1` closes and whether it has escapes; -1 when it does not close."""
    flag = PLAIN
    while at < end:
        byte = byte_nb(buffer, at)
        if byte == _QUOTE:
            return at, flag
        if byte == _BACKSLASH:
            flag = JSON_ESCAPES
            at += 1
            if at >= end:
                return -1, flag
            byte = byte_nb(buffer, at)
        if byte < 32:
            return -1, flag
        at += 1
    return -1, flag


@kernel(None)
def _scalar_nb(buffer, at, end):
    """Where a number or literal ends."""
    while at < end:
        byte = byte_nb(buffer, at)
        if not (48 <= byte <= 57 or 97 <= byte | 32 <= 122 or byte == 45 or byte == 43 or byte == 46):
            break
        at += 1
    return at


@kernel(None)
def _word_nb(buffer, at, length):
    value = 0
    for i in range(length):
        value = value << 8 | byte_nb(buffer, at + i)
    return value


@kernel(None)
def literal_nb(buffer, at, stop):
    """1 for a JSON number, 2 for null, 3 for true or false, 0 for no JSON value."""
    first = byte_nb(buffer, at)
    length = stop - at
    if first == 110:
        return 2 if length == 4 and _word_nb(buffer, at, 4) == 0x6E756C6C else 0
    if first == 116:
        return 3 if length == 4 and _word_nb(buffer, at, 4) == 0x74727565 else 0
    if first == 102:
        return 3 if length == 5 and _word_nb(buffer, at, 5) == 0x66616C7365 else 0
    if first == 45:
        at += 1
    if at >= stop or not 48 <= byte_nb(buffer, at) <= 57 or (byte_nb(buffer, at) == 48 and at + 1 < stop
                                                    and 48 <= byte_nb(buffer, at + 1) <= 57):
        return 0
    while at < stop and 48 <= byte_nb(buffer, at) <= 57:
        at += 1
    if at < stop and byte_nb(buffer, at) == 46:
        at += 1
        if at >= stop or not 48 <= byte_nb(buffer, at) <= 57:
            return 0
        while at < stop and 48 <= byte_nb(buffer, at) <= 57:
            at += 1
    if at < stop and byte_nb(buffer, at) | 32 == 101:
        at += 1
        if at < stop and (byte_nb(buffer, at) == 43 or byte_nb(buffer, at) == 45):
            at += 1
        if at >= stop:
            return 0
        while at < stop and 48 <= byte_nb(buffer, at) <= 57:
            at += 1
    return 1 if at == stop else 0


@kernel(None)
def key_hash_nb(buffer, start, stop):
    """Length, first, middle and last byte of a key: enough to tell a layout's keys apart, mostly."""
    length = stop - start
    if length == 0:
        return 0
    middle = byte_nb(buffer, start + (length >> 1))
    return (length * 0x9E3779B1 + byte_nb(buffer, start) * 0x85EBCA6B + middle * 0xC2B2AE35
            + byte_nb(buffer, stop - 1) * 0x27D4EB2F) & 0x7FFFFFFF


@kernel(None)
def child_nb(buffer, start, stop, node, keys, pool):
    """Node of a key below `node`, or -1. The table's size is a power of two and it is never full."""
    mask = keys.shape[0] - 1
    value = key_hash_nb(buffer, start, stop)
    place = ((value >> 7) ^ value ^ node * 0x9E3779B1) & mask
    while keys[place, KEY_NODE] >= 0:
        if keys[place, KEY_NODE] == node and keys[place, KEY_HASH] == value and same_nb(
                buffer, start, stop, pool, keys[place, KEY_AT], keys[place, KEY_END]):
            return keys[place, KEY_CHILD]
        place = (place + 1) & mask
    return -1


_WALK = types.UniTuple(types.int64, 4)(U8_IN, types.int64, types.int64, types.int64, CELLS_IN, CELLS_IN, U8_IN,
                                       CELLS_OUT, CELLS_OUT, CELLS_OUT)


@kernel(_WALK)
def walk_nb(buffer, at, end, levels, keys, nodes, pool, spans, places, stack):
    """Walk one object; returns where it ends, the reason (0: OK), outer and inner elements met.

    spans (3, most * slots * 3)  spans by level and element: level 0 has one element
    places (most, 1)                  the outer element of each inner one
    stack (depth, 3)                  node, is-list and list level of the open structures
    """
    slot_room = spans.shape[1] // (MOST_CONTAINERS + 1)
    outer, inner, depth = 0, 0, 0
    if at >= end or byte_nb(buffer, at) != _OPEN:
        return at, _MALFORMED, 0, 0
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, 0, 0
    at = _space_nb(buffer, at + 1, end)
    first = True
    while True:
        at = _space_nb(buffer, at, end)
        if at >= end:
            return at, _TRUNCATED, outer, inner
        byte = byte_nb(buffer, at)
        node, is_list = stack[depth, 0], stack[depth, 1]
        if byte == (_CLOSE_LIST if is_list == 1 else _CLOSE):
            depth -= 1
            at += 1
            if depth < 0:
                return at, _OK, outer, inner
            first = False
            continue
        if not first:
            if byte != _COMMA:
                return at, _MALFORMED, outer, inner
            at = _space_nb(buffer, at + 1, end)
            if at >= end:
                return at, _TRUNCATED, outer, inner
        first = False
        child = -1
        if is_list == 0:
            if byte_nb(buffer, at) != _QUOTE:
                return at, _MALFORMED, outer, inner
            begin = at + 1
            at = begin
            while at < end:
                byte = byte_nb(buffer, at)
                if byte == _QUOTE or byte < 32:
                    break
                at += 2 if byte == _BACKSLASH else 1
            if at >= end:
                return at, _TRUNCATED, outer, inner
            if byte_nb(buffer, at) != _QUOTE:
                return at, _MALFORMED, outer, inner
            if node >= 0:
                child = child_nb(buffer, begin, at, node, keys, pool)
            at = _space_nb(buffer, at + 1, end)
            if at >= end:
                return at, _TRUNCATED, outer, inner
            if byte_nb(buffer, at) != _COLON:
                return at, _MALFORMED, outer, inner
            at = _space_nb(buffer, at + 1, end)
            if at >= end:
                return at, _TRUNCATED, outer, inner
        elif stack[depth, 2] > 0:
            child = node  # elements of a container list belong to its node
            level = stack[depth, 2]
            if level == 1:
                outer += 1
            if level == levels:
                inner += 1
            if outer > MOST_CONTAINERS or inner > MOST_CONTAINERS:
                return at, _TOO_MANY, outer, inner
            element = outer if level == 1 else inner
            for i in range(element * slot_room, (element + 1) * slot_room):
                spans[level, i] = -1
            if level == levels:
                places[inner, 0] = outer
        byte = byte_nb(buffer, at)
        if byte == _OPEN or byte == _OPEN_LIST:
            depth += 1
            if depth >= MOST_DEPTH:
                return at, _MALFORMED, outer, inner
            stack[depth, 0] = child
            stack[depth, 1] = 1 if byte == _OPEN_LIST else 0
            opens = nodes[child, NODE_LIST] if child >= 0 and is_list == 0 else 0
            stack[depth, 2] = opens if byte == _OPEN_LIST else 0
            if byte == _OPEN_LIST and opens == 0:
                stack[depth, 0] = -1  # a list that holds no containers has no names below it
            at += 1
            first = True
            continue
        if byte == _QUOTE:
            begin = at + 1
            at, flag = _string_nb(buffer, begin, end)
            if at < 0:
                return begin, (_TRUNCATED if line_end_nb(buffer, begin, end) == end else _MALFORMED), outer, inner
            stop, at, kept = at, at + 1, True
        else:
            begin, flag = at, PLAIN
            at = _scalar_nb(buffer, at, end)
            stop = at
            literal = literal_nb(buffer, begin, stop) if stop > begin else 0
            if literal == 0:
                return begin, (_TRUNCATED if at >= end else _MALFORMED), outer, inner
            kept = literal != 2
        if child >= 0 and is_list == 0 and kept:
            slot = nodes[child, NODE_SLOT]
            if slot >= 0:
                level = nodes[child, NODE_LEVEL]
                element = 0 if level == 0 else (inner if level == levels else outer)
                place = element * slot_room + slot * SPAN_WIDTH
                if spans[level, place] < 0:  # of a key that comes twice, the first counts
                    spans[level, place + SPAN_START] = begin
                    spans[level, place + SPAN_STOP] = stop
                    spans[level, place + SPAN_FLAG] = flag


_SIGNATURE = types.UniTuple(types.int64, 2)(
    U8_IN, types.int64, types.int64, types.int64, I64_IN, CELLS_IN, CELLS_IN, U8_IN, CELLS_IN, CELLS_IN, CELLS_IN,
    U8_IN, CELLS_IN, I64_IN, CELLS_IN, CELLS_OUT, CELLS_OUT, CELLS_OUT, CELLS_OUT, U8_OUT, U8_IN, CELLS_OUT)


@kernel(_SIGNATURE)
def decode_json_nb(buffer, start, end, most, settings, keys, nodes, key_pool, fields, kinds, template, pool, maps,
                   nulls, derive, spans, row_spans, places, stack, scratch, scratch_in, rows):
    """Decode up to `most` lines of `[start, end)`; returns rows written and where the next line begins.

    Stops before a record whose rows might not fit: `rows` has room for MOST_CONTAINERS beyond those asked for.
    kinds (k, w): as text_derive says; a level's fields lie between the bounds of its number and the next.
    """
    levels = settings[LEVELS]
    slots = row_spans.shape[0]
    slot_room = slots * SPAN_WIDTH
    row, at, records = 0, start, 0
    while records < most and at < end and row + MOST_CONTAINERS <= rows.shape[0]:
        record = at
        at = after_blank_nb(buffer, at, end)
        records += 1
        if at >= end:
            fail_row_nb(rows, row, record, _UNFRAMED, record)
            rows[row, RECORD_LENGTH] = end - record
            row += 1
            break
        line = at
        for i in range(slot_room):
            spans[0, i] = -1
        at, reason, _, inner = walk_nb(buffer, at, end, levels, keys, nodes, key_pool, spans, places, stack)
        fault = ABSENT if reason == _OK else at
        if reason == _OK:
            at = _space_nb(buffer, at, end)
            if at < end and byte_nb(buffer, at) != LF:
                reason, fault = _MALFORMED, at
        at = line_end_nb(buffer, at, end)
        if reason == _TRUNCATED and at < end:
            reason = _MALFORMED
        if at - line > settings[LONGEST_RECORD]:
            reason, fault = _UNFRAMED, line
        at = after_blank_nb(buffer, min(at + 1, end), end)
        count = max(inner, 1) if levels > 0 else 1
        kind = 0
        if reason == _OK:
            for slot in range(slots):
                for k in range(SPAN_WIDTH):
                    row_spans[slot, k] = spans[0, slot * SPAN_WIDTH + k]
            kind = kind_nb(buffer, row_spans, settings, maps, pool) if settings[KIND_SLOT] >= 0 else 0
            if kind < 0:
                reason, fault = _UNKNOWN, line
        if reason == _OK:
            open_row_nb(rows, row, template, record, kind)
            rows[row, RECORD_LENGTH] = at - record
            rows[row, CONTAINER_COUNT] = count
            reason, fault = convert_row_nb(buffer, row_spans, fields, kinds[kind, KIND_FIELDS],
                                           kinds[kind, KIND_FIELDS + 1], pool, maps, nulls, scratch, scratch_in,
                                           rows, row)
        if reason == _OK and levels > 0:
            for i in range(1, count):
                for column in range(ROW_WIDTH):
                    rows[row + i, column] = rows[row, column]
                rows[row + i, CONTAINER_INDEX] = i
            for i in range(count):
                if inner == 0:
                    break
                for level in range(1, levels + 1):
                    element = (i + 1) if level == levels else places[i + 1, 0]
                    base = element * slot_room
                    for slot in range(slots):
                        for k in range(SPAN_WIDTH):
                            row_spans[slot, k] = spans[level, base + slot * SPAN_WIDTH + k]
                    reason, fault = convert_row_nb(buffer, row_spans, fields, kinds[kind, KIND_FIELDS + level],
                                                   kinds[kind, KIND_FIELDS + level + 1], pool, maps, nulls, scratch,
                                                   scratch_in, rows, row + i)
                    if reason != _OK:
                        break
                if reason != _OK:
                    break
        for i in range(count if reason == _OK else 0):
            reason, fault = finish_row_nb(derive, kinds, kind, rows, row + i)
            if reason != _OK:
                break
        if reason != _OK:
            fail_row_nb(rows, row, record, reason, fault)
            rows[row, RECORD_LENGTH] = at - record
            count = 1
        row += count
    return row, at
