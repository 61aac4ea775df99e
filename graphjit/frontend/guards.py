"""Guards: what a recording read of Python's state, and whether it is still the same.

Two kinds. State that graphjit sees change (modules, optimizers, flags) is looked at again only when
`VERSIONS.structure` has moved. State that it cannot see change (globals, closure cells, containers)
is compared at every call.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import is_
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..device import Device
from ..dtypes import DType
from ..errors import TraceRefused
from .tensor import Tensor

SCALARS = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), DType, Device, slice)
CONTAINERS = (dict, list, tuple, set, frozenset)
#: containers longer than this, or nested deeper, are not followed
MAX_ITEMS = 256
MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Same:
    """Equal only to a snapshot of the very same object, which it keeps alive."""

    thing: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)


def snapshot(value: Any, depth: int = 0) -> Hashable:
    """A value to compare with a later snapshot: scalars by value, containers by content,

    tensors, modules and functions by identity. TraceRefused for what cannot be seen through.
    """
    if isinstance(value, SCALARS):
        return (type(value), _comparable(value))
    if isinstance(value, MethodType):
        return (Same(value.__func__), Same(value.__self__))
    if is_opaque(value):
        return Same(value)
    if isinstance(value, functools.partial):
        return (Same(value), snapshot([value.args, value.keywords], depth))
    if depth >= MAX_DEPTH:
        raise TraceRefused(f"a {type(value).__name__} is nested too deeply to be guarded")
    if isinstance(value, dict):
        _check_length(value)
        return (type(value), tuple((snapshot(k, depth + 1), snapshot(v, depth + 1))
                                   for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        _check_length(value)
        return (type(value), tuple(snapshot(v, depth + 1) for v in value))
    if isinstance(value, (set, frozenset)):
        _check_length(value)
        return (type(value), frozenset(snapshot(v, depth + 1) for v in value))
    if isinstance(value, np.generic):
        return (type(value), value.item())
    fields = getattr(value, "__dict__", None)
    if fields is None or isinstance(value, np.ndarray):
        raise TraceRefused(f"a {type(value).__name__} cannot be guarded")
    return (Same(value), snapshot(dict(fields), depth + 1))


def _comparable(value: Any) -> Hashable:
    if isinstance(value, (float, complex)) and (value == 0 or value != value):  # noqa: PLR0124
        return repr(value)  # tells -0.0 from 0.0, and takes NaNs for equal
    if isinstance(value, slice):
        return (value.start, value.stop, value.step)
    return value  # type: ignore[no-any-return]


def _check_length(value: Any) -> None:
    if len(value) > MAX_ITEMS:
        raise TraceRefused(f"a {type(value).__name__} of {len(value)} items is too large to guard")


def tensors_in(found: Hashable) -> Iterator[Tensor]:
    """The tensors in a snapshot."""
    if isinstance(found, Same):
        found = found.thing
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, (tuple, frozenset)):
        for item in found:
            yield from tensors_in(item)


def is_opaque(value: Any) -> bool:
    """Things guarded by identity: their own changes are seen elsewhere, or cannot happen."""
    if isinstance(value, CONTAINERS):
        return False
    return isinstance(
        value, (Tensor, ModuleType, type, FunctionType, BuiltinFunctionType, MethodType)
    ) or _is_ours(type(value)) or isinstance(value, property)


def _is_ours(cls: type) -> bool:
    """Whether `cls` is graphjit's, or a user's subclass of a guarded class of graphjit's."""
    return any(
        base.__module__.startswith("graphjit.") for base in cls.__mro__ if base is not object
    )


def is_mutable(value: Any) -> bool:
    """Whether Python can change `value` without graphjit seeing it."""
    if isinstance(value, SCALARS) or is_opaque(value):
        return False
    if isinstance(value, tuple):
        return any(is_mutable(item) for item in value)
    return True


@dataclass(frozen=True, slots=True)
class Guard:
    """A place that Python reads: a closure cell, a namespace's entry, or an object's attribute.

    It still holds what it held while recording. `name` is for messages; `thing` is the object found
    then, unless that can change without anyone seeing it.
    """

    name: str
    container: Any
    key: str
    expected: Hashable
    thing: Any
    items: tuple[Any, ...] | None = None

    def read(self) -> Any:
        container = self.container
        if isinstance(container, CellType):
            return container.cell_contents
        if type(container) is dict:
            return container[self.key]
        if isinstance(container, (type, ModuleType)):
            return vars(container)[self.key]
        return getattr(container, self.key)

    def holds(self) -> bool:
        try:
            value = self.read()
            if value is self.thing or (self.items is not None and _same_items(value, self.items)):
                return True
            return snapshot(value) == self.expected
        except (TraceRefused, AttributeError, KeyError, ValueError):
            return False


def items_of(value: Any) -> tuple[Any, ...] | None:
    """What a list or dict holds, if none of it can change by itself: for a quick comparison."""
    if type(value) is list:
        items = tuple(value)
    elif type(value) is dict:
        items = (*value, *value.values())
    else:
        return None
    return None if any(map(is_mutable, items)) else items


def _same_items(value: Any, items: tuple[Any, ...]) -> bool:
    """Whether a list or dict holds these very objects."""
    if type(value) is list:
        return len(value) == len(items) and all(map(is_, value, items))
    if type(value) is not dict or 2 * len(value) != len(items):
        return False
    return all(map(is_, chain(value, value.values()), items))


#: `thing` of a guard on something mutable: identical to nothing
CHANGING = object()


#: tables of a module whose changes graphjit sees: they are compared only when `structure` moves
HOOKS = frozenset("_forward_hooks _forward_pre_hooks _backward_hooks _backward_pre_hooks".split())
TABLES = HOOKS | {"_parameters", "_buffers", "_modules", "training"}
