"""Compiles the text of kernels straight to LLVM, in milliseconds: the default."""

from __future__ import annotations

from ..runtime.language.build import compile_text
from ..runtime.language.hints import Lanes
from ..runtime.objects import ObjectCode, initialise_llvm
from .instructions import LOOPS, called_by


def build(text: str) -> ObjectCode:
    """Object code of the function that `text` defines."""
    return compile_text(text, called_by(text) | _loops())


def _loops() -> dict[str, Lanes]:
    """What this machine makes of the loops that kernels' texts name.

    AVX-512 masks any vector at no cost. AVX2 does so slowly, and has so few registers that
    constants are loaded again for each vector, unless several are computed at a time.
    """
    features = initialise_llvm().get_host_cpu_features()
    if features.get("avx512f"):
        kinds = Lanes(), Lanes(), Lanes(masked=True)
    elif features.get("avx2"):
        kinds = Lanes(interleave=4), Lanes(interleave=2), Lanes(rest=8, interleave=2)
    else:
        kinds = Lanes(), Lanes(), Lanes()
    return dict(zip(LOOPS, kinds, strict=True))
