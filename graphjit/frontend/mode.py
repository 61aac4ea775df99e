"""What is switched on in the current thread: gradients, and recording."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .recorder import Recorder


class Mode(threading.local):
    """Thread-local switches. `recorder` is None unless a traced function is being recorded."""

    grad: bool = True
    recorder: Recorder | None = None


MODE = Mode()


def refuse_recording(what: str) -> None:
    """Have a function that is being recorded run eagerly, since it calls `what`."""
    if MODE.recorder is not None:
        MODE.recorder.refuse(f"{what} is called")


class grad_mode:
    """Context manager and decorator that sets whether gradients are tracked."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(MODE.grad)
        MODE.grad = self.enabled

    def __exit__(self, *exc: object) -> None:
        MODE.grad = self.before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def under_mode(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return under_mode
