"""What a recording reads of Python's state: each place becomes a guard.

Functions are followed from the traced one through globals, closure cells, containers, partials and
methods, before it runs; attributes of modules and optimizers are noted while it runs.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from ..errors import PACKAGE, TraceRefused
from .guards import (
    CHANGING,
    CONTAINERS,
    HOOKS,
    MAX_DEPTH,
    SCALARS,
    TABLES,
    Guard,
    is_mutable,
    is_opaque,
    items_of,
    snapshot,
)
from .mode import MODE
from .state import CARRIED

#: what gives another value at each call, by module: the names, or all
IMPURE = {
    "random": None, "secrets": None, "time": None, "datetime": None, "uuid": None,
    "os": {"environ", "getenv", "urandom"}, "numpy": {"random"},
}  # fmt: skip
#: built-in functions that read what no name in the code tells
DYNAMIC = {"globals", "locals", "eval", "exec", "input"}


class Reads:
    """Collects guards. `refusal` is the first reason why something read cannot be guarded."""

    def __init__(self) -> None:
        self.structural: list[Guard] = []
        self.always: list[Guard] = []
        self.refusal: str | None = None
        self.noted: set[tuple[int, str]] = set()
        self.seen: dict[int, Any] = {}
        self.names: set[str] = set()
        self.spaces: list[Any] = []

    def refuse(self, reason: str) -> None:
        self.refusal = self.refusal or reason

    # --- while the function runs ------------------------------------------------------------

    def attribute(self, owner: Any, name: str, value: Any) -> None:
        """`owner.name` gave `value`."""
        recorder = MODE.recorder
        if recorder is not None and (id(owner), name) in recorder.assigned:
            return  # by the function itself
        if not self._is_new(owner, name):
            return
        for base in type(owner).__mro__:
            if name in vars(base) and not _is_library(base.__module__):
                self._entry(base, name)
                break
        if isinstance(value, (MethodType, FunctionType)) or name in HOOKS:
            self.function(value)
        always = (name not in TABLES and is_mutable(value)) or (id(owner), name) in CARRIED
        self._add(f"{type(owner).__name__}.{name}", owner, name, value, always)

    def forget(self, key: tuple[int, str]) -> Guard | None:
        """The guard on an attribute that the function turns out to assign, taken out."""
        for guards in (self.structural, self.always):
            for guard in guards:
                if (id(guard.container), guard.key) == key:
                    guards.remove(guard)
                    return guard
        return None

    # --- before it runs -----------------------------------------------------------------------

    def call(self, function: Any, arguments: Any) -> None:
        """Guard what `function` is, and what it and its arguments lead to."""
        if not isinstance(function, FunctionType):
            self._variable(type(function).__name__, {"function": function}, "function")
        self._reach(arguments)
        self.function(function)

    def function(self, function: Any) -> None:
        """Guard what the code of a function, and all code that it leads to, reads."""
        self._reach(function)
        size = -1
        while size != len(self.names) + len(self.spaces):
            size = len(self.names) + len(self.spaces)
            for space in tuple(self.spaces):
                for name in [name for name in vars(space) if self._is_named(name)]:
                    self._entry(space, name)

    def _is_named(self, name: str) -> bool:
        special = name.startswith("__") and name in _SPECIAL
        return name in self.names or special or ("getattr" in self.names and name[:2] != "__")

    def _is_new(self, owner: Any, name: str) -> bool:
        key = (id(owner), name)
        new = key not in self.noted
        self.noted.add(key)
        return new

    def _entry(self, space: Any, name: str) -> None:
        """Guard an attribute of a user's module, class or function."""
        if self._is_new(space, name):
            self._variable(f"{space.__name__}.{name}", space, name)

    def _variable(self, name: str, container: Any, key: str) -> None:
        try:
            value = Guard(name, container, key, None, None).read()
        except (ValueError, KeyError, AttributeError):
            return
        self._add(name, container, key, value, True)
        self._reach(value)

    def _add(self, name: str, container: Any, key: str, value: Any, always: bool) -> None:
        try:
            stable = not (key in TABLES or is_mutable(value) or isinstance(value, MethodType))
            thing = value if stable else CHANGING
            guard = Guard(name, container, key, snapshot(value), thing, items_of(value))
        except TraceRefused as refusal:
            self.refuse(f"{name}: {refusal}")
            return
        (self.always if always else self.structural).append(guard)

    def _reach(self, value: Any, depth: int = 0) -> None:
        """Follow what `value` leads to."""
        if isinstance(value, SCALARS) or id(value) in self.seen or depth > MAX_DEPTH:
            return
        self.seen[id(value)] = value
        for part in _parts(value):
            self._reach(part, depth + 1)
        if isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, ModuleType):
            self._module(value)
        elif isinstance(value, BuiltinFunctionType):
            source = value.__module__ or type(value.__self__).__module__
            if source in IMPURE and IMPURE[source] is None:
                self.refuse(f"{value.__name__}() of {source} gives another value at each call")
        elif isinstance(value, type) and not _is_library(value.__module__):
            self.spaces.append(value)

    def _module(self, module: ModuleType) -> None:
        if not _is_library(module.__name__):
            self.spaces.append(module)
        elif module.__name__ in IMPURE:
            found = IMPURE[module.__name__]
            if found is None or found & self.names:
                self.refuse(f"the module {module.__name__} gives other values at each call")

    def _function(self, function: FunctionType) -> None:
        """The globals, closure cells, defaults and attributes of a user's function."""
        code = function.__code__
        if code.co_filename.startswith(PACKAGE) or _is_library(function.__module__):
            return
        self.names |= set(_names(code))
        names = _globals(code)
        for name in names & DYNAMIC - function.__globals__.keys():
            self.refuse(f"{name}() reads what cannot be guarded")
        for name, cell in zip(code.co_freevars, function.__closure__ or ()):
            self._variable(name, cell, "")
        for name in names & function.__globals__.keys():
            if self._is_new(function.__globals__, name):
                self._variable(name, function.__globals__, name)
        for name in ("__defaults__", "__kwdefaults__"):
            if getattr(function, name) is not None:
                self._variable(name, function, name)
        if vars(function):
            self.spaces.append(function)


