"""Division of floats rounded down, and its remainder.

The truncated quotient n = trunc(x / y) is right or one too large, and `x - n y`, fused, is exact
and tells which, as long as n is represented exactly. Larger quotients are integers already; their
remainders are left to the library.
"""

from __future__ import annotations

import math

from .emit import Scalar
from .rare import rarely


def _truncated(x: Scalar, y: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(q, n, r): the quotient, its integer part and the remainder, which has the sign of `x`."""
    q = x / y
    n = q.trunc()
    infinite = y.abs().equals(math.inf) & (x.abs() < math.inf)
    r = infinite.where(x, (-n).fma(y, x))
    beyond = r.differs(0.0) & (r < 0.0).differs(x < 0.0)
    n = beyond.where(n.minus(n.const(1.0).sign_of(q)), n)
    r = beyond.where(r.plus(y.abs().sign_of(x)), r)
    return q, n, r.sign_of(x)


def _large(q: Scalar) -> Scalar:
    """Whether the quotient may have an integer part that is not represented exactly."""
    return q.abs() >= 2.0 ** (q.format.mantissa + 1)


def _rounded_up(r: Scalar, y: Scalar) -> Scalar:
    """Whether rounding to zero gave more than rounding down."""
    return r.differs(0.0) & (r < 0.0).differs(y < 0.0)


def floordiv(x: Scalar, y: Scalar) -> Scalar:
    q, n, r = _truncated(x, y)
    n = _rounded_up(r, y).where(n.minus(1.0), n)
    q = (x.abs().equals(math.inf) & y.differs(0.0)).where(math.nan, q)
    return _large(q).where(q, q.is_nan().where(q, n))


def mod(x: Scalar, y: Scalar) -> Scalar:
    q, _, r = _truncated(x, y)
    r = rarely(_large(q), "fmod", r, x, y)
    return _rounded_up(r, y).where(r.plus(y), r)


def rem(x: Scalar, y: Scalar) -> Scalar:
    """The remainder with the sign of the dividend, from the one with the sign of the divisor."""
    size = mod(x.abs(), y.abs())
    return size.equals(0.0).where(x.times(0.0), (x < 0.0).where(-size, size))


def by_inverse(x: Scalar, y: Scalar) -> Scalar:
    """`x / y` by what a loop needs to compute but once, if y is the same for all its elements.

    A quotient by the inverse, corrected by what it leaves (Markstein, "Computation of elementary
    functions on the IBM RISC System/6000", 1990), is rounded as the division is. Where that has no
    meaning, at infinities and zeros, the quotient alone is right. Large divisors, whose inverse
    would be no normal number, and negative ones, for the sake of zeros, are scaled first. What the
    quotient leaves of tiny numbers is flushed to zero; they may be one unit off.
    """
    large = 2.0 ** (x.format.bias // 2 + 1)
    scale = (y.abs() > large).where(x.const(1 / large), 1.0).sign_of(y)
    size, x = y.times(scale), x.times(scale)
    inverse = 1.0 / size
    quotient = x.times(inverse)
    excess = quotient.fma(size, -x)
    corrected = (-excess).fma(inverse, quotient)
    return corrected.is_nan().where(quotient, corrected)
