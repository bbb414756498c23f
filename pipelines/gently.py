"""Writing gigabytes beside somebody who waits for each of his syncs: in small steps, each on the disk before the next.

What a process writes and does not sync stays in memory until the system writes all of it at once, and a sync of another
file waits behind that.
"""

import contextlib
import ctypes
import os
import time
from collections.abc import Callable
from functools import cache

from pipelines.durable import Disk, Payload

STEP = 1 << 20  # octets
_SHARE = 1.0    # of the time that a step took, the disk is left to others after it
_WAIT_BEFORE_WRITE_WAIT_AFTER = 7


class GentleDisk(Disk):
    """A disk for what can wait."""

    def __init__(self) -> None:
        """What is asked of the system is found now: a child that was forked beside threads should look for nothing."""
        self._sync_range = _sync_range()

    def _write_all(self, handle: int, payload: Payload) -> int:
        view = memoryview(payload).cast("B")
        for start in range(0, len(view), STEP):
            began = time.perf_counter()
            at = os.lseek(handle, 0, os.SEEK_CUR)
            written = super()._write_all(handle, view[start:start + STEP])
            if self._sync_range is None:
                os.fdatasync(handle)
            else:  # octets only: the file's length is synced at its end
                self._sync_range(handle, at, written, _WAIT_BEFORE_WRITE_WAIT_AFTER)
            if written == STEP:
                time.sleep(_SHARE * (time.perf_counter() - began))
        return len(view)


@cache
def _sync_range() -> Callable[[int, int, int, int], int] | None:
    """The system's, None where it has none."""
    with contextlib.suppress(AttributeError, OSError):
        function = ctypes.CDLL(None, use_errno=True).sync_file_range
        function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
        found: Callable[[int, int, int, int], int] = function
        return found
    return None
