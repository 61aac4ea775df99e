"""A program in memory: its arena, scratch and tables at their addresses, and native entries to it.

Reads the tables of a program; makes one entry for each run of instructions between host calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import runner
from .pool import Pool
from .tables import Tables
from .views import aligned
from .words import program as word

LINE = 64
#: Calls that are timed before the work of a program is shared.
TRIALS = 3
Segment = tuple[int, int]


def padded(size: int) -> int:
    """`size` rounded up to whole cache lines."""
    return -(-size // LINE) * LINE


def scratch_bytes(tables: Tables, workers: int) -> int:
    """Size of the block that kernels claim scratch from: a header, then a part for each worker."""
    return LINE + workers * padded(tables.scratch_size) if tables.scratch else 0


class Image:
    """Memory of a program. `segments` are ranges of its rows, each run by one native call."""

    def __init__(
        self,
        tables: Tables,
        segments: Sequence[Segment],
        scalars: int,
        arena: int,
        threads: Pool | None,
        release_gil: bool,
    ) -> None:
        self._tables = tables
        self._segments = segments
        self._scalars = scalars
        self._release_gil = release_gil
        self._pool = threads
        self.arena = aligned(arena)
        self._status = _words(LINE // 8)
        workers = threads.threads if threads else 1
        self._scratch = _words(scratch_bytes(tables, workers) // 8)
        self._words = _words(len(tables.words))
        self._words[:] = tables.words
        self._slots = _words(len(tables.arrays) + scalars)
        self._rows = _words(len(tables.rows) * word.ROW_WORDS).reshape(-1, word.ROW_WORDS)
        self._rows[:, : word.CHUNK] = np.array(tables.rows, np.int64).reshape(-1, word.CHUNK)
        self._rows[:, word.SHORTEST] = np.iinfo(np.int64).max
        self._place()
        self.entries: list[runner.Entry] = []
        self._descriptors: list[runner.Words] = []

    def _place(self) -> None:
        """Put the addresses of this memory into the tables and rows."""
        tables, words = self._tables, self._words
        for patch in tables.arena:
            words[patch.index] = self.arena.ctypes.data + patch.offset
        words[tables.status] = self._status.ctypes.data
        if tables.scratch:
            words[tables.scratch] = self._scratch.ctypes.data
            self._scratch[1] = padded(tables.scratch_size)
        self._rows[:, word.TABLE] = words.ctypes.data + 8 * self._rows[:, word.TABLE]

    @property
    def status(self) -> int:
        return int(self._status[0])

    @property
    def runs(self) -> int:
        """How often the last run of instructions has come to its end."""
        return int(self._descriptors[-1][word.RUNS]) if self._descriptors else 0

    def unlock(self) -> None:
        """Forget calls in progress: their threads are gone."""
        self._scratch[:1] = 0
        for descriptor in self._descriptors:
            descriptor[word.BUSY] = 0

    def write(self, slot: int, array: NDArray[Any]) -> None:
        """Put the address of `array` wherever `slot` is referred to, for good."""
        for patch in self._tables.arrays.get(slot, ()):
            self._words[patch.index] = array.ctypes.data + patch.offset

    def connect(self, slots: Sequence[int]) -> None:
        """Make `entries`, the first of which takes arrays for `slots`, then the scalars."""
        patches = self._patches(slots)
        self._slots = _words(len(slots) + self._scalars)
        self._descriptors = [self._descriptor(*segment) for segment in self._segments]
        first = self._descriptors[0]
        first[word.SLOTS] = self._slots.ctypes.data
        first[word.PATCHES], first[word.PATCHES_END] = patches.ctypes.data, len(patches)
        first[word.ARRAYS] = len(slots)
        first[word.ARGUMENTS] = len(slots) + self._scalars
        self._held = patches
        self.entries = [self._make_entry(d) for d in self._descriptors]

    def _patches(self, slots: Sequence[int]) -> NDArray[np.int64]:
        """(address of a table's word, position among the arguments, offset) rows."""
        tables, start = self._tables, self._words.ctypes.data
        lists = [tables.arrays.get(slot, []) for slot in slots]
        lists += [tables.scalars.get(i, []) for i in range(self._scalars)]
        triples = [
            (start + 8 * patch.index, position, patch.offset)
            for position, patches in enumerate(lists)
            for patch in patches
        ]
        return np.array(triples, np.int64).reshape(-1, 3)

    def _descriptor(self, begin: int, end: int) -> runner.Words:
        words = _words(word.WORDS)
        words[word.ROWS] = self._rows.ctypes.data
        words[word.BEGIN], words[word.END] = begin, end
        words[word.STATUS] = self._status.ctypes.data
        if self._pool is not None:
            words[word.POOL], words[word.TRIALS] = self._pool.address, TRIALS
        return words

    def chunks(self) -> list[int]:
        """For each row, the steps of its range that a thread takes at a time; 0 if not shared."""
        return [int(chunk) for chunk in self._rows[:, word.CHUNK]]

    def _make_entry(self, descriptor: runner.Words) -> runner.Entry:
        return runner.make_entry(descriptor, self._release_gil)

    def run_rows(self, begin: int, end: int) -> int:
        """Run some rows on tables as the last call left them."""
        return runner.walk()(self._descriptors[0].ctypes.data, begin, end)


def _words(count: int) -> NDArray[np.int64]:
    words = aligned(8 * count).view(np.int64)
    words[:] = 0
    return words
