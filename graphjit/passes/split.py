"""Splits reductions, so that their first part can run in the kernel that makes their operand.

The sum of all elements of a value that comes out of a row-wise kernel (the losses behind a log
softmax) becomes a sum over rows, in that kernel, and a small sum of those sums.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.graph import Builder, Graph, Node, Value, keep, producers, rebuild
from ..ops import Op
from ..ops.scalar import INSTRUCTIONS
from .domains import Domain, fusable, is_reduction

#: So many nodes before a reduction are looked at.
REACH = 64


def split_reductions(graph: Graph) -> Graph:
    """The same graph with reductions in two steps where the first can join a row-wise kernel."""
    maker = producers(graph.nodes)

    def visit(node: Node, inputs: tuple[Value, ...], build: Builder) -> tuple[Value, ...]:
        dims = _row_dims(node, maker)
        if dims is None:
            return keep(node, inputs, build)
        rest = tuple(d for d in node.attr("dims") if d not in dims)
        attrs = node.kwargs
        (rows,) = build.add(node.op, inputs, {**attrs, "dims": dims}, node.loc)
        return build.add(node.op, (rows,), {**attrs, "dims": rest}, node.loc)

    return rebuild(graph, visit)


def _row_dims(node: Node, maker: Mapping[Value, Node]) -> tuple[int, ...] | None:
    """The dimensions reduced by a row-wise reduction that the operand of `node` depends on."""
    if not is_reduction(node) or not fusable(node):
        return None
    assert isinstance(node.op, Op)
    if node.op.combine not in INSTRUCTIONS:
        return None
    shape, dims = node.inputs[0].shape, set(node.attr("dims"))
    seen: set[Node] = set()
    stack = [maker[value] for value in node.inputs if value in maker]
    while stack and len(seen) < REACH:
        other = stack.pop()
        if other in seen or not fusable(other):
            continue
        seen.add(other)
        if not is_reduction(other):
            stack += [maker[value] for value in other.inputs if value in maker]
        elif other.inputs[0].shape == shape and set(other.attr("dims")) < dims:
            found: tuple[int, ...] = other.attr("dims")
            return found if Domain(shape, found).by_rows else None
    return None
