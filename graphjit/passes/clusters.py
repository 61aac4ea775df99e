"""A partition of a graph's nodes that can be contracted without making a cycle.

Keeps a topological order of the clusters up to date while they are merged, so that looking for a
path between two of them never leaves the stretch between their places in that order.
"""

from __future__ import annotations

from ..ir.graph import Graph, producers


class Clusters:
    """Clusters are numbered; at first, cluster i is node i of the graph."""

    def __init__(self, graph: Graph) -> None:
        count = len(graph.nodes)
        self.members: dict[int, list[int]] = {i: [i] for i in range(count)}
        self.cluster_of = list(range(count))
        self.before: dict[int, set[int]] = {i: set() for i in range(count)}
        self.after: dict[int, set[int]] = {i: set() for i in range(count)}
        self._place = list(range(count))
        self._order: list[int | None] = list(range(count))
        #: Bit sets of nodes: those in the cluster, and those that lead to it in the graph.
        self._bits = [1 << i for i in range(count)]
        self._ancestors = [0] * count
        #: What was found when two clusters were last looked at: they are mostly merged next.
        self._last: tuple[int, int, set[int]] = (-1, -1, set())
        position = {node: i for i, node in enumerate(graph.nodes)}
        makers = producers(graph.nodes)
        for i, node in enumerate(graph.nodes):
            for maker in {makers[value] for value in node.inputs if value in makers}:
                self._connect(position[maker], i)

    def _connect(self, a: int, b: int) -> None:
        self.before[b].add(a)
        self.after[a].add(b)
        self._ancestors[b] |= self._ancestors[a] | self._bits[a]

    def order(self) -> list[int]:
        """All clusters, each after those that it depends on."""
        return [cluster for cluster in self._order if cluster is not None]

    def separated(self, a: int, b: int) -> bool:
        """Whether a third cluster lies on a path between `a` and `b`, which then cannot merge."""
        if self._place[a] > self._place[b]:
            a, b = b, a
        if self._can_rise(a, b) or self._can_sink(a, b):
            return False
        bits = self._bits[a]
        if any(self._ancestors[c] & bits for c in self.before[b] if c != a):
            return True
        self._last = (a, b, self._reached(a, b))
        return b in self._last[2]

    def _can_rise(self, a: int, b: int) -> bool:
        """Whether all that `b` needs but `a` stands before `a`."""
        place = self._place[a]
        return all(self._place[c] < place for c in self.before[b] if c != a)

    def _can_sink(self, a: int, b: int) -> bool:
        """Whether all that needs `a` but `b` stands behind `b`."""
        place = self._place[b]
        return all(self._place[c] > place for c in self.after[a] if c != b)

    def _reached(self, a: int, b: int) -> set[int]:
        """The clusters that `a` reaches, other than by an edge to `b`, ordered up to `b`."""
        limit = self._place[b]
        stack = [c for c in self.after[a] if c != b and self._place[c] <= limit]
        reached = set(stack)
        while stack:
            for c in self.after[stack.pop()]:
                if c not in reached and self._place[c] <= limit:
                    reached.add(c)
                    stack.append(c)
        return reached

    def merge(self, a: int, b: int) -> int:
        """Join two clusters that are not separated; returns the number of the joint one."""
        if self._place[a] > self._place[b]:
            a, b = b, a
        self._reorder(a, b)
        self.members[a] = sorted(self.members[a] + self.members.pop(b))
        for i in self.members[a]:
            self.cluster_of[i] = a
        self._bits[a] |= self._bits[b]
        self._ancestors[a] |= self._ancestors[b]
        for c in self.before.pop(b):
            self.after[c].discard(b)
            if c != a:
                self.after[c].add(a)
                self.before[a].add(c)
        for c in self.after.pop(b):
            self.before[c].discard(b)
            self.before[c].add(a)
            self.after[a].add(c)
        self.after[a].discard(b)
        self._last = (-1, -1, set())
        return a

    def _reorder(self, a: int, b: int) -> None:
        """Give `a` the place of both: what depends on it comes behind, the rest before."""
        start, end = self._place[a], self._place[b]
        if self._can_rise(a, b):
            self._order[end] = None
            return
        if self._can_sink(a, b):
            self._order[start], self._order[end] = None, a
            self._place[a] = end
            return
        late = self._last[2] if self._last[:2] == (a, b) else self._reached(a, b)
        between = [c for c in self._order[start + 1 : end] if c is not None]
        moved = [*(c for c in between if c not in late), a, *(c for c in between if c in late)]
        self._order[start : end + 1] = moved + [None] * (end + 1 - start - len(moved))
        for place, cluster in enumerate(moved, start):
            self._place[cluster] = place
