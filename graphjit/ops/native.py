"""Functions of large NumPy arrays in one compiled loop.

NumPy takes 2 to 30 ns an element for an elementary function, where a compiled loop takes 0.5 to 3,
and writes every intermediate of a chain of calls to memory. This package knows no compiler: the
frontend puts one here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: `function(F, *arrays, **attrs)` with `F` a namespace of ops: pointwise ones, and reductions over
#: dimensions other than the first.
Function = Callable[..., Any]
#: By name; None in a tuple is the number of rows.
Attrs = tuple[tuple[str, Any], ...]
#: Of each array its dtype, its shape with None for the number of rows, and its strides in bytes.
Signature = tuple[tuple["np.dtype[Any]", tuple[int | None, ...], tuple[int, ...]], ...]
#: A function compiled for arrays of one signature: `(rows, arrays) -> results`.
Loop = Callable[[int, Sequence[NDArray[Any]]], Any]
#: `(function, attrs, signature, in_place) -> loop`, or None where there can be none.
Compiler = Callable[[Function, Attrs, Signature, bool], Loop | None]
#: For float32 ("f") and float64 ("d"), the ends of a range of arguments.
Tiny = Mapping[str, tuple[float, float]]

#: `(op, arrays, attrs) -> results` of a kernel that the compiler's library has, or None.
Library = Callable[[str, Sequence[NDArray[Any]], Mapping[str, Any]], Any]

#: From this many elements on a loop saves more than the call of it takes.
LARGE = 8192

_compilers: list[Compiler] = []
_libraries: list[Library] = []


def compile_with(compiler: Compiler, library: Library) -> None:
    """Have large arrays computed by what `compiler` makes, and by what `library` has."""
    _compilers[:] = [compiler]
    _libraries[:] = [library]


def fused(function: Function, arrays: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    """`function` of large arrays, or None where it is not computed by a loop.

    Arrays with as many dimensions as the first have the same first dimension, the rows; each row of
    a result depends on the same row of these, and on all of the others. Exponentials that are less
    than every normal number count as zero.
    """
    if not takes(arrays[0]):
        return None
    loop = _loop(function, arrays, attrs, False)
    return None if loop is None else loop(len(arrays[0]), arrays)


def fused_in_place(function: Function, arrays: Sequence[Any]) -> bool:
    """Write the results of `function`, one or None for each array, over the arrays.

    False, with nothing done, where there is no loop. None of the arrays may overlap another; how
    large they are is the caller's to look at.
    """
    if not all(x.flags.writeable for x in arrays):
        return False
    loop = _loop(function, arrays, {}, True)
    if loop is not None:
        loop(len(arrays[0]), arrays)
    return loop is not None


def drawn(
    function: Function, n: int, numbers: Sequence[Any], attrs: Mapping[str, Any], least: int = LARGE
) -> Any:
    """`function(F, *numbers, shape=(n,), **attrs)`, or None where there is no loop.

    An element of the result depends on its position, and on `numbers`: int64 of no dimensions.
    Loops are for `least` elements and more.
    """
    if n < least or not _compilers:
        return None
    arrays = [np.asarray(number, np.int64) for number in numbers]
    key = (("shape", (None,)), *attrs.items())
    loop = _compilers[0](function, key, ((np.dtype(np.int64), (), ()),) * len(arrays), False)
    return None if loop is None else loop(n, arrays)


def _loop(
    function: Function, arrays: Sequence[Any], attrs: Mapping[str, Any], in_place: bool
) -> Loop | None:
    if not _compilers or arrays[0].dtype.char not in "fd":
        return None
    rank, signature = arrays[0].ndim, []
    for x in arrays:
        if not x.flags.aligned:
            return None
        shape = (None, *x.shape[1:]) if x.ndim == rank else x.shape
        signature.append((x.dtype, shape, x.strides))
    return _compilers[0](function, tuple(attrs.items()), tuple(signature), in_place)


def takes(x: Any) -> bool:
    """Whether a loop may start from `x`, an array of many float32 or float64."""
    return x.__class__ is np.ndarray and x.size >= LARGE and x.dtype.char in "fd"


def unary_loop(
    name: str, general: Callable[..., Any], tiny: Tiny | None = None
) -> Callable[..., Any]:
    """An `eval` by `general`, but for large arrays by a loop around the op called `name`.

    Results in the range `tiny` are no normal numbers, which a loop makes zero.
    """

    def eval(xp: Any, x: Any) -> Any:
        result = _of_each(name, x) if takes(x) else None
        if result is None:
            return general(xp, x)
        if tiny is not None:
            _correct(result, x, general, *tiny[x.dtype.char])
        return result

    return eval


def binary_loop(name: str, general: Callable[..., Any]) -> Callable[..., Any]:
    """The same for an op of two arrays of one shape, or of an array and a number."""

    def eval(xp: Any, x: Any, y: Any) -> Any:
        result = None
        if takes(x) and _goes_with(x, y):
            result = fused(_op(name), [x.reshape(-1), _operand(x, y)], {})
        elif takes(y) and _goes_with(y, x):
            result = fused(_op(name, True), [y.reshape(-1), _operand(y, x)], {})
        if result is None:
            return general(xp, x, y)
        return result.reshape(x.shape if x.__class__ is np.ndarray and x.ndim else y.shape)

    return eval


def _goes_with(x: NDArray[Any], other: Any) -> bool:
    if not x.flags.c_contiguous:
        return False
    if other.__class__ is np.ndarray:
        alike = other.shape == x.shape and other.flags.c_contiguous
        return other.dtype == x.dtype and (alike or not other.ndim)
    return isinstance(other, (int, float, np.number))


def _operand(x: NDArray[Any], other: Any) -> Any:
    return other.reshape(-1) if np.ndim(other) else np.asarray(other, x.dtype)


def by_library(name: str, general: Callable[..., Any]) -> Callable[..., Any]:
    """An `eval` by `general`, but for large arrays by the library's kernel for the op `name`.

    Which takes denormal numbers for zero, as compiled code does.
    """

    def eval(xp: Any, *arrays: Any, **attrs: Any) -> Any:
        result = None
        if xp is np and any(map(takes, arrays)):
            result = from_library(name, arrays, attrs)
        return general(xp, *arrays, **attrs) if result is None else result

    return eval


def from_library(name: str, arrays: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    """What the library's kernel for the op `name` computes, or None where there is none."""
    return _libraries[0](name, arrays, attrs) if _libraries else None


def _of_each(name: str, x: NDArray[Any]) -> Any:
    """An op of each element; dense arrays keep their order in memory."""
    dense = x if x.flags.forc and x.flags.aligned else x.copy(order="K")
    order: Literal["C", "F"] = "C" if dense.flags.c_contiguous else "F"
    result = fused(_op(name), [dense.reshape(-1, order=order)], {})
    return result if result is None else result.reshape(x.shape, order=order)


@cache
def _op(name: str, swapped: bool = False) -> Function:
    """The op called `name` as a function, of its operands in the other order if `swapped`."""

    def function(F: Any, *arrays: Any) -> Any:
        return getattr(F, name)(*(arrays[::-1] if swapped else arrays))

    return function


def _correct(
    result: NDArray[Any], x: NDArray[Any], general: Callable[..., Any], low: float, high: float
) -> None:
    """Have the elements of `x` between two limits computed by `general`."""
    inside = x < high
    if inside.any():
        inside &= x > low
        if inside.any():
            result[inside] = general(np, x[inside])
