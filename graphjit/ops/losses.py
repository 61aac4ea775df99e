"""Losses that compare a prediction with a target of the same shape, element by element.

`reduction` is "none", "mean" or "sum".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.graph import Spec
from .core import (
    Op,
    arrays_of,
    as_array,
    broadcast_shapes,
    by_parts,
    check_same_dtype,
    declare,
    number_like,
    type_name,
)
from .reduce import total
from .sampling import Operand, Samples, floats, rows

Parts = Callable[..., Any]


def check_reduction(reduction: str) -> None:
    """ValueError, in PyTorch's words, for a reduction that does not exist."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")


def all_dims(x: Any) -> tuple[int, ...]:
    """Every dimension of `x`."""
    return tuple(range(len(x.shape)))


def reduce_all(F: Any, losses: Any, reduction: str) -> Any:
    """The losses of the elements, reduced."""
    if reduction == "none":
        return losses
    if reduction == "mean":
        return F.mean(losses, dims=all_dims(losses), keepdim=False)
    return F.sum_squeeze(losses, dims=all_dims(losses))


def spread(F: Any, g: Any, n: int, reduction: str) -> Any:
    """The gradient of each element's loss, broadcastable against them all."""
    return F.mul(g, 1 / max(n, 1)) if reduction == "mean" else g


def _infer_loss(name: str, x: Spec, *others: Spec, reduction: str) -> tuple[Spec, ...]:
    check_reduction(reduction)
    shape = broadcast_shapes(x.shape, *(spec.shape for spec in others))
    check_same_dtype(name, (x, *others))
    if x.dtype.category < 2:
        raise NotImplementedError(f'"{name}_cpu" not implemented for \'{type_name(x.dtype)}\'')
    return (x.with_shape(shape if reduction == "none" else ()),)


def _count(*operands: Any) -> int:
    if len(operands) == 1:
        return math.prod(operands[0].shape)
    shape = broadcast_shapes(*(x.shape for x in operands if x is not None))
    n = 1
    for extent in shape:
        n *= extent
    return n


def _losses(
    reference: Callable[..., Any], *operands: Any, attrs: Sequence[dict[str, Any]] = ({},)
) -> Samples:
    """Rows for each reduction; `reference` gives the loss of each element."""

    def reduced(*arrays: Any, reduction: str, **rest: Any) -> Any:
        losses = reference(*arrays, **rest)
        return losses if reduction == "none" else getattr(np, reduction)(losses)

    return rows(reduced, *(
        (each, {"reduction": reduction, **rest})
        for each in operands for reduction in ("mean", "sum", "none") for rest in attrs
    ))  # fmt: skip


_PAIRS = ((3, 4), (3, 4)), ((), ()), ((70, 80), (70, 80)), ((3, 1), (3, 4)), ((4,), (3, 4))


def _loss(name: str, value: Parts, slopes: tuple[Parts | None, ...], **fields: Any) -> Op:
    """A loss from its formula for an element and the derivatives of that.

    `value(F, *operands, **attrs)`; `slopes[i](F, *operands, **attrs)` is the derivative by
    operand `i`. Operands beyond those given are None.
    """

    def decompose(F: Any, *operands: Any, reduction: str, **attrs: Any) -> Any:
        return reduce_all(F, value(F, *operands, **attrs), reduction)

    def vjp(i: int, slope: Parts) -> Callable[..., Any]:
        def gradient(F: Any, g: Any, *operands: Any, reduction: str, **attrs: Any) -> Any:
            given = [x for x in operands if x is not None]
            scale = spread(F, g, _count(*given), reduction)
            return F.sum_to(F.mul(slope(F, *operands, **attrs), scale), shape=operands[i].shape)

        return gradient

    def infer(*specs: Spec, reduction: str, **attrs: Any) -> tuple[Spec, ...]:
        return _infer_loss(name, *specs, reduction=reduction)

    def checked(xp: Any, *operands: Any, reduction: str, **attrs: Any) -> Any:
        if operands[0].dtype.kind != "f":
            raise TypeError(name)
        return parts(xp, *operands, reduction=reduction, **attrs)

    parts = by_parts(decompose)
    fields.setdefault("eval", checked)
    return declare(
        name,
        "composite",
        infer=infer,
        decompose=decompose,
        promotion="same",
        saves=tuple(f"in{i}" for i in range(len(slopes))),
        vjps=tuple(slope and vjp(i, slope) for i, slope in enumerate(slopes)),
        **fields,
    )


def _eval_mse_loss(xp: Any, x: Any, y: Any, reduction: str) -> Any:
    if x.dtype.kind != "f":
        raise TypeError("mse_loss of integers")
    d = xp.subtract(x, y)
    if reduction == "none":
        return as_array(xp, xp.multiply(d, d))
    if d.size > 4096 or d.dtype.char == "e":
        squares = total(xp, xp.multiply(d, d))
    else:
        flat = d.ravel()
        squares = flat.dot(flat)
    if reduction == "mean":
        squares = squares / d.dtype.type(d.size)
    elif reduction != "sum":
        raise ValueError(reduction)
    return xp.asarray(squares)


