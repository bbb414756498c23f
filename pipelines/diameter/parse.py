"""A receive buffer, many messages of many connections, to two `Cells`."""

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mediation.kernels.transpose import transpose_nb
from pipelines.diameter import operations as o
from pipelines.diameter.columns import MESSAGE, UNIT
from pipelines.diameter.kernels.check import begin_nb
from pipelines.diameter.kernels.parse import FULL, parse_nb
from pipelines.diameter.rules import tables
from schemas.columns import I64, U8, Cells

LONGEST = 65_532  # octets of a message: what a reference can hold, in whole words
_ROWS = 1024


@dataclass(frozen=True)
class Limits:
    """Bounds on what one message may ask of us; past them it is refused, or its connection closed.

    message_octets: longest message, at most 65,532; a longer one closes the connection (5015)
    avps, depth, units: AVPs of a message, groups within groups, rows of units; beyond: 5012
    strict: refuse unknown AVPs that their sender marks mandatory (5001), as RFC 6733 asks; else pass them over
    """

    message_octets: int = LONGEST
    avps: int = 1024
    depth: int = 8
    units: int = 256
    strict: bool = True

    def __post_init__(self) -> None:
        if not 20 <= self.message_octets <= LONGEST:
            raise ValueError(f"messages of {self.message_octets} octets; 20 to {LONGEST} expected")
        if min(self.avps, self.depth, self.units) < 1:
            raise ValueError("limits on AVPs, depth and units are at least 1")

    @cached_property
    def bounds(self) -> I64:
        """As the kernel wants them."""
        return np.array([self.message_octets, self.avps, self.depth, self.units, self.strict], np.int64)


@dataclass(frozen=True)
class Parsed:
    """Messages and their units, and of each segment what was taken and why it must be closed (0: it need not).

    taken (segments,): offset in the buffer up to which messages were whole
    closed (segments,): 0, 5011 or 5015
    """

    messages: Cells
    units: Cells
    taken: I64
    closed: I64


class _Room(threading.local):
    """Rows that are used again and again, of each thread its own."""

    def __init__(self) -> None:
        self.messages = np.empty((_ROWS, len(MESSAGE.columns)), np.int64)
        self.units = np.empty((0, len(UNIT.columns)), np.int64)
        self.registers, self.state = np.zeros(o.REGISTERS, np.int64), np.zeros(2, np.int64)
        self.stack = np.empty((0, 5), np.int64)


_room = _Room()
_DEFAULT = Limits()


def parse(buffer: U8, segments: I64 | None = None, limits: Limits = _DEFAULT) -> Parsed:
    """Read all whole messages.

    buffer   (n,) uint8
    segments (s, 2) int64, [start, stop) of the octets of one connection each; None: the whole buffer is one

    Raises ValueError: a segment that does not lie in the buffer.
    """
    given = np.array([[0, buffer.size]], np.int64) if segments is None else np.asarray(segments, np.int64)
    ends = np.empty((len(given), o.SEGMENT_FIELDS), np.int64)
    if not begin_nb(np.ascontiguousarray(given), buffer.size, ends):
        raise ValueError(f"segments lie outside a buffer of {buffer.size} octets")
    room, rules = _room, tables()
    if len(room.units) < limits.units + _ROWS:
        room.units = np.empty((limits.units + 2 * _ROWS, len(UNIT.columns)), np.int64)
    if len(room.stack) < limits.depth:
        room.stack = np.empty((limits.depth, 5), np.int64)
    messages: list[Cells] = []
    units: list[Cells] = []
    message_base = unit_base = 0
    full = FULL
    while full == FULL:
        full = parse_nb(buffer, ends, message_base, unit_base, rules.ietf, rules.tgpp, rules.rule_of, rules.rules,
                        rules.commands, rules.needed, rules.others, limits.bounds, room.messages, room.units,
                        room.stack, room.registers, room.state)
        for rows, count, columns, parts in ((room.messages, int(room.state[0]), MESSAGE, messages),
                                            (room.units, int(room.state[1]), UNIT, units)):
            part = Cells.empty(columns, count)
            transpose_nb(rows, count, part.matrix, 0)
            parts.append(part)
        message_base += int(room.state[0])
        unit_base += int(room.state[1])
    return Parsed(Cells.concat(MESSAGE, messages), Cells.concat(UNIT, units), ends[:, o.S_TAKEN].copy(),
                  ends[:, o.S_CLOSED].copy())
