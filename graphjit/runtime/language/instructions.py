"""Machine operations that kernels call: raw memory, calls through pointers, selects, vectors.

Addresses are int64 throughout; an index counts elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from ..objects import vector_registers
from .emit import instruction
from .types import (
    Type,
    bytes_of,
    constant,
    convert,
    i8,
    i32,
    i64,
    is_runtime,
    materialised,
    splat,
    unified,
)

#: Numbers by which a kernel tells its buffers apart.
SCOPES = 8


def _pointer(builder: Any, address: Any, kind: Any, index: Any = 0) -> Any:
    """An LLVM pointer to a `kind` that starts `index` whole kinds after `address`."""
    start = builder.inttoptr(materialised(address), kind.as_pointer())
    return builder.gep(start, [materialised(index)])


def _tag(builder: Any, access: Any, scope: int | None) -> Any:
    """Say which of a kernel's buffers is accessed: buffers of different number never overlap.

    A kernel must use each number for one buffer only, also where helpers are compiled into it.
    """
    if scope is not None:
        add = builder.module.add_metadata
        domain = add(["graphjit"])
        nodes = [add([f"graphjit.{i}", domain]) for i in range(SCOPES)]
        others = [node for i, node in enumerate(nodes) if i != scope]
        access.set_metadata("alias.scope", add([nodes[scope]]))
        access.set_metadata("noalias", add(others))
    return access


def loader(element: Type, scope: int | None = None) -> Callable[..., Any]:
    """An instruction `load(address, index)` of `element` values, from buffer number `scope`."""

    @instruction
    def load(builder: Any, address: Any, index: Any) -> Any:
        at = _pointer(builder, address, element.llvm, index)
        return _tag(builder, builder.load(at, align=element.size), scope)

    return load


def storer(element: Type, scope: int | None = None) -> Callable[..., Any]:
    """An instruction `store(address, index, value)` of `element` values, to buffer `scope`."""

    @instruction
    def store(builder: Any, address: Any, index: Any, value: Any) -> None:
        at = _pointer(builder, address, element.llvm, index)
        value = value if is_runtime(value) else constant(value, element.llvm)
        _tag(builder, builder.store(value, at, align=element.size), scope)

    return store


load_int: Callable[[int, int], int] = loader(i64)
store_int: Callable[[int, int, int], None] = storer(i64)


@instruction
def argument(builder: Any, table: int, index: int) -> int:
    """Word `index` of an argument table, which nothing changes while the kernel runs."""
    load = builder.load(_pointer(builder, table, i64.llvm, index))
    load.set_metadata("invariant.load", builder.module.add_metadata([]))
    return load  # type: ignore[no-any-return]


@instruction
def select(builder: Any, condition: Any, x: Any, y: Any) -> Any:
    """`x` where `condition`, else `y`, lane by lane, without a branch."""
    if not is_runtime(condition):
        return x if condition else y
    x, y = unified(builder, x, y)
    return builder.select(condition, x, y)


@instruction
def unsigned_divide(builder: Any, x: Any, y: Any) -> Any:
    """The quotient of integers that are not negative: cheaper than `//`."""
    return builder.udiv(*unified(builder, x, y))


@instruction
def fused(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """`x * y + z`, rounded once where the machine can."""
    x, y = unified(builder, x, y)
    return builder.fadd(builder.fmul(x, y, flags=("contract",)), z, flags=("contract",))


def call(result: Type | None, *operands: Type) -> Callable[..., Any]:
    """An instruction `f(function, *values)` that calls a C function by its address."""
    returned = ir.VoidType() if result is None else result.llvm
    kind = ir.FunctionType(returned, [operand.llvm for operand in operands])

    @instruction
    def call(builder: Any, function: Any, *values: Any) -> Any:
        target = builder.inttoptr(function, kind.as_pointer())
        pairs = zip(values, operands, strict=True)
        return builder.call(
            target, [v if is_runtime(v) else constant(v, kind.llvm) for v, kind in pairs]
        )

    return call


#: `call_kernel(kernel, table, begin, end)`
call_kernel = call(None, i64, i64, i64)


@instruction
def place(builder: Any, value: Any) -> Any:
    """Address of a copy of `value` on the stack, for C functions that want one."""
    value = materialised(value)
    with builder.goto_entry_block():
        at = builder.alloca(value.type)
    builder.store(value, at)
    return builder.ptrtoint(at, i64.llvm)


@instruction
def compare_and_swap(builder: Any, address: Any, expected: Any, new: Any) -> Any:
    """Put `new` at `address` if `expected` is there, atomically; returns what was there."""
    at = _pointer(builder, address, i64.llvm)
    result = builder.cmpxchg(at, materialised(expected), materialised(new), "acq_rel", "monotonic")
    return builder.extract_value(result, 0)


@instruction
def load_atomic(builder: Any, address: Any) -> Any:
    """The int64 at `address`, with what was written before it was."""
    return builder.load_atomic(_pointer(builder, address, i64.llvm), "acquire", 8)


@instruction
def store_atomic(builder: Any, address: Any, value: Any) -> None:
    """Put an int64 at `address`, after all that was written, before all that is read."""
    at = _pointer(builder, address, i64.llvm)
    builder.store_atomic(materialised(value), at, "seq_cst", 8)


@instruction
def atomic_add(builder: Any, address: Any, value: Any) -> Any:
    """Add to the int64 at `address`, atomically; returns what was there."""
    at = _pointer(builder, address, i64.llvm)
    return builder.atomic_rmw("add", at, materialised(value), "seq_cst")


@instruction
def atomic_and(builder: Any, address: Any, mask: Any) -> Any:
    """And `mask` into the int64 at `address`, atomically; returns what was there."""
    at = _pointer(builder, address, i64.llvm)
    return builder.atomic_rmw("and", at, materialised(mask), "acq_rel")


@instruction
def intrinsic(builder: Any, name: str, result: Any, *operands: Any) -> Any:
    """LLVM's intrinsic `name`, whose result has the LLVM type `result`."""
    kind = ir.FunctionType(result, [operand.type for operand in operands])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, operands)


