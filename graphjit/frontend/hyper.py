"""Numbers that an optimizer owns: read at each replay, never baked into a recording.

An optimizer's formula is written once. Eagerly it gets Python floats; while a recorder is on, 0-d
float64 tensors that stand for whatever the numbers are when the recording is replayed. Branches on
them are guarded by their truth.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import dtypes
from .guards import is_mutable
from .mode import MODE
from .recording import Assignment
from .state import VERSIONS, SelfGuarding
from .symnumber import SymNumber
from .tape import TENSORS
from .tensor import Tensor
from .watching import unwatched

#: things that are not compared by what is in them
_BY_IDENTITY = (Tensor, SelfGuarding)


def _float(value: Any) -> float:
    """A hyper-parameter as a float; TypeError, in Python's words for `-value`, for no number."""
    if value is None or isinstance(value, (str, list, tuple)):
        raise TypeError(f"bad operand type for unary -: '{type(value).__name__}'")
    return float(value)


@dataclass(frozen=True, slots=True, eq=False)
class HyperSource:
    """The number under `key` of a parameter group; `index` where the entry is a tuple."""

    group: dict[str, Any]
    key: str
    index: int | None = None

    def read(self) -> float:
        value = dict.__getitem__(self.group, self.key)
        return _float(value if self.index is None else value[self.index])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, HyperSource)
            and other.group is self.group
            and (other.key, other.index) == (self.key, self.index)
        )

    def __hash__(self) -> int:
        return hash((id(self.group), self.key, self.index))


@dataclass(frozen=True, slots=True, eq=False)
class Unchanged:
    """1.0 while the entry under `key` of a dict is the same object as `value`, or alike."""

    table: dict[Any, Any]
    key: Any
    value: Any

    def read(self) -> float:
        found = dict.get(self.table, self.key)
        if found is self.value:
            return 1.0
        by_identity = isinstance(found, _BY_IDENTITY) or isinstance(self.value, _BY_IDENTITY)
        return float(not by_identity and alike(found, self.value))


