"""Losses of scores against class numbers: `nll_loss` and `cross_entropy`.

Classes lie along dimension 1 (0 where the scores have one dimension); `target` has the other
dimensions. Without a gather: a class is compared with each position along the class dimension, so
that loss and gradient become row-wise kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from ..dtypes import int64, uint8
from ..ir.graph import Shape, Spec
from .core import Sample, arrays_of, as_array, declare, dtype_of, number_like, type_name
from .losses import check_reduction
from .normalization import log_softmax, log_softmax_vjp
from .reduce import total
from .sampling import Samples, both, floats, ints, resolve, rows


def class_dim(x: Any) -> int:
    """The dimension of the classes."""
    return 1 if len(x.shape) > 1 else 0


def _check_shapes(x: Spec, target: Spec, weight: Spec | None) -> None:
    if not x.shape:
        raise ValueError(f"Expected 1 or more dimensions (got {len(x.shape)})")
    if len(x.shape) == 1:
        if target.size != 1 or len(target.shape) > 1:
            raise ValueError(
                f"For 1D input, 1D target must have size 1, but got target size: {target.size}"
            )
    elif not target.shape or x.shape[0] != target.shape[0]:
        raise ValueError(
            f"Expected input batch_size ({x.shape[0]}) to match target batch_size "
            f"({target.shape[0] if target.shape else 1})."
        )
    elif target.shape[1:] != x.shape[2:]:
        expected = [x.shape[0], *x.shape[2:]]
        raise RuntimeError(f"Expected target size {expected}, got {list(target.shape)}")
    classes = x.shape[class_dim(x)]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {list(weight.shape)}"
        )


def _infer_nll_loss(
    x: Spec, target: Spec, weight: Spec | None = None, *, ignore_index: int, reduction: str
) -> tuple[Spec, ...]:
    check_reduction(reduction)
    _check_shapes(x, target, weight)
    if target.dtype not in (int64, uint8):
        name = type_name(target.dtype)
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {name}")
    if x.dtype.category != 2:
        raise NotImplementedError(
            f'"nll_loss_out_frame" not implemented for \'{type_name(x.dtype)}\''
        )
    return (x.with_shape(target.shape if reduction == "none" else ()),)


@cache
def _row_starts(rows: int, classes: int) -> Any:
    return np.arange(0, rows * classes, classes)


def check_targets(xp: Any, target: Any, classes: int, ignore_index: int) -> None:
    """IndexError, in PyTorch's words, for a class that does not exist."""
    if not target.size or (target.dtype.kind == "i" and xp is np and _all_below(target, classes)):
        return
    bad = ((target < 0) | (target >= classes)) & (target != ignore_index)
    if bad.any():
        raise IndexError(f"Target {int(target[bad].reshape(-1)[0])} is out of bounds.")


def _target_checks(
    F: Any, x: Any, target: Any, *weight: Any, ignore_index: int, **rest: Any
) -> list[Any]:
    valid = F.lt(target, number_like(F, target, x.shape[class_dim(x)]))
    if dtype_of(target) is uint8:
        return [valid]
    valid = F.logical_and(valid, F.ge(target, number_like(F, target, 0)))
    return [F.logical_or(valid, F.eq(target, number_like(F, target, ignore_index)))]


def _all_below(target: Any, classes: int) -> bool:
    """One pass for both bounds: a negative number is large when read without its sign."""
    return bool(np.maximum.reduce(target.view(np.uint64), None) < classes)


def _valid_target(xp: Any, x: Any, target: Any, weight: Any) -> None:
    """What NumPy would accept and PyTorch does not; `infer` finds the words."""
    if target.dtype.char not in "lqB" or x.dtype.kind != "f":
        raise TypeError("target dtype")
    expected = x.shape[:1] + x.shape[2:] if x.ndim > 1 else target.shape
    if target.shape != expected or (x.ndim == 1 and target.size != 1):
        raise ValueError("target shape")
    if weight is not None and weight.shape != (x.shape[class_dim(x)],):
        raise ValueError("weight shape")


def _pick(xp: Any, x: Any, target: Any) -> Any:
    """The score of each target's class; anything for classes out of range."""
    if x.ndim == 1:
        return x.take(target, mode="wrap")
    if x.ndim == 2 and xp is np and x.flags.c_contiguous:
        starts = _row_starts(*x.shape)
        return x.ravel().take(starts + target, mode="wrap")
    index = xp.expand_dims(target % max(x.shape[1], 1), 1)
    return xp.take_along_axis(x, index, 1).squeeze(1)


