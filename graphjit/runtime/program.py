"""A compiled step: instructions over one block of memory, run by one native call.

Reads instructions whose arguments refer to memory and arrays by symbol; allocates the memory at the
first call. From then on a call puts in its arrays and floats, and no more.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import pool, runner
from . import tables as argument_tables
from .image import Image, Segment, scratch_bytes
from .instruction import (
    Arena,
    Argument,
    External,
    HostCall,
    Instruction,
    Layout,
    Pointer,
    ScalarSlot,
    Scratch,
    Status,
    row_major,
)
from .views import view
from .words import program as word

__all__ = [
    "Arena",
    "Argument",
    "External",
    "HostCall",
    "Instruction",
    "Layout",
    "Memory",
    "Pointer",
    "Program",
    "ScalarSlot",
    "Scratch",
    "Status",
    "Timing",
    "row_major",
]

Step = Segment | HostCall
_programs: weakref.WeakSet[Program] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a program holds: its arena, the workers' scratch, and its tables."""

    arena: int
    scratch: int
    tables: int

    @property
    def total(self) -> int:
        return self.arena + self.scratch + self.tables


@dataclass(frozen=True, slots=True)
class Timing:
    """Shortest time of one instruction, in seconds."""

    instruction: Instruction | HostCall
    seconds: float


