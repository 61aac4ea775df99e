"""Adagrad (Duchi et al., 2011)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..frontend.tensor import Tensor
from .optimizer import Elementwise, Params, check


class Adagrad(Elementwise):
    """Steps by the gradient over the root of the sum of its squares so far.

    Args:
        params: tensors, or dicts of groups.
        lr: learning rate, divided by `1 + lr_decay * (step - 1)`.
        weight_decay: weight of the parameter added to its gradient.
        initial_accumulator_value: the sum at first.
        eps: added to the root.
        maximize: climb instead of descend.
    """

    flag_keys = ("maximize", "weight_decay")
    number_keys = ("lr", "lr_decay", "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check(0.0 <= lr, f"Invalid learning rate: {lr}")
        check(0.0 <= lr_decay, f"Invalid lr_decay value: {lr_decay}")
        check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        check(
            0.0 <= initial_accumulator_value,
            f"Invalid initial_accumulator_value value: {initial_accumulator_value}",
        )
        check(0.0 <= eps, f"Invalid epsilon value: {eps}")
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "fused": fused,
        })  # fmt: skip
        for group in self.param_groups:
            for parameter in group["params"]:
                self._kept(parameter, self._plan(group))

    def tensors(self, flags: tuple[bool, ...]) -> tuple[str, ...]:
        return ("sum",)

    def initial(self, name: str, parameter: Tensor, hypers: tuple[Any, ...]) -> np.ndarray:
        value = self.defaults["initial_accumulator_value"]
        return np.full_like(parameter._array, value)

    def numbers(
        self, flags: tuple[bool, ...], hypers: tuple[Any, ...], step: Any, fresh: bool
    ) -> tuple[Any, ...]:
        lr, lr_decay, eps, weight_decay = hypers
        return lr / (1 + (step - 1) * lr_decay), eps, weight_decay

    @staticmethod
    def update(
        F: Any, flags: tuple[bool, ...], numbers: tuple[Any, ...], p: Any, g: Any, *kept: Any
    ) -> None:
        maximize, decays = flags
        rate, eps, weight_decay = numbers
        (total,) = kept
        if maximize:
            g = -g
        if decays:
            g = g + weight_decay * p
        total += g * g
        p -= rate * (g / (F.sqrt(total) + eps))