@instruction
def prefetch(builder: Any, address: Any, write: bool) -> None:
    """Ask for the cache line at `address`, which need not exist, to be there soon."""
    at = _pointer(builder, address, i8.llvm)
    hints = [i32.llvm(int(write)), i32.llvm(3), i32.llvm(1)]  # keep in all caches, data
    intrinsic(builder, "llvm.prefetch.p0", ir.VoidType(), at, *hints)


# --- vectors ------------------------------------------------------------------------------------


def _between(builder: Any, first: Any, last: Any, kind: Any) -> Any:
    """A mask of the lanes from `first` up to `last`, either of which may lie outside."""
    lanes = ir.Constant(ir.VectorType(i32.llvm, kind.count), list(range(kind.count)))

    def compare(order: str, bound: Any) -> Any:
        limit = splat(builder, convert(builder, materialised(bound), i32.llvm), lanes.type)
        return builder.icmp_signed(order, lanes, limit)

    below = compare("<", last)
    return below if first == 0 else builder.and_(compare(">=", first), below)


def _suffix(kind: Any) -> str:
    """The part of an intrinsic's name that tells a vector's type."""
    letter = "i" if isinstance(kind.element, ir.IntType) else "f"
    bits = {"float": 32, "double": 64}.get(str(kind.element))
    return f"v{kind.count}{letter}{bits or kind.element.width}"


def vector_loader(kind: Any, scope: int | None = None, fill: Any = 0) -> Callable[..., Any]:
    """An instruction `load(address, index, last, first)` of a vector with lane 0 at `index`.

    Only lanes from `first` (0 if left out) up to `last` (all) are read; the others are `fill`.
    """

    @instruction
    def load(builder: Any, address: Any, index: Any, last: Any = kind.count, first: Any = 0) -> Any:
        at = _vector_pointer(builder, address, kind, index)
        align = bytes_of(kind.element)
        if last == kind.count and first == 0:
            return _tag(builder, builder.load(at, align=align), scope)
        mask = _between(builder, first, last, kind)
        name = f"llvm.masked.load.{_suffix(kind)}.p0"
        operands = (at, i32.llvm(align), mask, constant(fill, kind))
        return _tag(builder, intrinsic(builder, name, kind, *operands), scope)

    return load


@instruction
def lane_mask(builder: Any, kind: Any, first: Any, last: Any) -> Any:
    """A mask of a vector's lanes from `first` up to `last`, for loads in a loop: made but once."""
    return builder.sext(
        _between(builder, first, last, kind), ir.VectorType(i32.llvm, kind.count)
    )


def masked_loader(kind: Any, scope: int | None = None) -> Callable[..., Any]:
    """An instruction `load(address, index, mask)` of a vector; lanes that are left out are 0."""

    @instruction
    def load(builder: Any, address: Any, index: Any, mask: Any) -> Any:
        at = _vector_pointer(builder, address, kind, index)
        lanes = builder.icmp_signed("<", mask, constant(0, mask.type))
        name = f"llvm.masked.load.{_suffix(kind)}.p0"
        operands = (at, i32.llvm(bytes_of(kind.element)), lanes, constant(0, kind))
        return _tag(builder, intrinsic(builder, name, kind, *operands), scope)

    return load


def vector_storer(kind: Any, scope: int | None = None) -> Callable[..., Any]:
    """An instruction `store(address, index, value, last)` of a vector's lanes up to `last`."""

    @instruction
    def store(builder: Any, address: Any, index: Any, value: Any, last: Any = kind.count) -> None:
        at = _vector_pointer(builder, address, kind, index)
        value = value if is_runtime(value) else constant(value, kind)
        align = bytes_of(kind.element)
        if last == kind.count:
            _tag(builder, builder.store(value, at, align=align), scope)
            return
        if not is_runtime(last) or vector_registers() == 32:
            _store_masked(builder, at, value, last, scope)
            return
        # Without registers for masks a masked store is slow, also where all lanes count.
        full = builder.icmp_signed(">=", last, i64.llvm(kind.count))
        with builder.if_else(full) as (then, otherwise):
            with then:
                _tag(builder, builder.store(value, at, align=align), scope)
            with otherwise:
                _store_masked(builder, at, value, last, scope)

    return store


