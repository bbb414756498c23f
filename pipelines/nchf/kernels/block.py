"""A block of plain bodies to rows of requests: what each message says, and the columns of all of them."""

import numpy as np
from numba import types

from pipelines.nchf.kernels.places import (
    M_CHARGING_ID,
    M_DNN,
    M_FIRST,
    M_GATEWAY,
    M_HI,
    M_IMEI,
    M_IMSI,
    M_LO,
    M_MSISDN,
    M_NUMBER,
    M_PLMN,
    M_RAT,
    M_ROAMING,
    M_SLICE,
    M_TIME,
    M_UNIT,
    M_UNITS,
    M_URI,
    P_CHARGING_ID,
    P_DNN,
    P_EUTRA_MCC,
    P_EUTRA_MNC,
    P_FUNCTION_MCC,
    P_FUNCTION_MNC,
    P_GATEWAY,
    P_GPSI,
    P_NR_MCC,
    P_NR_MNC,
    P_NUMBER,
    P_ONE_TIME,
    P_PEI,
    P_RAT,
    P_REASON,
    P_SD,
    P_SERVING_MCC,
    P_SERVING_MNC,
    P_SESSION,
    P_SESSION_CHARGING_ID,
    P_SST,
    P_SUBSCRIBER,
    P_TIME,
    P_TRIGGERS,
    P_URI,
    PREFIXES,
    RATS,
    U_AFTER,
    U_ASKED,
    U_GROUP,
    U_REASON,
    U_USED,
    W_SIZE,
    W_START,
)
from pipelines.nchf.kernels.plain import ABSENT, OTHERWISE, digits_nb, plain_nb, word_nb
from schemas.codes import Direction, NumberType, Service, Unit
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, U8_IN, kernel
from schemas.online import REQUEST, ReportingReason
from schemas.parties import PARTIES

REFERENCE = 22              # letters of a ChargingDataRef
_BY_SERVICE, _BY_TIME, _BY_UNITS = range(3)  # as `pipelines.nchf.references` has them
_OCTET, _SECOND, _UNIT = int(Unit.OCTET), int(Unit.SECOND), int(Unit.UNIT)
_DATA, _ORIGINATING, _INTERNATIONAL = int(Service.DATA), int(Direction.ORIGINATING), int(NumberType.INTERNATIONAL)
_CONDITION = int(ReportingReason.RATING_CONDITION_CHANGE)
_IMSI, _MSISDN, _IMEI = range(3)
_NUMBER, _NUMBER_TYPE, _SERVED_IMSI, _SERVED_IMEI = (PARTIES.index(name) for name in (
    "served_number", "served_number_type", "served_imsi", "served_imei"))
(_SERVICE, _DIRECTION, _OF_UNIT, _TIME, _CHARGING_ID, _GATEWAY, _HI, _LO, _GROUP, _PLMN, _ROAMING, _RAT, _SLICE, _KIND,
 _SEQUENCE, _MESSAGE, _REQUESTED, _USED, _AFTER, _REASON, _SOURCE, _MERGED, _APN) = (REQUEST.index(name) for name in (
     "service", "direction", "unit", "event_time_us", "charging_id", "gateway_address", "session_hi", "session_lo",
     "rating_group", "serving_plmn", "roaming", "rat_type", "snssai", "kind", "number", "message", "requested", "used",
     "used_after", "reporting_reason", "source", "merged_count", "apn"))
_ZEROS = tuple(REQUEST.index(name) for name in ("file_id", "record_offset", "record_length", "container_index",
                                                "event_id_hi", "event_id_lo", "incomplete"))


@kernel(None)
def packed_nb(text, reference, prefix, pool, words, codes):
    """Digits behind a prefix as `schemas.digits.pack` has them; ABSENT for others, OTHERWISE without the prefix."""
    start, size = reference >> 16, reference & 0xFFFF
    row = words[PREFIXES, 0] + prefix
    at, length = codes[row, W_START], codes[row, W_SIZE]
    if size < length:
        return OTHERWISE
    for i in range(length):
        if text[start + i] != pool[at + i]:
            return OTHERWISE
    if size - length < 5 or size - length > 15:
        return ABSENT
    value = 0
    for i in range(start + length, start + size):
        digit = text[i] - 48
        if digit < 0 or digit > 9:
            return ABSENT
        value = value << 4 | digit + 1
    return value


@kernel(None)
def address_nb(text, reference):
    """An IPv4 address as a number; OTHERWISE for what is none."""
    i, end, value = reference >> 16, (reference >> 16) + (reference & 0xFFFF), 0
    for part in range(4):
        start, octet = i, 0
        while i < end and text[i] >= 48 and text[i] <= 57:
            octet = octet * 10 + (text[i] - 48)
            i += 1
            if i - start > 3:
                return OTHERWISE
        if i == start or octet > 255 or (i - start > 1 and text[start] == 48):
            return OTHERWISE
        value = value << 8 | octet
        if part < 3:
            if i == end or text[i] != 46:
                return OTHERWISE
            i += 1
    return value if i == end else OTHERWISE


