"""Activation functions, softmax and its kin."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ...frontend.arguments import check_number, one_dim
from ...frontend.dispatch import assign
from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor
from ...ops.core import type_name

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _finish(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    return assign(input, result) if inplace else result


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """`max(x, 0)`."""
    return _finish(input, F.relu(input), inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """`min(max(x, 0), 6)`."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """`x` brought into [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return _finish(input, F.hardtanh(input, min=min_val, max=max_val), inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """`x` where it is above `threshold`, or NaN, else `value`."""
    value = value if input.dtype.category >= 2 else int(value)
    return _finish(input, F.where(F.le(input, threshold), value, input), inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """`x` where positive, else `alpha * (exp(x) - 1)`."""
    check_number("elu", alpha, "alpha", 2)
    return _finish(input, F.elu(input, alpha=alpha, scale=1.0, input_scale=1.0), inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """ELU with the constants of Klambauer et al. (2017), which keep mean 0 and variance 1."""
    result = F.elu(input, alpha=_SELU_ALPHA, scale=_SELU_SCALE, input_scale=1.0)
    return _finish(input, result, inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """`max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))`."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    result = F.elu(input, alpha=alpha, scale=1.0, input_scale=1.0 / alpha)
    return _finish(input, result, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """`x` where positive, else `negative_slope * x`."""
    check_number("leaky_relu", negative_slope, "negative_slope", 2)
    return _finish(input, F.leaky_relu(input, negative_slope=negative_slope), inplace)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """`leaky_relu` with a slope to be learned: one, or one for each channel (dimension 1)."""
    if weight.ndim == 1 and weight.numel() > 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if channels != weight.numel():
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
        weight = weight.reshape(1, -1, *([1] * (input.ndim - 2)))
    return F.prelu(input, weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """`leaky_relu` with slopes drawn from [lower, upper] in training, else their mean."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = F.add(F.mul(_uniform(input), upper - lower), lower)
    return _finish(input, F.where(F.gt(input, 0), input, F.mul(input, slope)), inplace)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half times the sigmoid of the second half, along `dim`."""
    if input.ndim == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    dim = one_dim(input, dim)
    if input.shape[dim] % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}"
        )
    half = input.shape[dim] // 2
    first, second = F.split(input, sizes=(half, half), dim=dim)
    return F.mul(first, F.sigmoid(second))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """`x` times the normal distribution function of `x`; "tanh" approximates it."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return F.gelu(input, approximate=approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """`x * sigmoid(x)`."""
    return _finish(input, F.silu(input), inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """`x * tanh(softplus(x))`."""
    return _finish(input, F.mish(input), inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """`min(max(x + 3, 0), 6) / 6`."""
    return _finish(input, F.hardsigmoid(input), inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """`x * hardsigmoid(x)`."""
    return _finish(input, F.hardswish(input), inplace)


def logsigmoid(input: Tensor) -> Tensor:
    """`log(sigmoid(x))`."""
    return F.log_sigmoid(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """`log(1 + exp(beta * x)) / beta`, and `x` where `beta * x` is above `threshold`."""
    return F.softplus(input, beta=beta, threshold=threshold)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`x` where it is outside [-lambd, lambd], else 0."""
    return F.where(F.gt(F.abs(input), lambd), input, 0.0)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`x` moved towards 0 by `lambd`, and 0 where it would pass it."""
    if lambd < 0:
        largest = float(np.finfo(input._array.dtype).max)
        raise RuntimeError(
            f"lambda must be in range [0, {largest:g}] for input dtype {type_name(input.dtype)}, "
            f"but found {lambd:g}"
        )
    moved = F.sub(input, F.mul(F.sign(input), lambd))
    return F.where(F.gt(F.abs(input), lambd), moved, 0.0)


def tanhshrink(input: Tensor) -> Tensor:
    """`x - tanh(x)`."""
    return F.sub(input, F.tanh(input))


def softsign(input: Tensor) -> Tensor:
    """`x / (1 + |x|)`."""
    return F.div(input, F.add(F.abs(input), 1))


def tanh(input: Tensor) -> Tensor:
    """`tanh(x)`."""
    return F.tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """`1 / (1 + exp(-x))`."""
    return F.sigmoid(input)


def _softmax_dim(name: str, ndim: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include "
        "dim=X as an argument.",
        stacklevel=4,
    )
    return 0 if ndim in (0, 1, 3) else 1


def _along(name: str, input: Tensor, dim: int | None, dtype: Any) -> tuple[Tensor, int]:
    dim = _softmax_dim(name, input.ndim) if dim is None else dim
    return (input if dtype is None else input.to(dtype)), one_dim(input, dim)


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """Exponentials along `dim`, divided by their sum."""
    input, dim = _along("softmax", input, dim, dtype)
    return F.softmax(input, dim=dim)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """`softmax(-x)`."""
    input, dim = _along("softmin", input, dim, dtype)
    return F.softmax(F.neg(input), dim=dim)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """The logarithm of `softmax`."""
    input, dim = _along("log_softmax", input, dim, dtype)
    return F.log_softmax(input, dim=dim)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the Gumbel-Softmax distribution (Jang et al., 2017); `hard`: one-hot."""
    gumbels = F.neg(F.log(F.neg(F.log(_uniform(logits)))))
    soft = softmax(F.div(F.add(logits, gumbels), tau), dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    one_hot = soft.detach().new_zeros(soft.shape).scatter(dim, index, 1.0)
    return F.add(F.sub(one_hot, soft.detach()), soft)


def _uniform(like: Tensor) -> Tensor:
    from ...frontend.random import rand_like

    return rand_like(like.detach())


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def in_place(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, *args, inplace=True, **kwargs)

    in_place.__name__ = in_place.__qualname__ = function.__name__ + "_"
    in_place.__doc__ = f"`{function.__name__}`, in place."
    return in_place


relu_ = _in_place(relu)
hardtanh_ = _in_place(hardtanh)
threshold_ = _in_place(threshold)
elu_ = _in_place(elu)
selu_ = _in_place(selu)
celu_ = _in_place(celu)
leaky_relu_ = _in_place(leaky_relu)
rrelu_ = _in_place(rrelu)
