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


def integer(signed: bool) -> dict[str, Formula]:
    """The instructions of integers; all arithmetic wraps."""

    def quotient(x: Scalar, y: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """(q, r, bad): truncated quotient and remainder by 1 where `y` would trap, and if it is 0.

        The least integer by -1 traps like a division by zero; by 1 it gives what wrapping gives.
        """
        zero = y.equals(0)
        if not signed:
            divisor = zero.where(1, y)
            return x.binary("", "udiv", divisor), x.binary("", "urem", divisor), zero
        least = x.equals(-(2 ** (x.type.width - 1))) & y.equals(-1)
        divisor = (zero | least).where(1, y)
        return x.binary("", "sdiv", divisor), x.binary("", "srem", divisor), zero

    def floordiv(x: Scalar, y: Scalar) -> Scalar:
        """Rounded down; 0 where the divisor is."""
        q, r, zero = quotient(x, y)
        if signed:
            q = (r.differs(0) & ((r ^ y) < 0)).where(q - 1, q)
        return zero.where(0, q)

    def mod(x: Scalar, y: Scalar) -> Scalar:
        """The remainder of `floordiv`, with the divisor's sign; 0 where the divisor is."""
        _, r, zero = quotient(x, y)
        if signed:
            r = (r.differs(0) & ((r ^ y) < 0)).where(r + y, r)
        return zero.where(0, r)

    def shl(x: Scalar, y: Scalar) -> Scalar:
        """0 where the distance is negative or too long."""
        width = x.type.width
        return y.compare("<", width, signed=False).where(x << (y & (width - 1)), 0)

    def shr(x: Scalar, y: Scalar) -> Scalar:
        """Only sign bits where the distance is negative or too long."""
        width = x.type.width
        short = y.compare("<", width, signed=False)
        if not signed:
            return short.where(x.logical_shift(y & (width - 1)), 0)
        return x >> short.where(y, width - 1)

    def sign(x: Scalar) -> Scalar:
        if not signed:
            return x.differs(0).where(x.const(1), 0)
        return (x > 0).where(1, x >> (x.type.width - 1))

    def absolute(x: Scalar) -> Scalar:
        return (x < 0).where(-x, x) if signed else x

    def extreme(operator: str) -> Formula:
        return lambda x, y: x.compare(operator, y, signed).where(x, y)

    return {
        "neg": lambda x: -x,
        "abs": absolute,
        "sign": sign,
        **dict.fromkeys(("floor", "ceil", "round", "trunc"), same),
        "add": plain("", "add"),
        "sub": plain("", "sub"),
        "mul": plain("", "mul"),
        "floordiv": floordiv,
        "mod": mod,
        "max": extreme(">"),
        "min": extreme("<"),
        **BITWISE,
        "shl": shl,
        "shr": shr,
        **{name: comparison(sign, signed) for name, sign in COMPARISONS.items()},
        "isnan": never,
        "isinf": never,
        "logical_not": logical_not,
        "select": select,
    }


BITWISE: dict[str, Formula] = {
    "bitand": lambda x, y: x & y,
    "bitor": lambda x, y: x | y,
    "bitxor": lambda x, y: x ^ y,
    "bitnot": lambda x: ~x,
}

#: Booleans: sum is `or`, product is `and`, order is false before true.
BOOLEAN: dict[str, Formula] = {
    **BITWISE,
    "add": BITWISE["bitor"],
    "mul": BITWISE["bitand"],
    "max": BITWISE["bitor"],
    "min": BITWISE["bitand"],
    "sign": same,
    **{name: comparison(sign, signed=False) for name, sign in COMPARISONS.items()},
    "isnan": never,
    "isinf": never,
    "logical_not": BITWISE["bitnot"],
    "select": select,
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
    "div": plain("fdiv", ""),
    "max": llvm("maximum"),
    "min": llvm("minimum"),
    **{name: comparison(sign) for name, sign in COMPARISONS.items()},
    "isnan": is_nan,
    "isinf": is_infinite,
    "logical_not": logical_not,
    "select": select,
}
