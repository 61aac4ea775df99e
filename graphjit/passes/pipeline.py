"""The passes in order, and the function that runs them.

Knobs: `GRAPHJIT_CHECK` verifies (1) and compares numbers (2) around each pass, `GRAPHJIT_DUMP`
names a folder for every graph, `GRAPHJIT_PASSES=-fuse,-cse` leaves passes out, `GRAPHJIT_DEBUG=3`
prints the table of passes, `GRAPHJIT_STRICT` lets a failing pass raise.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import config, progress
from ..garbage import no_garbage_collection
from ..ir.graph import Graph
from ..ir.verify import verify
from .concats import share_parts
from .cse import cse
from .dce import dce
from .decompose import decompose
from .dump import dump
from .fold import fold
from .fuse import fuse
from .layout import layout
from .numbers import compare, results_of
from .schedule import schedule
from .simplify import simplify

Pass = Callable[[Graph], Graph]

#: what leaves canonical ops only
CANONICAL: list[Pass] = [decompose, fold, simplify, cse, dce]

PIPELINE: list[Pass] = [
    *CANONICAL,
    layout,
    simplify,
    cse,
    share_parts,
    dce,
    fuse,
    dce,
    schedule,
]


@dataclass(frozen=True, slots=True)
class Stage:
    """What one pass did, and what it made while that is kept; why it was skipped, if it failed."""

    name: str
    seconds: float
    before: int
    after: int
    graph: Graph | None
    error: str = ""


_runs = itertools.count()


def run(graph: Graph, record: list[Stage] | None = None) -> Graph:
    """Apply every pass; a pass that raises leaves the graph as it was, unless STRICT is set."""
    with no_garbage_collection():
        return _run(graph, [] if record is None else record)


def canonical(graph: Graph) -> Graph:
    """`graph` after the first passes, which all others rely on."""
    with no_garbage_collection():
        for step in CANONICAL:
            graph = _made(_apply(step, graph))
    return graph


def _run(graph: Graph, stages: list[Stage]) -> Graph:
    stages.append(Stage("recorded", 0.0, len(graph.nodes), len(graph.nodes), graph))
    skipped = _skipped()
    if config.get_int("CHECK") >= 1:
        verify(graph)
    for step in PIPELINE:
        if step.__name__ not in skipped:
            progress.report(f"pass {step.__name__}")
            stage = _apply(step, graph)
            stages.append(stage)
            graph = _made(stage)
    if config.get_int("DEBUG") >= 3:
        print(table(stages), file=sys.stderr)
    if config.get_str("DUMP"):
        _dump(stages, Path(config.get_str("DUMP")))
    return graph


def _made(stage: Stage) -> Graph:
    assert stage.graph is not None
    return stage.graph


def _skipped() -> set[str]:
    names = [name.strip() for name in config.get_str("PASSES").split(",") if name.strip()]
    known = {step.__name__ for step in PIPELINE}
    for name in names:
        if not name.startswith("-") or name[1:] not in known:
            raise ValueError(
                f"GRAPHJIT_PASSES: {name!r} is not a minus and one of {', '.join(sorted(known))}"
            )
    return {name[1:] for name in names}


def _apply(step: Pass, graph: Graph) -> Stage:
    before = len(graph.nodes)
    start = time.perf_counter()
    try:
        result = step(graph)
        seconds = time.perf_counter() - start
        _check(graph, result)
    except Exception as error:
        error.add_note(f"in pass {step.__name__}")
        if config.get_bool("STRICT"):
            raise
        seconds = time.perf_counter() - start
        reason = f"{type(error).__name__}: {error}"
        return Stage(step.__name__, seconds, before, before, graph, reason)
    return Stage(step.__name__, seconds, before, len(result.nodes), result)


def _check(before: Graph, after: Graph) -> None:
    level = config.get_int("CHECK")
    if level >= 1:
        verify(after)
    if level >= 2:
        compare(results_of(before), after)


def _dump(stages: list[Stage], folder: Path) -> None:
    run_number = next(_runs)
    for number, stage in enumerate(stages):
        name = f"graph{run_number}_{number:02d}_{stage.name}"
        dump(_made(stage), folder / f"{name}.py", f"Graph {run_number} after {stage.name}.")


def table(stages: list[Stage]) -> str:
    """The history as text: each pass, its time, and the number of nodes before and after."""
    lines = [f"{'pass':<12}{'ms':>8}{'nodes':>14}"]
    for stage in stages:
        counts = f"{stage.before} -> {stage.after}"
        lines.append(f"{stage.name:<12}{1e3 * stage.seconds:>8.2f}{counts:>14}  {stage.error}")
    return "\n".join(lines)
