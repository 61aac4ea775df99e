"""Keeping gradients from growing too large."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from ...frontend.creation import tensor
from ...frontend.dispatch import assign
from ...frontend.mode import grad_mode
from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor

Tensors = Tensor | Iterable[Tensor]


def _grads(parameters: Tensors) -> list[Tensor]:
    owners = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not owners:
        warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.",
                      stacklevel=3)  # fmt: skip
    grads = [owner.grad for owner in owners]
    return [grad for grad in grads if grad is not None]


def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors together, as if they were one vector."""
    listed = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not listed:
        return tensor(0.0)
    norms = [t.norm(norm_type) for t in listed]
    total = F.stack(*norms, dim=0).norm(norm_type)
    if error_if_nonfinite and bool(F.logical_or(F.isnan(total), F.isinf(total))):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale gradients by `max_norm / total_norm` where that is below 1."""
    with grad_mode(False):
        factor = F.minimum(F.div(float(max_norm), F.add(total_norm, 1e-6)), 1.0)
        for grad in _grads(parameters):
            assign(grad, F.mul(grad, factor))


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients so that their norm together is at most `max_norm`; returns the norm.

    RuntimeError if `error_if_nonfinite` and the norm is not finite.
    """
    owners: Any = parameters if isinstance(parameters, Tensor) else list(parameters)
    with grad_mode(False):
        total = get_total_norm(_grads(owners), norm_type, error_if_nonfinite)
        clip_grads_with_norm_(owners, max_norm, total)
    return total


def clip_grad_norm(*args: Any, **kwargs: Any) -> Tensor:
    """The old name of `clip_grad_norm_`."""
    warnings.warn(
        "torch.nn.utils.clip_grad_norm is now deprecated in favor of "
        "torch.nn.utils.clip_grad_norm_.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(*args, **kwargs)


def clip_grad_value_(
    parameters: Tensors, clip_value: float, foreach: bool | None = None
) -> None:
    """Bring every element of the gradients into [-clip_value, clip_value]."""
    bound = float(clip_value)
    with grad_mode(False):
        for grad in _grads(parameters):
            assign(grad, F.clamp(grad, min=-bound, max=bound))

