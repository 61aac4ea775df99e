"""A variant: one compiled recording, the conditions under which it holds, and its replay."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import CellType
from typing import Any, Protocol

import numpy as np

from ..dtypes import default_float
from ..ir.interp import DONE
from .bytecode import tells_same
from .call import MARKS, fits
from .guards import (
    ABSENT,
    AnyGuard,
    ClassGuard,
    CodeGuard,
    Guard,
    is_empty,
    is_mutable,
    tensors_in,
    tensors_reached,
)
from .hyper import STRUCTURAL
from .mode import MODE
from .places import array_of, existing_result, fresh_result, grad_of, passed_array, resolve
from .plain import own_dict
from .pytree import first_places, unflatten
from .recording import (
    Argument,
    AttributeNumber,
    AttributeTensor,
    Captured,
    Constant,
    Draw,
    Existing,
    Fresh,
    GradOf,
    Late,
    Number,
    Recording,
    Scalar,
    ScalarSource,
    Source,
    reordered,
)
from .state import CARRIED, VERSIONS
from .tensor import Tensor
from .usual import Usual, usual_call
from .waiting import WAITING, about_to_write, keep_aside

#: replays after which a variant gets a function for its usual call
SETTLED = 2
_TYPES = {mark: kind for kind, mark in MARKS.items()}


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a replay stopped: at a guard point, by number, or at a check, or on the host (None).

    `seen` is what the guard point would have seen, as far as is known.
    """

    point: int | None
    seen: bool | bytes | None = None


class Executable(Protocol):
    """A compiled graph. `run` takes the inputs that are not bound, then arrays for the outputs;

    updated inputs are written in place. It returns `ir.interp.DONE`; or, having changed nothing,
    the number of the check that failed, or `HOST_FAILED`.
    """

    def bind(self, slot: int, array: np.ndarray) -> None: ...

    def run(self, *arrays: np.ndarray) -> int: ...

    def entry(self) -> Callable[..., int]:
        """A function that does what `run` does, for usual calls: 0 says that it has."""

    @property
    def runs(self) -> int:
        """How many runs have come to their end."""


def signature(tensors: Sequence[Tensor]) -> Hashable:
    """What a compiled graph takes for granted of its tensor arguments."""
    rows = tuple(
        (a.shape, a.strides, a.dtype, t._requires_grad, t._grad_fn is None, type(t), _hooks(t))
        for t, a in ((t, t._array) for t in tensors)
    )
    return (rows, first_places(tensors))


@dataclass(slots=True)
class Binding:
    """Where each input and result of the graph is found at a replay."""

    passed: list[tuple[Source, np.dtype]] = field(default_factory=list)
    hypers: list[tuple[np.ndarray, Any]] = field(default_factory=list)
    numbers: list[AttributeNumber] = field(default_factory=list)
    attributes: list[AttributeTensor] = field(default_factory=list)
    captured: list[tuple[Tensor, np.ndarray]] = field(default_factory=list)

    @staticmethod
    def of(recording: Recording, executable: Executable) -> Binding:
        """Sort the inputs of a recording by their source; bind those that stay the same."""
        binding = Binding()
        for slot, source in enumerate(recording.sources):
            dtype = recording.graph.inputs[slot].dtype.numpy
            if isinstance(source, Captured):
                binding.captured.append((source.tensor, source.tensor._array))
                executable.bind(slot, source.tensor._array)
            elif isinstance(source, Constant):
                executable.bind(slot, source.array)
            elif isinstance(source, Scalar) and not isinstance(source.source, Draw):
                place = np.asarray(source.source.read(), dtype)
                binding.hypers.append((place, source.source))
                executable.bind(slot, place)
            else:
                binding.passed.append((source, dtype))
            if isinstance(source, AttributeNumber):
                binding.numbers.append(source)
            elif isinstance(source, AttributeTensor):
                binding.attributes.append(source)
        return binding


