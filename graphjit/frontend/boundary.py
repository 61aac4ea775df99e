"""Where the tape of a recorded call ends: what a compiled backward is cut off from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TraceRefused
from .tape import Node, TapeWalk

if TYPE_CHECKING:
    from .tensor import Tensor


class BoundaryWalk(TapeWalk):
    """A recorded backward that ends where the tape enters what came before node number `first`.

    `found` maps the edges there, by key, to the edge and its gradient; `kept` has what the tape has
    kept: arrays, with their version counters, by the ids of both. Raises TraceRefused where a
    backward would run Python code of the user's.
    """

    def __init__(self, first: int) -> None:
        super().__init__(True, False, True, None)
        self.first = first
        self.found: dict[Any, tuple[Any, Any]] = {}
        self.kept: dict[tuple[int, int], tuple[np.ndarray, list[int]]] = {}

    def _receive(self, node: Node, waiting: list[Any]) -> None:
        if node.hooks is not None or node.watchers is not None:
            raise TraceRefused("a hook waits for a backward outside of the traced function")

    def _visit(self, node: Node, waiting: list[Any]) -> None:
        if not node.is_pure:
            raise TraceRefused(
                "a checkpointed function that changes something waits for a backward outside of "
                "the traced function"
            )
        if not hasattr(node, "op") and not node.is_checkpoint:
            raise TraceRefused("a custom Function waits for a backward outside of the function")
        for array, counter, _ in node.versions:
            self.kept[id(array), id(counter)] = array, counter
        super()._visit(node, waiting)

    def _send(self, edge: tuple[Node, int], grad: Any) -> None:
        if edge[0].sequence < self.first:
            self._end(edge, edge, grad)
        else:
            super()._send(edge, grad)

    def _arrive(self, leaf: Tensor, grad: Any) -> None:
        self._end(id(leaf), leaf, grad)

    def _end(self, key: Any, edge: Any, grad: Any) -> None:
        _, before = self.found.get(key, (edge, None))
        self.found[key] = edge, grad if before is None else self.F.add(before, grad)
