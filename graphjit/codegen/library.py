"""Contractions and pooling: nodes that become calls of the runtime's library kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import CompileError
from ..ir.graph import Node
from ..runtime import gemm
from ..runtime.instruction import Instruction, Layout

Emit = Callable[[Node, Sequence[Layout], Sequence[Layout]], list[Instruction]]


def _matmul(node: Node, operands: Sequence[Layout], homes: Sequence[Layout]) -> list[Instruction]:
    try:
        return [gemm.matmul(operands[0], operands[1], homes[0])]
    except ValueError as error:
        raise CompileError(str(error)) from error


#: op name -> instructions for a node, given the layouts of its operands and results
LIBRARY: dict[str, Emit] = {"matmul": _matmul}
