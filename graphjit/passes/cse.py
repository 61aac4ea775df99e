"""Common-subexpression elimination: one node for each (op, inputs, attrs).

Random nodes are told apart by their offset, which is an input or an attribute, so they need no
exception.
"""

from __future__ import annotations

from collections.abc import Hashable

from ..ir.graph import Builder, Graph, Node, Value, attr_key, keep, rebuild


def cse(graph: Graph) -> Graph:
    """Compute equal nodes once; operands of commutative ops may be swapped."""
    seen: dict[Hashable, tuple[Value, ...]] = {}

    def visit(node: Node, inputs: tuple[Value, ...], build: Builder) -> tuple[Value, ...]:
        if not node.outputs:
            return keep(node, inputs, build)
        key = _key(node, inputs)
        if key not in seen:
            seen[key] = keep(node, inputs, build)
        return seen[key]

    return rebuild(graph, visit)


def _key(node: Node, inputs: tuple[Value, ...]) -> Hashable:
    operands = inputs
    if getattr(node.op, "commutative", False):
        operands = tuple(sorted(inputs, key=lambda value: value.serial))
    return node.op, operands, tuple((name, attr_key(value)) for name, value in node.attrs)