@kernel(None)
def decimal_nb(text, reference):
    """The number that a text is; OTHERWISE."""
    return digits_nb(text, reference >> 16, reference & 0xFFFF)


@kernel(None)
def slice_nb(text, sst, sd):
    """S-NSSAI as usage holds it; OTHERWISE for a differentiator that is none."""
    if sd == ABSENT:
        return sst << 32
    value = 0
    for i in range(sd >> 16, (sd >> 16) + (sd & 0xFFFF)):
        c = text[i]
        digit = c - 48 if c <= 57 else (c | 32) - 87
        if c < 48 or digit > 15 or digit < 0 or (c > 57 and digit < 10):
            return OTHERWISE
        value = value << 4 | digit
    return (sst << 32) + (value + 1 if value != 0xFFFFFF else 0)


@kernel(None)
def plmn_nb(text, now):
    """The serving network: said, else of the function that serves, else of where the subscriber is."""
    mcc, mnc = now[P_SERVING_MCC], now[P_SERVING_MNC]
    if mcc == ABSENT:
        mcc, mnc = now[P_FUNCTION_MCC], now[P_FUNCTION_MNC]
    if mcc == ABSENT:
        mcc, mnc = now[P_NR_MCC], now[P_NR_MNC]
    if mcc == ABSENT:
        mcc, mnc = now[P_EUTRA_MCC], now[P_EUTRA_MNC]
    if mcc == ABSENT:
        return ABSENT
    country, network = decimal_nb(text, mcc), decimal_nb(text, mnc)
    return OTHERWISE if country < 0 or network < 0 else country * 1000 + network


@kernel(None)
def letter_nb(c):
    """Value of a letter of base 64 as URIs have it; ABSENT for others."""
    if c >= 65 and c <= 90:
        return c - 65
    if c >= 97 and c <= 122:
        return c - 71
    if c >= 48 and c <= 57:
        return c + 4
    return 62 if c == 45 else 63 if c == 95 else ABSENT


@kernel(None)
def reference_nb(letters, at, message):
    """Key of a reference that could be ours; how its session is counted, or OTHERWISE."""
    lo, hi, octet, bits, value = 0, 0, 0, 0, 0
    for i in range(REFERENCE):
        letter = letter_nb(np.int64(letters[at + i]))
        if letter < 0:
            return OTHERWISE
        value = value << 6 | letter
        bits += 6
        if bits >= 8:
            bits -= 8
            if octet < 8:
                hi |= (value >> bits & 0xFF) << (8 * octet)
            else:
                lo |= (value >> bits & 0xFF) << (8 * (octet - 8))
            octet += 1
            value &= (1 << bits) - 1
    if value != 0:  # other letters for the same octets: not as we write it
        return OTHERWISE
    meter = lo >> 56 & 3
    if hi == 0 and lo == 0:
        lo = 1 << 8
    message[M_HI], message[M_LO] = hi, lo
    return meter if meter <= _BY_UNITS else _BY_SERVICE


@kernel(None)
def said_nb(text, now, pool, words, codes, homes, message):
    """What a message says of its session, once it is read. False: for the slower reader."""
    if now[P_SESSION] == ABSENT or now[P_ONE_TIME] == 1:
        return False
    imsi, msisdn, imei = ABSENT, ABSENT, ABSENT
    if now[P_GPSI] != ABSENT:
        msisdn = packed_nb(text, now[P_GPSI], _MSISDN, pool, words, codes)
    if now[P_SUBSCRIBER] != ABSENT:
        imsi = packed_nb(text, now[P_SUBSCRIBER], _IMSI, pool, words, codes)
        if imsi == OTHERWISE:
            imsi, msisdn = ABSENT, packed_nb(text, now[P_SUBSCRIBER], _MSISDN, pool, words, codes)
            if msisdn < 0:
                return False
        elif imsi == ABSENT:
            return False
    msisdn = max(msisdn, ABSENT)
    if imsi == ABSENT and msisdn == ABSENT:
        return False
    if now[P_PEI] != ABSENT:
        imei = max(packed_nb(text, now[P_PEI], _IMEI, pool, words, codes), ABSENT)
    plmn, rat, network_slice, gateway = plmn_nb(text, now), ABSENT, ABSENT, ABSENT
    if now[P_RAT] != ABSENT:
        rat = word_nb(text, now[P_RAT], RATS, pool, words, codes)
    if now[P_SST] != ABSENT:
        network_slice = slice_nb(text, now[P_SST], now[P_SD])
    if now[P_GATEWAY] != ABSENT:
        gateway = address_nb(text, now[P_GATEWAY])
    if plmn == OTHERWISE or network_slice == OTHERWISE or gateway == OTHERWISE:
        return False
    roaming = 1 if plmn != ABSENT else 0
    for home in homes:
        if home == plmn:
            roaming = 0
    charging_id = now[P_SESSION_CHARGING_ID]
    message[M_CHARGING_ID] = charging_id if charging_id != ABSENT else now[P_CHARGING_ID]
    message[M_TIME], message[M_NUMBER], message[M_GATEWAY] = now[P_TIME], now[P_NUMBER], gateway
    message[M_PLMN], message[M_ROAMING], message[M_RAT], message[M_SLICE] = plmn, roaming, rat, network_slice
    message[M_MSISDN], message[M_IMSI], message[M_IMEI] = msisdn, imsi, imei
    message[M_DNN], message[M_URI] = now[P_DNN], now[P_URI]
    return True


