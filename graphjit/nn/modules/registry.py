"""The tables of a module (`_parameters`, `_buffers`, `_modules`), kept equal to its attributes.

Members are found as plain attributes, so every write to a table also writes the attribute.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, Self

from ...frontend.state import VERSIONS

_MISSING = object()


class Registry(dict[str, Any]):
    """A dict whose entries are also attributes of the module that owns it."""

    __slots__ = ("_owner",)

    def __init__(self, owner: object, entries: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self._owner = weakref.ref(owner)  # a strong one would keep dropped models until the next gc
        self.update(entries)

    def _attributes(self) -> dict[str, Any]:
        owner = self._owner()
        return {} if owner is None else owner.__dict__

    def __setitem__(self, name: str, value: Any) -> None:
        if self.get(name, _MISSING) is not value:
            VERSIONS.structure += 1
        super().__setitem__(name, value)
        self._attributes()[name] = value

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._attributes().pop(name, None)
        VERSIONS.structure += 1

    def pop(self, name: str, *default: Any) -> Any:
        if name not in self and default:
            return default[0]
        value = self[name]
        del self[name]
        return value

    def popitem(self) -> tuple[str, Any]:
        name = next(reversed(self)) if self else ""
        return name, self.pop(name)

    def clear(self) -> None:
        for name in list(self):
            del self[name]

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *others: Any, **more: Any) -> None:
        for name, value in dict(*others, **more).items():
            self[name] = value

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # A copy has no owner yet: the module that is being rebuilt makes a registry of it.
        return dict, (), None, None, iter(self.items())
