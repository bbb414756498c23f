"""Whose turn it is on a processor that others want too: who answers comes first, who writes files can wait.

Linux shares a processor in slices of about 3 ms, and whoever wakes up waits for the slice of another to end: an answer
that waits for the network, the disk and a thread would wait three times. A thread that asks for short slices is let in
at once and gets no more of the processor for it (EEVDF, Linux 6.12 and later; sched_setattr(2)). It needs no rights.
Where the system cannot, nothing happens: answers are slower on a busy machine, never others.
"""

import ctypes
import os
import platform
import struct
import sys

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274, "ppc64le": 355, "s390x": 345}
_ATTR = struct.Struct("<IIQiIQQQ")  # size, policy, flags, nice, priority, runtime (of a slice), deadline, period
_OTHER, _BATCH, _IDLE = 0, 3, 5  # policies
_SHORT_NS = 100_000  # the least that there is
_NICEST = 19


def wake_soon() -> bool:
    """Short slices for the calling thread, and for threads and processes that it begins. Returns whether they are."""
    return _set(_OTHER, 0, _SHORT_NS)


def as_usual() -> bool:
    """Ordinary slices again for the calling thread, which a thread with short ones began."""
    return _set(_OTHER, 0, 0)


def wait_for_others(nicer: int) -> bool:
    """Ordinary slices for the calling thread, nicer by so much: it gives way to those that answer."""
    return _set(_BATCH, nicer, 0)


def when_nobody_else() -> bool:
    """From now on the calling thread runs when no other wants the processor."""
    return _set(_IDLE, 0, 0)


def hurry(process: int) -> bool:
    """A process that waited so has waited long enough: from now on it gets a little of the processor all the same."""
    return _set(_OTHER, _NICEST, 0, process)


def _set(policy: int, nicer: int, slice_ns: int, thread: int = 0) -> bool:
    """Of a thread, 0 the calling one."""
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None or sys.platform != "linux":
        return False
    nice = min(os.getpriority(os.PRIO_PROCESS, thread) + nicer, _NICEST)
    attr = _ATTR.pack(_ATTR.size, policy, 0, nice, 0, slice_ns, 0, 0)
    return int(ctypes.CDLL(None, use_errno=True).syscall(number, thread, ctypes.c_char_p(attr), 0)) == 0
