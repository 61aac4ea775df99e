"""x ** y: floats with C99's special cases, integers by repeated squaring."""

from __future__ import annotations

import math
from typing import TypeAlias

from . import coefficients
from .emit import FLOAT32, FLOAT64, Formula, Scalar, nearest, polynomial, scale_by_power
from .exponential import expm1_near
from .logarithm import BINARY, exponent_as_float, split

#: An unevaluated sum: a number, and what its rounding lost.
Pair: TypeAlias = tuple[Scalar, Scalar]

#: 1/3 as the sum of two float64.
THIRD = (1 / 3, float.fromhex("0x1.5555555555555p-56"))


def power(x: Scalar, y: Scalar) -> Scalar:
    """`x ** y`: float32 by way of float64, float64 with a logarithm of twice its precision."""
    size = x.abs()
    if x.type == FLOAT32:
        magnitude = _float32(size, y)
    else:
        magnitude = _float64(size, y)
    return _with_sign(x, y, size.equals(1.0).where(1.0, magnitude))


def _with_sign(x: Scalar, y: Scalar, magnitude: Scalar) -> Scalar:
    """`|x| ** y` turned into `x ** y`."""
    whole = y.floor().equals(y)
    half = y * 0.5
    odd = whole & half.floor().differs(half)
    signed = odd.where(magnitude.sign_of(x), magnitude)
    undefined = (x < 0.0) & (x > -math.inf) & ~whole
    result = undefined.where(math.nan, signed)
    return (y.equals(0.0) | x.equals(1.0)).where(1.0, result)


def _ends(x: Scalar, y: Scalar) -> Scalar:
    """`y`, the logarithm of `x` >= 0, completed at zero, infinity and NaN."""
    y = x.equals(0.0).where(-math.inf, y)
    return (x < math.inf).where(y, x)


def _float32(size: Scalar, y: Scalar) -> Scalar:
    """In float64, whose range also rounds and overflows the result as float32 demands."""
    x = size.to(FLOAT64)
    m, e = split(x)
    f = m - 1.0
    g = f * f * polynomial(f, coefficients.POW_LOG)
    log2 = _ends(x, (f + g) * BINARY["float64"].factor[0] + exponent_as_float(e))
    t = log2 * y.to(FLOAT64)
    t = (t > 300.0).where(300.0, t)
    t = (t < -300.0).where(-300.0, t)
    n, bits = nearest(t, 1.0)
    r = (t - n) * math.log(2)
    result = scale_by_power(r * r * polynomial(r, coefficients.POW_EXP) + r + 1.0, bits)
    return t.is_nan().where(t, result).to(FLOAT32)


def _float64(size: Scalar, y: Scalar) -> Scalar:
    """The exponent as a sum of two numbers; results below the normal range are flushed."""
    high, low = _log2(size)
    t = y.times(high)
    rest = y.fma(high, -t) + y * low
    n, bits = nearest(t, 1.0)
    r = (t.minus(n) + rest) * math.log(2)
    result = scale_by_power(expm1_near(r) + 1.0, bits)
    top = t.format.bias + 1.0
    over = (t > top + 1.0) | (t.minus(top) + rest >= 0.0)
    result = over.where(math.inf, result)
    result = (t < 2.0 - top).where(0.0, result)
    return t.is_nan().where(t, result)


def _log2(x: Scalar) -> Pair:
    """log2 of a float64 >= 0 as a sum of two, to 2**-65.

    With `s = f / (2 + f)`, log(1 + f) is `2 (s + s**3 / 3 + s**5 P(s**2))`; s, s**3 / 3 and the
    sums are carried as pairs (Dekker 1971), the rest is small enough for one number.
    """
    small = x < x.format.tiny
    m, exponent = split(small.where(x * 2.0**52, x))
    e = exponent_as_float(exponent)
    f, divisor = m.minus(1.0), m.plus(1.0)
    divisor_low = m.minus(divisor.minus(1.0))
    inverse = 1.0 / divisor
    s = f.times(inverse)
    s_low = ((-s).fma(divisor, f) - s * divisor_low) * inverse
    square = s.times(s)
    square_low = s.fma(s, -square) + 2.0 * (s * s_low)
    third, third_low = THIRD
    tail = square * polynomial(square, coefficients.POW_ATANH)
    factor, factor_low = _sum(square.const(third), tail)
    factors = _product((square, square_low), (factor, factor_low + third_low))
    cube, cube_low = _product((s, s_low), factors)
    high, low = _sum(s, cube)
    logarithm = (2.0 * high, 2.0 * (low + s_low + cube_low))
    log2_e, log2_e_low = BINARY["float64"].factor
    scaled, scaled_low = _product(logarithm, (high.const(log2_e), high.const(log2_e_low)))
    high, low = _sum(small.where(e - 52.0, e), scaled)
    return _ends(x, high), low + scaled_low


def _sum(x: Scalar, y: Scalar) -> Pair:
    """`x + y` exactly, for |x| >= |y| or x = 0."""
    total = x.plus(y)
    return total, y.minus(total.minus(x))


def _product(x: Pair, y: Pair) -> Pair:
    """The product of two pairs, to about twice the precision."""
    high = x[0].times(y[0])
    return high, x[0].fma(y[0], -high) + (x[0] * y[1] + x[1] * y[0])


def integer_power(signed: bool) -> Formula:
    """`x ** y` of integers, wrapping. Negative powers are 0, except of 1 and -1."""

    def power(x: Scalar, y: Scalar) -> Scalar:
        result = _repeated_squaring(x, y)
        if not signed:
            return result
        sign = (y & 1).differs(0).where(x, 1)
        unit = x.equals(1) | x.equals(-1)
        return (y < 0).where(unit.where(sign, 0), result)

    return power


def _repeated_squaring(x: Scalar, y: Scalar) -> Scalar:
    """A loop over the bits of `y`, taken as unsigned."""
    builder = x.builder
    start = builder.block
    loop, end = builder.append_basic_block("bit"), builder.append_basic_block("power")
    builder.branch(loop)
    builder.position_at_end(loop)
    result, base, rest = (x.make(builder.phi(x.type)) for _ in range(3))
    product = (rest & 1).differs(0).where(result * base, result)
    left = rest.logical_shift(1)
    for phi, first, following in (
        (result, x.const(1), product),
        (base, x, base * base),
        (rest, y, left),
    ):
        phi.value.add_incoming(first.value, start)
        phi.value.add_incoming(following.value, loop)
    builder.cbranch(left.equals(0).value, end, loop)
    builder.position_at_end(end)
    return product