def _store_masked(builder: Any, at: Any, value: Any, last: Any, scope: int | None) -> None:
    """Store the lanes of `value` up to `last`."""
    kind = value.type
    name = f"llvm.masked.store.{_suffix(kind)}.p0"
    align = i32.llvm(bytes_of(kind.element))
    operands = (value, at, align, _between(builder, 0, last, kind))
    _tag(builder, intrinsic(builder, name, ir.VoidType(), *operands), scope)


def _vector_pointer(builder: Any, address: Any, kind: Any, index: Any) -> Any:
    return builder.bitcast(_pointer(builder, address, kind.element, index), kind.as_pointer())


@instruction
def every_nth(builder: Any, vectors: Sequence[Any], first: int = 0) -> Any:
    """Lanes first, first + n, first + 2n, ... of n vectors laid end to end."""
    n, lanes = len(vectors), vectors[0].type.count
    return _pick(builder, vectors, [divmod(n * i + first, lanes) for i in range(lanes)])


@instruction
def interleaved(builder: Any, vectors: Sequence[Any]) -> tuple[Any, ...]:
    """n vectors laid end to end that hold lane 0 of each of `vectors`, then lane 1 of each..."""
    n, lanes = len(vectors), vectors[0].type.count
    places = [divmod(i, n) for i in range(n * lanes)]
    return tuple(
        _pick(builder, vectors, [(v, lane) for lane, v in places[i * lanes : (i + 1) * lanes]])
        for i in range(n)
    )


@instruction
def transposed(builder: Any, vectors: Sequence[Any]) -> tuple[Any, ...]:
    """The columns of a square matrix given by its rows; their number is a power of two."""
    return transpose(builder, vectors)


def transpose(builder: Any, vectors: Sequence[Any]) -> tuple[Any, ...]:
    """What `transposed` appends to `builder`'s block.

    Halves, quarters... of vectors are exchanged down to the 16 bytes within which every machine
    interleaves two vectors by one instruction; what is in those is then turned by interleaving.
    """
    n = len(vectors)
    group = min(n, 16 // bytes_of(vectors[0].type.element))
    rows, distance = list(vectors), n // 2
    while distance >= group:
        rows = _exchange(builder, rows, distance)
        distance //= 2
    for _ in range(group.bit_length() - 1):
        rows = _interleave_groups(builder, rows, group)
    return tuple(rows)


def _exchange(builder: Any, rows: list[Any], distance: int) -> list[Any]:
    """Swap the upper right with the lower left of all squares of twice `distance` rows."""
    n, swapped = len(rows), list(rows)
    for i in range(n):
        if not i & distance:
            pair = rows[i], rows[i + distance]
            places = [lane + (n - distance if lane & distance else 0) for lane in range(n)]
            swapped[i] = _shuffle(builder, *pair, places)
            swapped[i + distance] = _shuffle(builder, *pair, [p + distance for p in places])
    return swapped


def _interleave_groups(builder: Any, rows: list[Any], group: int) -> list[Any]:
    """A perfect shuffle of each group of rows, within the groups of their lanes."""
    n, half = len(rows), group // 2
    result = []
    for i in range(0, n, group):
        for j in range(half):
            pair = rows[i + j], rows[i + half + j]
            for first in (0, half):
                lanes = [start + first + k for start in range(0, n, group) for k in range(half)]
                places = [place for lane in lanes for place in (lane, n + lane)]
                result.append(_shuffle(builder, *pair, places))
    return result


def _shuffle(builder: Any, x: Any, y: Any, places: Sequence[int]) -> Any:
    """Lanes of two vectors laid end to end."""
    mask = ir.Constant(ir.VectorType(i32.llvm, len(places)), list(places))
    return builder.shuffle_vector(x, y, mask)


def _pick(builder: Any, vectors: Sequence[Any], places: Sequence[tuple[int, int]]) -> Any:
    """A vector of chosen lanes, each (number of the vector, lane in it)."""
    lanes = len(places)
    result, done = vectors[0], [lane if v == 0 else 0 for v, lane in places]
    if len(vectors) == 1:
        return result
    for number, vector in enumerate(vectors[1:], 1):
        old = done if number == 1 else list(range(lanes))
        chosen = [
            lanes + lane if v == number else keep
            for keep, (v, lane) in zip(old, places, strict=True)
        ]
        mask = ir.Constant(ir.VectorType(i32.llvm, lanes), chosen)
        result = builder.shuffle_vector(result, vector, mask)
    return result


@instruction
def lane_numbers(builder: Any, kind: Any) -> Any:
    """A vector 0, 1, 2, ..."""
    return ir.Constant(kind, list(range(kind.count)))
