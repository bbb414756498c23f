"""Who is told to come back later: those who begin first, those who end never."""

from collections.abc import Callable

from pipelines.nchf.limits import Limits
from pipelines.nchf.problems import CONGESTION, ProblemError
from schemas.online import RequestKind


class Gate:
    """Counts requests that wait for an answer. lag: what else there is to go by; the larger of both counts."""

    def __init__(self, limits: Limits, lag: Callable[[], int] | None = None) -> None:
        self._limits, self._lag = limits, lag
        self._retry = (("retry-after", str(limits.retry_after_s)),)
        self.waiting = 0
        self.shed = 0
        self._of: dict[str, int] = {}

    def enter(self, kind: RequestKind, consumer: str) -> None:
        """Raises ProblemError: 429 where one consumer has too much on its own, 503 where all have."""
        most = self._limits.waiting_creates if kind == RequestKind.INITIAL else self._limits.waiting_updates
        own = self._of.get(consumer, 0)
        if own >= self._limits.waiting_each:
            self.shed += 1
            raise ProblemError(429, CONGESTION, headers=self._retry)
        if self.waiting >= most or (self._lag is not None and self._lag() >= most):
            self.shed += 1
            raise ProblemError(503, CONGESTION, headers=self._retry)
        self.waiting += 1
        self._of[consumer] = own + 1

    def leave(self, consumer: str) -> None:
        """It was answered."""
        self.waiting -= 1
        own = self._of[consumer] - 1
        if own:
            self._of[consumer] = own
        else:
            del self._of[consumer]