@kernel(types.int64(U8_IN, I64_IN, U8_IN, CELLS_IN, I64_IN, CELLS_IN, U8_IN, CELLS_IN, CELLS_IN, I64_IN, I64_IN,
                    CELLS_OUT, I64_OUT, I64_OUT, CELLS_OUT, CELLS_OUT, I64_OUT))
def read_nb(text, sizes, letters, fields, slots, nodes, pool, words, codes, limits, homes, stack, keys, now, units,
            messages, taken):
    """Read a block of bodies, each of which ends with an octet 0 and has its reference in `letters`.

    sizes: of the bodies. messages: a row each, M_UNITS OTHERWISE where the slower reader is to see to it; taken: places
    of the others, and behind all of them how many rows of requests those have. Returns how many are taken.
    stack, keys, now: room to work in.
    """
    rows, unit_row, count_taken, end = 0, 0, 0, -1
    for each in range(sizes.size):
        begin = end + 1
        end = begin + sizes[each]
        message = messages[each]
        message[M_UNITS] = OTHERWISE
        meter = reference_nb(letters, each * REFERENCE, message)
        if meter == OTHERWISE:
            continue
        unit = _SECOND if meter == _BY_TIME else _UNIT if meter == _BY_UNITS else _OCTET
        count = plain_nb(text, begin, end, unit, fields, slots, nodes, pool, words, codes, limits, stack, keys, now,
                         units, unit_row)
        if count == OTHERWISE or not said_nb(text, now, pool, words, codes, homes, message):
            continue
        if now[P_TRIGGERS] > 0:
            reason = now[P_REASON] if now[P_REASON] != ABSENT else _CONDITION
            for row in range(unit_row, unit_row + count):
                if units[row, U_USED] != ABSENT and units[row, U_REASON] == ABSENT:
                    units[row, U_REASON] = reason
        message[M_UNIT], message[M_FIRST], message[M_UNITS] = unit, unit_row, count
        unit_row += count
        rows += max(count, 1)
        taken[count_taken] = each
        count_taken += 1
    taken[sizes.size] = rows
    return count_taken


@kernel(types.void(CELLS_IN, CELLS_IN, I64_IN, I64_IN, I64_IN, types.int64, CELLS_OUT, CELLS_OUT, I64_OUT))
def rows_nb(messages, units, taken, kinds, apns, source, cells, parties, first):
    """Columns of the messages `taken`: REQUEST cells but for the parties, and those as PARTIES; first row of each."""
    cells[:] = ABSENT
    parties[:] = ABSENT
    row = 0
    for place in range(taken.size):
        message = messages[taken[place]]
        first[place] = row
        count = message[M_UNITS]
        for each in range(max(count, 1)):
            for column in _ZEROS:
                cells[column, row] = 0
            cells[_SOURCE, row], cells[_MERGED, row] = source, 1
            cells[_SERVICE, row], cells[_DIRECTION, row] = _DATA, _ORIGINATING
            cells[_OF_UNIT, row], cells[_TIME, row] = message[M_UNIT], message[M_TIME]
            cells[_CHARGING_ID, row], cells[_GATEWAY, row] = message[M_CHARGING_ID], message[M_GATEWAY]
            cells[_HI, row], cells[_LO, row] = message[M_HI], message[M_LO]
            cells[_PLMN, row], cells[_ROAMING, row] = message[M_PLMN], message[M_ROAMING]
            cells[_RAT, row], cells[_SLICE, row] = message[M_RAT], message[M_SLICE]
            cells[_KIND, row], cells[_SEQUENCE, row] = kinds[place], message[M_NUMBER]
            cells[_MESSAGE, row], cells[_APN, row] = place, apns[place]
            if count > 0:
                unit = units[message[M_FIRST] + each]
                cells[_GROUP, row], cells[_REQUESTED, row] = unit[U_GROUP], unit[U_ASKED]
                cells[_USED, row], cells[_AFTER, row] = unit[U_USED], unit[U_AFTER]
                cells[_REASON, row] = unit[U_REASON]
            parties[_NUMBER, row], parties[_NUMBER_TYPE, row] = message[M_MSISDN], _INTERNATIONAL
            parties[_SERVED_IMSI, row], parties[_SERVED_IMEI, row] = message[M_IMSI], message[M_IMEI]
            row += 1
