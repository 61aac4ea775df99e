"""Nested lists, tuples and dicts of tensors: taken apart into leaves, and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .size import Size
from .symnumber import SymNumber
from .tensor import Tensor


def flatten(value: Any, leaves: list[Any], static: Callable[[Any], Any]) -> Any:
    """Append the tensors in `value` to `leaves`; returns the tree, hashable if `static` is.

    A tensor's place in the tree is `LEAF`, as is that of a symbolic number; anything that is no
    container becomes `static(it)`.
    """
    if isinstance(value, Tensor) or (type(value) is SymNumber and value.tensor is not None):
        leaves.append(value)
        return LEAF
    kind = type(value)
    if kind in (list, tuple, Size) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return (kind, tuple(flatten(item, leaves, static) for item in value))
    if kind is dict:
        items = tuple((key, flatten(item, leaves, static)) for key, item in value.items())
        return (kind, items)
    return (None, static(value))


#: stands for a tensor in a tree
LEAF = ("tensor",)


def unflatten(tree: Any, leaves: Iterator[Any]) -> Any:
    """The value that `tree` was taken from, with other leaves."""
    if tree is LEAF:
        return next(leaves)
    kind, content = tree
    if kind is None:
        return content
    if kind is dict:
        return {key: unflatten(item, leaves) for key, item in content}
    items = [unflatten(item, leaves) for item in content]
    return kind(items) if kind in (list, tuple, Size) else kind(*items)


def first_places(leaves: Sequence[Tensor]) -> tuple[int, ...]:
    """For each leaf, where its array occurs first: who shares storage with whom."""
    first: dict[int, int] = {}
    return tuple(first.setdefault(id(t._array), i) for i, t in enumerate(leaves))
