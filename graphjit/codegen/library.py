"""Contractions and pooling: nodes that become calls of the runtime's library kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..errors import CompileError
from ..ir.graph import Node, Operation
from ..runtime import convolution, gemm, pooling
from ..runtime.instruction import Cost, Instruction, Layout, traffic

Emit = Callable[[Node, Sequence[Layout], Sequence[Layout]], Instruction]


def _call(function: Callable[..., Instruction], *left_out: str) -> Emit:
    """Calls `function` with the layouts of operands and results, and the node's attributes."""

    def emit(node: Node, operands: Sequence[Layout], homes: Sequence[Layout]) -> Instruction:
        attrs: dict[str, Any] = {k: v for k, v in node.attrs if k not in left_out}
        return function(*operands, *homes, **attrs)

    return emit


#: op name -> the instruction for a node, given the layouts of its operands and results
_LIBRARY: dict[str, Emit] = {
    "matmul": _call(gemm.matmul),
    "conv2d": _call(convolution.conv2d),
    "conv2d_input_grad": _call(convolution.conv2d_input_grad, "shape"),
    "conv2d_weight_grad": _call(convolution.conv2d_weight_grad, "shape"),
    "max_pool2d": _call(pooling.max_pool2d, "ceil_mode"),
    "max_pool2d_backward": _call(pooling.max_pool2d_backward, "shape", "ceil_mode"),
}


def in_library(op: Operation) -> bool:
    """Whether the library has kernels for `op`."""
    return op.name in _LIBRARY


def library_call(
    node: Node, operands: Sequence[Layout], homes: Sequence[Layout]
) -> Instruction:
    """The library's instruction for `node`; CompileError if it has none for these layouts."""
    try:
        instruction = _LIBRARY[node.op.name](node, operands, homes)
    except ValueError as error:
        raise CompileError(str(error)) from error
    return replace(instruction, cost=node_cost(node, operands, homes))


def node_cost(node: Node, operands: Sequence[Layout], homes: Sequence[Layout]) -> Cost:
    """What a node that is computed as a whole moves and computes."""
    specs = (node.outputs[0].spec, *(value.spec for value in node.inputs)) if node.outputs else ()
    flops = node.op.flops(*specs, **node.kwargs) if node.op.flops is not None else 0
    return Cost(traffic(operands, homes), flops, homes[0].dtype if homes else None)
