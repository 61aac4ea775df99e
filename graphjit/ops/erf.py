"""The error function on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np


def erf_array(xp: Any, x: Any) -> Any:
    """erf(x), by SciPy or its CuPy counterpart."""
    if xp is np:
        from scipy.special import erf
    else:
        from cupyx.scipy.special import erf  # type: ignore[import-not-found]
    return np.asarray(erf(x)) if xp is np else erf(x)
