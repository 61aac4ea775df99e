"""Padding layers."""

from __future__ import annotations

from typing import Any

from ...frontend.tensor import Tensor
from .. import functional as F
from .module import Module


class _Pad(Module):
    _dims: int
    _mode = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        if isinstance(padding, int):
            padding = (padding,) * (2 * self._dims)
        self.padding = tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


def _layers(prefix: str, base: type[Module], mode: str, what: str) -> list[type[Module]]:
    """The layers of one kind for one to three dimensions."""
    return [
        type(
            f"{prefix}Pad{n}d",
            (base,),
            {
                "__module__": __name__,
                "__doc__": f"Pads the last {n} dimension(s) {what}.",
                "_dims": n,
                "_mode": mode,
            },
        )
        for n in (1, 2, 3)
    ]


ConstantPad1d, ConstantPad2d, ConstantPad3d = _layers(
    "Constant", _ConstantPad, "constant", "with a constant"
)
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = _layers(
    "Reflection", _Pad, "reflect", "with the reflection of the input"
)
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = _layers(
    "Replication", _Pad, "replicate", "with copies of its border"
)
CircularPad1d, CircularPad2d, CircularPad3d = _layers(
    "Circular", _Pad, "circular", "with the other end of the input"
)


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


ZeroPad1d, ZeroPad2d, ZeroPad3d = _layers("Zero", _ZeroPad, "constant", "with zeros")
