"""Schedulers made of schedulers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ...frontend.hyper import effect
from ..optimizer import Optimizer, check
from .base import LRScheduler, rates, set_rate
from .plateau import ReduceLROnPlateau


class SequentialLR(LRScheduler):
    """Schedulers one after the other; `milestones` are the epochs at which the next takes over."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        _check_members(self, schedulers, optimizer)
        check(
            len(milestones) == len(schedulers) - 1,
            "Sequential Schedulers expects number of schedulers provided to be one more than the "
            f"number of milestone points, but got number of schedulers {len(schedulers)} and the "
            f"number of milestones to be equal to {len(milestones)}",
        )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            set_rate(group, group["initial_lr"])
        self._undo(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _undo(self, scheduler: Any) -> None:
        """Take back the step that each scheduler made when it was made."""
        members = getattr(scheduler, "_schedulers", None)
        if members is None:
            scheduler.last_epoch -= 1
        for member in members or ():
            self._undo(member)

    def step(self) -> None:  # type: ignore[override]
        """Set the rates of the next epoch."""
        effect(self._advance_one)

    def _advance_one(self) -> None:
        self.last_epoch += 1
        number = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[number]
        if number > 0 and self._milestones[number - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        return _members_state(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _load_members_state(self, state_dict)


class ChainedScheduler(LRScheduler):
    """Several schedulers that all step at each step."""

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        check(
            len(schedulers) > 0,
            "ChainedScheduler expects at least one scheduler to be chained, but got no scheduler.",
        )
        optimizer = optimizer or schedulers[0].optimizer
        _check_members(self, schedulers, optimizer)
        self._schedulers = schedulers
        self.optimizer = optimizer
        self._last_lr = rates(optimizer)

    def step(self) -> None:  # type: ignore[override]
        """Let every scheduler make its step."""
        effect(self._advance_all)

    def _advance_all(self) -> None:
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = rates(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        return _members_state(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _load_members_state(self, state_dict)


def _check_members(
    owner: LRScheduler, schedulers: Sequence[Any], optimizer: Optimizer
) -> None:
    name = type(owner).__name__
    check(len(schedulers) > 0, f"{name} expects at least one scheduler, but got no scheduler.")
    for i, scheduler in enumerate(schedulers):
        if not hasattr(scheduler, "optimizer"):
            raise TypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
        check(
            not isinstance(scheduler, ReduceLROnPlateau),
            f"{name} does not support `ReduceLROnPlateau` scheduler as it requires additional "
            f"kwargs to be specified when calling `step`, but got one at index {i} in the given "
            "schedulers sequence.",
        )
        check(
            scheduler.optimizer is optimizer,
            f"{name} expects all schedulers to belong to the same optimizer, but got scheduler "
            f"{type(scheduler).__name__} at index {i} has {scheduler.optimizer}, which is "
            f"different from {type(optimizer).__name__}.",
        )


def _members_state(owner: Any) -> dict[str, Any]:
    state = LRScheduler.state_dict(owner)
    state["_schedulers"] = [scheduler.state_dict() for scheduler in owner._schedulers]
    return state


def _load_members_state(owner: Any, state_dict: dict[str, Any]) -> None:
    rest = {key: value for key, value in state_dict.items() if key != "_schedulers"}
    owner.__dict__.update(rest)
    for scheduler, state in zip(owner._schedulers, state_dict["_schedulers"], strict=True):
        scheduler.load_state_dict(state)
