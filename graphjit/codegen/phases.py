"""Cuts a program into phases, each of which becomes one kernel.

Reads a merged program; makes programs to be run one after the other, which pass values through a
workspace. A long reduction becomes partial results of chunks, whose size depends on the extents
alone, so that results are the same for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import CompileError
from ..runtime.instruction import row_major
from .arrange import TILE, needs_tiles, vector_axis, with_split
from .merge import levels, merged, pruned
from .program import (
    LOAD,
    Axes,
    Program,
    Reduction,
    Slot,
    Store,
    Value,
    Workspace,
    axis_set,
    members,
)

#: Where the numbers of groups begin that are not operands or results.
_WORKSPACE = 1 << 20
#: Elements reduced by one kernel call without a second thread.
SERIAL = 131072
#: Elements of a chunk.
CHUNK = 16384
#: With this many pieces of work in parallel, reductions are not cut for the sake of more.
ENOUGH = 8
#: float32 additions one after the other before a partial sum is put aside.
STREAK = 2048


@dataclass(slots=True)
class _Space:
    """The workspace: how many bytes of it are taken."""

    size: int = 0

    def slot(self, value: Value, axes: Sequence[int], extents: Sequence[int]) -> Slot:
        """Memory for `value`, row-major over `axes`."""
        strides = [0] * len(extents)
        shape = [extents[axis] for axis in axes]
        for axis, stride in zip(axes, row_major(shape), strict=True):
            strides[axis] = stride
        memory = Workspace(self.size)
        self.size += -(-math.prod(shape) * value.dtype.itemsize // 64) * 64
        return Slot(memory, value.dtype, tuple(strides), _WORKSPACE)


def split(program: Program) -> tuple[list[Program], int]:
    """The phases of `program`, and the bytes of workspace they need."""
    space = _Space()
    return list(_phases(program, space)), space.size


def _phases(program: Program, space: _Space) -> Iterator[Program]:
    for part in _separate(program):
        chunk = _chunk(part)
        if chunk is None:
            yield part
        else:
            yield from _Cut(part, *chunk, space).phases()


# -- results that lack an axis which the others share


def _separate(program: Program) -> list[Program]:
    """Programs whose results all have the axes that begin..end enumerates.

    A result that lacked one would be computed, and overwritten, once for each of its indices.
    """
    parts: list[Program] = []
    rest = program
    while rest.stores:
        shared = axis_set(axis for axis, level in enumerate(levels(rest)) if not level)
        whole = [s for s in rest.stores if s.axes & shared == shared]
        most = max(rest.stores, key=lambda store: store.axes.bit_count())
        whole = whole or [s for s in rest.stores if s.axes == most.axes]
        if len(whole) == len(rest.stores):
            parts.append(merged(rest))
            break
        parts.append(merged(replace(rest, stores=tuple(whole))))
        left = tuple(store for store in rest.stores if store not in whole)
        rest = merged(replace(rest, stores=left))
    return _readers_first(parts)


def _readers_first(parts: list[Program]) -> list[Program]:
    """`parts` so that memory is overwritten after its last reader. CompileError on a cycle."""
    ordered: list[Program] = []
    while parts:
        for part in parts:
            others = [other for other in parts if other is not part]
            if not any(_written(part) & _read(other) for other in others):
                ordered.append(part)
                parts = others
                break
        else:
            raise CompileError("results overwrite each other's operands")
    return ordered


def _written(program: Program) -> set[int]:
    return {program.slots[store.slot].group for store in program.stores}


def _read(program: Program) -> set[int]:
    """The groups of memory that `program` loads from."""
    slots = (value.detail for value in program.values if value.op == LOAD)
    return {program.slots[slot].group for slot in slots if isinstance(slot, int)}


# -- long reductions


def _chunk(program: Program) -> tuple[int, int] | None:
    """The axis to be cut into chunks, and their length; None where it is better left whole."""
    level = levels(program)
    vector = vector_axis(program)
    reduced = [axis for axis, taken in enumerate(level) if taken]
    if not reduced or vector is None:
        return None
    axis, extents = reduced[0], program.extents
    tiled = needs_tiles(program, vector)
    inner = math.prod(extents[a] for a in reduced[1:])
    units = math.prod(extents[a] for a in range(axis) if a != vector)
    if not level[vector]:
        inner *= min(extents[vector], TILE)
        units *= -(-extents[vector] // TILE)
    few = units < ENOUGH and extents[axis] * inner > SERIAL
    sums = any(r.combine == "add" and r.axes >> axis & 1 for r in program.reductions())
    long = axis != vector and sums and extents[axis] > 2 * STREAK
    if axis == vector and tiled:
        length = TILE
    else:
        length = max(1, min(CHUNK // max(inner, 1), CHUNK if axis == vector else STREAK))
    return (axis, length) if (few or long) and extents[axis] > length else None


class _Cut:
    """A program whose axis `axis` is reduced in chunks of `length`.

    Its phases: partial results of every chunk, with what is stored along the axis and needs no more
    than that; the whole reductions and what follows from them; the rest.
    """

    def __init__(self, program: Program, axis: int, length: int, space: _Space) -> None:
        self.program = program
        self.values = program.values
        self.axis = axis
        self.length = length
        self.space = space
        self.count = len(program.extents)
        self.chunks = -(-program.extents[axis] // length)
        #: reductions over the axis that depend on no other; what depends on them; and of that,
        #: what can be had without going along the axis again
        self.first: list[int] = []
        self.late: set[int] = set()
        self.finished: set[int] = set()
        for number, value in enumerate(self.values):
            self._classify(number, value)

    def _classify(self, number: int, value: Value) -> None:
        along = bool(value.axes >> self.axis & 1)
        crossing = isinstance(value.detail, Reduction) and value.detail.axes >> self.axis & 1
        after = any(arg in self.late for arg in value.args)
        if crossing or after:
            self.late.add(number)
        if crossing and not after:
            self.first.append(number)
            self.finished.add(number)
        elif not crossing and not along and all(arg in self.finished for arg in value.args):
            self.finished.add(number)

    def phases(self) -> Iterator[Program]:
        stores = self._assign()
        passed = sorted(self._walk(stores[2], self.late & self.finished)[1])
        partial = [
            self.space.slot(self.values[n], self._axes_with_chunks(n), self._extents())
            for n in self.first
        ]
        finished = [
            self.space.slot(self.values[n], list(members(self.values[n].axes)), self._extents())
            for n in passed
        ]
        yield self._partial_phase(stores[0], partial)
        yield self._finishing_phase(stores[1], partial, passed, finished)
        if stores[2]:
            yield from _phases(merged(self._last_phase(stores[2], passed, finished)), self.space)

    # -- which store belongs to which phase

    def _assign(self) -> tuple[list[Store], list[Store], list[Store]]:
        """The stores of each phase; none overwrites what a later phase reads."""
        parts: tuple[list[Store], list[Store], list[Store]] = ([], [], [])
        for store in self.program.stores:
            along = bool(store.axes >> self.axis & 1)
            if along and store.value not in self.late:
                parts[0].append(store)
            else:
                parts[2 if along or store.value not in self.finished else 1].append(store)
        while True:
            read_last, passed = self._walk(parts[2], self.late & self.finished)
            ends = {store.value for store in parts[1]} | passed
            read_later = read_last | self._read_from(ends, set(self.first))[0]
            moved = [s for s in parts[0] if self._group(s) in read_later]
            moved += [s for s in parts[1] if self._group(s) in read_last]
            if not moved:
                return parts
            for store in moved:
                parts[0 if store in parts[0] else 1].remove(store)
                parts[2].append(store)

    def _group(self, store: Store) -> int:
        return self.program.slots[store.slot].group

    def _walk(self, stores: Iterable[Store], stop: set[int]) -> tuple[set[int], set[int]]:
        return self._read_from({store.value for store in stores}, stop)

    def _read_from(self, ends: set[int], stop: set[int]) -> tuple[set[int], set[int]]:
        """The groups loaded to compute `ends`, given values in `stop`; and which of those."""
        groups: set[int] = set()
        used: set[int] = set()
        seen: set[int] = set()
        stack = list(ends)
        while stack:
            number = stack.pop()
            if number in stop:
                used.add(number)
            elif number not in seen:
                seen.add(number)
                value = self.values[number]
                stack.extend(value.args)
                if value.op == LOAD and isinstance(value.detail, int):
                    groups.add(self.program.slots[value.detail].group)
        return groups, used

    # -- the phases

    def _extents(self) -> tuple[int, ...]:
        return (*self.program.extents, self.chunks)

    def _axes_with_chunks(self, number: int) -> list[int]:
        return [self.count, *members(self.values[number].axes)]

    def _partial_phase(self, stores: Sequence[Store], partial: Sequence[Slot]) -> Program:
        chunk = 1 << self.count
        program = with_split(replace(self.program, stores=tuple(stores)), self.axis, self.length)
        values = [_kept(value, chunk) for value in program.values]
        for number in self.first:
            values[number] = replace(values[number], axes=values[number].axes | chunk)
        slots = [*program.slots, *partial]
        written = [
            Store(len(program.slots) + i, number, values[number].axes)
            for i, number in enumerate(self.first)
        ]
        return _program(program, slots, values, [*program.stores, *written])

    def _finishing_phase(
        self,
        stores: Sequence[Store],
        partial: Sequence[Slot],
        passed: Sequence[int],
        finished: Sequence[Slot],
    ) -> Program:
        chunk = 1 << self.count
        slots = [replace(slot, strides=(*slot.strides, 0)) for slot in self.program.slots]
        values: list[Value] = []
        new: list[int] = []
        for number, value in enumerate(self.values):
            if number in self.first:
                slots.append(partial[self.first.index(number)])
                axes = value.axes | chunk
                values.append(Value(LOAD, (), value.dtype, axes, len(slots) - 1))
                assert isinstance(value.detail, Reduction)
                detail = replace(value.detail, axes=chunk)
                values.append(replace(value, args=(len(values) - 1,), detail=detail))
            else:
                values.append(replace(value, args=tuple(new[arg] for arg in value.args)))
            new.append(len(values) - 1)
        written = [Store(s.slot, new[s.value], s.axes) for s in stores]
        for number, slot in zip(passed, finished, strict=True):
            slots.append(slot)
            written.append(Store(len(slots) - 1, new[number], self.values[number].axes))
        program = replace(self.program, extents=self._extents())
        return _program(program, slots, values, written)

    def _last_phase(
        self, stores: Sequence[Store], passed: Sequence[int], finished: Sequence[Slot]
    ) -> Program:
        slots = list(self.program.slots)
        values = list(self.values)
        for number, slot in zip(passed, finished, strict=True):
            slots.append(replace(slot, strides=slot.strides[:-1]))
            value = values[number]
            values[number] = Value(LOAD, (), value.dtype, value.axes, len(slots) - 1)
        return _program(self.program, slots, values, stores)


def _kept(value: Value, axes: Axes) -> Value:
    """`value` so that, if it is a reduction, it does not take away `axes`."""
    if not isinstance(value.detail, Reduction):
        return value
    return replace(value, detail=replace(value.detail, axes=value.detail.axes & ~axes))


def _program(
    program: Program, slots: Sequence[Slot], values: Sequence[Value], stores: Sequence[Store]
) -> Program:
    """`program` with other contents; memory of the workspace gets groups of its own."""
    count = len(program.slots)
    grouped = [s if i < count else replace(s, group=_WORKSPACE + i) for i, s in enumerate(slots)]
    return pruned(
        replace(program, slots=tuple(grouped), values=tuple(values), stores=tuple(stores))
    )
