"""Lets concatenations share their parts: those that overlap become slices of one.

A part is computed straight to its place in a concatenation, but it has only one place: a second
concatenation has to copy it. The hidden states of an unrolled recurrent network are wanted from
the first to the last and, for the gradient of the recurrent weight, from the zeroth on.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..ir.graph import Builder, Graph, Node, Value, make_attrs, producers, users
from ..ops import OPS

#: Concatenations are joined if they have at least so many parts in common.
MIN_COMMON = 4


def share_parts(graph: Graph) -> Graph:
    """The same graph with overlapping concatenations as slices of one."""
    while True:
        overlap = _find(graph)
        if overlap is None:
            return graph
        graph = _joined(graph, overlap)


@dataclass(frozen=True, slots=True)
class _Overlap:
    """Two concatenations: part `offset + i` of the first is part `i` of the second."""

    first: Node
    second: Node
    offset: int

    @property
    def parts(self) -> tuple[Value, ...]:
        """The parts of both, each once."""
        return self.first.inputs + self.second.inputs[len(self.first.inputs) - self.offset :]


def _find(graph: Graph) -> _Overlap | None:
    """Two concatenations that overlap, neither of which is needed for the other."""
    by_part: dict[tuple[Value, int], list[Node]] = {}
    for node in graph.nodes:
        if node.op is OPS["concat"]:
            for part in dict.fromkeys(node.inputs):
                by_part.setdefault((part, node.attr("dim")), []).append(node)
    pairs = dict.fromkeys(
        pair for nodes in by_part.values() for pair in itertools.permutations(nodes, 2)
    )
    for first, second in pairs:
        for offset, part in enumerate(first.inputs):
            if part is second.inputs[0] and _agree(first.inputs[offset:], second.inputs):
                overlap = _Overlap(first, second, offset)
                if not _depends(graph, overlap):
                    return overlap
    return None


def _agree(a: Sequence[Value], b: Sequence[Value]) -> bool:
    """Whether one of two sequences begins with the other, which is long enough."""
    common = min(len(a), len(b))
    return common >= MIN_COMMON and all(x is y for x, y in zip(a, b, strict=False))


def _depends(graph: Graph, overlap: _Overlap) -> bool:
    """Whether some part is computed from one of the concatenations."""
    readers, parts = users(graph), set(overlap.parts)
    stack = [overlap.first.output, overlap.second.output]
    seen = set(stack)
    while stack:
        for node in readers.get(stack.pop(), ()):
            for value in node.outputs:
                if value in parts:
                    return True
                if value not in seen:
                    seen.add(value)
                    stack.append(value)
    return False


def _joined(graph: Graph, overlap: _Overlap) -> Graph:
    first, second = overlap.first, overlap.second
    dim = first.attr("dim")
    build = Builder()
    (whole,) = build.add(first.op, overlap.parts, first.attrs, first.loc)
    start = sum(value.shape[dim] for value in first.inputs[: overlap.offset])
    slices = {
        first: _slice(first, whole, 0),
        second: _slice(second, whole, start),
    }
    nodes = [slices.get(node, node) for node in graph.nodes]
    return replace(graph, nodes=_in_order([*build.nodes, *nodes]))


def _slice(node: Node, whole: Value, start: int) -> Node:
    """The node that takes the result of the concatenation `node` out of `whole`."""
    dim = node.attr("dim")
    stop = start + node.output.shape[dim]
    attrs = make_attrs({"dim": dim, "start": start, "stop": stop, "step": 1})
    return Node(OPS["slice_"], (whole,), attrs, node.outputs, node.loc)


def _in_order(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """`nodes`, each after those that it depends on, otherwise in the order given."""
    position = {node: i for i, node in enumerate(nodes)}
    maker = producers(nodes)
    before = [{position[maker[v]] for v in node.inputs if v in maker} for node in nodes]
    after: dict[int, list[int]] = {}
    for i, needed in enumerate(before):
        for j in needed:
            after.setdefault(j, []).append(i)
    missing = [len(needed) for needed in before]
    ready = [i for i, count in enumerate(missing) if not count]
    order: list[Node] = []
    while ready:
        i = heapq.heappop(ready)
        order.append(nodes[i])
        for j in after.get(i, ()):
            missing[j] -= 1
            if not missing[j]:
                heapq.heappush(ready, j)
    return tuple(order)
