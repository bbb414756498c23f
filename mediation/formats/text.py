"""What the text formats share: room for rows, the loop over a kernel, cells by column."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mediation.formats.frame import Decoded
from mediation.kernels.text_rows import COLUMN_COUNT, ROW_WIDTH
from mediation.kernels.transpose import transpose_nb
from schemas.columns import I64, U8, Cells
from schemas.decoded import DECODED

ROWS_PER_CALL = 1024
SCRATCH_OCTETS = 1024


@dataclass
class Room:
    """Working memory of one thread, reused between calls: fresh pages cost more than the rows written to them."""

    rows: I64
    scratch: U8
    scratch_in: U8

    @classmethod
    def make(cls, rows: int) -> "Room":
        scratch = np.zeros(SCRATCH_OCTETS, np.uint8)
        view = scratch.view()
        view.flags.writeable = False
        return cls(np.empty((rows, ROW_WIDTH), np.int64), scratch, view)


class Rooms(threading.local):
    """One `Room` a thread; its size is the format's."""

    def __init__(self, rows: int) -> None:
        self.room = Room.make(rows)


Step = Callable[[int, int, Room], tuple[int, int]]


def run(step: Step, room: Room, start: int, end: int, max_records: int, capacity: int) -> Decoded:
    """Call `step(at, most, room) -> (rows, next)` until `max_records` records or `end`; rows become columns.

    `capacity` is how many rows are expected: exact saves a copy.
    """
    matrix = np.empty((COLUMN_COUNT, max(capacity, 1)), np.int64)
    filled, records, at = 0, 0, start
    index = DECODED.index("container_index")
    while at < end and records < max_records:
        count, following = step(at, min(max_records - records, ROWS_PER_CALL), room)
        if filled + count > matrix.shape[1]:
            grown = np.empty((COLUMN_COUNT, max(2 * matrix.shape[1], filled + count)), np.int64)
            grown[:, :filled] = matrix[:, :filled]
            matrix = grown
        transpose_nb(room.rows, count, matrix, filled)
        records += int(np.count_nonzero(matrix[index, filled:filled + count] == 0))
        filled, at = filled + count, following
    if filled < matrix.shape[1]:
        matrix = np.ascontiguousarray(matrix[:, :filled])
    return Decoded(Cells(DECODED, matrix), at, records)
