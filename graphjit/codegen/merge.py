"""Brings a program to as few axes as its strides allow, outermost first.

Reads a program; makes one without unused values and axes, whose axes are ordered by how many
reductions take them away, then by stride, and merged where two can be walked as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from .program import (
    INDEX,
    LOAD,
    REDUCE,
    SCALAR,
    Axes,
    Program,
    Reduction,
    Slot,
    Split,
    Store,
    Value,
    axis_set,
    members,
)


def merged(program: Program) -> Program:
    """`program` over as few axes as possible."""
    program = pruned(program)
    order = _outermost_first(program)
    groups: list[list[int]] = []
    for axis in order:
        if groups and _mergeable(program, groups[-1][-1], axis):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return _regrouped(program, groups)


def levels(program: Program) -> list[int]:
    """For each axis how many different reductions take it away."""
    reduced = {reduction.axes for reduction in program.reductions()}
    return [sum(axes >> axis & 1 for axes in reduced) for axis in range(len(program.extents))]


def pruned(program: Program) -> Program:
    """`program` without values, slots and scalars that no store needs."""
    needed: set[int] = set()
    stack = [store.value for store in program.stores]
    while stack:
        number = stack.pop()
        if number not in needed:
            needed.add(number)
            stack.extend(program.values[number].args)
    slots = {store.slot for store in program.stores}
    slots |= {_detail(program, n) for n in needed if program.values[n].op == LOAD}
    scalars = {_detail(program, n) for n in needed if program.values[n].op == SCALAR}
    used = (len(needed), len(slots), len(scalars))
    if used == (len(program.values), len(program.slots), len(program.scalars)):
        return program
    kept = sorted(needed)
    new = {number: position for position, number in enumerate(kept)}
    new_slot = {slot: position for position, slot in enumerate(sorted(slots))}
    new_scalar = {scalar: position for position, scalar in enumerate(sorted(scalars))}

    def renumbered(value: Value) -> Value:
        detail = value.detail
        if value.op == LOAD:
            detail = new_slot[_as_int(detail)]
        elif value.op == SCALAR:
            detail = new_scalar[_as_int(detail)]
        args = tuple(new[arg] for arg in value.args)
        return Value(value.op, args, value.dtype, value.axes, detail)

    return replace(
        program,
        slots=tuple(program.slots[slot] for slot in sorted(slots)),
        scalars=tuple(program.scalars[scalar] for scalar in sorted(scalars)),
        values=tuple(renumbered(program.values[number]) for number in kept),
        stores=tuple(Store(new_slot[s.slot], new[s.value], s.axes) for s in program.stores),
    )


def _detail(program: Program, number: int) -> int:
    return _as_int(program.values[number].detail)


def _as_int(detail: object) -> int:
    assert isinstance(detail, int)
    return detail


def _used_axes(program: Program) -> Axes:
    used = axis_set(axis for split in program.splits for axis in (split.axis, split.base))
    for store in program.stores:
        used |= store.axes
    for value in program.values:
        used |= value.axes
    for reduction in program.reductions():
        used |= reduction.axes
    return used


def _outermost_first(program: Program) -> list[int]:
    """Used axes by level, then from the largest stride to the smallest."""
    level = levels(program)
    written = [program.slots[store.slot] for store in program.stores]
    slots = written + [slot for slot in program.slots if slot not in written]
    slots.sort(key=lambda slot: -sum(stride != 0 for stride in slot.strides))
    order: list[int] = []
    for axis in members(_used_axes(program)):
        place = len(order)
        while place and _goes_outside(axis, order[place - 1], level, slots):
            place -= 1
        order.insert(place, axis)
    return order


def _goes_outside(axis: int, other: int, level: Sequence[int], slots: Sequence[Slot]) -> bool:
    """Whether the loop of `axis` belongs outside that of `other`, an earlier axis."""
    if level[axis] != level[other]:
        return level[axis] < level[other]
    for slot in slots:
        mine, theirs = abs(slot.strides[axis]), abs(slot.strides[other])
        if mine and theirs and mine != theirs:
            return mine > theirs
    return False


def _mergeable(program: Program, outer: int, inner: int) -> bool:
    """Whether the two axes can be walked as one."""
    if any(outer in (s.axis, s.base) or inner in (s.axis, s.base) for s in program.splits):
        return False
    extent = program.extents[inner]
    both = 1 << outer | 1 << inner

    def together(axes: Axes) -> bool:
        return axes & both in (0, both)

    return (
        all(slot.strides[outer] == slot.strides[inner] * extent for slot in program.slots)
        and all(together(store.axes) for store in program.stores)
        and all(together(value.axes) for value in program.values if value.op != REDUCE)
        and all(together(reduction.axes) for reduction in program.reductions())
    )


def _regrouped(program: Program, groups: Sequence[Sequence[int]]) -> Program:
    """`program` with each group of adjacent axes as one axis, in the order of `groups`."""
    if [*groups] == [[axis] for axis in range(len(program.extents))]:
        return program
    new_axis = {axis: number for number, group in enumerate(groups) for axis in group}

    @cache
    def renumber(axes: Axes) -> Axes:
        return axis_set({new_axis[axis] for axis in members(axes)})

    innermost = [group[-1] for group in groups]
    return Program(
        tuple(math.prod(program.extents[axis] for axis in group) for group in groups),
        tuple(replace(s, strides=tuple(s.strides[a] for a in innermost)) for s in program.slots),
        program.scalars,
        tuple(_renumbered(value, renumber) for value in program.values),
        tuple(Store(store.slot, store.value, renumber(store.axes)) for store in program.stores),
        tuple(Split(new_axis[s.axis], new_axis[s.base], s.length) for s in program.splits),
    )


def _renumbered(value: Value, renumber: Callable[[Axes], Axes]) -> Value:
    detail = value.detail
    if isinstance(detail, Reduction):
        detail = Reduction(detail.combine, detail.identity, renumber(detail.axes))
    axes = renumber(value.axes)
    if value.op == INDEX:
        # A split axis goes with the one that it splits.
        detail = renumber(1 << _as_int(value.detail)).bit_length() - 1
    return Value(value.op, value.args, value.dtype, axes, detail)
