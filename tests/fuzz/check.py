"""Runs one program eagerly and traced (or in two libraries), and says how they differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import graphjit
from graphjit import config

from . import data
from .compare import difference
from .execute import Outcome, execute
from .program import Program

DEPTHS = {"interp": "interp", "kernels": "numba"}


@dataclass
class Verdict:
    """`mismatch` is empty where both runs agree; `unstable` if rounding alone explains it."""

    mismatch: str = ""
    unstable: bool = False
    replays: int = 0
    refusal: str = ""


@contextmanager
def backend(depth: str) -> Iterator[None]:
    """Traced functions replay by the interpreter or by kernels; a fallback is an error."""
    before = config.override("BACKEND", DEPTHS[depth]), config.override("STRICT", True)
    try:
        yield
    finally:
        config.override("BACKEND", before[0])
        config.override("STRICT", before[1])


def check(program: Program, depth: str, torch: bool = False) -> Verdict:
    """Compare eager graphjit with the traced function, or with eager torch."""
    with backend(depth):
        eager = _run(program, "graphjit")
        if torch:
            other = _run(program, "torch")
        else:
            other = _run(program, "graphjit", traced=True)
        found = difference(eager, other, same_library=not torch)
        verdict = Verdict(found, False, other.replays, other.refusal)
        if found:
            verdict.unstable = _is_unstable(program, eager)
        return verdict


def _run(program: Program, library: str, traced: bool = False) -> Outcome:
    try:
        return execute(program, library, graphjit.trace if traced else None)
    finally:
        graphjit.set_default_dtype(graphjit.float32)


def _is_unstable(program: Program, eager: Outcome) -> bool:
    """Whether eager results move as much when inputs change in the last bits."""
    data.NOISE.update(float32=3e-7, float64=1e-15)
    try:
        return bool(difference(eager, _run(program, "graphjit")))
    finally:
        data.NOISE.update(float32=0.0, float64=0.0)
