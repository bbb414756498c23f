"""PGW and SGW records. Tags: TS 32.298 GPRSChargingDataTypes (PGWRecord, SGWRecord); field notes TS 32.251."""

import numpy as np
from numba import types

from pipelines.sample.kernels.ber_write import (
    CONSTRUCTED,
    CONTEXT,
    ENUMERATED,
    MAX_RECORD,
    SEQUENCE,
    address_nb,
    digits_nb,
    frame_nb,
    head_nb,
    int_nb,
    ipv4_inner_nb,
    ipv4_nb,
    octets_nb,
    offset_nb,
    plmn_nb,
    time_nb,
    true_nb,
    universal_nb,
)
from pipelines.sample.kernels.events import HOME_PLMN, container_count_nb, container_nb
from pipelines.sample.rows import (
    D_ADDRESS,
    D_APN,
    D_CAUSE,
    D_CHARGING_ID,
    D_DOWN,
    D_LAST,
    D_OPEN_S,
    D_PARTIAL,
    D_PLMN,
    D_RAT,
    D_SESSION_START_S,
    D_SWITCH_S,
    D_UP,
    E_CLOSE_S,
    E_IMEI,
    E_IMSI,
    E_MSISDN,
    E_SEQUENCE,
)
from schemas.jit import CELLS_IN, I64_IN, I64_OUT, U8_IN, U8_OUT, kernel

I64 = types.int64
TS_32251 = 7
APNS = np.frombuffer(b"internetims.iot", np.uint8)
INTERNATIONAL = 0x91


# Bits of ServiceConditionChange, as octets from the left.
TARIFF_SWITCH, RAT_CHANGE, RECORD_CLOSURE, TIME_LIMIT, VOLUME_LIMIT = 3, 5, 24, 25, 26


@kernel(I64(U8_OUT, I64, I64, I64))
def condition_nb(out, p, number, bit):
    """BIT STRING with one bit set, whole octets."""
    end = p
    last = bit // 8
    for octet in range(last, -1, -1):
        p -= 1
        out[p] = 0x80 >> bit % 8 if octet == last else 0
    p -= 1
    out[p] = 0  # no unused bits
    return head_nb(out, p, end, CONTEXT, number)


@kernel(I64(I64))
def condition_of_cause_nb(cause):
    """What closed a container when the record closed for `cause`."""
    if cause == 17:
        return TIME_LIMIT
    if cause == 16:
        return VOLUME_LIMIT
    return RAT_CHANGE if cause == 22 else RECORD_CLOSURE


@kernel(I64(U8_OUT, I64, CELLS_IN, I64, I64_IN))
def service_data_nb(out, p, rows, row, zone):
    """listOfServiceData: one ChangeOfServiceCondition per container, the last one first since we write backwards."""
    end = p
    containers = container_count_nb(rows, row)
    groups = containers // 2 if rows[D_SWITCH_S, row] > 0 else containers
    for index in range(containers - 1, -1, -1):
        group, service, first, last, seconds, up, down = container_nb(rows, row, index)
        inner = p
        p = int_nb(out, p, 17, service)
        p = time_nb(out, p, 14, last, offset_nb(zone, last))
        p = int_nb(out, p, 13, down)
        p = int_nb(out, p, 12, up)
        switched = index < groups and containers > groups
        p = condition_nb(out, p, 8, TARIFF_SWITCH if switched else condition_of_cause_nb(rows[D_CAUSE, row]))
        p = int_nb(out, p, 7, seconds)
        p = time_nb(out, p, 6, last, offset_nb(zone, last))
        p = time_nb(out, p, 5, first, offset_nb(zone, first))
        p = int_nb(out, p, 4, rows[D_PARTIAL, row] * 8 + index)
        p = int_nb(out, p, 1, group)
        p = universal_nb(out, p, inner, SEQUENCE)
    return head_nb(out, p, end, CONSTRUCTED, 34)


@kernel(I64(U8_OUT, I64, CELLS_IN, I64, I64_IN))
def traffic_volumes_nb(out, p, rows, row, zone):
    """listOfTrafficVolumes: the bearer's volume, split at a tariff switch."""
    end = p
    switch, close, opened = rows[D_SWITCH_S, row], rows[E_CLOSE_S, row], rows[D_OPEN_S, row]
    for part in range(1 if switch > 0 else 0, -1, -1):
        up, down, last = rows[D_UP, row], rows[D_DOWN, row], close
        if switch > 0:
            early_up = up // (close - opened) * (switch - opened)
            early_down = down // (close - opened) * (switch - opened)
            up, down = (up - early_up, down - early_down) if part == 1 else (early_up, early_down)
            last = close if part == 1 else switch
        inner = p
        p = time_nb(out, p, 6, last, offset_nb(zone, last))
        p = int_nb(out, p, 5, 1 if last != close else 2)
        p = int_nb(out, p, 4, down)
        p = int_nb(out, p, 3, up)
        p = universal_nb(out, p, inner, SEQUENCE)
    return head_nb(out, p, end, CONSTRUCTED, 12)


