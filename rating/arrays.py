"""Matrices on pages of their own, which grow and are given back."""

import contextlib
import ctypes
import mmap
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from schemas.columns import I64

_HUGE, _MADV_POPULATE_WRITE, _MADV_COLLAPSE = 1 << 21, 23, 25


def aligned(rows: int, words: int) -> I64:
    """Zeroed int64 matrix on its own pages, huge ones where the system has them: records never straddle lines."""
    size = max(rows * words * 8, mmap.PAGESIZE)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE") and size >= _HUGE:
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.int64, rows * words).reshape(rows, words)


def touch(matrix: I64) -> Iterator[bool]:
    """Have pages of a matrix at hand, some at each step, whoever uses it meanwhile: the first touch of one may cost the
    system milliseconds. Whether it did."""
    yield from _advise(matrix, _MADV_POPULATE_WRITE)


def gather(matrix: I64) -> Iterator[bool]:
    """Have the system put what lies in small pages together into huge ones again, one at each step: whether it did.

    A fork leaves them small wherever something was written while the child was there. The next fork then takes ten
    times as long, and each record that is looked at costs a walk through the tables of pages.
    """
    yield from _advise(matrix, _MADV_COLLAPSE)


def _advise(matrix: I64, advice: int) -> Iterator[bool]:
    """Advice on each huge page that lies wholly in a matrix."""
    madvise = _madvise()
    first = -(-matrix.ctypes.data // _HUGE) * _HUGE
    for place in range(first, matrix.ctypes.data + matrix.nbytes - _HUGE + 1, _HUGE):
        yield madvise is not None and madvise(place, _HUGE, advice) == 0


@cache
def _madvise() -> Callable[[int, int, int], int] | None:
    """The system's, None where it has none. Python's own keeps its lock meanwhile."""
    with contextlib.suppress(AttributeError, OSError):
        function = ctypes.CDLL(None, use_errno=True).madvise
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        found: Callable[[int, int, int], int] = function
        return found
    return None


def give_back(part: I64) -> None:
    """Let the system have the pages of rows of an `aligned` matrix, which read as zero from now on."""
    pages: object = part
    while isinstance(pages, np.ndarray):
        pages = pages.base
    pages = pages.obj if isinstance(pages, memoryview) else pages
    if isinstance(pages, mmap.mmap) and part.nbytes >= 1 << 21:
        start = part.ctypes.data - np.frombuffer(pages, np.uint8).ctypes.data
        pages.madvise(mmap.MADV_DONTNEED, start, part.nbytes)


def grown(matrix: I64, rows: int, room: int = 0) -> I64:
    """A matrix with more rows, zeroed: in its own pages as long as they have room, else in others with a quarter to
    spare, or with room for so many rows. Pages that nobody has touched cost nothing, and an account more costs no copy
    of all."""
    whole: object = matrix
    while isinstance(whole, np.ndarray) and isinstance(whole.base, np.ndarray):
        whole = whole.base
    words = matrix.shape[1]
    if isinstance(whole, np.ndarray) and whole.ctypes.data == matrix.ctypes.data and rows * words <= whole.size:
        return whole.reshape(-1)[: rows * words].reshape(rows, words)
    larger = aligned(max(rows + max(rows >> 2, 64), room), words)[:rows]
    larger[: matrix.shape[0]] = matrix
    return larger
