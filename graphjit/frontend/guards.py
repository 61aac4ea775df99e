"""Guards: what a recording read of Python's state, and whether it is still the same.

Two kinds. State that graphjit sees change (modules, optimizers, flags) is looked at again only when
`VERSIONS.structure` has moved. State that it cannot see change (globals, closure cells, containers)
is compared at every call.
"""

from __future__ import annotations

import functools
import sys
from abc import ABC, get_cache_token
from collections import deque, namedtuple
from collections.abc import Hashable, Iterable, Iterator, KeysView
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from operator import is_
from types import (
    BuiltinFunctionType,
    CellType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, ClassVar

import numpy as np

from ..device import Device
from ..dtypes import DType
from ..errors import TraceRefused
from .hung import hung
from .plain import BY_CONTENT, Layout, PlainGuard, attributes, is_plain_class, is_value_class
from .state import GUARDED, SelfGuarding
from .tensor import Tensor

SCALARS = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), DType, Device, slice)
CONTAINERS = (dict, list, tuple, set, frozenset)
#: what has more items than this in all, or is nested deeper, is not followed
MAX_ITEMS = 512
MAX_DEPTH = 16
#: modules of containers without attributes
_PLAIN = ("builtins", "collections")


@dataclass(frozen=True, slots=True)
class Same:
    """Equal only to a snapshot of the very same object, which it keeps alive."""

    thing: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)


def snapshot(value: Any) -> Hashable:
    """A value to compare with a later snapshot: values by value, containers by content,

    tensors, modules, functions and plain objects by identity. TraceRefused for what cannot be seen
    through.
    """
    if isinstance(value, SCALARS):
        return (type(value), _comparable(value))
    return _snapshot(value, [MAX_ITEMS], 0)


def _snapshot(value: Any, room: list[int], depth: int) -> Hashable:
    """`room[0]` is how many items more may be looked at."""
    if isinstance(value, SCALARS):
        return (type(value), _comparable(value))
    if isinstance(value, MethodType):
        return (Same(value.__func__), _snapshot(value.__self__, room, depth + 1))
    owner = receiver(value)
    if owner is not None:
        if is_plain(owner) or isinstance(owner, (Tensor, *GUARDED)):
            kind = type(owner).__name__
            raise TraceRefused(f"{value.__name__}() of a {kind} cannot be seen into")
        return (type(value), value.__name__, _snapshot(owner, room, depth + 1))
    if is_opaque(value):
        return Same(value)
    if depth >= MAX_DEPTH:
        raise TraceRefused(f"a {type(value).__name__} is nested too deeply to be guarded")
    items = _items(value)
    if items is None:
        return _whole(value)
    room[0] -= len(items)
    if room[0] < 0:
        raise TraceRefused(f"a {type(value).__name__} of many items is too large to guard")
    found = [_snapshot(item, room, depth + 1) for item in items]
    ordered = not isinstance(value, (set, frozenset))
    return (_kind(value), tuple(found) if ordered else frozenset(found))


def _items(value: Any) -> list[Any] | None:
    """What a container or an object consists of; None for what is looked at as a whole."""
    if isinstance(value, (dict, MappingProxyType)):
        items = [part for item in value.items() for part in item]
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        items = list(value)
    elif isinstance(value, functools.partial):
        items = [value.func, value.args, value.keywords]
    elif is_logger(value):
        return [value.getEffectiveLevel(), value.disabled]
    elif is_value_class(type(value)) or isinstance(value, (np.ndarray, np.generic, bytearray)):
        return None
    elif isinstance(value, _ABC):  # what is registered counts as a subclass
        return [get_cache_token()]
    elif Layout.of(type(value)).has_hidden_state:
        raise TraceRefused(f"a {type(value).__name__} cannot be guarded")
    else:
        return fields(value)
    # A subclass may have attributes as well.
    module = type(value).__module__
    return items if module in _PLAIN or module.startswith("graphjit.") else items + fields(value)


def _kind(value: Any) -> Any:
    """What two equal things have in common besides their items: the type, or the identity."""
    return type(value) if isinstance(value, BY_CONTENT) else Same(value)


