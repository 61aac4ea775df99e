"""Effects that replays do not repeat, found in a function's code when it is decorated.

Reads the function, those of the user's that it calls by name, and the `forward` of modules; warns
of printing, logging, files, the network, the clock, random numbers of others than graphjit, and
changes to containers and variables from outside. What is uncertain is let pass: most of it ends a
recording, which says so then.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import re
import sys
import warnings
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from ..errors import TraceRefused, TraceWarning
from .guards import is_opaque, snapshot
from .libraries import IMPURE, is_library
from .reads import DYNAMIC
from .uses import Path, Use, Uses, parameters, uses_of

#: what a recording calls the arguments of its function
ARGUMENTS = "its arguments"
#: functions that are looked into, at most
MAX_FUNCTIONS = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """Calls that have an effect: what their full names look like, and what to say."""

    pattern: re.Pattern[str]
    does: str
    instead: str


def _kind(pattern: str, does: str, instead: str = "") -> Kind:
    return Kind(re.compile(pattern), does, instead)


_CALLBACK = "; graphjit.debug.callback runs a function at every call"
_LEVELS = "debug|info|warning|warn|error|critical|exception|log"
_OS = "remove|unlink|rename|replace|mkdir|makedirs|rmdir|removedirs|truncate|link|symlink|utime"
_PATH = "open|write_text|write_bytes|read_text|read_bytes|unlink|mkdir|touch|rename|replace|rmdir"
KINDS = (
    _kind(
        r"builtins\.print|pprint\.p+(rint)?|sys\.(stdout|stderr)\.write\w*|tqdm\..*\.write",
        "prints",
        "; graphjit.debug.print does at every call",
    ),
    _kind(rf"logging\.(\w+\.)?({_LEVELS})", "logs", _CALLBACK),
    _kind(
        rf"builtins\.open|_?io\.open|_?io\.\w+\.(write|writelines|read\w*)|os\.({_OS})"
        rf"|shutil\..*|pathlib\.(\w+\.)*({_PATH})|(pickle|json|marshal)\.(dump|load)"
        r"|numpy\.(load|loadtxt|save|savez|savez_compressed|savetxt)|(tempfile|sqlite3)\..*",
        "uses a file",
        _CALLBACK,
    ),
    _kind(
        r"(requests|socket|urllib\.request|http\.client|httpx|aiohttp|ftplib|smtplib|wandb|mlflow"
        r"|tensorboard\w*)\..*",
        "uses the network or a log",
        _CALLBACK,
    ),
    _kind(r"os\.(system|popen|spawn\w+|exec\w+)|subprocess\..*", "starts a process", _CALLBACK),
    _kind(
        r"(random|secrets|numpy\.random)\..*|os\.urandom|uuid\.uuid[14]",
        "draws numbers",
        "; the random functions of graphjit are replayed",
    ),
    _kind(r"time\..*|datetime\.(datetime|date)\.(now|utcnow|today)", "looks at the clock"),
    _kind(r"builtins\.input", "asks the user"),
)
ONCE = " when a call is recorded, and not when it is replayed"
NEVER = ", which no replay would do, so that calls run eagerly"
CHANGES = (
    "from outside: no replay does that, so that calls run eagerly while they change it; "
    "graphjit.debug.callback can collect values"
)

#: methods that change a list, a dict, a set or a deque, and those that nothing but these has
MUTATORS = frozenset(
    "append extend insert appendleft extendleft pop popleft popitem remove discard clear add "
    "update setdefault sort reverse rotate".split()
)
OWN_MUTATORS = frozenset("append extend insert appendleft extendleft setdefault".split())
CONTAINERS = (list, dict, set, deque, bytearray, np.ndarray)


class _Unknown:
    """What is at a path that leads to something unknown."""


UNKNOWN: Any = _Unknown()


@dataclass(frozen=True, slots=True)
class Instance:
    """What calling a class gives."""

    cls: type


def foresee(function: Any, known: set[CodeType]) -> frozenset[str]:
    """Warn of effects of a function that is about to be traced, each with its line.

    Its code, and that of the functions it leads to, is added to `known`. Returns the names of what
    will end recordings, as their refusals name it.
    """
    try:
        found = list(_effects(function, known))
    except Exception:  # noqa: BLE001  (no decorator fails because of what it cannot read)
        return frozenset()
    return _tell(found)


def foresee_reached(functions: Iterable[FunctionType], known: set[CodeType]) -> frozenset[str]:
    """The same for functions that a recording has led to, and whose code is not `known` yet."""
    found: frozenset[str] = frozenset()
    for function in functions:
        if function.__code__ not in known:
            found |= foresee(function, known)
    return found


def _tell(found: list[Effect]) -> frozenset[str]:
    for effect in {(e.scope.code.co_filename, e.line, e.text): e for e in found}.values():
        registry = effect.scope.globals.setdefault("__warningregistry__", {})
        warnings.warn_explicit(
            effect.text, TraceWarning, effect.scope.code.co_filename, effect.line,
            effect.scope.globals.get("__name__"), registry,
        )  # fmt: skip
    return frozenset(name for effect in found for name in effect.ends)


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect, what to say of it, and under which names a recording may end because of it."""

    scope: Scope
    line: int
    text: str
    ends: tuple[str, ...] = ()


