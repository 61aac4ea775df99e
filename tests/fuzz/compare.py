"""Compares what two runs of a program have left behind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .execute import Observation, Outcome, Seen

#: (of the largest number in the tensor, absolute) difference allowed
TOLERANCE = {"float16": (1e-2, 1e-3), "float32": (2e-4, 1e-5), "float64": (1e-9, 1e-10)}


@dataclass(frozen=True)
class Difference:
    """Two runs differ at `path` after call number `call`, by at most `size`."""

    call: int
    path: str
    text: str
    size: float = math.inf


def differences(
    expected: Outcome, actual: Outcome, same_library: bool = True, rounding: bool = False
) -> Iterator[Difference]:
    """All differences, the first calls first; those that are but `rounding` only where asked.

    What numbers of a narrow type have been rounded differently may show in those of a wider one.
    """
    rounded: set[np.dtype] = set()
    for number, (a, b) in enumerate(zip(expected.calls, actual.calls)):
        rounded.update(_rounded(a, b))
        tolerated = None if rounding else rounded
        for path, text, size in _observations(a, b, same_library, tolerated):
            yield Difference(number, path, text, size)
    if len(expected.calls) != len(actual.calls) or expected.ended != actual.ended:
        last = min(len(expected.calls), len(actual.calls))
        yield Difference(last, "errors", "end the program in one run only")


Found = Iterator[tuple[str, str, float]]
#: the types of which the rounding is tolerated, besides a number's own; None if not even that
Tolerated = Iterable[np.dtype] | None


def _rounded(a: Observation, b: Observation) -> Iterator[np.dtype]:
    """The types of the floating-point tensors that are not the same, bit for bit."""
    for path in a.values.keys() & b.values.keys():
        x, y = (getattr(side.values[path], "array", None) for side in (a, b))
        if x is None or y is None or x.dtype != y.dtype or x.dtype.kind != "f":
            continue
        if not np.array_equal(x, y, equal_nan=True):
            yield x.dtype


def _observations(
    a: Observation, b: Observation, same_library: bool, tolerated: Tolerated
) -> Found:
    errors = (a.errors, b.errors) if same_library else (_kinds(a.errors), _kinds(b.errors))
    if errors[0] != errors[1]:
        text = f"raised {a.errors or 'nothing'!r}, then {b.errors or 'nothing'!r}"
        yield "errors", text, math.inf
    for path in sorted(a.values.keys() ^ b.values.keys()):
        yield path, "is there in one run only", math.inf
    for path, value in a.values.items():
        if path in b.values:
            for text, size in _values(value, b.values[path], tolerated):
                yield path, text, size
    if same_library:
        yield from _places(a, b)


def _places(a: Observation, b: Observation) -> Found:
    for pair in sorted(a.shared ^ b.shared):
        yield pair[0], f"shares memory with {pair[1]} in one run only", math.inf
    for path in a.same.keys() & b.same.keys():
        if a.same[path] != b.same[path]:
            yield path, f"is the same as {a.same[path]}, then as {b.same[path]}", math.inf
    for path in a.strides.keys() & b.strides.keys():
        mine, other = a.strides[path], b.strides[path]
        if mine and other and mine != other:
            yield path, f"has strides {mine}, then {other}", math.inf
    if a.generator != b.generator:
        yield "generator", "is in another state", math.inf


def _kinds(errors: tuple[str, ...]) -> list[str]:
    return [error.split(":")[0] for error in errors]


def _values(a: Any, b: Any, tolerated: Tolerated) -> Iterator[tuple[str, float]]:
    if not isinstance(a, Seen) or not isinstance(b, Seen):
        if type(a) is not type(b) or not (a == b or _close_numbers(a, b, tolerated)):
            finite = type(a) is type(b) is float and math.isfinite(a - b)
            yield f"is {a!r}, then {b!r}", abs(a - b) if finite else math.inf
        return
    for name in ("dtype", "requires_grad", "is_leaf"):
        if getattr(a, name) != getattr(b, name):
            yield f"has {name} {getattr(a, name)}, then {getattr(b, name)}", math.inf
    if a.array.shape != b.array.shape:
        yield f"has shape {a.array.shape}, then {b.array.shape}", math.inf
    elif a.dtype == b.dtype and not _close(a.array, b.array, tolerated):
        yield f"is {a.array.tolist()}, then {b.array.tolist()}", _distance(a.array, b.array)


def _close_numbers(a: Any, b: Any, tolerated: Tolerated) -> bool:
    if not isinstance(a, float):
        return False
    if math.isnan(a) and math.isnan(b):
        return True
    return tolerated is not None and math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-5)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    if a.dtype.kind != "f" or not (np.isfinite(a) == np.isfinite(b)).all():
        return math.inf
    finite = np.isfinite(a)
    return float(np.abs(a[finite].astype(np.float64) - b[finite]).max(initial=0.0))


def _close(a: np.ndarray, b: np.ndarray, tolerated: Tolerated) -> bool:
    """Equal up to rounding; the same NaNs and infinities."""
    if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return True
    if a.dtype.kind not in "f" or tolerated is None:
        return False
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return False
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return False
    a, b = a[finite].astype(np.float64), b[finite]
    narrowest = min((b.dtype, *tolerated), key=lambda dtype: dtype.itemsize)
    relative, absolute = TOLERANCE[narrowest.name]
    allowed = absolute + relative * float(np.abs(a).max(initial=0.0))
    return bool((np.abs(a - b) <= allowed).all())
