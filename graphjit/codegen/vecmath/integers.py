"""Instructions of integers and booleans, with PyTorch's semantics.

Arithmetic wraps. Nothing traps: the quotient and the remainder by 0 are 0.
"""

from __future__ import annotations

from .basics import BITWISE, COMPARISONS, comparison, logical_not, never, plain, same, select
from .emit import Formula, Scalar
from .power import integer_power


def integer(signed: bool) -> dict[str, Formula]:
    """The instructions of signed or unsigned integers."""

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

    def rem(x: Scalar, y: Scalar) -> Scalar:
        """What truncated division leaves, with the dividend's sign; 0 where the divisor is."""
        _, r, zero = quotient(x, y)
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
        "rem": rem,
        "pow": integer_power(signed),
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
