"""CHF records in BER. Tags: TS 32.298 CHFChargingDataTypes (ChargingRecord); field notes TS 32.255."""

import numpy as np
from numba import types

from pipelines.sample.kernels.ber_write import (
    CONSTRUCTED,
    CONTEXT,
    MAX_RECORD,
    SEQUENCE,
    characters_nb,
    digits_nb,
    frame_nb,
    head_nb,
    int_nb,
    ipv4_nb,
    octets_nb,
    offset_nb,
    plmn_nb,
    time_nb,
    universal_nb,
)
from pipelines.sample.kernels.events import container_nb
from pipelines.sample.kernels.gateway_records import APNS
from pipelines.sample.kernels.ims_records import hexadecimal_nb
from pipelines.sample.rows import (
    D_ADDRESS,
    D_APN,
    D_CAUSE,
    D_CHARGING_ID,
    D_GROUPS,
    D_LAST,
    D_OPEN_S,
    D_PARTIAL,
    D_PLMN,
    D_RAT,
    D_SESSION_START_S,
    D_SWITCH_S,
    E_CLOSE_S,
    E_IMEI,
    E_IMSI,
    E_MSISDN,
    E_SEQUENCE,
    E_SESSION,
)
from schemas.jit import CELLS_IN, I64_IN, I64_OUT, U8_IN, U8_OUT, kernel

I64 = types.int64
TS_32255 = 20
SMF = np.frombuffer(b"smf-01", np.uint8)
SLICE = np.array([0, 0, 1], np.uint8)


@kernel(I64(U8_OUT, I64, CELLS_IN, I64, I64_IN))
def unit_usage_nb(out, p, rows, row, zone):
    """listOfMultipleUnitUsage: an entry per rating group, in it a used unit container per side of a tariff switch."""
    end = p
    groups = rows[D_GROUPS, row]
    parts = 2 if rows[D_SWITCH_S, row] > 0 else 1
    for group in range(groups - 1, -1, -1):
        entry = p
        rating_group = 0
        for part in range(parts - 1, -1, -1):
            index = part * groups + group
            rating_group, service, first, last, seconds, up, down = container_nb(rows, row, index)
            inner = p
            usage = p
            p = time_nb(out, p, 3, last, offset_nb(zone, last))
            p = time_nb(out, p, 2, first, offset_nb(zone, first))
            p = head_nb(out, p, usage, CONSTRUCTED, 11)
            p = int_nb(out, p, 9, rows[D_PARTIAL, row] * 8 + index)
            p = int_nb(out, p, 6, down)
            p = int_nb(out, p, 5, up)
            p = int_nb(out, p, 4, up + down)
            p = time_nb(out, p, 3, last, offset_nb(zone, last))
            p = int_nb(out, p, 1, seconds)
            p = int_nb(out, p, 0, service)
            p = universal_nb(out, p, inner, SEQUENCE)
        p = head_nb(out, p, entry, CONSTRUCTED, 1)
        p = int_nb(out, p, 0, rating_group)
        p = universal_nb(out, p, entry, SEQUENCE)
    return head_nb(out, p, end, CONSTRUCTED, 5)


@kernel(I64(U8_OUT, I64, CELLS_IN, I64, I64_IN))
def pdu_session_nb(out, p, rows, row, zone):
    """pDUSessionChargingInformation."""
    end = p
    first, close = rows[D_SESSION_START_S, row], rows[E_CLOSE_S, row]
    p = plmn_nb(out, p, 27, rows[D_PLMN, row])
    if rows[D_LAST, row] == 1:
        p = time_nb(out, p, 18, close, offset_nb(zone, close))
    p = time_nb(out, p, 17, first, offset_nb(zone, first))
    inner = p
    p = ipv4_nb(out, p, 0, rows[D_ADDRESS, row])
    p = head_nb(out, p, inner, CONSTRUCTED, 14)
    p = octets_nb(out, p, 13, APNS[8:15] if rows[D_APN, row] else APNS[:8])
    p = int_nb(out, p, 12, rows[D_RAT, row])
    p = int_nb(out, p, 8, 1)
    inner = p
    p = octets_nb(out, p, 1, SLICE)
    p = int_nb(out, p, 0, 1)
    p = head_nb(out, p, inner, CONSTRUCTED, 7)
    p = int_nb(out, p, 6, 5)
    inner = p
    p = digits_nb(out, p, 1, rows[E_IMEI, row])
    p = int_nb(out, p, 0, 0)
    p = head_nb(out, p, inner, CONSTRUCTED, 2)
    inner = p
    p = head_nb(out, characters_nb(out, p, rows[E_MSISDN, row]), inner, CONTEXT, 3)
    p = head_nb(out, p, inner, CONSTRUCTED, 1)
    p = int_nb(out, p, 0, rows[D_CHARGING_ID, row])
    return head_nb(out, p, end, CONSTRUCTED, 13)


@kernel(I64(CELLS_IN, I64_IN, U8_IN, I64, U8_OUT, I64_OUT), _nrt=True)
def encode_chf_nb(rows, zone, node, smf_address, out, offsets):
    """Partials as charging function records, framed, in row order.

    offsets (rows + 1,) receives where each record begins. Returns the octets written; `out` has MAX_RECORD a row.
    """
    scratch = np.empty(MAX_RECORD, np.uint8)
    position = 0
    for row in range(rows.shape[1]):
        offsets[row] = position
        opened, close = rows[D_OPEN_S, row], rows[E_CLOSE_S, row]
        p = int_nb(scratch, MAX_RECORD, 27, rows[D_CHARGING_ID, row])
        end = p
        p = hexadecimal_nb(scratch, p, rows[E_SESSION, row], 10)
        p -= 1
        scratch[p] = 45
        p = hexadecimal_nb(scratch, p, rows[D_CHARGING_ID, row], 8)
        p = head_nb(scratch, p, end, CONTEXT, 16)
        p = pdu_session_nb(scratch, p, rows, row, zone)
        p = int_nb(scratch, p, 11, rows[E_SEQUENCE, row])
        p = int_nb(scratch, p, 9, rows[D_CAUSE, row])
        p = int_nb(scratch, p, 8, rows[D_PARTIAL, row])
        p = int_nb(scratch, p, 7, close - opened)
        p = time_nb(scratch, p, 6, opened, offset_nb(zone, opened))
        p = unit_usage_nb(scratch, p, rows, row, zone)
        end = p
        p = ipv4_nb(scratch, p, 2, smf_address)
        p = octets_nb(scratch, p, 1, SMF)
        p = int_nb(scratch, p, 0, 1)
        p = head_nb(scratch, p, end, CONSTRUCTED, 3)
        end = p
        p = head_nb(scratch, characters_nb(scratch, p, rows[E_IMSI, row]), end, CONTEXT, 1)
        p = int_nb(scratch, p, 0, 1)
        p = head_nb(scratch, p, end, CONSTRUCTED, 2)
        p = octets_nb(scratch, p, 1, node)
        p = int_nb(scratch, p, 0, 200)
        p = head_nb(scratch, p, MAX_RECORD, CONSTRUCTED, 200)
        position = frame_nb(scratch, p, out, position, TS_32255)
    offsets[rows.shape[1]] = position
    return position
