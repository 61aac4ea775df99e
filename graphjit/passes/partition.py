"""Decides which nodes share a kernel: joins clusters of nodes along edges.

Reads canonical nodes; makes a partition of them. Joined are pointwise ops with pointwise ops,
producers with reductions, and reductions with what follows on the same rows.

Not joined is what a third node lies between (that would be a cycle), what has another domain or
reduces other dimensions (`domains`), and more than `MAX_BUFFERS` arrays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ..ir.graph import Graph, Node, Value, producers
from .clusters import Clusters
from .domains import Domain, Shapes, domain_of, fusable, returns_to_domain

MAX_BUFFERS = 32
MAX_NODES = 256
#: So many operations on single numbers are rather repeated than given a kernel of their own.
MAX_REPEATED = 4


@dataclass(frozen=True, slots=True)
class _Boundary:
    """A kernel from outside: the shapes it computes, the values it reads and must write."""

    shapes: Shapes
    reads: frozenset[Value]
    leaving: frozenset[Value]

    @property
    def buffers(self) -> int:
        return len(self.reads) + len(self.leaving)


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
        self.fusable = [fusable(node) for node in graph.nodes]
        self.repeated = self._repeated_nodes()
        self._edges = self._joinable_edges()
        self.copies: dict[int, set[Node]] = {i: set() for i in range(len(graph.nodes))}
        self._refused: set[tuple[int, int, int, int]] = set()
        self._boundary = {
            i: self._boundary_of([node], ())
            for i, node in enumerate(graph.nodes)
            if self.joinable(i)
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

    def reads(self, cluster: int) -> frozenset[Value]:
        """The values that the kernel of a cluster reads from memory."""
        return self._boundary[cluster].reads

    def domain(self, cluster: int) -> Domain:
        """The domain of the kernel of a cluster."""
        domain = domain_of(self._boundary[cluster].shapes)
        assert domain is not None
        return domain

    def leaves(self, value: Value, inside: Collection[int]) -> bool:
        """Whether `value` is a result, or read by anything but the clusters `inside`."""
        place = self.clusters.cluster_of
        return value in self.results or any(
            place[i] not in inside for i in self.users.get(value, ())
        )

    def _repeated_nodes(self) -> dict[Node, int]:
        """Constants, `iota`, short calculations with numbers; how many operations each takes."""
        cost: dict[Node, int] = {}
        for i, node in enumerate(self.graph.nodes):
            if not self.fusable[i] or getattr(node.op, "kind", "") != "pointwise":
                continue
            if not node.inputs:
                cost[node] = 0
            elif node.output.spec.size == 1:
                makers = [self.maker[value] for value in node.inputs if value in self.maker]
                if all(m in cost or not self.fusable[self.position[m]] for m in makers):
                    total = 1 + sum(cost.get(m, 0) for m in makers)
                    if total <= MAX_REPEATED:
                        cost[node] = total
        return cost

    def join_neighbours(self) -> bool:
        """Join producers and consumers where possible; whether any were joined."""
        joined = False
        for maker, i in self._edges:
            joined |= self.join(maker, i)
        return joined

    def _joinable_edges(self) -> list[tuple[int, int]]:
        """Pairs of a producer and a consumer; a consumer's largest operand comes first."""
        edges: list[tuple[int, int]] = []
        for i, node in enumerate(self.graph.nodes):
            if self.joinable(i):
                operands = [value for value in set(node.inputs) if value in self.maker]
                operands.sort(key=lambda value: (-value.spec.size, value.serial))
                makers = [self.position[self.maker[value]] for value in operands]
                edges += [(maker, i) for maker in makers if self.joinable(maker)]
        return edges

    def join(self, i: int, j: int) -> bool:
        """Join the clusters of two nodes if they can be; whether that was so."""
        a, b = self.clusters.cluster_of[i], self.clusters.cluster_of[j]
        if a == b:
            return False
        key = (a, len(self.clusters.members[a]), b, len(self.clusters.members[b]))
        if key in self._refused:
            return False
        boundary = self._joint_boundary(a, b)
        if boundary is None or self.clusters.separated(a, b):
            self._refused.add(key)
            return False
        joint = self.clusters.merge(a, b)
        copies = self.copies.pop(a) | self.copies.pop(b)
        self.copies[joint] = copies - set(self.nodes(joint))
        del self._boundary[a], self._boundary[b]
        self._boundary[joint] = boundary
        return True

    def can_copy(self, cluster: int, copies: Iterable[Node]) -> bool:
        """Whether a cluster could compute `copies` as well."""
        own, every = self.nodes(cluster), self.copies[cluster].union(copies)
        return self._allowed(self._boundary_of(own, every), {*own, *every})

    def add_copies(self, cluster: int, copies: Iterable[Node]) -> None:
        """Let a cluster compute `copies` as well."""
        self.copies[cluster] |= {*copies}
        own = self.nodes(cluster)
        self._boundary[cluster] = self._boundary_of(own, self.copies[cluster])

    def _joint_boundary(self, a: int, b: int) -> _Boundary | None:
        """The boundary of two clusters joined; None where they cannot be one kernel."""
        size = len(self.clusters.members[a]) + len(self.clusters.members[b])
        if size > MAX_NODES or self._is_shared_number(a, b):
            return None
        one, two = self._boundary[a], self._boundary[b]
        shapes = one.shapes | two.shapes
        domain = domain_of(shapes)
        if domain is None:
            return None
        made = {*one.leaving, *two.leaving}
        made.update(node.output for node in self.copies[a] | self.copies[b])
        reads = (one.reads | two.reads) - made
        inner = one.leaving & two.reads | two.leaving & one.reads
        gone = {value for value in inner if not self.leaves(value, (a, b))}
        leaving = (one.leaving | two.leaving) - gone
        boundary = _Boundary(shapes, reads, leaving)
        body = {*self.body(a), *self.body(b)} if domain.single_pass else ()
        return boundary if self._allowed(boundary, body) else None

    def _allowed(self, boundary: _Boundary, body: Collection[Node]) -> bool:
        """Whether there can be a kernel of the nodes `body`."""
        domain = domain_of(boundary.shapes)
        if domain is None or boundary.buffers > MAX_BUFFERS:
            return False
        return not domain.single_pass or not returns_to_domain(self.in_order(body), domain)

    def _boundary_of(self, own: Sequence[Node], copies: Collection[Node]) -> _Boundary:
        """The boundary of a cluster of `own` nodes that computes `copies` as well."""
        body = self.in_order({*own, *copies}) if copies else own
        inside = {self.clusters.cluster_of[self.position[own[0]]]}
        leaving = [node.output for node in own if self.leaves(node.output, inside)]
        return _Boundary(Shapes.of(body), frozenset(self._reads(body)), frozenset(leaving))

    def _is_shared_number(self, a: int, b: int) -> bool:
        """Whether `a` computes single numbers, without a reduction, for others beside `b`."""
        one, two = self._boundary[a], self._boundary[b]
        if not one.shapes.numbers or two.shapes.numbers:
            return False
        return any(self.leaves(value, (a, b)) for value in one.leaving)

    def _reads(self, body: Iterable[Node]) -> dict[Value, None]:
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
