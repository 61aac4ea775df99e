"""log, log2, log10, log1p, and the inverse hyperbolic functions.

`x = 2**e (1 + f)` with `1 + f` between sqrt(1/2) and sqrt(2), so that nothing cancels near x = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import coefficients
from .emit import FLOAT32, FLOAT64, FORMATS, INT32, Scalar, polynomial, power_of_two


@dataclass(frozen=True)
class Base:
    """A logarithm's `1 / log(base)` and `log(2)`, each as a sum of two numbers.

    The first part of `log(2)` is short, so that its product with an exponent is exact.
    """

    factor: tuple[float, float]
    two: tuple[float, float]


NATURAL = {
    "float32": Base((1.0, 0.0), (0.693115234375, 3.1946184945309415e-05)),
    "float64": Base((1.0, 0.0), (float.fromhex("0x1.62e42fefa4p-1"), -1.7239444525614835e-13)),
}
BINARY = {
    "float32": Base((1.4426950216293335, 1.9259629911266175e-08), (1.0, 0.0)),
    "float64": Base((1.4426950408889634, 2.0355273740931033e-17), (1.0, 0.0)),
}
DECIMAL = {
    "float32": Base(
        (0.4342944920063019, -1.0103050052231683e-08), (0.301025390625, 4.605038981195214e-06)
    ),
    "float64": Base(
        (0.4342944819032518, 1.098319650216765e-17),
        (float.fromhex("0x1.34413509f8p-2"), -8.532344317057107e-14),
    ),
}


def split(x: Scalar) -> tuple[Scalar, Scalar]:
    """(m, integer e) with `x = 2**e m`, m in [sqrt(1/2), sqrt(2)), for normal positive `x`."""
    bits = x.bits()
    e = (bits - x.const(math.sqrt(0.5)).bits()) >> x.format.mantissa
    return (bits - (e << x.format.mantissa)).as_float(), e


def exponent_as_float(e: Scalar) -> Scalar:
    """A small integer as a float of its width, without the int64 conversion that AVX2 lacks."""
    if e.type == INT32:
        return e.to(FLOAT32)
    rounder = e.const(0).as_float().const(FORMATS[FLOAT64].rounder)
    return (e + rounder.bits()).as_float().minus(rounder)


def combine(f: Scalar, e: Scalar, base: Base) -> Scalar:
    """The logarithm of `2**e (1 + f)`."""
    g = f * f * polynomial(f, coefficients.LOG[f.format.name])
    tail = e * base.two[1]
    if base.factor[0] != 1.0:
        tail = tail + f * base.factor[1] + g * base.factor[0]
        return f * base.factor[0] + tail + e * base.two[0]
    return f + (tail + g) + e * base.two[0]


def finish(x: Scalar, y: Scalar) -> Scalar:
    """`y` with the special values of a logarithm of `x`: at zero, below it, at infinity."""
    y = (x > 0.0).where(y, x.equals(0.0).where(-math.inf, x.const(math.nan)))
    return x.equals(math.inf).where(math.inf, y)


def logarithm(x: Scalar, bases: dict[str, Base]) -> Scalar:
    """The logarithm of any number; denormals are scaled up first."""
    shift = float(x.format.mantissa)
    small = x < x.format.tiny
    m, exponent = split(small.where(x * 2.0**shift, x))
    e = exponent_as_float(exponent)
    y = combine(m - 1.0, small.where(e - shift, e), bases[x.format.name])
    return finish(x, y)


def log(x: Scalar) -> Scalar:
    return logarithm(x, NATURAL)


def log2(x: Scalar) -> Scalar:
    return logarithm(x, BINARY)


def log10(x: Scalar) -> Scalar:
    return logarithm(x, DECIMAL)


def one_plus(x: Scalar) -> tuple[Scalar, Scalar]:
    """(u, c): 1 + x rounded, and what the rounding lost (Knuth's two-sum)."""
    u = x.plus(1.0)
    part = u.minus(1.0)
    return u, x.minus(part).plus(1.0 - u.minus(part))


def log_of_sum(u: Scalar, c: Scalar) -> Scalar:
    """`log(u + c)` for normal u > 0 and c at most half a unit in the last place of u."""
    m, e = split(u)
    f = (m - 1.0) + c * 0.5 * power_of_two(1 - e)  # 2**-e may be no normal number
    return combine(f, exponent_as_float(e), NATURAL[u.format.name])


def log1p(x: Scalar) -> Scalar:
    u, c = one_plus(x)
    return finish(u, log_of_sum(u, c)).sign_of(x)


def log1p_or_double(near: Scalar, size: Scalar, threshold: float) -> Scalar:
    """`log(1 + near)`; `log(2 size)` where `size` is beyond `threshold` and `near` may overflow."""
    far = size > threshold
    u, c = one_plus(near)
    y = log_of_sum(far.where(size, u), far.where(0.0, c))
    y = y + far.where(size.const(math.log(2)), 0.0)
    return (size < math.inf).where(y, size)


def far_threshold(x: Scalar) -> float:
    """Beyond this, `sqrt(x**2 + 1)` is `x` in the precision of `x`."""
    return 2.0 ** (x.format.mantissa // 2 + 2)


def asinh(x: Scalar) -> Scalar:
    size = x.abs()
    square = size * size
    near = size + square / (1.0 + (square + 1.0).sqrt())
    return log1p_or_double(near, size, far_threshold(x)).sign_of(x)


def acosh(x: Scalar) -> Scalar:
    t = x - 1.0
    y = log1p_or_double(t + (t * t + 2.0 * t).sqrt(), x, far_threshold(x))
    return (x < 1.0).where(math.nan, y)


def atanh(x: Scalar) -> Scalar:
    size = x.abs()
    y = log1p(2.0 * size / (1.0 - size)) * 0.5
    return (size > 1.0).where(math.nan, y).sign_of(x)
