"""The kernel IR: loops over axes around scalar statements. The same for every target.

A kernel holds no sizes and no strides other than 0 and 1: those are arguments, so that one kernel
serves all shapes. Kernels compare equal if they do the same; that is their key.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from ..dtypes import DType

Register = int
"""A scalar variable; one written inside a loop may be written again inside a later one."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory outside the kernel.

    `unit` says for each axis of the kernel whether the stride is 0, 1, or (None) an argument.
    Buffers of different `group` never overlap.
    """

    dtype: DType
    unit: tuple[int | None, ...]
    group: int


@dataclass(frozen=True, slots=True)
class Local:
    """Memory of one worker, row-major over `axes`.

    Where `clipped`, the index counts within the current piece of the axis, and so does the extent.
    """

    dtype: DType
    axes: tuple[int, ...]
    clipped: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Pieces:
    """Axis `axis` counts pieces of axis `base`; their length is an argument if it is None.

    Inside a loop over `axis`, loops over `base` keep to the current piece.
    """

    axis: int
    base: int
    length: int | None


@dataclass(frozen=True, slots=True)
class Let:
    """`register = op(args)`, where `op` is a scalar instruction, `literal`, `scalar` or `index`.

    `detail` is the literal's text, the position of the scalar, the axis of the index, or the dtype
    that a cast rounds to.
    """

    register: Register
    op: str
    args: tuple[Register, ...]
    dtype: DType
    detail: Hashable = None


@dataclass(frozen=True, slots=True)
class Load:
    """`register =` the element of a buffer at the current indices, widened to `dtype`."""

    register: Register
    buffer: int
    dtype: DType


@dataclass(frozen=True, slots=True)
class Store:
    """The element of a buffer at the current indices `= register`."""

    buffer: int
    register: Register


@dataclass(frozen=True, slots=True)
class Get:
    """`register =` the element of a local array at the current indices."""

    register: Register
    local: int


@dataclass(frozen=True, slots=True)
class Put:
    """The element of a local array at the current indices `= register`."""

    local: int
    register: Register


@dataclass(frozen=True, slots=True)
class Turn:
    """The current pieces of axes `across` and `vector` of a buffer into a local array.

    The buffer is contiguous along `across`, the array along `vector`.
    """

    local: int
    buffer: int
    across: int
    vector: int


@dataclass(frozen=True, slots=True)
class Accumulator:
    """A register that a loop folds values into with `combine`, from `identity` on."""

    register: Register
    combine: str
    identity: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class Update:
    """`accumulator = combine(accumulator, value)`, in any order of the loop's iterations."""

    register: Register
    combine: str
    value: Register
    dtype: DType


@dataclass(frozen=True, slots=True)
class Loop:
    """`body` for each index of `axis`.

    `accumulators` start at their identities before it. A `vector` loop is innermost, and its
    iterations may run in any order or at once. If it is `long`, sums are put aside now and then; if
    `masked`, its last iterations are better done by a masked vector than one at a time. `few`
    vectors are to be computed at a time where that is enough.
    """

    axis: int
    body: tuple[Statement, ...]
    accumulators: tuple[Accumulator, ...] = ()
    vector: bool = False
    parallel: bool = False
    long: bool = False
    masked: bool = False
    few: bool = False


Statement = Let | Load | Store | Get | Put | Turn | Update | Loop


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function of its arguments and a range of the parallel index.

    The arguments are, in this order: the address of each buffer; the extents in `sizes`; the
    lengths of pieces that have none; for each buffer, the strides that are not in `unit`, by axis,
    negated; the scalars; the scratch block, if locals are too large for the stack (`spacious`).

    `parallel` lists the axes that begin..end enumerates in row-major order.
    """

    buffers: tuple[Buffer, ...]
    sizes: tuple[int, ...]
    scalars: tuple[DType, ...]
    locals: tuple[Local, ...]
    body: tuple[Statement, ...]
    parallel: tuple[int, ...]
    pieces: tuple[Pieces, ...]
    spacious: bool


def statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """Every statement, those inside loops after their loop."""
    for statement in body:
        yield statement
        if isinstance(statement, Loop):
            yield from statements(statement.body)
