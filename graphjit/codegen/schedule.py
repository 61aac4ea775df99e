"""Orders the scalar statements of a program into the loops of its nest.

Reads a `Nest`, makes the statements of a kernel. Work is driven by demand: from the roots (stores,
and updates of reductions) back to what they need. Where several loops over the same axis need a
value, cheap ones are computed again and dear ones kept in a local array.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from . import loops
from .arrange import Nest
from .costs import RECOMPUTED, REDUCTION_COST, SHORT_LOOP, cost_of, is_masked, takes_few
from .loops import Accumulator, Get, Let, Local, Loop, Put, Statement, Turn, Update
from .program import LOAD, REDUCE, Axes, Reduction, Store, members

#: Where in a context something happens: (stage, 0, step, 0) for statements between loops,
#: (stage, 1, 0, position of the axis in the nest) for a loop.
Place = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Root:
    """Something to be done with `value` along `axes`: a store, a put, or an update of `reduce`."""

    value: int
    axes: Axes
    store: Store | None = None
    local: int = -1
    reduce: int = -1


@dataclass(slots=True)
class _Segment:
    """Statements between loops, or one loop; `closure` is what is computed there."""

    roots: list[_Root] = field(default_factory=list)
    closure: set[int] = field(default_factory=set)
    fetched: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Scope:
    """What is at hand: values in registers, and values in local arrays."""

    registers: set[int] = field(default_factory=set)
    arrays: dict[int, int] = field(default_factory=dict)

    def copy(self) -> _Scope:
        return _Scope(set(self.registers), dict(self.arrays))


@dataclass(frozen=True, slots=True)
class Schedule:
    """Statements, and the local arrays they use."""

    body: tuple[Statement, ...]
    locals: tuple[Local, ...]


def schedule(nest: Nest) -> Schedule:
    """The statements of `nest.program` in loops."""
    scheduler = _Scheduler(nest)
    roots = [_Root(s.value, s.axes, store=s) for s in nest.program.stores]
    body = _Context(scheduler, 0, roots, _Scope()).build()
    return Schedule(tuple(body), tuple(scheduler.locals))


def _not_before(last: Place, place: Place) -> Place:
    """Where a root of `place` goes so that it comes after the loads at `last` of each element."""
    if place[1] == 0:
        return (last[0] + 1, 0, 0, 0) if last[1] else last
    if last[1] == 0 or last[3] == place[3]:
        return (last[0], *place[1:])
    return (last[0] + 1, *place[1:])


def _loses_digits(accumulator: Accumulator) -> bool:
    return accumulator.combine == "add" and accumulator.dtype.category == 2


class _Scheduler:
    """What all contexts share: the nest and the local arrays made so far."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.values = nest.program.values
        self.slots = nest.program.slots
        self.vector: Axes = 0 if nest.vector is None else 1 << nest.vector
        self.position = {axis: i for i, axis in enumerate(nest.order)}
        self.locals: list[Local] = []
        #: local arrays of the slots that are turned
        self.turned = {slot: self._tile_of(slot) for slot in nest.turned}
        self.may_spill = any(value.op == REDUCE for value in self.values)
        written = {self.slots[store.slot].group for store in nest.program.stores}
        #: loads that a store must not overtake, by the group of their memory
        self.hazards: dict[int, set[int]] = {}
        for number, value in enumerate(self.values):
            if value.op == LOAD and isinstance(value.detail, int):
                group = self.slots[value.detail].group
                if group in written:
                    self.hazards.setdefault(group, set()).add(number)

    def _tile_of(self, slot: int) -> int:
        """A local array for a tile of a slot."""
        assert self.nest.vector is not None
        axes = (self.nest.order[-1], self.nest.vector)
        self.locals.append(Local(self.slots[slot].dtype, axes, (True, True)))
        return len(self.locals) - 1

    def turns(self, axis: int) -> list[Statement]:
        """What fills the tiles at the beginning of the loop over `axis`."""
        order, vector = self.nest.order, self.nest.vector
        if vector is None or axis not in order[-2:-1]:
            return []
        return [Turn(local, slot, order[-1], vector) for slot, local in self.turned.items()]

    def reduced_axis(self, value: int) -> Axes:
        """The axis, as a set, that a reduce value takes away."""
        detail = self.values[value].detail
        assert isinstance(detail, Reduction)
        return detail.axes

    def new_local(self, value: int, open_axes: Axes) -> int:
        """A local array for `value` over its axes that have no loop yet."""
        axes = self.values[value].axes & ~open_axes
        counts = {split.axis for split in self.nest.program.splits}
        inner = [axis for axis in self.nest.order if axes >> axis & 1 and axis not in counts]
        if axes & self.vector:
            assert self.nest.vector is not None
            inner.append(self.nest.vector)
        splits = [self.nest.program.split_of(axis) for axis in inner]
        clipped = tuple(split is not None and bool(open_axes >> split.axis & 1) for split in splits)
        self.locals.append(Local(self.values[value].dtype, tuple(inner), clipped))
        return len(self.locals) - 1