class Program:
    """A sequence of instructions and host calls that is run as a whole.

    `arrays` and `scalars` are how many a call passes; `arena` is the size in bytes of the program's
    memory. With `release_gil` other Python threads run during native code. Long instructions are
    shared by `GRAPHJIT_NUM_THREADS` threads. IndexError if an instruction refers to what is not
    there.

    Arrays are known by their data pointers alone: shapes, strides and dtypes are the caller's to
    check, and the caller keeps the arrays alive during the call. Calls from several threads take
    turns; `bind` must not run during a call.
    """

    def __init__(
        self,
        instructions: Sequence[Instruction | HostCall],
        arrays: int = 0,
        scalars: int = 0,
        arena: int = 0,
        release_gil: bool = True,
    ) -> None:
        self.instructions = tuple(instructions)
        self.arrays = arrays
        self.scalars = scalars
        self._arena_size = arena
        self._release_gil = release_gil
        native = [i for i in self.instructions if isinstance(i, Instruction)]
        self._tables = argument_tables.build(native)
        self._tables.check(arrays, scalars, arena)
        self._steps = _steps(self.instructions)
        self._bound: dict[int, NDArray[Any]] = {}
        self._lock = threading.Lock()
        self._image: Image | None = None
        self._entry: runner.Entry | None = None
        _programs.add(self)

    def bind(self, slot: int, array: NDArray[Any]) -> None:
        """Pass `array` as `slot` in every call from now on; calls leave that argument out.

        The array is kept alive; binding the slot again replaces it.
        """
        if not 0 <= slot < self.arrays:
            raise IndexError(f"slot {slot} of a program with {self.arrays} arrays")
        with self._lock:
            known = slot in self._bound
            self._bound[slot] = array
            if self._image is not None:
                self._image.write(slot, array)
                if not known:
                    self._connect(self._image)

    @property
    def unbound(self) -> list[int]:
        """The slots whose arrays each call passes, in order."""
        return [slot for slot in range(self.arrays) if slot not in self._bound]

    @property
    def image(self) -> Image:
        """The program's memory, allocated when first asked for."""
        with self._lock:
            if self._image is None:
                segments = [step for step in self._steps if not isinstance(step, HostCall)]
                image = Image(
                    self._tables,
                    segments,
                    self.scalars,
                    self._arena_size,
                    pool.shared(),
                    self._release_gil,
                )
                for slot, array in self._bound.items():
                    image.write(slot, array)
                self._connect(image)
                self._image = image
            return self._image

    def _connect(self, image: Image) -> None:
        image.connect(self.unbound)
        self._entry = image.entries[0] if len(self._steps) == 1 else self._run_steps

    @property
    def entry(self) -> runner.Entry:
        """The native function behind `__call__`, for callers that count nanoseconds.

        It returns what `__call__` does, or a negative number when the call did not take place:
        `__call__` with the same arguments then waits, or raises. It is a new function after a slot
        has been bound for the first time.
        """
        if self._entry is None:
            self.image  # noqa: B018  (allocates, and sets the entry)
        assert self._entry is not None
        return self._entry

    def __call__(self, *arguments: Any) -> int:
        """Run; the arguments are the arrays that are not bound, by slot, then the floats.

        Returns 0, or the number, from 1, of the instruction after which the status was nonzero.
        TypeError if the arguments are not that many ndarrays and floats; MemoryError if there is
        no memory for the arena.
        """
        result = (self._entry or self.entry)(*arguments)
        return result if result >= 0 else self._retry(result, arguments)

    def _retry(self, result: int, arguments: Sequence[Any]) -> int:
        pause = 1e-6
        while result == word.IS_BUSY:
            time.sleep(pause)
            pause = min(2 * pause, 1e-3)
            result = self.entry(*arguments)
        if result == word.MISMATCH:
            kinds = ", ".join(type(a).__name__ for a in arguments)
            expected = f"{len(self.unbound)} ndarrays and {self.scalars} floats"
            raise TypeError(f"expected {expected}, got ({kinds})")
        return result

    def _run_steps(self, *arguments: Any) -> int:
        """The entry of a program with host calls."""
        with self._lock:
            image = self._image
            assert image is not None
            entries = iter(image.entries)
            passed = arguments
            for number, step in enumerate(self._steps):
                if isinstance(step, HostCall):
                    self._run_host(step, image, arguments)
                elif result := next(entries)(*passed):
                    return self._instruction_number(number, result) if result > 0 else result
                else:
                    passed = ()
        return 0

    def _instruction_number(self, step: int, row: int) -> int:
        """The number of the instruction in `row`: rows leave out host calls."""
        return row + sum(isinstance(s, HostCall) for s in self._steps[:step])

    def _run_host(self, call: HostCall, image: Image, arguments: Sequence[Any]) -> None:
        arrays = self._bound | dict(zip(self.unbound, arguments, strict=False))
        floats = arguments[len(arguments) - self.scalars :]

        def find(layout: Layout | ScalarSlot) -> Any:
            if isinstance(layout, ScalarSlot):
                return floats[layout.index]
            pointer = layout.pointer
            owner = image.arena if isinstance(pointer, Arena) else arrays[pointer.slot]
            return view(layout, owner.ctypes.data, owner)

        with np.errstate(all="ignore"):
            results = call.function(*map(find, call.inputs))
        if not isinstance(results, tuple):
            results = (results,)
        for layout, result in zip(call.outputs, results, strict=True):
            find(layout)[...] = result

    @property
    def runs(self) -> int:
        """How many calls have come to their end."""
        return 0 if self._image is None else self._image.runs

    @property
    def status(self) -> int:
        """What the kernel that stopped the last call wrote."""
        return self.image.status

    @property
    def memory(self) -> Memory:
        """The bytes this program takes from its first call on."""
        return Memory(
            self._arena_size,
            scratch_bytes(self._tables, pool.wanted_threads()),
            self._tables.nbytes,
        )

    def arena_view(self, layout: Layout) -> NDArray[Any]:
        """The program's memory at `layout`, as the last call left it."""
        arena = self.image.arena
        return view(layout, arena.ctypes.data, arena)

    def profile(self, *arguments: Any, repeats: int = 20) -> list[Timing]:
        """Run once, then time the instructions, so many times in the order of the program.

        On this thread alone, and on the data that is there: what is updated goes on being updated.
        """
        self(*arguments)
        nothing = functools.partial(self.image.run_rows, 0, 0)
        overhead = min(_seconds(nothing) for _ in range(100))
        actions = self._actions(arguments)
        rounds = [[_seconds(action) for action in actions] for _ in range(repeats)]
        return [
            Timing(instruction, max(0.0, min(times) - overhead))
            for instruction, times in zip(self.instructions, zip(*rounds), strict=True)
        ]

    def _actions(self, arguments: Sequence[Any]) -> list[Callable[[], object]]:
        """For each instruction, what runs it alone."""
        actions: list[Callable[[], object]] = []
        row = 0
        for instruction in self.instructions:
            if isinstance(instruction, HostCall):
                run = functools.partial(self._run_host, instruction, self.image, arguments)
                actions.append(run)
            else:
                actions.append(functools.partial(self.image.run_rows, row, row + 1))
                row += 1
        return actions

    def _unlock(self) -> None:
        """Forget what other threads were doing with this program: this is a forked child."""
        self._lock = threading.Lock()
        if self._image is not None:
            self._image.unlock()


def _steps(instructions: Sequence[Instruction | HostCall]) -> list[Step]:
    """Ranges of native rows, and the host calls between them. The first is always a range."""
    steps: list[Step] = []
    begin = row = 0
    for instruction in instructions:
        if isinstance(instruction, HostCall):
            if row > begin or not steps:
                steps.append((begin, row))
            steps.append(instruction)
            begin = row
        else:
            row += 1
    if row > begin or not steps:
        steps.append((begin, row))
    return steps


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _unlock_programs() -> None:
    for program in list(_programs):
        program._unlock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_programs)
