"""Compares what two runs of a program have left behind."""

from __future__ import annotations

from typing import Any

import numpy as np

from .execute import Observation, Outcome, Seen

#: (of the largest number in the tensor, absolute) difference allowed
TOLERANCE = {"float32": (2e-4, 1e-5), "float64": (1e-9, 1e-10)}


def difference(expected: Outcome, actual: Outcome, same_library: bool = True) -> str:
    """The first difference in words; empty if there is none."""
    for number, (a, b) in enumerate(zip(expected.calls, actual.calls, strict=True)):
        found = _observations(a, b, same_library)
        if found:
            return f"call {number}: {found}"
    return ""


def _observations(a: Observation, b: Observation, same_library: bool) -> str:
    errors = (a.error, b.error) if same_library else (_kind(a.error), _kind(b.error))
    if errors[0] != errors[1]:
        return f"raised {a.error or 'nothing'!r}, then {b.error or 'nothing'!r}"
    if a.values.keys() != b.values.keys():
        return f"other names: {sorted(a.values.keys() ^ b.values.keys())}"
    for name, value in a.values.items():
        found = _values(value, b.values[name])
        if found:
            return f"{name} {found}"
    if not same_library:
        return ""
    if a.shared != b.shared:
        return f"memory shared by {min(a.shared ^ b.shared)} in one run only"
    if a.same != b.same:
        return f"{min(a.same ^ b.same)} are one object in one run only"
    for name, strides in a.strides.items():
        if strides and b.strides[name] and strides != b.strides[name]:
            return f"{name} has strides {strides}, then {b.strides[name]}"
    return "" if a.generator == b.generator else "the generator's state differs"


def _kind(error: str) -> str:
    return error.split(":")[0]


def _values(a: Any, b: Any) -> str:
    if not isinstance(a, Seen) or not isinstance(b, Seen):
        same = type(a) is type(b) and (a == b or _close_numbers(a, b))
        return "" if same else f"is {a!r}, then {b!r}"
    for name in ("dtype", "requires_grad", "is_leaf"):
        if getattr(a, name) != getattr(b, name):
            return f"has {name} {getattr(a, name)}, then {getattr(b, name)}"
    if a.array.shape != b.array.shape:
        return f"has shape {a.array.shape}, then {b.array.shape}"
    if not close(a.array, b.array):
        return f"is {a.array.tolist()}, then {b.array.tolist()}"
    if (a.grad is None) != (b.grad is None):
        return f"has {'no ' if a.grad is None else ''}grad, then the opposite"
    found = "" if a.grad is None else _values(a.grad, b.grad)
    return found and f".grad {found}"


def _close_numbers(a: Any, b: Any) -> bool:
    return isinstance(a, float) and bool(np.isclose(a, b, 1e-4, 1e-5, equal_nan=True))


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to rounding; the same NaNs and infinities."""
    if a.dtype.kind not in "f":
        return np.array_equal(a, b)
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return False
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return False
    a, b = a[finite], b[finite]
    if not a.size:
        return True
    relative, absolute = TOLERANCE[a.dtype.name]
    with np.errstate(over="ignore"):
        allowed = absolute + relative * float(np.abs(a.astype(np.float64)).max())
        return bool((np.abs(a.astype(np.float64) - b) <= allowed).all())
