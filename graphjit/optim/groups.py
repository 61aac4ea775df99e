"""Containers that count their changes: an optimizer's parameter groups and per-parameter state.

They are what Python has, and may be changed in every way; while a recording runs, what is read of
them is guarded.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Self, SupportsIndex

from ..frontend.hyper import alike, enter, entry, guard_entry, guard_items
from ..frontend.mode import MODE
from ..frontend.state import VERSIONS, SelfGuarding

_MISSING = object()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same_shape(old: Any, new: Any) -> bool:
    """Whether one number, or tuple of numbers, takes the place of another."""
    if isinstance(old, tuple) and isinstance(new, tuple):
        return len(old) == len(new) and all(map(_same_shape, old, new))
    return _is_number(old) and _is_number(new)


class WatchedList(list[Any], SelfGuarding):
    """A list whose every change moves a version that replays compare."""

    __slots__ = ()


def _watch_list(name: str, changes: bool) -> None:
    """Make a method of lists count a change, or guard the items that it reads."""
    method = getattr(list, name)

    def changing(self: WatchedList, *args: Any, **options: Any) -> Any:
        VERSIONS.structure += 1
        return method(self, *args, **options)

    def reading(self: WatchedList, *args: Any) -> Any:
        guard_items(self, list.__iter__)
        return method(self, *args)

    setattr(WatchedList, name, functools.wraps(method)(changing if changes else reading))


for _name in (
    "append extend insert remove pop clear sort reverse "
    "__setitem__ __delitem__ __iadd__ __imul__"
).split():
    _watch_list(_name, changes=True)
for _name in ("__iter__", "__getitem__", "__len__", "__contains__", "__reversed__"):
    _watch_list(_name, changes=False)


def _watched(value: Any) -> Any:
    """A list of parameters as one that counts its changes, of which a replay hears."""
    plain = isinstance(value, (list, tuple)) and not isinstance(value, WatchedList)
    return WatchedList(value) if plain else value


class Watched(dict[Any, Any], SelfGuarding):
    """A dict whose every change moves a version that replays compare."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        if MODE.recorder is not None:
            guard_entry(self, key)
        return dict.__getitem__(self, key)

    def get(self, key: Any, default: Any = None) -> Any:
        if MODE.recorder is not None:
            guard_entry(self, key)
        return dict.get(self, key, default)

    def __contains__(self, key: Any) -> bool:
        if MODE.recorder is not None:
            guard_entry(self, key)
        return dict.__contains__(self, key)

    def __len__(self) -> int:
        guard_items(self, dict.__iter__)
        return dict.__len__(self)

    def __iter__(self) -> Any:
        guard_items(self, dict.__iter__)
        return dict.__iter__(self)

    def keys(self) -> Any:
        guard_items(self, dict.__iter__)
        return dict.keys(self)

    def copy(self) -> dict[Any, Any]:
        return dict(self)

    def __eq__(self, other: object) -> bool:
        self.items()
        return dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def values(self) -> Any:
        return [self[key] for key in self] if MODE.recorder is not None else dict.values(self)

    def items(self) -> Any:
        if MODE.recorder is not None:
            return [(key, self[key]) for key in self]
        return dict.items(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        old = dict.get(self, key, _MISSING)
        dict.__setitem__(self, key, value)
        if old is not value:
            self._changed(old, value)
        elif MODE.recorder is not None:  # a replay leaves it, so it has to be there
            guard_entry(self, key)

    def __delitem__(self, key: Any) -> None:
        dict.__delitem__(self, key)
        self._changed(_MISSING, _MISSING)

    def _changed(self, old: Any, new: Any) -> None:
        VERSIONS.structure += 1

    def pop(self, key: Any, *default: Any) -> Any:
        self._changed(_MISSING, _MISSING)
        return dict.pop(self, key, *default)

    def popitem(self) -> tuple[Any, Any]:
        self._changed(_MISSING, _MISSING)
        return dict.popitem(self)

    def clear(self) -> None:
        self._changed(_MISSING, _MISSING)
        dict.clear(self)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Any, **more: Any) -> None:
        for key, value in dict(*others, **more).items():
            self[key] = value

    def __ior__(self, other: Any) -> Any:  # type: ignore[override,misc]
        self.update(other)
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (), None, None, iter(self.items())


