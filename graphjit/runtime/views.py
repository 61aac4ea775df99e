"""NumPy arrays over memory that something else owns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .instruction import Layout


class _Memory:
    """What NumPy makes a view of; keeps the owner of the memory alive."""

    def __init__(self, layout: Layout, address: int, owner: object) -> None:
        itemsize = layout.dtype.itemsize
        self.owner = owner
        self.__array_interface__ = {
            "version": 3,
            "shape": layout.shape,
            "strides": tuple(stride * itemsize for stride in layout.strides),
            "typestr": layout.dtype.numpy.str,
            "data": (address, False),
        }


def view(layout: Layout, base: int, owner: object) -> NDArray[Any]:
    """An array at `layout`, whose pointer's offset counts from the address `base`."""
    return np.asarray(_Memory(layout, base + layout.pointer.offset, owner))


def aligned(size: int, alignment: int = 64) -> NDArray[np.uint8]:
    """`size` bytes of new memory at a multiple of `alignment`; MemoryError if there is none."""
    block = np.empty(size + alignment, np.uint8)
    start = -block.ctypes.data % alignment
    return block[start : start + size]
