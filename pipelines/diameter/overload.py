"""Who is told to try again when there is too much to do: those who begin first, those who end never."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.diameter.columns import RequestType
from pipelines.diameter.results import Command
from pipelines.diameter.ticks import Mask
from schemas.columns import Cells


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