def _reduce_losses(xp: Any, losses: Any, weights: Any, reduction: str) -> Any:
    """`losses` already weighted; `weights` is their sum, for the mean."""
    if reduction == "none":
        return as_array(xp, losses)
    summed = total(xp, losses)
    if reduction == "sum":
        return xp.asarray(summed)
    if reduction != "mean":
        raise ValueError(reduction)
    return xp.asarray(xp.divide(summed, weights, dtype=losses.dtype))


def _eval_nll_loss(
    xp: Any, x: Any, target: Any, weight: Any = None, *, ignore_index: int, reduction: str
) -> Any:
    _valid_target(xp, x, target, weight)
    classes = x.shape[class_dim(x)]
    check_targets(xp, target, classes, ignore_index)
    losses = xp.negative(_pick(xp, x, target))
    ignored = None if ignore_index < 0 and _nothing_ignored(xp, target, ignore_index) else (
        target == ignore_index
    )  # fmt: skip
    if weight is None and ignored is None:
        return _reduce_losses(xp, losses, losses.size, reduction)
    scale = xp.ones(target.shape, x.dtype) if weight is None else weight.take(target, mode="wrap")
    if ignored is not None:
        scale = xp.where(ignored, x.dtype.type(0), scale)
        losses = xp.where(ignored, x.dtype.type(0), losses)
    return _reduce_losses(xp, xp.asarray(losses * scale), total(xp, scale), reduction)


def _nothing_ignored(xp: Any, target: Any, ignore_index: int) -> bool:
    if target.dtype.kind == "u" or not target.size:
        return True
    return bool(target.min() >= 0)


def _hits(F: Any, like: Any, target: Any) -> Any:
    """True at each target's class; `like` has the shape of the scores."""
    dim = class_dim(like)
    shape = (*like.shape[:dim], 1, *like.shape[dim + 1 :])
    positions = F.arange_like(like, shape=like.shape, dim=dim)
    return F.eq(positions, F.reshape(F.cast(target, dtype=int64), shape=shape))


def _class_weights(F: Any, like: Any, weight: Any) -> Any:
    dim = class_dim(like)
    shape = tuple(n if i == dim else 1 for i, n in enumerate(like.shape))
    return F.reshape(weight, shape=shape)


def _kept(F: Any, target: Any, like: Any, ignore_index: int) -> Any:
    """1 for each target that counts, 0 for those ignored, with the class dimension as 1."""
    dim = class_dim(like)
    shape = (*like.shape[:dim], 1, *like.shape[dim + 1 :])
    kept = F.cast(F.ne(target, ignore_index), dtype=dtype_of(like))
    return F.reshape(kept, shape=shape)


def coefficients(
    F: Any, like: Any, target: Any, weight: Any, ignore_index: int, smoothing: float
) -> tuple[Any, Any]:
    """What each log-probability counts in the loss, and the weight of each target.

    The loss of a target is minus the sum over classes of coefficient times log-probability.
    """
    dim = class_dim(like)
    kept = _kept(F, target, like, ignore_index)
    hits = _hits(F, like, target)
    amount = kept if weight is None else F.mul(kept, _class_weights(F, like, weight))
    chosen = F.where(hits, amount, 0)
    weights = kept if weight is None else F.sum(chosen, dims=(dim,))
    if smoothing:
        even = F.mul(amount, smoothing / like.shape[dim])
        chosen = F.add(F.mul(chosen, 1 - smoothing), even)
    return chosen, weights


def _spread_weighted(F: Any, g: Any, weights: Any, reduction: str, dim: int) -> Any:
    """The gradient of each target's loss, with the class dimension as 1."""
    if reduction == "none":
        return F.unsqueeze(g, dim=dim) if len(g.shape) < len(weights.shape) else g
    if reduction == "mean":
        return F.div(g, F.sum(weights, dims=tuple(range(len(weights.shape)))))
    return g


def _reduce_target_losses(
    F: Any, products: Any, weights: Any, target: Any, reduction: str, dim: int
) -> Any:
    """Minus the sum of `products` over classes, then over targets, divided by their weights."""
    if reduction == "none":
        return F.reshape(F.neg(F.sum(products, dims=(dim,))), shape=target.shape)
    everything = tuple(range(len(products.shape)))
    summed = F.neg(F.sum(products, dims=everything))
    if reduction == "mean":
        summed = F.div(summed, F.sum(weights, dims=everything))
    return F.reshape(summed, shape=())


