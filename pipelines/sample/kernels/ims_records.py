"""Session records of IMS nodes. Tags: TS 32.298 IMSChargingDataTypes (SCSCFRecord, its kin share these); TS 32.260."""

import numpy as np
from numba import types

from pipelines.sample.kernels.ber_write import (
    CONSTRUCTED,
    CONTEXT,
    MAX_RECORD,
    characters_nb,
    frame_nb,
    head_nb,
    int_nb,
    octets_nb,
    offset_nb,
    raw_nb,
    time_nb,
    universal_nb,
)
from pipelines.sample.rows import (
    C_ANSWER_S,
    C_CAUSE,
    C_EXTRA,
    C_OTHER,
    C_OTHER_INTERNATIONAL,
    C_PARTIAL,
    E_CLOSE_S,
    E_IMSI,
    E_MSISDN,
    E_SEQUENCE,
    E_SESSION,
    E_START_S,
)
from schemas.jit import CELLS_IN, I64_IN, I64_OUT, U8_IN, U8_OUT, kernel

I64 = types.int64
TS_32260 = 9
SET = 0x31
INVITE = np.frombuffer(b"INVITE", np.uint8)
TEL = np.frombuffer(b"tel:", np.uint8)
PHONE_CONTEXT = np.frombuffer(b";phone-context=ims.mnc001.mcc001.3gppnetwork.org", np.uint8)
REALM = np.frombuffer(b"@ims.mnc001.mcc001.3gppnetwork.org", np.uint8)
ORIGINATING, TERMINATING = 0, 1
MGCF = 67


@kernel(I64(U8_OUT, I64, I64, I64))
def tel_uri_nb(out, p, packed, international):
    """InvolvedParty: a tel URI, tag 1; a number that is not international names the context it is valid in."""
    end = p
    if international == 0:
        p = raw_nb(out, p, PHONE_CONTEXT)
    p = characters_nb(out, p, packed)
    if international == 1:
        p -= 1
        out[p] = 43
    return head_nb(out, raw_nb(out, p, TEL), end, CONTEXT, 1)


@kernel(I64(U8_OUT, I64, I64, I64))
def hexadecimal_nb(out, p, value, digits):
    """A number as hexadecimal characters; no tag."""
    for _ in range(digits):
        p -= 1
        digit = value & 15
        out[p] = 48 + digit if digit < 10 else 87 + digit
        value >>= 4
    return p


@kernel(I64(CELLS_IN, I64_IN, U8_IN, U8_IN, I64, U8_OUT, I64_OUT), _nrt=True)
def encode_ims_nb(rows, zone, node, generator, tag, out, offsets):
    """Sessions as records of the type `tag` (which is also their recordType), framed, in row order.

    C_EXTRA is the role of the node. The charging identifier (ICID) is the same in every node: `generator` names the
    element that made it. Of a long session each partial states the time it covers.
    """
    scratch = np.empty(MAX_RECORD, np.uint8)
    position = 0
    for row in range(rows.shape[1]):
        offsets[row] = position
        role, session = rows[C_EXTRA, row], rows[E_SESSION, row]
        start, answer, close = rows[E_START_S, row], rows[C_ANSWER_S, row], rows[E_CLOSE_S, row]
        partial, fraction = rows[C_PARTIAL, row], session * 7919 % 1000
        p = MAX_RECORD
        if answer >= 0:
            p = int_nb(scratch, p, 39, fraction)
            p = int_nb(scratch, p, 38, fraction)
        imsi = -1 if tag == MGCF else rows[E_IMSI, row]  # a gateway to other networks knows no private identity
        if imsi > 0:
            end = p
            data = p
            p = head_nb(scratch, characters_nb(scratch, p, imsi), data, CONTEXT, 1)
            p = int_nb(scratch, p, 0, 1)  # eND-USER-IMSI
            p = universal_nb(scratch, p, end, SET)
            p = head_nb(scratch, p, end, CONSTRUCTED, 31)
        end = p
        p = hexadecimal_nb(scratch, p, session * 2654435761 & 0xFFFFFFFFFFFF, 12)
        p = hexadecimal_nb(scratch, p, session, 8)
        p -= 1
        scratch[p] = 45
        p = head_nb(scratch, raw_nb(scratch, p, generator), end, CONTEXT, 19)
        cause = rows[C_CAUSE, row]
        p = int_nb(scratch, p, 17, 3 if cause == 17 else (0 if answer >= 0 and cause == 0 else 1))
        if partial > 0:
            p = int_nb(scratch, p, 16, partial)
        p = int_nb(scratch, p, 15, rows[E_SEQUENCE, row])
        p = time_nb(scratch, p, 13, close, offset_nb(zone, close))
        p = time_nb(scratch, p, 12, start, offset_nb(zone, start))
        if answer >= 0:
            p = time_nb(scratch, p, 11, close, offset_nb(zone, close))
            p = time_nb(scratch, p, 10, answer, offset_nb(zone, answer))
        p = time_nb(scratch, p, 9, start, offset_nb(zone, start))
        if imsi > 0:
            end = p
            p = characters_nb(scratch, raw_nb(scratch, p, REALM), imsi)
            p = head_nb(scratch, p, end, CONTEXT, 8)
        end = p
        served, other, international = rows[E_MSISDN, row], rows[C_OTHER, row], rows[C_OTHER_INTERNATIONAL, row]
        terminating = role == TERMINATING
        p = tel_uri_nb(scratch, p, served if terminating else other, 1 if terminating else international)
        p = head_nb(scratch, p, end, CONSTRUCTED, 7)
        end = p
        p = tel_uri_nb(scratch, p, other if terminating else served, 1)
        p = head_nb(scratch, p, end, CONSTRUCTED, 6)
        end = p
        p = raw_nb(scratch, p, REALM)
        p = hexadecimal_nb(scratch, p, session * 40503 & 0xFFFFFFFFFF, 10)
        p = head_nb(scratch, p, end, CONTEXT, 5)
        end = p
        p = head_nb(scratch, raw_nb(scratch, p, node), end, CONTEXT, 1)
        p = head_nb(scratch, p, end, CONSTRUCTED, 4)
        p = int_nb(scratch, p, 3, role)
        p = octets_nb(scratch, p, 2, INVITE)
        p = int_nb(scratch, p, 0, tag)
        p = head_nb(scratch, p, MAX_RECORD, CONSTRUCTED, tag)
        position = frame_nb(scratch, p, out, position, TS_32260)
    offsets[rows.shape[1]] = position
    return position
