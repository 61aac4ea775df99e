"""Moves views to where they cost nothing and make contractions and kernels larger.

- Products: see `products`.
- A slice of a pointwise result is the pointwise op on slices, where nothing else needs the rest and
  pointwise ops follow (an LSTM cell then is one kernel, from its gates on).
- Dimensions of extent 1 are added to the operands of a pointwise op rather than to its result.
- A sum of slices put into zeros is a concatenation.

Views of operands stay views: contractions and kernels take strides.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from ..ir.graph import Graph, Node, Value
from ..ops import Op
from . import products
from .fold import filled
from .sweep import Rules, Site, sweep
from .views import aligned_shape, without_ones


def layout(graph: Graph) -> Graph:
    """The same graph with views moved."""
    graph = sweep(graph, merged(products.RULES, OWN_RULES))
    return sweep(graph, merged(products.SMALL_RULES, products.RULES, OWN_RULES))


def merged(*tables: Rules) -> Rules:
    """The rules of all tables for each op, in the order of the tables."""
    names = [name for table in tables for name in table]
    return {name: tuple(r for table in tables for r in table.get(name, ())) for name in names}


def _pointwise(node: Node | None) -> Node | None:
    """`node`, if it is a pointwise op on operands."""
    if node is None or not isinstance(node.op, Op) or node.op.scalar is None or not node.inputs:
        return None
    return node if node.op.kind == "pointwise" else None


def _slice_of_pointwise(site: Site) -> Value | None:
    """slice_(op(x, y)) as op(slice_(x), slice_(y))."""
    maker = _pointwise(site.build.producer.get(site.inputs[0]))
    if maker is None or not _only_slices(site) or not _goes_on_pointwise(site):
        return None
    dim, ndim = site.node.attr("dim"), maker.output.ndim
    operands = []
    for value in maker.inputs:
        place = dim - (ndim - value.ndim)
        if place < 0 or value.shape[place] != maker.output.shape[dim]:  # it is broadcast
            operands.append(value)
        else:
            operands.append(site.make("slice_", value, **{**site.node.kwargs, "dim": place}))
    return site.build.add(maker.op, operands, maker.attrs, maker.loc)[0]


def _only_slices(site: Site) -> bool:
    """Whether the operand is read through slices alone, which do not overlap."""
    source = site.node.inputs[0]
    readers = site.context.users[source]
    if source in site.context.results or any(r.op is not site.node.op for r in readers):
        return False
    dim = site.node.attr("dim")
    if any(reader.attr("dim") != dim or reader.attr("step") != 1 for reader in readers):
        return False
    ranges = sorted({(r.attr("start"), r.attr("start") + r.output.shape[dim]) for r in readers})
    return all(a[1] <= b[0] for a, b in itertools.pairwise(ranges))


def _goes_on_pointwise(site: Site) -> bool:
    """Whether the slice is read by pointwise ops alone."""
    readers = site.context.users.get(site.node.output, [])
    return site.node.output not in site.context.results and all(map(_pointwise, readers))


def _added_ones_of_pointwise(site: Site) -> Value | None:
    """reshape(op(x, y)) as op(reshape(x), reshape(y)), where it only adds dimensions."""
    maker = _pointwise(site.build.producer.get(site.inputs[0]))
    before, after = site.inputs[0].shape, site.node.output.shape
    if maker is None or len(after) <= len(before) or without_ones(before) != without_ones(after):
        return None
    if not site.only_reader() or site.node.output in site.context.results:
        return None
    operands = []
    for value in maker.inputs:
        padded = (1,) * (len(before) - value.ndim) + value.shape
        shape = () if value.spec.size == 1 else aligned_shape(padded, before, after)
        operands.append(site.reshape(value, shape))
    result = site.build.add(maker.op, operands, maker.attrs, maker.loc)[0]
    return site.reshape(result, after)


@dataclass(frozen=True, slots=True)
class _Part:
    """Elements start:stop along a dimension."""

    start: int
    stop: int
    value: Value


def _sum_of_parts(site: Site) -> Value | None:
    """add(slice_scatter(0, x), slice_scatter(0, y)) along one dimension as concat(x, y)."""
    makers = [
        site.made_by(value, "slice_scatter") or site.made_by(value, "concat")
        for value in site.inputs
    ]
    dims = {maker.attr("dim") for maker in makers if maker is not None}
    if len(dims) != 1 or not (site.only_reader(0) and site.only_reader(1)):
        return None
    parts: list[_Part] = []
    for maker in makers:
        found = None if maker is None else _parts(site, maker)
        if found is None:
            return None
        parts += found
    parts.sort(key=lambda part: part.start)
    if any(a.stop > b.start for a, b in itertools.pairwise(parts)):
        return None
    return _concatenated(site, parts, dims.pop())


def _parts(site: Site, node: Node) -> list[_Part] | None:
    """What is not zero in a slice put into zeros, or in a concatenation with zeros."""
    dim = node.attr("dim")
    if node.op.name == "slice_scatter":
        base, new = node.inputs
        if site.number(base) != 0 or node.attr("step") != 1:
            return None
        start = node.attr("start")
        return [_Part(start, start + new.shape[dim], new)]
    parts, start = [], 0
    for value in node.inputs:
        stop = start + value.shape[dim]
        if site.number(value) != 0:
            parts.append(_Part(start, stop, value))
        start = stop
    return parts


def _concatenated(site: Site, parts: list[_Part], dim: int) -> Value:
    """`parts` with zeros between them."""
    pieces: list[Value] = []
    position = 0
    for part in parts:
        _fill(site, pieces, position, part.start, dim)
        pieces.append(part.value)
        position = part.stop
    _fill(site, pieces, position, site.node.output.shape[dim], dim)
    return site.make("concat", *pieces, dim=dim)


def _fill(site: Site, pieces: list[Value], start: int, stop: int, dim: int) -> None:
    if stop > start:
        whole = site.node.output
        shape = (*whole.shape[:dim], stop - start, *whole.shape[dim + 1 :])
        pieces.append(filled(site.build, 0, whole.spec.with_shape(shape), site.node.loc))


OWN_RULES: Rules = {
    "slice_": (_slice_of_pointwise,),
    "reshape": (_added_ones_of_pointwise,),
    "add": (_sum_of_parts,),
}
