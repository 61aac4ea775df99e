"""Devices: where a tensor's elements are, and which array library computes on them."""

from __future__ import annotations

from types import ModuleType
from typing import Protocol, Self

import numpy as np


class Backend(Protocol):
    """What a device offers: an array namespace with NumPy's functions."""

    xp: ModuleType


TYPES = ("cpu", "cuda")


class Device:
    """A device by `type` ("cpu", "cuda") and `index`.

    Made from text ("cuda:0"), from type and index, from a CUDA index, or from another device.
    RuntimeError, in PyTorch's words, for a name that is none.
    """

    __slots__ = ("type", "index")

    def __init__(self, type: str | int | Device = "cpu", index: int | None = None) -> None:
        if isinstance(type, Device):
            type, index = type.type, type.index
        elif isinstance(type, int):
            type, index = "cuda", type
        name, _, number = type.partition(":")
        if name not in TYPES or (number and not number.isdigit()):
            raise RuntimeError(
                f"Expected one of {', '.join(TYPES)} device type at start of device string: {type}"
            )
        self.type = name
        self.index = int(number) if number else index

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Device):
            return NotImplemented
        return (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[object, tuple[str, int | None]]:
        return Device, (self.type, self.index)

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __enter__(self) -> Self:
        """New tensors on this device, within a `with` block. AssertionError where it is absent."""
        array_namespace(self)
        return self

    def __exit__(self, *exc: object) -> None:
        pass


CPU = Device("cpu")
device = Device


def array_namespace(where: Device) -> ModuleType:
    """NumPy for the CPU. AssertionError for CUDA, as PyTorch without CUDA raises."""
    if where.type == "cpu":
        return np
    raise AssertionError("Torch not compiled with CUDA enabled")
