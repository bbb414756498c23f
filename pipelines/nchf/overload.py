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
        most = self._most(kind)
        own = self._of.get(consumer, 0)
        if own >= self._limits.waiting_each:
            self.shed += 1
            raise ProblemError(429, CONGESTION, headers=self._retry)
        if self.waiting >= most or (self._lag is not None and self._lag() >= most):
            self.shed += 1
            raise ProblemError(503, CONGESTION, headers=self._retry)
        self.waiting += 1
        self._of[consumer] = own + 1

    def enter_some(self, kind: RequestKind, consumer: str, count: int) -> int:
        """Let in as many of `count` requests as there is room for; for the others, `enter` says why not."""
        most = self._most(kind)
        own = self._of.get(consumer, 0)
        found = max(min(count, self._limits.waiting_each - own, most - self.waiting), 0)
        if self._lag is not None and self._lag() >= most:
            found = 0
        if found:
            self.waiting += found
            self._of[consumer] = own + found
        return found

    def leave(self, consumer: str, count: int = 1) -> None:
        """They were answered."""
        self.waiting -= count
        own = self._of[consumer] - count
        if own:
            self._of[consumer] = own
        else:
            del self._of[consumer]

    def _most(self, kind: RequestKind) -> int:
        return self._limits.waiting_creates if kind == RequestKind.INITIAL else self._limits.waiting_updates
