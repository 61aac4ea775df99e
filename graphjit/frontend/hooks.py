"""Handles that take a registered hook away again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from .state import VERSIONS


class RemovableHandle:
    """Returned by every `register_..._hook`; also a context manager that removes at its end."""

    def __init__(self, hooks: list[Callable[..., Any]], hook: Callable[..., Any]) -> None:
        self.hooks = hooks
        self.hook = hook

    def remove(self) -> None:
        """Take the hook away; doing it twice is fine."""
        if self.hook in self.hooks:
            self.hooks.remove(self.hook)
        VERSIONS.structure += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()
