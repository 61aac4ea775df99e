"""Nested lists, tuples, dicts and objects of tensors: taken apart, and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .plain import Layout, own_dict
from .results import Result
from .size import Size
from .symnumber import SymNumber, settled
from .tensor import Tensor


@dataclass(frozen=True, slots=True)
class Instance:
    """Makes objects of a class written in Python from the values of these attributes."""

    cls: type
    names: tuple[str, ...]

    def __call__(self, *values: Any) -> Any:
        made: Any = object.__new__(self.cls)
        slots, space = Layout.of(self.cls).slots, own_dict(made)
        for name, value in zip(self.names, values, strict=True):
            if name in slots:
                object.__setattr__(made, name, value)
            else:
                space[name] = value
        return made


def flatten(
    value: Any,
    leaves: list[Any],
    static: Callable[[Any], Any],
    attributes: Callable[[Any], dict[str, Any] | None] = lambda value: None,
    stays: Callable[[Any], bool] = lambda value: False,
) -> Any:
    """Append the tensors in `value` to `leaves`; returns the tree, hashable if `static` is.

    A tensor's place in the tree is `LEAF`, as is that of a symbolic number. Objects consist of what
    `attributes` gives; anything else that is no container becomes `static(it)`. A list or dict that
    `stays` is not looked into.
    """
    if isinstance(value, Tensor) or (type(value) is SymNumber and value.tensor is not None):
        leaves.append(value)
        return LEAF
    kind = type(value)
    if kind in (list, dict) and stays(value):
        return (None, value)
    if takes_items(kind) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return (kind, tuple([flatten(x, leaves, static, attributes, stays) for x in value]))
    if kind is slice:
        parts = (value.start, value.stop, value.step)
        return (kind, tuple([flatten(x, leaves, static, attributes, stays) for x in parts]))
    found = value if kind is dict else attributes(value)
    if found is None:
        return (None, static(value))
    items = [flatten(item, leaves, static, attributes, stays) for item in found.values()]
    if kind is dict:
        return (kind, tuple(zip(map(settled, found), items, strict=True)))
    return (Instance(kind, tuple(found)), tuple(items))


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
    return kind(items) if takes_items(kind) else kind(*items)


def takes_items(kind: Any) -> bool:
    """Whether a container is made of its items in one list; else each is an argument."""
    return kind in (list, tuple, Size) or (type(kind) is type and issubclass(kind, Result))


def first_places(leaves: Sequence[Tensor]) -> tuple[int, ...]:
    """For each leaf, where its array occurs first: who shares storage with whom."""
    first: dict[int, int] = {}
    return tuple(first.setdefault(id(t._array), i) for i, t in enumerate(leaves))
