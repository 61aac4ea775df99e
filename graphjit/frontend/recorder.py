"""The recorder: while a traced function runs eagerly, it writes down the graph of what ran.

Storage is followed by array: every array seen is a root, or a view (a chain of view ops) of one. A
write through a view becomes a new value of its root, so the graph stays pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..errors import Location, TraceRefused, user_location
from ..ir.graph import Builder, Graph, Value
from ..ops.core import OPS, Namespace, Op
from .dispatch import scatter_views, spec_of
from .symnumber import SymNumber
from .tape import sequence as tape_sequence

if TYPE_CHECKING:
    from .tensor import Tensor

UNDIFFERENTIATED = "a result that requires grad leaves the traced function undifferentiated"

Chain = tuple[tuple[Op, dict[str, Any]], ...]


class ScalarSource(Protocol):
    """Something read at each call, as a Python number. Equal sources are one input."""

    def read(self) -> float: ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class Argument:
    """Input: the tensor at a position among the call's flattened arguments."""

    position: int


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """Input: a tensor from outside that the function reached, the same at every call."""

    tensor: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class GradOf:
    """Input: the `.grad` that a captured tensor, or the argument at a position, has at first."""

    owner: Tensor | int


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """Input: a number read at each call, as a 0-d tensor."""

    source: ScalarSource


@dataclass(frozen=True, slots=True, eq=False)
class FloatArgument:
    """Input: the float at a position among those of the call, as a 0-d float64 tensor."""

    position: int


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """Input: an array that is the same at every call."""

    array: np.ndarray


Source = Argument | Captured | GradOf | Scalar | FloatArgument | Constant
#: inputs that are no tensors of the user's
NUMBERS = (Scalar, FloatArgument, Constant)


@dataclass(frozen=True, slots=True)
class GuardPoint:
    """Where Python saw a value: `seen` is a truth, or the bytes of the exact elements.

    The graph's check number `check` holds while a replay computes what was seen. `value` is what
    was looked at, where it was more than its truth.
    """

    check: int
    seen: bool | bytes
    value: Value | None
    where: Location | None

    def describe(self) -> str:
        """The user's line, and what was seen there."""
        line = self.where.describe() if self.where else "somewhere"
        return f"{line} saw {self.seen if isinstance(self.seen, bool) else 'an exact value'}"


@dataclass(slots=True, eq=False)
class Root:
    """The storage behind an array: its value now, and where it came from if from outside."""

    value: Value
    array: np.ndarray
    source: Source | None = None
    initial: Value | None = None
    version: int = 0

    @property
    def root(self) -> Root:
        return self

    @property
    def chain(self) -> Chain:
        return ()

    @property
    def written(self) -> bool:
        return self.source is not None and self.value is not self.initial


@dataclass(slots=True, eq=False)
class Window:
    """A view of a root, with its value as of the root's `version`."""

    root: Root
    chain: Chain
    array: np.ndarray
    value: Value
    version: int


@dataclass(slots=True)
class Draw:
    """A number handed to a random op: the generator's seed, or its offset plus `delta`."""

    generator: Any
    delta: int | None

    def read(self) -> float:
        base: int = self.generator.seed_value if self.delta is None else self.generator.offset
        return base + (self.delta or 0)

    def __hash__(self) -> int:
        return hash((id(self.generator), self.delta))


@dataclass(slots=True)
class Recording:
    """What a finished recording hands to the compiler and to the replay.

    `outputs` are the results, then gradients, to which `grads` points.
    `orders` has the dimensions from the outermost, for values that do not lie in C order.
    """

    graph: Graph
    strides: list[tuple[int, ...]]
    sources: list[Source]
    written: list[Source]
    outputs: list[Output]
    orders: dict[int, tuple[int, ...]]
    grads: list[tuple[Tensor | int, int | None]]
    draws: dict[int, tuple[Any, int]]
    effects: list[Callable[[], None]]
    predicates: dict[ScalarSource, bool]
    grads_absent: list[Tensor | int]
    points: list[GuardPoint]


