"""RADIUS accounting packets, one after another, to DECODED rows. Source: RFC 2865, 2866, 2869."""

from numba import types

from mediation.kernels.csv_lines import fail_row_nb, open_row_nb
from mediation.kernels.text_derive import KIND_FIELDS, KIND_FIELDS_END, finish_row_nb
from mediation.kernels.text_rows import (
    PLAIN,
    RECORD_LENGTH,
    SPAN_FLAG,
    SPAN_START,
    SPAN_STOP,
    convert_row_nb,
    find_nb,
)
from mediation.kernels.text_values import byte_nb
from schemas.codes import Reason
from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, U8_IN, U8_OUT, kernel

_OK, _MALFORMED, _TRUNCATED = int(Reason.OK), int(Reason.MALFORMED_RECORD), int(Reason.TRUNCATED_RECORD)
_UNFRAMED, _UNKNOWN = int(Reason.UNFRAMED_BYTES), int(Reason.UNKNOWN_RECORD_TYPE)

ACCOUNTING_REQUEST, HEADER_OCTETS, LONGEST_PACKET, VENDOR_SPECIFIC = 4, 20, 4096, 26
_LAST_CODE = 45  # CoA-NAK, RFC 5176: the highest code in use

# Columns of the attribute table: vendor (0: the standard's own), type, slot.
ATTRIBUTE_VENDOR, ATTRIBUTE_TYPE, ATTRIBUTE_SLOT, ATTRIBUTE_WIDTH = range(4)


@kernel(None)
def _length_nb(buffer, at):
    return byte_nb(buffer, at + 2) << 8 | byte_nb(buffer, at + 3)


@kernel(None)
def _header_nb(buffer, at, end):
    """Whether a packet may begin here: a known code and a length between the bounds of RFC 2865."""
    if at + HEADER_OCTETS > end:
        return False
    code = byte_nb(buffer, at)
    return (1 <= code <= 5 or 11 <= code <= 13 or 40 <= code <= _LAST_CODE) and \
        HEADER_OCTETS <= _length_nb(buffer, at) <= LONGEST_PACKET


@kernel(None)
def _chain_nb(buffer, at, stop):
    """Where the attributes of `[at, stop)` go wrong, or -1 when their lengths add up."""
    while at < stop:
        if at + 2 > stop or byte_nb(buffer, at + 1) < 2 or at + byte_nb(buffer, at + 1) > stop:
            return at
        at += byte_nb(buffer, at + 1)
    return -1


@kernel(types.int64(U8_IN, types.int64, types.int64))
def next_packet_nb(buffer, at, end):
    """The next place where a whole accounting request with sound attributes lies, or `end`."""
    while at + HEADER_OCTETS <= end:
        if byte_nb(buffer, at) == ACCOUNTING_REQUEST and _header_nb(buffer, at, end):
            stop = at + _length_nb(buffer, at)
            if stop <= end and _chain_nb(buffer, at + HEADER_OCTETS, stop) < 0:
                return at
        at += 1
    return end


@kernel(None)
def _take_nb(spans, attributes, vendor, kind, start, stop):
    """Keep the span of an attribute that a field reads; of one that comes twice, the first."""
    for i in range(attributes.shape[0]):
        if attributes[i, ATTRIBUTE_TYPE] == kind and attributes[i, ATTRIBUTE_VENDOR] == vendor:
            slot = attributes[i, ATTRIBUTE_SLOT]
            if spans[slot, SPAN_START] < 0:
                spans[slot, SPAN_START] = start
                spans[slot, SPAN_STOP] = stop
                spans[slot, SPAN_FLAG] = PLAIN


_SIGNATURE = types.UniTuple(types.int64, 2)(
    U8_IN, types.int64, types.int64, types.int64, CELLS_IN, I64_IN, CELLS_IN, CELLS_IN, CELLS_IN, U8_IN, CELLS_IN,
    I64_IN, CELLS_IN, CELLS_OUT, U8_OUT, U8_IN, CELLS_OUT)


@kernel(_SIGNATURE)
def decode_radius_nb(buffer, start, end, most, attributes, switch, fields, kinds, template, pool, maps, nulls, derive,
                     spans, scratch, scratch_in, rows):
    """Decode up to `most` packets of `[start, end)`; returns rows written and where the next packet begins.

    switch (3,): slot of the attribute that tells kinds apart (-1: one kind), bounds of its map, whose keys are the
    attribute's octets. Bytes that are no packet become one row up to the next sound accounting request.
    """
    row, at = 0, start
    while row < most and at < end:
        record, reason, fault, kind = at, _OK, ABSENT, 0
        sound = _header_nb(buffer, at, end)
        stop = at + _length_nb(buffer, at) if sound else at
        wrong = -1
        if sound and stop <= end:
            wrong = _chain_nb(buffer, at + HEADER_OCTETS, stop)
        if sound and stop <= end and (wrong < 0 or stop == end or _header_nb(buffer, stop, end)):
            at = stop
            if wrong >= 0:
                reason, fault = _MALFORMED, wrong
            elif byte_nb(buffer, record) != ACCOUNTING_REQUEST:
                reason, fault = _UNKNOWN, record
        else:
            at = next_packet_nb(buffer, record + 1, end)
            fault = record
            reason = _UNFRAMED
            short = end - record < HEADER_OCTETS and byte_nb(buffer, record) == ACCOUNTING_REQUEST
            if at == end and (sound or short):
                reason = _TRUNCATED
        if reason == _OK:
            for slot in range(spans.shape[0]):
                spans[slot, SPAN_START] = -1
                spans[slot, SPAN_STOP] = -1
            a = record + HEADER_OCTETS
            while a < stop:
                length = byte_nb(buffer, a + 1)
                if byte_nb(buffer, a) == VENDOR_SPECIFIC and length > 8:
                    vendor = (byte_nb(buffer, a + 2) << 24 | byte_nb(buffer, a + 3) << 16 | byte_nb(buffer, a + 4) << 8
                              | byte_nb(buffer, a + 5))
                    inner = a + 6
                    if _chain_nb(buffer, inner, a + length) < 0:
                        while inner < a + length:
                            _take_nb(spans, attributes, vendor, byte_nb(buffer, inner), inner + 2,
                                     inner + byte_nb(buffer, inner + 1))
                            inner += byte_nb(buffer, inner + 1)
                else:
                    _take_nb(spans, attributes, 0, byte_nb(buffer, a), a + 2, a + length)
                a += length
            if switch[0] >= 0:
                s0, s1 = spans[switch[0], SPAN_START], spans[switch[0], SPAN_STOP]
                hit = 0
                if s0 >= 0:
                    kind, hit = find_nb(buffer, s0, s1, maps, switch[1], switch[2], pool)
                if hit == 0:
                    reason, fault = _UNKNOWN, record
        if reason == _OK:
            open_row_nb(rows, row, template, record, kind)
            reason, fault = convert_row_nb(buffer, spans, fields, kinds[kind, KIND_FIELDS],
                                           kinds[kind, KIND_FIELDS_END], pool, maps, nulls, scratch, scratch_in, rows,
                                           row)
            if reason == _OK:
                reason, fault = finish_row_nb(derive, kinds, kind, rows, row)
        if reason != _OK:
            fail_row_nb(rows, row, record, reason, fault)
        rows[row, RECORD_LENGTH] = at - record
        row += 1
    return row, at