def alike(a: Any, b: Any) -> bool:
    """Whether values are equal and of one type: 1 and 1.0 are not, nor are 0.0 and -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    return bool(a == b) and (not isinstance(a, float) or str(a) == str(b))


@dataclass(frozen=True, slots=True, eq=False)
class StateOf:
    """1.0 while an optimizer keeps these very tensors for a parameter."""

    optimizer: Any
    parameter: Tensor
    kept: dict[str, Any]

    def read(self) -> float:
        found = self.optimizer.state.get(self.parameter, {})
        return float(all(found.get(name) is value for name, value in self.kept.items()))


@dataclass(frozen=True, slots=True, eq=False)
class ItemsOf:
    """1.0 while the items of a list, or the keys of a dict, are these very objects, in order."""

    container: Any
    items: tuple[Any, ...]
    iterate: Callable[[Any], Any]

    def read(self) -> float:
        found = tuple(self.iterate(self.container))
        return float(len(found) == len(self.items) and all(map(operator.is_, found, self.items)))


@dataclass(frozen=True, slots=True, eq=False)
class IsFloat:
    """1.0 while the entry under `key` of a dict is a float."""

    table: dict[Any, Any]
    key: Any

    def read(self) -> float:
        return float(type(dict.get(self.table, self.key)) is float)


@dataclass(frozen=True, slots=True, eq=False)
class ItemOf:
    """The number at `index` of the list that an attribute of an object holds."""

    owner: Any
    name: str
    index: int

    def read(self) -> float:
        value = vars(self.owner)[self.name][self.index]
        if type(value) is not float:
            raise TypeError(type(value))
        return value


#: what `VERSIONS.structure` tells of, and not `VERSIONS.hyper`
STRUCTURAL = (StateOf, ItemsOf)


@dataclass(frozen=True)
class EntryAssignment(Assignment):
    """What a call leaves under a key of a parameter group: a float."""

    def read(self) -> Any:
        return dict.__getitem__(self.owner, self.name)

    def write(self, value: Any) -> None:
        if self.read() != value:
            dict.__setitem__(self.owner, self.name, value)
            self.owner.version += 1
            VERSIONS.hyper += 1


def hyper(group: dict[str, Any], key: str, index: int | None = None) -> Any:
    """The number under `key` of a parameter group: a float, or a 0-d tensor while recording."""
    value = dict.__getitem__(group, key)
    value = value if index is None else value[index]
    recorder = MODE.recorder
    if isinstance(value, Tensor):
        if recorder is None or value._array.size != 1:
            return value.item()
        return TENSORS.cast(TENSORS.reshape(value, shape=()), dtype=dtypes.float64)
    if recorder is not None and recorder.numbers_change:
        # The replay reads the number before it runs effects, the recording after.
        recorder.refuse(f"an optimizer reads {key!r} after its scheduler has stepped")
    entered = _entered(group, key)
    if entered is not None:
        live = type(entered) is SymNumber and entered.is_live
        return entered.tensor if live else _float(value)
    if recorder is None or recorder.refusal is not None:
        return _float(value)
    return recorder.scalar(HyperSource(group, key, index))


def entry(group: dict[Any, Any], key: Any, default: Any = None) -> Any:
    """What user code finds under `key` of a parameter group; replays read a float anew."""
    value, recorder = dict.get(group, key, default), MODE.recorder
    if recorder is None:
        return value
    entered = _entered(group, key)
    if entered is not None:
        return entered
    if type(value) is not float or not dict.__contains__(group, key):
        guard_entry(group, key)
        return value
    if not recorder.numbers_change:
        _guard(IsFloat(group, key))
    return recorder.python_float(HyperSource(group, key), value)


def enter(group: Any, key: Any, value: Any) -> bool:
    """`group[key] = value` is about to happen; whether it is done, and a replay can do it too."""
    recorder = MODE.recorder
    if recorder is None or recorder.refusal is not None or recorder.numbers_change:
        return False
    seen = value.value if type(value) is SymNumber else value
    if type(dict.get(group, key)) is not float or type(seen) is not float:
        return False
    _guard(IsFloat(group, key))
    recorder.changes += 1
    recorder.entered[id(group), key] = (group, value)
    dict.__setitem__(group, key, seen)
    group.version += 1
    VERSIONS.hyper += 1
    return True


def _entered(group: Any, key: Any) -> Any:
    """What the call that is recorded has put there, if it has."""
    recorder = MODE.recorder
    return None if recorder is None else recorder.entered.get((id(group), key), (None, None))[1]


def floats_in(owner: Any, name: str) -> list[Any]:
    """The numbers in the list that an attribute holds, read anew at each replay if floats."""
    found: list[Any] = vars(owner)[name]
    recorder = MODE.recorder
    if recorder is None or any(type(value) is not float for value in found):
        return getattr(owner, name)  # type: ignore[no-any-return]
    return [
        recorder.python_float(ItemOf(owner, name, i), value) for i, value in enumerate(found)
    ]


def structure(group: dict[str, Any], key: str) -> bool:
    """Whether the number or flag under `key` is nonzero; a replay holds only while that stays."""
    entered = _entered(group, key)
    if entered is not None:
        return bool(entered)
    if MODE.recorder is not None:
        return _guard(HyperSource(group, key))
    return bool(dict.__getitem__(group, key))


def guard_entry(table: dict[Any, Any], key: Any) -> None:
    """While recording: a replay holds only while `table[key]` stays what it is."""
    recorder = MODE.recorder
    if recorder is not None and _entered(table, key) is None:
        value = dict.get(table, key)
        if is_mutable(value):
            recorder.refuse(f"an optimizer reads {key!r}, a {type(value).__name__}")
        _guard(Unchanged(table, key, value))


def guard_state(optimizer: Any, parameter: Tensor, state: dict[str, Any]) -> None:
    """While recording: a replay holds only while the parameter's state has these tensors."""
    if MODE.recorder is not None:
        _guard(StateOf(optimizer, parameter, dict(state)))


def guard_items(container: Any, iterate: Callable[[Any], Any]) -> None:
    """While recording: a replay holds only while `container` has the same items, or keys."""
    if MODE.recorder is not None:
        _guard(ItemsOf(container, tuple(iterate(container)), iterate))


def _guard(source: Any) -> bool:
    recorder = MODE.recorder
    assert recorder is not None
    if source in recorder.predicates:  # what counts is the truth before the call, not in its midst
        return bool(source.read())
    return recorder.guard_predicate(source)


def step_value(step: Tensor) -> Any:
    """A step count as a number to compute with in double precision."""
    if MODE.recorder is None:
        return float(step._array)
    return TENSORS.cast(step, dtype=dtypes.float64)


def effect(action: Callable[[], None]) -> None:
    """Run Python code that changes optimizer numbers, now and after each replay."""
    recorder, MODE.recorder = MODE.recorder, None
    try:
        with unwatched():
            action()
    finally:
        MODE.recorder = recorder
    if recorder is not None:
        recorder.effect(action)


def refuse(reason: str) -> None:
    """While recording: the call cannot be replayed."""
    if MODE.recorder is not None:
        MODE.recorder.refuse(reason)
