"""Memory for large matrices, used again when nobody refers to them any more.

A fresh page costs the system about as much to clear as a kernel takes to fill it, and columns of a batch lie further
apart than the processor's table of small pages reaches. So matrices of a mebibyte or more lie on huge pages that go
back to a small store when the last view of them is gone, whoever held it.
"""

import mmap
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

LARGE = 1 << 20
KEPT = 1 << 29  # octets at most in the store
_HUGE = 1 << 21
_store: list[mmap.mmap] = []


class _Lease:
    """Pages in use: the base of a matrix. They go back to the store with it.

    Collection may end a lease in the middle of another call here, in any thread; so there is no lock, and every
    change of the store is one step of the interpreter.
    """

    __slots__ = ("__array_interface__", "pages")

    def __init__(self, pages: mmap.mmap, shape: tuple[int, ...]) -> None:
        self.pages = pages
        self.__array_interface__: dict[str, Any] = {
            "shape": shape, "typestr": "<i8", "version": 3,
            "data": (np.frombuffer(pages, np.uint8).ctypes.data, False)}

    def __del__(self, store: list[mmap.mmap] = _store, kept: int = KEPT) -> None:
        if len(self.pages) <= kept:
            store.append(self.pages)  # likelier to be wanted again than what has long been here
        while sum(map(len, store)) > kept:
            del store[:1]


def matrix(shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Uninitialised int64 array in C order; a large one on pages that were used before, where some fit."""
    size = 8 * prod(shape)
    if size < LARGE:
        return np.empty(shape, np.int64)
    fitting = sorted((pages for pages in tuple(_store) if size <= len(pages) <= 2 * size), key=len)
    for pages in fitting:
        try:
            _store.remove(pages)
        except ValueError:  # another thread was quicker
            continue
        return np.asarray(_Lease(pages, shape))
    pages = mmap.mmap(-1, -(-size // _HUGE) * _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.asarray(_Lease(pages, shape))
