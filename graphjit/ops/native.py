"""Elementary functions of large NumPy arrays, by compiled loops.

NumPy takes one element at a time for most of them, or half the vectors that the machine has: 2 to
30 ns an element, where a compiled loop takes 0.5 to 3. This package knows no compiler: the frontend
puts one here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A new array: the function of each element of an array of at least `LARGE`, of any strides.
Loop = Callable[[NDArray[Any]], NDArray[Any]]
#: `(instruction, dtype) -> loop`, or None where it cannot be compiled.
Compiler = Callable[[str, "np.dtype[Any]"], Loop | None]

#: For float32 ("f") and float64 ("d"), the ends of a range of arguments.
Tiny = Mapping[str, tuple[float, float]]

#: From this many elements on a loop saves more than the call of it takes.
LARGE = 8192

_compilers: list[Compiler] = []


def compile_with(compiler: Compiler) -> None:
    """Have large arrays computed by what `compiler` makes."""
    _compilers[:] = [compiler]


def elementary(
    instruction: str, general: Callable[..., Any], tiny: Tiny | None = None
) -> Callable[..., Any]:
    """An `eval` by `general`, but for large arrays by a loop around the scalar `instruction`.

    Results in the range `tiny` are no normal numbers, which a loop makes zero.
    """

    def eval(xp: Any, x: Any) -> Any:
        loop = None
        if x.__class__ is np.ndarray and x.size >= LARGE and x.dtype.char in "fd":
            loop = _loop(instruction, x.dtype)
        if loop is None:
            return general(xp, x)
        result = loop(x)
        if tiny is not None:
            _correct(result, x, general, *tiny[x.dtype.char])
        return result

    return eval


def _loop(instruction: str, dtype: np.dtype[Any]) -> Loop | None:
    return _compilers[0](instruction, dtype) if _compilers else None


def _correct(
    result: NDArray[Any], x: NDArray[Any], general: Callable[..., Any], low: float, high: float
) -> None:
    """Have the elements of `x` between two limits computed by `general`."""
    inside = x < high
    if inside.any():
        inside &= x > low
        if inside.any():
            result[inside] = general(np, x[inside])
