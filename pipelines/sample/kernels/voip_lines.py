"""Lines of the VoIP switch's CSV; the columns are in the package's README."""

import numpy as np
from numba import types

from pipelines.sample.kernels.text_write import dotted_nb, hex_nb, iso_nb, number_nb, packed_nb, put_nb
from pipelines.sample.rows import (
    C_ANSWER_S,
    C_CAUSE,
    C_DURATION_S,
    C_OTHER,
    C_OTHER_INTERNATIONAL,
    E_CLOSE_S,
    E_MSISDN,
    E_SEQUENCE,
    E_SESSION,
    E_START_S,
    E_SUBSCRIBER,
)
from schemas.jit import CELLS_IN, I64_OUT, U8_IN, U8_OUT, kernel

I64 = types.int64
MAX_LINE = 400
HEADER = b"call_id,switch,sequence,start_time,answer_time,end_time,duration_s,caller,called,source_ip,disposition,cause\n"
ANSWERED = np.frombuffer(b",ANSWERED,16\n", np.uint8)
FAILED = np.frombuffer(b",FAILED,41\n", np.uint8)
NO_ANSWER = np.frombuffer(b",NO_ANSWER,19\n", np.uint8)
BUSY = np.frombuffer(b",BUSY,17\n", np.uint8)


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
        out[q] = 44
        q = iso_nb(out, q + 1, rows[E_START_S, row], session * 7919 % 1000 if rows[C_ANSWER_S, row] < 0
                   or rows[C_ANSWER_S, row] > rows[E_START_S, row] else 0)
        out[q] = 44
        q += 1
        answered = rows[C_ANSWER_S, row] >= 0
        if answered:
            q = iso_nb(out, q, rows[C_ANSWER_S, row], 0)
        out[q] = 44
        q = iso_nb(out, q + 1, rows[E_CLOSE_S, row], 0 if answered else 999)
        out[q] = 44
        q = number_nb(out, q + 1, rows[C_DURATION_S, row])
        out[q] = 44
        out[q + 1] = 43
        q = packed_nb(out, q + 2, rows[E_MSISDN, row])
        out[q] = 44
        q += 1
        if rows[C_OTHER_INTERNATIONAL, row] == 1:
            if session & 1:
                out[q] = 43
                q += 1
            else:
                out[q] = out[q + 1] = 48
                q += 2
        q = packed_nb(out, q, rows[C_OTHER, row])
        out[q] = 44
        q = dotted_nb(out, q + 1, (10 << 24) + (7 << 16) + rows[E_SUBSCRIBER, row] % 65536)
        if answered:
            q = put_nb(out, q, ANSWERED)
        elif rows[C_CAUSE, row] == 3 and session % 3 == 0:
            q = put_nb(out, q, BUSY)
        elif session % 3 == 1:
            q = put_nb(out, q, NO_ANSWER)
        else:
            q = put_nb(out, q, FAILED)
    offsets[rows.shape[1]] = q
    return q
