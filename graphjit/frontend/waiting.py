"""Replays whose backward may be yet to come, and writes to what they have read.

Where the tape of eager code has kept what an op gave, a `TracedNode` may compute it again from what
the replay read. Before that is written to, by an op in place, a replay, a backward or an optimizer,
the nodes that would read it put copies aside. Nobody tells of writes through what shares memory and
has a version counter of its own, but for `.data`: NumPy's arrays, what was assigned to `.data`.
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

#: those of them whose version counters are yet to be put into _READERS
_NEW: dict[int, ref[TracedNode]] = {}
#: by id of a version counter, the nodes that have read what it counts the writes to, by id
_READERS: dict[int, set[int]] = {}
#: by id of a node, its version counters in _READERS
_COUNTERS: dict[int, frozenset[int]] = {}


def wait(node: TracedNode) -> None:
    """Count `node` among those that are waiting, until it is done or is there no more."""
    number = id(node)
    WAITING[number] = _NEW[number] = ref(node, lambda _: done(number))


def done(number: int) -> None:
    """The node of this id is not waiting any more."""
    WAITING.pop(number, None)
    _NEW.pop(number, None)
    for counter in _COUNTERS.pop(number, ()):
        readers = _READERS.get(counter, set())
        readers.discard(number)
        if not readers:
            _READERS.pop(counter, None)


class DataVersion(list[int]):
    """The version counter of what `.data` gives: that of the tensor itself stays as it is."""

    __slots__ = ()


def about_to_write(target: Tensor) -> None:
    """Have the nodes that are waiting keep what `target` holds.

    Where its version will tell of the write, only those that have read it or its views.
    """
    if WAITING:
        version = target._version
        if version.__class__ is DataVersion:
            keep_aside(target._array)
        elif _NEW or id(version) in _READERS:
            _keep_read(version)


def _keep_read(version: list[int]) -> None:
    """Have the nodes that are waiting keep what they have read that `version` counts writes to.

    Most nodes are done before anything is written to, and never looked at.
    """
    for number in list(_NEW):  # the collector may take some of them out at any time
        if (reference := _NEW.pop(number, None)) and (node := reference()):
            _COUNTERS[number] = counters = frozenset([id(counter) for _, counter, _ in node.seen])
            for counter in counters:
                _READERS.setdefault(counter, set()).add(number)
    copies: dict[int, np.ndarray] = {}
    for number in _READERS.pop(id(version), ()):
        if (waiting := WAITING.get(number)) and (reader := waiting()):
            reader.keep_read(version, copies)


def keep_aside(array: np.ndarray) -> None:
    """Have the nodes that are waiting keep what is in the memory of `array`."""
    copies: dict[int, np.ndarray | None] = {}
    for reference in list(WAITING.values()):  # a tuple's memory would be found while it iterates
        node = reference()
        if node is not None:
            node.keep_aside(array, copies)
