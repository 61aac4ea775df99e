"""Rewrites that look at readers as well as operands: sweeps over a graph until nothing changes.

A rule gets a site, a node with its operands in the new graph, and returns the value that stands for
the node's output, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..ir.graph import Builder, Graph, Node, Shape, Value, keep, producers, rebuild, users
from ..ops import OPS
from .dce import dce
from .fold import uniform

#: A view moves past one op in each sweep; nobody should wait for it to get through thousands.
MAX_SWEEPS = 100


class Context:
    """What one sweep knows of the old graph, and of what became of it."""

    def __init__(self, graph: Graph, rules: Rules) -> None:
        self.rules = rules
        self.users = users(graph)
        self.maker = producers(graph.nodes)
        self.results = set(graph.results)
        #: What stands for the operands of nodes that have rules.
        self.known: dict[Value, Value] = {}
        self.changed = False

    def visit(self, node: Node, inputs: tuple[Value, ...], build: Builder) -> tuple[Value, ...]:
        rules = self.rules.get(node.op.name)
        if rules is None:
            return keep(node, inputs, build)
        self.known.update(zip(node.inputs, inputs, strict=True))
        site = Site(self, node, inputs, build)
        for rule in rules:
            value = rule(site)
            if value is not None:
                self.changed = True
                return (value,)
        return keep(node, inputs, build)

    def single_reader(self, value: Value) -> bool:
        """Whether exactly one operand place is filled by `value`, of the old graph."""
        return value not in self.results and len(self.users.get(value, ())) == 1


@dataclass(frozen=True, slots=True)
class Site:
    """A node of the old graph, its operands in the new one, and the means to make others there."""

    context: Context
    node: Node
    inputs: tuple[Value, ...]
    build: Builder

    def make(self, name: str, *inputs: Value, **attrs: Any) -> Value:
        return self.build.add(OPS[name], inputs, attrs, self.node.loc)[0]

    def reshape(self, value: Value, shape: Shape) -> Value:
        return value if value.shape == shape else self.make("reshape", value, shape=shape)

    def transpose(self, value: Value) -> Value:
        """`value` with its last two dimensions swapped."""
        dims = swapped(value.ndim)
        maker = self.made_by(value, "permute")
        if maker is not None and maker.attr("dims") == dims:
            return maker.inputs[0]
        return self.make("permute", value, dims=dims)

    def made_by(self, value: Value, name: str) -> Node | None:
        """The node of the new graph that makes `value`, if it is one of `name`."""
        maker = self.build.producer.get(value)
        return maker if maker is not None and maker.op.name == name else None

    def number(self, value: Value) -> Any | None:
        """The number that every element of `value` is known to be."""
        return uniform(self.build, value)

    def only_reader(self, position: int = 0) -> bool:
        """Whether nothing but this node reads the operand at `position`."""
        return self.context.single_reader(self.node.inputs[position])


Rule = Callable[[Site], Value | None]
Rules = Mapping[str, Sequence[Rule]]


def swapped(ndim: int) -> tuple[int, ...]:
    """The permutation that swaps the last two dimensions."""
    return (*range(ndim - 2), ndim - 1, ndim - 2)


def sweep(graph: Graph, rules: Rules) -> Graph:
    """Apply `rules` (op name -> rules in order) until none applies."""
    for _ in range(MAX_SWEEPS):
        context = Context(graph, rules)
        graph = dce(rebuild(graph, context.visit))
        if not context.changed:
            break
    return graph
