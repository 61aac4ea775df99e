"""Lowers fused nodes: from a body graph and memory layouts to kernels and their arguments.

Reads a body of pointwise ops and reductions over one domain. Sizes and strides end up in the
arguments alone, so that another batch size gives the same kernels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from ..ir.graph import Graph
from ..ops.scalar import INSTRUCTIONS
from ..runtime.instruction import (
    Arena,
    Argument,
    Cost,
    External,
    Instruction,
    Layout,
    ScalarSlot,
    Scratch,
)
from .arrange import TILE, Nest, arrange
from .compiled import compile_kernel, source
from .costs import cost_of
from .flatten import Operand, flatten
from .loops import Buffer, Kernel, Let, Local, Pieces, Update, statements
from .merge import merged
from .phases import split
from .program import LOAD, REDUCE, Program, Slot, Value, Workspace, axis_set, members
from .schedule import schedule
from .unroll import unrolled

#: Local arrays beyond this many bytes are claimed from the program's scratch memory.
STACK_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class KernelCall:
    """A kernel with its arguments, to be run over 0..extent of its parallel index.

    `cost` is that of the whole range.
    """

    kernel: Kernel
    args: tuple[Argument | Workspace, ...]
    extent: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class Lowered:
    """Kernel calls to be run in this order, and the bytes of memory they share."""

    calls: tuple[KernelCall, ...]
    workspace: int

    def instructions(self, workspace: Arena | None = None) -> Iterator[tuple[Instruction, str]]:
        """Compiled calls with the kernels' source; `workspace` is where the shared memory is."""
        for call in self.calls:
            args = tuple(_placed(argument, workspace) for argument in call.args)
            address = compile_kernel(call.kernel)
            name = _unique_name(call.kernel)
            instruction = Instruction(name, address, args, 0, call.extent, call.cost)
            yield instruction, source(call.kernel)


@cache
def _unique_name(kernel: Kernel) -> str:
    """The name of `kernel` with a digest of its text."""
    return f"{kernel_name(kernel)}_{hashlib.sha256(source(kernel).encode()).hexdigest()[:8]}"


def _placed(argument: Argument | Workspace, workspace: Arena | None) -> Argument:
    if not isinstance(argument, Workspace):
        return argument
    assert workspace is not None
    return Arena(workspace.offset + argument.offset)


def kernel_name(kernel: Kernel) -> str:
    """What the kernel does, in a few words: its reductions and dearest instructions."""
    words: list[str] = []
    for statement in statements(kernel.body):
        word = statement.combine if isinstance(statement, Update) else ""
        if isinstance(statement, Let) and statement.op in INSTRUCTIONS:
            word = statement.op
        if word and word not in words:
            words.append(word)
    telling = [word for word in words if word not in ("cast", "select")] or words
    return "_".join(telling[:4]) or "copy"


def lower(
    body: Graph,
    operands: Sequence[Operand],
    results: Sequence[Layout],
    inplace: Mapping[int, int] | None = None,
) -> Lowered:
    """Kernels that compute `body`.

    `operands` and `results` have the shapes and dtypes of the body's inputs and results; a number
    given at each call is a `ScalarSlot`. `inplace` maps the position of a result to that of the
    operand whose memory it takes, with the same strides. Other results overlap nothing.

    CompileError if the body cannot be lowered.
    """
    memory = _Renaming()
    places = tuple(memory.operand(operand) for operand in operands)
    homes = tuple(memory.layout(layout) for layout in results)
    shared = tuple(sorted((inplace or {}).items()))
    return memory.restored(_lowered(_Body(body), places, homes, shared))


@lru_cache(maxsize=4096)
def _lowered(
    body: _Body,
    operands: tuple[Operand, ...],
    results: tuple[Layout, ...],
    inplace: tuple[tuple[int, int], ...],
) -> Lowered:
    """What `lower` gives, remembered: a graph has many nodes that differ in their memory alone."""
    program = flatten(body.graph, operands, results, dict(inplace))
    phases, workspace = split(unrolled(merged(program)))
    calls = (_call(merged(phase)) for phase in phases)
    # A kernel divides by its inner extents, which it must not if they are 0.
    return Lowered(tuple(call for call in calls if call.extent), workspace)


class _Body:
    """A body graph that equals those of the same structure."""

    __slots__ = ("graph", "key")

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.key = graph.structure()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Body) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


