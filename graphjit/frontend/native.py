"""The compiler as eager code uses it: for functions of large arrays."""

from __future__ import annotations

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
