"""Guards: what a recording read of Python's state, and whether it is still the same.

Two kinds. State that graphjit sees change (modules, optimizers, flags) is looked at again only when
`VERSIONS.structure` has moved. State that it cannot see change (globals, closure cells, containers)
is compared at every call.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..device import Device
from ..dtypes import DType
from ..errors import PACKAGE, TraceRefused
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
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, slice):
        return (value.start, value.stop, value.step)
    return value  # type: ignore[no-any-return]


def _check_length(value: Any) -> None:
    if len(value) > MAX_ITEMS:
        raise TraceRefused(f"a {type(value).__name__} of {len(value)} items is too large to guard")


def is_opaque(value: Any) -> bool:
    """Things guarded by identity: their own changes are seen elsewhere, or cannot happen."""
    if isinstance(value, CONTAINERS):
        return False
    return isinstance(
        value, (Tensor, ModuleType, type, FunctionType, BuiltinFunctionType, MethodType)
    ) or _is_ours(type(value)) or isinstance(value, (functools.partial, property))


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

    def read(self) -> Any:
        container = self.container
        if isinstance(container, CellType):
            return container.cell_contents
        if type(container) is dict:
            return container[self.key]
        return getattr(container, self.key)

    def holds(self) -> bool:
        try:
            value = self.read()
            return value is self.thing or snapshot(value) == self.expected
        except (TraceRefused, AttributeError, KeyError, ValueError):
            return False


#: `thing` of a guard on something mutable: identical to nothing
CHANGING = object()


class Reads:
    """Collects what a recording reads: attributes of modules, and the functions it reaches."""

    def __init__(self) -> None:
        self.structural: list[Guard] = []
        self.always: list[Guard] = []
        self.attributes: set[tuple[int, str]] = set()
        self.functions: set[CodeType] = set()
        self.refusal: str | None = None

    def attribute(self, owner: Any, name: str, value: Any) -> None:
        """`owner.name` gave `value`."""
        if (id(owner), name) in self.attributes:
            return
        self.attributes.add((id(owner), name))
        if isinstance(value, (MethodType, FunctionType)):
            self.function(getattr(value, "__func__", value))
        always = name not in TABLES and is_mutable(value)
        self._add(f"{type(owner).__name__}.{name}", owner, name, value, always)

    def _add(self, name: str, container: Any, key: str, value: Any, always: bool) -> None:
        try:
            stable = not (key in TABLES or is_mutable(value) or isinstance(value, MethodType))
            thing = value if stable else CHANGING
            guard = Guard(name, container, key, snapshot(value), thing)
        except TraceRefused as refusal:
            self.refusal = self.refusal or f"{name}: {refusal}"
            return
        (self.always if always else self.structural).append(guard)

    def function(self, function: Any) -> None:
        """Guard the globals, closure cells and default arguments that a user's function reads."""
        function = inspect.unwrap(function)
        code = getattr(function, "__code__", None)
        if code is None or code in self.functions or _is_library(code.co_filename):
            return
        self.functions.add(code)
        for name, cell in zip(code.co_freevars, function.__closure__ or ()):
            self._variable(name, cell, "")
        names = set(_names(code))
        for name in names & function.__globals__.keys():
            self._variable(name, function.__globals__, name)
        for name in ("__defaults__", "__kwdefaults__"):
            if getattr(function, name) is not None:
                self._variable(name, function, name)
        for name in names & function.__globals__.keys():
            self._follow(function.__globals__[name], names)

    def _variable(self, name: str, container: Any, key: str) -> None:
        try:
            value = Guard(name, container, key, None, None).read()
        except ValueError:
            return
        self._add(name, container, key, value, True)
        if isinstance(value, (FunctionType, MethodType)):
            self.function(getattr(value, "__func__", value))

    def _follow(self, value: Any, names: set[str]) -> None:
        """The attributes of a user's module that its code names."""
        if isinstance(value, ModuleType) and not _is_library(getattr(value, "__file__", None)):
            for name in names & vars(value).keys():
                self._variable(f"{value.__name__}.{name}", vars(value), name)


#: tables of a module whose changes graphjit sees: they are compared only when `structure` moves
TABLES = frozenset(
    "_parameters _buffers _modules _forward_hooks _forward_pre_hooks _backward_hooks "
    "_backward_pre_hooks training".split()
)

def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_library(file: str | None) -> bool:
    """Whether a source file belongs to graphjit, an installed library, or Python itself."""
    return (
        file is None
        or file.startswith((PACKAGE, "<frozen", sys.base_prefix + "/lib"))
        or "site-packages" in file
    )


@contextmanager
def watching(classes: Iterable[type], reads: Reads) -> Iterator[None]:
    """Note every attribute read of an instance of `classes` while the block runs."""
    classes = tuple(classes)
    plain = object.__getattribute__

    def getattribute(self: Any, name: str) -> Any:
        value = plain(self, name)
        if not name.startswith("__"):
            reads.attribute(self, name, value)
        return value

    for cls in classes:
        cls.__getattribute__ = getattribute  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        for cls in classes:
            del cls.__getattribute__
