"""Special functions of one number, by SciPy or its CuPy counterpart, on the host."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from ..ir.graph import Spec
from .core import Op, broadcast_shapes, check_floating, check_same_dtype, declare
from .sampling import binary, unary


def _function(xp: Any, name: str) -> Any:
    package = "scipy.special" if xp is np else "cupyx.scipy.special"
    return getattr(importlib.import_module(package), name)


def _special(
    name: str, scipy_name: str, vjp: Any, saves: tuple[str, ...], low: float = -2, high: float = 2
) -> Op:
    """A function of floating-point numbers that SciPy calls `scipy_name`."""

    def infer(spec: Spec) -> tuple[Spec, ...]:
        check_floating(name, spec.dtype)
        return (spec,)

    return declare(
        name,
        "opaque",
        infer=infer,
        eval=lambda xp, x: xp.asarray(_function(xp, scipy_name)(x), x.dtype),
        promotion="float",
        saves=saves,
        vjps=vjp,
        host_only=True,
        samples=unary(f"scipy.special.{scipy_name}", low, high),
    )


def _gauss(F: Any, x: Any, scale: float) -> Any:
    """exp(scale x^2)."""
    return F.exp(F.mul(F.mul(x, x), scale))


_OUT, _IN, _BOTH = ("out0",), ("in0",), ("in0", "out0")

erfc = _special(
    "erfc", "erfc", lambda F, g, x: F.mul(g, F.mul(_gauss(F, x, -1), -2 / math.sqrt(math.pi))), _IN
)
erfcx = _special(
    "erfcx", "erfcx",
    lambda F, g, x, out: F.mul(g, F.sub(F.mul(F.mul(x, out), 2), 2 / math.sqrt(math.pi))), _BOTH,
)  # fmt: skip
erfinv = _special(
    "erfinv", "erfinv",
    lambda F, g, out: F.mul(g, F.mul(_gauss(F, out, 1), math.sqrt(math.pi) / 2)), _OUT, -0.9, 0.9,
)  # fmt: skip
ndtri = _special(
    "ndtri", "ndtri",
    lambda F, g, out: F.mul(g, F.mul(_gauss(F, out, 0.5), math.sqrt(2 * math.pi))), _OUT, 0.1, 0.9,
)  # fmt: skip
log_ndtr = _special(
    "log_ndtr", "log_ndtr",
    lambda F, g, x, out: F.mul(
        g, F.mul(F.exp(F.sub(F.mul(F.mul(x, x), -0.5), out)), 1 / math.sqrt(2 * math.pi))
    ),
    _BOTH, -9, 3,
)  # fmt: skip
lgamma = _special("lgamma", "gammaln", lambda F, g, x: F.mul(g, F.digamma(x)), _IN, 0.2, 5)
digamma = _special("digamma", "psi", lambda F, g, x: F.mul(g, F.polygamma(x, n=1)), _IN, 0.2, 5)


def _quotient_at_zero(F: Any, y: Any, x: Any, limit: float) -> Any:
    """y / x, with `limit` where x is 0."""
    is_zero = F.eq(x, 0)
    return F.where(is_zero, limit, F.div(y, F.where(is_zero, 1, x)))


i0 = _special("i0", "i0", lambda F, g, x: F.mul(g, F.i1(x)), _IN)
i0e = _special(
    "i0e", "i0e", lambda F, g, x, out: F.mul(g, F.sub(F.i1e(x), F.mul(F.sign(x), out))), _BOTH
)
i1 = _special(
    "i1", "i1",
    lambda F, g, x, out: F.mul(g, F.sub(F.i0(x), _quotient_at_zero(F, out, x, 0.5))), _BOTH,
)  # fmt: skip
i1e = _special(
    "i1e", "i1e",
    lambda F, g, x, out: F.mul(g, F.sub(
        F.sub(F.i0e(x), F.mul(F.sign(x), out)), _quotient_at_zero(F, out, x, 0.5)
    )),
    _BOTH,
)  # fmt: skip


def _infer_polygamma(spec: Spec, n: int) -> tuple[Spec, ...]:
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    check_floating("polygamma", spec.dtype)
    return (spec,)


def _eval_polygamma(xp: Any, x: Any, n: int) -> Any:
    if n < 0:
        raise ValueError("polygamma")
    return xp.asarray(_function(xp, "polygamma")(n, x), x.dtype)


polygamma = declare(
    "polygamma",
    "opaque",
    infer=_infer_polygamma,
    eval=_eval_polygamma,
    promotion="float",
    saves=("in0",),
    vjps=lambda F, g, x, n: F.mul(g, F.polygamma(x, n=n + 1)),
    host_only=True,
    samples=unary(lambda x, n: importlib.import_module("scipy.special").polygamma(n, x),
                  0.5, 4, n=1),
)  # fmt: skip


def _pairwise(name: str, scipy_name: str | None, **fields: Any) -> Op:
    """A function of two operands that broadcast: SciPy's, or else NumPy's of that name."""

    def infer(x: Spec, y: Spec) -> tuple[Spec, ...]:
        check_same_dtype(name, (x, y))
        return (x.with_shape(broadcast_shapes(x.shape, y.shape)),)

    def eval(xp: Any, x: Any, y: Any) -> Any:
        function = _function(xp, scipy_name) if scipy_name else getattr(xp, name)
        return xp.asarray(function(x, y), (x if hasattr(x, "dtype") else y).dtype)

    return declare(name, "opaque", infer=infer, eval=eval, host_only=True, **fields)


def _igamma_slope(F: Any, a: Any, x: Any) -> Any:
    """The derivative of the regularised lower incomplete gamma function by its upper limit."""
    return F.exp(F.sub(F.sub(F.mul(F.sub(a, 1), F.log(x)), x), F.lgamma(a)))


def _igamma_vjp(sign: float) -> tuple[Any, Any]:
    def gradient(F: Any, g: Any, a: Any, x: Any) -> Any:
        return F.sum_to(F.mul(F.mul(g, sign), _igamma_slope(F, a, x)), shape=x.shape)

    return None, gradient


igamma = _pairwise(
    "igamma", "gammainc", promotion="float", saves=("in0", "in1"), vjps=_igamma_vjp(1),
    samples=binary("scipy.special.gammainc", 0.5, 3),
)  # fmt: skip
igammac = _pairwise(
    "igammac", "gammaincc", promotion="float", saves=("in0", "in1"), vjps=_igamma_vjp(-1),
    samples=binary("scipy.special.gammaincc", 0.5, 3),
)  # fmt: skip
nextafter = _pairwise("nextafter", None, promotion="same", samples=binary("numpy.nextafter"))
gcd = _pairwise("gcd", None, promotion="same", samples=binary("numpy.gcd", -9, 9, kinds="i"))
lcm = _pairwise("lcm", None, promotion="same", samples=binary("numpy.lcm", -9, 9, kinds="i"))
