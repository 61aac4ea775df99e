"""Scheduling: the order of the nodes, which is the order in which kernels run.

Reads which inputs are updated; makes an order in which
- a state is overwritten only after everything that reads its old value, and after everything that
  may fail (a failed call must have changed nothing), as far as the data flow allows;
- what checks need comes first: a call that is not for this graph ends early;
- little memory is alive at once: a node that frees as much as it allocates runs without delay.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace

from ..ir.graph import Graph, Node, Value, producers

Order = list[int]


def schedule(graph: Graph) -> Graph:
    """The same nodes in a better order."""
    graph = _reordered(graph, _earliest(_Dependencies(graph)))
    while True:
        dependencies, memory = _Dependencies(graph), Memory(graph)
        order = _frugal(dependencies, memory)
        if memory.cost(order) >= memory.cost(range(len(order))):
            return graph
        graph = _reordered(graph, order)


def may_fail(node: Node) -> bool:
    """Whether running `node` can stop the program: an index out of range, an error on the host."""
    if getattr(node.op, "host_only", False):
        return True
    indexed = getattr(node.op, "kind", "") in ("gather", "scatter")
    return indexed and any(value.dtype.category == 1 for value in node.inputs)


def _reordered(graph: Graph, order: Order) -> Graph:
    return replace(graph, nodes=tuple(graph.nodes[i] for i in order))


def storage(graph: Graph) -> dict[Value, Value]:
    """For each value, the one whose memory it shares: itself, or what it is a view of."""
    base = {value: value for value in (*graph.inputs, *graph.consts)}
    for node in graph.nodes:
        for value in node.outputs:
            shared = getattr(node.op, "moves_nothing", False)
            base[value] = base[node.inputs[0]] if shared else value
    return base


class _Dependencies:
    """For each node, by position: those that must run before it, and after it."""

    def __init__(self, graph: Graph) -> None:
        count = len(graph.nodes)
        self.before: list[set[int]] = [set() for _ in range(count)]
        self.after: list[set[int]] = [set() for _ in range(count)]
        self.maker = producers(graph.nodes)
        self.position = {node: i for i, node in enumerate(graph.nodes)}
        for i, node in enumerate(graph.nodes):
            for value in node.inputs:
                if value in self.maker:
                    self._add(self.position[self.maker[value]], i)
        self._delay_updates(graph)
        self.late = self._late(graph)

    def _late(self, graph: Graph) -> list[bool]:
        """For each node, whether no check waits for it."""
        late = [True] * len(graph.nodes)
        stack = [self.position[self.maker[v]] for v in graph.checks if v in self.maker]
        while stack:
            i = stack.pop()
            if late[i]:
                late[i] = False
                stack.extend(self.before[i])
        return late

    def _add(self, first: int, second: int) -> None:
        self.before[second].add(first)
        self.after[first].add(second)

    def _delay_updates(self, graph: Graph) -> None:
        base = storage(graph)
        checks = [self.position[self.maker[v]] for v in graph.checks if v in self.maker]
        risky = checks + [i for i, node in enumerate(graph.nodes) if may_fail(node)]
        readers: dict[Value, list[int]] = {}
        for i, node in enumerate(graph.nodes):
            for value in node.inputs:
                readers.setdefault(base[value], []).append(i)
        for old, new in graph.updates:
            if base[new] not in self.maker:
                continue
            writer = self.position[self.maker[base[new]]]
            earlier = {*readers.get(old, ()), *risky} - {writer} - self.before[writer]
            for i in sorted(earlier - self._reached(writer)):
                self._add(i, writer)

    def _reached(self, start: int) -> set[int]:
        """Everything that must run after node `start`."""
        reached: set[int] = set()
        stack = [start]
        while stack:
            for i in self.after[stack.pop()]:
                if i not in reached:
                    reached.add(i)
                    stack.append(i)
        return reached


class Memory:
    """What each node allocates and frees, in bytes; views cost nothing.

    Inputs, outputs and updated values have memory of their own, whatever the order.
    """

    def __init__(self, graph: Graph) -> None:
        base = storage(graph)
        fixed = {base[value] for value in (*graph.inputs, *graph.consts, *graph.results)}
        self.made: list[list[Value]] = []
        self.read: list[set[Value]] = []
        self.readers: dict[Value, set[int]] = {}
        for i, node in enumerate(graph.nodes):
            made = [v for v in node.outputs if base[v] is v and v not in fixed]
            self.made.append(made)
            self.read.append({base[v] for v in node.inputs} - fixed)
            for value in (*made, *self.read[i]):
                self.readers.setdefault(value, set()).add(i)

    def allocated(self, i: int) -> int:
        """Bytes of the outputs of node `i`."""
        return sum(value.spec.nbytes for value in self.made[i])

    def cost(self, order: Sequence[int]) -> tuple[int, int]:
        """The most bytes alive at once, and the bytes alive summed over all nodes."""
        waiting = {value: len(readers) for value, readers in self.readers.items()}
        alive = peak = area = 0
        for i in order:
            alive += self.allocated(i)
            peak, area = max(peak, alive), area + alive
            alive -= sum(value.spec.nbytes for value in self.finish(i, waiting))
        return peak, area

    def finish(self, i: int, waiting: dict[Value, int]) -> list[Value]:
        """Count node `i` as run; the values that nothing waits for any more."""
        ended = []
        for value in {*self.made[i], *self.read[i]}:
            waiting[value] -= 1
            if not waiting[value]:
                ended.append(value)
        return ended


def _earliest(dependencies: _Dependencies) -> Order:
    """The given order, but for nodes that have to wait, and those that checks wait for."""
    late = dependencies.late
    missing = [len(before) for before in dependencies.before]
    ready = [(late[i], i) for i, count in enumerate(missing) if not count]
    heapq.heapify(ready)
    order: Order = []
    while ready:
        _, i = heapq.heappop(ready)
        order.append(i)
        for j in dependencies.after[i]:
            missing[j] -= 1
            if not missing[j]:
                heapq.heappush(ready, (late[j], j))
    return order


def _frugal(dependencies: _Dependencies, memory: Memory) -> Order:
    """The given order, but nodes that free as much as they allocate go first."""
    missing = [len(before) for before in dependencies.before]
    waiting = {value: len(readers) for value, readers in memory.readers.items()}
    done: set[int] = set()

    def priority(i: int) -> tuple[bool, bool, int]:
        freed = sum(v.spec.nbytes for v in {*memory.read[i], *memory.made[i]} if waiting[v] == 1)
        return dependencies.late[i], memory.allocated(i) > freed, i

    ready = [priority(i) for i, count in enumerate(missing) if not count]
    heapq.heapify(ready)
    order: Order = []
    while ready:
        *_, i = heapq.heappop(ready)
        if i in done:
            continue
        done.add(i)
        order.append(i)
        memory.finish(i, waiting)
        for j in dependencies.after[i]:
            missing[j] -= 1
            if not missing[j]:
                heapq.heappush(ready, priority(j))
        for value in memory.read[i]:
            if waiting[value] == 1:  # its last reader may now be one that frees
                for j in memory.readers[value] - done:
                    if not missing[j]:
                        heapq.heappush(ready, priority(j))
    return order
