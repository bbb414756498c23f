"""Many vectors as one argument of a kernel: read alike compiled and in Python, and safe against wrong types."""

import copy
import pickle

import numpy as np
import pytest
from numba import types

from schemas.jit import I64_OUT, kernel
from schemas.vectors import VECTORS, Vectors

FIRST, OTHER, VALUES = range(3)


@kernel(None)
def sum_nb(values, low, high):  # type: ignore[no-untyped-def]
    total = 0
    for i in range(low, high):
        total += values[i]
    return total


@kernel(types.void(VECTORS, types.int64, types.boolean, I64_OUT))
def look_nb(vectors, row, other, out):  # type: ignore[no-untyped-def]
    first = vectors[OTHER] if other else vectors[FIRST]
    out[0] = sum_nb(vectors[VALUES], first[row], first[row + 1])
    out[1] = vectors[VALUES].size


VECTORS_OF = Vectors([np.array([0, 2, 5]), np.array([0, 4, 5]), np.array([1, 10, 100, 1000, 10_000])])


@pytest.mark.parametrize("vectors", [VECTORS_OF, pickle.loads(pickle.dumps(VECTORS_OF)), copy.deepcopy(VECTORS_OF)])
def test_a_kernel_reads_what_python_reads(vectors: Vectors) -> None:
    out = np.zeros(2, np.int64)
    for row in range(2):
        for other in (False, True):
            look_nb(vectors, row, other, out)
            first = vectors[OTHER if other else FIRST]
            assert out.tolist() == [vectors[VALUES][first[row]:first[row + 1]].sum(), 5]


def test_copies_have_addresses_of_their_own() -> None:
    assert pickle.loads(pickle.dumps(VECTORS_OF)).address != VECTORS_OF.address


def test_vectors_cannot_be_written_any_more() -> None:
    with pytest.raises(ValueError, match="read-only"):
        VECTORS_OF[VALUES][0] = 1


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros(3, np.int32), np.zeros((2, 2), np.int64),
                                   np.zeros(6, np.int64)[::2]])
def test_what_is_no_int64_vector_is_refused(wrong: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(TypeError, match="contiguous int64 vectors"):
        Vectors([np.zeros(3, np.int64), wrong])


def test_a_kernel_refuses_a_plain_tuple() -> None:
    with pytest.raises(TypeError):
        look_nb(tuple(VECTORS_OF), 0, False, np.zeros(2, np.int64))