def _whole(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        if value.size > MAX_ITEMS or value.dtype.hasobject:
            raise TraceRefused(f"an array of {value.size} elements is too large to guard")
        return (type(value), value.dtype, value.shape, value.strides, value.tobytes())
    if isinstance(value, bytearray):
        return (type(value), bytes(value))
    return (type(value), repr(value), value)


def fields(value: Any) -> list[Any]:
    """Names and values of the attributes that an object has of its own, in turn."""
    return [part for item in attributes(value).items() for part in item]


def is_logger(value: Any) -> bool:
    """Whether this is a logger: what it does with records is its own, and warned of."""
    logging = sys.modules.get("logging")
    return logging is not None and isinstance(value, logging.Logger)


def _comparable(value: Any) -> Hashable:
    if isinstance(value, (float, complex)) and (value == 0 or value != value):  # noqa: PLR0124
        return repr(value)  # tells -0.0 from 0.0, and takes NaNs for equal
    if isinstance(value, slice):
        return (value.start, value.stop, value.step)
    return value  # type: ignore[no-any-return]


def tensors_in(found: Hashable) -> Iterator[Tensor]:
    """The tensors in a snapshot."""
    if isinstance(found, Same):
        found = found.thing
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, (tuple, frozenset)):
        for item in found:
            yield from tensors_in(item)


def receiver(value: Any) -> Any:
    """The object whose built-in method this is, such as the list of `numbers.append`; or None."""
    if not isinstance(value, (BuiltinFunctionType, MethodWrapperType)):
        return None
    owner = value.__self__
    return None if isinstance(owner, (ModuleType, type)) else owner


def is_opaque(value: Any) -> bool:
    """Things guarded by identity: their own changes are seen elsewhere, or cannot happen."""
    if isinstance(value, CONTAINERS) and not isinstance(value, SelfGuarding):
        return False
    if receiver(value) is not None:
        return False
    return isinstance(value, _OPAQUE) or _is_ours(type(value)) or is_plain(value)


def is_plain(value: Any) -> bool:
    """Whether reads of the attributes of `value` are noted, each by itself."""
    cls = type(value)
    if not is_plain_class(cls) or isinstance(value, _OPAQUE):
        return False
    return not _is_ours(cls) and not is_logger(value)


#: what classes with abstract methods know of their subclasses
_ABC = type(vars(ABC)["_abc_impl"])
_TUPLEGETTER = type(vars(namedtuple("_Pair", "first"))["first"])
#: descriptors of types that are not written in Python can be exchanged, but not changed
_OPAQUE = (
    Tensor, ModuleType, type, FunctionType, BuiltinFunctionType, MethodType, Enum,
    property, staticmethod, classmethod,
    MethodDescriptorType, WrapperDescriptorType, MethodWrapperType, ClassMethodDescriptorType,
    GetSetDescriptorType, MemberDescriptorType, _TUPLEGETTER,
)  # fmt: skip


def _is_ours(cls: type) -> bool:
    """Whether `cls` is graphjit's, or a user's subclass of a class whose reads are noted."""
    return cls.__module__.startswith("graphjit.") or issubclass(cls, tuple(GUARDED))


def is_mutable(value: Any) -> bool:
    """Whether Python can change `value` without graphjit seeing it."""
    if isinstance(value, SCALARS) or is_opaque(value):
        return False
    if isinstance(value, tuple):
        return any(is_mutable(item) for item in value)
    owner = receiver(value)
    return owner is None or is_mutable(owner)


