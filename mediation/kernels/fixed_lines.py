"""Fixed-width records to DECODED rows: lines of a known length, or blocks of a known length without line feeds."""

from numba import types

from mediation.kernels.csv_lines import (
    KIND_SLOT,
    LEAST_COLUMNS,
    LONGEST_RECORD,
    MOST_COLUMNS,
    RECORD_SIZE,
    after_blank_nb,
    fail_row_nb,
    kind_nb,
    line_end_nb,
    open_row_nb,
)
from mediation.kernels.text_derive import KIND_FIELDS, KIND_FIELDS_END, finish_row_nb
from mediation.kernels.text_rows import (
    PLAIN,
    RECORD_LENGTH,
    SPAN_FLAG,
    SPAN_START,
    SPAN_STOP,
    convert_row_nb,
)
from mediation.kernels.text_values import byte_nb
from schemas.codes import Reason
from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, U8_IN, U8_OUT, kernel

_OK, _MALFORMED, _TRUNCATED = int(Reason.OK), int(Reason.MALFORMED_RECORD), int(Reason.TRUNCATED_RECORD)
_UNFRAMED, _UNKNOWN = int(Reason.UNFRAMED_BYTES), int(Reason.UNKNOWN_RECORD_TYPE)

_SIGNATURE = types.UniTuple(types.int64, 2)(
    U8_IN, types.int64, types.int64, types.int64, I64_IN, CELLS_IN, CELLS_IN, CELLS_IN, CELLS_IN, U8_IN, CELLS_IN,
    I64_IN, CELLS_IN, CELLS_OUT, U8_OUT, U8_IN, CELLS_OUT)


@kernel(_SIGNATURE)
def decode_fixed_nb(buffer, start, end, most, settings, places, fields, kinds, template, pool, maps, nulls, derive,
                    spans, scratch, scratch_in, rows):
    """Decode up to `most` records of `[start, end)`; returns rows written and where the next record begins.

    places (slots, 2): first octet of each field in its record, and the octet after its last.
    RECORD_SIZE 0: a record is a line of LEAST_COLUMNS to MOST_COLUMNS octets; otherwise a block of that size.
    """
    size = settings[RECORD_SIZE]
    row, at = 0, start
    while row < most and at < end:
        record, reason, fault = at, _OK, ABSENT
        line = at if size > 0 else after_blank_nb(buffer, at, end)
        if line >= end:
            fail_row_nb(rows, row, record, _UNFRAMED, record)
            rows[row, RECORD_LENGTH] = end - record
            return row + 1, end
        if size > 0:
            stop = min(line + size, end)
            at = stop
            if stop - line < size:
                reason, fault = _TRUNCATED, line
        else:
            stop = line_end_nb(buffer, line, end)
            whole = stop < end
            at = after_blank_nb(buffer, min(stop + 1, end), end)
            if stop > line and byte_nb(buffer, stop - 1) == 13:
                stop -= 1
            length = stop - line
            if length > settings[LONGEST_RECORD]:
                reason, fault = _UNFRAMED, line
            elif length < settings[LEAST_COLUMNS]:
                reason, fault = (_MALFORMED if whole else _TRUNCATED), line
            elif length > settings[MOST_COLUMNS]:
                reason, fault = _MALFORMED, line
        if reason == _OK:
            for slot in range(places.shape[0]):
                first, last = line + places[slot, 0], min(line + places[slot, 1], stop)
                there = first < last
                spans[slot, SPAN_START] = first if there else -1
                spans[slot, SPAN_STOP] = last if there else -1
                spans[slot, SPAN_FLAG] = PLAIN
            kind = kind_nb(buffer, spans, settings, maps, pool) if settings[KIND_SLOT] >= 0 else 0
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
