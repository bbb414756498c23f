"""Who is told to try again when there is too much to do: those who begin first, those who end never."""

import time
from collections.abc import Callable

import numpy as np

from pipelines.diameter.columns import INPUT, OUTPUT, TIME, TOTAL, UNITS
from pipelines.diameter.kernels.shed import shed_nb
from pipelines.diameter.ticks import Mask
from schemas.columns import Cells


def exposed(units: Cells, rows: Mask) -> tuple[int, int, int]:
    """(seconds, octets, service units) that some messages report as used. rows: of the messages, as units name them.

    What was answered 3004 is charged when its client asks again, or never: so much is at stake until then.
    """
    some = units.where(rows[units["message_row"]])

    def sum_of(name: str, where: Mask) -> int:
        return int(some[name][where].sum())

    time, octets, specific = (some["used"] & bit != 0 for bit in (TIME, TOTAL, UNITS))
    parts = sum(sum_of(f"used_{way}_octets", ~octets & (some["used"] & bit != 0)) for way, bit in (
        ("input", INPUT), ("output", OUTPUT)))
    return sum_of("used_time_s", time), sum_of("used_total_octets", octets) + parts, sum_of(
        "used_service_units", specific)


class BeginnersFirst:
    """A policy for `DiameterServer(shed=...)`, by the number of requests that wait for an answer.

    A burst is let in: it is over in a moment. Where more than `standing` have waited all the time for `patience_s`,
    more comes than can be done, and whoever is let in then would wait behind all of them: so fewer are.
    """

    def __init__(self, initial: int, update: int, waiting: Callable[[], int] | None = None, *,
                 standing: int = 300, patience_s: float = 0.5, clock: Callable[[], float] = time.monotonic) -> None:
        """initial: from so many on, initial requests and events that debit or ask are answered 3004
        update: from so many on, updates and refunds are too; what they say is not lost: their clients send it again
        waiting: what else there is to go by, such as the journal's lag; the larger of both counts
        standing: as `initial`, while there is too much to do; for updates twice as many
        """
        self._burst, self._waiting, self._clock = (initial, update), waiting, clock
        self._standing, self._patience_s = (min(standing, initial), min(2 * standing, update)), patience_s
        self._low_at = clock()

    def __call__(self, messages: Cells, asked: Mask, unanswered: int) -> Mask | None:
        """Which of `asked` are to be answered 3004; None for none. Terminations and ends of Sy sessions never are."""
        load = max(unanswered, self._waiting() if self._waiting else 0)
        now = self._clock()
        if load + int(asked.sum()) < self._standing[0]:  # those that a tick brings are a queue too
            self._low_at = now
        initial, update = self._burst if now - self._low_at < self._patience_s else self._standing
        if load + asked.size <= min(initial, update):
            return None
        busy = np.empty(asked.size, np.bool_)
        return busy if shed_nb(messages.matrix, asked, load, initial, update, busy) else None