class _Renaming:
    """Memory under neutral names: numbered in the order in which it first appears."""

    def __init__(self) -> None:
        self.memory: dict[Arena | External, int] = {}
        self.scalars: dict[ScalarSlot, int] = {}

    def operand(self, operand: Operand) -> Operand:
        if isinstance(operand, Layout):
            return self.layout(operand)
        return ScalarSlot(self.scalars.setdefault(operand, len(self.scalars)))

    def layout(self, layout: Layout) -> Layout:
        number = self.memory.setdefault(layout.pointer, len(self.memory))
        return replace(layout, pointer=External(number))

    def restored(self, lowered: Lowered) -> Lowered:
        """`lowered` with the memory's own names."""
        memory, scalars = list(self.memory), list(self.scalars)

        def own(argument: Argument | Workspace) -> Argument | Workspace:
            if isinstance(argument, External):
                place = memory[argument.slot]
                return replace(place, offset=place.offset + argument.offset)
            if isinstance(argument, ScalarSlot):
                return scalars[argument.index]
            return argument

        calls = (replace(call, args=tuple(map(own, call.args))) for call in lowered.calls)
        return Lowered(tuple(calls), lowered.workspace)


def _call(program: Program) -> KernelCall:
    nest = arrange(program)
    program = nest.program
    scheduled = schedule(nest)
    parallel = nest.order[: nest.parallel]
    if nest.elementwise and nest.vector is not None:
        parallel = (*parallel, nest.vector)
    bytes_needed = sum(_bytes(local, program) for local in scheduled.locals)
    kernel = Kernel(
        tuple(_buffer(slot, nest) for slot in program.slots),
        _sizes(program, parallel, {axis for local in scheduled.locals for axis in local.axes}),
        tuple(dtype for _, dtype in program.scalars),
        scheduled.locals,
        scheduled.body,
        parallel,
        tuple(Pieces(s.axis, s.base, _fixed(s.length)) for s in program.splits),
        bytes_needed > STACK_BYTES,
    )
    extent = math.prod(program.extents[axis] for axis in parallel)
    args = _arguments(kernel, program, bytes_needed)
    return KernelCall(kernel, args, extent, _cost(program))


def _fixed(length: int) -> int | None:
    """Only the length of tiles is part of a kernel."""
    return length if length == TILE else None


def _sizes(program: Program, parallel: Sequence[int], kept: set[int]) -> tuple[int, ...]:
    """Axes whose extents the kernel asks for: that of its outermost loop only if it is `kept`."""
    counts = {split.axis for split in program.splits}
    bases = {split.base for split in program.splits}
    unused = counts | (set(parallel[:1]) - bases - kept)
    return tuple(axis for axis in range(len(program.extents)) if axis not in unused)


def _buffer(slot: Slot, nest: Nest) -> Buffer:
    def unit(axis: int, stride: int) -> int | None:
        return stride if stride == 0 or (stride == 1 and axis == nest.vector) else None

    return Buffer(slot.dtype, tuple(map(unit, range(len(slot.strides)), slot.strides)), slot.group)


def _bytes(local: Local, program: Program) -> int:
    size = local.dtype.itemsize
    for axis, clipped in zip(local.axes, local.clipped, strict=True):
        split = program.split_of(axis)
        size *= split.length if clipped and split is not None else program.extents[axis]
    return -(-size // 64) * 64


def _arguments(
    kernel: Kernel, program: Program, bytes_needed: int
) -> tuple[Argument | Workspace, ...]:
    args: list[Argument | Workspace] = [slot.memory for slot in program.slots]
    args += [program.extents[axis] for axis in kernel.sizes]
    args += [split.length for split in program.splits if _fixed(split.length) is None]
    for buffer, slot in zip(kernel.buffers, program.slots, strict=True):
        pairs = zip(buffer.unit, slot.strides, strict=True)
        args += [-stride for unit, stride in pairs if unit is None]
    args += [argument for argument, _ in program.scalars]
    if kernel.spacious:
        args.append(Scratch(bytes_needed))
    return tuple(args)


def _indices(program: Program, value: Value) -> int:
    """How often `value` is computed: a reduction, for each index of its operand."""
    reach = value.axes
    for arg in value.args:
        reach |= program.values[arg].axes
    counts = axis_set(split.axis for split in program.splits)
    return math.prod(program.extents[axis] for axis in members(reach & ~counts))


def _cost(program: Program) -> Cost:
    """What is loaded and stored, each slot once, and what is computed."""
    loaded = {value.detail for value in program.values if value.op == LOAD}
    stored = {store.slot for store in program.stores}
    nbytes = sum(_footprint(program, slot) for slot in (*loaded, *stored))
    computed = [value for value in program.values if value.op != LOAD]
    flops = sum(_indices(program, value) * _flops(value) for value in computed)
    floats = (value.dtype for value in computed if value.dtype.category == 2)
    return Cost(nbytes, flops, max(floats, key=lambda dtype: dtype.itemsize, default=None))


def _flops(value: Value) -> int:
    return 1 if value.op == REDUCE else cost_of(value)


def _footprint(program: Program, number: object) -> int:
    """Bytes of memory that a slot reaches."""
    assert isinstance(number, int)
    slot = program.slots[number]
    pairs = zip(program.extents, slot.strides, strict=True)
    return slot.dtype.itemsize * math.prod(extent for extent, stride in pairs if stride)
