"""Elementwise and row-wise functions of large NumPy arrays, in one compiled loop or part by part.

A chain of NumPy calls on a large array writes every intermediate to fresh memory, and the page
faults cost more than the arithmetic. On parts of 64 KiB the intermediates stay in the second-level
cache and in memory that malloc already has (gelu of 1M float32: 1 against 5 ms).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import native

#: Elements of a part.
BLOCK = 16384


def is_large(x: Any) -> bool:
    """Whether `x` is a NumPy array that is worth more than a chain of calls."""
    return x.__class__ is np.ndarray and x.size >= native.LARGE and x.flags.c_contiguous


def by_elements(
    F: Any,
    function: native.Function,
    arrays: Sequence[Any],
    attrs: Mapping[str, Any],
    direct: native.Function | None = None,
) -> Any:
    """`function(F, *arrays, **attrs)`, where element i of the result depends on elements i alone.

    `F` is bound to arrays. The result has the shape and dtype of the operands. `direct` computes
    the same by fewer NumPy calls.
    """
    direct, first = direct or function, arrays[0]
    if not is_large(first) or not all(_alike(x, first) for x in arrays):
        return direct(F, *arrays, **attrs)
    flats = [x.reshape(-1) for x in arrays]
    result = native.fused(function, flats, attrs)
    if result is None:
        result = np.empty_like(flats[0])
        for start in range(0, first.size, BLOCK):
            part = slice(start, start + BLOCK)
            result[part] = direct(F, *(x[part] for x in flats), **attrs)
    return result.reshape(first.shape)


def by_rows(
    F: Any,
    function: native.Function,
    arrays: Sequence[Any],
    attrs: Mapping[str, Any],
    direct: native.Function | None = None,
) -> Any:
    """`function(F, *arrays, **attrs)` of matrices of as many rows each, contiguous.

    A row of the result, which is like the first of `arrays`, depends on one row of each.
    """
    result = native.fused(function, arrays, attrs)
    if result is None:
        direct, result = direct or function, np.empty_like(arrays[0])
        rows, columns = result.shape
        step = max(BLOCK // max(columns, 1), 1)
        for start in range(0, rows, step):
            part = slice(start, start + step)
            result[part] = direct(F, *(x[part] for x in arrays), **attrs)
    return result


def _alike(x: Any, first: Any) -> bool:
    return (
        x.__class__ is np.ndarray
        and x.shape == first.shape
        and x.dtype == first.dtype
        and x.flags.c_contiguous
    )
