"""Instructions that stop a program when a condition, computed before, is false."""

from __future__ import annotations

from . import library
from .instruction import Instruction, Layout, Status


def require(condition: Layout) -> Instruction:
    """Stop unless the bool at `condition` is true; what comes later has not happened then."""
    address = library.kernel("checks", "require")
    return Instruction("require", address, (condition.pointer, Status()))
