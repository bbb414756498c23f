"""Lines of the VoIP switch's CSV; the columns are in the package's README."""

import numpy as np
from numba import types

from pipelines.sample.kernels.text_write import dotted_nb, hex_nb, packed_nb, put_nb
from pipelines.sample.rows import (
    C_ANSWER_S,
    C_DURATION_S,
    C_EXTRA,
    C_KIND,
    C_OTHER,
    C_OTHER_INTERNATIONAL,
    E_CLOSE_S,
    E_MSISDN,
    E_SEQUENCE,
    E_SESSION,
    E_START_S,
    E_SUBSCRIBER,
    FORWARDED,
    MT,
)
from schemas.jit import CELLS_IN, I64_OUT, U8_IN, U8_OUT, kernel
from schemas.written import iso_nb, number_nb

I64 = types.int64
MAX_LINE = 400
HEADER = b"call_id,node,sequence,direction,served,calling,called,setup_time,answer_time,release_time,duration,cause,"
HEADER += b"source_ip\n"
DIRECTIONS = tuple(np.frombuffer(text, np.uint8) for text in (b",originating,", b",terminating,", b",forwarded,"))


@kernel(I64(U8_OUT, I64, I64, I64, I64))
def dialled_nb(out, q, packed, international, style):
    """A number as the switch writes it: international with + or 00, anything else as dialled."""
    if international == 1:
        if style & 1:
            out[q] = 43
            q += 1
        else:
            out[q] = out[q + 1] = 48
            q += 2
    return packed_nb(out, q, packed)


@kernel(I64(CELLS_IN, U8_IN, U8_OUT, I64_OUT))
def encode_voip_nb(rows, node, out, offsets):
    """Calls as lines, in row order. offsets (rows + 1,): where each line begins. `out` has MAX_LINE a row."""
    q = 0
    for row in range(rows.shape[1]):
        offsets[row] = q
        session = rows[E_SESSION, row]
        q = hex_nb(out, q, session * 2654435761 & 0xFFFFFFFF, 8)
        out[q] = 45
        q = hex_nb(out, q + 1, session, 8)
        out[q] = 64
        q = put_nb(out, q + 1, node)
        out[q] = 44
        q = put_nb(out, q + 1, node)
        out[q] = 44
        q = number_nb(out, q + 1, rows[E_SEQUENCE, row])
        kind, served, other = rows[C_KIND, row], rows[E_MSISDN, row], rows[C_OTHER, row]
        q = put_nb(out, q, DIRECTIONS[1] if kind == MT else (DIRECTIONS[2] if kind == FORWARDED else DIRECTIONS[0]))
        q = dialled_nb(out, q, served, 1, 1)
        out[q] = 44
        calling = other if kind == MT else (rows[C_EXTRA, row] if kind == FORWARDED else served)
        q = dialled_nb(out, q + 1, calling, 1, 1)
        out[q] = 44
        if kind == MT:
            q = dialled_nb(out, q + 1, served, 1, 1)
        else:
            q = dialled_nb(out, q + 1, other, rows[C_OTHER_INTERNATIONAL, row], session)
        out[q] = 44
        start, answer, close = rows[E_START_S, row], rows[C_ANSWER_S, row], rows[E_CLOSE_S, row]
        q = iso_nb(out, q + 1, start, session * 7919 % 1000 if close > start else 0)
        out[q] = 44
        q += 1
        if answer >= 0:
            q = iso_nb(out, q, answer, session * 31 % 1000)
        out[q] = 44
        q = iso_nb(out, q + 1, close, session * 31 % 1000)
        out[q] = 44
        q = number_nb(out, q + 1, rows[C_DURATION_S, row])
        out[q] = 44
        cause = 16
        if answer < 0:
            cause = 17 if session % 3 == 0 else (19 if session % 3 == 1 else 41)
        q = number_nb(out, q + 1, cause)
        out[q] = 44
        q = dotted_nb(out, q + 1, (10 << 24) + (7 << 16) + rows[E_SUBSCRIBER, row] % 65536)
        out[q] = 10
        q += 1
    offsets[rows.shape[1]] = q
    return q
