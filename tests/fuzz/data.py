"""Tensors with the same numbers in every library and in every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: relative size of the noise added to floats, while a mismatch is tested for stability
NOISE = {"float32": 0.0, "float64": 0.0}


def maker(library: Any) -> Callable[..., Any]:
    """The function `data` for `library`, which is graphjit or torch."""

    def data(seed: int, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        """A tensor of `shape`; small round numbers in some places, so that ties occur."""
        rng = np.random.default_rng(seed)
        if dtype == "bool":
            array = rng.random(shape) < 0.5
        elif dtype == "int64":
            array = rng.integers(-3, 4, shape)
        else:
            array = rng.standard_normal(shape)
            array = np.where(rng.random(shape) < 0.2, np.round(array), array)
            array = array * (1 + NOISE[dtype] * rng.standard_normal(shape))
        return library.from_numpy(np.array(array, dtype))

    return data
