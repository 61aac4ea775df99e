"""How long the first calls of a traced step take: `python -m benchmarks.startup --help`.

Each workload is run by a process with an empty cache, then by a second one with the files of the
first; both then get half the batch. Prints a markdown table of CPU milliseconds without imports:
a first call runs eagerly while it is recorded, and is then planned, or its plan is loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any

from . import peers
from .workloads import WORKLOADS

ROOT = Path(__file__).parents[1]
#: What a first call loads: in the first process all that compiles, in the second what loads plans.
IMPORTS = {
    "first": (
        "graphjit.passes.pipeline",
        "graphjit.codegen.assemble",
        "graphjit.codegen.emit_llvm",
    ),
    "second": ("graphjit.codegen.stored", "llvmlite.binding"),
}
COLUMNS = {
    "workload": "workload",
    "first.step": "first call, cold",
    "first.step_plan": "of it compiling",
    "first.step_compiled": "kernels",
    "first.half": "half batch",
    "first.half_plan": "of it compiling",
    "first.half_compiled": "kernels",
    "second.step": "second process",
    "second.step_plan": "of it loading",
    "second.half": "half batch",
    "second.half_plan": "of it loading",
}
Record = dict[str, Any]


def milliseconds(seconds: float) -> float:
    """Rounded to what can be relied on."""
    return round(1e3 * seconds, 1)


class Clock:
    """CPU seconds of all calls of a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.seconds = 0.0

    def __call__(self, *arguments: Any) -> Any:
        began = process_time()
        result = self.function(*arguments)
        self.seconds += process_time() - began
        return result


def first_calls(workload: str, process: str) -> Record:
    """In this process: times and kernels of the first call, and of the first with half the batch.

    `GRAPHJIT_CACHE_DIR` names what there is before.
    """
    import graphjit
    from graphjit.runtime import cache

    for name in IMPORTS[process]:
        import_module(name)
    frontend: Any = import_module("graphjit.frontend.trace")
    frontend.build = Clock(frontend.build)
    runner = peers.build("graphjit_traced", graphjit, workload)
    arrays = WORKLOADS[workload].data()
    record: Record = {}
    for name, part in (("step", slice(None)), ("half", slice(len(arrays[0]) // 2))):
        batch = [runner.to_tensor(array[part]) for array in arrays]
        compiled, spent, step = cache.stats().compiled, frontend.build.seconds, Clock(runner.step)
        step(*batch)
        record[name] = milliseconds(step.seconds)
        record[f"{name}_plan"] = milliseconds(frontend.build.seconds - spent)
        record[f"{name}_compiled"] = cache.stats().compiled - compiled
        runner.step(*batch)  # what runs programs is made for the first of them
    return record


def measured(workload: str) -> Record:
    """The figures of two processes, one after the other, on one thread."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="graphjit-bench-") as folder:
        environment = {**os.environ, **peers.environment(1, folder)}
        for process in IMPORTS:
            command = [sys.executable, "-m", "benchmarks.startup", "--process", process, workload]
            done = subprocess.run(
                command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE
            )
            found |= {f"{process}.{k}": v for k, v in json.loads(done.stdout).items()}
    return found


def smallest(records: list[Record]) -> Record:
    """Of each figure the smallest: whatever else the machine does only adds to it."""
    return {key: min(record[key] for record in records) for key in records[0]}


def table(rows: list[Record]) -> str:
    """Markdown, a row for each workload."""
    lines = [list(COLUMNS.values()), ["---", *["--:"] * (len(COLUMNS) - 1)]]
    lines += [[str(row[key]) for key in COLUMNS] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--process", choices=IMPORTS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"unknown workloads: {', '.join(sorted(unknown))}")
    if options.process:
        print(json.dumps(first_calls(options.workloads[0], options.process)))
        return
    rows = []
    for name in options.workloads or WORKLOADS:
        figures = smallest([measured(name) for _ in range(options.repeats)])
        rows.append({"workload": name, **figures})
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
