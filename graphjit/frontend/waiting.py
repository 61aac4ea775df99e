"""Replays whose backward may be yet to come, and writes that version counters do not tell of.

Where the tape of eager code has kept what an op gave, a `TracedNode` may compute it again from what
the replay read. Before that is written to through `.data`, by an op in place, a replay, a backward
or an optimizer, the nodes that would read it put copies aside. Nobody tells of writes through what
shares memory in other ways: NumPy's arrays, and what was assigned to `.data`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

import numpy as np

if TYPE_CHECKING:
    from .tensor import Tensor
    from .traced_node import TracedNode

#: by id, the nodes of replays that no backward has gone back over to the end
WAITING: dict[int, ref[TracedNode]] = {}


def wait(node: TracedNode) -> None:
    """Count `node` among those that are waiting, until it is taken out or is there no more."""
    number = id(node)
    WAITING[number] = ref(node, lambda _: WAITING.pop(number, None))


class DataVersion(list[int]):
    """The version counter of what `.data` gives: that of the tensor itself stays as it is."""

    __slots__ = ()


def about_to_write(target: Tensor) -> None:
    """Have the nodes that are waiting keep what `target` holds, if no version will tell of it."""
    if WAITING and target._version.__class__ is DataVersion:
        keep_aside(target._array)


def keep_aside(array: np.ndarray) -> None:
    """Have the nodes that are waiting keep what is in the memory of `array`."""
    copies: dict[int, np.ndarray | None] = {}
    for reference in list(WAITING.values()):  # a tuple's memory would be found while it iterates
        node = reference()
        if node is not None:
            node.keep_aside(array, copies)
