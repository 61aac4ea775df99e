"""The kernel that stops a program when a condition does not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..language import i8
from ..language.instructions import argument, loader, store_int

_load_bool = loader(i8)


def require() -> Callable[..., Any]:
    """Table: address of a bool, address of the status word."""

    def require(table: int, begin: int, end: int) -> None:
        if _load_bool(argument(table, 0), 0) == 0:
            store_int(argument(table, 1), 0, 1)

    return require
