"""Chooses the loops for a program: which axis is vectorised, and the order of the others.

Reads a merged program; makes a `Nest`, whose program has reductions of a single axis each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..runtime import objects
from .merge import levels
from .program import DIVIDED_BY, REDUCE, Axes, Program, Reduction, Slot, Split, Store, Value

#: Elements of the vector axis that are worked on between loops over reduced axes.
TILE = 512
#: The same where an operand is transposed. Columns of 1024 floats lie in one set of the cache,
#: which holds few lines: a copy of 1024 x 1024 takes 4.9 ms without tiles, 1.9 with tiles of 64,
#: 0.5 with 16.
TRANSPOSED_TILE = 16
#: The same where operands are turned in registers, by so many elements of a cache line at a time:
#: the other operands and results are then read and written in longer pieces.
TURNED_TILE = 64
#: Elements of float32 in a cache line.
CACHE_LINE = 16
#: A shorter innermost extent is no good for vectors if there is a longer one.
SHORT = 16
#: Above this extent a vector loop sums in blocks: each of its lanes would add up too many numbers.
LONG = 32768


@dataclass(frozen=True, slots=True)
class Nest:
    """Loops for `program`.

    `order` lists the axes of loops from the outside, `vector` is the axis of all innermost loops
    (None in a program of single elements), `long` if its sums need care. The first `parallel` axes
    of `order` belong to begin..end, and the vector axis as well if `elementwise`. Slots that are
    `turned`, which are contiguous along the last axis of `order`, are read tile by tile.
    """

    program: Program
    order: tuple[int, ...]
    vector: int | None
    parallel: int
    elementwise: bool
    long: bool
    turned: tuple[int, ...] = ()


def arrange(program: Program) -> Nest:
    """The loops for `program`, whose axes are in the order of merging."""
    vector = vector_axis(program)
    if vector is None:
        return Nest(program, (), None, 0, False, False)
    program = _with_common_divisors(program, vector)
    level = levels(program)
    order = [axis for axis in range(len(program.extents)) if axis != vector]
    kept = not level[vector]
    tiled = needs_tiles(program, vector)
    across = _transposed_axis(program, vector) if kept and not tiled else None
    if across is not None and not any(level):
        turned = _turned_slots(program, vector, across)
        if turned:
            return _tiles(program, order, vector, across, turned)
    if across is not None:
        order.insert(order.index(across), len(level))
        level.append(0)
        program = with_split(program, vector, TRANSPOSED_TILE)
        tiled = True
    elif tiled and program.split_of(vector) is None:
        order.insert(sum(level[axis] <= level[vector] for axis in order), len(level))
        level.append(level[vector])
        program = with_split(program, vector, TILE)
    program = _single_axis_reductions(program, [vector, *reversed(order)])
    parallel = sum(not level[axis] for axis in order)
    long = program.extents[vector] > LONG and program.split_of(vector) is None
    return Nest(program, tuple(order), vector, parallel, kept and not tiled, long)


def _with_common_divisors(program: Program, vector: int) -> Program:
    """Divisions of vectors by numbers have an operation of their own, which needs fused products.

    A vector of eight divisions takes six cycles and more, the operation takes three.
    """
    if not objects.has_fused_products():
        return program

    def renamed(value: Value) -> Value:
        if value.op != "div" or value.dtype.category != 2 or not value.axes >> vector & 1:
            return value
        varies = program.values[value.args[1]].axes >> vector & 1
        return value if varies else replace(value, op=DIVIDED_BY)

    return replace(program, values=tuple(map(renamed, program.values)))


def _transposed_axis(program: Program, vector: int) -> int | None:
    """An axis along which an operand is contiguous that is far from being so in the vector axis.

    Its loop belongs inside one over short pieces of the vector axis: every cache line that the
    pieces touch is then used for several indices, while it is still there.
    """
    if program.splits or program.extents[vector] <= TRANSPOSED_TILE:
        return None
    for slot in program.slots:
        for axis, stride in enumerate(slot.strides):
            if axis != vector and abs(stride) == 1 and abs(slot.strides[vector]) >= CACHE_LINE:
                return axis
    return None


def _turned_slots(program: Program, vector: int, across: int) -> tuple[int, ...]:
    """Slots that are read only, and contiguous along `across` but not along the vector axis."""
    written = {program.slots[store.slot].group for store in program.stores}
    return tuple(
        number
        for number, slot in enumerate(program.slots)
        if slot.group not in written
        and slot.strides[across] == 1
        and slot.strides[vector] >= CACHE_LINE
        and slot.dtype.itemsize >= 4
    )


def _tiles(
    program: Program, order: Sequence[int], vector: int, across: int, turned: tuple[int, ...]
) -> Nest:
    """Loops over tiles of the vector axis and of `across`, in which `turned` slots are turned."""
    pieces = len(program.extents)
    for axis, length in ((vector, TURNED_TILE), (across, CACHE_LINE)):
        program = with_split(program, axis, length)
    others = [axis for axis in order if axis != across]
    whole = (*others, pieces, pieces + 1, across)
    return Nest(program, whole, vector, len(whole) - 1, False, False, turned)


def needs_tiles(program: Program, vector: int) -> bool:
    """Whether results of a reduction vary along the vector axis, and so need an array."""
    return any(
        value.axes >> vector & 1 and not value.detail.axes >> vector & 1
        for value in program.values
        if isinstance(value.detail, Reduction)
    )


def with_split(program: Program, base: int, length: int) -> Program:
    """`program` with one more axis, which counts pieces of `length` of axis `base`.

    Reductions over `base` take away the new axis as well.
    """
    axis = len(program.extents)

    def extended(axes: Axes) -> Axes:
        return axes | (axes >> base & 1) << axis

    def extended_value(value: Value) -> Value:
        detail = value.detail
        if isinstance(detail, Reduction):
            detail = Reduction(detail.combine, detail.identity, extended(detail.axes))
        return Value(value.op, value.args, value.dtype, extended(value.axes), detail)

    return Program(
        (*program.extents, -(-program.extents[base] // length)),
        tuple(replace(slot, strides=(*slot.strides, 0)) for slot in program.slots),
        program.scalars,
        tuple(map(extended_value, program.values)),
        tuple(Store(store.slot, store.value, extended(store.axes)) for store in program.stores),
        (*program.splits, Split(axis, base, length)),
    )


def vector_axis(program: Program) -> int | None:
    """The axis of the innermost loops: contiguous in most of the data, and not too short."""
    counts = {split.axis for split in program.splits}
    level = levels(program)
    innermost = {level[a]: a for a in range(len(program.extents)) if a not in counts}

    def merit(axis: int) -> tuple[bool, int, int]:
        score = 0
        for slot in program.slots:
            stride = slot.strides[axis]
            if stride:
                score += _size(program, slot) * (1 if stride == 1 else -1)
        return (program.extents[axis] >= SHORT, score, level[axis])

    return max(innermost.values(), key=merit, default=None)


def _size(program: Program, slot: Slot) -> int:
    """How many elements of `slot` the program touches."""
    pairs = zip(program.extents, slot.strides, strict=True)
    return math.prod(extent for extent, stride in pairs if stride)


def _single_axis_reductions(program: Program, inwards: Sequence[int]) -> Program:
    """Each reduction as a chain in the order `inwards`: vector axis first, then innermost first."""
    if not program.reductions():
        return program
    values: list[Value] = []
    new: list[int] = []
    for value in program.values:
        args = tuple(new[arg] for arg in value.args)
        if isinstance(value.detail, Reduction):
            _append_chain(program, values, value, args[0], inwards)
        else:
            values.append(Value(value.op, args, value.dtype, value.axes, value.detail))
        new.append(len(values) - 1)
    stores = tuple(Store(store.slot, new[store.value], store.axes) for store in program.stores)
    return replace(program, values=tuple(values), stores=stores)


def _append_chain(
    program: Program, values: list[Value], value: Value, source: int, inwards: Sequence[int]
) -> None:
    assert isinstance(value.detail, Reduction)
    axes = values[source].axes
    for split in program.splits:
        # A part of the reduction belongs to one piece even if its operand is the same everywhere.
        axes |= (value.detail.axes >> split.base & 1) << split.axis
    for axis in inwards:
        if value.detail.axes >> axis & 1:
            axes &= ~(1 << axis)
            detail = replace(value.detail, axes=1 << axis)
            values.append(Value(REDUCE, (source,), value.dtype, axes, detail))
            source = len(values) - 1
