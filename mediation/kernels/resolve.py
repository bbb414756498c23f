"""Who used it: identity tokens to account, service and charging group, as of event time."""

import numpy as np
from numba import types

from reference_data.kernels.changes import GROUP, OVERLAY, SERVICE, WHO, holder_nb
from reference_data.kernels.intervals import FIRST, NOT_THEN, SECOND, THIRD, UNKNOWN
from schemas.codes import Identity, Reason
from schemas.hashing import mix_nb
from schemas.jit import CELLS_IN, CELLS_OUT, I64_OUT, kernel
from schemas.usage import USAGE

ABSENT = -1
I32_IN = types.Array(types.int32, 1, "C", readonly=True)
ROWS_IN = types.Array(types.int64, 2, "C", readonly=True)
_OK, _UNKNOWN_SUBSCRIBER, _NOT_THEN = int(Reason.OK), int(Reason.UNKNOWN_SUBSCRIBER), int(Reason.NOT_SUBSCRIBED_THEN)
_TIME = USAGE.index("event_time_us")
_IDENTITIES = ((USAGE.index("imsi_token"), int(Identity.IMSI)), (USAGE.index("msisdn_token"), int(Identity.MSISDN)),
               (USAGE.index("address_token"), int(Identity.IP_ADDRESS)))
_ACCOUNT, _SERVICE, _GROUP, _LANE = (USAGE.index(n) for n in ("account_id", "service_id", "group_id", "lane"))


@kernel(types.int64(types.int64, types.int64))
def lane_nb(group_id, lanes):
    """Lane of a charging group; the same in every release, since balances live there."""
    return np.int64(mix_nb(np.uint64(group_id)) % np.uint64(lanes))


@kernel(types.void(CELLS_OUT, types.int64, I32_IN, types.int64, ROWS_IN, CELLS_IN, CELLS_IN, types.int64, I64_OUT))
def resolve_nb(usage, recorded_us, directory, shift, holders, slots, points, lanes, reason):
    """Fill account, service, group and lane. SIM before number before address: the first identity that the
    inventory knows at all decides, so that a number that was given on doesn't pay for the old SIM. What commands
    changed is asked before the operator's files."""
    for i in range(usage.shape[1]):
        row = UNKNOWN
        for column, identity in _IDENTITIES:
            token = usage[column, i]
            if token != ABSENT and row == UNKNOWN:
                row = holder_nb(token, identity, usage[_TIME, i], recorded_us, directory, shift, holders, slots, points)
        usage[_ACCOUNT, i], usage[_SERVICE, i], usage[_GROUP, i], usage[_LANE, i] = ABSENT, ABSENT, ABSENT, ABSENT
        reason[i] = _OK
        if row >= 0:
            usage[_ACCOUNT, i], usage[_SERVICE, i] = holders[row, FIRST], holders[row, SECOND]
            usage[_GROUP, i] = holders[row, THIRD]
            usage[_LANE, i] = lane_nb(holders[row, THIRD], lanes)
        elif row <= OVERLAY:
            usage[_ACCOUNT, i], usage[_SERVICE, i] = points[OVERLAY - row, WHO], points[OVERLAY - row, SERVICE]
            usage[_GROUP, i] = points[OVERLAY - row, GROUP]
            usage[_LANE, i] = lane_nb(points[OVERLAY - row, GROUP], lanes)
        else:
            reason[i] = _NOT_THEN if row == NOT_THEN else _UNKNOWN_SUBSCRIBER
