"""Which nodes can share one kernel: the rules of the loop nest that codegen makes for it.

All nodes work on one domain, a shape. Reductions of a kernel all reduce the same dimensions of
the whole domain. What else is computed has the shape of the domain, of its reductions ("rows"), or
one element.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..ir.graph import Node, Shape, Value
from ..ops import Op
from ..ops.core import reduced_shape

#: A reduction of all dimensions may be followed by work on the whole domain in the same kernel,
#: which is then not split over threads, only below this number of elements.
SMALL = 16384


def fusable(node: Node) -> bool:
    """Whether codegen can make a loop of `node`."""
    op = node.op
    if not isinstance(op, Op) or op.host_only or len(node.outputs) != 1:
        return False
    if not all(_supported(value) for value in (*node.inputs, *node.outputs)):
        return False
    if op.kind in ("pointwise", "random"):
        return op.scalar is not None
    return op.kind == "reduce" and op.combine is not None


def _supported(value: Value) -> bool:
    dtype = value.dtype
    return not dtype.is_complex and not (dtype.is_floating_point and dtype.itemsize < 4)


def is_reduction(node: Node) -> bool:
    """Whether `node` is a reduction; other fusable nodes are pointwise."""
    return isinstance(node.op, Op) and node.op.kind == "reduce"


@dataclass(frozen=True, slots=True)
class Domain:
    """The iteration space of a kernel: its shape, and the dimensions that it reduces."""

    shape: Shape
    dims: tuple[int, ...]

    @property
    def rows(self) -> Shape:
        return reduced_shape(self.shape, self.dims)

    @property
    def by_rows(self) -> bool:
        """Whether a row lies together in memory and can be gone over again while it is in cache."""
        kept = [d for d, extent in enumerate(self.shape) if extent != 1 and d not in self.dims]
        if not kept:
            return math.prod(self.shape) <= SMALL
        return all(d > kept[-1] for d in self.dims)


def common_domain(nodes: Sequence[Node]) -> Domain | None:
    """The domain on which `nodes`, in order, form one kernel; None where they cannot."""
    domain = _domain(nodes)
    if domain is None:
        return None
    shapes = (domain.shape, domain.rows)
    if not all(_belongs(node, shapes) for node in nodes):
        return None
    if domain.dims and not domain.by_rows and _returns_to_domain(nodes, domain.shape):
        return None
    return domain


def _domain(nodes: Sequence[Node]) -> Domain | None:
    reductions = {(n.inputs[0].shape, n.attr("dims")) for n in nodes if is_reduction(n)}
    if len(reductions) > 1:
        return None
    for shape, dims in reductions:
        return Domain(shape, dims)
    largest = max((node.output for node in nodes), key=lambda v: (v.spec.size, v.ndim))
    return Domain(largest.shape, ())


def _belongs(node: Node, shapes: tuple[Shape, Shape]) -> bool:
    """Whether `node` computes single numbers or something of one of the two shapes."""
    value = node.output
    if value.shape in shapes or is_reduction(node) or value.spec.size == 1:
        return True
    missing = len(shapes[0]) - value.ndim
    return missing > 0 and (1,) * missing + value.shape in shapes


def _returns_to_domain(nodes: Iterable[Node], domain: Shape) -> bool:
    """Whether a whole-domain node or a reduction depends on a reduction among `nodes`."""
    late: set[Value] = set()
    for node in nodes:
        after = any(value in late for value in node.inputs)
        whole = is_reduction(node) or node.output.shape == domain
        if after and whole:
            return True
        if after or is_reduction(node):
            late.update(node.outputs)
    return False
