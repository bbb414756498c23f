"""Call records of an MSC. Tags: TS 32.298 CSChargingDataTypes (MOCallRecord, MTCallRecord, RoamingRecord)."""

import numpy as np
from numba import types

from pipelines.sample.kernels.ber_write import (
    CONSTRUCTED,
    CONTEXT,
    MAX_RECORD,
    SEQUENCE,
    address_nb,
    digits_nb,
    frame_nb,
    head_nb,
    int_nb,
    offset_nb,
    plmn_nb,
    time_nb,
    universal_nb,
)
from pipelines.sample.kernels.events import HOME_PLMN
from pipelines.sample.rows import (
    C_ANSWER_S,
    C_CAUSE,
    C_DURATION_S,
    C_EXTRA,
    C_KIND,
    C_OTHER,
    C_OTHER_INTERNATIONAL,
    E_CLOSE_S,
    E_IMEI,
    E_IMSI,
    E_MSISDN,
    E_SESSION,
    E_START_S,
    E_SUBSCRIBER,
    FORWARDED,
    MT,
    ROAMED,
)
from schemas.jit import CELLS_IN, I64_IN, I64_OUT, U8_OUT, kernel

I64 = types.int64
TS_32250 = 6
INTERNATIONAL, UNKNOWN = 0x91, 0x81
CALL_FORWARDING_UNCONDITIONAL = 0x21  # SS-Code, TS 29.002
TELEPHONY = 0x11                      # TeleserviceCode, TS 29.002


@kernel(I64(U8_OUT, I64, I64, I64, I64))
def plain_nb(out, p, number, value, octets):
    """A number as that many octets under a context tag."""
    end = p
    for _ in range(octets):
        p -= 1
        out[p] = value & 255
        value >>= 8
    return head_nb(out, p, end, CONTEXT, number)


@kernel(I64(U8_OUT, I64, CELLS_IN, I64, I64_IN, I64))
def call_end_nb(out, p, rows, row, zone, first):
    """Fields from seizure time to call reference; `first` is the tag of seizureTime, from which the others count."""
    start, answer, close = rows[E_START_S, row], rows[C_ANSWER_S, row], rows[E_CLOSE_S, row]
    p = plain_nb(out, p, first + 10, rows[E_SESSION, row], 5)
    p = int_nb(out, p, first + 8, rows[C_CAUSE, row])
    p = int_nb(out, p, first + 3, rows[C_DURATION_S, row])
    p = time_nb(out, p, first + 2, close, offset_nb(zone, close))
    if answer >= 0:
        p = time_nb(out, p, first + 1, answer, offset_nb(zone, answer))
    return time_nb(out, p, first, start, offset_nb(zone, start))


@kernel(I64(U8_OUT, I64, CELLS_IN, I64, I64_IN))
def roaming_end_nb(out, p, rows, row, zone):
    """The same fields of a RoamingRecord, whose tags lie closer together."""
    start, answer, close = rows[E_START_S, row], rows[C_ANSWER_S, row], rows[E_CLOSE_S, row]
    p = plain_nb(out, p, 19, rows[E_SESSION, row], 5)
    p = int_nb(out, p, 17, rows[C_CAUSE, row])
    p = int_nb(out, p, 15, rows[C_DURATION_S, row])
    p = time_nb(out, p, 14, close, offset_nb(zone, close))
    if answer >= 0:
        p = time_nb(out, p, 13, answer, offset_nb(zone, answer))
    return time_nb(out, p, 12, start, offset_nb(zone, start))


@kernel(I64(U8_OUT, I64, I64, I64))
def place_nb(out, p, number, cell):
    """LocationAreaAndCell of the home network."""
    end = p
    p = plmn_nb(out, p, 2, HOME_PLMN)
    p = plain_nb(out, p, 1, cell, 2)
    p = plain_nb(out, p, 0, cell >> 4, 2)
    return head_nb(out, p, end, CONSTRUCTED, number)


@kernel(I64(CELLS_IN, I64_IN, I64, U8_OUT, I64_OUT), _nrt=True)
def encode_circuit_nb(rows, zone, entity, out, offsets):
    """Calls as MO, MT and roaming records, framed, in row order. `entity`: packed E.164 of the MSC.

    offsets (rows + 1,) receives where each record begins. Returns the octets written; `out` has MAX_RECORD a row.
    """
    scratch = np.empty(MAX_RECORD, np.uint8)
    position = 0
    for row in range(rows.shape[1]):
        offsets[row] = position
        kind, other, served = rows[C_KIND, row], rows[C_OTHER, row], rows[E_MSISDN, row]
        nature = INTERNATIONAL if rows[C_OTHER_INTERNATIONAL, row] == 1 else UNKNOWN
        p = MAX_RECORD
        if kind == ROAMED:  # the gateway MSC's record of a call on its way to a subscriber abroad
            p = roaming_end_nb(scratch, p, rows, row, zone)
            p = address_nb(scratch, p, 5, INTERNATIONAL, entity)
            p = address_nb(scratch, p, 3, nature, other)
            p = address_nb(scratch, p, 2, INTERNATIONAL, served)
            p = digits_nb(scratch, p, 1, rows[E_IMSI, row])
            p = int_nb(scratch, p, 0, 2)
            p = head_nb(scratch, p, MAX_RECORD, CONSTRUCTED, 2)
        elif kind == MT:
            p = call_end_nb(scratch, p, rows, row, zone, 19)
            end = p
            p = head_nb(scratch, plain_nb(scratch, p, 3, TELEPHONY, 1), end, CONSTRUCTED, 11)
            p = place_nb(scratch, p, 9, rows[E_SUBSCRIBER, row] & 0xFFFF)
            p = address_nb(scratch, p, 6, INTERNATIONAL, entity)
            p = address_nb(scratch, p, 4, nature, other)
            if served > 0:
                p = address_nb(scratch, p, 3, INTERNATIONAL, served)
            p = digits_nb(scratch, p, 2, rows[E_IMEI, row])
            p = digits_nb(scratch, p, 1, rows[E_IMSI, row])
            p = int_nb(scratch, p, 0, 1)
            p = head_nb(scratch, p, MAX_RECORD, CONSTRUCTED, 1)
        else:
            p = call_end_nb(scratch, p, rows, row, zone, 22)
            if kind == FORWARDED:
                end = p
                p = plain_nb(scratch, p, 0, CALL_FORWARDING_UNCONDITIONAL, 1)
                p = universal_nb(scratch, p, end, SEQUENCE)
                p = head_nb(scratch, p, end, CONSTRUCTED, 17)
            end = p
            p = head_nb(scratch, plain_nb(scratch, p, 3, TELEPHONY, 1), end, CONSTRUCTED, 14)
            p = place_nb(scratch, p, 12, rows[E_SUBSCRIBER, row] & 0xFFFF)
            p = address_nb(scratch, p, 9, INTERNATIONAL, entity)
            p = address_nb(scratch, p, 5, nature, other)
            if kind == FORWARDED:
                p = address_nb(scratch, p, 4, INTERNATIONAL, rows[C_EXTRA, row])
            if served > 0:
                p = address_nb(scratch, p, 3, INTERNATIONAL, served)
            p = digits_nb(scratch, p, 2, rows[E_IMEI, row])
            p = digits_nb(scratch, p, 1, rows[E_IMSI, row])
            p = int_nb(scratch, p, 0, 0)
            p = head_nb(scratch, p, MAX_RECORD, CONSTRUCTED, 0)
        position = frame_nb(scratch, p, out, position, TS_32250)
    offsets[rows.shape[1]] = position
    return position
