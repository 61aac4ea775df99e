"""Plain objects: instances of classes written in Python, of which single attributes are guarded.

While a function is recorded, `reads` notes which attributes of those from outside it reads, and the
recorder those that it assigns. Other objects are compared as a whole.
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar
from weakref import ReferenceType, WeakKeyDictionary

import numpy as np

from .bound import PLACE

#: flags of a type object (`Include/object.h`)
_IMMUTABLE, _HEAP = 1 << 8, 1 << 9
#: things that are equal if their items are; objects must be the same one besides
BY_CONTENT = (dict, list, tuple, set, frozenset, deque, MappingProxyType)
#: `__getattribute__` of classes whose instances can be plain objects: Python's own, and what stands
#: in for it while a class is watched
WATCHERS: set[Callable[..., Any]] = {object.__getattribute__}
#: attributes whose readers look at all others
WHOLE = frozenset({"__dict__", "__getstate__"})


def is_plain_class(cls: Any) -> bool:
    """Whether reads of attributes of its instances can be noted."""
    known = _PLAIN.get(cls)
    if known is None:
        known = _PLAIN[cls] = (
            bool(cls.__flags__ & _HEAP)
            and not cls.__flags__ & _IMMUTABLE
            and getattr(type(cls), "__setattr__", None) is type.__setattr__
            and cls.__getattribute__ in WATCHERS
            and not issubclass(cls, BY_CONTENT)
            and not is_value_class(cls)
            and not Layout.of(cls).has_hidden_state
        )
    return known


def is_value_class(cls: Any) -> bool:
    """Whether its instances are immutable values, of Python's own types: such as Decimal."""
    return (
        cls.__eq__ is not object.__eq__
        and getattr(cls, "__hash__", None) is not None
        and cls.__module__.partition(".")[0] in sys.stdlib_module_names
        and not issubclass(cls, (memoryview, ReferenceType))
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """What instances of a class consist of besides a `__dict__`.

    Hidden state is what Python cannot see: bytes that no slot or dict accounts for.
    """

    slots: tuple[str, ...]
    has_hidden_state: bool

    @staticmethod
    def of(kind: type) -> Layout:
        """The layout of a class, which this does not keep alive."""
        found = _LAYOUTS.get(kind)
        if found is None:
            found = _LAYOUTS[kind] = Layout._find(kind)
        return found

    @staticmethod
    def _find(kind: type) -> Layout:
        names: list[str] = []
        for base in kind.__mro__:
            slots = vars(base).get("__slots__", ())
            names += [slots] if isinstance(slots, str) else slots
        slots = tuple(name for name in names if not name.startswith("__"))
        pointers = len(slots) + (kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0)
        known = object.__basicsize__ + pointers * np.dtype(np.intp).itemsize
        return Layout(slots, kind.__basicsize__ > known or kind.__itemsize__ > 0)


_PLAIN: WeakKeyDictionary[type, bool] = WeakKeyDictionary()
_LAYOUTS: WeakKeyDictionary[type, Layout] = WeakKeyDictionary()


def own_dict(thing: Any) -> dict[str, Any]:
    """The `__dict__` of an object, read without anybody's notice; an empty one for none."""
    try:
        found: dict[str, Any] = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return {}
    return found


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes that an object has of its own."""
    found = dict(own_dict(thing))
    found.pop(PLACE, None)
    for name in Layout.of(type(thing)).slots:
        with contextlib.suppress(AttributeError):
            found[name] = object.__getattribute__(thing, name)
    return found


@dataclass(slots=True)
class PlainGuard:
    """A plain object has the class it had, and has not got attributes that hide those of the class.

    Attributes:
        found: the names that were found on the class.
        before: the object's attributes before the call.
    """

    thing: Any
    cls: type
    before: dict[str, Any]
    found: set[str] = field(default_factory=set)
    container: ClassVar[None] = None
    expected: ClassVar[None] = None

    @property
    def name(self) -> str:
        return f"the attributes of a {self.cls.__name__}"

    def holds(self) -> bool:
        if type(self.thing) is not self.cls:
            return False
        return self.found.isdisjoint(own_dict(self.thing))

    def changed(self) -> list[str]:
        """The names of the attributes that are others than before."""
        now = attributes(self.thing)
        names = {*self.before, *now}
        return [n for n in names if self.before.get(n, PlainGuard) is not now.get(n, PlainGuard)]
