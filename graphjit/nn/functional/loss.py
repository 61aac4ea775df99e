"""Losses. `reduction` is "mean", "sum" or "none"; KL divergence also has "batchmean"."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ...frontend.arguments import check_tensor
from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor
from .activation import log_softmax


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that the two arguments of old stand for, if given; warns."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        chosen = "none"
    else:
        chosen = "sum" if size_average is False else "mean"
    warnings.warn(
        "size_average and reduce args will be deprecated, please use "
        f"reduction='{chosen}' instead.",
        stacklevel=4,
    )
    return chosen


def check_reduction(reduction: str) -> None:
    """ValueError for a reduction that does not exist."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The losses of the elements, reduced."""
    check_reduction(reduction)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def _compared(
    name: str, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, **attrs: Any
) -> Tensor:
    """A loss of two tensors; shapes that differ broadcast, with a warning."""
    if input._array.shape != target._array.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=4,
        )
    op = getattr(F, name)
    if weight is None:
        return op(input, target, reduction=reduction, **attrs)
    losses = op(input, target, reduction="none", **attrs)
    if weight.shape != losses.shape:
        raise ValueError("Weights and input must have the same size.")
    losses = F.mul(losses, weight)
    if reduction == "mean":
        return F.div(losses.sum(), weight.sum())
    return reduced(losses, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The squares of the differences."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    return _compared("mse_loss", input, target, weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The absolute differences."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    return _compared("l1_loss", input, target, weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """`0.5 * d**2 / beta` for differences below `beta`, else `d - 0.5 * beta`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    return _compared("smooth_l1_loss", input, target, None, reduction, beta=beta)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """`0.5 * d**2` for differences up to `delta`, else `delta * (d - 0.5 * delta)`."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    return _compared("huber_loss", input, target, weight, reduction, delta=delta)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Minus the log-softmax of the scores at the target classes.

    Args:
        input: scores (batch, classes, ...), or (classes,).
        target: class numbers (batch, ...), or probabilities of the shape of `input`.
        weight: (classes,).
        ignore_index: a class number that does not count.
        label_smoothing: share of the target spread evenly over all classes.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    if input._array.shape == target._array.shape and target._array.dtype.kind == "f":
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    operands = (input, target) if weight is None else (input, target, weight)
    loss, _ = F.cross_entropy(
        *operands, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )
    return loss


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    """The loss against probabilities; its mean is over targets, whatever their weights."""
    check_reduction(reduction)
    dim = 1 if input.ndim > 1 else 0
    classes = input.shape[dim]
    if smoothing:
        target = F.add(F.mul(target, 1 - smoothing), smoothing / classes)
    products = F.mul(log_softmax(input, dim), target)
    if weight is not None:
        products = F.mul(products, weight.reshape(classes, *([1] * (input.ndim - dim - 1))))
    losses = F.neg(products.sum(dim))
    if reduction == "mean":
        return F.div(losses.sum(), max(losses.numel(), 1))
    return reduced(losses, reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probabilities at the target classes; arguments as for `cross_entropy`."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    operands = (input, target) if weight is None else (input, target, weight)
    return F.nll_loss(*operands, ignore_index=ignore_index, reduction=reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`-(y log x + (1 - y) log(1 - x))` of probabilities `x`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if input.shape != target.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is deprecated. Please ensure they have the same size."
        )
    operands = (input, target) if weight is None else (input, target, weight.expand(input.shape))
    return F.binary_cross_entropy(*operands, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of the sigmoid of `input`; `pos_weight` weighs the targets of 1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if input.shape != target.shape:
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    for name, value, position in (("weight", weight, 3), ("pos_weight", pos_weight, 4)):
        if value is not None:
            check_tensor("binary_cross_entropy_with_logits", value, name, position)
    operands: tuple[Tensor, ...] = (input, target)
    if pos_weight is not None:
        operands += (input.new_ones(()) if weight is None else weight, pos_weight)
    elif weight is not None:
        operands += (weight,)
    return F.binary_cross_entropy_with_logits(*operands, reduction=reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """`y (log y - x)` of log-probabilities `x` and probabilities `y` (or their logarithms)."""
    check_tensor("kl_div", input)
    check_tensor("kl_div", target, "target", 2)
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.'mean' will be changed to behave the same as 'batchmean' in the next major "
            "release.",
            stacklevel=3,
        )
    reduction = legacy_reduction(size_average, reduce, reduction)
    if reduction != "batchmean":
        return F.kl_div(input, target, reduction=reduction, log_target=log_target)
    total = F.kl_div(input, target, reduction="sum", log_target=log_target)
    return F.div(total, input.shape[0]) if input.ndim else total


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of counts with rate `exp(input)` (or `input`).

    `full` adds Stirling's approximation of `log(target!)`.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if log_input:
        losses = F.sub(F.exp(input), F.mul(target, input))
    else:
        losses = F.sub(input, F.mul(target, F.log(F.add(input, eps))))
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        losses = F.add(losses, F.where(F.gt(target, 1), stirling, 0.0))
    return reduced(losses, reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`max(0, -y (x1 - x2) + margin)`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return reduced((-target * (input1 - input2) + margin).clamp(min=0), reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`x` where the target is 1, `max(0, margin - x)` where it is -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    apart = F.where(F.ne(target, 1), (margin - input).clamp(min=0), 0.0)
    near = F.where(F.ne(target, -1), input, 0.0)
    return reduced(F.add(apart, near), reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`log(1 + exp(-y x))`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    return reduced(F.log1p(F.exp(F.mul(F.neg(target), input))), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`1 - cos` where the target is 1, `max(0, cos - margin)` where it is -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    tiny = 1e-12
    product = (input1 * input2).sum(-1)
    norms = ((input1 * input1).sum(-1) + tiny) * ((input2 * input2).sum(-1) + tiny)
    cosine = product / norms.sqrt()
    near = F.where(F.eq(target, 1), 1 - cosine, 0.0)
    apart = F.where(F.eq(target, -1), (cosine - margin).clamp(min=0), 0.0)
    return reduced(F.add(near, apart), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`max(0, d(anchor, positive) - d(anchor, negative) + margin)`."""
    from .distance import pairwise_distance

    reduction = legacy_reduction(size_average, reduce, reduction)
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = F.minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced((near - far + margin).clamp(min=0), reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of targets around `input` with variance `var`."""
    variance = input.new_ones(input.shape) * var
    if variance.shape != input.shape:
        raise ValueError("var is of incorrect size")
    clamped = F.add(variance, (eps - variance).clamp(min=0).detach())
    losses = F.mul(F.add(F.log(clamped), (input - target) ** 2 / clamped), 0.5)
    if full:
        losses = F.add(losses, 0.5 * math.log(2 * math.pi))
    return reduced(losses, reduction)

