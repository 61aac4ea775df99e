"""Arithmetic, comparison, rounding and bit operations of every type, with PyTorch's semantics.

Sums, differences, products and quotients of floats carry no fast-math flags of their own: they take
those of the kernel, so that a reduction written with them still vectorises.
"""

from __future__ import annotations

import math

from .emit import Formula, Scalar


def plain(float_op: str, int_op: str) -> Formula:
    """The LLVM instruction for floats or for integers, without flags."""
    return lambda x, y: x.binary(float_op, int_op, y, ())


def comparison(operator: str, signed: bool = True) -> Formula:
    """`x operator y` as a boolean."""
    return lambda x, y: x.compare(operator, y, signed)


COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}


def select(condition: Scalar, x: Scalar, y: Scalar) -> Scalar:
    return condition.where(x, y)


def same(x: Scalar) -> Scalar:
    return x


def logical_not(x: Scalar) -> Scalar:
    return x.equals(0)


def is_nan(x: Scalar) -> Scalar:
    return x.is_nan()


def is_infinite(x: Scalar) -> Scalar:
    return x.abs().equals(math.inf)


def never(x: Scalar) -> Scalar:
    """isnan and isinf of integers and booleans."""
    return x.differs(x)


def float_sign(x: Scalar) -> Scalar:
    """-1, 0 or 1; 0 for NaN, as in PyTorch."""
    return (x > 0.0).where(1.0, (x < 0.0).where(x.const(-1.0), 0.0))


def llvm(name: str) -> Formula:
    """The LLVM intrinsic of that name."""
    return lambda x, *others: x.intrinsic(name, *others)


def reciprocal(x: Scalar) -> Scalar:
    return 1.0 / x


def rsqrt(x: Scalar) -> Scalar:
    return 1.0 / x.sqrt()


BITWISE: dict[str, Formula] = {
    "bitand": lambda x, y: x & y,
    "bitor": lambda x, y: x | y,
    "bitxor": lambda x, y: x ^ y,
    "bitnot": lambda x: ~x,
}

FLOAT: dict[str, Formula] = {
    "neg": lambda x: -x,
    "abs": llvm("fabs"),
    "sign": float_sign,
    "sqrt": llvm("sqrt"),
    "rsqrt": rsqrt,
    "reciprocal": reciprocal,
    "floor": llvm("floor"),
    "ceil": llvm("ceil"),
    "round": llvm("rint"),
    "trunc": llvm("trunc"),
    "add": plain("fadd", ""),
    "sub": plain("fsub", ""),
    "mul": plain("fmul", ""),
    "product": Scalar.times,
    "div": plain("fdiv", ""),
    "max": llvm("maximum"),
    "min": llvm("minimum"),
    **{name: comparison(sign) for name, sign in COMPARISONS.items()},
    "isnan": is_nan,
    "isinf": is_infinite,
    "logical_not": logical_not,
    "select": select,
}