def _decompose_nll_loss(
    F: Any, x: Any, target: Any, weight: Any = None, *, ignore_index: int, reduction: str
) -> Any:
    chosen, weights = coefficients(F, x, target, weight, ignore_index, 0.0)
    products = F.where(F.ne(chosen, 0), F.mul(chosen, x), 0)
    return _reduce_target_losses(F, products, weights, target, reduction, class_dim(x))


def _decompose_nll_backward(
    F: Any, g: Any, target: Any, weight: Any = None, *,
    shape: Shape, ignore_index: int, reduction: str,
) -> Any:  # fmt: skip
    like = F.new_full(g, shape=shape, value=0)
    chosen, weights = coefficients(F, like, target, weight, ignore_index, 0.0)
    dim = 1 if len(shape) > 1 else 0
    return F.neg(F.mul(chosen, _spread_weighted(F, g, weights, reduction, dim)))


def _eval_nll_backward(
    xp: Any, g: Any, target: Any, weight: Any = None, *,
    shape: Shape, ignore_index: int, reduction: str,
) -> Any:  # fmt: skip
    plain = weight is None and reduction != "none" and len(shape) == 2 and ignore_index < 0
    if not plain or not _nothing_ignored(xp, target, ignore_index):
        return _decompose_nll_backward(
            arrays_of(xp), g, target, weight,
            shape=shape, ignore_index=ignore_index, reduction=reduction,
        )  # fmt: skip
    result = xp.zeros(shape, g.dtype)
    share = -g / g.dtype.type(shape[0]) if reduction == "mean" else -g
    result.reshape(-1)[xp.arange(shape[0]) * shape[1] + target] = share
    return result


def _nll_backward_vjp(
    F: Any, h: Any, target: Any, weight: Any, source: Shape, *,
    shape: Shape, ignore_index: int, reduction: str,
) -> Any:  # fmt: skip
    """The op is linear in `g`: its transpose is the loss itself."""
    return F.nll_loss(
        h, target, *([] if weight is None else [weight]),
        ignore_index=ignore_index, reduction=reduction,
    )  # fmt: skip


def _backward_samples(rng: np.random.Generator) -> Iterator[Sample]:
    """The rows of `nll_loss`, each with a gradient of its result in place of the scores."""
    for row in _samples(_nll_reference)(rng):
        x, target, *weight = row.inputs
        shape = target.shape if row.attrs["reduction"] == "none" else ()
        g = np.asarray(rng.standard_normal(shape), x.dtype)
        yield Sample((g, target, *weight), {**row.attrs, "shape": x.shape})


nll_loss_backward = declare(
    "nll_loss_backward",
    "composite",
    infer=lambda g, target, weight=None, *, shape, ignore_index, reduction: (
        g.with_shape(shape),
    ),
    eval=_eval_nll_backward,
    decompose=_decompose_nll_backward,
    saves=("in1", "in2", "shape0"),
    vjps=(_nll_backward_vjp, None, None),
    samples=_backward_samples,
)


def _nll_loss_vjp(
    F: Any, g: Any, target: Any, weight: Any, shape: Shape, *, ignore_index: int, reduction: str
) -> Any:
    return F.nll_loss_backward(
        g, target, *([] if weight is None else [weight]),
        shape=shape, ignore_index=ignore_index, reduction=reduction,
    )  # fmt: skip


#: Scores, targets and what may be given beside them.
_CASES = (
    ((4, 3), (4,), None, -100), ((4, 3), (4,), (3,), -100), ((4, 3), (4,), (3,), 1),
    ((4, 3), (4,), None, 2), ((3,), (), None, -100), ((2, 3, 5), (2, 5), (3,), 0),
    ((2, 3, 2, 2), (2, 2, 2), None, -100),
)  # fmt: skip


