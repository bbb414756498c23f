"""Who is told to try again, one request after the other, each with what those before it left."""

from numba import types

from pipelines.diameter.columns import MESSAGE, RequestType
from pipelines.diameter.results import Command
from schemas.jit import CELLS_IN, kernel

KIND, COMMAND, ACTION = (MESSAGE.index(n) for n in ("request_type", "command", "requested_action"))
INITIAL, UPDATE, EVENT = int(RequestType.INITIAL), int(RequestType.UPDATE), int(RequestType.EVENT)
CREDIT_CONTROL, REFUND = int(Command.CREDIT_CONTROL), 1
MASK_OUT, MASK_IN = types.boolean[::1], types.Array(types.boolean, 1, "C", readonly=True)


@kernel(types.int64(CELLS_IN, MASK_IN, types.int64, types.int64, types.int64, MASK_OUT), error_model="numpy")
def shed_nb(messages, asked, load, initial, update, busy):
    """Mark those of `asked` that find too many before them; returns how many. load: requests without answer so far."""
    count = 0
    for m in range(asked.size):
        busy[m] = False
        if not asked[m]:
            continue
        kind = messages[KIND, m]
        event = kind == EVENT and messages[COMMAND, m] == CREDIT_CONTROL
        refund = event and messages[ACTION, m] == REFUND
        begins = kind == INITIAL or (event and not refund)
        if (begins and load >= initial) or ((kind == UPDATE or refund) and load >= update):
            busy[m] = True
            count += 1
        else:
            load += 1
    return count