class Variant:
    """One recording of a function, compiled.

    Args:
        tree: the call's arguments with tensors taken out.
        tensors: the tensors among them.
        args: the arguments, if all are positional.
        recording: what was recorded.
        executable: what runs it.
        structural: guards on state whose changes `VERSIONS.structure` counts.
        always: guards checked at every call.
        result: the tree of the returned value.
    """

    def __init__(
        self,
        tree: Hashable,
        tensors: Sequence[Tensor],
        args: tuple[Any, ...] | None,
        recording: Recording,
        executable: Executable,
        structural: list[Guard | ClassGuard],
        always: list[AnyGuard],
        result: Any,
    ) -> None:
        self.tree = tree
        self.signature = signature(tensors)
        self.recording = recording
        self.executable = executable
        self.structural = structural
        self.guards: list[AnyGuard] = [*structural, *always]
        self._sort(always)
        self.default = default_float()
        self.result = result
        self.binding = Binding.of(recording, executable)
        self.grad_mode = MODE.grad
        self.structure = VERSIONS.structure
        self.hyper = VERSIONS.hyper
        #: what may fail after numbers of optimizers have changed, and nothing else
        self.numeric = [
            (s, t) for s, t in recording.predicates.items() if not isinstance(s, STRUCTURAL)
        ]
        self.specs = [(v.shape, v.dtype.numpy) for v in recording.graph.outputs]
        self.grads = [
            (source.owner, value.spec)
            for source, value in zip(recording.sources, recording.graph.inputs, strict=True)
            if isinstance(source, GradOf)
        ]
        reached = tensors_reached(self.guards, tree)
        self.pinned = _pinned(reached, tensors)
        #: by id, tensors that Python would have told from these arguments, if it had met them there
        self.strangers: set[int] = set()
        if recording.walks_back or _tells_same(self.guards):
            self.strangers = reached.keys() - map(id, tensors)
        #: tensors from outside, with what Python can tell of them without their elements
        known = {id(t): t for t, _ in (*self.binding.captured, *self.pinned)} | reached
        self.frozen = [(t, t._array, signature([t])) for t in known.values()]
        self.late = [
            (n, out.source) for n, out in enumerate(recording.outputs) if isinstance(out, Late)
        ]
        self.written = _found_again(recording.written)
        self.versioned = _found_again(recording.versioned)
        versioned = set(recording.versioned)
        self.untold = _found_again(s for s in recording.written if s not in versioned)
        self.added_to = [source for source in self.written if isinstance(source, GradOf)]
        self.captured_roots = {id(_owner(array)) for _, array in self.binding.captured}
        self.written_roots = {id(_owner(t._array)) for t in self.written if isinstance(t, Tensor)}
        self.plain = self._plain_arguments(args)
        self.points = {point.check: n for n, point in enumerate(recording.points)}
        self.seen = tuple(point.seen for point in recording.points)
        self.replays = 0
        #: made at the second replay: many a variant is never seen again
        self.usual: Usual | None = None

    def _plain_arguments(self, args: tuple[Any, ...] | None) -> list[tuple[Any, ...]] | None:
        """What `matches` compares; None if the arguments are not of that kind."""
        if args is None:
            return None
        rows: list[tuple[Any, ...]] = []
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        if len({id(t._array) for t in tensors}) < len(tensors):
            return None
        for arg in args:
            if type(arg) is object and arg in _TYPES:
                rows.append((_TYPES[arg], None, None, None, None, None))
            elif isinstance(arg, Tensor):
                a = arg._array
                leaf = arg._grad_fn is None
                rows.append((type(arg), a.shape, a.strides, a.dtype, arg._requires_grad, leaf))
            elif not is_mutable(arg) and not list(tensors_in(arg)):
                rows.append((None, arg, None, None, None, None))
            else:
                return None
        return rows

    def _sort(self, guards: list[AnyGuard]) -> None:
        """Split the guards of every call by where they look, so that each kind has a short loop."""
        cells = [g for g in guards if isinstance(g.container, CellType)]
        names = [g for g in guards if type(g.container) is dict]
        self.cells = [(g.container, g.thing, g) for g in cells]
        self.globals = [(g.container, g.key, g.thing, g) for g in names]
        self.others = [g for g in guards if g not in cells and g not in names and not is_empty(g)]

    # --- is it for these arguments? -----------------------------------------------------------

    def matches(self, args: tuple[Any, ...]) -> tuple[list[Tensor], list[float]] | None:
        """The tensors and numbers in `args` if this variant surely was made for such arguments.

        A quick test for the usual call: tensors, numbers, and things that are the same object as
        before. None says nothing: the full key decides then.
        """
        if self.plain is None or len(args) != len(self.plain):
            return None
        tensors: list[Tensor] = []
        numbers: list[float] = []
        for arg, (kind, shape, strides, dtype, requires, leaf) in zip(args, self.plain):
            if kind is None:
                if arg is not shape:
                    return None
                continue
            if type(arg) is not kind:
                return None
            if kind in MARKS:
                if kind is int and not fits(arg):
                    return None
                numbers.append(arg)
                continue
            array = arg._array
            if (
                array.shape != shape
                or array.strides != strides
                or array.dtype is not dtype
                or arg._requires_grad is not requires
                or (arg._grad_fn is None) is not leaf
                or arg._hooks
            ):
                return None
            tensors.append(arg)
        if len(tensors) > 1 and len({id(t._array) for t in tensors}) != len(tensors):
            return None
        return tensors, numbers

    # --- does it hold? ------------------------------------------------------------------------

    def holds(self, tensors: Sequence[Tensor]) -> bool:
        """Whether a replay would do what Python would do now."""
        if MODE.grad is not self.grad_mode:
            return False
        if VERSIONS.structure != self.structure and not self._still_structured():
            return False
        if VERSIONS.hyper != self.hyper and not self._still_predicted(self.numeric):
            return False
        try:
            for cell, thing, guard in self.cells:
                if cell.cell_contents is not thing and not guard.holds():
                    return False
        except ValueError:  # an empty cell
            return False
        for namespace, name, thing, guard in self.globals:
            if namespace.get(name, ABSENT) is not thing and not guard.holds():
                return False
        for other in self.others:
            if not other.holds():
                return False
        for tensor, position in self.pinned:
            if tensors[position] is not tensor:
                return False
        if self.strangers and any(id(tensor) in self.strangers for tensor in tensors):
            return False
        for position, name in self.recording.lacking:
            if name in own_dict(tensors[position]):
                return False
        for owner in self.recording.unhooked:
            if resolve(owner, tensors)._is_watched():
                return False
        for source, same in self.recording.aliases:
            if array_of(source, tensors) is not array_of(same, tensors):
                return False
        return self.grads_fit(tensors) and self.apart(tensors) and self._attributes_fit(tensors)

    def _attributes_fit(self, tensors: Sequence[Tensor]) -> bool:
        """Attributes that the call assigns hold what they held, but for elements."""
        for number in self.binding.numbers:
            value = number.read()
            if (type(value),) != number.kind:
                return False
            if type(value) is int and not fits(value):
                return False
        for attribute in self.binding.attributes:
            tensor = attribute.read()
            if not isinstance(tensor, Tensor) or signature([tensor]) != attribute.kind:
                return False
            if any(np.may_share_memory(tensor._array, t._array) for t in tensors):
                return False
            if id(_owner(tensor._array)) in self.written_roots:
                return False
        return True

    def _still_structured(self) -> bool:
        if default_float() is not self.default:
            return False
        for tensor, array, kind in self.frozen:
            if tensor._array is not array or signature([tensor]) != kind:
                return False
        if not all(guard.holds() for guard in self.structural):
            return False
        if not self._still_predicted(self.recording.predicates.items()):
            return False
        carried = [g for g in self.structural if (id(g.container), g.key) in CARRIED]
        if carried:  # replays of another function assign these, and do not say so
            self.structural = [g for g in self.structural if g not in carried]
            self.others += carried
        self.structure = VERSIONS.structure
        return True

    def _still_predicted(self, predicates: Iterable[tuple[ScalarSource, bool]]) -> bool:
        """No optimizer number has become zero, or stopped being zero, where code branched on it."""
        try:
            for source, truth in predicates:
                if bool(source.read()) is not truth:
                    return False
            for place, source in self.binding.hypers:
                place[()] = source.read()
        except (KeyError, IndexError, TypeError, ValueError):  # what is there is no number
            return False
        self.hyper = VERSIONS.hyper
        return True

    def grads_fit(self, tensors: Sequence[Tensor]) -> bool:
        for owner in self.recording.grads_absent:
            if resolve(owner, tensors)._grad is not None:
                return False
        for owner, spec in self.grads:
            grad = resolve(owner, tensors)._grad
            if grad is None or grad._array.shape != spec.shape:
                return False
            if grad._array.dtype != spec.dtype.numpy or not grad._array.flags.c_contiguous:
                return False
            if id(_owner(grad._array)) in self.written_roots:
                return False
        return self._grads_apart(tensors)

    def _grads_apart(self, tensors: Sequence[Tensor]) -> bool:
        """No gradient that the step adds to shares memory with another one, or with an input."""
        roots: set[int] = set()
        for owner in self.added_to:
            root = id(_owner(grad_of(owner, tensors)._array))
            if root in roots or root in self.captured_roots:
                return False
            roots.add(root)
        return not roots or not any(id(_owner(t._array)) in roots for t in tensors)

    def apart(self, tensors: Sequence[Tensor]) -> bool:
        """No argument shares memory with what the step writes, or with what it reads if written."""
        if not self.written:
            return True
        roots = self.written_roots
        for tensor in tensors:
            if id(_owner(tensor._array)) in roots:
                return False
        positions = [p for p in self.written if isinstance(p, int)]
        if not positions:
            return True
        grads = (resolve(owner, tensors)._grad for owner, _ in self.grads)
        read = {id(_owner(grad._array)) for grad in grads if grad is not None}
        mine = {id(_owner(tensors[position]._array)) for position in positions}
        apart = mine.isdisjoint(self.captured_roots) and mine.isdisjoint(read)
        return apart and _distinct(tensors, positions)

    # --- replay ---------------------------------------------------------------------------------

    def passed(self, tensors: Sequence[Tensor], numbers: Sequence[float]) -> list[np.ndarray]:
        """The arrays that a run takes: of arguments, attributes, gradients, and numbers."""
        rows = self.binding.passed
        return [passed_array(source, dtype, tensors, numbers) for source, dtype in rows]

    def replay(
        self, tensors: Sequence[Tensor], numbers: Sequence[float]
    ) -> tuple[Stop | None, Any]:
        """Run on new arguments: (None, result), or, with nothing changed, where it stopped."""
        outputs = [np.empty(shape, dtype) for shape, dtype in self.specs]
        undrawn: list[tuple[Any, int]] = []
        runs = self.executable.runs
        try:
            arrays = self.passed(tensors, numbers)
            for generator, drawn in self.recording.draws.values():
                undrawn.append((generator, generator.offset))
                generator.offset += drawn
            if WAITING and self.written:
                self.about_to_run(tensors)
            stopped = self.executable.run(*arrays, *outputs)
            if stopped == DONE:
                return None, self._leave(tensors, outputs)
        except BaseException:
            if self.executable.runs == runs:
                _put_back(undrawn)
            self.recover(tensors, outputs)
            raise
        _put_back(undrawn)
        return self._stop(stopped, outputs), None

    def about_to_run(self, tensors: Sequence[Tensor]) -> None:
        """Have other replays keep what a run writes to."""
        for tensor in _tensors(self.untold, tensors):
            keep_aside(tensor._array)
        for tensor in _tensors(self.versioned, tensors):
            about_to_write(tensor)

    def recover(self, tensors: Sequence[Tensor], outputs: list[np.ndarray]) -> None:
        """After an interrupt: complete a call whose run had ended.

        What Ctrl-C hits is then either a call that has not begun or one that is done, but for its
        Python effects, in which it may fall as in any Python code.
        """
        if self.executable.runs > self.replays:
            self._leave(tensors, outputs)

    def expect_more(self) -> None:
        """This variant is used again and again."""
        if self.usual is None and self.replays == SETTLED:
            self.usual = usual_call(self)

    def _stop(self, check: int, outputs: Sequence[np.ndarray]) -> Stop:
        """What is known of the call after check number `check` has failed."""
        number = self.points.get(check)
        if number is None:
            return Stop(None)
        point = self.recording.points[number]
        if isinstance(point.seen, bool):
            return Stop(number, not point.seen)
        exact = sum(p.value is not None for p in self.recording.points[:number])
        return Stop(number, outputs[self.recording.first_seen + exact].tobytes())

    def continues(self, other: Variant, stop: Stop) -> bool:
        """Whether this variant saw the same as `other` up to where that stopped, and not there."""
        number = stop.point
        assert number is not None
        return (
            len(self.seen) > number
            and self.seen[:number] == other.seen[:number]
            and self.seen[number] != other.seen[number]
        )

    def _leave(self, tensors: Sequence[Tensor], outputs: list[np.ndarray]) -> Any:
        """Put the effects of a finished run in place, and make its result.

        All but `recording.effects` may be done again where an interrupt has cut it short.
        """
        recording = self.recording
        for slot, order in recording.orders.items():
            outputs[slot] = reordered(outputs[slot], order)
        for tensor in _tensors(self.versioned, tensors):
            tensor._version[0] += 1
        node = None if recording.backward is None else recording.backward.node(tensors, outputs)
        results: list[Any] = []
        bases: dict[int, Tensor] = {}
        ends: dict[int, Any] = {}
        for out in recording.outputs:
            if isinstance(out, Fresh):
                results.append(fresh_result(out, outputs, bases, ends, node))
            elif isinstance(out, Existing):
                results.append(existing_result(out, tensors))
            elif isinstance(out, Number):
                results.append(outputs[out.place].item())
            elif isinstance(out, Late):
                results.append(None)  # effects are to come
            else:
                results.append(results[out.place])
        if node is not None:
            node.watch(outputs, [
                (out.place, result)
                for out, result in zip(recording.outputs, results, strict=True)
                if isinstance(out, Fresh) and out.cotangent is not None
            ])
        for owner, place in recording.grads:
            resolve(owner, tensors)._grad = None if place is None else results[place]
        for assignment in recording.assignments:
            assignment.make(results)
        self.replays += 1
        for effect in recording.effects:
            effect(outputs)
        for number, source in self.late:
            results[number] = source.read()
        return unflatten(self.result, iter(results))  # gradients are left over


