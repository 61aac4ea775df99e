"""How declarations give the rows of the generated test matrix in a line or two.

A row is described by operands - shapes with a range of values - and attributes; `rows` draws the
arrays, in float32 and float64. References are functions, or names such as "scipy.special.erf" that
are looked up when a row is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .core import Sample

Reference = Callable[..., Any] | str
#: NumPy loads its generators when they are first named, and none is needed to import graphjit.
Samples = Callable[["np.random.Generator"], Iterator[Sample]]
Call = tuple[Sequence[Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Operand:
    """An array to be drawn: floats of the row's dtype ("f"), int64 ("i") or bool ("b").

    `layout` is C; T, the transpose of a contiguous array; or S, every second element of one.
    """

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    kind: str = "f"
    layout: str = "C"

    def draw(self, rng: np.random.Generator, dtype: str) -> Any:
        if self.layout == "T":
            return self._fill(rng, dtype, self.shape[::-1]).T
        if self.layout == "S":
            return self._fill(rng, dtype, (*self.shape[:-1], 2 * self.shape[-1]))[..., ::2]
        return self._fill(rng, dtype, self.shape)

    def _fill(self, rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Any:
        if self.kind == "f":
            return np.asarray(rng.uniform(self.low, self.high, shape), dtype)
        if self.kind == "b":
            return np.asarray(rng.random(shape) < 0.5)
        return np.asarray(rng.integers(int(self.low), int(self.high), shape))


def floats(*shape: int, low: float = -2.0, high: float = 2.0, layout: str = "C") -> Operand:
    """Uniform floats."""
    return Operand(shape, low, high, "f", layout)


def ints(*shape: int, low: int = 0, high: int = 5) -> Operand:
    """Integers in [low, high)."""
    return Operand(shape, low, high, "i")


def bools(*shape: int) -> Operand:
    """True and False alike."""
    return Operand(shape, kind="b")


def resolve(reference: Reference) -> Callable[..., Any]:
    """The function that `reference` is or names."""
    if not isinstance(reference, str):
        return reference
    module, _, name = reference.rpartition(".")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def rows(reference: Reference | None, *calls: Call, grad: bool = True) -> Samples:
    """A row for each call and dtype; a tuple among the operands is the shape of floats."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        function = None if reference is None else resolve(reference)
        for operands, attrs in calls:
            for dtype in ("float32", "float64"):
                drawn = tuple(_drawn(operand, rng, dtype) for operand in operands)
                yield Sample(drawn, attrs, function, grad)
                if not any(_has_floats(operand) for operand in operands):
                    break

    return samples


def _drawn(operand: Any, rng: np.random.Generator, dtype: str) -> Any:
    if isinstance(operand, tuple):
        operand = Operand(operand)
    return operand.draw(rng, dtype) if isinstance(operand, Operand) else operand


def _has_floats(operand: Any) -> bool:
    return isinstance(operand, tuple) or (isinstance(operand, Operand) and operand.kind == "f")


def calls(*groups: Sequence[Any], **attrs: Any) -> list[Call]:
    """Calls with these operands, all with the same attributes."""
    return [(group, attrs) for group in groups]


#: Shape and layout of one operand: empty, of no dimensions, of extent 1, not contiguous.
FORMS: tuple[tuple[tuple[int, ...], str], ...] = (
    ((3, 4), "C"), ((), "C"), ((0, 3), "C"), ((1,), "C"), ((2, 3, 4), "T"), ((3, 5), "S"),
)  # fmt: skip

#: Shapes of two operands that broadcast.
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((3, 4), (3, 4)), ((3, 1), (1, 4)), ((4,), (3, 4)), ((2, 3), ()), ((), ()), ((0, 3), (1, 3)),
)  # fmt: skip


def unary(
    reference: Reference, low: float = -2.0, high: float = 2.0, kinds: str = "f",
    grad: bool = True, **attrs: Any,
) -> Samples:  # fmt: skip
    """Rows for an op of one operand with values in a range, of all forms."""
    operands = [
        (Operand(shape, low, high, kind, layout),)
        for kind in kinds
        for shape, layout in (FORMS if kind == "f" else FORMS[:3])
    ]
    return rows(reference, *calls(*operands, **attrs), grad=grad)


def binary(
    reference: Reference, low: float = -2.0, high: float = 2.0, kinds: str = "f",
    second: tuple[float, float] | None = None, grad: bool = True, **attrs: Any,
) -> Samples:  # fmt: skip
    """Rows for an op of two operands that broadcast; `second` is the range of the second."""
    ranges = ((low, high), second or (low, high))
    operands: list[tuple[Any, ...]] = [
        tuple(Operand(s, *r, kind) for s, r in zip(shapes, ranges, strict=True))
        for kind in kinds
        for shapes in (PAIRS if kind == "f" else PAIRS[:3])
    ]
    if "f" in kinds:
        (a, b), number = ranges, sum(ranges[1]) / 2 + 0.25
        operands.append((Operand((2, 3), *a), number))
        operands.append((Operand((3, 4), *a, layout="T"), Operand((3, 4), *b, layout="S")))
    return rows(reference, *calls(*operands, **attrs), grad=grad)


def both(*parts: Samples) -> Samples:
    """The rows of all `parts`."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for part in parts:
            yield from part(rng)

    return samples


#: Operand and dimensions of a reduction.
REDUCTIONS: tuple[tuple[Operand, tuple[int, ...]], ...] = (
    (floats(3, 4), (0,)), (floats(3, 4), (1,)), (floats(3, 4), (0, 1)), (floats(2, 3, 4), (0, 2)),
    (floats(2, 3, 4, layout="T"), (1,)), (floats(3, 5, layout="S"), (1,)), (floats(), ()),
    (floats(7), (0,)), (floats(4, 20), (1,)), (floats(70, 80), (0,)), (floats(70, 80), (1,)),
)  # fmt: skip
EMPTY_REDUCTIONS = ((floats(0, 3), (0,)), (floats(2, 0), (0,)), (floats(0), (0,)))


def reducing(
    reference: Reference, keepdims: bool = True, empty: bool = True, kinds: str = "f",
    low: float = -2.0, high: float = 2.0, grad: bool = True, **attrs: Any,
) -> Samples:  # fmt: skip
    """Rows for a reduction; the reference is called as NumPy's are."""

    def reduced(x: Any, dims: tuple[int, ...], **rest: Any) -> Any:
        return resolve(reference)(x, axis=dims, keepdims=keepdims)

    places = REDUCTIONS + (EMPTY_REDUCTIONS if empty else ())
    found = [
        ((replace(x, kind=kind, low=low, high=high),), {"dims": dims, **attrs})
        for kind in kinds
        for x, dims in places
    ]
    return rows(reduced, *found, grad=grad)
