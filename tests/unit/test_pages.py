"""Memory of large matrices: used again once nobody holds it, never before."""

import gc

import numpy as np

from schemas import pages


def test_pages_are_used_again_when_the_last_view_is_gone() -> None:
    first = pages.matrix((3, 1 << 17))
    address, part = first.ctypes.data, first[1, 5:]
    part[:] = 7
    del first
    gc.collect()
    other = pages.matrix((3, 1 << 17))
    assert other.ctypes.data != address  # `part` still looks at it
    assert (part == 7).all()
    del part
    gc.collect()
    assert pages.matrix((3, 1 << 17)).ctypes.data == address


def test_matrices_are_contiguous_and_writable_whatever_their_size() -> None:
    for shape in ((0, 5), (4, 0), (7, 9), (2, 1 << 16), (46, 30_011)):
        made = pages.matrix(shape)
        assert made.shape == shape and made.dtype == np.int64 and made.flags.c_contiguous and made.flags.writeable
        made[:] = -1


def test_the_store_stays_within_its_bound() -> None:
    held = [pages.matrix((1 << 22,)) for _ in range(20)]  # 32 MiB each
    assert len({each.ctypes.data for each in held}) == 20
    del held
    gc.collect()
    assert sum(map(len, pages._store)) <= pages.KEPT
