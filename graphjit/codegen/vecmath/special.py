"""The error function."""

from __future__ import annotations

from . import coefficients
from .emit import Scalar, polynomial, scale_by_power
from .exponential import expm1_near, reduce

#: Where erf(x) rounds to 1.
SATURATED = {"float32": 3.93, "float64": 5.93}


def erf(x: Scalar) -> Scalar:
    """`x + x P(x**2)` to |x| = 1, then `1 - exp(Q(|x|))`, whose exponential fades out."""
    name = x.format.name
    near = x * polynomial(x * x, coefficients.ERF_NEAR[name]) + x
    size = x.abs()
    bounded = (size > SATURATED[name]).where(SATURATED[name], size)
    r, n = reduce(polynomial(bounded, coefficients.ERF_FAR[name]))
    far = 1.0 - scale_by_power(expm1_near(r) + 1.0, n)
    return (size > 1.0).where(far.sign_of(x), near)
