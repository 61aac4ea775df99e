"""The compiler as eager code uses it: for functions of large arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from .. import config
from ..ops.native import Attrs, Function, Loop, Signature


def compiled_loop(
    function: Function, attrs: Attrs, signature: Signature, in_place: bool
) -> Loop | None:
    """A loop that computes `function`, compiled when it is first needed."""
    if config.get_bool("DISABLE"):
        return None
    # Loaded here, so that importing graphjit does not load the compiler.
    from ..codegen.native import loop

    return loop(function, attrs, signature, in_place)


def in_library(name: str, arrays: Sequence[NDArray[Any]], attrs: Mapping[str, Any]) -> Any:
    """What a kernel of the compiler's library computes for an op, or None.

    Products of matrices are its own only if there are threads to share them with: on one, BLAS is
    as fast.
    """
    if config.get_bool("DISABLE") or (name == "matmul" and config.get_int("NUM_THREADS") == 1):
        return None
    from ..codegen.native import library

    return library(name, arrays, attrs)
