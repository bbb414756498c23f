"""Ask for a line of memory that is needed soon, so that waiting for many of them overlaps."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, type_callable


def ask_for(matrix: Any, row: int, word: int) -> None:
    """Ask for the line that holds matrix[row, word], a place of the matrix. Changes nothing but time."""


@type_callable(ask_for)
def _typing(_context: Any) -> Callable[..., Any]:
    def typer(matrix: Any, row: Any, word: Any) -> Any:
        whole = isinstance(row, types.Integer) and isinstance(word, types.Integer)
        return types.void if whole and isinstance(matrix, types.Array) and matrix.ndim == 2 else None

    return typer


@lower_builtin(ask_for, types.Array, types.Integer, types.Integer)
def _prefetch(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    matrix, *at = args
    place = cgutils.get_item_pointer(context, builder, sig.args[0], context.make_array(sig.args[0])(
        context, builder, matrix), at, wraparound=False)
    number = ir.IntType(32)
    asks = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number]), "llvm.prefetch.p0")
    builder.call(asks, [builder.bitcast(place, cgutils.voidptr_t), number(0), number(3), number(1)])
    return context.get_dummy_value()
