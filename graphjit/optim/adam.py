"""Adam (Kingma and Ba, 2015; AMSGrad: Reddi et al., 2018)."""

from __future__ import annotations

from typing import Any

from .optimizer import Elementwise, Params, check, put


class Adam(Elementwise):
    """Steps by the mean of the gradients over the root of the mean of their squares.

    Args:
        params: tensors, or dicts of groups.
        lr: learning rate.
        betas: decay of the two running means.
        eps: added to the root.
        weight_decay: weight of the parameter added to its gradient, or, if
            `decoupled_weight_decay`, share of the parameter taken off at a step of size 1.
        amsgrad: divide by the root of the largest mean so far.
        maximize: climb instead of descend.
    """

    flag_keys = ("maximize", "weight_decay", "decoupled_weight_decay", "amsgrad")
    number_keys = ("lr", ("betas", 0), ("betas", 1), "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check(0.0 <= lr, f"Invalid learning rate: {lr}")
        check(0.0 <= eps, f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def tensors(self, flags: tuple[bool, ...]) -> tuple[str, ...]:
        amsgrad = flags[3]
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if amsgrad else ()))

    def numbers(
        self, flags: tuple[bool, ...], hypers: tuple[Any, ...], step: Any, fresh: bool
    ) -> tuple[Any, ...]:
        lr, beta1, beta2, eps, weight_decay = hypers
        correction = (1 - beta2**step) ** 0.5
        step_size = lr / (1 - beta1**step) * correction
        decay = 1 - lr * weight_decay if flags[2] else weight_decay
        return step_size, eps * correction, 1 - beta1, beta2, 1 - beta2, decay

    @staticmethod
    def update(
        F: Any, flags: tuple[bool, ...], numbers: tuple[Any, ...], p: Any, g: Any, *kept: Any
    ) -> None:
        maximize, decays, decoupled, amsgrad = flags
        step_size, eps, gain1, beta2, gain2, decay = numbers
        mean, square = kept[:2]
        if maximize:
            g = -g
        if decays and decoupled:
            p *= decay
        elif decays:
            g = g + decay * p
        mean += (g - mean) * gain1
        square *= beta2
        square += gain2 * (g * g)
        largest = square
        if amsgrad:
            largest = kept[2]
            put(largest, F.maximum(largest, square))
        p -= step_size * mean / (F.sqrt(largest) + eps)


def check_betas(betas: tuple[float, float]) -> None:
    """ValueError unless both decays are in [0, 1)."""
    for index, beta in enumerate(betas):
        check(0.0 <= beta < 1.0, f"Invalid beta parameter at index {index}: {beta}")
