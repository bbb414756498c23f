"""5G usage as JSON lines: ChargingDataRequest of TS 32.291 with the identifier of the charging session it updates."""

import numpy as np
from numba import types

from pipelines.sample.kernels.events import container_nb
from pipelines.sample.kernels.text_write import dotted_nb, hex_nb, packed_nb, put_nb
from pipelines.sample.rows import (
    D_ADDRESS,
    D_APN,
    D_CHARGING_ID,
    D_GROUPS,
    D_LAST,
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
from schemas.jit import CELLS_IN, I64_OUT, U8_IN, U8_OUT, kernel
from schemas.written import iso_nb, number_nb, padded_nb

I64 = types.int64
MAX_USAGE_LINE = 3072


def _text(value: str) -> np.ndarray:
    return np.frombuffer(value.encode(), np.uint8)


SESSION = _text('{"chargingSessionId":"')
SUBSCRIBER = _text('","subscriberIdentifier":"imsi-')
CONSUMER = _text('","nfConsumerIdentification":{"nFName":"smf-01","nFIPv4Address":"')
INVOCATION = _text('","nodeFunctionality":"SMF"},"invocationTimeStamp":"')
NUMBER = _text('","invocationSequenceNumber":')
LOCAL = _text(',"localRecordSequenceNumber":')
USAGE = _text(',"multipleUnitUsage":[')
GROUP = _text('{"ratingGroup":')
CONTAINERS = _text(',"usedUnitContainer":[')
SERVICE = _text('{"serviceId":')
SECONDS = _text(',"time":')
TRIGGER = _text(',"triggerTimestamp":"')
TOTAL = _text('","totalVolume":')
UP = _text(',"uplinkVolume":')
DOWN = _text(',"downlinkVolume":')
INDEX = _text(',"localSequenceNumber":')
FIRST = _text(',"pDUContainerInformation":{"timeofFirstUsage":"')
LAST = _text('","timeofLastUsage":"')
END_CONTAINER = _text('"}}')
END_LIST = _text("]}")
PDU = _text('],"pDUSessionChargingInformation":{"chargingId":')
GPSI = _text(',"userInformation":{"servedGPSI":"msisdn-')
PEI = _text('","servedPEI":"imei-')
PDU_SESSION = _text('"},"pduSessionInformation":{"networkSlicingInfo":{"sNSSAI":{"sst":1,"sd":"000001"}},"pduSession'
                    'ID":5,"dnnId":"')
START = _text('","pduType":"IPV4","startTime":"')
NR = _text('","ratType":"NR","servingCNPlmnId":{"mcc":"')
EUTRA = _text('","ratType":"EUTRA","servingCNPlmnId":{"mcc":"')
MNC = _text('","mnc":"')
ADDRESS = _text('"},"pduAddress":{"pduIPv4Address":"')
STOP_TRUE = _text('"},"sessionStopIndicator":true}}}\n')
STOP_FALSE = _text('"},"sessionStopIndicator":false}}}\n')
INTERNET, IOT = _text("internet"), _text("iot")


@kernel(I64(CELLS_IN, U8_IN, I64, U8_OUT, I64_OUT))
def encode_usage_nb(rows, node, smf_address, out, offsets):
    """Partials as lines, in row order. offsets (rows + 1,): where each begins. `out` has MAX_USAGE_LINE a row."""
    q = 0
    for row in range(rows.shape[1]):
        offsets[row] = q
        close = rows[E_CLOSE_S, row]
        q = put_nb(out, put_nb(out, q, SESSION), node)
        out[q] = 46
        q = hex_nb(out, q + 1, rows[E_SESSION, row], 12)
        q = packed_nb(out, put_nb(out, q, SUBSCRIBER), rows[E_IMSI, row])
        q = dotted_nb(out, put_nb(out, q, CONSUMER), smf_address)
        q = iso_nb(out, put_nb(out, q, INVOCATION), close, -1)
        q = number_nb(out, put_nb(out, q, NUMBER), rows[D_PARTIAL, row])
        q = number_nb(out, put_nb(out, q, LOCAL), rows[E_SEQUENCE, row])
        q = put_nb(out, q, USAGE)
        groups, parts = rows[D_GROUPS, row], 2 if rows[D_SWITCH_S, row] > 0 else 1
        for group in range(groups):
            if group:
                out[q] = 44
                q += 1
            q = put_nb(out, number_nb(out, put_nb(out, q, GROUP), container_nb(rows, row, group)[0]), CONTAINERS)
            for part in range(parts):
                index = part * groups + group
                _, service, first, last, seconds, up, down = container_nb(rows, row, index)
                if part:
                    out[q] = 44
                    q += 1
                q = number_nb(out, put_nb(out, q, SERVICE), service)
                q = number_nb(out, put_nb(out, q, SECONDS), seconds)
                q = iso_nb(out, put_nb(out, q, TRIGGER), last, -1)
                q = number_nb(out, put_nb(out, q, TOTAL), up + down)
                q = number_nb(out, put_nb(out, q, UP), up)
                q = number_nb(out, put_nb(out, q, DOWN), down)
                q = number_nb(out, put_nb(out, q, INDEX), rows[D_PARTIAL, row] * 8 + index)
                q = iso_nb(out, put_nb(out, q, FIRST), first, -1)
                q = put_nb(out, iso_nb(out, put_nb(out, q, LAST), last, -1), END_CONTAINER)
            q = put_nb(out, q, END_LIST)
        q = number_nb(out, put_nb(out, q, PDU), rows[D_CHARGING_ID, row])
        q = packed_nb(out, put_nb(out, q, GPSI), rows[E_MSISDN, row])
        q = packed_nb(out, put_nb(out, q, PEI), rows[E_IMEI, row])
        q = put_nb(out, put_nb(out, q, PDU_SESSION), IOT if rows[D_APN, row] else INTERNET)
        q = iso_nb(out, put_nb(out, q, START), rows[D_SESSION_START_S, row], -1)
        q = padded_nb(out, put_nb(out, q, NR if rows[D_RAT, row] == 51 else EUTRA), rows[D_PLMN, row] // 1000, 3)
        q = padded_nb(out, put_nb(out, q, MNC), rows[D_PLMN, row] % 1000, 2)
        q = dotted_nb(out, put_nb(out, q, ADDRESS), rows[D_ADDRESS, row])
        q = put_nb(out, q, STOP_TRUE if rows[D_LAST, row] else STOP_FALSE)
    offsets[rows.shape[1]] = q
    return q
