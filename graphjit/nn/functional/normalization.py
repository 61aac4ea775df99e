"""Normalisation by means and variances, or by norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...frontend.dispatch import assign
from ...frontend.mode import grad_mode
from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 over the last dimensions, then an affine map (Ba et al., 2016)."""
    shape = tuple(normalized_shape)
    if weight is None:
        y = F.layer_norm(input, shape=shape, eps=eps)[0]
        return y if bias is None else F.add(y, bias)
    operands = (input, weight) if bias is None else (input, weight, bias)
    return F.layer_norm(*operands, shape=shape, eps=eps)[0]


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Root mean square 1 over the last dimensions (Zhang and Sennrich, 2019)."""
    shape = tuple(normalized_shape)
    if tuple(input.shape[input.ndim - len(shape) :]) != shape:
        expected = ", ".join(["*", *map(str, shape)])
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [{expected}], but "
            f"got input of size{list(input.shape)}"
        )
    dims = tuple(range(-len(shape), 0))
    if eps is None:
        import numpy as np

        eps = float(np.finfo(input._array.dtype).eps)
    y = F.mul(input, F.rsqrt(F.add((input * input).mean(dims, keepdim=True), eps)))
    return y if weight is None else F.mul(y, weight)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 for each channel (dimension 1) over the batch (Ioffe, Szegedy, 2015).

    In training by the batch's own statistics, which move the running ones by `momentum`; otherwise
    by the running ones.
    """
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("running_mean must be defined in evaluation mode")
    if not training:
        assert running_mean is not None and running_var is not None
        return _by_running(input, running_mean, running_var, weight, bias, eps)
    count = input.numel() // max(input.shape[1], 1)
    if count == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )
    y, mean, rstd = _by_batch(input, weight, bias, eps)
    if running_mean is not None and running_var is not None:
        with grad_mode(False):
            channels = running_mean.shape
            variance = F.sub(F.reciprocal(F.mul(rstd, rstd)), eps)
            unbiased = F.mul(variance, count / (count - 1))
            _move(running_mean, mean.reshape(channels), momentum)
            _move(running_var, unbiased.reshape(channels), momentum)
    return y


def _by_batch(input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
    if weight is None:
        y, mean, rstd = F.batch_norm(input, eps=eps)
        return (y if bias is None else F.add(y, _column(bias, input))), mean, rstd
    operands = (input, weight) if bias is None else (input, weight, bias)
    return F.batch_norm(*operands, eps=eps)


def _column(channels: Tensor, input: Tensor) -> Tensor:
    """A value for each channel, shaped to broadcast against `input`."""
    return channels.reshape(1, -1, *([1] * (input.ndim - 2)))


def _move(running: Tensor, value: Tensor, momentum: float) -> None:
    assign(running, F.add(F.mul(running, 1 - momentum), F.mul(value, momentum)))


def _by_running(
    input: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    scale = F.rsqrt(F.add(variance, eps))
    scale = scale if weight is None else F.mul(scale, weight)
    y = F.mul(F.sub(input, _column(mean, input)), _column(scale, input))
    return y if bias is None else F.add(y, _column(bias, input))


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 for each channel of each sample (Ulyanov et al., 2016)."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count = input.numel() // max(input.shape[0] * input.shape[1], 1)
    if count == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.shape}"
        )
    n, channels = input.shape[:2]
    rows = input.reshape(1, n * channels, *input.shape[2:])
    y, mean, rstd = F.batch_norm(rows, eps=eps)
    y = y.reshape(input.shape)
    y = y if weight is None else F.mul(y, _column(weight, input))
    y = y if bias is None else F.add(y, _column(bias, input))
    if running_mean is not None and running_var is not None:
        with grad_mode(False):
            variance = F.sub(F.reciprocal(F.mul(rstd, rstd)), eps) * (count / (count - 1))
            _move(running_mean, mean.reshape(n, channels).mean(0), momentum)
            _move(running_var, variance.reshape(n, channels).mean(0), momentum)
    return y


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 for each group of channels of each sample (Wu and He, 2018)."""
    if input.ndim < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {input.ndim}"
        )
    n, channels = input.shape[:2]
    if channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(input.shape)} and num_groups={num_groups}"
        )
    rows = input.reshape(n, num_groups, -1)
    y = F.layer_norm(rows, shape=(rows.shape[-1],), eps=eps)[0].reshape(input.shape)
    y = y if weight is None else F.mul(y, _column(weight, input))
    return y if bias is None else F.add(y, _column(bias, input))


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Each channel divided by a power of the mean square of `size` channels around it."""
    if input.ndim < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)"
        )
    squares = input * input
    before = size // 2
    channels = input.shape[1]
    padded = F.pad(
        squares,
        pads=((0, 0), (before, size - 1 - before), *(((0, 0),) * (input.ndim - 2))),
        value=0.0,
    )
    total = padded.narrow(1, 0, channels)
    for offset in range(1, size):
        total = F.add(total, padded.narrow(1, offset, channels))
    return input / (total * (alpha / size) + k) ** beta


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """`input` divided by its p-norm along `dim`, or by `eps` where that is smaller."""
    return F.div(input, input.norm(p, dim, keepdim=True).clamp(min=eps))