def _per_target(log_p: Any, target: Any, weight: Any, ignore: int, smoothing: float) -> Any:
    """Weighted losses and weights, by a loop over the targets."""
    losses, weights = np.zeros(target.shape), np.zeros(target.shape)
    classes = log_p.shape[1 if log_p.ndim > 1 else 0]
    w = np.ones(classes) if weight is None else weight
    for place in np.ndindex(target.shape):
        label = target[place]
        if label != ignore:
            row = log_p[(place[0], slice(None), *place[1:])] if log_p.ndim > 1 else log_p
            weights[place] = w[label]
            even = smoothing / classes * np.sum(w * row)
            losses[place] = -((1 - smoothing) * w[label] * row[label] + even)
    return losses, weights


def _nll_reference(
    log_p: Any, target: Any, weight: Any = None, *,
    ignore_index: int, reduction: str, label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    losses, weights = _per_target(log_p, target, weight, ignore_index, label_smoothing)
    if reduction == "none":
        return losses
    return losses.sum() / (weights.sum() if reduction == "mean" else 1)


def _cross_entropy_reference(x: Any, target: Any, *weight: Any, **attrs: Any) -> Any:
    log_p = resolve("scipy.special.log_softmax")(x, axis=class_dim(x))
    return _nll_reference(log_p, target, *weight, **attrs), log_p


def _samples(reference: Any, **attrs: Any) -> Samples:
    return rows(reference, *(
        ((x, ints(*t, high=3), *([floats(*w, low=0.5)] if w else [])),
         {"ignore_index": ignore, "reduction": reduction, **attrs})
        for x, t, w, ignore in _CASES for reduction in ("mean", "sum", "none")
    ))  # fmt: skip


#: Inputs (log-probabilities, target[, weight]).
nll_loss = declare(
    "nll_loss",
    "composite",
    infer=_infer_nll_loss,
    eval=_eval_nll_loss,
    decompose=_decompose_nll_loss,
    checks=_target_checks,
    saves=("in1", "in2", "shape0"),
    vjps=(_nll_loss_vjp, None, None),
    samples=_samples(_nll_reference),
)


def _infer_cross_entropy(
    x: Spec, target: Spec, weight: Spec | None = None, *,
    ignore_index: int, reduction: str, label_smoothing: float,
) -> tuple[Spec, ...]:  # fmt: skip
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(
            f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}"
        )
    if x.dtype.category != 2:
        log_softmax.infer(x, dim=0)
    (loss,) = _infer_nll_loss(x, target, weight, ignore_index=ignore_index, reduction=reduction)
    return loss, x


def _decompose_cross_entropy(
    F: Any, x: Any, target: Any, weight: Any = None, *,
    ignore_index: int, reduction: str, label_smoothing: float,
) -> Any:  # fmt: skip
    dim = class_dim(x)
    log_p = F.log_softmax(x, dim=dim)
    chosen, weights = coefficients(F, x, target, weight, ignore_index, label_smoothing)
    products = F.where(F.ne(chosen, 0), F.mul(chosen, log_p), 0)
    return _reduce_target_losses(F, products, weights, target, reduction, dim), log_p


def _eval_cross_entropy(
    xp: Any, x: Any, target: Any, weight: Any = None, *,
    ignore_index: int, reduction: str, label_smoothing: float,
) -> Any:  # fmt: skip
    _valid_target(xp, x, target, weight)
    dim = class_dim(x)
    log_p = log_softmax.eval(xp, x, dim=dim)
    if not label_smoothing:
        loss = _eval_nll_loss(
            xp, log_p, target, weight, ignore_index=ignore_index, reduction=reduction
        )
        return loss, log_p
    if not 0 <= label_smoothing <= 1:
        raise ValueError("label_smoothing")
    check_targets(xp, target, x.shape[dim], ignore_index)
    F = arrays_of(xp)
    chosen, weights = coefficients(F, x, target, weight, ignore_index, label_smoothing)
    products = F.where(F.ne(chosen, 0), F.mul(chosen, log_p), 0)
    return _reduce_target_losses(F, products, weights, target, reduction, dim), log_p


def _cross_entropy_vjp(
    F: Any, g: Any, target: Any, weight: Any, log_p: Any, **attrs: Any
) -> Any:
    loss, extra = g
    gradient = None
    if loss is not None:
        given = [] if weight is None else [weight]
        gradient = F.cross_entropy_backward(loss, log_p, target, *given, **attrs)
    if extra is None:
        return gradient
    through = log_softmax_vjp(F, extra, log_p, class_dim(log_p))
    return through if gradient is None else F.add(gradient, through)