class Recorder:
    """Records one call. `refusal` is the first reason why the recording cannot be replayed."""

    def __init__(self, arguments: Iterable[Tensor]) -> None:
        self.builder = Builder()
        self.refusal: str | None = None
        self.checks: list[Value] = []
        self.entries: dict[int, Root | Window] = {}
        self.inputs: list[Root] = []
        self.scalars: dict[ScalarSource, Tensor] = {}
        self.predicates: dict[ScalarSource, bool] = {}
        self.grads: dict[int, tuple[Tensor, Tensor | None]] = {}
        self.grads_absent: list[Tensor] = []
        self.grads_written: set[int] = set()
        self.draws: dict[int, tuple[Any, int]] = {}
        self.effects: list[Callable[[], None]] = []
        self.points: list[GuardPoint] = []
        #: values whose truth, and whose elements, are guarded
        self.known_truths: set[Value] = set()
        self.known_elements: set[Value] = set()
        #: numbers handed to Python that stay symbolic; `exact` where they may not
        self.symbols: list[SymNumber] = []
        self.exact = False
        #: tensors made by the call, by id
        self.own: dict[int, Tensor] = {}
        self.namespace = Namespace(self._bind)
        self.first_node = next(tape_sequence)
        self.positions: dict[int, int] = {}
        self.tapes: list[tuple[Tensor, Any]] = []
        for position, tensor in enumerate(arguments):
            self.positions[id(tensor)] = position
            self.tapes.append((tensor, tensor._grad_fn))
            if id(tensor._array) not in self.entries:
                self._input(tensor._array, Argument(position))

    def refuse(self, reason: str) -> None:
        """The call goes on eagerly, and later ones stay eager; the first reason is kept."""
        if self.refusal is None:
            where = user_location()
            self.refusal = f"{reason} ({where.describe()})" if where else reason

    # --- values -----------------------------------------------------------------------------

    def _input(self, array: np.ndarray, source: Source) -> Root:
        value = Value(spec_of(array))
        root = Root(value, array, source, value)
        self.inputs.append(root)
        self.entries[id(array)] = root
        return root

    def entry(self, tensor: Tensor) -> Root | Window:
        """What is known of a tensor's array; a tensor never seen is captured from outside."""
        found = self.entries.get(id(tensor._array))
        if found is None:
            self.tapes.append((tensor, tensor._grad_fn))
            found = self._input(tensor._array, Captured(tensor))
        return found

    def read(self, tensor: Tensor) -> Value:
        """The value that `tensor` has now."""
        entry = self.entry(tensor)
        if isinstance(entry, Window) and entry.version != entry.root.version:
            value: Any = entry.root.value
            for op, attrs in entry.chain:
                value = self.builder.add(op, (value,), attrs, user_location())[0]
            entry.value, entry.version = value, entry.root.version
        return entry.value

    def _operand(self, x: Any) -> Value:
        if hasattr(x, "_array"):
            return self.read(x)
        scalar = np.asarray(x)
        attrs = {"value": scalar.item(), "dtype": dtypes.from_numpy(scalar.dtype)}
        return self.builder.add(OPS["constant"], (), attrs)[0]

    # --- what dispatch tells ----------------------------------------------------------------

    def record(
        self, op: Op, inputs: Sequence[Any], outputs: Sequence[Tensor], attrs: dict[str, Any]
    ) -> None:
        """`op(*inputs, **attrs)` has run and given `outputs`."""
        if self.refusal is not None:
            return
        try:
            operands = [self._operand(x) for x in inputs]
            values = self.builder.add(op, operands, attrs, user_location())
        except Exception as error:  # noqa: BLE001  (the eager result stands; only the trace ends)
            self.refuse(f"{op.name} cannot be recorded: {error}")
            return
        if op.checks is not None:
            for condition in op.checks(self.namespace, *operands, **attrs):
                self._check(condition)
        for tensor, value in zip(outputs, values, strict=True):
            if value.spec != spec_of(tensor):
                self.refuse(f"{op.name} gave {spec_of(tensor)} where {value.spec} was inferred")
                return
            self._output(op, inputs, tensor, value, attrs)

    def _output(
        self, op: Op, inputs: Sequence[Any], tensor: Tensor, value: Value, attrs: dict[str, Any]
    ) -> None:
        array = tensor._array
        self.own[id(tensor)] = tensor
        if tensor._view is None:
            self.entries[id(array)] = Root(value, array)
            return
        parent = self.entry(inputs[0])
        if id(array) in self.entries:
            return
        link = (tensor._view.chain[-1][0], tensor._view.chain[-1][1])
        chain = (*parent.chain, link)
        self.entries[id(array)] = Window(parent.root, chain, array, value, parent.root.version)

    def write(self, target: Tensor, value: Tensor) -> None:
        """`target`'s elements have been replaced by those of `value`."""
        if self.refusal is not None:
            return
        entry, new = self.entry(target), self.read(value)
        root = entry.root
        if isinstance(entry, Window):
            try:
                root.value = scatter_views(root.value, entry.chain, new, self.namespace)
            except Exception as error:  # noqa: BLE001  (the eager write stands)
                self.refuse(f"a write through a view cannot be recorded: {error}")
                return
        else:
            root.value = new
        root.version += 1
        entry.value, entry.version = new, root.version

    def _bind(self, op: Op) -> Callable[..., Any]:
        def call(*values: Any, **attrs: Any) -> Any:
            operands = [v if isinstance(v, Value) else self._operand(v) for v in values]
            results = self.builder.add(op, operands, attrs, user_location())
            return results[0] if op.n_outputs == 1 else results

        return call

    # --- what Python sees -------------------------------------------------------------------

    def require(self, condition: Tensor) -> None:
        """A replay goes on only where all of `condition` is true."""
        if self.refusal is None:
            self._check(self.read(condition))

    def _check(self, condition: Value) -> None:
        self.checks.append(self.namespace.all(condition, dims=tuple(range(condition.ndim))))

    def guard_truth(self, tensor: Tensor, truth: bool) -> None:
        """A replay goes on only where the only element of `tensor` has this truth."""
        if self.refusal is not None:
            return
        F, value = self.namespace, self.read(tensor)
        if value in self.known_truths or value in self.known_elements:
            return
        self.known_truths.add(value)
        condition = F.cast(value, dtype=dtypes.bool_)
        self._check(condition if truth else F.logical_not(condition))
        self.points.append(GuardPoint(len(self.checks) - 1, truth, None, user_location()))

    def guard_elements(self, tensor: Tensor) -> None:
        """A replay goes on only where `tensor` has the very elements that it has now."""
        if self.refusal is not None or not tensor._array.size:
            return
        if tensor._array.dtype.kind == "c":
            self.refuse("the values of a complex tensor are shown to Python")
            return
        value = self.read(tensor)
        if value in self.known_elements:
            return
        self.known_elements.add(value)
        seen = np.array(tensor._array, order="C")
        expected = self._input(seen, Constant(seen)).value
        self._check(_identical(self.namespace, value, expected, seen))
        point = GuardPoint(len(self.checks) - 1, seen.tobytes(), value, user_location())
        self.points.append(point)

    def number(self, tensor: Tensor) -> Any:
        """The only element of `tensor`, as a number whose uses are recorded."""
        if self.exact or self.refusal is not None:
            self.guard_elements(tensor)
            return tensor._array.item()
        from .tape import TENSORS

        whole = tensor._array.dtype.kind in "iu"
        element = TENSORS.reshape(tensor.detach(), shape=())
        place = TENSORS.cast(element, dtype=dtypes.int64 if whole else dtypes.float64)
        return SymNumber(place._array.item(), place, self)

    def float_argument(self, value: float, position: int) -> Any:
        """A float that the function was called with, as a number whose uses are recorded."""
        from .tensor import Tensor

        place = Tensor._of(np.asarray(value))
        self._input(place._array, FloatArgument(position))
        return SymNumber(value, place, self)

    # --- numbers read at each call ------------------------------------------------------------

    def scalar(self, source: ScalarSource, dtype: DType = dtypes.float64) -> Tensor:
        """A 0-d tensor holding `source.read()`, read anew at each replay."""
        known = self.scalars.get(source)
        if known is None:
            from .tensor import Tensor

            known = Tensor._of(np.asarray(source.read(), dtype.numpy))
            self._input(known._array, Scalar(source))
            self.scalars[source] = known
        return known

    def guard_predicate(self, source: ScalarSource) -> bool:
        """Whether `source` is nonzero; a replay holds only while that stays so."""
        truth = bool(source.read())
        self.predicates[source] = truth
        return truth

    def draw(self, generator: Any, n: int) -> tuple[Tensor, Tensor]:
        """Seed and offset of a draw that moves the generator on by `n`, as 0-d int64 tensors."""
        if self.refusal is not None:
            from .tensor import Tensor

            now = (np.asarray(generator.seed_value), np.asarray(generator.offset))
            generator.offset += n
            return Tensor._of(now[0]), Tensor._of(now[1])
        _, drawn = self.draws.get(id(generator), (generator, 0))
        self.draws[id(generator)] = (generator, drawn + n)
        base = generator.offset - drawn
        seed = self.scalar(Draw(generator, None), dtypes.int64)
        offset = self.scalar(Draw(generator, drawn), dtypes.int64)
        offset._array[()] = base + drawn
        generator.offset += n
        return seed, offset

    def effect(self, action: Callable[[], None]) -> None:
        """Run Python code now, and again after each replay."""
        self.effects.append(action)

    def hooks(self) -> list[Callable[..., Any]]:
        """What backward may have called for the tensors from outside."""
        return [hook for tensor, _ in self.tapes for hook in tensor._hooks or ()]

    # --- gradients held by tensors --------------------------------------------------------------

    def read_grad(self, tensor: Tensor) -> Tensor | None:
        """`tensor.grad` is being looked at."""
        if id(tensor) not in self.grads and id(tensor) not in self.own:
            grad = tensor._grad
            self.grads[id(tensor)] = (tensor, grad)
            if grad is None:
                self.grads_absent.append(tensor)
            elif id(grad._array) not in self.entries:
                self._input(grad._array, GradOf(self._owner(tensor)))
        return tensor._grad

    def write_grad(self, tensor: Tensor) -> None:
        """`tensor.grad` is about to be assigned."""
        if id(tensor) in self.own:
            return
        self.grads_written.add(id(tensor))
        self.grads.setdefault(id(tensor), (tensor, tensor._grad))

    def _owner(self, tensor: Tensor) -> Tensor | int:
        return self.positions.get(id(tensor), tensor)

    # --- the end --------------------------------------------------------------------------------

    def finish(self, results: Sequence[Tensor | SymNumber]) -> Recording:
        """Close the graph over the returned tensors. TraceRefused if it could not be replayed."""
        everything: list[Any] = list(results)
        if any(id(t) in self.own and t._grad is not None for t in everything):
            self.refuse("a result has a .grad")
        grads: list[tuple[Tensor | int, int | None]] = []
        for owner, before in self.grads.values():
            if owner._grad is not before or id(owner) in self.grads_written:
                place = None if owner._grad is None else len(everything)
                grads.append((self._owner(owner), place))
                everything += [] if owner._grad is None else [owner._grad]
        values: list[Value] = []
        orders: dict[int, tuple[int, ...]] = {}
        outputs = self._results(everything, values, orders)
        values += [point.value for point in self.points if point.value is not None]
        self._check_overlap()
        if any(tensor._grad_fn is not before for tensor, before in self.tapes):
            self.refuse("a tensor from outside was changed in place by an op that the tape follows")
        if self.refusal is not None:
            raise TraceRefused(self.refusal)
        written = [root for root in self.inputs if root.written]
        graph = Graph(
            tuple(root.initial for root in self.inputs if root.initial is not None),
            tuple(self.builder.nodes),
            tuple(values),
            tuple((root.initial, root.value) for root in written if root.initial is not None),
            checks=tuple(self.checks),
        )
        return Recording(
            graph,
            [_element_strides(root.array) for root in self.inputs],
            [root.source for root in self.inputs if root.source is not None],
            [root.source for root in written if root.source is not None],
            outputs,
            orders,
            grads,
            self.draws,
            self.effects,
            self.predicates,
            [self._owner(tensor) for tensor in self.grads_absent],
            self.points,
        )

    def _results(
        self, results: Sequence[Any], values: list[Value], orders: dict[int, Any]
    ) -> list[Output]:
        """How each returned tensor is made at each replay; `values` are what is to be computed."""
        found: list[Output] = []
        first: dict[int, int] = {}
        places: dict[Root, int] = {}
        places_of_numbers = [type(x) is SymNumber for x in results]
        results = [x.tensor if type(x) is SymNumber else x for x in results]
        entries = [self.entry(tensor) for tensor in results]
        owners = Counter(entry.root for entry in entries)
        for number, (tensor, entry) in enumerate(zip(results, entries, strict=True)):
            if places_of_numbers[number]:
                found.append(Number(len(values)))
                values.append(self.read(tensor))
                continue
            if tensor._requires_grad and tensor._grad_fn is not None and not _released(tensor):
                self.refuse(UNDIFFERENTIATED)
            known = first.setdefault(id(tensor), number)
            source = entry.root.source
            if known < number:
                found.append(Again(known))
            elif source is not None and not isinstance(source, NUMBERS):
                found.append(self._existing(tensor, source, entry.chain))
            elif owners[entry.root] == 1 and tensor._array.flags.c_contiguous:
                found.append(Fresh(len(values), None, tensor))
                values.append(self.read(tensor))
            else:
                place = places.setdefault(entry.root, len(values))
                found.append(Fresh(place, entry.chain, tensor))
                values += [entry.root.value] if place == len(values) else []
                order = _order(entry.root.array)
                if order is not None:
                    orders[place] = order
        return found

    def _existing(self, tensor: Tensor, source: Source, chain: Chain) -> Existing:
        position = self.positions.get(id(tensor))
        if position is not None:
            return Existing(Argument(position), (), tensor, True)
        if isinstance(source, GradOf):
            owner = self.tapes[source.owner][0] if isinstance(source.owner, int) else source.owner
            return Existing(source, chain, tensor, self.grads[id(owner)][1] is tensor)
        same = isinstance(source, Captured) and source.tensor is tensor
        return Existing(source, chain, tensor, same)

    def _check_overlap(self) -> None:
        """A written input must not share memory with another one."""
        arrays = [root.array for root in self.inputs]
        for root in self.inputs:
            if root.written and _overlaps_itself(root.array):
                self.refuse("a tensor written in the step has elements that share memory")
            if root.written and any(
                other is not root.array and np.may_share_memory(root.array, other)
                for other in arrays
            ):
                self.refuse("a tensor written in the step shares memory with another one it uses")


