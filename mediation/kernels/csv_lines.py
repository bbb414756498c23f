"""Lines of delimited text to DECODED rows, one pass, no object per record."""

from numba import types

from mediation.kernels.text_derive import KIND_FIELDS, KIND_FIELDS_END, finish_row_nb
from mediation.kernels.text_rows import (
    CONTAINER_COUNT,
    CONTAINER_INDEX,
    DOUBLED_QUOTES,
    PLAIN,
    RECORD_LENGTH,
    RECORD_OFFSET,
    ROW_WIDTH,
    SPAN_FLAG,
    SPAN_START,
    SPAN_STOP,
    STATUS,
    STATUS_OFFSET,
    convert_row_nb,
    find_nb,
)
from mediation.kernels.text_values import byte_nb
from schemas.codes import Reason
from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, U8_IN, U8_OUT, kernel

_OK, _MALFORMED, _TRUNCATED = int(Reason.OK), int(Reason.MALFORMED_RECORD), int(Reason.TRUNCATED_RECORD)
_UNFRAMED, _UNKNOWN = int(Reason.UNFRAMED_BYTES), int(Reason.UNKNOWN_RECORD_TYPE)

# Settings shared by the line formats.
(DELIMITER, QUOTE, LEAST_COLUMNS, MOST_COLUMNS, LONGEST_RECORD, KIND_SLOT, KIND_AT, KIND_END, MULTILINE, RECORD_SIZE,
 SETTING_COUNT) = range(11)
LF, CR, SPACE = 10, 13, 32


@kernel(types.int64(U8_IN, types.int64, types.int64, types.int64))
def count_lines_nb(buffer, start, end, most):
    """Line feeds in `[start, end)` plus one, but at most `most`: room that decoding needs."""
    count, at = 1, start
    while at < end and count < most:
        stop = min(at + 4096, end)
        here = 0
        for i in range(at, stop):
            here += 1 if byte_nb(buffer, i) == LF else 0
        count += here
        at = stop
    return min(count, most)


@kernel(None)
def line_end_nb(buffer, at, end):
    """Where the line at `at` stops: its line feed, or `end`."""
    while at < end and byte_nb(buffer, at) != LF:
        at += 1
    return at


@kernel(None)
def after_blank_nb(buffer, at, end):
    """Where blank lines that begin at `at` end: the start of a line with something on it, or `end`."""
    i = at
    while i < end:
        byte = byte_nb(buffer, i)
        if byte == LF:
            at = i + 1
        elif byte != CR and byte != SPACE and byte != 9:
            return at
        i += 1
    return end


@kernel(None)
def open_row_nb(rows, row, template, start, kind):
    """A row with its kind's constants and its place; status OK."""
    for column in range(ROW_WIDTH):
        rows[row, column] = template[kind, column]
    rows[row, RECORD_OFFSET] = start
    rows[row, STATUS] = _OK
    rows[row, STATUS_OFFSET] = ABSENT
    rows[row, CONTAINER_INDEX] = 0
    rows[row, CONTAINER_COUNT] = 1


@kernel(None)
def fail_row_nb(rows, row, start, reason, offset):
    """Turn a row into one that says only where the record lies and why it cannot be read."""
    for column in range(ROW_WIDTH):
        rows[row, column] = ABSENT
    rows[row, RECORD_OFFSET] = start
    rows[row, STATUS] = reason
    rows[row, STATUS_OFFSET] = offset
    rows[row, CONTAINER_INDEX] = 0
    rows[row, CONTAINER_COUNT] = 1


@kernel(None)
def kind_nb(buffer, spans, settings, maps, pool):
    """Which of the layout's records a line is, or -1."""
    slot = settings[KIND_SLOT]
    if slot < 0:
        return 0
    start, stop = spans[slot, SPAN_START], spans[slot, SPAN_STOP]
    while start < stop and byte_nb(buffer, start) == SPACE:
        start += 1
    while stop > start and byte_nb(buffer, stop - 1) == SPACE:
        stop -= 1
    if start < 0:
        return -1
    kind, hit = find_nb(buffer, start, stop, maps, settings[KIND_AT], settings[KIND_END], pool)
    return kind if hit == 1 else -1


_SIGNATURE = types.UniTuple(types.int64, 2)(
    U8_IN, types.int64, types.int64, types.int64, I64_IN, I64_IN, CELLS_IN, CELLS_IN, CELLS_IN, U8_IN, CELLS_IN, I64_IN,
    CELLS_IN, CELLS_OUT, U8_OUT, U8_IN, CELLS_OUT)


