"""Identities: record key and content, event id, session key."""

import numpy as np
from numba import types

from mediation.kernels.numbers import text_value_nb
from schemas.codes import NumberType, RecordType
from schemas.decoded import DECODED
from schemas.hashing import absorb_hi_nb, absorb_lo_nb, bytes_hash_nb
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, U8_IN, U64_OUT, kernel
from schemas.usage import KEY, USAGE

U64_IN = types.Array(types.uint64, 1, "C", readonly=True)
ABSENT = -1
PLAIN_COLUMN, TEXT_COLUMN, NUMBER_COLUMN, ADDRESS_COLUMN, SKIPPED_COLUMN = range(5)
_TEXT = int(NumberType.TEXT)
_HI_SEED, _LO_SEED = np.uint64(0x9AE16A3B2F90404F), np.uint64(0xC3A5C85C97CB3127)
_CONTENT_SEED = np.uint64(0xB492B66FBE98F273)
_KEY_0, _TIME, _HI, _LO = (KEY.index(n) for n in ("key_0", "key_time_us", "key_hi", "key_lo"))
_CONTENT = KEY.index("content")
_INDEX = DECODED.index("container_index")
_STATUS, _OFFSET = DECODED.index("status"), DECODED.index("record_offset")
_RECORD_TYPE, _DIRECTION = DECODED.index("record_type"), DECODED.index("direction")
_SESSION_TEXT, _GATEWAY = DECODED.index("session_text"), DECODED.index("gateway_address")
_CHARGING_ID, _IMSI = DECODED.index("charging_id"), DECODED.index("served_imsi")
_SESSION_START, _SEQUENCE = DECODED.index("session_start_us"), DECODED.index("partial_sequence")
_ROLE = DECODED.index("node_role")
_U_HI, _U_LO = USAGE.index("event_id_hi"), USAGE.index("event_id_lo")
_U_SESSION_HI, _U_SESSION_LO = USAGE.index("session_hi"), USAGE.index("session_lo")
_PGW, _SGW = int(RecordType.PGW), int(RecordType.SGW)
_LAST_CALL, _FIRST_SMS, _LAST_SMS = int(RecordType.ROAMING), int(RecordType.SMS_MO), int(RecordType.SMS_MT)
_VOIP = int(RecordType.VOIP)


@kernel(None)
def _meaning_nb(buffer, decoded, kinds, column, row):
    """A cell's own value, or the value of the text that it refers to."""
    cell, kind = decoded[column, row], kinds[column]
    if cell == ABSENT or kind == PLAIN_COLUMN:
        return cell
    if kind == TEXT_COLUMN or decoded[column + 1, row] == (_TEXT if kind == NUMBER_COLUMN else 1):
        return text_value_nb(buffer, cell >> 16, cell & 0xFFFF)
    return cell


@kernel(types.int64(CELLS_IN, I64_OUT))
def records_nb(decoded, record):
    """Number of the record that each container belongs to, from 0 in order; returns how many there are."""
    number = -1
    for i in range(record.size):
        if i == 0 or decoded[_INDEX, i] <= 0 or decoded[_OFFSET, i] != decoded[_OFFSET, i - 1]:
            number += 1
        record[i] = number
    return number + 1


@kernel(types.void(U8_IN, CELLS_IN, I64_IN, I64_IN, U64_OUT))
def contents_nb(buffer, decoded, kinds, record, content):
    """Hash of what all containers of each record say, (records,): by meaning, not by encoding, so that a copy that
    another node encoded differently is still a copy. Column by column, since cells of a column lie together."""
    for i in range(content.size):
        content[i] = _CONTENT_SEED
    for column in range(decoded.shape[0]):
        if kinds[column] == SKIPPED_COLUMN:
            continue
        cells = decoded[column]
        plain = kinds[column] == PLAIN_COLUMN
        for i in range(record.size):
            if cells[i] != ABSENT:  # most are; the place keeps the others apart
                value = cells[i] if plain else _meaning_nb(buffer, decoded, kinds, column, i)
                place = np.uint64(decoded[_INDEX, i] * 64 + column + 1)
                content[record[i]] = absorb_hi_nb(content[record[i]] + place, value)