@dataclass(frozen=True, slots=True)
class Fresh:
    """A returned tensor that the call computes as the graph's output number `place`.

    `chain` has views to be taken of it, if other results share its storage; then all of them are
    views of one tensor. `like` is the tensor that the recording returned.
    """

    place: int
    chain: Chain | None
    like: Tensor


@dataclass(frozen=True, slots=True)
class Existing:
    """A returned tensor that is an input (the `same` object), or a view of one."""

    source: Source
    chain: Chain
    like: Tensor
    same: bool

    @property
    def detached(self) -> bool:
        """Whether writing to it is no matter of the tape of the tensor that it looks into."""
        return self.like._view is None or not self.like._view.differentiable


@dataclass(frozen=True, slots=True)
class Again:
    """The very tensor that is an earlier result too."""

    place: int


@dataclass(frozen=True, slots=True)
class Number:
    """A returned Python number: the element of the graph's output number `place`."""

    place: int


Output = Fresh | Existing | Again | Number


def _identical(F: Namespace, value: Value, expected: Value, seen: np.ndarray) -> Value:
    """Where `value` is `expected`, whose elements are `seen`: zeros by sign, NaN as NaN."""
    same = F.eq(value, expected)
    if seen.dtype.kind == "f":
        if not seen.all():  # reciprocals tell the zeros apart
            signs = F.eq(F.reciprocal(value), F.reciprocal(expected))
            same = F.logical_and(same, signs)
        if np.isnan(seen).any():
            same = F.logical_or(same, F.logical_and(F.isnan(value), F.isnan(expected)))
    result: Value = same
    return result


