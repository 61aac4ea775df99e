"""Writes out very short axes, so that the loop over a longer one is the innermost.

Reads a merged program; makes one in which each value along such an axis has become as many values,
and each buffer as many buffers. Two classes, three colour channels, windows of 2 x 2 are examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .arrange import SHORT, vector_axis
from .merge import levels, merged
from .program import INDEX, LITERAL, LOAD, Axes, Memory, Program, Reduction, Slot, Store, Value

#: An axis is written out up to this extent,
EXTENT = 4
#: and while the program has no more values than this.
VALUES = 160


def unrolled(program: Program) -> Program:
    """`program` without its short axes, where the loops are better for it."""
    while True:
        axis = _short_axis(program)
        if axis is None:
            return program
        program = merged(_Unrolling(program, axis).result())


def _short_axis(program: Program) -> int | None:
    """A short axis that is reduced, or lies inside the axis that is vectorised."""
    vector = vector_axis(program)
    if vector is None or program.extents[vector] < SHORT:
        return None
    level = levels(program)
    for axis, extent in enumerate(program.extents):
        if axis == vector or not 0 < extent <= EXTENT or extent * len(program.values) > VALUES:
            continue
        if level[axis] or axis > vector:
            return axis
    return None


class _Unrolling:
    """Writes out one axis; `copies` lists the new values of each old one, by index or alone."""

    def __init__(self, program: Program, axis: int) -> None:
        self.program = program
        self.axis = axis
        self.bit = 1 << axis
        self.extent = program.extents[axis]
        self.values: list[Value] = []
        self.slots: list[Slot] = []
        self.slots_of = [self._copied_slot(slot) for slot in program.slots]
        self.copies: list[list[int]] = []

    def result(self) -> Program:
        for value in self.program.values:
            self.copies.append(self._copied(value))
        stores = [
            Store(
                self._at(self.slots_of[store.slot], index),
                self._at(self.copies[store.value], index),
                store.axes & ~self.bit,
            )
            for store in self.program.stores
            for index in range(self.extent if store.axes & self.bit else 1)
        ]
        return replace(
            self.program,
            slots=tuple(self.slots),
            values=tuple(self.values),
            stores=tuple(stores),
        )

    def _at(self, copies: Sequence[int], index: int) -> int:
        return copies[index] if len(copies) > 1 else copies[0]

    def _copied_slot(self, slot: Slot) -> list[int]:
        """Buffers for the elements at each index, which do not overlap."""
        stride, first = slot.strides[self.axis], len(self.slots)
        strides = tuple(0 if a == self.axis else s for a, s in enumerate(slot.strides))
        for index in range(self.extent if stride else 1):
            memory = _shifted(slot.memory, index * stride * slot.dtype.itemsize)
            group = slot.group * (self.extent + 1) + (index + 1 if stride else 0)
            self.slots.append(Slot(memory, slot.dtype, strides, group))
        return list(range(first, len(self.slots)))

    def _copied(self, value: Value) -> list[int]:
        detail = value.detail
        if isinstance(detail, Reduction) and detail.axes & self.bit:
            return [self._reduced(value, detail)]
        if not value.axes & self.bit:
            slots = self.slots_of[_number(detail)] if value.op == LOAD else [detail]
            args = tuple(self.copies[arg][0] for arg in value.args)
            return [self._add(replace(value, args=args, detail=slots[0]))]
        return [self._copy(value, index) for index in range(self.extent)]

    def _copy(self, value: Value, index: int) -> int:
        axes, detail = value.axes & ~self.bit, value.detail
        if value.op == INDEX:
            return self._add(Value(LITERAL, (), value.dtype, axes, str(index)))
        if value.op == LOAD:
            detail = self._at(self.slots_of[_number(detail)], index)
        args = tuple(self._at(self.copies[arg], index) for arg in value.args)
        return self._add(replace(value, args=args, axes=axes, detail=detail))

    def _reduced(self, value: Value, reduction: Reduction) -> int:
        """The elements combined pairwise, then reduced over what axes remain."""
        (source,) = value.args
        parts = [self._at(self.copies[source], index) for index in range(self.extent)]
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            odd = parts[-1:] if len(parts) % 2 else []
            parts = [self._combined(reduction.combine, pair) for pair in pairs] + odd
        remaining: Axes = reduction.axes & ~self.bit
        if not remaining:
            return parts[0]
        detail = replace(reduction, axes=remaining)
        return self._add(replace(value, args=(parts[0],), detail=detail))

    def _combined(self, combine: str, pair: tuple[int, int]) -> int:
        first = self.values[pair[0]]
        return self._add(Value(combine, pair, first.dtype, first.axes))

    def _add(self, value: Value) -> int:
        self.values.append(value)
        return len(self.values) - 1


def _shifted(memory: Memory, offset: int) -> Memory:
    return replace(memory, offset=memory.offset + offset)


def _number(detail: object) -> int:
    assert isinstance(detail, int)
    return detail
