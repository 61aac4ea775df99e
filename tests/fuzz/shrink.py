"""Makes a failing program as small as it gets by leaving pieces out."""

from __future__ import annotations

from collections.abc import Callable

from .program import Program


def shrink(program: Program, fails: Callable[[Program], bool], limit: int = 400) -> Program:
    """The smallest program found that still fails, after at most `limit` tries."""
    tries = 0
    progress = True
    while progress:
        progress = False
        for candidate in program.smaller():
            tries += 1
            if tries > limit:
                return program
            if fails(candidate):
                program, progress = candidate, True
                break
    return program
