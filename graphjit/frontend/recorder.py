"""The recorder: while a traced function runs eagerly, it writes down the graph of what ran.

Storage is followed by array: every array seen is a root, or a view (a chain of view ops) of one. A
write through a view becomes a new value of its root, so the graph stays pure.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary, ref

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..errors import user_location
from ..ir.graph import Builder, Node, Value
from ..ops.core import OPS, Namespace, Op
from .call import fits
from .dispatch import scatter_views, spec_of
from .mode import MODE
from .plain import own_dict
from .recording import (
    Argument,
    AttributeNumber,
    AttributeTensor,
    Captured,
    Chain,
    Constant,
    Draw,
    GradOf,
    GuardPoint,
    Late,
    NumberArgument,
    Scalar,
    ScalarSource,
    Source,
    memory_order,
)
from .symnumber import SymNumber
from .tape import sequence as tape_sequence

if TYPE_CHECKING:
    from .tensor import Tensor

@dataclass(slots=True, eq=False)
class Root:
    """The storage behind an array: its value now, and where it came from if from outside.

    `order` is that of the dimensions in memory, unless it is C's.
    """

    value: Value
    order: tuple[int, ...] | None
    source: Source | None = None
    initial: Value | None = None
    version: int = 0
    #: if from outside: by id of the version counters that moved, a tensor that was written to
    moved: dict[int, Tensor] = field(default_factory=dict)

    @property
    def root(self) -> Root:
        return self

    @property
    def chain(self) -> Chain:
        return ()

    @property
    def written(self) -> bool:
        return self.source is not None and self.value is not self.initial


@dataclass(slots=True, eq=False, kw_only=True)
class Input(Root):
    """The storage behind an array from outside."""

    array: np.ndarray


@dataclass(slots=True, eq=False)
class Window:
    """A view of a root, with its value as of the root's `version`."""

    root: Root
    chain: Chain
    value: Value
    version: int


Effect = Callable[[Sequence[np.ndarray]], None]


