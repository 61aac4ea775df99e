"""The assembler: an optimised graph becomes a program of kernels over one block of memory.

Views cost nothing where strides describe them. Results, updated inputs and parts of concatenations
are written in place by the kernels that compute them. Memory is laid out last: until then each
buffer has an address range of its own, far from all others.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import config, progress
from ..errors import CompileError, Location
from ..ir.graph import Builder, Graph, Node, Spec, Value
from ..ops.core import OPS
from ..passes.memory import Interval, allocate, describe, inherited
from ..runtime.checks import require
from ..runtime.instruction import Arena, Argument, External, HostCall, Instruction, Layout
from ..runtime.program import Program
from .assembled import Assembled, Fallback
from .library import in_library, library_call, node_cost
from .lower import lower
from .placement import Placement
from .views import sliced, view_layout

#: address range of one buffer before memory is laid out; no buffer is as large
SPAN = 1 << 44


def assemble(graph: Graph, strides: Sequence[tuple[int, ...]]) -> Assembled:
    """Compile `graph` for inputs of the given strides, in elements.

    CompileError, under `GRAPHJIT_STRICT`, for a node that would run on the host.
    """
    return _Assembler(graph, strides).run()


class _Assembler:
    def __init__(self, graph: Graph, strides: Sequence[tuple[int, ...]]) -> None:
        self.graph = graph
        self.instructions: list[Instruction | HostCall] = []
        self.sources: dict[str, str] = {}
        self.fallbacks: list[Fallback] = []
        self.unchecked = deque(graph.checks)
        self.checked: dict[int, int] = {}
        self.layouts: dict[Value, Layout] = {
            value: Layout(External(slot), value.shape, step, value.dtype)
            for slot, (value, step) in enumerate(zip(graph.inputs, strides, strict=True))
        }
        self.placement = Placement(graph, self.layouts)
        self.heirs = inherited(graph)
        self.buffers: list[int] = []
        for node in reversed(graph.nodes):
            if node.op.name == "concat":
                home = self._home(node.output)
                self.placement.homes[node.output] = home
                self.placement.offer_parts(node, home)
            elif node.op.name == "slice_scatter":
                self.placement.offer_base(node)

    def run(self) -> Assembled:
        self._emit_checks()
        for number, node in enumerate(self.graph.nodes, 1):
            progress.report(f"kernels, {number} of {len(self.graph.nodes)} nodes")
            mark, lines = len(self.instructions), _lines(node)
            self._emit(node)
            self._emit_checks()
            self.instructions[mark:] = [replace(i, lines=lines) for i in self.instructions[mark:]]
        for slot, value in enumerate(self.graph.outputs, len(self.graph.inputs)):
            self._settle(value, Layout.contiguous(External(slot), value.shape, value.dtype))
        self._settle_updates()
        arena, memory = self._lay_out()
        slots = len(self.graph.inputs) + len(self.graph.outputs)
        program = Program(self.instructions, slots, 0, arena)
        return Assembled(
            self.graph, program, self.sources, self.fallbacks, memory, self.checked
        )

    def _emit_checks(self) -> None:
        """Test the checks that are known by now, in order: each relies on those before it."""
        while self.unchecked and self.unchecked[0] in self.layouts:
            value = self.unchecked.popleft()
            self.instructions.append(require(self.layouts[value]))
            self.checked[len(self.instructions)] = len(self.graph.checks) - len(self.unchecked) - 1

    # --- values -------------------------------------------------------------------------------

    def _buffer(self, nbytes: int) -> Arena:
        self.buffers.append(nbytes)
        return Arena((len(self.buffers) - 1) * SPAN)

    def _anywhere(self, value: Value) -> Layout:
        return Layout.contiguous(self._buffer(value.spec.nbytes), value.shape, value.dtype)

    def _home(self, value: Value) -> Layout:
        """Where `value` is to be computed."""
        return self.placement.homes.get(value) or self._inherited(value) or self._anywhere(value)

    def _inherited(self, value: Value) -> Layout | None:
        """The memory of an operand of the same type that nothing reads afterwards."""
        if value not in self.heirs:
            return None
        layout = self.layouts[self.heirs[value]]
        return layout if layout.is_contiguous and isinstance(layout.pointer, Arena) else None

    def _settle(self, value: Value, home: Layout) -> None:
        """Copy `value` to `home` unless that is where it is."""
        if self.layouts[value] != home:
            self._copy(self.layouts[value], home)

    def _settle_updates(self) -> None:
        """Updated inputs get their values; those found in other updated inputs are saved first."""
        moves = [(self.layouts[new], self.layouts[old]) for old, new in self.graph.updates]
        written = {_memory(home) for _, home in moves}
        saved = []
        for found, home in moves:
            place = found
            if found != home and _memory(found) in written:
                place = Layout.contiguous(self._buffer(home.nbytes), home.shape, home.dtype)
                self._copy(found, place)
            saved.append((place, home))
        for place, home in saved:
            if place != home:
                self._copy(place, home)

    def _copy(self, source: Layout, target: Layout) -> None:
        if source.nbytes:  # nothing may lie over itself with other strides
            self._kernel(_body("clone", (source.dtype, source.shape)), [source], [target], {})

    # --- nodes --------------------------------------------------------------------------------

    def _emit(self, node: Node) -> None:
        if node.op.moves_nothing:
            self._emit_view(node)
        elif node.op.name == "concat":
            self._emit_concat(node)
        elif node.op.name == "slice_scatter":
            self._emit_scatter(node)
        else:
            self._emit_compute(node)

    def _emit_view(self, node: Node) -> None:
        base = self.layouts[node.inputs[0]]
        layout = view_layout(node, base)
        if layout is None and node.op.name == "reshape":
            packed = Layout.contiguous(self._buffer(base.nbytes), base.shape, base.dtype)
            self._copy(base, packed)
            layout = view_layout(node, packed)
        if layout is None:
            raise CompileError(f"no layout for {node.op.name}")
        self.layouts[node.output] = layout

    def _emit_concat(self, node: Node) -> None:
        home, dim, start = self.placement.homes[node.output], node.attr("dim"), 0
        for value in node.inputs:
            stop = start + value.shape[dim]
            part = sliced(home, value.shape, dim, start, stop, 1)
            if self.layouts[value] != part:
                self._copy(self.layouts[value], part)
            start = stop
        self.layouts[node.output] = home

    def _emit_scatter(self, node: Node) -> None:
        base, new = (self.layouts[v] for v in node.inputs)
        home = self._clear_of(self._home(node.output), [new])
        if base != home:
            self._copy(base, home)
        self._copy(new, sliced(home, new.shape, **node.kwargs))
        self.layouts[node.output] = home

    def _emit_compute(self, node: Node) -> None:
        """A kernel, a library call, or a call on the host."""
        operands = [self.layouts[v] for v in node.inputs]
        homes = [self._home(v) for v in node.outputs]
        mark = len(self.instructions)
        try:
            homes = self._emit_native(node, operands, homes)
        except CompileError as error:
            if config.get_bool("STRICT") and not node.op.host_only:
                raise
            del self.instructions[mark:]
            self.fallbacks.append(Fallback(node, str(error)))
            homes = [self._clear_of(home, operands) for home in homes]
            function = functools.partial(node.op.eval, np, **node.kwargs)
            cost = node_cost(node, operands, homes)
            self.instructions.append(
                HostCall(node.op.name, function, tuple(operands), tuple(homes), cost)
            )
        self.layouts.update(zip(node.outputs, homes, strict=True))

    def _emit_native(
        self, node: Node, operands: list[Layout], homes: list[Layout]
    ) -> list[Layout]:
        """Append instructions for `node`; returns where its outputs are."""
        if in_library(node.op):
            homes = [self._clear_of(home, operands) for home in homes]
            self.instructions.append(library_call(node, operands, homes))
            return homes
        body = node.attr("body") if node.op.name == "fused" else _single(node)
        inplace: dict[int, int] = {}
        for position, home in enumerate(homes):
            same = self._same_place(home, operands)
            if same is None:
                homes[position] = self._clear_of(home, operands)
            elif same >= 0:
                inplace[position] = same
        self._kernel(body, operands, homes, inplace)
        return homes

    def _same_place(self, home: Layout, operands: Sequence[Layout]) -> int | None:
        """The operand that `home` may overwrite element by element; -1 if it overlaps none.

        None if it overlaps an operand that is read at other indices.
        """
        place = _memory(home)
        touching = [i for i, layout in enumerate(operands) if _memory(layout) == place]
        if not touching:
            return -1
        return touching[0] if all(_congruent(operands[i], home) for i in touching) else None

    def _clear_of(self, home: Layout, operands: Sequence[Layout]) -> Layout:
        """`home`, or a buffer of its own if an operand lies there; it is copied home at the end."""
        if _memory(home) in map(_memory, operands):
            return Layout.contiguous(self._buffer(home.nbytes), home.shape, home.dtype)
        return home

    def _kernel(
        self,
        body: Graph,
        operands: Sequence[Layout],
        results: Sequence[Layout],
        inplace: dict[int, int],
    ) -> None:
        lowered = lower(body, operands, results, inplace)
        workspace = self._buffer(lowered.workspace) if lowered.workspace else None
        for instruction, source in lowered.instructions(workspace):
            self.instructions.append(instruction)
            self.sources[instruction.name] = source

    # --- memory -------------------------------------------------------------------------------

    def _lay_out(self) -> tuple[int, str]:
        """Give every buffer its place in the arena; returns its size in bytes, and a summary."""
        spans: dict[int, tuple[int, int]] = {}
        for position, instruction in enumerate(self.instructions):
            for arena in _arenas(instruction):
                buffer = arena.offset // SPAN
                first, _ = spans.get(buffer, (position, position))
                spans[buffer] = (first, position)
        used = sorted(spans)
        intervals = [Interval(*spans[buffer], self.buffers[buffer]) for buffer in used]
        offsets, size = allocate(intervals)
        place = dict(zip(used, offsets, strict=True))
        self.instructions = [_moved(i, place) for i in self.instructions]
        return size, describe(intervals, size)


def _lines(node: Node) -> tuple[Location, ...]:
    """The user's lines that a node does the work of, in their order in the graph."""
    nodes = node.attr("body").nodes if node.op.name == "fused" else (node,)
    return tuple(dict.fromkeys(each.loc for each in nodes if each.loc is not None))


