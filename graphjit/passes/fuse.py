"""Fusion: pointwise ops and reductions over one domain become one `fused` node each.

Reads canonical nodes; makes `fused` nodes whose body holds them, in an order that respects all
dependencies. What is joined: pointwise with pointwise, producers with reductions, reductions with
what follows on the same rows (softmax, layer norm and cross entropy are one kernel each), and
reductions of the same values over the same dimensions.

Not joined: what a third node lies between (that would be a cycle), different domains or reduced
dimensions, more than `MAX_BUFFERS` arrays. Constants, `iota` and short calculations with single
numbers are repeated in each kernel that needs them.
"""

from __future__ import annotations

from ..ir.graph import Builder, Graph, Node, Value, producers
from ..ops.fused import fused
from .clusters import Clusters
from .domains import common_domain, fusable, is_reduction

MAX_BUFFERS = 24
MAX_NODES = 256
#: So many operations on single numbers are rather repeated than given a kernel of their own.
MAX_REPEATED = 4
#: Reductions of the same operand are joined if they are at least this large.
MIN_SHARED = 1024


def fuse(graph: Graph) -> Graph:
    """The same graph with every fusable node inside a `fused` node."""
    partition = _Partition(graph)
    while partition.join_neighbours():
        pass
    partition.join_siblings()
    return partition.graph_of_kernels()


