"""Chooses the loops for a program: order of axes, which are merged, which one is vectorised.

Reads a program; makes one over merged axes whose reductions each have a single axis, and a `Nest`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .program import INDEX, REDUCE, Axes, Program, Reduction, Slot, Store, Value, axis_set, members

#: Elements of the vector axis that are worked on between loops over reduced axes.
TILE = 512
#: A shorter innermost extent is no good for vectors if there is a longer one.
SHORT = 16


@dataclass(frozen=True, slots=True)
class Nest:
    """Loops for `program`.

    `order` lists the axes of loops from the outside, `vector` is the axis of all innermost loops
    (None in a program of single elements). Where `tile` is set, it is an axis of `order` that
    counts tiles of the vector axis; its extent follows those of the program. The first `parallel`
    axes of `order` belong to begin..end, and the vector axis as well if `elementwise`.
    """

    program: Program
    order: tuple[int, ...]
    vector: int | None
    tile: int | None
    parallel: int
    elementwise: bool


def arrange(program: Program) -> Nest:
    """The loops for `program`."""
    program = _merge(program, _outermost_first(program))
    vector = _vector_axis(program)
    if vector is None:
        return Nest(program, (), None, None, 0, False)
    levels = _levels(program)
    tiled = any(
        value.op == REDUCE and value.axes >> vector & 1 and not _reduction(value).axes >> vector & 1
        for value in program.values
    )
    order = [axis for axis in range(len(program.extents)) if axis != vector]
    kept = not levels[vector]
    tile = len(program.extents) if tiled else None
    if tile is not None:
        order.insert(sum(levels[axis] <= levels[vector] for axis in order), tile)
        levels.append(levels[vector])
    program = _single_axis_reductions(program, order, vector, tile)
    parallel = sum(not levels[axis] for axis in order)
    return Nest(program, tuple(order), vector, tile, parallel, kept and not tiled)


def _reduction(value: Value) -> Reduction:
    assert isinstance(value.detail, Reduction)
    return value.detail


def _levels(program: Program) -> list[int]:
    """For each axis how many different reductions take it away."""
    reduced = {_reduction(value).axes for value in program.values if value.op == REDUCE}
    return [sum(axes >> axis & 1 for axes in reduced) for axis in range(len(program.extents))]


def _outermost_first(program: Program) -> list[int]:
    """Axes by level, then from the largest stride to the smallest."""
    levels = _levels(program)
    written = [program.slots[store.slot] for store in program.stores]
    slots = written + [slot for slot in program.slots if slot not in written]
    slots.sort(key=lambda slot: -sum(stride != 0 for stride in slot.strides))
    order: list[int] = []
    for axis in range(len(program.extents)):
        place = len(order)
        while place and _goes_outside(axis, order[place - 1], levels, slots):
            place -= 1
        order.insert(place, axis)
    return order


def _goes_outside(axis: int, other: int, levels: Sequence[int], slots: Sequence[Slot]) -> bool:
    """Whether the loop of `axis` belongs outside that of `other`, an earlier axis."""
    if levels[axis] != levels[other]:
        return levels[axis] < levels[other]
    for slot in slots:
        mine, theirs = abs(slot.strides[axis]), abs(slot.strides[other])
        if mine and theirs and mine != theirs:
            return mine > theirs
    return False


def _merge(program: Program, order: Sequence[int]) -> Program:
    """`program` over axes numbered from the outside, adjacent ones merged where strides allow."""
    groups: list[list[int]] = []
    for axis in order:
        if groups and _mergeable(program, groups[-1][-1], axis):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    new_axis = {axis: number for number, group in enumerate(groups) for axis in group}

    def renumber(axes: Axes) -> Axes:
        return axis_set({new_axis[axis] for axis in members(axes)})

    extents = []
    for group in groups:
        extent = 1
        for axis in group:
            extent *= program.extents[axis]
        extents.append(extent)
    inner = [group[-1] for group in groups]
    return Program(
        tuple(extents),
        tuple(replace(s, strides=tuple(s.strides[a] for a in inner)) for s in program.slots),
        program.scalars,
        tuple(_renumbered(value, renumber) for value in program.values),
        tuple(Store(store.slot, store.value, renumber(store.axes)) for store in program.stores),
    )


def _renumbered(value: Value, renumber: Callable[[Axes], Axes]) -> Value:
    detail = value.detail
    if isinstance(detail, Reduction):
        detail = replace(detail, axes=renumber(detail.axes))
    axes = renumber(value.axes)
    if value.op == INDEX:
        detail = axes.bit_length() - 1
    return replace(value, axes=axes, detail=detail)


def _mergeable(program: Program, outer: int, inner: int) -> bool:
    """Whether the two axes can be walked as one."""
    extent = program.extents[inner]
    both = 1 << outer | 1 << inner

    def together(axes: Axes) -> bool:
        return axes & both in (0, both)

    return (
        all(slot.strides[outer] == slot.strides[inner] * extent for slot in program.slots)
        and all(together(store.axes) for store in program.stores)
        and all(
            together(_reduction(value).axes) if value.op == REDUCE else together(value.axes)
            for value in program.values
        )
    )


def _vector_axis(program: Program) -> int | None:
    """The axis of the innermost loops: contiguous in most of the data, and not too short."""
    count = len(program.extents)
    if not count:
        return None
    levels = _levels(program)
    innermost_of_level = {levels[axis]: axis for axis in range(count)}

    def merit(axis: int) -> tuple[bool, int, int]:
        score = 0
        for slot in program.slots:
            stride = slot.strides[axis]
            if stride:
                score += _size(program, slot) * (1 if stride == 1 else -1)
        return (program.extents[axis] >= SHORT, score, levels[axis])

    return max(innermost_of_level.values(), key=merit)


def _size(program: Program, slot: Slot) -> int:
    """How many elements of `slot` the program touches."""
    size = 1
    for extent, stride in zip(program.extents, slot.strides, strict=True):
        size *= extent if stride else 1
    return size


def _single_axis_reductions(
    program: Program, order: Sequence[int], vector: int, tile: int | None
) -> Program:
    """Each reduction as a chain: over the vector axis first, then from the innermost loop out."""
    values: list[Value] = []
    new: list[int] = []
    tile_bit = 0 if tile is None else 1 << tile
    inwards = [vector, *reversed(order)]
    for value in program.values:
        args = tuple(new[arg] for arg in value.args)
        axes = value.axes | (tile_bit if value.axes >> vector & 1 else 0)
        if value.op != REDUCE:
            values.append(replace(value, args=args, axes=axes))
        else:
            _append_chain(values, value, args[0], inwards, vector, tile_bit)
        new.append(len(values) - 1)
    stores = tuple(
        Store(s.slot, new[s.value], s.axes | (tile_bit if s.axes >> vector & 1 else 0))
        for s in program.stores
    )
    return replace(program, values=tuple(values), stores=stores)


def _append_chain(
    values: list[Value], value: Value, source: int, inwards: Sequence[int], vector: int, tile: Axes
) -> None:
    reduction = _reduction(value)
    missing = reduction.axes | (tile if reduction.axes >> vector & 1 else 0)
    axes = values[source].axes | (missing & tile)
    for axis in inwards:
        if missing >> axis & 1:
            axes &= ~(1 << axis)
            detail = replace(reduction, axes=1 << axis)
            values.append(Value(REDUCE, (source,), value.dtype, axes, detail))
            source = len(values) - 1
