"""Claims of scratch memory: a part of a block shared by the workers of a program.

The block starts with a bit mask of the parts in use and the size of a part; parts follow at 64.
"""

from __future__ import annotations

from ..language import inline
from ..language.instructions import atomic_and, compare_and_swap, load_int

HEADER = 64


@inline
def claim(block: int) -> int:
    """The address of a part that no other worker uses. There are as many parts as workers."""
    while True:
        used = load_int(block, 0)
        bit = ~used & (used + 1)
        if bit != 0 and compare_and_swap(block, used, used | bit) == used:
            break
    part = 0
    while bit != 1:
        bit = (bit >> 1) & 0x7FFF_FFFF_FFFF_FFFF
        part += 1
    return block + HEADER + part * load_int(block, 1)


@inline
def release(block: int, part: int) -> None:
    """Give back what `claim` returned."""
    index = (part - block - HEADER) // load_int(block, 1)
    atomic_and(block, ~(1 << index))
