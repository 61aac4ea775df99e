"""sin, cos, tan and their inverses.

Arguments are reduced by `pi/2 = P1 + P2 + P3`, each of full width: `x - n P1` is then exact when
fused, and what the next steps round is negligible, up to a bound far above ordinary arguments.
Beyond it a library call takes over, by way of `rare`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import coefficients
from .emit import Scalar, horner, nearest, polynomial
from .rare import rarely


@dataclass(frozen=True)
class Reduction:
    """pi/2 in three parts, and the largest argument they serve.

    The bound keeps the error of `x * 2/pi` below 0.004, so that |r| < 1.01 pi/4.
    """

    parts: tuple[float, float, float]
    bound: float


REDUCTIONS = {
    "float32": Reduction((1.570796251296997, 7.549789415861596e-08, 5.390302529957765e-15), 1e5),
    "float64": Reduction(
        (
            float.fromhex("0x1.921fb54442d18p+0"),
            float.fromhex("0x1.1a62633145c06p-54"),
            float.fromhex("0x1.c1cd129024e08p-107"),
        ),
        1e12,
    ),
}


def reduce(x: Scalar) -> tuple[Scalar, Scalar]:
    """(r, q) with `x = q pi/2 + r`, |r| <= pi/4; q is in the low bits of an integer."""
    n, q = nearest(x, 2 / math.pi)
    r = x
    for part in REDUCTIONS[x.format.name].parts:
        r = n.fma(-part, r)
    return r, q


def circular(x: Scalar, quarter: int) -> Scalar:
    """sin(x + quarter pi/2), within the bound."""
    r, quadrant = reduce(x)
    square = r * r
    name = x.format.name
    sine = r * square * polynomial(square, coefficients.SIN[name]) + r
    tail = square * square * polynomial(square, coefficients.COS[name])
    cosine = 1.0 - (square * 0.5 - tail)
    quadrant = quadrant + quarter
    y = (quadrant & 1).differs(0).where(cosine, sine)
    sign = (quadrant & 2) << (x.format.width - 2)
    return (y.bits() ^ sign).as_float()


def beyond(x: Scalar) -> Scalar:
    """Whether `x` is too large to be reduced here."""
    return x.abs() >= REDUCTIONS[x.format.name].bound


def sin(x: Scalar) -> Scalar:
    y = x.equals(0.0).where(x, circular(x, 0))  # -0 stays -0
    return rarely(beyond(x), "sin", y, x)


def cos(x: Scalar) -> Scalar:
    return rarely(beyond(x), "cos", circular(x, 1), x)


def tan(x: Scalar) -> Scalar:
    r, quadrant = reduce(x)
    square = r * r
    y = r * square * polynomial(square, coefficients.TAN[x.format.name]) + r
    y = (quadrant & 1).differs(0).where(-1.0 / y, y)
    return rarely(beyond(x), "tan", y, x)


def arc(x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(y, t, large) with `asin(y) = y + t`: y is |x|, or `sqrt((1 - |x|) / 2)` where |x| > 1/2."""
    size = x.abs()
    large = size > 0.5
    square = large.where((1.0 - size) * 0.5, size * size)
    base = large.where(square.sqrt(), size)
    return base, base * square * polynomial(square, coefficients.ASIN[x.format.name]), large


def half_pi(x: Scalar) -> tuple[float, float]:
    """pi/2 in two parts of the type of `x`."""
    high, low, _ = REDUCTIONS[x.format.name].parts
    return high, low


def asin(x: Scalar) -> Scalar:
    base, tail, large = arc(x)
    high, low = half_pi(x)
    far = high - 2.0 * base - (2.0 * tail - low)
    return large.where(far, base + tail).sign_of(x)


def acos(x: Scalar) -> Scalar:
    base, tail, large = arc(x)
    y = base + tail
    high, low = half_pi(x)
    signed = y.sign_of(x)
    near_minus_one = 2.0 * high - (2.0 * y - 2.0 * low)
    far = (x < 0.0).where(near_minus_one, 2.0 * y)
    return large.where(far, high - (signed - low))


def atan_near(x: Scalar) -> Scalar:
    """atan(x) for 0 <= x <= 1. Sums of its even and odd terms cancel: they are added in turn."""
    square = x * x
    return x * square * horner(square, coefficients.ATAN[x.format.name]) + x


def atan(x: Scalar) -> Scalar:
    size = x.abs()
    large = size > 1.0
    y = atan_near(large.where(1.0, size) / large.where(size, 1.0))
    high, low = half_pi(x)
    return large.where(high - (y - low), y).sign_of(x)


def atan2(y: Scalar, x: Scalar) -> Scalar:
    """C99's special cases; the angle of (0, 0) is 0 or pi by the sign of x."""
    height, width = y.abs(), x.abs()
    steep = height > width
    small, large = steep.where(width, height), steep.where(height, width)
    corner = (small > 0.0).where(small.const(1.0), 0.0)
    slope = small.equals(large).where(corner, small / large)
    angle = atan_near(slope)
    left = x.bits() < 0
    high, low = half_pi(x)
    turns = steep.where(x.const(1.0), left.where(x.const(2.0), 0.0))
    angle = turns * high + (turns * low + (steep ^ left).where(-angle, angle))
    return angle.sign_of(y)