@kernel(types.void(U8_IN, CELLS_IN, I64_IN, I64_IN, I64_IN, U64_IN, types.int64, CELLS_OUT))
def record_keys_nb(buffer, decoded, kinds, key_columns, record, content, node, key):
    """Key and content of every record, the same on all its containers.

    key_columns (4,): the columns that the layout declares, ABSENT for fewer, the first one a time.
    """
    for i in range(record.size):
        if i > 0 and record[i] == record[i - 1]:
            for column in range(key.shape[0]):
                key[column, i] = key[column, i - 1]
            continue
        hi, lo = absorb_hi_nb(_HI_SEED, node), absorb_lo_nb(_LO_SEED, node)
        key[_KEY_0, i] = node
        for k in range(4):
            value = np.int64(ABSENT)
            if key_columns[k] >= 0:
                value = _meaning_nb(buffer, decoded, kinds, key_columns[k], i)
            hi, lo = absorb_hi_nb(hi, value), absorb_lo_nb(lo, value)
            key[_KEY_0 + 1 + k, i] = value
        key[_TIME, i] = key[_KEY_0 + 1, i]
        key[_HI, i], key[_LO, i] = np.int64(hi), np.int64(lo)
        key[_CONTENT, i] = np.int64(content[record[i]])


@kernel(types.void(U8_IN, CELLS_IN, CELLS_IN, types.int64, types.int64, CELLS_OUT))
def identities_nb(buffer, decoded, key, node, file_id, usage):
    """Event id and session key of every container.

    Event id: record key and container index. A record that can't be read has no key; its place in its file
    stands in. Session key: gateway, charging id, IMSI and start of packet records; the session's own text elsewhere;
    without either, the event itself.
    """
    for i in range(decoded.shape[1]):
        if decoded[_STATUS, i] == 0:
            hi = absorb_hi_nb(np.uint64(key[_HI, i]), decoded[_INDEX, i])
            lo = absorb_lo_nb(np.uint64(key[_LO, i]), decoded[_INDEX, i])
        else:
            hi, lo = absorb_hi_nb(_CONTENT_SEED, node), absorb_lo_nb(_CONTENT_SEED, node)
            for value in (file_id, decoded[_OFFSET, i], decoded[_INDEX, i]):
                hi, lo = absorb_hi_nb(hi, value), absorb_lo_nb(lo, value)
        usage[_U_HI, i], usage[_U_LO, i] = np.int64(hi), np.int64(lo)
        record_type, text = decoded[_RECORD_TYPE, i], decoded[_SESSION_TEXT, i]
        packet = record_type == _PGW or record_type == _SGW
        # A call reference is unique on its switch for a while only, so it ties calls together only if they say that
        # they are parts of one.
        call = record_type <= _LAST_CALL or (_FIRST_SMS <= record_type <= _LAST_SMS) or record_type == _VOIP
        if packet and decoded[_CHARGING_ID, i] != ABSENT:
            session_hi, session_lo = absorb_hi_nb(_LO_SEED, record_type), absorb_lo_nb(_HI_SEED, record_type)
            for column in (_GATEWAY, _CHARGING_ID, _IMSI, _SESSION_START):
                session_hi = absorb_hi_nb(session_hi, decoded[column, i])
                session_lo = absorb_lo_nb(session_lo, decoded[column, i])
            hi, lo = session_hi, session_lo
        elif text != ABSENT and not packet and (not call or decoded[_SEQUENCE, i] != ABSENT):
            start, length = text >> 16, text & 0xFFFF
            session_hi = bytes_hash_nb(buffer, start, length, _HI_SEED)
            session_lo = bytes_hash_nb(buffer, start, length, _LO_SEED)
            for value in (record_type, decoded[_DIRECTION, i], decoded[_ROLE, i], decoded[_GATEWAY, i]):
                session_hi, session_lo = absorb_hi_nb(session_hi, value), absorb_lo_nb(session_lo, value)
            if call:
                for value in (node, decoded[_IMSI, i]):
                    session_hi, session_lo = absorb_hi_nb(session_hi, value), absorb_lo_nb(session_lo, value)
            hi, lo = session_hi, session_lo
        usage[_U_SESSION_HI, i], usage[_U_SESSION_LO, i] = np.int64(hi), np.int64(lo)
