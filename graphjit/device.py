"""Devices: where a tensor's elements are, and which array library computes on them."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np


class Backend(Protocol):
    """What a device offers: an array namespace with NumPy's functions."""

    xp: ModuleType


@dataclass(frozen=True, slots=True)
class Device:
    """A device by `type` ("cpu", "cuda") and `index`."""

    type: str
    index: int | None = None

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


CPU = Device("cpu")
TYPES = ("cpu", "cuda")


def device(type: str | int | Device = "cpu", index: int | None = None) -> Device:
    """The device named by text ("cuda:0"), by type and index, or by a CUDA index.

    RuntimeError, in PyTorch's words, for a name that is none.
    """
    if isinstance(type, Device):
        return type
    if isinstance(type, int):
        return Device("cuda", type)
    name, _, number = type.partition(":")
    if name not in TYPES or (number and not number.isdigit()):
        raise RuntimeError(
            f"Expected one of {', '.join(TYPES)} device type at start of device string: {type}"
        )
    return Device(name, int(number) if number else index)


def array_namespace(where: Device) -> ModuleType:
    """NumPy for the CPU. AssertionError for CUDA, as PyTorch without CUDA raises."""
    if where.type == "cpu":
        return np
    raise AssertionError("Torch not compiled with CUDA enabled")
