"""Adadelta (Zeiler, 2012)."""

from __future__ import annotations

from typing import Any

from .optimizer import Elementwise, Params, check


class Adadelta(Elementwise):
    """Steps by the gradient times the root of the ratio of mean square steps to gradients.

    Args:
        params: tensors, or dicts of groups.
        lr: factor of the step.
        rho: decay of the running means.
        eps: added to both means.
        weight_decay: weight of the parameter added to its gradient.
        maximize: climb instead of descend.
    """

    flag_keys = ("maximize", "weight_decay")
    number_keys = ("lr", "rho", "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check(0.0 <= lr, f"Invalid learning rate: {lr}")
        check(0.0 <= rho <= 1.0, f"Invalid rho value: {rho}")
        check(0.0 <= eps, f"Invalid epsilon value: {eps}")
        check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        })  # fmt: skip

    def tensors(self, flags: tuple[bool, ...]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def numbers(
        self, flags: tuple[bool, ...], hypers: tuple[Any, ...], step: Any, fresh: bool
    ) -> tuple[Any, ...]:
        lr, rho, eps, weight_decay = hypers
        return lr, rho, 1 - rho, eps, weight_decay

    @staticmethod
    def update(
        F: Any, flags: tuple[bool, ...], numbers: tuple[Any, ...], p: Any, g: Any, *kept: Any
    ) -> None:
        maximize, decays = flags
        lr, rho, gain, eps, weight_decay = numbers
        square, steps = kept
        if maximize:
            g = -g
        if decays:
            g = g + weight_decay * p
        square *= rho
        square += gain * (g * g)
        step = F.sqrt(steps + eps) / F.sqrt(square + eps) * g
        steps *= rho
        steps += gain * (step * step)
        p -= lr * step
