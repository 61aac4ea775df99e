"""Compiles the text of kernels by Numba, as the ordinary Python that it is.

Independent of the kernel language, which it is a check of, and slower. What the text calls are the
same functions: an adapter makes each of them a Numba intrinsic.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from types import CellType, FunctionType
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ..runtime.language.emit import read
from ..runtime.objects import CONTRACT, ObjectCode, compile_function
from .instructions import LOOPS, called_by

#: Numba's types of what is in registers, and LLVM's.
_LLVM = {
    types.boolean: ir.IntType(1),
    types.int8: ir.IntType(8),
    types.int16: ir.IntType(16),
    types.int32: ir.IntType(32),
    types.int64: ir.IntType(64),
    types.float32: ir.FloatType(),
    types.float64: ir.DoubleType(),
    types.voidptr: ir.IntType(8).as_pointer(),
}
_NUMBA = {str(llvm): numba for numba, llvm in _LLVM.items()}
_unliteral: Callable[[Any], Any] = types.unliteral


def build(text: str) -> ObjectCode:
    """Object code of the function that `text` defines."""
    tree = ast.parse(text)
    namespace = _adapted(tree, called_by(text)) | dict.fromkeys(LOOPS, range)
    exec(compile(tree, "<graphjit kernel>", "exec"), namespace)  # noqa: S102
    return compile_function(namespace["kernel"])


def _adapted(tree: ast.AST, outer: Mapping[str, Any]) -> dict[str, Any]:
    """What `tree` finds outside itself, with functions of the kernel language as Numba's."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    counts = {node.func.id: len(node.args) for node in calls if isinstance(node.func, ast.Name)}
    adapted = dict(outer)
    for name, value in outer.items():
        if getattr(value, "__graphjit_instruction__", False):
            adapted[name] = _intrinsic(value, counts.get(name, 0))
        elif getattr(value, "__graphjit_helper__", False):
            adapted[name] = _helper(value)
    return adapted


@cache
def _helper(function: FunctionType) -> Any:
    """A helper in Python, which is compiled into its callers."""
    source, code = read(function), function.__code__
    names = (*code.co_names, *code.co_freevars)
    outer = {name: source.outer[name] for name in names if name in source.outer}
    adapted = _adapted(source.tree, outer)
    cells = tuple(CellType(adapted[name]) for name in code.co_freevars)
    copy = FunctionType(code, adapted, function.__name__, None, cells)
    return njit(forceinline=True, error_model="numpy", fastmath=set(CONTRACT))(copy)


@cache
def _intrinsic(instruction: Callable[..., Any], count: int) -> Any:
    """What appends LLVM instructions as a Numba intrinsic on `count` operands of any types."""

    def typing(_: Any, *operands: Any) -> Any:
        result = _result(instruction, operands)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            made = instruction(builder, *map(_known, operands, values))
            return context.get_dummy_value() if result == types.void else made

        return result(*operands), generate

    # Numba passes what `*` takes as a tuple: it is told of a parameter for each operand.
    names = ("context", *(f"x{number}" for number in range(count)))
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    typing.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind) for name in names]
    )
    typing.__name__ = instruction.__name__
    return intrinsic(prefer_literal=True)(typing)


@cache
def _result(instruction: Callable[..., Any], operands: tuple[Any, ...]) -> Any:
    """The Numba type of what `instruction` gives, found by a trial in a function of its own."""
    kinds = [_LLVM[_unliteral(operand)] for operand in operands]
    kind = ir.FunctionType(ir.VoidType(), kinds)
    function = ir.Function(ir.Module(), kind, "scratch")
    builder = ir.IRBuilder(function.append_basic_block())
    made = instruction(builder, *map(_known, operands, function.args))
    return types.void if made is None else _NUMBA[str(made.type)]


def _known(operand: Any, value: Any) -> Any:
    """The Python number of an operand that is a literal, else its LLVM value."""
    return operand.literal_value if isinstance(operand, types.Literal) else value
