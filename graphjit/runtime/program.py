"""Re-exported for those who build programs."""

from .instruction import (
    Arena,
    Argument,
    External,
    HostCall,
    Instruction,
    Layout,
    Pointer,
    ScalarSlot,
    Scratch,
    Status,
    row_major,
)

__all__ = [
    "Arena",
    "Argument",
    "External",
    "HostCall",
    "Instruction",
    "Layout",
    "Pointer",
    "ScalarSlot",
    "Scratch",
    "Status",
    "row_major",
]
