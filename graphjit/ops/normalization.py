"""Softmax and the normalisations over means and variances.

Each works along some dimensions and is a row-wise sequence of reductions and pointwise ops, which
the compiler makes one kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..ir.graph import Shape, Spec
from . import blocks
from .blocks import by_rows, is_large
from .core import arrays_of, as_array, by_parts, declare, reduced_shape, type_name
from .native import Function, fused
from .reduce import extremum_array, sum_array
from .sampling import Samples, calls, floats, reducing, resolve, rows


def _infer_softmax(name: str, spec: Spec) -> tuple[Spec, ...]:
    if spec.dtype.category != 2:
        kernel = f"{name}_lastdim_kernel_impl"
        raise NotImplementedError(f'"{kernel}" not implemented for \'{type_name(spec.dtype)}\'')
    return (spec,)


def _shifted(xp: Any, x: Any, dims: Shape) -> Any:
    """`x` less its maximum along `dims`: exponentials of the result are at most 1."""
    if x.dtype.kind != "f":
        raise TypeError("softmax of integers")
    if x.size == 0:
        return x.copy()
    return xp.subtract(x, extremum_array(xp, "maximum", x, dims, True))


def _dims(x: Any, dim: int) -> Shape:
    return (dim,) if x.shape else ()


def _eval_softmax(xp: Any, x: Any, dim: int) -> Any:
    if not x.ndim:
        return xp.exp(_shifted(xp, x.reshape(1), (0,))).reshape(())
    return _along_rows(arrays_of(xp), _decompose_softmax, (x,), dim, partial(_direct_softmax, xp))


def _direct_softmax(xp: Any, F: Any, x: Any, dim: int) -> Any:
    y = F.exp(_shifted(xp, x, (dim,)))
    return xp.divide(y, sum_array(xp, y, (dim,), True), y)


def _along_rows(
    F: Any, function: Function, arrays: Sequence[Any], dim: int, direct: Function | None = None
) -> Any:
    """`function(F, *arrays, dim=dim)`, row by row where `dim` is the last and they are many."""
    shape = arrays[0].shape
    if dim != len(shape) - 1 or not all(map(is_large, arrays)):
        return (direct or function)(F, *arrays, dim=dim)
    rows = math.prod(shape[:-1])
    matrices = [x.reshape(rows, -1) for x in arrays]
    return by_rows(F, function, matrices, {"dim": 1}, direct).reshape(shape)


def _decompose_softmax(F: Any, x: Any, dim: int) -> Any:
    dims = _dims(x, dim)
    e = F.exp(F.sub(x, F.amax(x, dims=dims)))
    return F.div(e, F.sum(e, dims=dims))


def _softmax_gradient(F: Any, g: Any, y: Any, dim: int) -> Any:
    return F.mul(F.sub(g, F.sum(F.mul(g, y), dims=_dims(y, dim))), y)


def _softmax_vjp(F: Any, g: Any, y: Any, dim: int) -> Any:
    return _along_rows(F, _softmax_gradient, (g, y), dim)


def _along(name: str) -> Samples:
    def reference(x: Any, dim: int) -> Any:
        return resolve(f"scipy.special.{name}")(x, axis=dim if x.ndim else None)

    places = (((3, 4), 1), ((3, 4), 0), ((2, 3, 4), 1), ((4,), 0), ((), 0),
              (floats(4, 20, high=90), 1), (floats(40, 120), 1))  # fmt: skip
    return rows(reference, *(((x,), {"dim": dim}) for x, dim in places))


softmax = declare(
    "softmax",
    "composite",
    infer=lambda spec, dim: _infer_softmax("softmax", spec),
    eval=_eval_softmax,
    decompose=_decompose_softmax,
    saves=("out0",),
    vjps=_softmax_vjp,
    samples=_along("softmax"),
)


def _eval_log_softmax(xp: Any, x: Any, dim: int) -> Any:
    if not x.ndim:
        return as_array(xp, x - x)
    direct = partial(_direct_log_softmax, xp)
    return _along_rows(arrays_of(xp), _decompose_log_softmax, (x,), dim, direct)


def _direct_log_softmax(xp: Any, F: Any, x: Any, dim: int) -> Any:
    z = _shifted(xp, x, (dim,))
    total = sum_array(xp, F.exp(z), (dim,), True)
    return xp.subtract(z, xp.log(total, total), z)


def _decompose_log_softmax(F: Any, x: Any, dim: int) -> Any:
    dims = _dims(x, dim)
    z = F.sub(x, F.amax(x, dims=dims))
    return F.sub(z, F.log(F.sum(F.exp(z), dims=dims)))


def _log_softmax_gradient(F: Any, g: Any, out: Any, dim: int) -> Any:
    return F.sub(g, F.mul(F.exp(out), F.sum(g, dims=_dims(out, dim))))


def log_softmax_vjp(F: Any, g: Any, out: Any, dim: int) -> Any:
    """The gradient of the input of log_softmax, from its output `out`."""
    return _along_rows(F, _log_softmax_gradient, (g, out), dim)


log_softmax = declare(
    "log_softmax",
    "composite",
    infer=lambda spec, dim: _infer_softmax("log_softmax", spec),
    eval=_eval_log_softmax,
    decompose=_decompose_log_softmax,
    saves=("out0",),
    vjps=log_softmax_vjp,
    samples=_along("log_softmax"),
)


def _decompose_logsumexp(F: Any, x: Any, dims: Shape) -> Any:
    """Along `dims`, which stay. Where the maximum is infinite it is not subtracted."""
    top = F.amax(x, dims=dims)
    top = F.where(F.isinf(top), 0, top)
    return F.add(F.log(F.sum(F.exp(F.sub(x, top)), dims=dims)), top)


logsumexp = declare(
    "logsumexp",
    "composite",
    infer=lambda spec, dims: (spec.with_shape(reduced_shape(spec.shape, dims)),),
    eval=by_parts(_decompose_logsumexp),
    decompose=_decompose_logsumexp,
    saves=("in0", "out0"),
    vjps=lambda F, g, x, out, dims: F.mul(g, F.exp(F.sub(x, out))),
    samples=reducing(
        lambda x, axis, keepdims: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
        empty=False,
    ),
)


def _trailing(x: Any, shape: Shape) -> Shape:
    return tuple(range(len(x.shape) - len(shape), len(x.shape)))


def _infer_layer_norm(x: Spec, *affine: Spec, shape: Shape, eps: float) -> tuple[Spec, ...]:
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least "
            "one element, but got normalized_shape = []"
        )
    for name, spec in zip(("weight", "bias"), affine):
        if spec.shape != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of "
                f"shape {list(spec.shape)} and normalized_shape = {list(shape)}"
            )
    if x.shape[-len(shape) :] != shape:
        expected = ", ".join(["*", *map(str, shape)])
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [{expected}], "
            f"but got input of size{list(x.shape)}"
        )
    for spec in affine:
        if spec.dtype is not x.dtype:
            raise RuntimeError(
                "mixed dtype (CPU): expect parameter to have scalar type of Float"
            )
    statistic = x.with_shape(reduced_shape(x.shape, _trailing(x, shape)))
    return x, statistic, statistic


def _statistics(xp: Any, x: Any, dims: Shape, eps: float) -> tuple[Any, Any, Any]:
    """`x` less its mean, the mean, and the reciprocal of the standard deviation."""
    n = math.prod(x.shape[dim] for dim in dims)
    mean = sum_array(xp, x, dims, True)
    xp.divide(mean, n, mean)
    centered = x - mean
    rstd = sum_array(xp, centered * centered, dims, True)
    xp.divide(rstd, n, rstd)
    xp.add(rstd, eps, rstd)
    xp.sqrt(rstd, rstd)
    return centered, mean, xp.reciprocal(rstd, rstd)


def _eval_layer_norm(xp: Any, x: Any, *affine: Any, shape: Shape, eps: float) -> Any:
    if x.shape[-len(shape) :] != shape or x.dtype.kind != "f":
        raise TypeError("normalized_shape")
    if any(p.shape != shape or p.dtype != x.dtype for p in affine):
        raise TypeError("weight or bias")
    n = math.prod(shape)
    rows, kept = x.size // max(n, 1), reduced_shape(x.shape, _trailing(x, shape))
    source, flat_affine = x.reshape(rows, n), [p.reshape(n) for p in affine]
    results = None
    if is_large(x):
        attrs = {"shape": (n,), "eps": eps}
        results = fused(_decompose_layer_norm, (source, *flat_affine), attrs)
    y, mean, rstd = results or _direct_layer_norm(xp, source, flat_affine, eps)
    return y.reshape(x.shape), mean.reshape(kept), rstd.reshape(kept)


def _direct_layer_norm(xp: Any, x: Any, affine: Sequence[Any], eps: float) -> Any:
    rows, n = x.shape
    y, means, rstds = xp.empty_like(x), xp.empty((rows, 1), x.dtype), xp.empty((rows, 1), x.dtype)
    step = max(blocks.BLOCK // n, 1) if is_large(x) else max(rows, 1)
    for start in range(0, rows, step):
        part = slice(start, start + step)
        normal, means[part], rstds[part] = _statistics(xp, x[part], (1,), eps)
        xp.multiply(normal, rstds[part], normal)
        _affine(xp, normal, affine, y[part])
    return y, means, rstds


def _affine(xp: Any, normal: Any, affine: Sequence[Any], target: Any) -> None:
    """Write `normal`, scaled by the first and shifted by the second of `affine`."""
    if not affine:
        target[...] = normal
        return
    xp.multiply(normal, affine[0], target)
    if len(affine) > 1:
        xp.add(target, affine[1], target)


def decompose_statistics(F: Any, x: Any, dims: Shape, eps: float) -> tuple[Any, Any, Any]:
    """`x` less its mean along `dims`, the mean, and the reciprocal standard deviation."""
    mean = F.mean(x, dims=dims, keepdim=True)
    centered = F.sub(x, mean)
    variance = F.mean(F.mul(centered, centered), dims=dims, keepdim=True)
    return centered, mean, F.rsqrt(F.add(variance, eps))


def _decompose_layer_norm(F: Any, x: Any, *affine: Any, shape: Shape, eps: float) -> Any:
    centered, mean, rstd = decompose_statistics(F, x, _trailing(x, shape), eps)
    y = F.mul(centered, rstd)
    y = F.mul(y, affine[0]) if affine else y
    y = F.add(y, affine[1]) if len(affine) > 1 else y
    return y, mean, rstd


def normalized_vjp(
    F: Any, grads: Sequence[Any], x: Any, mean: Any, rstd: Any, dims: Shape
) -> Any:
    """The gradient of `x` from those of ((x - mean) * rstd, mean, rstd), any of which may be None.

    Gradients reach the two statistics only when a backward pass is itself differentiated.
    """
    g, g_mean, g_rstd = grads
    parts = []
    if g is not None:
        parts.append(_normal_grad(F, g, x, mean, rstd, dims))
    if g_rstd is not None:
        normal = F.mul(F.sub(x, mean), rstd)
    n = math.prod(x.shape[dim] for dim in dims)
    if g_mean is not None:
        parts.append(F.expand(F.mul(g_mean, 1 / n), shape=x.shape))
    if g_rstd is not None:
        parts.append(F.mul(F.mul(normal, F.mul(rstd, rstd)), F.mul(g_rstd, -1 / n)))
    total = parts[0]
    for part in parts[1:]:
        total = F.add(total, part)
    return total


def _normal_grad(F: Any, g: Any, x: Any, mean: Any, rstd: Any, dims: Shape) -> Any:
    """The gradient of `x` from that of (x - mean) * rstd, the two statistics depending on it."""

    trailing = dims == tuple(range(len(x.shape) - len(dims), len(x.shape)))
    if not trailing or not is_large(g) or not is_large(x):
        return _normal_gradient(F, g, x, mean, rstd, dims)
    rows = math.prod(x.shape[: dims[0]])
    matrices = [a.reshape(rows, -1) for a in (g, x, mean, rstd)]
    return by_rows(F, _normal_gradient, matrices, {"dims": (1,)}).reshape(x.shape)


def _normal_gradient(F: Any, g: Any, x: Any, mean: Any, rstd: Any, dims: Shape) -> Any:
    normal = F.mul(F.sub(x, mean), rstd)
    products = F.mean(F.mul(g, normal), dims=dims, keepdim=True)
    inner = F.add(F.mean(g, dims=dims, keepdim=True), F.mul(normal, products))
    return F.mul(F.sub(g, inner), rstd)


def _layer_norm_vjp(
    F: Any, needs: Sequence[bool], g: Any, x: Any, weight: Any, mean: Any, rstd: Any,
    shape: Shape, eps: float,
) -> list[Any]:  # fmt: skip
    y_grad, *statistics = g
    grads: list[Any] = [None] * len(needs)
    if needs[0]:
        scaled = y_grad
        if y_grad is not None and weight is not None:
            scaled = F.mul(y_grad, weight)
        dims = _trailing(x, shape)
        grads[0] = normalized_vjp(F, (scaled, *statistics), x, mean, rstd, dims)
    if len(needs) > 1 and needs[1] and y_grad is not None:
        normal = F.mul(F.sub(x, mean), rstd)
        grads[1] = F.sum_to(F.mul(y_grad, normal), shape=shape)
    if len(needs) > 2 and needs[2] and y_grad is not None:
        grads[2] = F.sum_to(y_grad, shape=shape)
    return grads


def _layer_norms() -> Samples:
    def reference(x: Any, w: Any = 1, b: Any = 0, *, shape: Shape, eps: float) -> Any:
        axes = tuple(range(x.ndim - len(shape), x.ndim))
        mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        return (x - mean) / np.sqrt(var + eps) * w + b, mean, 1 / np.sqrt(var + eps)

    return rows(
        reference,
        *calls(((3, 4), (4,), (4,)), ((3, 4), (4,)), ((3, 4),), ((2, 3, 4), (4,), (4,)),
               shape=(4,), eps=1e-5),
        *calls(((2, 3, 4), (3, 4), (3, 4)), shape=(3, 4), eps=1e-3),
    )  # fmt: skip


#: Inputs x[, weight[, bias]]; outputs (y, mean, reciprocal standard deviation).
layer_norm = declare(
    "layer_norm",
    "composite",
    infer=_infer_layer_norm,
    eval=_eval_layer_norm,
    decompose=_decompose_layer_norm,
    saves=("in0", "in1", "out1", "out2"),
    joint_vjp=_layer_norm_vjp,
    n_outputs=3,
    grad_name="NativeLayerNorm",
    samples=_layer_norms(),
)


def _channel_dims(x: Any) -> Shape:
    """All dimensions but the second, over which batch statistics are taken."""
    return (0, *range(2, len(x.shape)))


def _per_channel(F: Any, p: Any, x: Any) -> Any:
    return F.reshape(p, shape=(1, x.shape[1], *(1,) * (len(x.shape) - 2)))


def _infer_batch_norm(x: Spec, *affine: Spec, eps: float) -> tuple[Spec, ...]:
    for name, spec in zip(("weight", "bias"), affine):
        if spec.shape != (x.shape[1],):
            raise RuntimeError(
                f"{name} should contain {x.shape[1]} elements not {spec.size}"
            )
    statistic = x.with_shape(reduced_shape(x.shape, _channel_dims(x)))
    return x, statistic, statistic


def _decompose_batch_norm(F: Any, x: Any, *affine: Any, eps: float) -> Any:
    centered, mean, rstd = decompose_statistics(F, x, _channel_dims(x), eps)
    y = F.mul(centered, rstd)
    y = F.mul(y, _per_channel(F, affine[0], x)) if affine else y
    y = F.add(y, _per_channel(F, affine[1], x)) if len(affine) > 1 else y
    return y, mean, rstd


def _eval_batch_norm(xp: Any, x: Any, *affine: Any, eps: float) -> Any:
    shape = (1, x.shape[1]) + (1,) * (x.ndim - 2)
    y, mean, rstd = _statistics(xp, x, _channel_dims(x), eps)
    xp.multiply(y, rstd * affine[0].reshape(shape) if affine else rstd, y)
    if len(affine) > 1:
        xp.add(y, affine[1].reshape(shape), y)
    return y, mean, rstd


def _batch_norm_vjp(
    F: Any, needs: Sequence[bool], g: Any, x: Any, weight: Any, mean: Any, rstd: Any, eps: float
) -> list[Any]:
    y_grad, *statistics = g
    grads: list[Any] = [None] * len(needs)
    if needs[0]:
        scaled = y_grad
        if y_grad is not None and weight is not None:
            scaled = F.mul(y_grad, _per_channel(F, weight, x))
        grads[0] = normalized_vjp(F, (scaled, *statistics), x, mean, rstd, _channel_dims(x))
    channels = (1, x.shape[1], *(1,) * (len(x.shape) - 2))
    if len(needs) > 1 and needs[1] and y_grad is not None:
        product = F.mul(y_grad, F.mul(F.sub(x, mean), rstd))
        grads[1] = F.reshape(F.sum_to(product, shape=channels), shape=(x.shape[1],))
    if len(needs) > 2 and needs[2] and y_grad is not None:
        grads[2] = F.reshape(F.sum_to(y_grad, shape=channels), shape=(x.shape[1],))
    return grads


def _batch_norms() -> Samples:
    def reference(x: Any, w: Any = None, b: Any = None, *, eps: float) -> Any:
        shape, axes = (-1, *(1,) * (x.ndim - 2)), (0, *range(2, x.ndim))
        mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        y = (x - mean) / np.sqrt(var + eps)
        y = y if w is None else y * w.reshape(shape)
        return y if b is None else y + b.reshape(shape), mean, 1 / np.sqrt(var + eps)

    operands = ((5, 3), (3,), (3,)), ((5, 3),), ((4, 3, 2, 2), (3,), (3,)), ((4, 3, 2), (3,))
    return rows(reference, *calls(*operands, eps=1e-5))


#: By the statistics of the batch. Inputs x[, weight[, bias]]; outputs (y, mean, reciprocal
#: standard deviation), the statistics with the dimensions of `x`.
batch_norm = declare(
    "batch_norm",
    "composite",
    infer=_infer_batch_norm,
    eval=_eval_batch_norm,
    decompose=_decompose_batch_norm,
    saves=("in0", "in1", "out1", "out2"),
    joint_vjp=_batch_norm_vjp,
    n_outputs=3,
    grad_name="NativeBatchNorm",
    samples=_batch_norms(),
)