class ParamGroup(Watched):
    """Parameters and their hyper-parameters.

    A number that takes the place of a number is a new value for the next replay; anything else is
    a change of structure. While recording, Python finds floats that stand for those of each replay,
    and other entries are guarded by value; the optimizers of this package read through
    `frontend.hyper` instead.

    Attributes:
        version: counts the changes.
        plan: what the optimizer has derived from the entries, as of `plan.version`.
    """

    __slots__ = ("version", "plan")

    def __init__(self, *entries: Any, **more: Any) -> None:
        dict.__init__(self, *entries, **more)
        if dict.__contains__(self, "params"):
            dict.__setitem__(self, "params", _watched(dict.__getitem__(self, "params")))
        self.version = 0
        self.plan: Any = None

    def __getitem__(self, key: Any) -> Any:
        if MODE.recorder is not None and dict.__contains__(self, key):
            return entry(self, key)
        return Watched.__getitem__(self, key)

    def get(self, key: Any, default: Any = None) -> Any:
        return entry(self, key, default)

    def __setitem__(self, key: Any, value: Any) -> None:
        if not enter(self, key, value):
            Watched.__setitem__(self, key, _watched(value) if key == "params" else value)

    def _changed(self, old: Any, new: Any) -> None:
        if MODE.recorder is not None:
            MODE.recorder.refuse("a hyper-parameter is set inside the traced function")
        if _same_shape(old, new):
            if alike(old, new):
                return
            VERSIONS.hyper += 1
        else:
            VERSIONS.structure += 1
        self.version += 1


class ParamGroups(WatchedList):
    """The parameter groups of an optimizer; a plain dict becomes one where it is put in."""

    __slots__ = ()

    def __init__(self, groups: Iterable[dict[str, Any]] = ()) -> None:
        super().__init__(map(_group, groups))

    def append(self, group: dict[str, Any]) -> None:
        super().append(_group(group))

    def insert(self, place: SupportsIndex, group: dict[str, Any]) -> None:
        super().insert(place, _group(group))

    def extend(self, groups: Iterable[dict[str, Any]]) -> None:
        super().extend(map(_group, groups))

    def __iadd__(self, groups: Iterable[dict[str, Any]]) -> Self:
        self.extend(groups)
        return self

    def __setitem__(self, place: Any, value: Any) -> None:
        several = isinstance(place, slice)
        super().__setitem__(place, map(_group, value) if several else _group(value))


def _group(entries: Any) -> Any:
    plain = isinstance(entries, dict) and not isinstance(entries, ParamGroup)
    return ParamGroup(entries) if plain else entries


class State(Watched):
    """What an optimizer keeps for each parameter: dicts by parameter, made when first asked for."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, Watched(value) if type(value) is dict else value)

    def __missing__(self, key: Any) -> Watched:
        entry = self[key] = Watched()
        return entry

    def of(self, parameter: Any) -> Any:
        """The entry of a parameter, for its optimizer.

        That one is made changes nothing that a recording of a step depends on.
        """
        if not dict.__contains__(self, parameter):
            dict.__setitem__(self, parameter, Watched())
        return dict.__getitem__(self, parameter)

    def __repr__(self) -> str:
        return f"defaultdict({dict!r}, {dict(self)!r})"


def counting(name: str, value: Any) -> Any:
    """What an optimizer has under `name`, as a container that counts its changes."""
    if name == "param_groups" and isinstance(value, (list, tuple)):
        return value if isinstance(value, ParamGroups) else ParamGroups(value)
    if name == "state" and type(value) in (dict, defaultdict):
        state = State()
        state.update(value)
        return state
    return value
