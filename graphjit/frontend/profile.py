"""`step.profile()`: how long each instruction of a compiled step takes, for which line, and why.

Reads a variant and the tensors of a call; times its program on copies. What is measured stands
beside what the machine reaches: bytes against a copy, operations against a product of matrices.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import Location
from ..runtime.instruction import Cost, HostCall
from ..runtime.machine import Limits, limits
from ..runtime.program import Timing
from .tensor import Tensor

if TYPE_CHECKING:
    from .variant import Variant

_SHOWN_LINES = 3
_HEADER = f"{'us':>12} {'share':>6} {'calls':>5} {'GB/s':>7} {'GF/s':>7}  {'of limit':<15} "


@dataclass(frozen=True, slots=True)
class Row:
    """Instructions of one name that work for the same lines.

    Attributes:
        seconds: the time of all of them in one call of the step.
        limit: the time they would take if the machine did what it can.
        is_memory_bound: whether the limit is set by bytes rather than by operations.
    """

    name: str
    lines: tuple[Location, ...]
    calls: int
    seconds: float
    nbytes: int
    flops: int
    limit: float
    is_memory_bound: bool

    @property
    def place(self) -> str:
        """The user's lines: `train.py:41, 42, model.py:7`."""
        shown, file = [], ""
        for line in self.lines[:_SHOWN_LINES]:
            shown.append(str(line) if line.file != file else str(line.line))
            file = line.file
        return ", ".join(shown + ["..."] * (len(self.lines) > _SHOWN_LINES))


class Profile:
    """The times of a step's instructions. Printed, it is a table.

    Attributes:
        name: the step's.
        timings: each instruction with its time in seconds, in the order of the program.
        limits: what the machine reaches on one thread.
    """

    def __init__(self, name: str, timings: Sequence[Timing], limits: Limits) -> None:
        self.name = name
        self.timings = tuple(timings)
        self.limits = limits

    @property
    def seconds(self) -> float:
        """The time of all instructions."""
        return sum(timing.seconds for timing in self.timings)

    @property
    def rows(self) -> list[Row]:
        """What the table shows, by time."""
        groups: dict[Any, list[Timing]] = {}
        for timing in self.timings:
            key = (timing.instruction.name, timing.instruction.lines)
            groups.setdefault(key, []).append(timing)
        return sorted(map(self._row, groups.values()), key=lambda row: -row.seconds)

    def _row(self, group: Sequence[Timing]) -> Row:
        instruction = group[0].instruction
        costs = [timing.instruction.cost for timing in group]
        moving = sum(self._moving(cost) for cost in costs)
        computing = sum(self._computing(cost) for cost in costs)
        return Row(
            instruction.name,
            instruction.lines,
            len(group),
            sum(timing.seconds for timing in group),
            sum(cost.nbytes for cost in costs),
            sum(cost.flops for cost in costs),
            sum(max(self._moving(cost), self._computing(cost)) for cost in costs),
            moving >= computing,
        )

    def _moving(self, cost: Cost) -> float:
        return cost.nbytes / self.limits.copy

    def _computing(self, cost: Cost) -> float:
        return cost.flops / self.limits.flops(cost.dtype)

    def __str__(self) -> str:
        rows = self.rows
        width = max([len(row.name) for row in rows] + [4])
        lines = [
            f"{self.name}: {1e6 * self.seconds:,.1f} us in {len(self.timings)} instructions",
            f"{_HEADER}{'name':<{width}}  line",
            *(self._line(row, width) for row in rows),
            str(self.limits),
            f"at these limits: {1e6 * sum(row.limit for row in rows):,.1f} us",
        ]
        return "\n".join(lines)

    def _line(self, row: Row, width: int) -> str:
        share = row.seconds / self.seconds if self.seconds else 0.0
        per_second = 1e-9 / row.seconds if row.seconds else 0.0
        bound = "memory" if row.is_memory_bound else "arithmetic"
        reached = f"{row.limit / row.seconds:4.0%} {bound}" if row.limit and row.seconds else ""
        line = (
            f"{1e6 * row.seconds:>12,.2f} {share:>6.1%} {row.calls:>5} "
            f"{row.nbytes * per_second:>7.1f} {row.flops * per_second:>7.1f}  {reached:<15} "
            f"{row.name:<{width}}  {row.place}"
        )
        return line.rstrip()

    def chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write one call as a time line that chrome://tracing and ui.perfetto.dev show."""
        content = {"traceEvents": self._events(), "displayTimeUnit": "ns"}
        with open(path, "w") as file:
            json.dump(content, file, indent=1)

    def _events(self) -> list[dict[str, Any]]:
        process = {"name": "process_name", "ph": "M", "pid": 0, "args": {"name": self.name}}
        events: list[dict[str, Any]] = [process]
        start = 0.0
        for timing in self.timings:
            events.append(_event(timing, start))
            start += timing.seconds
        return events


def _event(timing: Timing, start: float) -> dict[str, Any]:
    """A complete event of the trace event format; its times are microseconds."""
    instruction = timing.instruction
    return {
        "name": instruction.name,
        "cat": "host" if isinstance(instruction, HostCall) else "kernel",
        "ph": "X",
        "ts": 1e6 * start,
        "dur": 1e6 * timing.seconds,
        "pid": 0,
        "tid": 0,
        "args": {
            "lines": [line.describe() for line in instruction.lines],
            "bytes": instruction.cost.nbytes,
            "operations": instruction.cost.flops,
        },
    }


def profile(
    name: str, variant: Variant, tensors: Sequence[Tensor], numbers: Sequence[float]
) -> Profile:
    """Time the program of `variant` for these arguments, on copies of all that it reads or writes.

    RuntimeError if there is no program to time; CheckFailed if `variant` is not for this call.
    """
    executable: Any = variant.executable
    if not hasattr(executable, "profile"):
        raise RuntimeError(f"{name} is interpreted (GRAPHJIT_BACKEND): there is nothing to time")
    timings = executable.profile(variant.passed(tensors, numbers))
    return Profile(name, timings, limits())
