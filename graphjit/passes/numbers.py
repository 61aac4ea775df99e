"""Compares what two graphs compute on random inputs, by the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import CheckFailed, VerifyError
from ..ir.graph import Graph, Value
from ..ir.interp import interpret

#: Tolerance for each floating-point item size of a real number, in bytes.
TOLERANCE = {2: 1e-2, 4: 5e-5, 8: 1e-12}


def random_inputs(graph: Graph, seed: int = 0, largest_integer: int = 2) -> list[Any]:
    """One array for each input; integers are small, so that they mostly serve as indices."""
    rng = np.random.default_rng(seed)
    return [_random(value, rng, largest_integer) for value in graph.inputs]


def _random(value: Value, rng: np.random.Generator, largest_integer: int) -> Any:
    dtype = value.dtype
    if dtype.category == 0:
        return rng.random(value.shape) < 0.5
    if dtype.category == 1:
        return rng.integers(0, largest_integer, value.shape).astype(dtype.numpy)
    array = np.asarray(rng.normal(size=value.shape))
    if dtype.is_complex:
        array = array + 1j * rng.normal(size=value.shape)
    return np.asarray(array).astype(dtype.numpy)


def results_of(graph: Graph, seed: int = 0) -> list[Any] | None:
    """Outputs and updates on random inputs; None where no random inputs suit the graph."""
    with np.errstate(all="ignore"):
        for largest_integer in (2, 1):
            try:
                outputs, updates = interpret(graph, random_inputs(graph, seed, largest_integer))
            except (CheckFailed, IndexError, ValueError, ArithmeticError):
                continue
            return [*outputs, *updates]
    return None


def compare(expected: list[Any] | None, graph: Graph, seed: int = 0) -> None:
    """VerifyError unless `graph` gives `expected`, within rounding."""
    if expected is None:
        return
    actual = results_of(graph, seed)
    if actual is None:
        raise VerifyError("the graph fails on inputs that it took before")
    for position, (before, after) in enumerate(zip(expected, actual, strict=True)):
        if not same(before, after):
            raise VerifyError(f"result {position} was\n{before}\nand becomes\n{after}")


def same(a: Any, b: Any) -> bool:
    """Whether two arrays agree: exactly, or within rounding where they are floating.

    The absolute tolerance is relative to the largest element: sums in another order differ by so
    much where their terms cancel.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind not in "fc":
        return bool((a == b).all())
    part = a.dtype.itemsize // (2 if a.dtype.kind == "c" else 1)
    tolerance = TOLERANCE[part]
    with np.errstate(all="ignore"):
        finite = np.abs(a[np.isfinite(a)])
        scale = float(finite.max(initial=0))
        return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True))
