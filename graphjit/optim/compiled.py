"""Updates of large parameters: by one compiled loop, or block by block.

`Optimizer.update` is run once on symbols, which write down what it computes; the loop then does so
for all elements in one pass over the parameter, its gradient and its state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from ..ops.core import ARRAYS
from ..ops.native import Function, fused_in_place, takes

Update = Callable[..., None]


def update_large(
    update: Update,
    flags: tuple[bool, ...],
    numbers: Sequence[np.ndarray],
    arrays: Sequence[np.ndarray],
    block: int,
) -> None:
    """`update(F, flags, numbers, *arrays)`, on `block` elements at a time if there is no loop.

    Arrays that do not all lie alike in memory are updated whole.
    """
    first = arrays[0]
    if any(not a.flags.c_contiguous or a.shape != first.shape for a in arrays):
        update(ARRAYS, flags, numbers, *arrays)
        return
    flat = [a.reshape(-1) for a in arrays]
    if _in_one_loop(update, flags, numbers, flat):
        return
    for start in range(0, first.size, block):
        update(ARRAYS, flags, numbers, *(a[start : start + block] for a in flat))


def _in_one_loop(
    update: Update, flags: tuple[bool, ...], numbers: Sequence[np.ndarray], arrays: Sequence[Any]
) -> bool:
    """Whether a loop has done it; users' own updates may do more than symbols can tell."""
    known = update.__module__.startswith(__package__)
    if not known or not takes(arrays[0]) or _overlap(arrays):
        return False
    return fused_in_place(_function(update, flags, len(arrays)), (*arrays, *numbers))


def _overlap(arrays: Sequence[np.ndarray]) -> bool:
    spans = sorted(np.lib.array_utils.byte_bounds(x) for x in arrays)
    return any(stop > start for (_, stop), (start, _) in pairwise(spans))


@cache
def _function(update: Update, flags: tuple[bool, ...], count: int) -> Function:
    """`update` of so many arrays, and of numbers, as a function that returns the new arrays."""

    def function(F: Any, *operands: Any) -> tuple[Any, ...]:
        symbols = [Symbol(F, operand) for operand in operands]
        update(Symbols(F), flags, tuple(symbols[count:]), *symbols[:count])
        return tuple(symbol.value if symbol.is_new else None for symbol in symbols)

    return function


class Symbols:
    """The ops of a namespace, of symbols."""

    def __init__(self, F: Any) -> None:
        self._F = F

    def __getattr__(self, name: str) -> Callable[..., Symbol]:
        op, F = getattr(self._F, name), self._F
        return lambda *operands: Symbol(F, op(*map(_value, operands)))


def _value(operand: Any) -> Any:
    return operand.value if isinstance(operand, Symbol) else operand


def _operator(name: str, swapped: bool = False) -> Callable[[Symbol, Any], Symbol]:
    def operator(self: Symbol, other: Any) -> Symbol:
        operands = (other, self) if swapped else (self, other)
        return getattr(Symbols(self.F), name)(*operands)

    return operator


def _in_place(name: str) -> Callable[[Symbol, Any], Symbol]:
    def operator(self: Symbol, other: Any) -> Symbol:
        self[...] = getattr(Symbols(self.F), name)(self, other)
        return self

    return operator


class Symbol:
    """An array that is yet to be computed: `value` in the graph that `F` writes.

    Attributes:
        is_new: whether it has been written to.
    """

    __slots__ = ("F", "value", "is_new")

    def __init__(self, F: Any, value: Any) -> None:
        self.F, self.value, self.is_new = F, value, False

    def __setitem__(self, index: Any, new: Any) -> None:
        assert index is Ellipsis
        self.value, self.is_new = _value(new), True

    def __neg__(self) -> Symbol:
        return Symbol(self.F, self.F.neg(self.value))

    __add__, __radd__, __iadd__ = _operator("add"), _operator("add", True), _in_place("add")
    __sub__, __rsub__, __isub__ = _operator("sub"), _operator("sub", True), _in_place("sub")
    __mul__, __rmul__, __imul__ = _operator("mul"), _operator("mul", True), _in_place("mul")
    __truediv__, __rtruediv__ = _operator("div"), _operator("div", True)
    __lt__, __gt__ = _operator("lt"), _operator("gt")
