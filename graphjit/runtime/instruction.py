"""What a program is made of: references to memory known only at run time, and instructions.

Reads nothing but dtypes; library kernels make instructions from layouts, `program` runs them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..dtypes import DType
from ..errors import Location


@dataclass(frozen=True, slots=True)
class Arena:
    """`offset` bytes into the program's own memory."""

    offset: int


@dataclass(frozen=True, slots=True)
class External:
    """`offset` bytes into the data of the array passed as `slot` at each call."""

    slot: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ScalarSlot:
    """The float (raw bits of a float64) passed as scalar `index` at each call."""

    index: int


@dataclass(frozen=True, slots=True)
class Status:
    """Address of the int64 that a kernel sets nonzero to stop the program."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """Address of a block of which each worker may claim a part of `size` bytes.

    The part is claimed and given back inside one kernel call, so that all kernels of a program
    share the same memory.
    """

    size: int


Pointer = Arena | External
Argument = int | float | Arena | External | ScalarSlot | Status | Scratch


@dataclass(frozen=True, slots=True)
class Layout:
    """A strided array somewhere in memory; `strides` count elements, and may be 0 or negative.

    `pointer` refers to the element at index 0 of every dimension.
    """

    pointer: Pointer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType

    @staticmethod
    def contiguous(pointer: Pointer, shape: Sequence[int], dtype: DType) -> Layout:
        """A row-major array."""
        return Layout(pointer, tuple(shape), row_major(shape), dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, each counted once per index."""
        return self.size * self.dtype.itemsize

    @property
    def footprint(self) -> int:
        """Bytes of memory that the elements take: a broadcast element counts once."""
        pairs = zip(self.shape, self.strides, strict=True)
        return self.dtype.itemsize * math.prod(extent for extent, stride in pairs if stride)

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        expected = row_major(self.shape)
        return self.size == 0 or all(
            extent == 1 or stride == wanted
            for extent, stride, wanted in zip(self.shape, self.strides, expected, strict=True)
        )

    def permute(self, dims: Sequence[int]) -> Layout:
        """The same memory with its dimensions in the order `dims`."""
        return replace(
            self,
            shape=tuple(self.shape[d] for d in dims),
            strides=tuple(self.strides[d] for d in dims),
        )

    def expand(self, shape: Sequence[int]) -> Layout:
        """Broadcast to `shape` by strides of 0, new dimensions in front."""
        missing = len(shape) - self.ndim
        old = (1,) * missing + self.shape
        strides = (0,) * missing + self.strides
        pairs = zip(old, strides, shape, strict=True)
        return replace(
            self,
            shape=tuple(shape),
            strides=tuple(0 if o != n else stride for o, stride, n in pairs),
        )


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides, in elements, of a row-major array of `shape`."""
    strides: list[int] = []
    step = 1
    for extent in reversed(shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True)
class Cost:
    """What an instruction moves and computes: what a measured time is compared with.

    `nbytes` are read and written, each once. `flops` are additions, multiplications, and whatever
    takes as long; most are in `dtype`.
    """

    nbytes: int = 0
    flops: int = 0
    dtype: DType | None = None


def traffic(inputs: Iterable[Layout], outputs: Iterable[Layout]) -> int:
    """Bytes that something reads and writes that touches each element once."""
    return sum(layout.footprint for layout in (*inputs, *outputs))


@dataclass(frozen=True, slots=True)
class Instruction:
    """A call `kernel(table of args, begin, end)` of the native function at `address`.

    Integers, addresses and raw float64 bits stand in the table in the order of `args`. The range
    is over the kernel's outermost parallel index and may be split anywhere; a kernel that must
    not be split has the range 0..1. `lines` are the user's whose work it does.
    """

    name: str
    address: int
    args: tuple[Argument, ...]
    begin: int = 0
    end: int = 1
    cost: Cost = Cost()
    lines: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True)
class HostCall:
    """A Python function called between native instructions.

    `function(*inputs)` gets an array for each layout and a float for each scalar slot, and returns
    an array, or a tuple of arrays, that are copied to `outputs`.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[Layout | ScalarSlot, ...]
    outputs: tuple[Layout, ...]
    cost: Cost = Cost()
    lines: tuple[Location, ...] = ()
