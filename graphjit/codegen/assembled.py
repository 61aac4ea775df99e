"""What a graph is compiled to: the program that runs it, and what can be told of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CheckFailed
from ..ir.graph import Graph, Node
from ..ir.interp import DONE, HOST_ERRORS, HOST_FAILED
from ..runtime.program import Program, Timing


@dataclass(frozen=True, slots=True)
class Fallback:
    """A node that runs on the host, and why."""

    node: Node
    reason: str


class Assembled:
    """A compiled graph: what `trace` runs, and what `explain` tells of it."""

    def __init__(
        self,
        graph: Graph,
        program: Program,
        sources: dict[str, str],
        fallbacks: list[Fallback],
        memory: str,
        checked: dict[int, int],
    ) -> None:
        self.graph = graph
        self.program = program
        self.sources = sources
        self.fallbacks = fallbacks
        self.memory = memory
        #: the check that each instruction of a check tests, by the instruction's number from 1
        self.checked = checked
        self.bound: dict[int, np.ndarray] = {}

    def bind(self, slot: int, array: np.ndarray) -> None:
        """Pass `array` as input `slot` in every run."""
        self.bound[slot] = array
        self.program.bind(slot, array)

    def profile(self, arrays: Sequence[np.ndarray]) -> list[Timing]:
        """Each instruction with its shortest time; run on copies, so that nothing changes.

        `arrays` are the inputs that are not bound. CheckFailed if the call would stop before its
        end.
        """
        passed = iter(arrays)
        values = [
            _twin(self.bound[slot] if slot in self.bound else next(passed))
            for slot in range(len(self.graph.inputs))
        ]
        values += [np.empty(v.shape, v.dtype.numpy) for v in self.graph.outputs]
        program = Program(self.program.instructions, len(values), 0, self.program.memory.arena)
        twin = Assembled(
            self.graph, program, self.sources, self.fallbacks, self.memory, self.checked
        )
        if (stopped := twin.run(*values)) != DONE:
            raise CheckFailed(stopped)
        return program.profile(*values)

    def run(self, *arrays: np.ndarray) -> int:
        """Compute the outputs and update inputs in place.

        Returns DONE; or, with nothing changed, the number of the first check that is false, or
        HOST_FAILED where a call on the host raised an error. `arrays` are the inputs that are not
        bound, with the strides that the graph was compiled for, then the outputs.
        """
        if not self.fallbacks:
            stopped = self.program(*arrays)
        else:
            try:
                stopped = self.program(*arrays)
            except HOST_ERRORS:
                return HOST_FAILED
        return self.checked[stopped] if stopped else DONE

    def entry(self) -> Callable[..., int]:
        """What is called in usual calls: 0 where all is done, else `run` is to be called."""
        if self.fallbacks:
            return lambda *arrays: self.run(*arrays) - DONE
        return self.program.entry

    @property
    def runs(self) -> int:
        """How many runs have come to their end."""
        return self.program.runs


def _twin(array: np.ndarray) -> np.ndarray:
    """A copy with the same strides, in memory of its own."""
    low, high = np.lib.array_utils.byte_bounds(array)
    memory = np.empty(high - low, np.uint8)
    start = array.__array_interface__["data"][0] - low
    twin = np.ndarray(array.shape, array.dtype, memory, start, array.strides)
    if 0 not in array.strides:
        twin[...] = array
    return twin
