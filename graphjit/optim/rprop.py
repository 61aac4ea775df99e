"""Resilient backpropagation (Riedmiller and Braun, 1993)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..frontend.tensor import Tensor
from .optimizer import Elementwise, Params, check, put


class Rprop(Elementwise):
    """Steps against the gradient's sign, longer while it stays, shorter when it flips.

    Args:
        params: tensors, or dicts of groups.
        lr: the first step's size.
        etas: factors of the step's size when the sign flips, and when it stays.
        step_sizes: the smallest and the largest step.
        maximize: climb instead of descend.
    """

    flag_keys = ("maximize",)
    number_keys = ("lr", ("etas", 0), ("etas", 1), ("step_sizes", 0), ("step_sizes", 1))

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check(0.0 <= lr, f"Invalid learning rate: {lr}")
        check(0.0 < etas[0] < 1.0 < etas[1], f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def tensors(self, flags: tuple[bool, ...]) -> tuple[str, ...]:
        return ("prev", "step_size")

    def initial(self, name: str, parameter: Tensor, hypers: tuple[Any, ...]) -> np.ndarray:
        if name == "step_size":
            lr = hypers[0]
            return np.full_like(parameter._array, float(lr._array if _is_tensor(lr) else lr))
        return super().initial(name, parameter, hypers)

    @staticmethod
    def update(
        F: Any, flags: tuple[bool, ...], numbers: tuple[Any, ...], p: Any, g: Any, *kept: Any
    ) -> None:
        (maximize,) = flags
        _, shrink, grow, smallest, largest = numbers
        previous, size = kept
        if maximize:
            g = -g
        product = g * previous
        flipped = product < 0
        scaled = F.where(product > 0, size * grow, F.where(flipped, size * shrink, size))
        put(size, F.minimum(F.maximum(scaled, smallest), largest))
        g = F.where(flipped, 0.0, g)
        p -= F.sign(g) * size
        put(previous, g)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)
