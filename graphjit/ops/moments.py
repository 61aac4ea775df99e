"""Means, variances and standard deviations over `dims`, which `keepdim` keeps with extent 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ..ir.graph import Shape, Spec
from .core import declare, dtype_of, reduced_shape, type_name
from .reduce import Dims, count, output_shape, squeezed_shape, sum_array
from .sampling import Samples, both, reducing, rows


def _infer_mean(spec: Spec, dims: Dims, keepdim: bool) -> tuple[Spec, ...]:
    if spec.dtype.category < 2:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point "
            f"or complex dtype. Got: {type_name(spec.dtype)}"
        )
    return (spec.with_shape(output_shape(spec.shape, dims, keepdim)),)


def _eval_mean(xp: Any, x: Any, dims: Dims, keepdim: bool) -> Any:
    if x.dtype.kind not in "fc":
        _infer_mean(Spec(x.shape, dtypes.from_numpy(x.dtype)), dims, keepdim)
    n = x.size if x.ndim == len(dims) else count(x.shape, dims)
    result = sum_array(xp, x, dims, keepdim)
    return xp.true_divide(result, n, out=result)


def _decompose_mean(F: Any, x: Any, dims: Dims, keepdim: bool) -> Any:
    n = count(x.shape, dims)
    mean = _over(F, F.sum(x, dims=dims), n) if n else F.mul(F.sum(x, dims=dims), math.nan)
    return mean if keepdim else F.reshape(mean, shape=squeezed_shape(x.shape, dims))


def _mean_vjp(F: Any, g: Any, shape: Shape, dims: Dims, keepdim: bool) -> Any:
    g = F.mul(g, 1 / max(count(shape, dims), 1))
    if not keepdim and len(dims) < len(shape):
        g = F.reshape(g, shape=reduced_shape(shape, dims))
    return F.expand(g, shape=shape)


mean = declare(
    "mean",
    "composite",
    infer=_infer_mean,
    eval=_eval_mean,
    decompose=_decompose_mean,
    saves=("shape0",),
    vjps=_mean_vjp,
    samples=both(
        reducing("numpy.mean", empty=False, keepdim=True),
        reducing("numpy.mean", keepdims=False, empty=False, keepdim=False),
    ),
)


def _centered(F: Any, x: Any, dims: Dims) -> Any:
    return F.sub(x, F.mean(x, dims=dims, keepdim=True))


def _variance(F: Any, x: Any, dims: Dims, correction: float) -> Any:
    """Two passes: the mean, then the squares of the differences from it. Keeps `dims`."""
    centered = _centered(F, x, dims)
    n = max(count(x.shape, dims) - correction, 0)
    squares = F.sum(F.mul(centered, centered), dims=dims)
    return _over(F, squares, n) if n else F.div(squares, 0)


def _over(F: Any, x: Any, n: float) -> Any:
    """`x / n`. The reciprocal costs less; in float16 it would be too far off."""
    return F.div(x, n) if dtype_of(x) is dtypes.float16 else F.mul(x, 1 / n)


def _infer_var(spec: Spec, dims: Dims, correction: float, keepdim: bool) -> tuple[Spec, ...]:
    if spec.dtype.category < 2:
        raise RuntimeError("std and var only support floating point and complex dtypes")
    return (spec.with_shape(output_shape(spec.shape, dims, keepdim)),)


def _decompose_var(F: Any, x: Any, dims: Dims, correction: float, keepdim: bool) -> Any:
    return F.reshape(
        _variance(F, x, dims, correction), shape=output_shape(x.shape, dims, keepdim)
    )


def _eval_var(xp: Any, x: Any, dims: Dims, correction: float, keepdim: bool) -> Any:
    if x.dtype.kind not in "fc":
        _infer_var(Spec(x.shape, dtypes.from_numpy(x.dtype)), dims, correction, keepdim)
    centered = x - _eval_mean(xp, x, dims, True)
    squares = sum_array(xp, centered * centered, dims, keepdim)
    n = max(count(x.shape, dims) - correction, 0)
    return xp.true_divide(squares, n, out=squares)


def _var_vjp(
    F: Any, g: Any, x: Any, dims: Dims, correction: float, keepdim: bool
) -> Any:
    n = max(count(x.shape, dims) - correction, 0)
    g = F.reshape(g, shape=reduced_shape(x.shape, dims))
    return F.mul(F.mul(g, 2 / n if n else math.nan), _centered(F, x, dims))


def _spreads(name: str) -> Samples:
    def reference(x: Any, dims: Dims, correction: float, keepdim: bool) -> Any:
        return getattr(np, name)(x, axis=dims, ddof=correction, keepdims=keepdim)

    places = ((3, 4), (0,)), ((3, 4), (1,)), ((2, 3, 4), (0, 2)), ((30, 4), (0, 1))
    return rows(reference, *(
        ((x,), {"dims": dims, "correction": correction, "keepdim": keepdim})
        for x, dims in places for correction in (0, 1) for keepdim in (True, False)
    ))  # fmt: skip


var = declare(
    "var",
    "composite",
    infer=_infer_var,
    eval=_eval_var,
    decompose=_decompose_var,
    saves=("in0",),
    vjps=_var_vjp,
    samples=_spreads("var"),
)


def _eval_std(xp: Any, x: Any, dims: Dims, correction: float, keepdim: bool) -> Any:
    variance = _eval_var(xp, x, dims, correction, keepdim)
    return xp.sqrt(variance, out=variance)


def _std_vjp(
    F: Any, g: Any, x: Any, out: Any, dims: Dims, correction: float, keepdim: bool
) -> Any:
    g = F.where(F.eq(out, 0), 0, F.div(g, F.mul(out, 2)))
    return _var_vjp(F, g, x, dims, correction, keepdim)


std = declare(
    "std",
    "composite",
    infer=_infer_var,
    eval=_eval_std,
    decompose=lambda F, x, **attrs: F.sqrt(_decompose_var(F, x, **attrs)),
    saves=("in0", "out0"),
    vjps=_std_vjp,
    samples=_spreads("std"),
)