def _single(node: Node) -> Graph:
    """A body that holds one node."""
    if node.op.kind not in ("pointwise", "reduce"):
        raise CompileError(f"no kernel for {node.op.name}")
    inputs = tuple(Value(v.spec) for v in node.inputs)
    outputs = tuple(Value(v.spec) for v in node.outputs)
    return Graph(inputs, (Node(node.op, inputs, node.attrs, outputs, node.loc),), outputs)


@functools.lru_cache(maxsize=1024)
def _body(name: str, spec: tuple[Any, tuple[int, ...]]) -> Graph:
    builder = Builder()
    operand = Value(Spec(spec[1], spec[0]))
    results = builder.add(OPS[name], (operand,))
    return Graph((operand,), tuple(builder.nodes), results)


def _congruent(a: Layout, b: Layout) -> bool:
    """Whether two layouts give the same elements, but for dimensions of extent 1."""
    steps = [
        [pair for pair in zip(x.shape, x.strides, strict=True) if pair[0] != 1] for x in (a, b)
    ]
    return a.pointer == b.pointer and steps[0] == steps[1]


def _memory(layout: Layout) -> int:
    """The number of the buffer that a layout lies in; arrays that are passed have negative ones."""
    pointer = layout.pointer
    return pointer.offset // SPAN if isinstance(pointer, Arena) else -1 - pointer.slot


def _arenas(instruction: Instruction | HostCall) -> Iterator[Arena]:
    references: Iterable[Any]
    if isinstance(instruction, HostCall):
        layouts = (*instruction.inputs, *instruction.outputs)
        references = (layout.pointer for layout in layouts if isinstance(layout, Layout))
    else:
        references = instruction.args
    return (reference for reference in references if isinstance(reference, Arena))


def _moved(instruction: Instruction | HostCall, place: dict[int, int]) -> Instruction | HostCall:
    """`instruction` with its buffers where they have been placed."""

    def move(reference: Argument) -> Argument:
        if not isinstance(reference, Arena):
            return reference
        return Arena(place[reference.offset // SPAN] + reference.offset % SPAN)

    if isinstance(instruction, Instruction):
        return replace(instruction, args=tuple(map(move, instruction.args)))

    def move_layout(layout: Any) -> Any:
        if isinstance(layout, Layout):
            return replace(layout, pointer=move(layout.pointer))  # type: ignore[arg-type]
        return layout

    return replace(
        instruction,
        inputs=tuple(map(move_layout, instruction.inputs)),
        outputs=tuple(map(move_layout, instruction.outputs)),
    )
