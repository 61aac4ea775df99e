"""Pointwise ops of one operand: signs, rounding, roots, exponentials, trigonometry, erf, relu."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType
from . import scalar as s
from .blocks import by_elements
from .core import Op, arrays_of, as_array, pointwise, ufunc
from .native import Tiny, unary_loop
from .pointwise import MASK_SIZE, eval_where
from .sampling import Reference, binary, unary


def _no_bool_negation(dtype: DType) -> None:
    if dtype is dtypes.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead."
        )


def _flat(F: Any, g: Any) -> Any:
    """The gradient of a step function."""
    return F.zeros_like(g)


def _square(F: Any, x: Any) -> Any:
    return F.mul(x, x)


def _eval_sign(xp: Any, x: Any) -> Any:
    if x.dtype.kind == "f":
        return eval_where(xp, xp.isnan(x), 0, xp.sign(x))
    return x.copy() if x.dtype.kind == "b" else as_array(xp, xp.sign(x))


def _eval_round(xp: Any, x: Any) -> Any:
    return as_array(xp, xp.rint(x)) if x.dtype.kind == "f" else x.copy()


neg = pointwise(
    "neg", "negative", "neg", check=_no_bool_negation, vjps=lambda F, g: F.neg(g),
    samples=unary("numpy.negative", kinds="fi"),
)  # fmt: skip
abs = pointwise(
    "abs", "absolute", "abs", saves=("in0",), vjps=lambda F, g, x: F.mul(g, F.sign(x)),
    samples=unary("numpy.abs", kinds="fi"),
)  # fmt: skip


def _stepwise(name: str, eval: Any, reference: str) -> Op:
    """An op that is constant between its jumps."""
    samples = unary(reference, -4, 4, kinds="fi")
    return pointwise(name, eval, name, vjps=_flat, samples=samples)


sign = _stepwise("sign", unary_loop("sign", _eval_sign), "numpy.sign")
floor = _stepwise("floor", "floor", "numpy.floor")
ceil = _stepwise("ceil", "ceil", "numpy.ceil")
round = _stepwise("round", _eval_round, "numpy.round")
trunc = _stepwise("trunc", "trunc", "numpy.trunc")


def _floating(
    name: str, eval: Any, saves: str, vjp: Any,
    low: float = -2, high: float = 2, reference: Reference | None = None,
) -> Op:  # fmt: skip
    """An op on floating-point numbers that has a scalar instruction of the same name.

    The reference is NumPy's function that `eval` names, where it is not given.
    """
    samples = unary(reference or f"numpy.{eval}", low, high)
    return pointwise(
        name, eval, name, promotion="float", saves=(saves,), vjps=vjp, samples=samples
    )


#: Between them the exponential function is less than every normal number, and not yet zero.
_TINY_EXP = {"f": (-103.98, -87.33), "d": (-745.14, -708.39)}
_TINY_EXP2 = {"f": (-150.0, -126.0), "d": (-1075.0, -1022.0)}


def _elementary(
    name: str, eval: Any, saves: str, vjp: Any,
    low: float = -2, high: float = 2, reference: Reference | None = None, tiny: Tiny | None = None,
) -> Op:  # fmt: skip
    """One that a compiled loop computes faster than NumPy or SciPy."""
    loop = unary_loop(name, ufunc(eval) if isinstance(eval, str) else eval, tiny)
    return _floating(name, loop, saves, vjp, low, high, reference or f"numpy.{eval}")


sqrt = _floating("sqrt", "sqrt", "out0", lambda F, g, out: F.div(g, F.mul(out, 2)), 0.1, 4)
rsqrt = _floating(
    "rsqrt",
    lambda xp, x: as_array(xp, xp.reciprocal(xp.sqrt(x))),
    "out0",
    lambda F, g, out: F.mul(F.mul(g, -0.5), F.mul(out, _square(F, out))),
    0.1, 4, lambda x: x ** -0.5,
)  # fmt: skip
reciprocal = _floating(
    "reciprocal", "reciprocal", "out0", lambda F, g, out: F.neg(F.mul(g, _square(F, out))), 0.2, 3
)
exp = _elementary("exp", "exp", "out0", lambda F, g, out: F.mul(g, out), tiny=_TINY_EXP)
exp2 = _elementary(
    "exp2", "exp2", "out0", lambda F, g, out: F.mul(g, F.mul(out, math.log(2))), tiny=_TINY_EXP2
)
expm1 = _elementary("expm1", "expm1", "out0", lambda F, g, out: F.mul(g, F.add(out, 1)))
log = _elementary("log", "log", "in0", lambda F, g, x: F.div(g, x), 0.1, 4)
log2 = _elementary("log2", "log2", "in0", lambda F, g, x: F.div(g, F.mul(x, math.log(2))), 0.1, 4)
log10 = _elementary(
    "log10", "log10", "in0", lambda F, g, x: F.div(g, F.mul(x, math.log(10))), 0.1, 4
)
log1p = _elementary("log1p", "log1p", "in0", lambda F, g, x: F.div(g, F.add(x, 1)), -0.9, 4)
sin = _elementary("sin", "sin", "in0", lambda F, g, x: F.mul(g, F.cos(x)))
cos = _elementary("cos", "cos", "in0", lambda F, g, x: F.neg(F.mul(g, F.sin(x))))
tan = _elementary(
    "tan", "tan", "out0", lambda F, g, out: F.mul(g, F.add(_square(F, out), 1)), -1, 1
)
asin = _elementary(
    "asin", "arcsin", "in0", lambda F, g, x: F.mul(g, F.rsqrt(F.sub(1, _square(F, x)))), -0.9, 0.9
)
acos = _elementary(
    "acos", "arccos", "in0",
    lambda F, g, x: F.neg(F.mul(g, F.rsqrt(F.sub(1, _square(F, x))))), -0.9, 0.9,
)  # fmt: skip
atan = _elementary("atan", "arctan", "in0", lambda F, g, x: F.div(g, F.add(_square(F, x), 1)))
sinh = _elementary("sinh", "sinh", "in0", lambda F, g, x: F.mul(g, F.cosh(x)))
cosh = _elementary("cosh", "cosh", "in0", lambda F, g, x: F.mul(g, F.sinh(x)))
tanh = _elementary("tanh", "tanh", "out0", lambda F, g, out: F.mul(g, F.sub(1, _square(F, out))))
asinh = _elementary(
    "asinh", "arcsinh", "in0", lambda F, g, x: F.mul(g, F.rsqrt(F.add(_square(F, x), 1)))
)
acosh = _elementary(
    "acosh", "arccosh", "in0", lambda F, g, x: F.mul(g, F.rsqrt(F.sub(_square(F, x), 1))), 1.2, 4
)
atanh = _elementary(
    "atanh", "arctanh", "in0", lambda F, g, x: F.div(g, F.sub(1, _square(F, x))), -0.9, 0.9
)


def _eval_sigmoid(xp: Any, x: Any) -> Any:
    result = xp.exp(xp.negative(x))
    if result.ndim == 0:
        return as_array(xp, 1 / (1 + result))
    result += 1
    return xp.reciprocal(result, out=result)


sigmoid = _elementary(
    "sigmoid", _eval_sigmoid, "out0", lambda F, g, out: F.mul(g, F.mul(F.sub(1, out), out)),
    reference="scipy.special.expit", tiny=_TINY_EXP,
)  # fmt: skip


def _eval_erf(xp: Any, x: Any) -> Any:
    if xp is np:
        from scipy.special import erf
    else:
        from cupyx.scipy.special import erf  # type: ignore[import-not-found]
    return xp.asarray(erf(x), x.dtype)


erf = _elementary(
    "erf",
    _eval_erf,
    "in0",
    lambda F, g, x: F.mul(g, F.mul(F.exp(F.neg(_square(F, x))), 2 / math.sqrt(math.pi))),
    reference="scipy.special.erf",
)

_ZEROS = {np.dtype(t): np.zeros((), t) for t in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1")}


def _eval_relu(xp: Any, x: Any) -> Any:
    if xp is not np:
        return xp.maximum(x, 0)
    return as_array(np, np.maximum(x, _ZEROS[x.dtype]))


def _relu_gradient(F: Any, g: Any, out: Any) -> Any:
    return F.where(F.le(out, 0), 0, g)


def _eval_relu_backward(xp: Any, g: Any, out: Any) -> Any:
    if xp is not np or g.size >= MASK_SIZE:
        return by_elements(arrays_of(xp), _relu_gradient, (g, out), {})
    zero = _ZEROS[g.dtype]
    return np.where(np.less_equal(out, zero), zero, g)


relu = pointwise(
    "relu",
    unary_loop("relu", _eval_relu),
    lambda x: s.call("max", x, 0),
    saves=("out0",),
    idempotent=True,
    vjps=lambda F, g, out: F.relu_backward(g, out),
    samples=unary(lambda x: np.where(x > 0, x, 0).astype(x.dtype), kinds="fi"),
)
#: `g` but where `out` is zero or less; NaN lets it pass, as in PyTorch.
relu_backward = pointwise(
    "relu_backward",
    _eval_relu_backward,
    lambda g, out: s.select(s.call("le", out, 0), 0, g),
    saves=("in1",),
    vjps=(lambda F, g, out: F.relu_backward(g, out), lambda F, g, out: F.zeros_like(g)),
    grad_name="ThresholdBackward",
    samples=binary(lambda g, out: np.where(out > 0, g, 0) * np.ones_like(g + out)),
)
