"""What a fused kernel computes: scalar values over a set of axes, in single-assignment form.

The form between a body graph and loops: dimensions have become axes, ops have become scalar
instructions, and operands are buffers with a stride along each axis. Nothing here knows an order
of axes or of statements other than that of the data flow.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from ..dtypes import DType
from ..runtime.instruction import Arena, Argument, External

#: Operations of a `Value` beside the scalar instructions of `ops.scalar`.
LOAD, SCALAR, LITERAL, INDEX, REDUCE = "load", "scalar", "literal", "index", "reduce"
#: A division whose divisor is the same for all elements of the innermost loop.
DIVIDED_BY = "divided"

Axes = int
"""A set of axes as bits: axis `k` is `1 << k`."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """`offset` bytes into the memory that the kernels of one fused node share among them."""

    offset: int


Memory = Arena | External | Workspace


@dataclass(frozen=True, slots=True)
class Slot:
    """A buffer: `strides`, in elements, are 0 along axes that it does not have.

    Buffers of one `group` hold the same memory; those of different groups never overlap.
    """

    memory: Memory
    dtype: DType
    strides: tuple[int, ...]
    group: int


@dataclass(frozen=True, slots=True)
class Reduction:
    """`combine`, an instruction, over `axes`, from `identity` on."""

    combine: str
    identity: bool | int | float
    axes: Axes


@dataclass(frozen=True, slots=True)
class Value:
    """`op` applied to earlier values; it varies along `axes`.

    `detail` is the slot of a load, the position of a scalar, the text of a literal, the axis of
    an index, the `Reduction` of a reduce, and for a cast the DType whose precision it takes.
    """

    op: str
    args: tuple[int, ...]
    dtype: DType
    axes: Axes
    detail: Hashable = None


@dataclass(frozen=True, slots=True)
class Store:
    """Write `value` to `slot` at each index of `axes`."""

    slot: int
    value: int
    axes: Axes


@dataclass(frozen=True, slots=True)
class Split:
    """Axis `axis` counts pieces of `length` of axis `base`, the last of which may be shorter.

    Indices along `base` remain what they were; what varies along it varies along `axis` too.
    """

    axis: int
    base: int
    length: int


@dataclass(frozen=True, slots=True)
class Program:
    """`stores` computed over axes of `extents`; `scalars` are arguments with their dtypes."""

    extents: tuple[int, ...]
    slots: tuple[Slot, ...]
    scalars: tuple[tuple[Argument, DType], ...]
    values: tuple[Value, ...]
    stores: tuple[Store, ...]
    splits: tuple[Split, ...] = ()

    def reduction(self, number: int) -> Reduction:
        """The reduction that value `number` is."""
        detail = self.values[number].detail
        assert isinstance(detail, Reduction)
        return detail

    def reductions(self) -> list[Reduction]:
        """All reductions."""
        return [value.detail for value in self.values if isinstance(value.detail, Reduction)]

    def split_of(self, base: int) -> Split | None:
        """The split of axis `base`, if there is one."""
        return next((split for split in self.splits if split.base == base), None)


def members(axes: Axes) -> Iterator[int]:
    """The axes of a set, in ascending order."""
    axis = 0
    while axes:
        if axes & 1:
            yield axis
        axes >>= 1
        axis += 1


def axis_set(axes: Iterable[int]) -> Axes:
    """The set of the given axes."""
    result = 0
    for axis in axes:
        result |= 1 << axis
    return result
