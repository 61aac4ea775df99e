"""`Size`: the shape of a tensor, a tuple that prints as PyTorch prints it."""

from __future__ import annotations

from typing import Any

from .. import config


class Size(tuple[int, ...]):
    """A tuple of extents."""

    __slots__ = ()

    def numel(self) -> int:
        """Product of the extents."""
        product = 1
        for extent in self:
            product *= extent
        return product

    def __getitem__(self, key: Any) -> Any:
        result = tuple.__getitem__(self, key)
        return Size(result) if isinstance(key, slice) else result

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def __repr__(self) -> str:
        return f"{config.NAMESPACE}.Size({list(self)})"
