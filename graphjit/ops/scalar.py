"""The scalar expressions that pointwise ops are made of.

A formula is written once with the functions here; `codegen` prints it as Numba Python or CUDA C++.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..dtypes import DType

Number = bool | int | float


@dataclass(frozen=True, slots=True)
class Expr:
    """A scalar instruction applied to operands.

    `dtype` is the type of the result where the instruction names one (`cast`, `const`);
    elsewhere it follows from the operands.
    """

    instr: str
    args: tuple[Expr | Number | int, ...] = ()
    dtype: DType | None = None


Operand = Expr | Number

#: instruction -> number of operands. Comparisons and predicates give bool. `max` and `min` give
#: NaN where an operand is NaN; `floordiv` and `mod` round down, as Python does, and `rem` to zero,
#: as C does; `round` is half to even; `sign` of NaN is 0; `bitnot` of a bool is its negation.
#: `product` is rounded as it stands, where `mul` may become part of a fused multiply-add.
UNARY = (
    "neg abs sign sqrt rsqrt reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos "
    "atan sinh cosh tanh asinh acosh atanh sigmoid erf floor ceil round trunc"
).split()
BINARY = (
    "add sub mul product div floordiv mod rem pow max min atan2 bitand bitor bitxor shl shr"
).split()
COMPARE = "lt le gt ge eq ne".split()
PREDICATE = "isnan isinf logical_not".split()
INSTRUCTIONS = {
    **dict.fromkeys(UNARY + PREDICATE, 1),
    **dict.fromkeys(BINARY + COMPARE, 2),
    "select": 3,
    "bitnot": 1,
    "cast": 1,
    "const": 1,
    "index": 1,
    "operand": 1,
    "philox": 3,
}
BOOLEAN = frozenset(COMPARE + PREDICATE)


def call(instr: str, *args: Operand) -> Expr:
    """`instr` applied to `args`; ValueError where the number of operands is wrong."""
    if INSTRUCTIONS[instr] != len(args):
        raise ValueError(f"{instr} takes {INSTRUCTIONS[instr]} operands, got {len(args)}")
    return Expr(instr, args)


def operand(position: int) -> Expr:
    """The element of the op's input at `position`."""
    return Expr("operand", (position,))


def index(axis: int) -> Expr:
    """The position along output axis `axis`, as int64."""
    return Expr("index", (axis,))


def cast(x: Operand, dtype: DType) -> Expr:
    """`x` converted as C converts it."""
    return Expr("cast", (x,), dtype)


def const(value: Number, dtype: DType) -> Expr:
    """A literal of a given dtype. Bare numbers take the dtype of the operand beside them."""
    return Expr("const", (value,), dtype)


def select(condition: Operand, x: Operand, y: Operand) -> Expr:
    """`x` where `condition`, else `y`; both are evaluated."""
    return call("select", condition, x, y)
