"""Which nodes can share one kernel: the rules of the loop nest that codegen makes for it.

All nodes work on one domain, a shape. Reductions of a kernel all reduce the same dimensions of
the whole domain. What else is computed has the shape of the domain, of its reductions ("rows"), or
one element.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

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
    if op.kind in ("pointwise", "random"):
        has_loop = op.scalar is not None
    else:
        has_loop = op.kind == "reduce" and op.combine is not None
    return has_loop and not any(v.dtype.is_complex for v in (*node.inputs, node.outputs[0]))


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

    @property
    def single_pass(self) -> bool:
        """Whether nothing on the whole domain may depend on a reduction in the same kernel."""
        return bool(self.dims) and not self.by_rows


@dataclass(frozen=True, slots=True)
class Shapes:
    """What a set of nodes computes: operand and dimensions of reductions, shapes of the others."""

    reductions: frozenset[tuple[Shape, tuple[int, ...]]]
    others: frozenset[Shape]

    @staticmethod
    def of(nodes: Iterable[Node]) -> Shapes:
        reductions, others = set(), set()
        for node in nodes:
            if is_reduction(node):
                reductions.add((node.inputs[0].shape, node.attr("dims")))
            else:
                others.add(node.output.shape)
        return Shapes(frozenset(reductions), frozenset(others))

    @property
    def numbers(self) -> bool:
        """Whether there is nothing but single numbers, and no reduction."""
        return not self.reductions and all(math.prod(shape) == 1 for shape in self.others)

    def __or__(self, other: Shapes) -> Shapes:
        if self == other:
            return self
        return Shapes(self.reductions | other.reductions, self.others | other.others)


@lru_cache(maxsize=4096)
def domain_of(shapes: Shapes) -> Domain | None:
    """The domain of nodes that compute `shapes`; None where they have none in common."""
    if len(shapes.reductions) > 1:
        return None
    if shapes.reductions:
        domain = Domain(*next(iter(shapes.reductions)))
    else:
        domain = Domain(max(shapes.others, key=lambda shape: (math.prod(shape), len(shape))), ())
    kinds = (domain.shape, domain.rows)
    return domain if all(_belongs(shape, kinds) for shape in shapes.others) else None


def _belongs(shape: Shape, kinds: tuple[Shape, Shape]) -> bool:
    """Whether `shape` is one of `kinds`, but for leading ones, or has a single element."""
    if shape in kinds or math.prod(shape) == 1:
        return True
    missing = len(kinds[0]) - len(shape)
    return missing > 0 and (1,) * missing + shape in kinds


def returns_to_domain(nodes: Iterable[Node], domain: Domain) -> bool:
    """Whether anything on the whole domain depends on a reduction among `nodes`, in order."""
    late: set[Value] = set()
    for node in nodes:
        after = any(value in late for value in node.inputs)
        whole = is_reduction(node) or node.output.shape == domain.shape
        if after and whole:
            return True
        if after or is_reduction(node):
            late.update(node.outputs)
    return False
