"""Machine operations that Numba lacks: raw memory, calls through pointers, `select`.

Addresses are int64 throughout; an index counts elements.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic as numba_intrinsic

Helper = TypeVar("Helper", bound=Callable[..., Any])

I32 = ir.IntType(32)
I64 = ir.IntType(64)
#: Numbers by which a kernel tells its buffers apart.
SCOPES = 8


def intrinsic(function: Callable[..., Any]) -> Any:
    """Numba's `intrinsic`, as a typed decorator."""
    return numba_intrinsic(function)


def inline(function: Helper) -> Helper:
    """A helper that is compiled into each of its callers."""
    compile = njit(forceinline=True, error_model="numpy", fastmath={"contract"})
    return cast(Helper, compile(function))


def pointer(context: Any, builder: Any, address: Any, element: Any, index: Any = None) -> Any:
    """An LLVM pointer to element `index` of the Numba type `element` at `address`."""
    llvm_type = context.get_data_type(element)
    start = builder.inttoptr(address, llvm_type.as_pointer())
    return start if index is None else builder.gep(start, [index])


def _tag(builder: Any, instruction: Any, scope: int | None) -> Any:
    """Say which of a kernel's buffers is accessed: buffers of different number never overlap.

    A kernel must use each number for one buffer only, also where helpers are compiled into it.
    """
    if scope is not None:
        add = builder.module.add_metadata
        domain = add(["graphjit"])
        nodes = [add([f"graphjit.{i}", domain]) for i in range(SCOPES)]
        others = [node for i, node in enumerate(nodes) if i != scope]
        instruction.set_metadata("alias.scope", add([nodes[scope]]))
        instruction.set_metadata("noalias", add(others))
    return instruction


def loader(element: Any, scope: int | None = None) -> Any:
    """An intrinsic `load(address, index)` of `element` values, from buffer number `scope`."""

    def load(typing: Any, address: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at = pointer(context, builder, args[0], element, args[1])
            if scope is None:
                return context.unpack_value(builder, element, at)
            return _tag(builder, builder.load(at), scope)

        return element(types.int64, types.int64), generate

    return intrinsic(load)


def storer(element: Any, scope: int | None = None) -> Any:
    """An intrinsic `store(address, index, value)` of `element` values, to buffer number `scope`."""

    def store(typing: Any, address: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at = pointer(context, builder, args[0], element, args[1])
            if scope is None:
                context.pack_value(builder, element, args[2], at)
            else:
                _tag(builder, builder.store(args[2], at), scope)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, element), generate

    return intrinsic(store)


@intrinsic
def load_half(typing: Any, address: Any, index: Any) -> Any:
    """A float16 as float32: Numba does no arithmetic on float16."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = builder.inttoptr(args[0], ir.HalfType().as_pointer())
        half = builder.load(builder.gep(start, [args[1]]))
        return builder.fpext(half, ir.FloatType())

    return types.float32(types.int64, types.int64), generate


@intrinsic
def store_half(typing: Any, address: Any, index: Any, value: Any) -> Any:
    """A float32 rounded to float16."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = builder.inttoptr(args[0], ir.HalfType().as_pointer())
        half = builder.fptrunc(args[2], ir.HalfType())
        builder.store(half, builder.gep(start, [args[1]]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32), generate


@intrinsic
def _load_argument(typing: Any, table: Any, index: Any) -> Any:
    """Word `index` of an argument table, which nothing changes while the kernel runs."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        load = builder.load(pointer(context, builder, args[0], types.int64, args[1]))
        load.set_metadata("invariant.load", builder.module.add_metadata([]))
        return load

    return types.int64(types.int64, types.int64), generate


load_argument: Callable[[int, int], int] = _load_argument
load_int: Callable[[int, int], int] = loader(types.int64)
store_int = storer(types.int64)


@intrinsic
def call_kernel(typing: Any, kernel: Any, table: Any, begin: Any, end: Any) -> Any:
    """`kernel(table, begin, end)` through the kernel's address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [I64, I64, I64])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


_tuple: Any = types.Tuple


def caller(result: Any, *operands: Any) -> Any:
    """An intrinsic `call(function, operands)` of a C function by its address.

    `operands` is a tuple of exactly these Numba types.
    """

    def call(typing: Any, function: Any, values: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            returned = context.get_value_type(result)
            returned = ir.VoidType() if result == types.void else returned
            kind = ir.FunctionType(returned, [context.get_value_type(t) for t in operands])
            target = builder.inttoptr(args[0], kind.as_pointer())
            values = [builder.extract_value(args[1], i) for i in range(len(operands))]
            value = builder.call(target, values)
            return context.get_dummy_value() if result == types.void else value

        return result(types.int64, _tuple(operands)), generate

    return intrinsic(call)


@intrinsic
def compare_and_swap(typing: Any, address: Any, expected: Any, new: Any) -> Any:
    """Put `new` at `address` if `expected` is there, atomically; returns what was there."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = builder.inttoptr(args[0], I64.as_pointer())
        result = builder.cmpxchg(at, args[1], args[2], "acq_rel", "monotonic")
        return builder.extract_value(result, 0)

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def atomic_and(typing: Any, address: Any, mask: Any) -> Any:
    """And `mask` into the int64 at `address`, atomically; returns what was there."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = builder.inttoptr(args[0], I64.as_pointer())
        return builder.atomic_rmw("and", at, args[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def select(typing: Any, condition: Any, x: Any, y: Any) -> Any:
    """`x` where `condition`, else `y`, without a branch: a ternary would not vectorise."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return x(types.boolean, x, x), generate
