"""The base of the schedulers: when rates are set, and how that is saved.

A step inside a traced function is an effect: it runs again after each replay.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any
from weakref import ref

from ...frontend.hyper import effect, floats_in, refuse
from ...frontend.state import GUARDED, STEPPING, VERSIONS
from ...frontend.tensor import Tensor
from ..optimizer import Optimizer

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please use `scheduler.step()` to step the scheduler. During the deprecation, if "
    "epoch is different from None, the closed form is used instead of the new chainable form, "
    "where available. Please open an issue if you are unable to replicate your use case: "
    "https://github.com/pytorch/pytorch/issues/new/choose."
)


def rates(optimizer: Optimizer, key: str = "lr") -> list[Any]:
    """The entry `key` of each group; tensors are copied."""
    values = [group[key] for group in optimizer.param_groups]
    return [value.clone() if isinstance(value, Tensor) else value for value in values]


def set_rate(group: dict[str, Any], rate: Any) -> None:
    """Give a group another rate; a tensor stays the tensor that it is."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(float(rate))
        VERSIONS.hyper += 1  # what the scheduler keeps of it is another number too
    else:
        group["lr"] = rate


def check_optimizer(optimizer: Any) -> None:
    """TypeError unless it is an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


class TrackedStep:
    """An optimizer's `step` that notes that it has been called."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.step = optimizer.step
        self.optimizer = ref(optimizer)
        functools.update_wrapper(self, optimizer.step)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        optimizer = self.optimizer()
        assert optimizer is not None
        optimizer.__dict__["_opt_called"] = True  # no change that a replay need look at
        return self.step(*args, **kwargs)


class LRScheduler:
    """Base of the schedulers: a subclass gives the rates of `last_epoch` by `get_lr`.

    `get_lr` goes from the rates of the epoch before, so that schedulers can be chained.
    """

    _is_initial: bool = False
    _within_step: bool = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                rate = group["lr"]
                group.setdefault("initial_lr", rate.clone() if isinstance(rate, Tensor) else rate)
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming "
                    "scheduler with last_epoch >= 0.\nThis typically happens when:\n1. You're "
                    "trying to resume training from a checkpoint but haven't properly loaded the "
                    "optimizer state\n2. You're using last_epoch >= 0 for a fresh training run "
                    "(not recommended)"
                )
        self.base_lrs = rates(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        if not isinstance(optimizer.step, TrackedStep):
            optimizer.step = TrackedStep(optimizer)  # type: ignore[method-assign]
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[Any]:
        """The rate of each group at `last_epoch`."""
        raise NotImplementedError

    def get_last_lr(self) -> list[Any]:
        """The rates that the last step set."""
        return floats_in(self, "_last_lr")

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next epoch, or of a given one."""
        if self.__dict__["_step_count"] == 1:  # not what a replay depends on
            self._check_order()
        if epoch is not None:
            refuse("a scheduler's step() is given an epoch")
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        effect(functools.partial(self._advance, epoch))

    def _check_order(self) -> None:
        if not isinstance(self.optimizer.step, TrackedStep):
            warnings.warn(
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
                "initialization. Please, make sure to call `optimizer.step()` before "
                "`lr_scheduler.step()`. See more details at "
                "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate",
                UserWarning,
                stacklevel=3,
            )
        elif not getattr(self.optimizer, "_opt_called", False):
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch "
                "1.1.0 and later, you should call them in the opposite order: `optimizer.step()` "
                "before `lr_scheduler.step()`.  Failure to do this will result in PyTorch skipping "
                "the first value of the learning rate schedule. See more details at "
                "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate",
                UserWarning,
                stacklevel=3,
            )

    def _advance(self, epoch: int | None) -> None:
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._within_step = True
        try:
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
            values = self.get_lr() if closed is None else closed()
        finally:
            self._within_step = False
        for group, rate in zip(self.optimizer.param_groups, values, strict=True):
            set_rate(group, rate)
        self._last_lr = rates(self.optimizer)

    def _warn_outside_step(self) -> None:
        if not self._within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use "
                "`get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _scaled(self, factor: float) -> list[Any]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _unchanged(self) -> list[Any]:
        return rates(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer."""
        hidden = ("optimizer", "_is_initial", "_within_step")
        return {key: getattr(self, key) for key in self.__dict__ if key not in hidden}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.__dict__.update(state_dict)


GUARDED.append(LRScheduler)
STEPPING.append(LRScheduler)
