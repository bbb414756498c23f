"""Who is told to try again: counted request by request, bursts let in, standing queues not."""

import numpy as np

from pipelines.diameter.columns import MESSAGE, RequestType
from pipelines.diameter.overload import BeginnersFirst
from pipelines.diameter.results import Command
from schemas.columns import ABSENT, Cells

INITIAL, UPDATE, TERMINATION, EVENT = (int(RequestType[n]) for n in ("INITIAL", "UPDATE", "TERMINATION", "EVENT"))


def messages(*kinds: int) -> Cells:
    cells = Cells.empty(MESSAGE, len(kinds), fill=ABSENT)
    cells["request_type"], cells["command"] = kinds, int(Command.CREDIT_CONTROL)
    return cells


def test_each_request_finds_before_it_what_was_let_in() -> None:
    shed = BeginnersFirst(2, 3)
    asked = np.array([True] * 6 + [False, True])
    busy = shed(messages(INITIAL, INITIAL, INITIAL, UPDATE, UPDATE, TERMINATION, INITIAL, EVENT), asked, 0)
    assert busy is not None and busy.tolist() == [False, False, True, False, True, False, False, True]


def test_nothing_is_shed_where_there_is_room() -> None:
    assert BeginnersFirst(10, 20)(messages(INITIAL, UPDATE), np.ones(2, bool), 7) is None


def test_a_burst_is_let_in_and_a_queue_that_stands_is_not() -> None:
    now = 0.0
    shed = BeginnersFirst(1000, 2000, standing=10, patience_s=0.1, clock=lambda: now)
    some, asked = messages(*[INITIAL] * 30), np.ones(30, bool)

    def let_in(waiting: int) -> int:
        busy = shed(some, asked, waiting)
        return 30 if busy is None else 30 - int(busy.sum())

    assert let_in(500) == 30  # a burst
    now = 0.09
    assert let_in(500) == 30
    now = 0.11
    assert let_in(500) == 0  # it stands
    assert let_in(5) == 5  # those that come at once are a queue too
    calm = shed(messages(INITIAL), np.ones(1, bool), 5)
    assert calm is None  # it has gone
    now = 0.15
    assert let_in(500) == 30  # another burst


def test_updates_are_let_in_twice_as_long() -> None:
    now = 0.0
    shed = BeginnersFirst(1000, 2000, standing=10, patience_s=0.1, clock=lambda: now)
    now = 1.0
    busy = shed(messages(*[UPDATE] * 12), np.ones(12, bool), 15)
    assert busy is not None and (~busy).sum() == 5
