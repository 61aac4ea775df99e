"""Stochastic gradient descent, with momentum (Sutskever et al., 2013)."""

from __future__ import annotations

from typing import Any

from .optimizer import Elementwise, Params, check


class SGD(Elementwise):
    """`p -= lr * g`; with momentum, g is a decaying sum of the gradients so far.

    Args:
        params: tensors, or dicts of groups.
        lr: learning rate.
        momentum: weight of the sum so far.
        dampening: the gradient's weight in the sum is 1 - dampening.
        weight_decay: weight of the parameter added to its gradient.
        nesterov: look ahead by one step of momentum.
        maximize: climb instead of descend.
    """

    flag_keys = ("maximize", "weight_decay", "momentum", "nesterov", "dampening")
    number_keys = ("lr", "weight_decay", "momentum", "dampening")
    counts_steps = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check(lr >= 0, f"Invalid learning rate: {lr}")
        check(momentum >= 0, f"Invalid momentum value: {momentum}")
        check(weight_decay >= 0, f"Invalid weight_decay value: {weight_decay}")
        check(
            not nesterov or (momentum > 0 and dampening == 0),
            "Nesterov momentum requires a momentum and zero dampening",
        )
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach,
            "differentiable": differentiable, "fused": fused,
        })  # fmt: skip

    def tensors(self, flags: tuple[bool, ...]) -> tuple[str, ...]:
        momentum = flags[2]
        return ("momentum_buffer",) if momentum else ()

    def numbers(
        self, flags: tuple[bool, ...], hypers: tuple[Any, ...], step: Any, fresh: bool
    ) -> tuple[Any, ...]:
        lr, weight_decay, momentum, dampening = hypers
        return lr, weight_decay, momentum, 1.0 if fresh else 1 - dampening

    def first_differs(self, flags: tuple[bool, ...]) -> bool:
        return flags[2] and flags[4]

    @staticmethod
    def update(
        F: Any, flags: tuple[bool, ...], numbers: tuple[Any, ...], p: Any, g: Any, *kept: Any
    ) -> None:
        maximize, decays, has_momentum, nesterov, dampened = flags
        lr, weight_decay, momentum, undamped = numbers
        if maximize:
            g = -g
        if decays:
            g = g + weight_decay * p
        if has_momentum:
            (buffer,) = kept
            buffer *= momentum
            buffer += undamped * g if dampened else g
            g = g + momentum * buffer if nesterov else buffer
        p -= lr * g