def _square_of_difference(F: Any, x: Any, y: Any) -> Any:
    d = F.sub(x, y)
    return F.mul(d, d)


def _mse_grad(F: Any, g: Any, x: Any, y: Any, reduction: str, sign: float) -> Any:
    d = F.sub(x, y)
    scale = 2 * sign / max(_count(d), 1) if reduction == "mean" else 2 * sign
    return F.mul(d, F.mul(g, scale))


def _mse_vjp(position: int, sign: float) -> Callable[..., Any]:
    def gradient(F: Any, g: Any, x: Any, y: Any, reduction: str) -> Any:
        result = _mse_grad(F, g, x, y, reduction, sign)
        shape = (x, y)[position].shape
        return result if result.shape == shape else F.sum_to(result, shape=shape)

    return gradient


mse_loss = declare(
    "mse_loss",
    "composite",
    infer=lambda x, y, reduction: _infer_loss("mse", x, y, reduction=reduction),
    eval=_eval_mse_loss,
    decompose=lambda F, x, y, reduction: reduce_all(F, _square_of_difference(F, x, y), reduction),
    promotion="same",
    saves=("in0", "in1"),
    vjps=(_mse_vjp(0, 1.0), _mse_vjp(1, -1.0)),
    samples=_losses(lambda x, y: (x - y) ** 2, *_PAIRS),
)


l1_loss = _loss(
    "l1_loss",
    lambda F, x, y: F.abs(F.sub(x, y)),
    (lambda F, x, y: F.sign(F.sub(x, y)), lambda F, x, y: F.sign(F.sub(y, x))),
    grad_name="Abs",
    samples=_losses(lambda x, y: np.abs(x - y), *_PAIRS),
)


def _smooth_l1(F: Any, x: Any, y: Any, beta: float) -> Any:
    size = F.abs(F.sub(x, y))
    if beta == 0:
        return size
    near = F.mul(F.mul(size, size), 0.5 / beta)
    return F.where(F.lt(size, beta), near, F.sub(size, 0.5 * beta))


def _smooth_l1_slope(F: Any, x: Any, y: Any, beta: float) -> Any:
    d = F.sub(x, y)
    if beta == 0:
        return F.sign(d)
    return F.where(F.lt(F.abs(d), beta), F.mul(d, 1 / beta), F.sign(d))


def _smooth_l1_reference(x: Any, y: Any, beta: float) -> Any:
    size = np.abs(x - y)
    return np.where(size < beta, size**2 / (2 * beta), size - beta / 2) if beta else size


smooth_l1_loss = _loss(
    "smooth_l1_loss",
    _smooth_l1,
    (_smooth_l1_slope, lambda F, x, y, beta: _smooth_l1_slope(F, y, x, beta)),
    grad_name="SmoothL1Loss",
    samples=_losses(_smooth_l1_reference, *_PAIRS, attrs=[{"beta": b} for b in (1.0, 0.5, 0)]),
)


def _huber(F: Any, x: Any, y: Any, delta: float) -> Any:
    size = F.abs(F.sub(x, y))
    near = F.mul(F.mul(size, size), 0.5)
    return F.where(F.le(size, delta), near, F.mul(F.sub(size, 0.5 * delta), delta))


def _huber_slope(F: Any, x: Any, y: Any, delta: float) -> Any:
    d = F.sub(x, y)
    return F.where(F.le(F.abs(d), delta), d, F.mul(F.sign(d), delta))


huber_loss = _loss(
    "huber_loss",
    _huber,
    (_huber_slope, lambda F, x, y, delta: _huber_slope(F, y, x, delta)),
    samples=_losses(
        lambda x, y, delta: delta * _smooth_l1_reference(x, y, delta),
        *_PAIRS, attrs=[{"delta": 1.0}, {"delta": 0.5}],
    ),
)  # fmt: skip


def _weighted(F: Any, losses: Any, weight: Any) -> Any:
    return losses if weight is None else F.mul(losses, weight)


def _bce(F: Any, x: Any, y: Any, weight: Any = None) -> Any:
    """Logarithms are held above -100, as PyTorch holds them."""
    log_x = F.maximum(F.log(x), -100)
    log_rest = F.maximum(F.log1p(F.neg(x)), -100)
    return _weighted(F, F.neg(F.add(F.mul(y, log_x), F.mul(F.sub(1, y), log_rest))), weight)