@kernel(I64(CELLS_IN, I64_IN, U8_IN, I64, I64, I64, I64, U8_OUT, I64_OUT), _nrt=True)
def encode_gateway_nb(rows, zone, node, address, peer, pgw_address, pgw, out, offsets):
    """Partials as PGW records (`pgw` 1) or as the SGW records of the same bearer (0), framed, in row order.

    address, peer: IPv4 of this gateway and of the node that serves the subscriber (PGW: its SGW; SGW: its MME).
    offsets (rows + 1,) receives where each record begins. Returns the octets written; `out` has MAX_RECORD a row.
    """
    scratch = np.empty(MAX_RECORD, np.uint8)
    position = 0
    for row in range(rows.shape[1]):
        offsets[row] = position
        p = MAX_RECORD
        opened, close = rows[D_OPEN_S, row], rows[E_CLOSE_S, row]
        last = rows[D_LAST, row] == 1
        if last:
            p = time_nb(scratch, p, 39, close, offset_nb(zone, close))
        first = rows[D_SESSION_START_S, row]
        p = time_nb(scratch, p, 38, first, offset_nb(zone, first))
        p = plmn_nb(scratch, p, 37, HOME_PLMN)
        if pgw == 0:
            p = ipv4_nb(scratch, p, 36, pgw_address)
        end = p
        p -= 1
        scratch[p] = 2 if pgw == 1 else 5  # gTPSGW, mME
        p = head_nb(scratch, universal_nb(scratch, p, end, ENUMERATED), end, CONSTRUCTED, 35)
        if pgw == 1:
            p = service_data_nb(scratch, p, rows, row, zone)
        end = p
        scratch[p - 1] = 0
        scratch[p - 2] = 0x40 if offset_nb(zone, opened) == 3600 else 0x80
        p = head_nb(scratch, p - 2, end, CONTEXT, 31)
        p = int_nb(scratch, p, 30, rows[D_RAT, row])
        p = digits_nb(scratch, p, 29, rows[E_IMEI, row])
        p = plmn_nb(scratch, p, 27, rows[D_PLMN, row])
        end = p
        scratch[p - 1], scratch[p - 2] = 0, 8
        p = head_nb(scratch, p - 2, end, CONTEXT, 23)
        p = address_nb(scratch, p, 22, INTERNATIONAL, rows[E_MSISDN, row])
        p = int_nb(scratch, p, 21, 0)
        p = int_nb(scratch, p, 20, rows[E_SEQUENCE, row])
        p = octets_nb(scratch, p, 18, node)
        p = int_nb(scratch, p, 17, rows[D_PARTIAL, row])
        p = int_nb(scratch, p, 15, rows[D_CAUSE, row])
        p = int_nb(scratch, p, 14, close - opened)
        p = time_nb(scratch, p, 13, opened, offset_nb(zone, opened))
        if pgw == 0:
            p = traffic_volumes_nb(scratch, p, rows, row, zone)
        p = true_nb(scratch, p, 11)
        end = p
        p = ipv4_nb(scratch, p, 0, rows[D_ADDRESS, row])  # PDPAddress: iPAddress [0], an explicit choice
        p = head_nb(scratch, p, end, CONSTRUCTED, 9)
        end = p
        scratch[p - 1], scratch[p - 2] = 0x21, 0xF1
        p = head_nb(scratch, p - 2, end, CONTEXT, 8)
        p = octets_nb(scratch, p, 7, APNS[8:15] if rows[D_APN, row] else APNS[:8])
        end = p
        p = ipv4_inner_nb(scratch, p, peer)
        p = head_nb(scratch, p, end, CONSTRUCTED, 6)
        p = int_nb(scratch, p, 5, rows[D_CHARGING_ID, row])
        p = ipv4_nb(scratch, p, 4, address)
        p = digits_nb(scratch, p, 3, rows[E_IMSI, row])
        p = int_nb(scratch, p, 0, 85 if pgw == 1 else 84)
        p = head_nb(scratch, p, MAX_RECORD, CONSTRUCTED, 79 if pgw == 1 else 78)
        position = frame_nb(scratch, p, out, position, TS_32251)
    offsets[rows.shape[1]] = position
    return position
