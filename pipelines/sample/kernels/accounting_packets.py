"""RADIUS accounting packets: RFC 2866, gigawords and event time RFC 2869, 3GPP attributes TS 29.061."""

import numpy as np
from numba import types

from pipelines.sample.kernels.text_write import hex_nb, packed_nb, put_nb
from pipelines.sample.rows import (
    D_ADDRESS,
    D_LAST,
    D_PARTIAL,
    D_SESSION_START_S,
    D_TOTAL_DOWN,
    D_TOTAL_UP,
    E_CLOSE_S,
    E_IMSI,
    E_MSISDN,
    E_SEQUENCE,
    E_SESSION,
)
from schemas.hashing import mix_nb
from schemas.jit import CELLS_IN, I64_OUT, U8_IN, U8_OUT, kernel

I64 = types.int64
MAX_PACKET = 256
ACCOUNTING_REQUEST = 4
START, STOP, INTERIM = 1, 2, 3
HOTSPOT = np.frombuffer(b"02-00-5E-00-53-01:tarifa", np.uint8)
REALM = np.frombuffer(b"@wlan.mnc001.mcc001.3gppnetwork.org", np.uint8)
TGPP_VENDOR = 10415


@kernel(I64(U8_OUT, I64, I64, I64))
def word_nb(out, q, attribute, value):
    """An attribute of four octets."""
    out[q], out[q + 1] = attribute, 6
    for place in range(5, 1, -1):
        out[q + place] = value & 255
        value >>= 8
    return q + 6


@kernel(I64(U8_OUT, I64, I64, I64))
def close_nb(out, q, begin, attribute):
    """Fill in type and length of an attribute whose value lies at [begin + 2, q)."""
    out[begin], out[begin + 1] = attribute, q - begin
    return q


@kernel(I64(CELLS_IN, U8_IN, I64, U8_OUT, I64_OUT))
def encode_packets_nb(rows, node, address, out, offsets):
    """Reports as packets, in row order: D_PARTIAL 0 is the Start, D_LAST the Stop, the rest are interim updates.

    Counters are totals since the start. offsets (rows + 1,): where each begins. `out` has MAX_PACKET a row.
    """
    position = 0
    for row in range(rows.shape[1]):
        offsets[row] = position
        q = position + 20
        start, last = rows[D_PARTIAL, row] == 0, rows[D_LAST, row] == 1
        kind = START if start else (STOP if last else INTERIM)
        q = word_nb(out, q, 40, kind)
        begin = q
        q = hex_nb(out, q + 2, address, 8)
        out[q] = 45
        q = close_nb(out, hex_nb(out, q + 1, rows[E_SESSION, row], 8), begin, 44)
        q = word_nb(out, q, 4, address)
        begin = q
        q = close_nb(out, put_nb(out, q + 2, node), begin, 32)
        q = word_nb(out, q, 55, rows[E_CLOSE_S, row])
        q = word_nb(out, q, 8, rows[D_ADDRESS, row])
        begin = q
        q = close_nb(out, put_nb(out, q + 2, HOTSPOT), begin, 30)
        if rows[E_IMSI, row] > 0:
            begin = q
            q = close_nb(out, put_nb(out, packed_nb(out, q + 2, rows[E_MSISDN, row]), REALM), begin, 1)
            begin = q
            q = close_nb(out, packed_nb(out, q + 2, rows[E_MSISDN, row]), begin, 31)
            begin = q
            q += 2
            for place in range(3, -1, -1):
                out[q + 3 - place] = TGPP_VENDOR >> 8 * place & 255
            inner = q + 4
            q = close_nb(out, packed_nb(out, inner + 2, rows[E_IMSI, row]), inner, 1)
            q = close_nb(out, q, begin, 26)
        if not start:
            up, down = rows[D_TOTAL_UP, row], rows[D_TOTAL_DOWN, row]
            q = word_nb(out, q, 46, rows[E_CLOSE_S, row] - rows[D_SESSION_START_S, row])
            q = word_nb(out, q, 42, up & 0xFFFFFFFF)
            q = word_nb(out, q, 43, down & 0xFFFFFFFF)
            if up >> 32:
                q = word_nb(out, q, 52, up >> 32)
            if down >> 32:
                q = word_nb(out, q, 53, down >> 32)
            if last:
                q = word_nb(out, q, 49, 1)
        length = q - position
        out[position], out[position + 1] = ACCOUNTING_REQUEST, rows[E_SEQUENCE, row] & 255
        out[position + 2], out[position + 3] = length >> 8, length & 255
        # The authenticator is a digest with a secret that nobody here knows: bits that look like one.
        for half in range(2):
            word = mix_nb(np.uint64(rows[E_SEQUENCE, row] * 2 + half))
            for octet in range(8):
                out[position + 4 + half * 8 + octet] = np.int64(word >> np.uint64(8 * octet)) & 255
        position = q
    offsets[rows.shape[1]] = position
    return position