class Scope:
    """Where the names in a function lead to."""

    def __init__(self, function: FunctionType, owner: Any = UNKNOWN) -> None:
        self.function = function
        self.owner = owner
        self.code: CodeType = function.__code__
        self.globals: dict[str, Any] = function.__globals__
        self.imports: dict[str, str] = {}

    def find(self, path: Path) -> Any:
        """The object at `path`, as far as it can be known without running anything."""
        found = self._root(path[0])
        for step in path[1:]:
            if step == "()":
                found = Instance(found) if isinstance(found, type) else UNKNOWN
            else:
                found = UNKNOWN if step == "[]" else _attribute(found, step)
        return found

    def _root(self, name: str) -> Any:
        if name in self.imports:
            module, _, last = self.imports[name].rpartition(".")
            found = sys.modules.get(self.imports[name])
            return found or _attribute(sys.modules.get(module), last)
        names = parameters(self.code)
        if name in names:
            return self.owner if name == names[0] else UNKNOWN
        if name in self.code.co_freevars:
            cell = (self.function.__closure__ or ())[self.code.co_freevars.index(name)]
            try:
                return cell.cell_contents
            except ValueError:  # not assigned yet
                return UNKNOWN
        return self.globals.get(name, vars(builtins).get(name, UNKNOWN))

    def is_callback(self, path: Path) -> bool:
        """Whether `graphjit.debug` is at `path`: what it is given runs at each replay."""
        found = self.find(path) if path else UNKNOWN
        return (
            isinstance(found, FunctionType)
            and found.__module__ == "graphjit.debug"
            or path[-2:] == ("debug", "callback")
        )

    def names(self, path: Path) -> Iterator[str]:
        """The full names of what is at `path`: by the way there, and by the types of objects."""
        found = self._root(path[0])
        if path[0] in self.imports:
            yield ".".join((self.imports[path[0]], *path[1:]))
        elif isinstance(found, ModuleType):
            yield ".".join((found.__name__, *path[1:]))
        elif path[0] in vars(builtins) and vars(builtins)[path[0]] is found:
            yield ".".join(("builtins", *path))
        for end in range(1, len(path) + 1):
            rest = [step for step in path[end:] if step not in ("()", "[]")]
            for base in _full_names(self.find(path[:end])):
                yield ".".join((base, *rest))


def _attribute(owner: Any, name: str) -> Any:
    """An attribute, looked up without running any code."""
    if isinstance(owner, Instance):
        found = inspect.getattr_static(owner.cls, name, UNKNOWN)
        return UNKNOWN if isinstance(found, property) else found
    if owner is UNKNOWN or owner is None:
        return UNKNOWN
    if isinstance(owner, ModuleType):
        return vars(owner).get(name, UNKNOWN)
    fields = getattr(owner, "__dict__", {})
    for table in ("_modules", "_parameters", "_buffers"):
        if name in fields.get(table, ()):
            return fields[table][name]
    found = inspect.getattr_static(owner, name, UNKNOWN)
    if isinstance(found, (staticmethod, classmethod)):
        return found.__func__
    if isinstance(found, FunctionType) and not isinstance(owner, type):
        return MethodType(found, owner)
    return UNKNOWN if isinstance(found, property) else found


def _full_names(value: Any) -> Iterator[str]:
    """Module and name of a function or class; those of the classes of another object."""
    if isinstance(value, BuiltinFunctionType):
        owner = value.__self__
        module = value.__module__ or type(owner).__module__
        yield f"{module}.{value.__name__}"
    elif isinstance(value, (FunctionType, type)):
        yield f"{value.__module__}.{value.__qualname__}"
    elif isinstance(value, MethodType):
        yield f"{value.__func__.__module__}.{value.__func__.__qualname__}"
    elif value is not UNKNOWN and not isinstance(value, ModuleType):
        cls = value.cls if isinstance(value, Instance) else type(value)
        yield from (f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__[:-1])


# --- effects of a function ------------------------------------------------------------------------


def _effects(function: Any, known: set[CodeType]) -> Iterator[Effect]:
    """The effects of a function, and of those that it certainly leads to."""
    waiting = list(_scopes(function))
    seen: set[tuple[CodeType, int]] = set()
    while waiting and len(seen) < MAX_FUNCTIONS:
        scope = waiting.pop(0)
        key = (scope.code, id(scope.owner))
        if key in seen:
            continue
        seen.add(key)
        known.add(scope.code)
        uses = uses_of(scope.function, scope.is_callback)
        scope.imports = uses.imports
        for use in uses.found:
            effect = _effect(use, uses, scope)
            if effect is not None:
                yield effect
            elif use.kind == "call":
                waiting += _scopes(scope.find(use.path))


