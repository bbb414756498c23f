"""Matrices on pages of their own, which grow and are given back."""

import mmap

import numpy as np

from schemas.columns import I64


def aligned(rows: int, words: int) -> I64:
    """Zeroed int64 matrix on its own pages, huge ones where the system has them: records never straddle lines."""
    size = max(rows * words * 8, mmap.PAGESIZE)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE") and size >= 1 << 21:
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.int64, rows * words).reshape(rows, words)


def touch(matrix: I64) -> None:
    """Have all pages of a matrix at hand: the first touch of one may cost the system milliseconds."""
    np.bitwise_or(matrix, 0, out=matrix)


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