#: methods that are called without being named
_SPECIAL = frozenset(
    name for kind in (int, float, list, dict, object, type(_ for _ in ())) for name in vars(kind)
    if name.startswith("__") and callable(vars(kind)[name])
) - {"__class__", "__new__", "__subclasshook__"} | {"__call__", "__enter__", "__exit__", "__init__"}


def _parts(value: Any) -> Iterator[Any]:
    """What calling or reading `value` may lead to."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, CONTAINERS):
        yield from value
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, (staticmethod, classmethod)):
        yield value.__func__
    elif isinstance(value, property):
        yield from (value.fget, value.fset)
    elif isinstance(value, FunctionType):
        yield inspect.unwrap(value)
    elif isinstance(value, type):
        yield from value.__mro__[1:]
    elif not is_opaque(value):
        yield type(value)
        yield from getattr(value, "__dict__", {}).values()


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@functools.lru_cache(maxsize=1024)
def _globals(code: CodeType) -> frozenset[str]:
    """The names of globals and built-ins that a function looks up, not those of attributes."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname in _LOOK_UPS}
    nested = [_globals(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return frozenset(found).union(*nested)


_LOOK_UPS = {"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"}


@functools.lru_cache(maxsize=4096)
def _is_library(module: str | None) -> bool:
    """Whether a module belongs to graphjit, an installed library, or Python itself."""
    if module is None or module.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
        return True
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return file.startswith(PACKAGE) or "site-packages" in file


class _Watch(threading.local):
    """The reads that the current thread collects."""

    reads: Reads | None = None


_WATCH = _Watch()
_LOCK = threading.Lock()
#: classes whose attribute reads are looked at, with the number of threads that do so
_WATCHED: Counter[type] = Counter()


def _noting(self: Any, name: str) -> Any:
    value = object.__getattribute__(self, name)
    reads = _WATCH.reads
    if reads is None or name.startswith("__"):
        return value
    key, recorder = (id(self), name), MODE.recorder
    if key in CARRIED and recorder is not None and key not in recorder.assigned:
        carried = recorder.attribute(self, name, value)
        if carried is not value:
            return carried
    reads.attribute(self, name, value)
    return value


@contextmanager
def watching(classes: Iterable[type], reads: Reads) -> Iterator[None]:
    """Note every attribute that this thread reads of an instance of `classes` in the block."""
    classes = tuple(classes)
    with _LOCK:
        _WATCHED.update(classes)
        for cls in classes:
            cls.__getattribute__ = _noting  # type: ignore[assignment, method-assign]
    _WATCH.reads = reads
    try:
        yield
    finally:
        _WATCH.reads = None
        with _LOCK:
            _WATCHED.subtract(classes)
            for cls in classes:
                if not _WATCHED[cls]:
                    del cls.__getattribute__