def _found_again(sources: Iterable[Source]) -> list[Tensor | int | GradOf]:
    """Tensors from outside as what finds them: themselves, positions of arguments, `.grad`s."""
    table: list[Tensor | int | GradOf] = []
    for source in sources:
        if isinstance(source, Captured):
            table.append(source.tensor)
        elif isinstance(source, Argument):
            table.append(source.position)
        elif isinstance(source, GradOf):
            table.append(source)
    return table


def _tensors(
    targets: Iterable[Tensor | int | GradOf], arguments: Sequence[Tensor]
) -> Iterator[Tensor]:
    """The tensors that `_found_again` has made a table of."""
    for target in targets:
        if isinstance(target, Tensor):
            yield target
        elif isinstance(target, int):
            yield arguments[target]
        else:
            yield grad_of(target, arguments)


def _pinned(reached: dict[int, Tensor], tensors: Sequence[Tensor]) -> list[tuple[Tensor, int]]:
    """Arguments that the function could also reach by other ways, which were not told apart."""
    arrays = {id(t._array) for t in reached.values()}
    return [(t, i) for i, t in enumerate(tensors) if id(t._array) in arrays]


def _tells_same(guards: Sequence[AnyGuard]) -> bool:
    """Whether any code that was reached asks if a thing is another one."""
    codes = [code for g in guards if isinstance(g, CodeGuard) for _, code in g.codes]
    return any(map(tells_same, codes))


def _put_back(undrawn: list[tuple[Any, int]]) -> None:
    """Move generators back to where they were before a call that did not take place."""
    for generator, offset in undrawn:
        generator.offset = offset


def _hooks(tensor: Tensor) -> tuple[Any, ...]:
    """The functions that see the gradient of a leaf."""
    return tuple(tensor._hooks or ())


def _owner(array: np.ndarray) -> Any:
    """The object whose memory `array` looks into."""
    base = array.base
    return array if base is None else base


def _distinct(tensors: Sequence[Tensor], written: Sequence[int]) -> bool:
    """No two of the arguments overlap, except as the same array."""
    for i in written:
        for j, other in enumerate(tensors):
            mine = tensors[i]._array
            if j != i and other._array is not mine and np.may_share_memory(mine, other._array):
                return False
    return True