def _bce_slope(F: Any, x: Any, y: Any, weight: Any = None) -> Any:
    spread = F.maximum(F.mul(F.sub(1, x), x), 1e-12)
    return _weighted(F, F.div(F.sub(x, y), spread), weight)


def _bce_target_slope(F: Any, x: Any, y: Any, weight: Any = None) -> Any:
    return _weighted(F, F.sub(F.log1p(F.neg(x)), F.log(x)), weight)


def _eval_bce(xp: Any, x: Any, *others: Any, reduction: str) -> Any:
    if x.dtype.kind != "f":
        raise TypeError("binary_cross_entropy")
    if not ((x >= 0) & (x <= 1)).all():
        raise RuntimeError("all elements of input should be between 0 and 1")
    F = arrays_of(xp)
    return reduce_all(F, _bce(F, x, *others), reduction)


def _shares(*shape: int) -> Operand:
    return floats(*shape, low=0.1, high=0.9)


binary_cross_entropy = _loss(
    "binary_cross_entropy",
    _bce,
    (_bce_slope, _bce_target_slope, None),
    eval=_eval_bce,
    checks=lambda F, x, *others, reduction: [
        F.ge(x, number_like(F, x, 0)), F.le(x, number_like(F, x, 1))
    ],
    samples=_losses(
        lambda x, y, w=1: -w * (y * np.log(x) + (1 - y) * np.log(1 - x)),
        (_shares(3, 4), _shares(3, 4)), (_shares(3, 4), _shares(3, 4), _shares(4)),
    ),
)  # fmt: skip


def _bce_logits(F: Any, x: Any, y: Any, weight: Any = None, pos_weight: Any = None) -> Any:
    """(1 - y) x + w (log(1 + exp(-|x|)) + max(-x, 0)), w = 1 + (pos_weight - 1) y."""
    tail = F.add(F.log1p(F.exp(F.neg(F.abs(x)))), F.relu(F.neg(x)))
    if pos_weight is not None:
        tail = F.mul(_positive_weight(F, y, pos_weight), tail)
    return _weighted(F, F.add(F.mul(F.sub(1, y), x), tail), weight)


def _positive_weight(F: Any, y: Any, pos_weight: Any) -> Any:
    return F.add(F.mul(F.sub(pos_weight, 1), y), 1)


def _bce_logits_slope(F: Any, x: Any, y: Any, weight: Any = None, pos_weight: Any = None) -> Any:
    s = F.sigmoid(x)
    if pos_weight is None:
        slope = F.sub(s, y)
    else:
        w = _positive_weight(F, y, pos_weight)
        slope = F.sub(F.sub(1, y), F.mul(w, F.sub(1, s)))
    return _weighted(F, slope, weight)


def _bce_logits_target_slope(
    F: Any, x: Any, y: Any, weight: Any = None, pos_weight: Any = None
) -> Any:
    slope = F.neg(x)
    if pos_weight is not None:
        tail = F.neg(F.log_sigmoid(x))
        slope = F.add(slope, F.mul(F.sub(pos_weight, 1), tail))
    return _weighted(F, slope, weight)


#: Inputs (logits, target[, weight[, pos_weight]]).
binary_cross_entropy_with_logits = _loss(
    "binary_cross_entropy_with_logits",
    _bce_logits,
    (_bce_logits_slope, _bce_logits_target_slope, None, None),
    samples=_losses(
        lambda x, y, w=1, p=1: w * (p * y * np.log1p(np.exp(-x)) + (1 - y) * np.log1p(np.exp(x))),
        ((3, 4), _shares(3, 4)), ((3, 4), _shares(3, 4), _shares(4)),
        ((3, 4), _shares(3, 4), _shares(3, 4), _shares(4)),
    ),
)  # fmt: skip


def _kl_div(F: Any, x: Any, y: Any, log_target: bool) -> Any:
    if log_target:
        return F.mul(F.exp(y), F.sub(y, x))
    entropy = F.where(F.eq(y, 0), 0, F.mul(y, F.log(y)))
    return F.sub(entropy, F.mul(y, x))


def _kl_target_slope(F: Any, x: Any, y: Any, log_target: bool) -> Any:
    if log_target:
        return F.mul(F.exp(y), F.add(F.sub(y, x), 1))
    return F.where(F.eq(y, 0), 0, F.sub(F.add(F.log(y), 1), x))


def _kl_slope(F: Any, x: Any, y: Any, log_target: bool) -> Any:
    return F.neg(F.add(F.exp(y) if log_target else y, F.zeros_like(x)))


kl_div = _loss(
    "kl_div", _kl_div, (_kl_slope, _kl_target_slope),
    samples=_losses(
        lambda x, y, log_target: np.exp(y) * (y - x) if log_target else y * (np.log(y) - x),
        ((3, 4), _shares(3, 4)), attrs=[{"log_target": t} for t in (True, False)],
    ),
)  # fmt: skip
