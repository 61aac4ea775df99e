"""Placement: where each value of a graph should be computed to, before any memory is laid out.

Reads a graph and the layouts of its inputs; finds the values that can be written straight to where
they have to end up: a result, an updated input, a part of a concatenation.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable

from ..ir.graph import Graph, Node, Value, producers
from ..passes.schedule import may_fail
from ..runtime.instruction import External, Layout
from .views import home_of_operand, sliced

Condition = Callable[[Node], bool]


class Placement:
    """`homes`: the layout that a value's producer is to write. Values not in it go anywhere."""

    def __init__(self, graph: Graph, inputs: dict[Value, Layout]) -> None:
        self.graph = graph
        self.inputs = inputs
        self.made_by = producers(graph.nodes)
        self.order = {node: i for i, node in enumerate(graph.nodes)}
        self.homes: dict[Value, Layout] = {}
        self.conditions: dict[Value, Condition] = {}
        self.last_read = self._last_reads()
        checks = [self.made_by[v] for v in graph.checks if v in self.made_by]
        risky = checks + [node for node in graph.nodes if may_fail(node)]
        self.last_risk = max((self.order[node] for node in risky), default=-1)
        self.readers = Counter(v for node in graph.nodes for v in node.inputs)
        self.readers.update(graph.results)
        for slot, value in enumerate(graph.outputs, len(graph.inputs)):
            self._offer(value, Layout.contiguous(External(slot), value.shape, value.dtype))
        for old, new in graph.updates:
            self._offer(new, inputs[old], functools.partial(self._unread_after, old))

    def _last_reads(self) -> dict[Value, int]:
        """For each input, the position of the last node that reads it or a view of it."""
        root = {value: value for value in self.graph.inputs}
        last: dict[Value, int] = {}
        for position, node in enumerate(self.graph.nodes):
            for value in node.inputs:
                if value in root:
                    last[root[value]] = position
            if node.op.moves_nothing and node.inputs[0] in root:
                root[node.output] = root[node.inputs[0]]
        for value in self.graph.results:
            if value in root:
                last[root[value]] = len(self.graph.nodes)
        return last

    def _unread_after(self, old: Value, node: Node) -> bool:
        """Whether `node` may overwrite `old`: all is read, and nothing can fail any more."""
        return max(self.last_read.get(old, -1), self.last_risk + 1) <= self.order[node]

    def _offer(
        self, value: Value, home: Layout, allowed: Condition = lambda node: True
    ) -> None:
        """Let the producer of `value`, behind any bijective views, write to `home`.

        It must be `allowed`, and so must what writes to parts of `home` before it.
        """
        while value not in self.homes:
            node = self.made_by.get(value)
            if node is None:
                return
            if not node.op.moves_nothing:
                if allowed(node):
                    self.homes[value] = home
                    self.conditions[value] = allowed
                return
            before = home_of_operand(node, home)
            if before is None:
                return
            value, home = node.inputs[0], before

    def offer_parts(self, node: Node, home: Layout) -> None:
        """Let the operands of a concatenation write to their parts of `home`."""
        dim, start = node.attr("dim"), 0
        allowed = self.conditions.get(node.output, lambda node: True)
        for value in node.inputs:
            stop = start + value.shape[dim]
            self._offer(value, sliced(home, value.shape, dim, start, stop, 1), allowed)
            start = stop

    def offer_base(self, node: Node) -> None:
        """Let the base of a scatter be computed where the result goes, if nothing else reads it."""
        base = node.inputs[0]
        home = self.homes.get(node.output)
        if home is not None and self._is_read_once(base):
            self._offer(base, home, self.conditions[node.output])

    def _is_read_once(self, value: Value) -> bool:
        """Whether one node alone reads `value`, and what it is a view of."""
        while self.readers[value] == 1:
            node = self.made_by.get(value)
            if node is None or not node.op.moves_nothing:
                return True
            value = node.inputs[0]
        return False
