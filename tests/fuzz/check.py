"""Runs one program eagerly and traced (or in two libraries), and says how they differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

import graphjit
from graphjit import config
from graphjit.frontend import variant

from . import data
from .compare import Difference, differences
from .execute import Outcome, Seen, execute
from .program import Program

#: runs with other rounding errors that a mismatch is compared with
NOISY_RUNS = 16
#: replays of which a part of what is computed has other rounding errors
NOISY_REPLAYS = 40
#: times by which a mismatch may exceed what those errors did
MARGIN = 50.0


@dataclass
class Verdict:
    """`mismatch` is empty where both runs agree; `unstable` if rounding alone explains it."""

    mismatch: str = ""
    unstable: bool = False
    replays: int = 0
    variants: int = 0
    refusal: str = ""


@contextmanager
def backend(depth: str) -> Iterator[None]:
    """Traced functions replay by the interpreter or by kernels; a fallback is an error.

    Their generated calls are made for the second replay.
    """
    before = config.override("BACKEND", depth), config.override("STRICT", True)
    settled, variant.SETTLED = variant.SETTLED, 1
    try:
        yield
    finally:
        variant.SETTLED = settled
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
        found = next(differences(eager, other, same_library=not torch), None)
        verdict = Verdict("", False, other.replays, other.variants, other.refusal)
        if found is not None:
            verdict.mismatch = f"after call {found.call}, {found.path} {found.text}"
            overflow = depth == "kernels" and _has_overflowed(eager, other, found)
            verdict.unstable = (
                overflow
                or _is_unstable(program, eager, found)
                or (not torch and _replays_are_unstable(program, found))
            )
        return verdict


def _run(program: Program, library: str, traced: bool = False) -> Outcome:
    try:
        return execute(program, library, graphjit.trace if traced else None)
    finally:
        graphjit.set_default_dtype(graphjit.float32)


def _has_overflowed(eager: Outcome, traced: Outcome, found: Difference) -> bool:
    """Whether it is beyond its range: fused multiply-adds add products that are still finite."""
    calls = [run.calls[found.call : found.call + 1] for run in (eager, traced)]
    seen = [call.values.get(found.path) for run in calls for call in run]
    arrays = [value.array for value in seen if isinstance(value, Seen)]
    if len(arrays) < 2 or arrays[0].shape != arrays[1].shape or arrays[0].dtype.kind not in "fc":
        return False
    here, there = arrays
    differs = (here != there) & ~(np.isnan(here) & np.isnan(there))
    return not (differs & (np.isfinite(here) | np.isfinite(there))).any()


def _is_unstable(program: Program, eager: Outcome, found: Difference) -> bool:
    """Whether the same place moves about as much when inputs change in the last bits."""
    for seed in range(NOISY_RUNS):
        with data.noise(seed):
            noisy = _run(program, "graphjit")
        if _moves(eager, noisy, found):
            return True
    return False


def _replays_are_unstable(program: Program, found: Difference) -> bool:
    """Whether it moves about as much when what replays compute changes in the last bits.

    Between calls, that is: an optimizer may divide a gradient by another call's.
    """
    with backend("interp"):
        exact = _run(program, "graphjit", traced=True)
        for seed in range(NOISY_REPLAYS):
            with data.noise_in_replays(seed):
                noisy = _run(program, "graphjit", traced=True)
            if noisy.replays == exact.replays and _moves(exact, noisy, found):
                return True
    return False


def _moves(exact: Outcome, noisy: Outcome, found: Difference) -> bool:
    return any(
        (other.call, other.path) == (found.call, found.path) and other.size * MARGIN >= found.size
        for other in differences(exact, noisy, rounding=True)
    )
