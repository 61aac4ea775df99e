"""What a finished recording consists of: where inputs come from, and what becomes of results.

The recorder makes it; the compiler gets its graph, and a variant replays the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import Location, TraceRefused
from ..ir.graph import Graph, Value
from ..ops.core import Op

if TYPE_CHECKING:
    from .tensor import Tensor
    from .traced_node import Differentiated

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
class Late:
    """No input, but a float of Python's that the first `effects` effects change: a result alone."""

    source: ScalarSource
    effects: int


@dataclass(frozen=True, slots=True, eq=False)
class NumberArgument:
    """Input: the number at a position among those of the call, as a 0-d float64 or int64 tensor."""

    position: int


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """Input: an array that is the same at every call."""

    array: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Cotangent:
    """Input of a backward: the gradient of a result, by the result's number."""

    number: int


@dataclass(frozen=True, slots=True, eq=False)
class AttributeTensor:
    """Input: the tensor that an attribute holds before the call. Traced functions assign it.

    `kind` is its signature, or the type of a number.
    """

    owner: Any
    name: str
    kind: Hashable

    def read(self) -> Any:
        return vars(self.owner).get(self.name)


@dataclass(frozen=True, slots=True, eq=False)
class AttributeNumber(AttributeTensor):
    """Input: the number that such an attribute holds, as a 0-d tensor."""


@dataclass(frozen=True)
class Assignment:
    """What a call leaves in an attribute: the result at `place`, or always the same `value`."""

    owner: Any
    name: str
    place: int | None
    value: Any

    def make(self, results: Sequence[Any]) -> None:
        """Assign it."""
        self.write(self.value if self.place is None else results[self.place])

    def read(self) -> Any:
        """What is there now."""
        return vars(self.owner)[self.name]

    def write(self, value: Any) -> None:
        """Put `value` there."""
        fields = vars(self.owner)
        fields[self.name] = value
        buffers = fields.get("_buffers")
        if buffers is not None and self.name in buffers:
            dict.__setitem__(buffers, self.name, value)


Source = (
    Argument
    | Captured
    | GradOf
    | Scalar
    | Late
    | NumberArgument
    | Constant
    | Cotangent
    | AttributeTensor
    | AttributeNumber
)
#: inputs that are no tensors of the user's
NUMBERS = (Scalar, Late, NumberArgument, Constant, AttributeNumber)


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


@dataclass(frozen=True, slots=True)
class Fresh:
    """A returned tensor that the call computes as the graph's output number `place`.

    `chain` has views to be taken of it, if other results share its storage or it has strides of
    its own; where they are `joined`, all of them are views of one tensor. `tape` is the node of a
    tape that has been used up, and the output number there. `cotangent` is the tensor's number
    among the results that a backward may start from.
    """

    place: int
    chain: Chain | None
    joined: bool
    requires_grad: bool
    tape: tuple[Any, int]
    cotangent: int | None


@dataclass(frozen=True, slots=True)
class Existing:
    """A returned tensor that is an input (the `same` object), or a view of one.

    `detached`: writing to it is no matter of the tape of the tensor that it looks into.
    """

    source: Source
    chain: Chain
    requires_grad: bool
    detached: bool
    same: bool


@dataclass(frozen=True, slots=True)
class Again:
    """The very tensor that is an earlier result too."""

    place: int


@dataclass(frozen=True, slots=True)
class Number:
    """A returned Python number: the element of the graph's output number `place`."""

    place: int


Output = Fresh | Existing | Again | Number | Late


@dataclass(slots=True)
class Recording:
    """What a finished recording hands to the compiler and to the replay.

    Attributes:
        graph: outputs are the results, then gradients, to which `grads` points, then what guard
            points saw exactly (from `first_seen` on), then what effects are told, then what a
            backward needs.
        versioned: inputs whose version tells of writes: of those, too, that change nothing, but not
            of those through `.data`.
        effects: Python code to be run after a replay, in order, given the outputs.
        aliases: inputs and what else was the same array as they.
        lacking: attributes that the call looked for in vain, with the positions of the arguments.
        unhooked: tensors from outside, no leaves, that are to have no hooks.
        walks_back: whether there was a backward, which tells a tensor from another one.
        orders: the dimensions from the outermost, for values that do not lie in C order.
    """

    graph: Graph
    strides: list[tuple[int, ...]]
    sources: list[Source]
    written: list[Source]
    versioned: list[Source]
    outputs: list[Output]
    orders: dict[int, tuple[int, ...]]
    grads: list[tuple[Tensor | int, int | None]]
    draws: dict[int, tuple[Any, int]]
    effects: list[Callable[[Sequence[np.ndarray]], None]]
    predicates: dict[ScalarSource, bool]
    grads_absent: list[Tensor | int]
    points: list[GuardPoint]
    first_seen: int
    assignments: list[Assignment]
    aliases: list[tuple[Source, Source]]
    lacking: set[tuple[int, str]]
    unhooked: list[Tensor | int]
    walks_back: bool
    backward: Differentiated | None = None


def element_strides(array: np.ndarray) -> tuple[int, ...]:
    """Strides in elements. TraceRefused where an element does not start at a multiple of them."""
    if any(stride % array.itemsize for stride in array.strides) or not array.flags.aligned:
        raise TraceRefused("an array whose strides are no multiples of its element size")
    return tuple(stride // array.itemsize for stride in array.strides)


def overlaps_itself(array: np.ndarray) -> bool:
    """Whether elements share memory because a dimension was expanded."""
    steps = zip(array.strides, array.shape, strict=True)
    return array.size > 0 and any(step == 0 and extent > 1 for step, extent in steps)


def memory_order(array: np.ndarray) -> tuple[int, ...] | None:
    """Dimensions from the outermost, where `array` fills its memory in another order than C's."""
    if array.flags.c_contiguous:
        return None
    order = tuple(np.argsort([-stride for stride in array.strides], kind="stable").tolist())
    return order if array.transpose(order).flags.c_contiguous else None


def reordered(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """A copy whose memory has the dimensions in `order`."""
    copy = np.empty([array.shape[dim] for dim in order], array.dtype)
    copy = copy.transpose(np.argsort(order))
    copy[...] = array
    return copy