def _element_strides(array: np.ndarray) -> tuple[int, ...]:
    """Strides in elements. TraceRefused where an element does not start at a multiple of them."""
    if any(stride % array.itemsize for stride in array.strides) or not array.flags.aligned:
        raise TraceRefused("an array whose strides are no multiples of its element size")
    return tuple(stride // array.itemsize for stride in array.strides)


def _overlaps_itself(array: np.ndarray) -> bool:
    steps = zip(array.strides, array.shape, strict=True)
    return array.size > 0 and any(step == 0 and extent > 1 for step, extent in steps)


def _order(array: np.ndarray) -> tuple[int, ...] | None:
    """Dimensions from the outermost, where `array` fills its memory in another order than C's."""
    order = tuple(np.argsort([-stride for stride in array.strides], kind="stable").tolist())
    if array.flags.c_contiguous or not array.transpose(order).flags.c_contiguous:
        return None
    return order


def _released(tensor: Tensor) -> bool:
    """Whether the tape behind `tensor` has been used up by a backward."""
    node = tensor._grad_fn
    return node is not None and node.saved is None


__all__ = [
    "Again", "Argument", "Captured", "Constant", "Existing", "FloatArgument", "Fresh", "GradOf",
    "GuardPoint", "Number", "Recorder", "Recording", "Scalar", "ScalarSource", "Source",
]
