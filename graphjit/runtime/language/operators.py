"""Python's operators on values of the kernel language."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from ...errors import CompileError
from .types import is_float, is_runtime, scalar, unified

#: Products may be fused with sums; NaN, infinities and the order of sums stay as written.
FLAGS = ("contract",)

Binary = Callable[[Any, Any, Any], Any]


def _floor_divide(builder: Any, x: Any, y: Any) -> Any:
    """Division of integers that rounds down, as Python's."""
    quotient = builder.sdiv(x, y)
    rest = builder.srem(x, y)
    return builder.sub(quotient, builder.zext(_is_off(builder, rest, y), x.type))


def _floor_remainder(builder: Any, x: Any, y: Any) -> Any:
    rest = builder.srem(x, y)
    return builder.select(_is_off(builder, rest, y), builder.add(rest, y), rest)


def _is_off(builder: Any, rest: Any, y: Any) -> Any:
    """Whether truncation rounded up: there is a rest, and its sign is not the divisor's."""
    different = builder.icmp_signed("<", builder.xor(rest, y), y.type(0))
    return builder.and_(builder.icmp_signed("!=", rest, y.type(0)), different)


INTEGER: dict[type, Binary] = {
    ast.Add: lambda b, x, y: b.add(x, y, flags=()),
    ast.Sub: lambda b, x, y: b.sub(x, y),
    ast.Mult: lambda b, x, y: b.mul(x, y),
    ast.FloorDiv: _floor_divide,
    ast.Mod: _floor_remainder,
    ast.LShift: lambda b, x, y: b.shl(x, y),
    ast.RShift: lambda b, x, y: b.ashr(x, y),
    ast.BitAnd: lambda b, x, y: b.and_(x, y),
    ast.BitOr: lambda b, x, y: b.or_(x, y),
    ast.BitXor: lambda b, x, y: b.xor(x, y),
}
FLOAT: dict[type, Binary] = {
    ast.Add: lambda b, x, y: b.fadd(x, y, flags=FLAGS),
    ast.Sub: lambda b, x, y: b.fsub(x, y, flags=FLAGS),
    ast.Mult: lambda b, x, y: b.fmul(x, y, flags=FLAGS),
    ast.Div: lambda b, x, y: b.fdiv(x, y, flags=FLAGS),
}
STATIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
    ast.UAdd: operator.pos,
}
COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


def binary(builder: Any, kind: type, x: Any, y: Any) -> Any:
    """`x kind y`; in Python if both are known while compiling."""
    if not is_runtime(x) and not is_runtime(y):
        return STATIC[kind](x, y)
    x, y = unified(builder, x, y)
    table = FLOAT if is_float(x.type) else INTEGER
    if kind not in table:
        raise CompileError(f"no operator {kind.__name__} on {x.type}")
    return table[kind](builder, x, y)


def compare(builder: Any, kind: type[ast.cmpop], x: Any, y: Any) -> Any:
    """A comparison; false on NaN, but for `!=`."""
    if not is_runtime(x) and not is_runtime(y):
        return STATIC[kind](x, y)
    x, y = unified(builder, x, y)
    symbol = COMPARE[kind]
    if not is_float(x.type):
        return builder.icmp_signed(symbol, x, y)
    ordered = builder.fcmp_unordered if symbol == "!=" else builder.fcmp_ordered
    return ordered(symbol, x, y)


def unary(builder: Any, kind: type[ast.unaryop], x: Any) -> Any:
    """`-x`, `~x`, `not x` or `+x`."""
    if not is_runtime(x):
        return UNARY[kind](x)
    if kind is ast.UAdd:
        return x
    if kind is ast.USub:
        return builder.fneg(x) if is_float(x.type) else builder.neg(x)
    if kind is ast.Invert or (kind is ast.Not and scalar(x.type).width == 1):
        return builder.not_(x)
    raise CompileError(f"no operator {kind.__name__} on {x.type}")
