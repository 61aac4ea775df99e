"""Machine operations of generated kernels: memory access with alias information, folds, locals.

Every load and store names the group of its buffer; groups of one kernel never overlap, which LLVM
learns from alias-scope metadata and needs in order to vectorise nested loops.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic as numba_intrinsic

from .. import dtypes
from ..dtypes import DType

_I64 = ir.IntType(64)
_LLVM = {
    "bool": ir.IntType(8),
    "uint8": ir.IntType(8),
    "int8": ir.IntType(8),
    "int16": ir.IntType(16),
    "int32": ir.IntType(32),
    "int64": ir.IntType(64),
    "float16": ir.HalfType(),
    "float32": ir.FloatType(),
    "float64": ir.DoubleType(),
}
#: Sums may be taken in any order; NaN and infinities keep their meaning.
_FOLD_FLAGS = ("contract", "reassoc", "nsz")


def intrinsic(function: Callable[..., Any]) -> Any:
    """Numba's `intrinsic`, as a typed decorator."""
    return numba_intrinsic(function)


def register_type(dtype: DType) -> Any:
    """The Numba type that values of `dtype` are computed in."""
    if dtype is dtypes.bool_:
        return types.boolean
    return types.float32 if dtype is dtypes.float16 else getattr(types, dtype.name)


def _element(builder: Any, dtype: DType, base: Any, index: Any) -> Any:
    typed = builder.bitcast(base, _LLVM[dtype.name].as_pointer())
    return builder.gep(typed, [index], inbounds=True)


def _tag(builder: Any, instruction: Any, group: int, groups: int) -> Any:
    """Tell LLVM that `instruction` touches memory of `group` alone."""
    module = builder.module
    domain = module.add_metadata(["graphjit"])
    scopes = [module.add_metadata([f"graphjit.{i}", domain]) for i in range(groups)]
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[group]]))
    others = [scope for i, scope in enumerate(scopes) if i != group]
    if others:
        instruction.set_metadata("noalias", module.add_metadata(others))
    return instruction


@cache
def load(dtype: DType, group: int, groups: int) -> Any:
    """`load(base, index)` of an element, as its register type."""
    result = register_type(dtype)

    def load(typing: Any, base: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = builder.load(_element(builder, dtype, *args))
            _tag(builder, value, group, groups)
            if dtype is dtypes.bool_:
                return builder.icmp_unsigned("!=", value, value.type(0))
            if dtype is dtypes.float16:
                return builder.fpext(value, ir.FloatType())
            return value

        return result(types.voidptr, types.int64), generate

    return intrinsic(load)


@cache
def store(dtype: DType, group: int, groups: int) -> Any:
    """`store(base, index, value)` of a register."""
    source = register_type(dtype)

    def store(typing: Any, base: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            stored = args[2]
            if dtype is dtypes.bool_:
                stored = builder.zext(stored, ir.IntType(8))
            elif dtype is dtypes.float16:
                stored = builder.fptrunc(stored, ir.HalfType())
            at = _element(builder, dtype, args[0], args[1])
            _tag(builder, builder.store(stored, at), group, groups)
            return context.get_dummy_value()

        return types.void(types.voidptr, types.int64, source), generate

    return intrinsic(store)


@intrinsic
def quotient(typing: Any, a: Any, b: Any) -> Any:
    """`a // b` of numbers that are not negative; Numba's own would raise where `b` is 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.sdiv(*args)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def pointer(typing: Any, table: Any, position: Any) -> Any:
    """The address that is argument `position`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = _argument(builder, args, _I64)
        return builder.inttoptr(value, ir.IntType(8).as_pointer())

    return types.voidptr(types.int64, types.int64), generate


@intrinsic
def integer(typing: Any, table: Any, position: Any) -> Any:
    """The integer that is argument `position`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _argument(builder, args, _I64)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def stride(typing: Any, table: Any, position: Any) -> Any:
    """The stride whose negative is argument `position`.

    LLVM compiles loops over a stride that it takes for a plain variable twice, vectorised for
    stride 1 and scalar for all others; behind a minus it uses gathers and scatters.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.neg(_argument(builder, args, _I64))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def number(typing: Any, table: Any, position: Any) -> Any:
    """The float64 whose bits are argument `position`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _argument(builder, args, ir.DoubleType())

    return types.float64(types.int64, types.int64), generate


def _argument(builder: Any, args: Any, kind: Any) -> Any:
    table = builder.inttoptr(args[0], kind.as_pointer())
    value = builder.load(builder.gep(table, [args[1]], inbounds=True))
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


@cache
def local(dtype: DType) -> Any:
    """`local(count)`: an uninitialised array on the stack, until the kernel returns."""

    def local(typing: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = builder.alloca(_LLVM[dtype.name], args[0])
            array.align = 64
            return builder.bitcast(array, ir.IntType(8).as_pointer())

        return types.voidptr(types.int64), generate

    return intrinsic(local)


@intrinsic
def offset(typing: Any, base: Any, count: Any) -> Any:
    """`count` bytes after `base`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]], inbounds=True)

    return types.voidptr(types.voidptr, types.int64), generate


@intrinsic
def as_pointer(typing: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@intrinsic
def select(typing: Any, condition: Any, x: Any, y: Any) -> Any:
    """`x` where `condition`, else `y`, without a branch: a ternary would not vectorise."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return x(types.boolean, x, x), generate


@intrinsic
def round_half(typing: Any, x: Any) -> Any:
    """A float32 rounded to float16's precision."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fpext(builder.fptrunc(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.float32), generate


def _fold(operation: str) -> Any:
    def fold(typing: Any, x: Any, y: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, operation)(*args, flags=_FOLD_FLAGS)

        return x(x, x), generate

    return intrinsic(fold)


def _extremum(name: str, flags: tuple[str, ...]) -> Any:
    """LLVM's `maximum` or `minimum`, which give NaN if there is one."""

    def extremum(typing: Any, x: Any, y: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = args[0].type
            function = builder.module.declare_intrinsic(
                name, [kind], ir.FunctionType(kind, [kind, kind])
            )
            return builder.call(function, args, fastmath=flags)

        return x(x, x), generate

    return intrinsic(extremum)


#: How floating-point reductions combine: as they please, so that vector lanes can share the work.
FOLDS = {
    "add": _fold("fadd"),
    "mul": _fold("fmul"),
    "max": _extremum("llvm.maximum", ("nsz",)),
    "min": _extremum("llvm.minimum", ("nsz",)),
}
