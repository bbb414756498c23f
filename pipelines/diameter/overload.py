"""Who is told to try again when there is too much to do: those who begin first, those who end never."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.diameter.columns import INPUT, OUTPUT, TIME, TOTAL, UNITS, RequestType
from pipelines.diameter.results import Command
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


@dataclass(frozen=True)
class BeginnersFirst:
    """A policy for `DiameterServer(shed=...)`, by the number of requests that wait for an answer.

    initial: from so many on, initial requests and events that debit or ask (not refunds) are answered 3004
    update: from so many on, updates are too; what they report is not lost, since their clients send it again
    waiting: what else there is to go by, such as the journal's lag; the larger of both counts
    """

    initial: int
    update: int
    waiting: Callable[[], int] | None = None

    def __call__(self, messages: Cells, unanswered: int) -> Mask:
        """Rows to be answered 3004. Terminations, refunds and ends of Sy sessions never are."""
        load = max(unanswered, self.waiting() if self.waiting else 0)
        if load < min(self.initial, self.update):
            return np.zeros(len(messages), np.bool_)
        kind, command = messages["request_type"], messages["command"]
        begins = (kind == RequestType.INITIAL) | (
            (kind == RequestType.EVENT) & (command == Command.CREDIT_CONTROL) & (messages["requested_action"] != 1))
        shed: Mask = begins & (load >= self.initial)
        if load >= self.update:
            shed = shed | (kind == RequestType.UPDATE)
        return shed
