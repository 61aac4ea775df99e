"""exp and its kin: exp2, expm1, sigmoid, tanh, sinh, cosh.

All rest on `exp(x) = 2**n exp(r)`, with n the integer nearest to `x / ln 2` and the remainder r
found by Cody and Waite: ln 2 as a short number, whose product with n is exact, plus the rest.
Results below the smallest normal number are flushed to zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import coefficients
from .emit import Scalar, nearest, polynomial, power_of_two, scale_by_power

LOG2_E = 1 / math.log(2)


@dataclass(frozen=True)
class Range:
    """What depends on the format: ln 2 in two parts, and where exp leaves the normal numbers."""

    ln2_high: float
    ln2_low: float
    overflow: float
    underflow: float
    minus_one: float  # below this, expm1 is -1
    one: float  # above this, tanh is 1


RANGES = {
    "float32": Range(
        0.693359375, -2.1219444005469058e-4, 88.72283172607422, -87.33654, -17.5, 10.0
    ),
    "float64": Range(
        float.fromhex("0x1.62e42fefa0000p-1"),
        float.fromhex("0x1.cf79abc9e3b3ap-40"),
        709.782712893384,
        -708.3964185322641,
        -37.5,
        20.0,
    ),
}


def reduce(x: Scalar) -> tuple[Scalar, Scalar]:
    """(r, n) with `x = n ln 2 + r`; n is in the low bits of an integer."""
    limits = RANGES[x.format.name]
    n, bits = nearest(x, LOG2_E)
    return x - n * limits.ln2_high - n * limits.ln2_low, bits


def expm1_near(r: Scalar) -> Scalar:
    """`exp(r) - 1` for |r| <= ln(2)/2."""
    return r * r * polynomial(r, coefficients.EXP[r.format.name]) + r


def finish(x: Scalar, y: Scalar, overflow: float, underflow: float) -> Scalar:
    """`y`, except infinity and zero where `x` is beyond the bounds; NaN stays."""
    y = (x > overflow).where(math.inf, y)
    y = (x < underflow).where(0.0, y)
    return x.is_nan().where(x, y)


def exp(x: Scalar) -> Scalar:
    limits = RANGES[x.format.name]
    r, n = reduce(x)
    y = scale_by_power(expm1_near(r) + 1.0, n)
    return finish(x, y, limits.overflow, limits.underflow)


def exp2(x: Scalar) -> Scalar:
    n, bits = nearest(x, 1.0)
    y = scale_by_power(expm1_near((x - n) * math.log(2)) + 1.0, bits)
    top = x.format.bias + 1.0
    return finish(x, (x >= top).where(math.inf, y), math.inf, 2.0 - top)


def expm1(x: Scalar) -> Scalar:
    """Twice `2**(n-1) exp(r) - 1/2`, since `2**n` may overflow where the result fits."""
    limits = RANGES[x.format.name]
    r, n = reduce((x < limits.minus_one).where(limits.minus_one, x))
    half = power_of_two(n - 1)
    y = (half * expm1_near(r) + (half - 0.5)) * 2.0
    return (x > limits.overflow).where(math.inf, y).sign_of(x)


def sigmoid(x: Scalar) -> Scalar:
    return 1.0 / (1.0 + exp(-x))


def tanh(x: Scalar) -> Scalar:
    """A polynomial to 0.55, then `1 - 2 / (exp(2 |x|) + 1)`."""
    size = x.abs()
    square = size * size
    near = size * square * polynomial(square, coefficients.TANH[x.format.name]) + size
    saturated = RANGES[x.format.name].one
    r, n = reduce((size > saturated).where(saturated, size) * 2.0)
    far = 1.0 - 2.0 / (scale_by_power(expm1_near(r) + 1.0, n) + 1.0)
    return (size > 0.55).where(far, near).sign_of(x)


def half_exp(x: Scalar) -> Scalar:
    """`exp(x) / 2` for x >= 0: finite wherever sinh and cosh are."""
    r, n = reduce(x)
    y = scale_by_power(expm1_near(r) + 1.0, n - 1)
    limit = RANGES[x.format.name].overflow + math.log(2)
    return finish(x, y, limit, -1.0)


def sinh(x: Scalar) -> Scalar:
    size = x.abs()
    square = size * size
    near = size * square * polynomial(square, coefficients.SINH[x.format.name]) + size
    half = half_exp(size)
    return (size < 1.0).where(near, half - 0.25 / half).sign_of(x)


def cosh(x: Scalar) -> Scalar:
    half = half_exp(x.abs())
    return half + 0.25 / half
