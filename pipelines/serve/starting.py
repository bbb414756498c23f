"""A start that takes long says what it is doing: lines `starting` in the log, every few seconds until it is done.

The loop's own thread is at work meanwhile, so another one tells.
"""

import threading
import time
from types import TracebackType

from pipelines.serve.log import Log
from schemas import jit

AFTER_S, EVERY_S = 2.0, 5.0


class Starting:
    """Is called with what is being done (`pipelines.doing.Doing`). As a context: tells until it ends."""

    def __init__(self, log: Log, after_s: float = AFTER_S, every_s: float = EVERY_S) -> None:
        self._log, self._after_s, self._every_s = log, after_s, every_s
        self._now: tuple[str, int, int] = ("imports", 0, 0)
        self._began, self._kernels = time.monotonic(), kernels_left()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="starting", daemon=True)

    def __call__(self, what: str, done: int = 0, of: int = 0) -> None:
        """From now on this is what is done."""
        self._now = what, done, of

    def __enter__(self) -> "Starting":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self._over.set()
        self._thread.join()

    def _tell(self) -> None:
        wait_s = self._after_s
        while not self._over.wait(wait_s):
            what, done, of = self._now
            counted = {"done": done, "of": of} if of else {}
            left = kernels_left()
            kernels = {"kernels": self._kernels - left, "kernels_of": self._kernels} if left else {}
            self._log("starting", doing=what, **counted, **kernels, seconds=round(time.monotonic() - self._began, 1))
            wait_s = self._every_s


def kernels_left() -> int:
    """Kernels that were not asked for yet: read from the cache in milliseconds, or compiled, which at the first start
    of a release on a machine takes minutes for all of them."""
    return len(jit._waiting)
