"""RMSprop (Tieleman and Hinton, 2012)."""

from __future__ import annotations

from typing import Any

from .optimizer import Elementwise, Params, check


class RMSprop(Elementwise):
    """Steps by the gradient over the root of a running mean of its squares.

    Args:
        params: tensors, or dicts of groups.
        lr: learning rate.
        alpha: decay of the running mean.
        eps: added to the root.
        weight_decay: weight of the parameter added to its gradient.
        momentum: weight of the sum of steps so far.
        centered: divide by the root of the variance instead.
        maximize: climb instead of descend.
    """

    flag_keys = ("maximize", "weight_decay", "centered", "momentum")
    number_keys = ("lr", "alpha", "eps", "weight_decay", "momentum")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check(0.0 <= lr, f"Invalid learning rate: {lr}")
        check(0.0 <= eps, f"Invalid epsilon value: {eps}")
        check(0.0 <= momentum, f"Invalid momentum value: {momentum}")
        check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        check(0.0 <= alpha, f"Invalid alpha value: {alpha}")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable,
        })  # fmt: skip

    def tensors(self, flags: tuple[bool, ...]) -> tuple[str, ...]:
        _, _, centered, momentum = flags
        return (
            "square_avg",
            *(("momentum_buffer",) if momentum else ()),
            *(("grad_avg",) if centered else ()),
        )

    def numbers(
        self, flags: tuple[bool, ...], hypers: tuple[Any, ...], step: Any, fresh: bool
    ) -> tuple[Any, ...]:
        lr, alpha, eps, weight_decay, momentum = hypers
        return lr, alpha, 1 - alpha, eps, weight_decay, momentum

    @staticmethod
    def update(
        F: Any, flags: tuple[bool, ...], numbers: tuple[Any, ...], p: Any, g: Any, *kept: Any
    ) -> None:
        maximize, decays, centered, has_momentum = flags
        lr, alpha, gain, eps, weight_decay, momentum = numbers
        square = kept[0]
        if maximize:
            g = -g
        if decays:
            g = g + weight_decay * p
        square *= alpha
        square += gain * (g * g)
        spread = square
        if centered:
            mean = kept[-1]
            mean += (g - mean) * gain
            spread = square - mean * mean
        step = g / (F.sqrt(spread) + eps)
        if has_momentum:
            buffer = kept[1]
            buffer *= momentum
            buffer += step
            step = buffer
        p -= lr * step