class _Partition:
    """The nodes of a graph as clusters, each of which is one kernel or one node left alone."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.clusters = Clusters(graph)
        self.maker = producers(graph.nodes)
        self.position = {node: i for i, node in enumerate(graph.nodes)}
        self.users = _users(graph)
        self.results = set(graph.results)
        self.repeated = _repeated(graph, self.maker)
        self.joinable = [
            fusable(node) and node not in self.repeated for node in graph.nodes
        ]  # fmt: skip
        self.refused: set[tuple[int, int, int, int]] = set()

    def nodes(self, cluster: int) -> list[Node]:
        return [self.graph.nodes[i] for i in self.clusters.members[cluster]]

    def join_neighbours(self) -> bool:
        """Join producers and consumers where possible; whether any were joined."""
        joined = False
        for i, node in enumerate(self.graph.nodes):
            if not self.joinable[i]:
                continue
            operands = sorted(set(node.inputs), key=lambda v: (-v.spec.size, v.serial))
            for value in operands:
                maker = self.maker.get(value)
                if maker is not None and self.joinable[self.position[maker]]:
                    joined |= self._join(self.position[maker], i)
        return joined

    def join_siblings(self) -> None:
        """Join reductions that read the same large value."""
        for users in self.users.values():
            reducing = [i for i in users if self.joinable[i] and self._reduces(i)]
            for i in reducing[1:]:
                self._join(reducing[0], i)

    def _reduces(self, i: int) -> bool:
        cluster = self.clusters.cluster_of[i]
        large = self.graph.nodes[i].inputs[0].spec.size >= MIN_SHARED
        return large and any(is_reduction(node) for node in self.nodes(cluster))

    def _join(self, i: int, j: int) -> bool:
        a, b = self.clusters.cluster_of[i], self.clusters.cluster_of[j]
        if a == b:
            return False
        key = (a, len(self.clusters.members[a]), b, len(self.clusters.members[b]))
        if key in self.refused:
            return False
        if self._fits(a, b) and not self.clusters.separated(a, b):
            self.clusters.merge(a, b)
            return True
        self.refused.add(key)
        return False

    def _fits(self, a: int, b: int) -> bool:
        members = sorted(self.clusters.members[a] + self.clusters.members[b])
        if len(members) > MAX_NODES or self._is_shared_number(a, b):
            return False
        nodes = [self.graph.nodes[i] for i in members]
        if common_domain(nodes) is None:
            return False
        inputs, outputs = self.boundary(nodes)
        return len(inputs) + len(outputs) <= MAX_BUFFERS

    def _is_shared_number(self, a: int, b: int) -> bool:
        """Whether `a` computes single numbers, without a reduction, for others beside `b`."""
        nodes = self.nodes(a)
        if any(is_reduction(node) or node.output.spec.size != 1 for node in nodes):
            return False
        if all(node.output.spec.size == 1 for node in self.nodes(b)):
            return False
        inside = {*self.clusters.members[a], *self.clusters.members[b]}
        return any(
            node.output in self.results or not inside.issuperset(self.users.get(node.output, ()))
            for node in nodes
        )

    def boundary(self, nodes: list[Node]) -> tuple[list[Value], list[Value]]:
        """The values that a kernel of `nodes` reads and those that it must write."""
        members = {self.position[node] for node in nodes}
        made = {node.output for node in nodes}
        inputs: dict[Value, None] = {}
        for node in nodes:
            self._read(node, made, inputs)
        outputs = [
            node.output
            for node in nodes
            if node.output in self.results
            or not members.issuperset(self.users.get(node.output, ()))
        ]
        return list(inputs), outputs

    def _read(self, node: Node, made: set[Value], inputs: dict[Value, None]) -> None:
        for value in node.inputs:
            if value in made:
                continue
            maker = self.maker.get(value)
            if maker is not None and maker in self.repeated:
                self._read(maker, made, inputs)
            else:
                inputs[value] = None

    def graph_of_kernels(self) -> Graph:
        """The graph with each cluster as one node."""
        build = Builder()
        known = {value: value for value in (*self.graph.inputs, *self.graph.consts)}
        for cluster in self.clusters.order():
            nodes = self.nodes(cluster)
            if not fusable(nodes[0]):
                self._copy(nodes[0], known, build)
            elif nodes[0] not in self.repeated or self._needed_outside(nodes[0]):
                self._make_kernel(nodes, known, build)
        return Graph(
            self.graph.inputs,
            tuple(build.nodes),
            tuple(known[value] for value in self.graph.outputs),
            tuple((old, known[new]) for old, new in self.graph.updates),
            self.graph.consts,
            tuple(known[value] for value in self.graph.checks),
        )

    def _needed_outside(self, node: Node) -> bool:
        """Whether something other than a kernel reads a repeated node."""
        users = self.users.get(node.output, ())
        return node.output in self.results or any(
            not fusable(self.graph.nodes[i]) for i in users
        )

    def _copy(self, node: Node, known: dict[Value, Value], build: Builder) -> None:
        inputs = tuple(known[value] for value in node.inputs)
        if inputs == node.inputs:
            outputs = build.append(node)
        else:
            outputs = build.add(node.op, inputs, node.attrs, node.loc)
        known.update(zip(node.outputs, outputs, strict=True))

    def _make_kernel(self, nodes: list[Node], known: dict[Value, Value], build: Builder) -> None:
        inputs, outputs = self.boundary(nodes)
        body = Builder()
        inner = {value: Value(value.spec) for value in inputs}
        for node in nodes:
            self._inline(node, inner, body)
        arguments = tuple(inner[value] for value in inputs)
        graph = Graph(arguments, tuple(body.nodes), tuple(inner[value] for value in outputs))
        operands = [known[value] for value in inputs]
        results = build.add(fused, operands, {"body": graph}, nodes[-1].loc)
        known.update(zip(outputs, results, strict=True))

    def _inline(self, node: Node, inner: dict[Value, Value], body: Builder) -> None:
        for value in node.inputs:
            if value not in inner:
                self._inline(self.maker[value], inner, body)
        operands = [inner[value] for value in node.inputs]
        (inner[node.output],) = body.add(node.op, operands, node.attrs, node.loc)


def _users(graph: Graph) -> dict[Value, set[int]]:
    table: dict[Value, set[int]] = {}
    for i, node in enumerate(graph.nodes):
        for value in node.inputs:
            table.setdefault(value, set()).add(i)
    return table


def _repeated(graph: Graph, maker: dict[Value, Node]) -> dict[Node, int]:
    """The nodes that each kernel computes for itself, and how many operations each takes."""
    cost: dict[Node, int] = {}
    for node in graph.nodes:
        if not fusable(node) or getattr(node.op, "kind", "") != "pointwise":
            continue
        if not node.inputs:
            cost[node] = 0
        elif node.output.spec.size == 1:
            makers = [maker[value] for value in node.inputs if value in maker]
            if all(m in cost or not fusable(m) for m in makers):
                total = 1 + sum(cost.get(m, 0) for m in makers)
                if total <= MAX_REPEATED:
                    cost[node] = total
    return cost
