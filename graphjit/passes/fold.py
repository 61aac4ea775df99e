"""Constant folding: computes, while compiling, what depends on constants alone.

Constants are `constant` (0-d) and `full` nodes. A result whose elements are all equal becomes such
a node again; anything else stays as it was, for a table in memory beats no loop that makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import Location
from ..ir.graph import Builder, Graph, Node, Shape, Spec, Value, keep, rebuild
from ..ops import OPS, Op
from .building import constant, on_device

#: Larger operands are not computed while compiling.
LARGEST = 4096
_CONSTANT, _FULL = OPS["constant"], OPS["full"]


def fold(graph: Graph) -> Graph:
    """The same graph with constants in place of nodes that depend on constants only."""

    def visit(node: Node, inputs: tuple[Value, ...], build: Builder) -> tuple[Value, ...]:
        assert isinstance(node.op, Op)
        result = folded(build, node.op, inputs, node.kwargs)
        if result is None:
            return keep(node, inputs, build)
        return (filled(build, result, node.output.spec, node.loc),)

    return rebuild(graph, visit)


def uniform(build: Builder, value: Value) -> Any | None:
    """The number that every element of a `constant` or `full` is; None for other values."""
    node = build.producer.get(value)
    if node is None or (node.op is not _CONSTANT and node.op is not _FULL):
        return None
    return node.attr("value")


def filled(build: Builder, number: Any, spec: Spec, loc: Location | None) -> Value:
    """A value of type `spec` whose elements are all `number`."""
    if not spec.shape:
        return constant(build, number, spec.dtype, loc, spec.device)
    rounded = spec.dtype.numpy.type(number).item()
    attrs = {"shape": spec.shape, "value": rounded, "dtype": spec.dtype}
    return build.add(OPS["full"], (), {**attrs, **on_device(spec.device)}, loc)[0]


def folded(
    build: Builder, op: Op, inputs: Sequence[Value], attrs: dict[str, Any]
) -> Any | None:
    """The number that `op` gives everywhere; None where it gives no such thing."""
    known: list[Any] = []
    for value in inputs:
        number = uniform(build, value)
        if number is None:
            return None
        known.append(number)
    if not known or op.kind not in ("pointwise", "reduce", "view"):
        return None
    if op.host_only or op.n_outputs != 1:
        return None
    if op.kind == "pointwise":
        arrays = [_array(value, number, ()) for value, number in zip(inputs, known, strict=True)]
    elif all(value.spec.size <= LARGEST for value in inputs):
        pairs = zip(inputs, known, strict=True)
        arrays = [_array(value, number, value.shape) for value, number in pairs]
    else:
        return None
    with np.errstate(all="ignore"):
        result = np.asarray(op.eval(np, *arrays, **attrs))
    first = _only_element(result)
    return None if first is None else first.item()


def _array(value: Value, number: Any, shape: Shape) -> Any:
    return np.full(shape, number, value.dtype.numpy)


def _only_element(array: Any) -> Any | None:
    """The element that all of `array` equals bit by bit, as a 0-d array."""
    if array.size == 0:
        return None
    first = np.asarray(array.reshape(-1)[0])
    same = np.broadcast_to(first, array.shape).tobytes() == array.tobytes()
    return first if same else None
