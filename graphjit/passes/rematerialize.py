"""Splits a joint graph of a forward and its backward in two, and decides what to keep in between.

Reads a canonical graph whose results are those of the forward, then gradients that depend on
cotangents; makes a forward graph that also returns what is to be kept, and backward graphs that
take it. What is kept is the cheapest cut, in bytes, between what the forward computes and what the
backward reads: pointwise ops and views may be computed again, all else is kept (Chen et al.,
"Training deep nets with sublinear memory cost", 2016; the cut as in AOTAutograd's partitioner).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..ir.graph import Graph, Node, Value, producers
from .dce import dce

#: kinds of ops that may run again in the backward
_CHEAP = frozenset(("pointwise", "view", "random"))
#: a capacity that no cut pays, and the largest sum of all others
_NEVER, _LARGEST = 1 << 30, 1 << 28


@dataclass(frozen=True, slots=True)
class Halves:
    """`forward` returns the results of the joint graph's forward, then the values of `computed`.

    `kept` are the values that backward graphs read: inputs of the forward, or of `computed`.
    """

    forward: Graph
    kept: tuple[Value, ...]
    computed: tuple[Value, ...]


def split(
    joint: Graph, forward_results: int, later: Sequence[Value], free: Collection[Value]
) -> Halves:
    """Cut `joint`, whose first `forward_results` outputs are those of the forward.

    `later` are the inputs that are not there before the backward, `free` those of the forward that
    the backward may read where they are.
    """
    late = _depending(joint, later)
    read = {v for node in joint.nodes if late.intersection(node.outputs) for v in node.inputs}
    grads = joint.outputs[forward_results:]
    demanded = [v for v in (*read, *grads) if v not in late]
    early = [node for node in joint.nodes if not late.intersection(node.outputs)]
    kept = _cheapest(early, dict.fromkeys(demanded), free, joint)
    computed = tuple(v for v in kept if v not in free)
    forward = replace(
        joint,
        inputs=tuple(v for v in joint.inputs if v not in later),
        nodes=tuple(early),
        outputs=joint.outputs[:forward_results] + computed,
    )
    return Halves(dce(forward), tuple(kept), computed)


def backward(joint: Graph, halves: Halves, later: Sequence[Value], grads: Sequence[Value]) -> Graph:
    """The graph from the values kept, and `later` ones, to `grads`."""
    inputs = (*halves.kept, *later)
    given = set(inputs)
    nodes = tuple(n for n in joint.nodes if not given.intersection(n.outputs))
    return dce(Graph(inputs, nodes, tuple(grads)))


def _depending(graph: Graph, roots: Iterable[Value]) -> set[Value]:
    """The roots, and all that is computed from them."""
    found = set(roots)
    for node in graph.nodes:
        if not found.isdisjoint(node.inputs):
            found.update(node.outputs)
    return found


def _cheapest(
    nodes: Sequence[Node], demanded: Iterable[Value], free: Collection[Value], graph: Graph
) -> list[Value]:
    """The values to keep so that those demanded can be had."""
    maker = producers(nodes)
    values = _needed(demanded, maker)
    number = {value: i for i, value in enumerate(values)}
    source, sink = 2 * len(values), 2 * len(values) + 1
    total = sum(value.spec.nbytes for value in values) or 1
    scale = max(1.0, total / _LARGEST)
    edges: list[tuple[int, int, int]] = []
    for value, i in number.items():
        node = maker.get(value)
        edges.append((2 * i, 2 * i + 1, _price(value, node, free, scale)))
        if node is None or not _is_cheap(node):
            edges.append((source, 2 * i, _NEVER))
        else:
            edges += [(2 * number[v] + 1, 2 * i, _NEVER) for v in set(node.inputs)]
            if not node.inputs:
                edges.append((source, 2 * i, 1))
    edges += [(2 * number[v] + 1, sink, _NEVER) for v in dict.fromkeys(demanded)]
    reached = _source_side(edges, source, sink)
    return [v for v, i in number.items() if 2 * i in reached and 2 * i + 1 not in reached]


def _is_cheap(node: Node) -> bool:
    return node.op.kind in _CHEAP and len(node.outputs) == 1 and not node.op.host_only


def _needed(demanded: Iterable[Value], maker: dict[Value, Node]) -> list[Value]:
    """The values demanded, and all that they could be computed from again."""
    found: dict[Value, None] = {}
    stack = list(demanded)
    while stack:
        value = stack.pop()
        if value not in found:
            found[value] = None
            node = maker.get(value)
            if node is not None and _is_cheap(node):
                stack.extend(node.inputs)
    return list(found)


def _price(value: Value, node: Node | None, free: Collection[Value], scale: float) -> int:
    """What it costs to keep a value: its bytes, written and read; a view costs a copy more."""
    if value in free:
        return 1
    extra = 2 if node is not None and node.op.kind == "view" else 1
    return 2 + int(extra * value.spec.nbytes / scale)


def _source_side(edges: list[tuple[int, int, int]], source: int, sink: int) -> set[int]:
    """The places that remain reachable from the source when the most is flowing to the sink."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    table: dict[tuple[int, int], int] = {}
    for start, stop, capacity in edges:
        table[start, stop] = min(_NEVER, table.get((start, stop), 0) + capacity)
    rows, columns = np.array(list(table), np.int32).reshape(-1, 2).T
    capacities = np.array(list(table.values()), np.int32)
    network = csr_array((capacities, (rows, columns)), shape=(sink + 1, sink + 1))
    residual = (network - maximum_flow(network, source, sink).flow).tocsr()
    residual.data = (residual.data > 0).astype(np.int32)
    residual.eliminate_zeros()
    order = breadth_first_order(residual, source, return_predecessors=False)
    return set(order.tolist())
