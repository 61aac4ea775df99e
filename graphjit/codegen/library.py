"""Contractions and pooling: nodes that become calls of the runtime's library kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import CompileError
from ..ir.graph import Node, Operation
from ..runtime import convolution, gemm, pooling
from ..runtime.instruction import Instruction, Layout

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
        return _LIBRARY[node.op.name](node, operands, homes)
    except ValueError as error:
        raise CompileError(str(error)) from error
