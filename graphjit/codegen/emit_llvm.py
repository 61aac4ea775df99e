"""Compiles the text of kernels straight to LLVM, in milliseconds: the default."""

from __future__ import annotations

from ..runtime.language.build import compile_text
from ..runtime.language.hints import Lanes
from ..runtime.objects import ObjectCode, initialise_llvm
from .instructions import called_by


def build(text: str) -> ObjectCode:
    """Object code of the function that `text` defines."""
    masked = bool(initialise_llvm().get_host_cpu_features().get("avx512f"))
    loops = {"lanes": Lanes(), "masked_lanes": Lanes(masked=masked)}
    return compile_text(text, called_by(text) | loops)
