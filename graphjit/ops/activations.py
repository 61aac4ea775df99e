"""Activation functions: composites of pointwise ops, with `eval` and vjp of few NumPy calls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.graph import Spec
from .blocks import by_elements, is_large
from .core import Op, arrays_of, as_array, check_floating, declare
from .native import fused
from .sampling import Reference, both, calls, resolve, rows, unary

_ROOT_HALF = math.sqrt(0.5)
_ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715


def _activation(
    name: str, decompose: Any, vjp: Any, reference: Reference, direct: Any = None,
    attrs: Sequence[dict[str, Any]] = ({},),
) -> Op:  # fmt: skip
    """An op of one floating-point operand that decomposes into pointwise ops.

    `direct` computes arrays as `decompose` does, by fewer calls.
    """

    def infer(spec: Spec, **attrs: Any) -> tuple[Spec, ...]:
        check_floating(f"{name}_cpu", spec.dtype)
        return (spec,)

    def checked(xp: Any, x: Any, **attrs: Any) -> Any:
        if x.dtype.kind not in "fc":
            raise TypeError(name)
        return by_elements(arrays_of(xp), decompose, (x,), attrs, direct)

    def gradient(F: Any, g: Any, x: Any, **attrs: Any) -> Any:
        if x.__class__ is np.ndarray:
            return by_elements(F, vjp, (g, x), attrs)
        return vjp(F, g, x, **attrs)

    return declare(
        name,
        "composite",
        infer=infer,
        eval=checked,
        decompose=decompose,
        saves=("in0",),
        vjps=gradient,
        samples=both(*(unary(reference, -5, 5, **each) for each in attrs)),
    )


def _gelu_argument(F: Any, x: Any) -> Any:
    cubic = F.mul(F.mul(x, x), _GELU_CUBIC * _ROOT_2_OVER_PI)
    return F.mul(x, F.add(cubic, _ROOT_2_OVER_PI))


def _decompose_gelu(F: Any, x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        inner = F.tanh(_gelu_argument(F, x))
    else:
        inner = F.erf(F.mul(x, _ROOT_HALF))
    return F.mul(F.mul(x, 0.5), F.add(inner, 1))


def _gelu_vjp(F: Any, g: Any, x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        t = F.tanh(_gelu_argument(F, x))
        slope = F.add(F.mul(F.mul(x, x), 3 * _GELU_CUBIC * _ROOT_2_OVER_PI), _ROOT_2_OVER_PI)
        density = F.mul(F.mul(F.sub(1, F.mul(t, t)), slope), 0.5)
    else:
        t = F.erf(F.mul(x, _ROOT_HALF))
        density = F.mul(F.exp(F.mul(F.mul(x, x), -0.5)), 0.5 * _ROOT_2_OVER_PI)
    return F.mul(g, F.add(F.mul(F.add(t, 1), 0.5), F.mul(x, density)))


def _direct_gelu(F: Any, x: Any, approximate: str) -> Any:
    inner = F.tanh(_gelu_argument(F, x)) if approximate == "tanh" else F.erf(x * _ROOT_HALF)
    inner += 1
    inner *= 0.5
    inner *= x
    return inner


def _gelu_reference(x: Any, approximate: str) -> Any:
    if approximate == "none":
        return x * resolve("scipy.special.ndtr")(x)
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


gelu = _activation(
    "gelu", _decompose_gelu, _gelu_vjp, _gelu_reference, _direct_gelu,
    [{"approximate": "none"}, {"approximate": "tanh"}],
)  # fmt: skip


def _silu_vjp(F: Any, g: Any, x: Any) -> Any:
    s = F.sigmoid(x)
    return F.mul(g, F.mul(s, F.add(F.mul(x, F.sub(1, s)), 1)))


silu = _activation(
    "silu", lambda F, x: F.mul(x, F.sigmoid(x)), _silu_vjp, lambda x: x / (1 + np.exp(-x))
)


def _decompose_leaky_relu(F: Any, x: Any, negative_slope: float) -> Any:
    return F.where(F.gt(x, 0), x, F.mul(x, negative_slope))


leaky_relu = _activation(
    "leaky_relu",
    _decompose_leaky_relu,
    lambda F, g, x, negative_slope: F.where(F.gt(x, 0), g, F.mul(g, negative_slope)),
    lambda x, negative_slope: np.maximum(x, 0) + negative_slope * np.minimum(x, 0),
    attrs=[{"negative_slope": 0.01}],
)


def _decompose_elu(F: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    grown = F.mul(F.expm1(F.mul(x, input_scale)), alpha * scale)
    return F.where(F.gt(x, 0), F.mul(x, scale), grown)


def _elu_vjp(F: Any, g: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    slope = F.mul(F.exp(F.mul(x, input_scale)), alpha * scale * input_scale)
    return F.mul(g, F.where(F.gt(x, 0), scale, slope))


#: `scale * x` above zero, else `scale * alpha * (exp(input_scale * x) - 1)`: ELU, SELU and CELU.
elu = _activation(
    "elu", _decompose_elu, _elu_vjp,
    lambda x, alpha, scale, input_scale: scale
    * (np.maximum(x, 0) + alpha * np.expm1(input_scale * np.minimum(x, 0))),
    attrs=[{"alpha": 1.0, "scale": 1.0, "input_scale": 1.0},
           {"alpha": 1.5, "scale": 1.1, "input_scale": 0.7}],
)  # fmt: skip


def _decompose_softplus(F: Any, x: Any, beta: float, threshold: float) -> Any:
    scaled = F.mul(x, beta)
    smooth = F.mul(F.log1p(F.exp(F.neg(F.abs(scaled)))), 1 / beta)
    smooth = F.add(smooth, F.mul(F.relu(scaled), 1 / beta))
    return F.where(F.gt(scaled, threshold), x, smooth)


def _softplus_vjp(F: Any, g: Any, x: Any, beta: float, threshold: float) -> Any:
    scaled = F.mul(x, beta)
    return F.where(F.gt(scaled, threshold), g, F.mul(g, F.sigmoid(scaled)))


softplus = _activation(
    "softplus", _decompose_softplus, _softplus_vjp,
    lambda x, beta, threshold: np.where(
        beta * x > threshold, x, np.logaddexp(0, beta * x) / beta
    ),
    attrs=[{"beta": 1.0, "threshold": 20.0}, {"beta": 2.0, "threshold": 3.0}],
)  # fmt: skip


def _decompose_log_sigmoid(F: Any, x: Any) -> Any:
    return F.sub(F.minimum(x, 0), F.log1p(F.exp(F.neg(F.abs(x)))))


log_sigmoid = _activation(
    "log_sigmoid",
    _decompose_log_sigmoid,
    lambda F, g, x: F.mul(g, F.sigmoid(F.neg(x))),
    "scipy.special.log_expit",
)


def _mish_vjp(F: Any, g: Any, x: Any) -> Any:
    t = F.tanh(F.softplus(x, beta=1, threshold=20))
    slope = F.mul(F.mul(x, F.sigmoid(x)), F.sub(1, F.mul(t, t)))
    return F.mul(g, F.add(t, slope))


mish = _activation(
    "mish",
    lambda F, x: F.mul(x, F.tanh(F.softplus(x, beta=1, threshold=20))),
    _mish_vjp,
    lambda x: x * np.tanh(np.logaddexp(0, x)),
)


def _decompose_hardsigmoid(F: Any, x: Any) -> Any:
    return F.mul(F.minimum(F.maximum(F.add(x, 3), 0), 6), 1 / 6)


def _hardsigmoid_vjp(F: Any, g: Any, x: Any) -> Any:
    inside = F.logical_and(F.gt(x, -3), F.lt(x, 3))
    return F.where(inside, F.mul(g, 1 / 6), 0)


hardsigmoid = _activation(
    "hardsigmoid", _decompose_hardsigmoid, _hardsigmoid_vjp, lambda x: np.clip(x / 6 + 0.5, 0, 1)
)


def _hardswish_vjp(F: Any, g: Any, x: Any) -> Any:
    middle = F.mul(g, F.add(F.mul(x, 1 / 3), 0.5))
    return F.where(F.le(x, -3), 0, F.where(F.lt(x, 3), middle, g))


hardswish = _activation(
    "hardswish",
    lambda F, x: F.mul(x, _decompose_hardsigmoid(F, x)),
    _hardswish_vjp,
    lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
)


def _clamp(name: str, open_ends: bool) -> Op:
    """`x` brought into [min, max], either of which may be None; NaN stays.

    With open ends the gradient is zero at the bounds, and passes where `x` is NaN.
    """

    def decompose(F: Any, x: Any, min: float | None, max: float | None) -> Any:
        x = x if min is None else F.maximum(x, min)
        return x if max is None else F.minimum(x, max)

    def eval(xp: Any, x: Any, min: float | None, max: float | None) -> Any:
        kind = x.dtype.kind
        if kind in "iu" and (isinstance(min, float) or isinstance(max, float)):
            raise TypeError("a floating-point bound of an integer tensor")
        if min is None and max is None:
            raise ValueError("no bound")
        result = None
        if is_large(x):
            bounds = [np.asarray(bound, x.dtype) for bound in (min, max) if bound is not None]
            function = _between if len(bounds) == 2 else _at_least if max is None else _at_most
            result = fused(function, (x.reshape(-1), *bounds), {})
        if result is not None:
            return result.reshape(x.shape)
        return as_array(xp, xp.maximum(x, min) if max is None else _upper(xp, x, min, max))

    def infer(spec: Spec, min: float | None, max: float | None) -> tuple[Spec, ...]:
        if min is None and max is None:
            raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
        return (spec,)

    def vjp(F: Any, g: Any, x: Any, min: float | None, max: float | None) -> Any:
        sides = [(F.ge, F.le, min), (F.le, F.ge, max)]
        found = [(outside if open_ends else inside)(x, bound)
                 for inside, outside, bound in sides if bound is not None]  # fmt: skip
        if open_ends:
            return F.where(found[0] if len(found) == 1 else F.logical_or(*found), 0, g)
        return F.where(found[0] if len(found) == 1 else F.logical_and(*found), g, 0)

    return declare(
        name,
        "composite",
        infer=infer,
        eval=eval,
        decompose=decompose,
        saves=("in0",),
        vjps=vjp,
        samples=both(*(
            unary(lambda x, min, max: np.clip(x, min, max), kinds=kinds, min=low, max=high)
            for low, high, kinds in ((-1.0, 0.5, "f"), (None, 0.5, "f"), (-1, None, "fi"))
        )),
    )  # fmt: skip


def _at_least(F: Any, x: Any, low: Any) -> Any:
    return F.maximum(x, low)


def _at_most(F: Any, x: Any, high: Any) -> Any:
    return F.minimum(x, high)


def _between(F: Any, x: Any, low: Any, high: Any) -> Any:
    return F.minimum(F.maximum(x, low), high)


def _upper(xp: Any, x: Any, low: float | None, high: float) -> Any:
    return xp.minimum(x if low is None else xp.maximum(x, low), high)


clamp = _clamp("clamp", open_ends=False)
hardtanh = _clamp("hardtanh", open_ends=True)


def _prelu_vjps() -> tuple[Any, Any]:
    def grad_input(F: Any, g: Any, x: Any, w: Any) -> Any:
        return F.where(F.gt(x, 0), g, F.mul(g, w))

    def grad_weight(F: Any, g: Any, x: Any, w: Any) -> Any:
        return F.sum_to(F.where(F.gt(x, 0), 0, F.mul(g, x)), shape=w.shape)

    return grad_input, grad_weight


#: The weight is shaped so that it broadcasts against the input.
prelu = declare(
    "prelu",
    "composite",
    infer=lambda x, w: (x,),
    eval=lambda xp, x, w: xp.where(x > 0, x, x * w),
    decompose=lambda F, x, w: F.where(F.gt(x, 0), x, F.mul(x, w)),
    saves=("in0", "in1"),
    vjps=_prelu_vjps(),
    samples=rows(
        lambda x, w: np.where(x > 0, x, w * x),
        *calls(((2, 3, 4), (3, 1)), ((4,), (1,)), ((0, 3), (3,))),
    ),
)
