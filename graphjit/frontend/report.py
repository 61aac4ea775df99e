"""What a traced function tells of itself: variants, kernels, host calls, times."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .. import config
from ..ir.graph import Graph
from ..ir.printer import to_text

if TYPE_CHECKING:
    from ..passes.pipeline import Stage
    from .tensor import Tensor
    from .trace import Traced
    from .variant import Variant

#: The value of `GRAPHJIT_DEBUG` from which on every graph is printed.
SHOWS_GRAPHS = 5


@dataclass(slots=True)
class Attempt:
    """One recording: why it was made, how long it ran and compiled, and what came of it.

    `optimise` makes the optimised graph, and notes its stages; a program that has been loaded
    did not need it.
    """

    key: Hashable
    record_seconds: float
    miss: str
    compile_seconds: float = 0.0
    reason: str = ""
    stages: list[Stage] = field(default_factory=list)
    graph: Graph | None = None
    variant: Variant | None = None
    optimise: Callable[[list[Stage]], Graph] | None = None

    def optimised(self) -> Graph:
        """The optimised graph of what could be compiled, made when first asked for."""
        if self.graph is None:
            assert self.optimise is not None
            self.graph = self.optimise(self.stages)
            if config.get_int("DEBUG") < SHOWS_GRAPHS:  # a large step has a hundred thousand nodes
                self.stages = [replace(stage, graph=None) for stage in self.stages]
        return self.graph


class Report:
    """Reads a traced function; makes text and numbers."""

    def __init__(self, traced: Traced) -> None:
        self.traced = traced

    @property
    def attempts(self) -> list[Attempt]:
        """The recordings, those of a method's instances included."""
        return [a for traced in (self.traced, *self.traced.children) for a in traced.attempts]

    @property
    def compiled(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.variant is not None]

    def text(self) -> str:
        """The whole story, most important first."""
        traced = self.traced
        name = traced.name
        lines = [f"{name}: {len(self.compiled)} compiled variant(s)"]
        if traced.eager_reason is not None:
            lines.append(f"  runs eagerly: {traced.eager_reason}")
        for number, attempt in enumerate(self.attempts):
            lines.append(f"  recording {number}: {describe(attempt)}")
            lines += [f"    {row}" for row in self._details(attempt)]
        return "\n".join(lines)

    def _details(self, attempt: Attempt) -> list[str]:
        if attempt.variant is None:
            return []
        from ..passes.pipeline import table

        executable = attempt.variant.executable
        attempt.optimised()
        rows = table(attempt.stages).splitlines()
        for fallback in getattr(executable, "fallbacks", ()):
            where = f" at {fallback.node.loc}" if fallback.node.loc else ""
            rows.append(f"host call {fallback.node.op.name}{where}: {fallback.reason}")
        return rows

    def kernels(self) -> dict[str, str]:
        """Source of every generated kernel, by name."""
        sources: dict[str, str] = {}
        for attempt in self.compiled:
            assert attempt.variant is not None
            sources.update(getattr(attempt.variant.executable, "sources", {}))
        return sources

    def stats(self) -> dict[str, Any]:
        """Counts and seconds."""
        compiled = self.compiled
        return {
            "variants": len(compiled),
            "recordings": len(self.attempts),
            "replays": sum(a.variant.replays for a in compiled if a.variant is not None),
            "kernels": len(self.kernels()),
            "host_calls": sum(
                len(getattr(a.variant.executable, "fallbacks", ()))
                for a in compiled
                if a.variant is not None
            ),
            "compile_seconds": sum(a.compile_seconds for a in compiled),
        }


def describe(attempt: Attempt) -> str:
    """One recording in one line."""
    recorded = f"{attempt.miss}: recorded in {1e3 * attempt.record_seconds:.1f} ms"
    if attempt.variant is None:
        return f"{recorded}, not compiled: {attempt.reason or 'the compiler failed'}"
    executable = attempt.variant.executable
    kernels = len(getattr(executable, "sources", {}))
    hosts = len(getattr(executable, "fallbacks", ()))
    return (
        f"{recorded}, compiled in {1e3 * attempt.compile_seconds:.1f} ms, "
        f"{kernels} kernels, {hosts} host calls, {attempt.variant.replays} replays"
    )


def announce(
    name: str, attempt: Attempt, tensors: Sequence[Tensor], numbers: Sequence[float]
) -> None:
    """Print and dump what `GRAPHJIT_DEBUG` and `GRAPHJIT_DUMP` ask for of a new variant."""
    level = config.get_int("DEBUG")
    executable: Any = None if attempt.variant is None else attempt.variant.executable
    sources: dict[str, str] = getattr(executable, "sources", {})
    if level >= 1:
        _say(f"{name}: {describe(attempt)}")
    if level >= 2 and hasattr(executable, "memory"):
        _say(f"{name}: {executable.memory}")
    if level >= 2 and attempt.variant is not None and hasattr(executable, "profile"):
        from .profile import profile

        _say(str(profile(name, attempt.variant, tensors, numbers)))
    if level >= 4:
        for source in sources.values():
            _say(source)
    if level >= SHOWS_GRAPHS and attempt.variant is not None:
        for stage in attempt.stages:
            if stage.graph is not None:
                _say(f"after {stage.name}\n{to_text(stage.graph)}")
    if config.get_str("DUMP"):
        for kernel, source in sources.items():
            with open(os.path.join(config.get_str("DUMP"), f"kernel_{kernel}.py"), "w") as file:
                file.write(source)


def _say(text: str) -> None:
    print(f"graphjit: {text}", file=sys.stderr)
