"""Claims of scratch memory: a part of a block shared by the workers of a program.

The block starts with a bit mask of the parts in use and the size of a part; parts follow at 64.
"""

from __future__ import annotations

from typing import Any

from .memory import atomic_and, compare_and_swap, inline, load_int

HEADER = 64


@inline
def claim(block: int) -> Any:
    """The address of a part that no other worker uses. There are as many parts as workers."""
    while True:
        used = load_int(block, 0)
        bit = ~used & (used + 1)
        if bit != 0 and compare_and_swap(block, used, used | bit) == used:
            break
    part = 0
    while bit != 1:
        bit >>= 1
        part += 1
    return block + HEADER + part * load_int(block, 1)


@inline
def release(block: int, part: int) -> None:
    """Give back what `claim` returned."""
    index = (part - block - HEADER) // load_int(block, 1)
    atomic_and(block, ~(1 << index))
