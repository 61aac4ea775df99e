"""`fused`: one kernel, whose meaning is a body graph of pointwise ops and reductions.

The body works on one domain: the shape of its reductions' operands (all reduce the same
dimensions), or else of its largest value. Every other computed value has the domain's shape, the
domain's with the reduced dimensions as 1, or a single element.
"""

from __future__ import annotations

import math
from typing import Any

from ..ir.graph import Graph, Shape, Spec
from ..ir.interp import interpret
from .core import declare

Dims = tuple[int, ...]


def _infer(*specs: Spec, body: Graph) -> tuple[Spec, ...]:
    expected = tuple(value.spec for value in body.inputs)
    if specs != expected:
        raise TypeError(f"fused: the body takes {expected}, got {specs}")
    return tuple(value.spec for value in body.outputs)


def _eval(xp: Any, *arrays: Any, body: Graph) -> tuple[Any, ...]:
    outputs, _ = interpret(body, arrays, xp)
    return outputs


def domain(body: Graph) -> tuple[Shape, Dims]:
    """The shape over which `body` iterates, and the dimensions that it reduces."""
    for node in body.nodes:
        if getattr(node.op, "kind", "") == "reduce":
            return node.inputs[0].shape, node.attr("dims")
    shapes = [value.shape for node in body.nodes for value in node.outputs]
    return max(shapes, key=lambda shape: (math.prod(shape), len(shape))), ()


fused = declare("fused", "opaque", infer=_infer, eval=_eval, n_outputs=0)
