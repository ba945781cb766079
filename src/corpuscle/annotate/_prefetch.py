"""Ask the processor for a row of an array that will be read soon."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["prefetch"]

READ, KEEP, DATA = 0, 3, 1


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def prefetch(typing_context: Any, array: Any, row: Any, column: Any) -> Any:
    """Fetch the cache line of ``array[row, column]``; the array is 2-d. Nothing is read, so nothing can go wrong."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table = context.make_array(signature.args[0])(context, builder, arguments[0])
        wide, narrow, byte = ir.IntType(64), ir.IntType(32), ir.IntType(8)
        address = builder.ptrtoint(table.data, wide)
        strides = cgutils.unpack_tuple(builder, table.strides)
        for place, kind, stride in zip(arguments[1:], signature.args[1:], strides, strict=True):
            address = builder.add(address, builder.mul(context.cast(builder, place, kind, types.int64), stride))
        pointer = builder.inttoptr(address, ir.PointerType(byte))
        suffix = "p0" if getattr(pointer.type, "is_opaque", False) else "p0i8"
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, narrow, narrow, narrow])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.prefetch.{suffix}")
        builder.call(function, [pointer, *(ir.Constant(narrow, value) for value in (READ, KEEP, DATA))])
        return context.get_dummy_value()

    return types.void(array, row, column), code
