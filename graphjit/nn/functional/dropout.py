"""Dropout: elements, or whole channels, set to zero at random (Srivastava et al., 2014)."""

from __future__ import annotations

import warnings

from ...dtypes import float32
from ...frontend.dispatch import assign
from ...frontend.random import default_generator, rand
from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor
from ...ops.core import type_name
from ...ops.philox import blocks_needed


def check_probability(p: float) -> None:
    """ValueError unless `p` is in [0, 1]."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _kept(input: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """Where elements stay: each with probability 1 - p."""
    return F.ge(rand(shape, dtype=input.dtype), p)


def _drop(input: Tensor, shape: tuple[int, ...], p: float, inplace: bool) -> Tensor:
    if p == 1.0:
        result = F.mul(input, 0.0)
    else:
        result = F.where(_kept(input, shape, p), F.mul(input, 1.0 / (1.0 - p)), 0.0)
    return assign(input, result) if inplace else result


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero each element with probability `p` and scale the others by 1 / (1 - p)."""
    check_probability(p)
    if not training or p == 0.0:
        return input
    if not input.numel():
        return input
    if input.is_floating_point():
        seed, offset = default_generator.draw(blocks_needed(input.numel(), float32))
        result, _ = F.dropout(input, seed, offset, p=p)
    elif p == 1.0:
        result = F.full(shape=input.shape, value=0, dtype=input.dtype)
    else:
        raise RuntimeError(
            f"result type Float can't be cast to the desired output type {type_name(input.dtype)}"
        )
    return assign(input, result) if inplace else result


def _channel_dropout(
    input: Tensor, p: float, training: bool, inplace: bool, batched: int
) -> Tensor:
    check_probability(p)
    if not training or p == 0.0:
        return input
    lead = 2 if input.ndim == batched else 1
    return _drop(input, (*input.shape[:lead], *([1] * (input.ndim - lead))), p, inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of (batch, channels, length), or without batch."""
    check_probability(p)
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input. Note that "
            "dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension, "
            "a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    return _channel_dropout(input, p, training, inplace, 3)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of (batch, channels, ...)."""
    check_probability(p)
    if input.ndim not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {input.ndim}-D input to dropout2d, which is deprecated and "
            "will result in an error in a future release. To retain the behavior and silence this "
            "warning, please use dropout instead. Note that dropout2d exists to provide "
            "channel-wise dropout on inputs with 2 spatial dimensions, a channel dimension, and an "
            "optional batch dimension (i.e. 3D or 4D inputs).",
            stacklevel=2,
        )
    return _channel_dropout(input, p, training, inplace, input.ndim)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of (batch, channels, depth, rows, columns), or without batch."""
    return _channel_dropout(input, p, training, inplace, 5)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps the mean and variance of SELU's outputs (Klambauer et al., 2017)."""
    check_probability(p)
    if not training or p == 0.0:
        return input
    low = -1.7580993408473766
    scale = ((1 - p) * (1 + p * low**2)) ** -0.5 if p < 1 else 0.0
    chosen = F.where(_kept(input, tuple(input.shape), p), input, low)
    result = F.add(F.mul(chosen, scale), -scale * low * p)
    return assign(input, result) if inplace else result
