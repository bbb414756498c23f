"""What must hold of rows before others read them, and what kind of message each is, in one pass each."""

from numba import types

from pipelines.diameter import operations as o
from pipelines.diameter.columns import MESSAGE
from pipelines.diameter.results import Command
from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, U8_IN, U8_OUT, kernel

RESULT, SEGMENT, COMMAND, FLAGS = (MESSAGE.index(n) for n in ("result_code", "segment", "command", "flags"))
EXCHANGE, WATCHDOG, DISCONNECT = (int(c) for c in (
    Command.CAPABILITIES_EXCHANGE, Command.DEVICE_WATCHDOG, Command.DISCONNECT_PEER))
REQUEST = 0x80
GOOD, BAD, APART, UNKNOWN = range(4)  # for a handler; refused; of the base protocol, or an answer; of nobody we know
KINDS = 4


@kernel(types.boolean(CELLS_IN, types.int64, CELLS_OUT), error_model="numpy")
def begin_nb(given, size, segments):
    """Fill segments (s, SEGMENT_FIELDS) from [start, stop) of each; whether all lie within `size` octets."""
    sound = True
    for i in range(given.shape[0]):
        start, stop = given[i, 0], given[i, 1]
        sound = sound and 0 <= start <= stop <= size
        segments[i, o.S_START], segments[i, o.S_STOP] = start, stop
        segments[i, o.S_TAKEN], segments[i, o.S_CLOSED] = start, 0
    return sound


@kernel(types.void(CELLS_IN, U8_IN, U8_OUT, I64_OUT), error_model="numpy")
def kinds_nb(messages, served, kinds, counts):
    """What each message is, and how many of each kind. served (segments,): whether it is of a peer that is known."""
    counts[:] = 0
    for m in range(messages.shape[1]):
        command = messages[COMMAND, m]
        if messages[FLAGS, m] & REQUEST == 0 or command == EXCHANGE or command == WATCHDOG or command == DISCONNECT:
            kind = APART
        elif not served[messages[SEGMENT, m]]:
            kind = UNKNOWN
        else:
            kind = GOOD if messages[RESULT, m] == 0 else BAD
        kinds[m] = kind
        counts[kind] += 1


@kernel(types.void(I64_IN, CELLS_OUT), error_model="numpy")
def fill_nb(usual, cells):
    """Every row says what is usual."""
    for column in range(cells.shape[0]):
        for row in range(cells.shape[1]):
            cells[column, row] = usual[column]


@kernel(types.boolean(I64_IN, types.int64), error_model="numpy")
def ascending_nb(rows, count):
    """Whether rows of messages are ascending within `count`."""
    before = 0
    for i in range(rows.size):
        if rows[i] < before or rows[i] >= count:
            return False
        before = rows[i]
    return True


@kernel(types.int64(CELLS_IN, I64_IN, types.int64), error_model="numpy")
def texts_nb(cells, places, size):
    """Octets that the references of some columns mean, headers and padding included; -1 where one leaves its texts."""
    octets = 0
    for i in range(places.size):
        column = places[i]
        for row in range(cells.shape[1]):
            reference = cells[column, row]
            if reference == ABSENT:
                continue
            if reference < 0 or (reference >> 16) + (reference & 0xFFFF) > size:
                return -1
            octets += (reference & 0xFFFF) + 16
    return octets