class Recorder:
    """Records one call. `refusal` is the first reason why the recording cannot be replayed."""

    def __init__(self, arguments: Iterable[Tensor]) -> None:
        self.builder = Builder()
        self.refusal: str | None = None
        self.checks: list[Value] = []
        #: what is known of arrays, by id; those made by the call are dropped when they are
        self.entries: dict[int, Root | Window] = {}
        self.alive: dict[int, ref[np.ndarray]] = {}
        self.inputs: list[Input] = []
        self.scalars: dict[ScalarSource, Tensor] = {}
        self.predicates: dict[ScalarSource, bool] = {}
        self.grads: dict[int, tuple[Tensor, Tensor | None]] = {}
        self.grads_absent: list[Tensor] = []
        self.grads_written: set[int] = set()
        #: inputs that were one array, though another call may find two
        self.aliases: list[tuple[Source, Source]] = []
        self.draws: dict[int, tuple[Any, int]] = {}
        self.effects: list[Effect] = []
        #: grows when the call changes anything but what it computes
        self.changes = 0
        #: values that effects are told, with the places of outputs to be filled in
        self.told: list[tuple[list[Value], list[int]]] = []
        self.told_functions: list[Any] = []
        self.numbers_change = False
        self.points: list[GuardPoint] = []
        #: values whose truth, and whose elements, are guarded
        self.known_truths: set[Value] = set()
        self.known_elements: set[Value] = set()
        #: numbers handed to Python that stay symbolic; `exact` where they may not
        self.symbols: list[SymNumber] = []
        self.exact = False
        #: whether an error has been raised about one of them
        self.told_apart = False
        #: versions of what the call has reached through `.data`, by id
        self.data_versions: dict[int, list[int]] = {}
        #: tensors made by the call, by id
        self.own: WeakValueDictionary[int, Tensor] = WeakValueDictionary()
        #: modules made by the call, by id
        self.modules: dict[int, Any] = {}
        #: for each node recorded under gradients, which operands the tape follows
        self.followed: dict[Node, tuple[bool, ...]] = {}
        #: attributes that the call has assigned, by (id of the module or plain object, name)
        self.assigned: dict[tuple[int, str], Any] = {}
        self.carried: dict[tuple[int, str], SymNumber] = {}
        #: floats that the call has put into parameter groups, by (id of the group, key)
        self.entered: dict[tuple[int, str], tuple[Any, Any]] = {}
        self.found: dict[AttributeTensor, Tensor] = {}
        self.namespace = Namespace(self._bind)
        self.first_node = next(tape_sequence)
        self.positions: dict[int, int] = {}
        self.tapes: list[tuple[Tensor, Any]] = []
        #: attributes that arguments, by position, were found not to have
        self.lacking: set[tuple[int, str]] = set()
        #: tensors, no leaves, at which a backward ended: hooks there would have been called
        self.unhooked: list[Tensor | int] = []
        #: whether there was a backward
        self.walks_back = False
        self.arguments = tuple(arguments)
        self._add_arguments()

    def _add_arguments(self) -> None:
        for position, tensor in enumerate(self.arguments):
            self.positions[id(tensor)] = position
            self.tapes.append((tensor, tensor._grad_fn))
            if id(tensor._array) not in self.entries:
                self.add_input(tensor._array, Argument(position))

    def refuse(self, reason: str) -> None:
        """The call goes on eagerly, and later ones stay eager; the first reason is kept."""
        if self.refusal is None:
            where = user_location()
            self.refusal = f"{reason} ({where.describe()})" if where else reason

    # --- values -----------------------------------------------------------------------------

    def add_input(self, array: np.ndarray, source: Source) -> Input:
        """Another input of the graph, whose array in this call is `array`."""
        value = Value(spec_of(array))
        order = memory_order(array)
        root = Input(value=value, order=order, source=source, initial=value, array=array)
        self.inputs.append(root)
        self.entries[id(array)] = root
        return root

    def entry(self, tensor: Tensor) -> Root | Window:
        """What is known of a tensor's array; a tensor never seen is captured from outside."""
        found = self.entries.get(id(tensor._array))
        if found is None:
            self.tapes.append((tensor, tensor._grad_fn))
            found = self.add_input(tensor._array, Captured(tensor))
        return found

    def alias(self, array: np.ndarray, source: Source) -> None:
        """What `source` finds is the input `array`, which was found elsewhere first."""
        found = self.entries[id(array)].root.source
        if isinstance(found, (Argument, Captured, GradOf)):
            self.aliases.append((found, source))
        else:
            self.refuse("a tensor that the step exchanges is used as another one too")

    def made(self, tensor: Tensor) -> bool:
        """Whether the traced function itself has made `tensor`."""
        return id(tensor) in self.own

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
        self.followed[self.builder.nodes[-1]] = tuple(
            MODE.grad and hasattr(x, "_array") and x._tracked() for x in inputs
        )
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
        if id(array) in self.entries:  # an op that had nothing to do returned its operand's
            return
        if tensor._view is None:
            # An op that had nothing to do may give back its operand's array.
            if not any(getattr(x, "_array", None) is array for x in inputs):
                self._follow(array, Root(value, memory_order(array)))
            return
        parent = self.entry(inputs[0])
        link = (tensor._view.chain[-1][0], tensor._view.chain[-1][1])
        chain = (*parent.chain, link)
        self._follow(array, Window(parent.root, chain, value, parent.root.version))

    def _follow(self, array: np.ndarray, entry: Root | Window) -> None:
        """Know an array by `entry` for as long as it lives: recording keeps no memory in use."""
        number = id(array)

        def forget(_: Any) -> None:
            del self.entries[number], self.alive[number]

        self.entries[number] = entry
        self.alive[number] = ref(array, forget)

    def copied(self, source: Tensor, copy: Tensor) -> None:
        """`copy` is another tensor of the elements that `source` has now."""
        if self.refusal is None:
            self.own[id(copy)] = copy
            self._follow(copy._array, Root(self.read(source), memory_order(copy._array)))

    def write(self, target: Tensor, value: Tensor) -> None:
        """`target`'s elements have been replaced by those of `value`."""
        self.changes += 1
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
        if root.source is not None and id(target._version) not in self.data_versions:
            root.moved[id(target._version)] = target
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
        expected = self.add_input(seen, Constant(seen)).value
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

    def number_argument(self, value: float, position: int) -> Any:
        """A number that the function was called with, as one whose uses are recorded."""
        from .tensor import Tensor

        place = Tensor._of(np.asarray(value))
        self.add_input(place._array, NumberArgument(position))
        return SymNumber(value, place, self)

    # --- numbers read at each call ------------------------------------------------------------

    def scalar(self, source: ScalarSource, dtype: DType = dtypes.float64) -> Tensor:
        """A 0-d tensor holding `source.read()`, read anew at each replay."""
        known = self.scalars.get(source)
        if known is None:
            from .tensor import Tensor

            known = Tensor._of(np.asarray(source.read(), dtype.numpy))
            self.add_input(known._array, Scalar(source))
            self.scalars[source] = known
        return known

    def python_float(self, source: ScalarSource, value: float) -> Any:
        """A float that Python finds where `source` reads it, as a number whose uses are recorded;

        as it is where that may not be.
        """
        if self.refusal is not None:
            return value
        if not self.numbers_change:
            place = self.scalar(source)
        else:
            from .tensor import Tensor

            place = Tensor._of(np.asarray(value))
            self.add_input(place._array, Late(source, len(self.effects)))
        number = SymNumber(value, place, self)
        return number.plain() if self.exact else number

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

    def drawn(self, generator: Any) -> int:
        """By how much this call has moved a generator on so far."""
        drawn: int = self.draws.get(id(generator), (generator, 0))[1]
        return drawn

    def rewind(self, generator: Any, drawn: int) -> None:
        """The generator has been put back to where this call had moved it on by `drawn`."""
        self.draws[id(generator)] = (generator, drawn)

    def effect(self, action: Callable[[], None]) -> None:
        """Run Python code that changes numbers now, and again after each replay."""
        self.changes += 1
        self.numbers_change = True
        self.effects.append(lambda outputs: action())

    def tell(self, run: Callable[[list[Any]], None], function: Any, leaves: list[Any]) -> None:
        """After each replay, call `run` with what `leaves` are then: tensors and numbers.

        `function` is the user's, which `run` calls.
        """
        self.changes += 1
        if self.refusal is not None:
            return
        tensors: list[Any] = [x.tensor if type(x) is SymNumber else x for x in leaves]
        values = [self.read(tensor) for tensor in tensors]
        numbers = [type(x) is SymNumber for x in leaves]
        places: list[int] = []

        def effect(outputs: Sequence[np.ndarray]) -> None:
            from .tensor import Tensor

            arrays = [outputs[place] for place in places]
            run([
                array.item() if number else Tensor._of(array)
                for array, number in zip(arrays, numbers, strict=True)
            ])

        self.told.append((values, places))
        self.told_functions.append(function)
        self.effects.append(effect)

    def hooks(self) -> list[Callable[..., Any]]:
        """What backward may have called for the tensors from outside."""
        return [hook for tensor, _ in self.tapes for hook in tensor._hooks or ()]

    def ends_at(self, tensor: Tensor) -> None:
        """A backward of the call gives the gradient of `tensor`, which may be from outside."""
        node = tensor._grad_fn
        if node is not None and node.sequence < self.first_node:
            self.unhooked.append(self.owner(tensor))
            if tensor._is_watched():
                self.refuse("a hook on a tensor from outside, no leaf, sees a backward of the call")

    # --- attributes of modules and plain objects --------------------------------------------------

    def assign(self, owner: Any, name: str, value: Any) -> bool:
        """`owner.name = value` is about to happen; whether a replay can do it too."""
        kinds = (int, float, bool, str, type(None))
        is_plain = type(value) in kinds or type(value) is SymNumber
        if self.refusal is not None or not (is_plain or hasattr(value, "_array")):
            return False
        if name not in own_dict(owner):
            return False
        self.changes += 1
        self.assigned[id(owner), name] = owner
        return True

    def attribute(self, owner: Any, name: str, value: Any) -> Any:
        """`value`, found in an attribute that replays assign; a number stays symbolic."""
        key = (id(owner), name)
        if type(value) not in (int, float) or self.exact or self.refusal is not None:
            return value
        if type(value) is int and not fits(value):
            return value
        if key not in self.carried:
            from .tensor import Tensor

            place = Tensor._of(np.asarray(value))
            self.add_input(place._array, AttributeNumber(owner, name, (type(value),)))
            self.carried[key] = SymNumber(value, place, self)
        return self.carried[key]

    def carry(self, owner: Any, name: str, tensor: Tensor, kind: Hashable) -> bool:
        """Read `owner.name`, where `tensor` was found, anew at each replay; whether that can be."""
        root = self.entry(tensor)
        if not isinstance(root, Root) or tensor._tracked() or tensor._hooks or root.written:
            return False
        if not isinstance(root.source, Captured) or root.source.tensor is not tensor:
            return False
        root.source = AttributeTensor(owner, name, kind)
        self.found[root.source] = tensor
        return True

    # --- gradients held by tensors --------------------------------------------------------------

    def read_grad(self, tensor: Tensor) -> Tensor | None:
        """`tensor.grad` is being looked at."""
        if id(tensor) not in self.grads and not self.made(tensor):
            grad = tensor._grad
            self.grads[id(tensor)] = (tensor, grad)
            if grad is None:
                self.grads_absent.append(tensor)
            elif id(grad._array) not in self.entries:
                self.add_input(grad._array, GradOf(self.owner(tensor)))
            else:
                self.alias(grad._array, GradOf(self.owner(tensor)))
        return tensor._grad

    def write_grad(self, tensor: Tensor) -> None:
        """`tensor.grad` is about to be assigned."""
        if self.made(tensor):
            return
        self.changes += 1
        self.grads_written.add(id(tensor))
        self.grads.setdefault(id(tensor), (tensor, tensor._grad))

    def lacks(self, tensor: Tensor, name: str) -> None:
        """`tensor` is an argument, and has no attribute `name`."""
        same = [place for place, given in enumerate(self.arguments) if given is tensor]
        self.lacking.update((place, name) for place in same)

    def met(self) -> Iterator[Tensor]:
        """The tensors from outside that the call has used, and their gradients."""
        known = [tensor for tensor, _ in self.tapes]
        for owner, grad in self.grads.values():
            known += [owner] if grad is None else [owner, grad]
        return (tensor for tensor in known if not self.made(tensor))

    def owner(self, tensor: Tensor) -> Tensor | int:
        """How a replay finds a tensor from outside: by itself, or by its place in the call."""
        return self.positions.get(id(tensor), tensor)


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
