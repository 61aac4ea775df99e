"""Rather computes a value twice than writes it to memory and reads it again.

Reads a partition; finds, for each kernel, nodes of others that it repeats: cheap pointwise ops on
values that are in memory anyway. Typical are slopes that a backward needs, such as 1 - tanh(x)^2,
which fusion has put beside tanh(x) in the forward kernel. Then joins kernels that repeat the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..ir.graph import Node, Value
from ..ops import Op
from ..ops import scalar as s
from .domains import Domain, is_reduction
from .partition import Partition

#: Operations for which one value is rather computed again; a simple vector instruction counts 1.
MAX_COST = 8
#: A value smaller by this factor costs nothing to keep.
SMALL = 8
#: Kernels that read the same value are joined if it has at least so many elements.
MIN_SHARED = 1024

_COST = {"div": 4, "sqrt": 4, "rsqrt": 4, "reciprocal": 4}
_CHEAP = frozenset(
    "add sub mul neg abs max min lt le gt ge eq ne select cast bitand bitor bitxor bitnot "
    "logical_not isnan isinf const operand".split()
)


def recompute(partition: Partition) -> None:
    """Set the copies of each cluster of `partition`."""
    copied: dict[Node, set[int]] = {}
    for cluster in partition.kernels():
        _Kernel(partition, cluster, copied).spare_outputs()


def join_siblings(partition: Partition) -> None:
    """Join kernels over one domain that compute the same node, or read the same large value."""
    first: dict[tuple[Domain, Value | Node], int] = {}
    for cluster in partition.kernels():
        domain = partition.domain(cluster)
        size = math.prod(domain.shape)
        shared: list[Value | Node] = [*partition.in_order(partition.copies[cluster])]
        reads = sorted(partition.reads(cluster), key=lambda value: value.serial)
        shared += [value for value in reads if value.spec.size == size >= MIN_SHARED]
        for thing in shared:
            partition.join(first.setdefault((domain, thing), cluster), cluster)


@dataclass(slots=True)
class _Cone:
    """The nodes that compute a value from `leaves`, which are read from memory."""

    nodes: set[Node] = field(default_factory=set)
    leaves: set[Value] = field(default_factory=set)
    cost: int = 0


class _Kernel:
    """A kernel whose outputs may be computed by their readers instead.

    `copied` tells which clusters have a copy of a node, from all kernels looked at so far.
    """

    def __init__(
        self, partition: Partition, cluster: int, copied: dict[Node, set[int]]
    ) -> None:
        self.partition, self.cluster, self.copied = partition, cluster, copied
        self.own = partition.nodes(cluster)
        self.inside = set(partition.clusters.members[cluster])
        self.kept = {node.output for node in self.own if self._must_stay(node.output)}

    def _must_stay(self, value: Value) -> bool:
        """Whether `value` is needed in memory, whatever kernels do."""
        partition = self.partition
        if value in partition.results:
            return True
        return not all(partition.fusable[i] for i in partition.users.get(value, ()))

    def spare_outputs(self) -> None:
        """Let the readers of an output compute it themselves where that is cheap for all."""
        for node in self.own:
            value = node.output
            if value in self.kept or not self.partition.leaves(value, (self.cluster,)):
                continue
            readers = self._readers(value)
            cones = [self._cone(node, reader) for reader in readers]
            if any(cone is None for cone in cones):
                self.kept.add(value)
                continue
            for reader, cone in zip(readers, cones, strict=True):
                assert cone is not None
                self.partition.add_copies(reader, cone.nodes)
                for copy in cone.nodes:
                    self.copied.setdefault(copy, set()).add(reader)
                self.kept |= cone.leaves & {other.output for other in self.own}

    def _readers(self, value: Value) -> list[int]:
        """The other kernels that read `value`, or have copied something that reads it."""
        partition = self.partition
        users = partition.users[value]
        readers = {partition.clusters.cluster_of[i] for i in users if i not in self.inside}
        for i in users:
            readers |= self.copied.get(partition.graph.nodes[i], set())
        return sorted(readers - {self.cluster})

    def _cone(self, node: Node, reader: int) -> _Cone | None:
        """What `reader` has to repeat to do without the output of `node`; None if too much."""
        cone = _Cone()
        if not self._grow(node, node, cone):
            return None
        have = self.partition.reads(reader)
        more = sum(v.spec.nbytes for v in cone.leaves if v not in have and not _small(v, node))
        if more > node.output.spec.nbytes:
            return None
        return cone if self.partition.can_copy(reader, cone.nodes) else None

    def _grow(self, node: Node, root: Node, cone: _Cone) -> bool:
        """Add `node` and what it needs to `cone`; False if that is too much work."""
        if node in cone.nodes:
            return True
        cone.cost += operations(node)
        if is_reduction(node) or cone.cost > MAX_COST:
            return False
        cone.nodes.add(node)
        for value in node.inputs:
            maker = self.partition.maker.get(value)
            if maker is not None and maker in self.partition.repeated:
                continue
            inner = maker is not None and self.partition.position[maker] in self.inside
            if not inner or value in self.kept or _small(value, root):
                cone.leaves.add(value)
            elif maker is None or not self._grow(maker, root, cone):
                return False
        return True


def _small(value: Value, node: Node) -> bool:
    return value.spec.size * SMALL <= node.output.spec.size


def operations(node: Node) -> int:
    """The cost of one element of a pointwise node; more than `MAX_COST` if it is not cheap."""
    assert isinstance(node.op, Op)
    if node.op.kind != "pointwise" or node.op.scalar is None:
        return MAX_COST + 1
    operands = [s.operand(i) for i in range(len(node.inputs))]
    return _operations(node.op.scalar(*operands, **node.kwargs))


def _operations(formula: s.Operand) -> int:
    if not isinstance(formula, s.Expr) or formula.instr in ("operand", "const"):
        return 0
    own = 1 if formula.instr in _CHEAP else _COST.get(formula.instr, MAX_COST + 1)
    return own + sum(_operations(arg) for arg in formula.args)
