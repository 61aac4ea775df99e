"""Replay through the interpreter: no kernels, so that capture and passes can be tried alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import CheckFailed
from ..ir.graph import Graph
from ..ir.interp import DONE, HOST_ERRORS, HOST_FAILED, interpret
from .quiet import QUIET, restore, silence


class Interpreted:
    """An executable that calls each op's `eval`."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.bound: dict[int, np.ndarray] = {}
        self.runs = 0

    def bind(self, slot: int, array: np.ndarray) -> None:
        """Pass `array` as input `slot` in every run."""
        self.bound[slot] = array

    def run(self, *arrays: np.ndarray) -> int:
        """Run on the inputs that are not bound, writing outputs and updates in place."""
        passed = iter(arrays)
        inputs = [
            self.bound[slot] if slot in self.bound else next(passed)
            for slot in range(len(self.graph.inputs))
        ]
        token = silence(QUIET)
        try:
            outputs, updates = interpret(self.graph, inputs)
        except CheckFailed as failed:
            return failed.index
        except HOST_ERRORS:
            return HOST_FAILED
        finally:
            restore(token)
        for target, result in zip(passed, outputs, strict=True):
            np.copyto(target, result)
        places = {value: array for value, array in zip(self.graph.inputs, inputs, strict=True)}
        copies = [np.array(new) for new in updates]  # they may be views of each other's places
        for (old, _), new in zip(self.graph.updates, copies, strict=True):
            if new.size:  # an empty array may be read-only
                np.copyto(places[old], new)
        self.runs += 1
        return DONE

    def entry(self) -> Callable[..., int]:
        """`run`, for usual calls: 0 where it is done."""
        return lambda *arrays: self.run(*arrays) - DONE
