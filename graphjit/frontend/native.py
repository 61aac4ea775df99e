"""The compiler as eager code uses it: for elementary functions of large arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import config
from ..ops.native import Loop


def compiled_loop(instruction: str, dtype: np.dtype[Any]) -> Loop | None:
    """A loop around a scalar instruction, compiled when it is first needed."""
    if config.get_bool("DISABLE"):
        return None
    # Loaded here, so that importing graphjit does not load the compiler.
    from ..codegen.native import loop

    return loop(instruction, dtype)