class _Context:
    """The inside of the loops over `open_axes`: does `roots`, given what is in `scope`.

    A value is *own* if it needs no further loop but perhaps the vector loop, else it is deep. An
    own value without the vector axis is a scalar: computed once, it stays in its register.
    """

    def __init__(
        self, scheduler: _Scheduler, open_axes: Axes, roots: Sequence[_Root], scope: _Scope
    ) -> None:
        self.shared = scheduler
        self.values = scheduler.values
        self.vector = scheduler.vector
        self.open = open_axes
        self.roots = list(roots)
        self.scope = scope
        self.needed: list[int] = []
        self.fetched: set[int] = set()
        self.place: dict[int, Place] = {}
        self.segments: dict[Place, _Segment] = {}
        self.spilled: dict[int, tuple[int, Place]] = {}
        self.postponed: dict[_Root, Place] = {}

    def build(self) -> list[Statement]:
        self._find_needed()
        for number in self.needed:
            self.place[number] = self._earliest(number)
        count = len(self.shared.locals)
        self._segment()
        while self._postpone_stores():
            del self.shared.locals[count:]
            self._segment()
        return self._emit()

    # -- what is needed, and when it can be had

    def _missing(self, axes: Axes) -> Axes:
        return axes & ~self.open & ~self.vector

    def _is_own(self, number: int) -> bool:
        return not self._missing(self.values[number].axes)

    def _is_scalar(self, number: int) -> bool:
        return not self.values[number].axes & ~self.open

    def _first_loop(self, missing: Axes) -> int:
        """The position in the nest of the outermost of the axes that have no loop yet."""
        return min(self.shared.position[axis] for axis in members(missing))

    def _crosses(self, number: int) -> bool:
        """Whether a deep reduction takes away an axis whose loop goes around those it needs.

        It is then computed in loops of its own and kept in an array.
        """
        value = self.values[number]
        missing = self._missing(value.axes)
        if value.op != REDUCE or not missing:
            return False
        taken = self.shared.reduced_axis(number)
        return taken != self.vector and self._first_loop(taken) < self._first_loop(missing)

    def _find_needed(self) -> None:
        seen: set[int] = set()
        stack = [root.value for root in self.roots]
        while stack:
            number = stack.pop()
            if number in seen or number in self.scope.registers:
                continue
            if number in self.scope.arrays:
                if self._is_scalar(number):
                    self.fetched.add(number)
                continue
            seen.add(number)
            stack.extend(self.values[number].args)
        self.needed = sorted(seen)

    def _earliest(self, number: int) -> Place:
        value = self.values[number]
        places = [self.place[arg] for arg in value.args if arg in self.place]
        latest = max(places, default=(0, 0, 0, 0))
        if self._crosses(number):
            return (latest[0] + 1, 0, 0, 0)
        if not self._is_own(number):
            return (latest[0], 1, 0, 0)
        if value.op != REDUCE:
            return latest
        if self.shared.reduced_axis(number) == self.vector:
            return (latest[0], 0, latest[2] + 1, 0)
        return (latest[0] + 1, 0, 0, 0)

    def _place_of(self, root: _Root) -> Place:
        """The segment that `root` belongs to."""
        if root in self.postponed:
            return self.postponed[root]
        place = self.place.get(root.value, (0, 0, 0, 0))
        missing = self._missing(root.axes)
        if not missing:
            return place
        return (place[0], 1, 0, self._first_loop(missing))

    def _segment(self) -> None:
        """Distribute roots over segments, then decide what each computes."""
        self.segments.clear()
        self.spilled.clear()
        for root in [*self.roots, *self._updates()]:
            self._segment_at(self._place_of(root)).roots.append(root)
        for place in sorted(self.segments):
            segment = self.segments[place]
            for root in list(segment.roots):
                self._visit(root.value, place, segment)

    def _segment_at(self, place: Place) -> _Segment:
        return self.segments.setdefault(place, _Segment())

    def _updates(self) -> Iterable[_Root]:
        for number in self.needed:
            value = self.values[number]
            if value.op == REDUCE and self._is_own(number):
                (source,) = value.args
                axes = self.values[source].axes | self.shared.reduced_axis(number)
                yield _Root(source, axes, reduce=number)

    def _visit(self, number: int, place: Place, segment: _Segment) -> None:
        """Have `number` at hand in the segment at `place`: computed, or fetched."""
        value = self.values[number]
        if number in segment.closure or self._is_scalar(number):
            return
        if self._is_kept(number, place) or value.op == REDUCE and self._is_own(number):
            segment.fetched.add(number)
            return
        home = self._home(number, place)
        if home is not None:
            self._spill(number, home)
            segment.fetched.add(number)
            return
        self._compute_in(number, place, segment)

    def _compute_in(self, number: int, place: Place, segment: _Segment) -> None:
        segment.closure.add(number)
        for arg in self.values[number].args:
            self._visit(arg, place, segment)

    def _home(self, number: int, place: Place) -> Place | None:
        """The earlier segment that should keep `number` for the one at `place`, if any."""
        if self._crosses(number):
            missing = self._missing(self.values[number].axes)
            return (self.place[number][0] - 1, 1, 0, self._first_loop(missing))
        if not self.shared.may_spill:
            return None
        cost = self._cost(number, place)
        for earlier in sorted(self.segments):
            if earlier < place and number in self.segments[earlier].closure:
                return earlier if cost > RECOMPUTED else None
        if place[1] == 1 and self._is_own(number) and cost > 1:
            return self.place[number]
        return None

    def _is_kept(self, number: int, place: Place) -> bool:
        """Whether a local array has `number` at `place`."""
        home = self.spilled[number][1] if number in self.spilled else place
        return home < place or number in self.scope.arrays

    def _cost(self, number: int, place: Place) -> int:
        """What computing `number` again at `place` takes."""
        seen: set[int] = set()
        total, stack = 0, [number]
        while stack:
            current = stack.pop()
            if current in seen or self._is_scalar(current):
                continue
            seen.add(current)
            value = self.values[current]
            if self._is_kept(current, place) or value.op == REDUCE and self._is_own(current):
                total += 1
            else:
                total += REDUCTION_COST if value.op == REDUCE else cost_of(value)
                stack.extend(value.args)
        return total

    def _spill(self, number: int, home: Place) -> None:
        local = self.shared.new_local(number, self.open)
        segment = self._segment_at(home)
        segment.roots.append(_Root(number, self.values[number].axes, local=local))
        self._compute_in(number, home, segment)
        self.spilled[number] = (local, home)

    def _postpone_stores(self) -> bool:
        """Move stores behind the last loads of the memory they overwrite; whether any moved."""
        moved = False
        for root in self.roots:
            if root.store is None:
                continue
            group = self.shared.slots[root.store.slot].group
            loads = self.shared.hazards.get(group, set())
            last = max((p for p, s in self.segments.items() if s.closure & loads), default=None)
            place = self._place_of(root)
            if last is not None and last > place:
                self.postponed[root] = _not_before(last, place)
                moved = True
        return moved

    # -- statements

    def _emit(self) -> list[Statement]:
        out: list[Statement] = []
        for number in sorted(self.fetched):
            out.append(Get(number, self.scope.arrays[number]))
            self.scope.registers.add(number)
        waiting = [n for n in self.needed if self._is_scalar(n) and self.values[n].op != REDUCE]
        waiting.sort(key=lambda number: (self.place[number], number))
        for place in sorted(self.segments):
            while waiting and self.place[waiting[0]][:3] <= place[:3]:
                out.append(self._compute(waiting[0]))
                self.scope.registers.add(waiting.pop(0))
            segment = self.segments[place]
            if place[1] == 1:
                axis = self.shared.nest.order[place[3]]
                out.extend(self._loop(axis, segment))
            else:
                out.extend(self._between_loops(segment))
            for number, (local, home) in self.spilled.items():
                if home == place:
                    self.scope.arrays[number] = local
        return out

    def _compute(self, number: int) -> Statement:
        value = self.values[number]
        if value.op == LOAD:
            assert isinstance(value.detail, int)
            if value.detail in self.shared.turned:
                return Get(number, self.shared.turned[value.detail])
            return loops.Load(number, value.detail, value.dtype)
        return Let(number, value.op, value.args, value.dtype, value.detail)

    def _between_loops(self, segment: _Segment) -> list[Statement]:
        """Scalar roots as they are, the others in one vector loop."""
        out: list[Statement] = []
        inside: list[Statement] = [
            Get(number, self.scope.arrays[number]) for number in sorted(segment.fetched)
        ]
        inside += [self._compute(number) for number in sorted(segment.closure)]
        reduced: list[int] = []
        for root in segment.roots:
            if root.axes & self.vector:
                inside += self._do(root)
                if root.reduce >= 0 and self.shared.reduced_axis(root.reduce) == self.vector:
                    reduced.append(root.reduce)
            else:
                out += self._do(root)
        if any(root.axes & self.vector for root in segment.roots):
            out.append(self._vector_loop(inside, reduced))
        self.scope.registers.update(reduced)
        return out

    def _vector_loop(self, body: Sequence[Statement], reduced: Sequence[int] = ()) -> Loop:
        nest = self.shared.nest
        assert nest.vector is not None
        accumulators = tuple(self._accumulator(number) for number in reduced)
        long = nest.long and any(_loses_digits(accumulator) for accumulator in accumulators)
        short = bool(nest.order) and self._extent(nest.vector) < SHORT_LOOP
        return Loop(
            nest.vector,
            tuple(body),
            accumulators,
            vector=True,
            parallel=nest.elementwise,
            long=long,
            masked=bool(nest.order) and self._is_masked(nest.vector, body),
            few=takes_few(body, bool(reduced), short),
        )

    def _extent(self, axis: int) -> int:
        """Elements of a loop over `axis`, or over a piece of it."""
        program = self.shared.nest.program
        split = program.split_of(axis)
        extent = program.extents[axis]
        return extent if split is None else min(extent, split.length)

    def _is_masked(self, axis: int, body: Sequence[Statement]) -> bool:
        used = [s.buffer for s in body if isinstance(s, (loops.Load, loops.Store))]
        gathers = any(self.shared.slots[slot].strides[axis] not in (0, 1) for slot in used)
        return is_masked(self.shared.nest.program.extents[axis], body, gathers)

    def _accumulator(self, number: int) -> Accumulator:
        value = self.values[number]
        assert isinstance(value.detail, Reduction)
        return Accumulator(number, value.detail.combine, repr(value.detail.identity), value.dtype)

    def _do(self, root: _Root) -> list[Statement]:
        if root.store is not None:
            return [loops.Store(root.store.slot, root.value)]
        if root.reduce < 0:
            return [Put(root.local, root.value)]
        value = self.values[root.reduce]
        assert isinstance(value.detail, Reduction)
        update = Update(root.reduce, value.detail.combine, root.value, value.dtype)
        if root.local < 0:
            return [update]
        return [Get(root.reduce, root.local), update, Put(root.local, root.reduce)]

    def _loop(self, axis: int, segment: _Segment) -> list[Statement]:
        out: list[Statement] = []
        roots: list[_Root] = []
        scope = self.scope.copy()
        scalars: list[Accumulator] = []
        for root in segment.roots:
            if root.reduce < 0 or self.shared.reduced_axis(root.reduce) != 1 << axis:
                roots.append(root)
            elif self._is_scalar(root.reduce):
                scalars.append(self._accumulator(root.reduce))
                self.scope.registers.add(root.reduce)
                roots.append(root)
            else:
                local = self.shared.new_local(root.reduce, self.open)
                out.append(self._start(root.reduce, local))
                self.scope.arrays[root.reduce] = local
                roots.append(_Root(root.value, root.axes, local=local, reduce=root.reduce))
        nest = self.shared.nest
        outside = sum(1 << a for a in nest.order[: self.shared.position[axis]])
        parallel = self.shared.position[axis] < nest.parallel and self.open == outside
        context = _Context(self.shared, self.open | 1 << axis, roots, scope)
        body = (*self.shared.turns(axis), *context.build())
        out.append(Loop(axis, body, tuple(scalars), parallel=parallel))
        return out

    def _start(self, number: int, local: int) -> Loop:
        """Fill the array of a reduction whose result has the vector axis."""
        accumulator = self._accumulator(number)
        literal = Let(number, "literal", (), accumulator.dtype, accumulator.identity)
        return self._vector_loop([literal, Put(local, number)])
