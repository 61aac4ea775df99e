"""Decides which nodes share a kernel: joins clusters of nodes along edges.

Reads canonical nodes; makes a partition of them. Joined are pointwise ops with pointwise ops,
producers with reductions, and reductions with what follows on the same rows.

Not joined is what a third node lies between (that would be a cycle), what has another domain or
reduces other dimensions (`domains`), and more than `MAX_BUFFERS` arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..ir.graph import Graph, Node, Shape, Value, producers
from .clusters import Clusters
from .domains import common_domain, fusable, is_reduction

MAX_BUFFERS = 32
MAX_NODES = 256
#: So many operations on single numbers are rather repeated than given a kernel of their own.
MAX_REPEATED = 4


class Partition:
    """The nodes of a graph as clusters: each one kernel, or one node left alone.

    Clusters and nodes go by the number of the node in the graph; a cluster has the number of one of
    its nodes. Nodes in `repeated` belong to no kernel: each kernel that needs one computes it for
    itself. `copies` are nodes of other clusters that a cluster computes again.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.clusters = Clusters(graph)
        self.maker = producers(graph.nodes)
        self.position = {node: i for i, node in enumerate(graph.nodes)}
        self.users = _users(graph)
        self.results = set(graph.results)
        self.repeated = _repeated(graph, self.maker)
        self.fusable = [fusable(node) for node in graph.nodes]
        self.copies: dict[int, set[Node]] = {i: set() for i in range(len(graph.nodes))}
        self._refused: set[tuple[int, int, int, int]] = set()
        #: The shape of all nodes of a cluster, where it is one shape and there is no reduction.
        self._plain: dict[int, Shape | None] = {
            i: None if is_reduction(node) or not node.outputs else node.outputs[0].shape
            for i, node in enumerate(graph.nodes)
        }

    def nodes(self, cluster: int) -> list[Node]:
        """The nodes that belong to a cluster, in the order of the graph."""
        return [self.graph.nodes[i] for i in self.clusters.members[cluster]]

    def body(self, cluster: int) -> list[Node]:
        """The nodes that the kernel of a cluster computes, in the order of the graph."""
        return self.in_order({*self.nodes(cluster), *self.copies[cluster]})

    def in_order(self, nodes: Iterable[Node]) -> list[Node]:
        """`nodes` in the order of the graph."""
        return sorted(nodes, key=self.position.__getitem__)

    def kernels(self) -> list[int]:
        """The clusters that are kernels, in an order that respects dependencies."""
        return [cluster for cluster in self.clusters.order() if self.joinable(cluster)]

    def joinable(self, i: int) -> bool:
        """Whether node `i` may share a kernel."""
        return self.fusable[i] and self.graph.nodes[i] not in self.repeated

    def join_neighbours(self) -> bool:
        """Join producers and consumers where possible; whether any were joined."""
        joined = False
        for i, node in enumerate(self.graph.nodes):
            if not self.joinable(i):
                continue
            for value in sorted(set(node.inputs), key=lambda v: (-v.spec.size, v.serial)):
                maker = self.maker.get(value)
                if maker is not None and self.joinable(self.position[maker]):
                    joined |= self.join(self.position[maker], i)
        return joined

    def join(self, i: int, j: int) -> bool:
        """Join the clusters of two nodes if they can be; whether that was so."""
        a, b = self.clusters.cluster_of[i], self.clusters.cluster_of[j]
        if a == b:
            return False
        key = (a, len(self.clusters.members[a]), b, len(self.clusters.members[b]))
        if key in self._refused:
            return False
        if not self._fits(a, b) or self.clusters.separated(a, b):
            self._refused.add(key)
            return False
        joint = self.clusters.merge(a, b)
        plain = self._plain.pop(a), self._plain.pop(b)
        self._plain[joint] = plain[0] if plain[0] == plain[1] else None
        copies = self.copies.pop(a) | self.copies.pop(b)
        self.copies[joint] = copies - set(self.nodes(joint))
        return True

    def _fits(self, a: int, b: int) -> bool:
        own = {*self.clusters.members[a], *self.clusters.members[b]}
        if len(own) > MAX_NODES or self._is_shared_number(a, b):
            return False
        copies = self.copies[a] | self.copies[b]
        nodes = [self.graph.nodes[i] for i in sorted(own)]
        plain = self._plain[a] is not None and self._plain[a] == self._plain[b]
        if plain and not copies and sum(len(node.inputs) + 1 for node in nodes) <= MAX_BUFFERS:
            return True
        return self.valid(nodes, copies)

    def valid(self, own: Sequence[Node], copies: Iterable[Node]) -> bool:
        """Whether `own` nodes, and copies of others, can be a kernel."""
        body = self.in_order({*own, *copies})
        if common_domain(body) is None:
            return False
        inside = {self.position[node] for node in own}
        written = sum(self.leaves(node.output, inside) for node in own)
        return len(self.reads(body)) + written <= MAX_BUFFERS

    def _is_shared_number(self, a: int, b: int) -> bool:
        """Whether `a` computes single numbers, without a reduction, for others beside `b`."""
        nodes = self.nodes(a)
        if any(is_reduction(node) or node.output.spec.size != 1 for node in nodes):
            return False
        if all(node.output.spec.size == 1 for node in self.nodes(b)):
            return False
        inside = {*self.clusters.members[a], *self.clusters.members[b]}
        return any(self.leaves(node.output, inside) for node in nodes)

    def leaves(self, value: Value, inside: set[int]) -> bool:
        """Whether anything but the nodes `inside` reads `value`."""
        return value in self.results or not inside.issuperset(self.users.get(value, ()))

    def reads(self, body: Iterable[Node]) -> dict[Value, None]:
        """The values that a kernel of the nodes `body`, in order, reads from memory."""
        made: set[Value] = set()
        found: dict[Value, None] = {}

        def read(node: Node) -> None:
            for value in node.inputs:
                if value not in made:
                    maker = self.maker.get(value)
                    if maker is None or maker not in self.repeated:
                        found[value] = None
                    else:
                        made.add(value)
                        read(maker)

        for node in body:
            read(node)
            made.update(node.outputs)
        return found


def _users(graph: Graph) -> dict[Value, set[int]]:
    table: dict[Value, set[int]] = {}
    for i, node in enumerate(graph.nodes):
        for value in node.inputs:
            table.setdefault(value, set()).add(i)
    return table


def _repeated(graph: Graph, maker: dict[Value, Node]) -> dict[Node, int]:
    """Constants, `iota` and short calculations with numbers; how many operations each takes."""
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
