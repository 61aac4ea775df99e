"""The processor's treatment of denormal numbers."""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir

from ..language import i32, inline
from ..language.emit import instruction
from ..language.instructions import intrinsic, loader, place

#: Bits of MXCSR: results and operands below the smallest normal number become zero.
FLUSH_TO_ZERO = 0x8040
HAS_MXCSR = platform.machine().lower() in ("x86_64", "amd64")

load_word = loader(i32)


@instruction
def control_word(builder: Any, name: str, address: Any) -> None:
    """Store or load MXCSR at `address`."""
    at = builder.inttoptr(address, ir.IntType(8).as_pointer())
    intrinsic(builder, f"llvm.x86.sse.{name}", ir.VoidType(), at)


@inline
def flush_denormals() -> Any:
    """Have this thread take denormal numbers for zero; returns what `restore` needs."""
    if not HAS_MXCSR:
        return 0
    word = place(i32(0))
    control_word("stmxcsr", word)
    before = load_word(word, 0)
    control_word("ldmxcsr", place(before | FLUSH_TO_ZERO))
    return before


@inline
def restore(control: Any) -> None:
    """Undo `flush_denormals`."""
    if HAS_MXCSR:
        control_word("ldmxcsr", place(control))