#: Inputs (scores, target[, weight]); outputs (loss, log-probabilities).
cross_entropy = declare(
    "cross_entropy",
    "composite",
    infer=_infer_cross_entropy,
    eval=_eval_cross_entropy,
    decompose=_decompose_cross_entropy,
    checks=_target_checks,
    saves=("in1", "in2", "out1"),
    vjps=(_cross_entropy_vjp, None, None),
    n_outputs=2,
    grad_name="NllLoss",
    samples=both(
        _samples(_cross_entropy_reference, label_smoothing=0.0),
        _samples(_cross_entropy_reference, label_smoothing=0.2),
    ),
)


def _log_p_grad(
    F: Any, g: Any, log_p: Any, target: Any, weight: Any,
    ignore_index: int, reduction: str, label_smoothing: float,
) -> Any:  # fmt: skip
    """The gradient of the log-probabilities."""
    chosen, weights = coefficients(F, log_p, target, weight, ignore_index, label_smoothing)
    share = _spread_weighted(F, g, weights, reduction, class_dim(log_p))
    return F.neg(F.mul(chosen, share))


def _decompose_cross_entropy_backward(
    F: Any, g: Any, log_p: Any, target: Any, weight: Any = None, **attrs: Any
) -> Any:
    dim = class_dim(log_p)
    direct = _log_p_grad(F, g, log_p, target, weight, **attrs)
    return F.sub(direct, F.mul(F.exp(log_p), F.sum(direct, dims=(dim,))))


def _eval_cross_entropy_backward(
    xp: Any, g: Any, log_p: Any, target: Any, weight: Any = None, *,
    ignore_index: int, reduction: str, label_smoothing: float,
) -> Any:  # fmt: skip
    plain = weight is None and not label_smoothing and reduction != "none" and log_p.ndim == 2
    if not plain or ignore_index >= 0 or not _nothing_ignored(xp, target, ignore_index):
        return _decompose_cross_entropy_backward(
            arrays_of(xp), g, log_p, target, weight, ignore_index=ignore_index,
            reduction=reduction, label_smoothing=label_smoothing,
        )  # fmt: skip
    rows, classes = log_p.shape
    result = xp.exp(xp.ascontiguousarray(log_p))
    starts = _row_starts(rows, classes) if xp is np else xp.arange(rows) * classes
    result.reshape(-1)[starts + target] -= 1
    share = g / g.dtype.type(rows) if reduction == "mean" else g
    return xp.multiply(result, share, result)


def _backward_grad_g(
    F: Any, h: Any, g: Any, log_p: Any, target: Any, weight: Any, **attrs: Any
) -> Any:
    """The op is linear in `g`: the product of `h` with its value at `g = 1`."""
    unit = F.add(F.zeros_like(g), 1)
    given = [] if weight is None else [weight]
    products = F.mul(h, F.cross_entropy_backward(unit, log_p, target, *given, **attrs))
    if attrs["reduction"] == "none":
        return F.reshape(F.sum(products, dims=(class_dim(log_p),)), shape=g.shape)
    return F.sum_squeeze(products, dims=tuple(range(len(log_p.shape))))


def _backward_grad_log_p(
    F: Any, h: Any, g: Any, log_p: Any, target: Any, weight: Any, **attrs: Any
) -> Any:
    direct = _log_p_grad(F, g, log_p, target, weight, **attrs)
    row = F.sum(direct, dims=(class_dim(log_p),))
    return F.neg(F.mul(F.mul(h, F.exp(log_p)), row))


def _cross_entropy_backward_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for smoothing in (0.0, 0.2):
        for row in _samples(None, label_smoothing=smoothing)(rng):
            x, target, *weight = row.inputs
            log_p = log_softmax.eval(np, x, dim=class_dim(x))
            shape = target.shape if row.attrs["reduction"] == "none" else ()
            g = np.asarray(rng.standard_normal(shape), x.dtype)
            yield Sample((g, log_p, target, *weight), row.attrs)


#: The gradient of the scores; inputs (gradient of the loss, log-probabilities, target[, weight]).
cross_entropy_backward = declare(
    "cross_entropy_backward",
    "composite",
    infer=lambda g, log_p, *others, **attrs: (log_p,),
    eval=_eval_cross_entropy_backward,
    decompose=_decompose_cross_entropy_backward,
    saves=("in0", "in1", "in2", "in3"),
    vjps=(_backward_grad_g, _backward_grad_log_p, None, None),
    samples=_cross_entropy_backward_samples,
)