class _Absent:
    """What is expected of a place where nothing was found."""


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Guard:
    """A place that Python reads: a closure cell, a namespace's entry, or an object's attribute.

    It still holds what it held while recording. `name` is for messages; `thing` is the object found
    then, unless that can change without anyone seeing it. `expected` is `ABSENT` where nothing was.
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
        if self.expected is ABSENT:  # found nowhere, though `__getattr__` may make something up
            return object.__getattribute__(container, self.key)
        if isinstance(container, (type, ModuleType)):
            return vars(container)[self.key]
        return getattr(container, self.key)

    def finds(self, thing: Any) -> bool:
        """Whether this very thing is there now."""
        try:
            return self.read() is thing
        except (AttributeError, KeyError, ValueError):
            return False

    def holds(self) -> bool:
        try:
            value = self.read()
            if value is self.thing or (self.items is not None and _same_items(value, self.items)):
                return True
            return snapshot(value) == self.expected
        except (AttributeError, KeyError):
            return self.expected is ABSENT
        except (TraceRefused, ValueError):
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


@dataclass(slots=True)
class CodeGuard:
    """The functions that were followed have the code they had.

    Classes of modules and optimizers have the methods they had (`forward`, `__call__`, `step`). One
    guard for all, so that each costs little.
    """

    codes: list[tuple[FunctionType, CodeType]] = field(default_factory=list)
    methods: dict[tuple[Any, str], Any] = field(default_factory=dict)
    name: ClassVar[str] = "the code of a function"
    container: ClassVar[None] = None
    expected: ClassVar[None] = None

    def holds(self) -> bool:
        for function, code in self.codes:
            if function.__code__ is not code:
                return False
        for (cls, name), method in self.methods.items():
            if getattr(cls, name, None) is not method:
                return False
        return True


@dataclass(slots=True)
class AbsenceGuard:
    """Namespaces have none of some names: nothing has come to be where nothing was found.

    No global hides a built-in, no attribute that of a base class. One guard for all namespaces.
    """

    #: by the id of what has the namespace: what that is called, its keys, and the names
    rows: dict[int, tuple[str, KeysView[str], set[str]]] = field(default_factory=dict)
    #: namespaces that have the names they had, and no others
    complete: dict[int, tuple[str, KeysView[str], set[str]]] = field(default_factory=dict)
    container: ClassVar[None] = None
    expected: ClassVar[None] = None

    def add(self, owner: Any, label: str, names: AbstractSet[str]) -> None:
        """`owner`, a dict or a thing with a `__dict__`, has none of `names` there."""
        if not names:
            return
        row = self.rows.get(id(owner))
        if row is None:
            keys = (owner if type(owner) is dict else vars(owner)).keys()
            row = self.rows[id(owner)] = (label, keys, set())
        row[2].update(names)

    def complete_by(self, owner: Any, label: str, names: set[str]) -> None:
        """The namespace of `owner` consists of `names`."""
        self.complete[id(owner)] = (label, vars(owner).keys(), names)

    @property
    def name(self) -> str:
        """The first that is there, or the namespace that has others."""
        for label, keys, names in self.rows.values():
            for name in sorted(names & keys):
                return f"{label}.{name}" if label else name
        changed = [label for label, keys, names in self.complete.values() if keys != names]
        return changed[0] if changed else "a name that was absent"

    def holds(self) -> bool:
        for _, keys, names in self.rows.values():
            if not keys.isdisjoint(names):
                return False
        for _, keys, names in self.complete.values():
            if keys != names:
                return False
        return True


def is_empty(guard: AnyGuard) -> bool:
    """Whether a guard has nothing to look at."""
    return isinstance(guard, AbsenceGuard) and not guard.rows and not guard.complete


@dataclass(slots=True)
class HungGuard:
    """Tensors have attributes of the same names from their users: for code that looks at all."""

    tensors: list[tuple[Tensor, dict[str, Any]]] = field(default_factory=list)
    name: ClassVar[str] = "an attribute of a tensor"
    container: ClassVar[None] = None
    expected: ClassVar[None] = None

    def holds(self) -> bool:
        return all(hung(tensor).keys() == before.keys() for tensor, before in self.tensors)


@dataclass(frozen=True, slots=True)
class ClassGuard:
    """A module is of the class that it was of: `m.__class__ = Other` counts as a new structure."""

    thing: Any
    cls: type
    key: ClassVar[str] = "__class__"
    container: ClassVar[None] = None
    expected: ClassVar[None] = None

    @property
    def name(self) -> str:
        return f"the class of a {self.cls.__name__}"

    def holds(self) -> bool:
        return type(self.thing) is self.cls


@dataclass(frozen=True, slots=True)
class SameGuard:
    """A place holds the very container that the call has returned, not only one like it."""

    place: Guard
    thing: Any
    container: ClassVar[None] = None
    expected: ClassVar[None] = None

    @property
    def name(self) -> str:
        return self.place.name

    def holds(self) -> bool:
        return self.place.finds(self.thing)


AnyGuard = Guard | CodeGuard | AbsenceGuard | ClassGuard | PlainGuard | HungGuard | SameGuard


def tensors_reached(guards: Iterable[AnyGuard], tree: Hashable) -> dict[int, Tensor]:
    """By id, the tensors that guards, and arguments of other types, hold a function to."""
    found = [t for guard in guards for t in tensors_in(guard.expected)]
    return {id(t): t for t in (*found, *tensors_in(tree))}


#: `thing` of a guard on something mutable: identical to nothing
CHANGING = object()


#: tables whose changes graphjit sees: they are compared only when `structure` moves
HOOKS = frozenset(
    "_forward_hooks _forward_pre_hooks _backward_hooks _backward_pre_hooks "
    "_forward_hooks_with_kwargs _forward_pre_hooks_with_kwargs _forward_hooks_always_called "
    "_optimizer_step_pre_hooks _optimizer_step_post_hooks".split()
)
TABLES = HOOKS | {"_parameters", "_buffers", "_modules", "training"}
