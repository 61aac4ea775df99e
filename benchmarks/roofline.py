"""How near traced steps come to what the machine can do: `python -m benchmarks.roofline --help`.

The limit of a step is the sum of its instructions' limits, each the longer of two times: for its
bytes at the rate of a large copy, for its operations at the rate of a product of matrices. Numbers
that stay in the caches move faster than a copy: a step of small tensors may exceed its limit. One
thread; prints a markdown table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import graphjit
from graphjit.frontend.profile import Profile, Row

from . import peers
from .workloads import WORKLOADS

CALLS, SECONDS = 7, 0.3
#: how many of a step's instructions are named
NAMED = 3
COLUMNS = (
    "workload", "step, us", "at the limits, us", "reached", "of it memory", "where the time goes",
)  # fmt: skip


def measured(workload: str) -> tuple[float, Profile]:
    """Seconds of a call, the shortest of some, and the profile of the step."""
    runner = peers.build("graphjit_traced", graphjit, workload)
    batch = [runner.to_tensor(array) for array in WORKLOADS[workload].data()]
    step: Any = runner.step
    for _ in range(3):
        step(*batch)
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        step(*batch)
        times.append(time.perf_counter() - start)
    return min(times), step.profile(*batch)


def cells(workload: str, seconds: float, profile: Profile) -> tuple[str, ...]:
    """A row of the table."""
    rows = profile.rows
    limit = sum(row.limit for row in rows)
    memory = sum(row.limit for row in rows if row.is_memory_bound)
    return (
        workload,
        f"{1e6 * seconds:,.1f}",
        f"{1e6 * limit:,.1f}",
        f"{limit / seconds:.0%}",
        f"{memory / limit:.0%}" if limit else "",
        ", ".join(_told(row, profile.seconds) for row in rows[:NAMED]),
    )


def _told(row: Row, total: float) -> str:
    """An instruction: its share of the time, and how much of its own limit it reaches."""
    reached = f", {row.limit / row.seconds:.0%} of its limit" if row.limit and row.seconds else ""
    return f"`{row.name}` {row.seconds / total:.0%}{reached}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown, a row for each workload."""
    lines = [COLUMNS, ["---", *["--:"] * (len(COLUMNS) - 2), "---"], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roofline", description=__doc__)
    parser.add_argument(
        "workloads", nargs="*", metavar="NAME", help=f"of {', '.join(WORKLOADS)}; default: all"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"unknown workloads: {', '.join(sorted(unknown))}")
    graphjit.set_num_threads(1)
    found = {name: measured(name) for name in options.workloads or WORKLOADS}
    print(table([cells(name, *figures) for name, figures in found.items()]))
    print(f"\n{next(iter(found.values()))[1].limits}")


if __name__ == "__main__":
    main()
