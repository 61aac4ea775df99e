"""Notes attribute reads while a function is recorded, of modules, optimizers and plain objects.

Classes of these get a `__getattribute__` that tells `reads`, for as long as any thread records.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import hung
from .mode import MODE
from .plain import WATCHERS
from .state import CARRIED, VERSIONS
from .tensor import Tensor

if TYPE_CHECKING:
    from .reads import Reads


class _Watch(threading.local):
    """The reads that the current thread collects."""

    reads: Reads | None = None


_WATCH = _Watch()
_LOCK = threading.Lock()
#: classes whose attribute reads are looked at, with the number of threads that do so
_WATCHED: Counter[type] = Counter()


def _noting(self: Any, name: str) -> Any:
    reads = _WATCH.reads
    try:
        value = object.__getattribute__(self, name)
    except AttributeError:
        if reads is not None and not name.startswith("__"):
            reads.absence(self, name)
        raise
    if reads is None or name.startswith("__"):
        if reads is not None and name == "__dict__":
            reads.whole(self, value, sys._getframe(1).f_globals.get("__name__"))
        return value
    carried = _carried(self, name, value)
    if carried is not value:
        return carried
    reads.attribute(self, name, value)
    return value


def noting_plain(self: Any, name: str) -> Any:
    """The same for a plain object; those that the function has made are its own matter."""
    reads = _WATCH.reads
    if reads is None or id(self) not in reads.plain:
        return object.__getattribute__(self, name)
    try:
        value = object.__getattribute__(self, name)
    except AttributeError:
        if not name.startswith("__"):
            reads.absence(self, name)
        raise
    carried = _carried(self, name, value)
    if carried is not value:
        return carried
    reads.plain_attribute(self, name, value)
    return value


def assigning_plain(self: Any, name: str, value: Any) -> None:
    """`__setattr__` of plain objects; what the recorder does not take shows as a change."""
    reads, recorder = _WATCH.reads, MODE.recorder
    is_noted = reads is not None and id(self) in reads.plain
    if is_noted and recorder and not hasattr(getattr(type(self), name, None), "__set__"):
        recorder.assign(self, name, value)
    object.__setattr__(self, name, value)


WATCHERS.add(noting_plain)


def _noting_absence(self: Tensor, name: str) -> Any:
    """`__getattr__` of tensors, while it counts which attributes they do not have."""
    reads = _WATCH.reads
    if reads is not None and not hung.is_ours(name) and not hasattr(type(self), name):
        reads.lack(self, name, sys._getframe(1).f_globals.get("__name__"))
    return object.__getattribute__(self, name)  # raises what it has raised


def watch_absence() -> None:
    """Have `_noting_absence` called for attributes that tensors do not have."""
    with _LOCK:
        _WATCHED[Tensor] += 1
        Tensor.__getattr__ = _noting_absence  # type: ignore[attr-defined]


def stands_in(value: Any) -> bool:
    """Whether this is a method that a class has only while it is watched."""
    return value is noting_plain or value is assigning_plain


def _carried(owner: Any, name: str, value: Any) -> Any:
    """What a function finds in an attribute: a symbol for a number that replays assign."""
    key, recorder = (id(owner), name), MODE.recorder
    if key not in CARRIED or recorder is None or key in recorder.assigned:
        return value
    return recorder.attribute(owner, name, value)


@contextmanager
def unwatched() -> Iterator[None]:
    """Note nothing in the block: what it reads, replays read anew."""
    reads, _WATCH.reads = _WATCH.reads, None
    try:
        yield
    finally:
        _WATCH.reads = reads


def watch(cls: Any, noting: Any, assigning: Any = None) -> None:
    """Have `noting` called for every attribute that is read of an instance of `cls`, and

    `assigning` for every one that is set, if that is nobody else's business.
    """
    with _LOCK:
        _WATCHED[cls] += 1
        cls.__getattribute__ = noting
        if assigning is not None and cls.__setattr__ is object.__setattr__:
            cls.__setattr__ = assigning


def _unwatch(classes: Iterable[Any]) -> None:
    with _LOCK:
        _WATCHED.subtract(classes)
        for cls in classes:
            if not _WATCHED[cls]:
                del _WATCHED[cls]
                if cls is Tensor:
                    delattr(cls, "__getattr__")
                    continue
                del cls.__getattribute__
                if vars(cls).get("__setattr__") is assigning_plain:
                    del cls.__setattr__


@contextmanager
def watching(classes: Iterable[type], reads: Reads) -> Iterator[None]:
    """Note every attribute that this thread reads of an instance of `classes` in the block."""
    classes = tuple(classes)
    for cls in classes:
        watch(cls, _noting)
    _WATCH.reads = reads
    try:
        yield
    finally:
        _WATCH.reads = None
        _unwatch((*classes, *reads.watched))


class WatchedModule(ModuleType):
    """A module of graphjit's, of which a replay sees when Python exchanges a function of it."""

    def __setattr__(self, name: str, value: Any) -> None:
        # An import puts a new part of the package here: nothing was exchanged by that.
        if name in vars(self) or value is not sys.modules.get(f"{self.__name__}.{name}"):
            VERSIONS.structure += 1
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        VERSIONS.structure += 1
        super().__delattr__(name)
