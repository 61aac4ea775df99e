"""Adamax: Adam with the infinity norm (Kingma and Ba, 2015)."""

from __future__ import annotations

from typing import Any

from .adam import check_betas
from .optimizer import Elementwise, Params, check, put


class Adamax(Elementwise):
    """Steps by the mean of the gradients over their decaying maximum.

    Args:
        params: tensors, or dicts of groups.
        lr: learning rate.
        betas: decay of the mean and of the maximum.
        eps: added to the gradients' sizes.
        weight_decay: weight of the parameter added to its gradient.
        maximize: climb instead of descend.
    """

    flag_keys = ("maximize", "weight_decay")
    number_keys = ("lr", ("betas", 0), ("betas", 1), "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check(0.0 <= lr, f"Invalid learning rate: {lr}")
        check(0.0 <= eps, f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "capturable": capturable,
        })  # fmt: skip

    def tensors(self, flags: tuple[bool, ...]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def numbers(
        self, flags: tuple[bool, ...], hypers: tuple[Any, ...], step: Any, fresh: bool
    ) -> tuple[Any, ...]:
        lr, beta1, beta2, eps, weight_decay = hypers
        return lr / (1 - beta1**step), 1 - beta1, beta2, eps, weight_decay

    @staticmethod
    def update(
        F: Any, flags: tuple[bool, ...], numbers: tuple[Any, ...], p: Any, g: Any, *kept: Any
    ) -> None:
        maximize, decays = flags
        rate, gain, beta2, eps, weight_decay = numbers
        mean, largest = kept
        if maximize:
            g = -g
        if decays:
            g = g + weight_decay * p
        mean += (g - mean) * gain
        put(largest, F.maximum(largest * beta2, F.abs(g) + eps))
        p -= rate * (mean / largest)
