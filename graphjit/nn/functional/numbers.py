"""Sizes given as one number or as one for each dimension."""

from __future__ import annotations

from typing import Any


def repeat(value: Any, n: int) -> tuple[int, ...]:
    """`value` for each of `n` dimensions, unless it is a sequence of `n` (or of one) already."""
    if isinstance(value, (tuple, list)):
        values = tuple(int(v) for v in value)
        return values * n if len(values) == 1 else values
    return (int(value),) * n