def _scopes(called: Any, depth: int = 0) -> Iterator[Scope]:
    """The user's functions that run when `called` is called."""
    if depth > 3:
        return
    if isinstance(called, FunctionType):
        if not is_library(called.__globals__.get("__name__")):
            yield Scope(called)
        elif hasattr(called, "__wrapped__"):
            yield from _scopes(called.__wrapped__, depth + 1)
    elif isinstance(called, MethodType):
        if isinstance(called.__func__, FunctionType):
            yield from (Scope(s.function, called.__self__) for s in _scopes(called.__func__, depth))
    elif isinstance(called, functools.partial):
        yield from _scopes(called.func, depth + 1)
    elif not isinstance(called, type) and called is not UNKNOWN:
        yield from _called_objects(called, depth)


def _called_objects(called: Any, depth: int) -> Iterator[Scope]:
    """The same for an object: a module, or one whose class defines `__call__`."""
    fields = getattr(called, "__dict__", {})
    if "__wrapped__" in fields:  # a traced function, which has been looked into
        return
    if "_modules" in fields:
        yield from _scopes(_attribute(called, "forward"), depth + 1)
        if is_library(type(called).__module__):  # a container, or a layer that has no parts
            for part in fields["_modules"].values():
                yield from _scopes(part, depth + 1)
    elif not is_library(type(called).__module__):
        yield from _scopes(_attribute(called, "__call__"), depth + 1)


def _effect(use: Use, uses: Uses, scope: Scope) -> Effect | None:
    """What is to be said of a use, if anything."""
    place = f"in {scope.code.co_name}" if scope.code.co_name.isidentifier() else "here"
    if use.kind == "assign":
        if use.path[0] in uses.tested:
            return None
        text = f"assigning {use.path[0]} {place} changes a variable {CHANGES}"
        return Effect(scope, use.line, text, use.path)
    if use.kind == "call":
        for kind in KINDS:
            if any(kind.pattern.fullmatch(name) for name in scope.names(use.path)):
                ends = _ends(use.path, scope)
                when = NEVER if ends else ONCE
                text = f"{_text(use.path)}() {place} {kind.does}{when}{kind.instead}"
                return Effect(scope, use.line, text, ends)
    if _changes_container(use, scope) and use.path[0] not in uses.tested:
        changed = use.path[:-1] if use.kind == "call" else use.path
        what = f"{_text(use.path)}()" if use.kind == "call" else f"assigning {_text(changed)}[...]"
        text = f"{what} {place} changes a container {CHANGES}"
        return Effect(scope, use.line, text, _guarded(changed, scope))
    return None


def _text(path: Path) -> str:
    return ".".join(path).replace(".()", "()").replace(".[]", "[...]")


def _ends(path: Path, scope: Scope) -> tuple[str, ...]:
    """Under which names a recording ends because of a call, if it does."""
    names = set()
    for name in scope.names(path):
        module, _, rest = name.partition(".")
        impure: Collection[str] | None = IMPURE.get(module, ())
        if impure is None or rest.partition(".")[0] in impure:
            names |= {module, f"{module}.{rest.partition('.')[0]}"}
    held = scope.find(path[:1])
    if not (held is UNKNOWN or is_opaque(held) or _is_guardable(held)):
        names.add(path[0])
    names.update(DYNAMIC.intersection(path))
    if "numpy" in names:  # the standard library's module may be found under the same name
        names.add("random")
    return tuple(sorted(names))


def _is_guardable(value: Any) -> bool:
    try:
        snapshot(value)
    except TraceRefused:
        return False
    return True


def _changes_container(use: Use, scope: Scope) -> bool:
    """Whether a use changes a list, dict, set or array from outside, as far as that is certain."""
    place = use.path if use.kind == "item" else use.path[:-1]
    if use.kind == "call" and (not place or use.path[-1] not in MUTATORS):
        return False
    found = scope.find(place)
    if found is not UNKNOWN:
        return isinstance(found, CONTAINERS) and not type(found).__module__.startswith("graphjit.")
    if use.kind == "item" or use.path[-1] not in OWN_MUTATORS or "()" in place:
        return False
    held = [scope.find(place[:end]) for end in range(1, len(place))]
    known = [value for value in held if value is not UNKNOWN]
    return not known or isinstance(known[-1], CONTAINERS)


def _guarded(path: Path, scope: Scope) -> tuple[str, ...]:
    """What guards call a variable, and an attribute of an object."""
    owner = scope.find(path[:1])
    names = [ARGUMENTS if path[0] in parameters(scope.code) else path[0]]
    if len(path) > 1:
        names += [f".{path[1]}", f"{type(owner).__name__}.{path[1]}"]
    return tuple(names)
