"""Many int64 vectors as one argument of a kernel: `vectors[NUMBER][row]`.

A tuple of arrays would do the same, but a kernel takes a tuple apart: seven words for each array, in every call of
every helper, which is most of what the compiler then has to chew. This is one address, of a list of addresses. The
vectors never change, and kernels are told so: what was read once need not be read again after a store elsewhere.
Rows count from the beginning only; nothing checks them.
"""

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import (
    NativeValue,
    lower_builtin,
    make_attribute_wrapper,
    register_model,
    typeof_impl,
    unbox,
)


class Vectors(tuple[npt.NDArray[np.int64], ...]):
    """int64 vectors, read-only from now on. Raises TypeError: one that is not a contiguous int64 vector."""

    address: int
    _places: npt.NDArray[np.int64]

    def __new__(cls, arrays: Iterable[npt.NDArray[np.int64]]) -> "Vectors":
        self = super().__new__(cls, arrays)
        for array in self:
            if array.dtype != np.int64 or array.ndim != 1 or not array.flags.c_contiguous:
                raise TypeError(f"a {array.dtype} array of {array.ndim} dimensions; contiguous int64 vectors expected")
            array.setflags(write=False)
        self._places = np.array([(a.__array_interface__["data"][0], a.size) for a in self], np.int64)
        self.address = int(self._places.__array_interface__["data"][0])
        return self

    def __reduce__(self) -> Any:
        return Vectors, (tuple(self),)


class VectorsType(types.Opaque):
    """Numba's type of `Vectors`."""

    def __init__(self) -> None:
        super().__init__(name="Vectors")


class VectorType(types.Type):
    """Numba's type of one of them."""

    def __init__(self) -> None:
        super().__init__(name="Vector")


VECTORS, VECTOR = VectorsType(), VectorType()
register_model(VectorsType)(models.OpaqueModel)


@register_model(VectorType)
class _VectorModel(models.StructModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            manager, kind, [("address", types.voidptr), ("size", types.int64)])


make_attribute_wrapper(VectorType, "size", "size")


@typeof_impl.register(Vectors)
def _typeof(_value: Vectors, _context: Any) -> VectorsType:
    return VECTORS


@unbox(VectorsType)
def _unbox(_kind: Any, value: Any, c: Any) -> NativeValue:
    number = c.pyapi.object_getattr_string(value, "address")
    address = c.pyapi.long_as_voidptr(number)
    c.pyapi.decref(number)
    return NativeValue(address, is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()))


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args: Any, _kws: Any) -> Any:
        owner, index = args
        if isinstance(index, types.Integer) and isinstance(owner, VectorsType):
            return signature(VECTOR, owner, types.int64)
        if isinstance(index, types.Integer) and isinstance(owner, VectorType):
            return signature(types.int64, owner, types.int64)
        return None


def _word(builder: Any, address: Any, place: Any) -> Any:
    """Word of an array that never changes."""
    words = builder.bitcast(address, ir.IntType(64).as_pointer())
    word = builder.load(builder.gep(words, [place], inbounds=True))
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


@lower_builtin(operator.getitem, VectorsType, types.Integer)
def _vector(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
    vectors, number = args
    first = builder.mul(number, ir.Constant(ir.IntType(64), 2))
    vector = cgutils.create_struct_proxy(VECTOR)(context, builder)
    vector.address = builder.inttoptr(_word(builder, vectors, first), cgutils.voidptr_t)
    vector.size = _word(builder, vectors, builder.add(first, ir.Constant(ir.IntType(64), 1)))
    return vector._getvalue()


@lower_builtin(operator.getitem, VectorType, types.Integer)
def _element(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
    vector = cgutils.create_struct_proxy(VECTOR)(context, builder, value=args[0])
    return _word(builder, vector.address, args[1])
