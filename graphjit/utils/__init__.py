"""Tools around training: data loading."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import data

__all__ = ["data"]


def __getattr__(name: str) -> Any:
    """Data loading is imported when it is first named: it needs `multiprocessing`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f".{name}", __name__)
