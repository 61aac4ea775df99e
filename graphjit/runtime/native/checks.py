"""The kernel that stops a program when a condition does not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types

from .memory import load_int, loader, store_int

_load_bool = loader(types.uint8)


def require() -> Callable[[Any, Any, Any], None]:
    """Table: address of a bool, address of the status word."""

    def kernel(table: Any, begin: Any, end: Any) -> None:
        if _load_bool(load_int(table, 0), 0) == 0:
            store_int(load_int(table, 1), 0, 1)

    return kernel