@kernel(_SIGNATURE)
def decode_csv_nb(buffer, start, end, most, settings, slot_of, fields, kinds, template, pool, maps, nulls,
                  derive, spans, scratch, scratch_in, rows):
    """Decode up to `most` lines of `[start, end)` into `rows`; returns rows written and where the next line begins.

    slot_of (columns,)  slot of the column at each position, -1 when no field wants it
    kinds (k, w)        the fields, derivations and required columns of each kind of record (text_derive)
    template (k, c)     a row of constants for each kind
    A line owns the blank lines after it, so that ranges tile the body.
    """
    delimiter, quote, longest = settings[DELIMITER], settings[QUOTE], settings[LONGEST_RECORD]
    row, at = 0, start
    while row < most and at < end:
        record = at
        at = after_blank_nb(buffer, at, end)
        if at >= end:  # nothing but blank space: callers end the body before it, so this is damage
            fail_row_nb(rows, row, record, _UNFRAMED, record)
            rows[row, RECORD_LENGTH] = end - record
            row += 1
            break
        for slot in range(spans.shape[0]):
            spans[slot, SPAN_START] = -1
            spans[slot, SPAN_STOP] = -1
        line, column, reason, fault, done = at, 0, _OK, ABSENT, False
        while not done:
            begin, flag = at, PLAIN
            while at < end and byte_nb(buffer, at) == SPACE and quote >= 0:
                at += 1
            if quote >= 0 and at < end and byte_nb(buffer, at) == quote:
                at += 1
                begin = at
                while at < end:
                    byte = byte_nb(buffer, at)
                    if byte == quote:
                        if at + 1 < end and byte_nb(buffer, at + 1) == quote:
                            flag = DOUBLED_QUOTES
                            at += 1
                        else:
                            break
                    elif byte == LF and settings[MULTILINE] == 0:
                        break
                    at += 1
                stop = at
                if at >= end or byte_nb(buffer, at) != quote:
                    reason, fault = _MALFORMED, begin - 1
                    if at >= end:
                        reason = _TRUNCATED
                else:
                    at += 1
                    while at < end and byte_nb(buffer, at) == SPACE:
                        at += 1
                    if at < end:
                        byte = byte_nb(buffer, at)
                        if byte != delimiter and byte != LF and byte != CR:
                            reason, fault = _MALFORMED, at
                if reason != _OK:
                    at = line_end_nb(buffer, at, end)
            else:
                while at < end and byte_nb(buffer, at) != delimiter and byte_nb(buffer, at) != LF:
                    at += 1
                stop = at
                if (at >= end or byte_nb(buffer, at) == LF) and stop > begin and byte_nb(buffer, stop - 1) == CR:
                    stop -= 1
            if column < slot_of.size and slot_of[column] >= 0:
                slot = slot_of[column]
                spans[slot, SPAN_START] = begin
                spans[slot, SPAN_STOP] = stop
                spans[slot, SPAN_FLAG] = flag
            column += 1
            if at < end and byte_nb(buffer, at) == CR:
                at += 1
                if at < end and byte_nb(buffer, at) != LF and reason == _OK:
                    reason, fault = _MALFORMED, at
                    at = line_end_nb(buffer, at, end)
            if at >= end or byte_nb(buffer, at) == LF:
                done = True
            else:
                at += 1
        whole, length = at < end, at - line
        at = after_blank_nb(buffer, min(at + 1, end), end)
        if reason == _OK and length > longest:
            reason, fault = _UNFRAMED, line
        if reason == _OK and (column < settings[LEAST_COLUMNS] or column > settings[MOST_COLUMNS]):
            reason, fault = (_MALFORMED if whole or column > settings[MOST_COLUMNS] else _TRUNCATED), line
        if reason == _OK:
            kind = kind_nb(buffer, spans, settings, maps, pool)
            if kind < 0:
                reason, fault = _UNKNOWN, line
            else:
                open_row_nb(rows, row, template, record, kind)
                reason, fault = convert_row_nb(buffer, spans, fields, kinds[kind, KIND_FIELDS],
                                               kinds[kind, KIND_FIELDS_END], pool, maps, nulls, scratch, scratch_in,
                                               rows, row)
                if reason == _OK:
                    reason, fault = finish_row_nb(derive, kinds, kind, rows, row)
        if reason != _OK:
            fail_row_nb(rows, row, record, reason, fault)
        rows[row, RECORD_LENGTH] = at - record
        row += 1
    return row, at
