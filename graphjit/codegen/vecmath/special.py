"""The error function."""

from __future__ import annotations

from . import coefficients
from .emit import Scalar, polynomial, power_of_two
from .exponential import expm1_near, reduce

#: Where erf(x) rounds to 1.
SATURATED = {"float32": 3.93, "float64": 5.93}


def erf(x: Scalar) -> Scalar:
    """`-expm1(log(1 - erf(|x|)))`, whose logarithm is about -|x| at zero, with the sign of `x`."""
    name = x.format.name
    size = x.abs()
    size = (size > SATURATED[name]).where(SATURATED[name], size)
    r, n = reduce(-(size * polynomial(size, coefficients.ERF[name]) + size))
    power = power_of_two(n)
    return (power * expm1_near(r) + (power - 1.0)).sign_of(x)
