"""Applies the algebraic rules of `identities` and the view rules of `views` to each node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..ir.graph import Builder, Graph, Node, Value, keep, rebuild
from ..ops import OPS, Op
from . import identities, views
from .rewriting import Draft, Rewriter, Rule

OWN_RULES: Mapping[str, Sequence[Rule]] = {**identities.RULES, **views.RULES}
RULES = {
    name: (*OWN_RULES.get(name, ()), *identities.GENERAL, *views.GENERAL) for name in OPS
}


def simplify(graph: Graph) -> Graph:
    """The same graph by fewer and simpler nodes."""

    def visit(node: Node, inputs: tuple[Value, ...], build: Builder) -> tuple[Value, ...]:
        assert isinstance(node.op, Op)
        if len(node.outputs) != 1:
            return keep(node, inputs, build)
        draft = Draft(node.op, inputs, node.kwargs, node.output.spec)
        value = Rewriter(build, RULES, node.loc).simplified(draft)
        return keep(node, inputs, build) if value is None else (value,)

    return rebuild(graph, visit)
