"""Records of an SMS centre. Tags: TS 32.298 SMSChargingDataTypes (SCSMORecord, SCSMTRecord); TS 32.274."""

import numpy as np
from numba import types

from pipelines.sample.kernels.ber_write import (
    CONSTRUCTED,
    MAX_RECORD,
    SEQUENCE,
    address_nb,
    digits_nb,
    frame_nb,
    head_nb,
    int_nb,
    offset_nb,
    time_nb,
    universal_nb,
)
from pipelines.sample.kernels.circuit_records import INTERNATIONAL, UNKNOWN, plain_nb
from pipelines.sample.rows import (
    C_KIND,
    C_OTHER,
    C_OTHER_INTERNATIONAL,
    E_CLOSE_S,
    E_IMEI,
    E_IMSI,
    E_MSISDN,
    E_SEQUENCE,
    E_SESSION,
    MT,
)
from schemas.jit import CELLS_IN, I64_IN, I64_OUT, U8_OUT, kernel

I64 = types.int64
TS_32274 = 15


@kernel(I64(CELLS_IN, I64_IN, I64, U8_OUT, I64_OUT), _nrt=True)
def encode_messages_nb(rows, zone, centre, out, offsets):
    """Messages as SC-SM MO and MT records, framed, in row order. `centre`: packed E.164 of the service centre."""
    scratch = np.empty(MAX_RECORD, np.uint8)
    position = 0
    for row in range(rows.shape[1]):
        offsets[row] = position
        session, at = rows[E_SESSION, row], rows[E_CLOSE_S, row]
        nature = INTERNATIONAL if rows[C_OTHER_INTERNATIONAL, row] == 1 else UNKNOWN
        p = MAX_RECORD
        if rows[C_KIND, row] == MT:
            p = int_nb(scratch, p, 26, rows[E_SEQUENCE, row])
            p = int_nb(scratch, p, 11, 20 + session % 120)
            p = plain_nb(scratch, p, 8, session, 5)
            p = time_nb(scratch, p, 6, at, offset_nb(zone, at))
            p = time_nb(scratch, p, 5, at, offset_nb(zone, at))
            p = digits_nb(scratch, p, 4, rows[E_IMEI, row])
            end = p
            p = address_nb(scratch, p, 1, nature, rows[C_OTHER, row])
            p = head_nb(scratch, p, end, CONSTRUCTED, 3)
            end = p
            p = address_nb(scratch, p, 1, INTERNATIONAL, rows[E_MSISDN, row])
            p = digits_nb(scratch, p, 0, rows[E_IMSI, row])
            p = head_nb(scratch, p, end, CONSTRUCTED, 2)
            p = address_nb(scratch, p, 1, INTERNATIONAL, centre)
            p = int_nb(scratch, p, 0, 94)
            p = head_nb(scratch, p, MAX_RECORD, CONSTRUCTED, 94)
        else:
            p = int_nb(scratch, p, 22, rows[E_SEQUENCE, row])
            p = int_nb(scratch, p, 9, 20 + session % 120)
            p = plain_nb(scratch, p, 6, session, 5)
            p = time_nb(scratch, p, 5, at, offset_nb(zone, at))
            p = digits_nb(scratch, p, 4, rows[E_IMEI, row])
            end = p
            p = address_nb(scratch, p, 1, nature, rows[C_OTHER, row])
            p = universal_nb(scratch, p, end, SEQUENCE)
            p = head_nb(scratch, p, end, CONSTRUCTED, 3)
            end = p
            p = address_nb(scratch, p, 1, INTERNATIONAL, rows[E_MSISDN, row])
            p = digits_nb(scratch, p, 0, rows[E_IMSI, row])
            p = head_nb(scratch, p, end, CONSTRUCTED, 2)
            p = address_nb(scratch, p, 1, INTERNATIONAL, centre)
            p = int_nb(scratch, p, 0, 93)
            p = head_nb(scratch, p, MAX_RECORD, CONSTRUCTED, 93)
        position = frame_nb(scratch, p, out, position, TS_32274)
    offsets[rows.shape[1]] = position
    return position
