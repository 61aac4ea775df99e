"""Instructions that stop a program when a condition, computed before, is false."""

from __future__ import annotations

import functools
from pathlib import Path

from . import cache, objects
from .instruction import Instruction, Layout, Status

_SOURCES = tuple(Path(__file__).parent / "native" / name for name in ("checks.py", "memory.py"))


def require(condition: Layout) -> Instruction:
    """Stop unless the bool at `condition` is true; what comes later has not happened then."""
    return Instruction("require", _address(), (condition.pointer, Status()))


@functools.cache
def _address() -> int:
    def build() -> objects.ObjectCode:
        from .native import checks

        return objects.compile_function(checks.require())

    return cache.kernel_address(f"require {cache.source_digest(*_SOURCES)}", build)
