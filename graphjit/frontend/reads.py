"""What a recording reads of Python's state: each place becomes a guard.

Functions are followed from the traced one through globals, closure cells, containers, partials and
methods, before it runs; attributes of modules and optimizers are noted while it runs.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import sys
from collections.abc import Container, Iterator, Sequence
from enum import Enum
from pathlib import PurePath
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

from ..errors import PACKAGE, TraceRefused
from . import hung
from .codes import (
    globals_in,
    handles_errors,
    has_type_of_self_only,
    looks_into,
    modules_imported,
    names_in,
    names_matched,
    nested_codes,
)
from .guards import (
    ABSENT,
    CHANGING,
    CONTAINERS,
    MAX_DEPTH,
    SCALARS,
    TABLES,
    AnyGuard,
    CodeGuard,
    Guard,
    HungGuard,
    SameGuard,
    fields,
    is_logger,
    is_mutable,
    is_opaque,
    is_plain,
    items_of,
    snapshot,
)
from .libraries import impure_names, is_library
from .mode import MODE
from .plain import WHOLE, Layout, PlainGuard, attributes, own_dict
from .state import CARRIED, GUARDED, STEPPING, VERSIONS, SelfGuarding
from .tensor import Tensor
from .watching import assigning_plain, noting_plain, stands_in, watch, watch_absence

#: built-in functions that read what no name in the code tells
DYNAMIC = {"globals", "locals", "eval", "exec", "input", "open"}


class Reads:
    """Collects guards. `refusal` is the first reason why something read cannot be guarded."""

    def __init__(self) -> None:
        self.structural: list[Guard] = []
        self.always: list[AnyGuard] = []
        self.refusal: str | None = None
        self.about = ""
        self.noted: set[tuple[int, str]] = set()
        self.seen: dict[int, Any] = {}
        self.names: set[str] = set()
        self.spaces: list[Any] = []
        self.ours: list[ModuleType] = []
        self.code = CodeGuard()
        self.always.append(self.code)
        #: the plain objects that were reached, by id
        self.plain: dict[int, PlainGuard] = {}
        self.watched: list[type] = []
        #: the tensors that were reached, by id, with what users had hung on them by then
        self.tensors: dict[int, tuple[Tensor, dict[str, Any]]] = {}
        #: how many of them had something; and which names, for code that looks at all
        self.hung = 0
        self.hung_names = HungGuard()

    def refuse(self, reason: str, about: str) -> None:
        """`about` is the name of the variable, attribute, module or function."""
        if self.refusal is None:
            self.refusal, self.about = reason, about

    # --- while the function runs ------------------------------------------------------------

    def attribute(self, owner: Any, name: str, value: Any) -> None:
        """`owner.name` gave `value`."""
        recorder = MODE.recorder
        if recorder is not None and (id(owner), name) in recorder.assigned:
            return  # by the function itself
        steps = recorder is not None and isinstance(owner, tuple(STEPPING)) and not is_opaque(value)
        if recorder is not None and steps and recorder.numbers_change:
            recorder.refuse(f"{type(owner).__name__}.{name} is read after a scheduler's step")
        if not self._is_new(owner, name):
            return
        self._class_entry(type(owner), name)
        self.function(value)
        if name == "forward":
            self.code.patched[type(owner)] = type(owner).forward
        kind: Any = type(owner)
        counted = kind.__setattr__ is not object.__setattr__  # changes move a version
        counted = counted and (id(owner), name) not in CARRIED
        always = name not in TABLES and (is_mutable(value) or not counted)
        self._add(f"{type(owner).__name__}.{name}", owner, name, value, always)

    def absence(self, owner: Any, name: str) -> None:
        """`owner` has no attribute `name`, unless its `__getattr__` makes one up."""
        if self._is_new(owner, name):
            label = f"{type(owner).__name__}.{name}"
            guards: list[Any] = self.always if id(owner) in self.plain else self.structural
            guards.append(Guard(label, owner, name, ABSENT, CHANGING))

    def lack(self, tensor: Tensor, name: str, module: str | None) -> None:
        """`tensor` has no attribute `name`, which code of `module` has looked for."""
        recorder = MODE.recorder
        if recorder is None or recorder.made(tensor) or is_library(module):
            return
        if not self._is_new(tensor, name):
            return
        label = f"{type(tensor).__name__}.{name}"
        if id(tensor) in recorder.positions:
            recorder.lacks(tensor, name)
        elif id(tensor) not in self.tensors:
            self.refuse(f"{label} is looked for, which another tensor may have", name)
        else:
            self.always.append(Guard(label, tensor, name, ABSENT, CHANGING))

    def whole(self, owner: Any, found: dict[str, Any], module: str | None) -> None:
        """`owner.__dict__` gave `found` to code of `module`."""
        if not is_library(module):
            for name in found.keys() - TABLES:
                self._add(f"{type(owner).__name__}.{name}", owner, name, found[name], True)
                self.function(found[name])

    def plain_attribute(self, owner: Any, name: str, value: Any) -> None:
        """`owner.name` gave `value`, where `owner` is a plain object from outside."""
        recorder = MODE.recorder
        if recorder is not None and (id(owner), name) in recorder.assigned:
            return  # by the function itself
        cls = type(owner)
        own = {*own_dict(owner), *Layout.of(cls).slots}
        if name[:2] == "__" and name not in WHOLE | own or not self._is_new(owner, name):
            return
        if name in WHOLE:
            value = attributes(owner)
            for each in value:
                self.plain_attribute(owner, each, value[each])
            self._add(f"{cls.__name__}.__dict__", owner, "__dict__", own_dict(owner), True)
        elif name in own:
            self._add(f"{cls.__name__}.{name}", owner, name, value, True)
        else:  # what a property gives is told by what it reads
            self.plain[id(owner)].found.add(name)
            self._class_entry(cls, name)
        self.function(value)

    def _class_entry(self, cls: type, name: str) -> None:
        """Guard what instances of a user's class find on it, if anything."""
        for base in cls.__mro__:
            if name in vars(base) and not is_library(base.__module__):
                self._entry(base, name)
                break

    def forget(self, key: tuple[int, str]) -> Guard | None:
        """The guard on an attribute that the function turns out to assign, taken out."""
        guards: list[Any]
        for guards in (self.structural, self.always):
            for guard in guards:
                if isinstance(guard, Guard) and (id(guard.container), guard.key) == key:
                    guards.remove(guard)
                    return guard
        return None

    def on_attributes(self, keys: Container[tuple[int, str]]) -> list[Guard]:
        """The guards that are looked at in every call, on attributes (id of the owner, name)."""
        guards = [guard for guard in self.always if isinstance(guard, Guard)]
        return [guard for guard in guards if (id(guard.container), guard.key) in keys]

    def changed(self, assigned: Container[tuple[int, str]]) -> str | None:
        """The name of something that is no longer what it was, but for attributes `assigned`."""
        for guard in self.always:
            if not guard.holds():
                return guard.name
        for plain in self.plain.values():
            for name in plain.changed():
                if (id(plain.thing), name) not in assigned:
                    return f"{plain.cls.__name__}.{name}"
        changes = (hung.changed(tensor, before) for tensor, before in self.tensors.values())
        return next(filter(None, changes), None)

    def looks_into(self, tensor: Tensor) -> bool:
        """Whether there are guards on what users have hung on `tensor`, or may hang there."""
        guards = [guard for guard in self.always if guard is not self.hung_names]
        return any(
            any(tensor is each for each, _ in guard.tensors) if isinstance(guard, HungGuard)
            else guard.container is tensor
            for guard in guards
        )

    def meets(self, tensor: Tensor) -> None:
        """The call has used `tensor`, whose attributes must be known if it has any."""
        if id(tensor) not in self.tensors and hung.hung(tensor):
            name = f"{type(tensor).__name__}.{next(iter(hung.hung(tensor)))}"
            self.refuse(f"{name} is an attribute of a tensor that was found too late", name)

    def forget_told(self, told: Sequence[Any]) -> None:
        """Drop the guards on what only the functions in `told` look at, or change.

        A list to which `debug.callback(found.append, x)` appends is another one at each call, and
        may be: the traced function itself does not see what is in it.
        """
        told_codes = (getattr(function, "__code__", None) for function in told)
        own = {code for outer in told_codes for code in nested_codes(outer)}
        codes = [c for _, code in self.code.codes for c in nested_codes(code) if c not in own]
        changing = [id(getattr(function, "__self__", None)) for function in told]

        def is_told_only(guard: AnyGuard) -> bool:
            if not isinstance(guard, Guard) or guard.holds():
                return False
            is_attribute = not isinstance(guard.container, (CellType, dict))
            if is_attribute and (id(guard.read()) not in changing or self.names & _BY_TEXT):
                return False
            return not any(looks_into(guard.key or guard.name, code) for code in codes)

        self.always = [guard for guard in self.always if not is_told_only(guard)]

    def holds_to(self, value: Any) -> bool:
        """Guard that a container from outside is the same one; whether its places are known."""
        guards = [g for g in (*self.structural, *self.always) if isinstance(g, Guard)]
        places = [guard for guard in guards if guard.finds(value)]
        self.always += [SameGuard(place, value) for place in places]
        return bool(places)

    def knows(self, value: Any) -> bool:
        """Whether `value` was there before the call, and not made by it."""
        if isinstance(value, (type, ModuleType, BuiltinFunctionType, Enum)):
            return True
        return self.has_seen(value)

    def has_seen(self, value: Any) -> bool:
        """Whether the function, or what it leads to, refers to `value`."""
        return self.seen.get(id(value)) is value

    # --- before it runs -----------------------------------------------------------------------

    def call(self, function: Any, arguments: Any) -> None:
        """Guard what `function` is, and what it and its arguments lead to."""
        if isinstance(function, MethodType):
            self._variable("self", {"self": function.__self__}, "self")
        elif not isinstance(function, FunctionType):
            self._variable(type(function).__name__, {"function": function}, "function")
        self._reach(arguments)
        self.function(function)

    def function(self, function: Any) -> None:
        """Guard what the code of a function, and all code that it leads to, reads."""
        before = self._extent()
        self._reach(function)
        while before != (before := self._extent()):
            for space in tuple(self.spaces):
                for name in [n for n in vars(space) if self._is_named(n) or _is_extension(space)]:
                    if not stands_in(vars(space)[name]):
                        self._entry(space, name)
            for module in tuple(self.ours):
                for name in self.names & vars(module).keys():
                    self._library_entry(module, name)
            if self.hung:
                self._hung_entries()

    def _extent(self) -> tuple[int, ...]:
        return (len(self.names), len(self.spaces), len(self.ours), self.hung)

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

    def _library_entry(self, module: ModuleType, name: str) -> None:
        """Guard a function of graphjit's, in whose place another may be put."""
        if self._is_new(module, name):
            value = vars(module)[name]
            self._add(f"{module.__name__}.{name}", module, name, value, False)
            self._reach(value)

    def _hung_entries(self) -> None:
        """Guard what users have hung on tensors, as far as the code names it."""
        by_text = not self.names.isdisjoint(hung.BY_TEXT)
        for tensor, found in tuple(self.tensors.values()):
            for name in found:
                if (by_text or name in self.names) and self._is_new(tensor, name):
                    self._hung_entry(tensor, name, found[name])

    def _hung_entry(self, tensor: Tensor, name: str, value: Any) -> None:
        label = f"{type(tensor).__name__}.{name}"
        if MODE.recorder is not None and id(tensor) in MODE.recorder.positions:
            self.refuse(f"{label} is an attribute of an argument, which others may not have", name)
            return
        self._add(label, tensor, name, value, True)
        self._reach(value)

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
            self.refuse(f"{name}: {refusal}", name)
            return
        (self.always if always else self.structural).append(guard)

    def _reach(self, value: Any, depth: int = 0) -> None:
        """Follow what `value` leads to."""
        if isinstance(value, SCALARS) or id(value) in self.seen or depth > MAX_DEPTH:
            return
        if is_logger(value):
            return
        self.seen[id(value)] = value
        if isinstance(value, Tensor):
            self._tensor(value)
        elif is_plain(value):
            self._watch(value)
        for part in _parts(value):
            self._reach(part, depth + 1)
        if isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, ModuleType):
            self._module(value)
        elif isinstance(value, BuiltinFunctionType):
            self._library_function(value, value.__module__ or type(value.__self__).__module__)
        elif isinstance(value, type) and not is_library(value.__module__):
            self.spaces.append(value)
        elif _is_path(value) and impure_names("pathlib", self.names):
            self._refuse_impure("pathlib", "pathlib")

    def _tensor(self, tensor: Tensor) -> None:
        """Note what users have hung on a tensor so far."""
        cls, recorder = type(tensor), MODE.recorder
        if recorder is not None and recorder.made(tensor):
            return
        found = hung.hung(tensor)
        self.tensors[id(tensor)] = (tensor, found)
        self.hung += bool(found)
        if tensor._hooks:  # which are followed when all is done
            self._watch_absence()
        is_argument = recorder is not None and id(tensor) in recorder.positions
        if not is_argument:
            self.hung_names.tensors.append((tensor, found))
        if hung.looks_up_by_itself(cls):
            self.refuse(f"{cls.__name__} finds attributes of tensors by itself", cls.__name__)
        elif not is_library(cls.__module__) and is_argument:
            self.refuse(f"an argument is a {cls.__name__}, which may hide attributes", cls.__name__)
        elif not is_library(cls.__module__):
            self.always.append(HungGuard([(tensor, found)]))

    def _watch_absence(self) -> None:
        """Note which attributes tensors do not have from now on."""
        if Tensor not in self.watched:
            self.watched.append(Tensor)
            watch_absence()

    def _watch(self, thing: Any) -> None:
        """Note what is read of a plain object from now on."""
        guard = self.plain[id(thing)] = PlainGuard(thing, type(thing), attributes(thing))
        self.always.append(guard)
        if type(thing) not in self.watched:
            self.watched.append(type(thing))
            watch(type(thing), noting_plain, assigning_plain)

    def _module(self, module: ModuleType) -> None:
        if module.__name__.partition(".")[0] == "graphjit":
            if not isinstance(module, WatchedModule):
                module.__class__ = WatchedModule
            self.ours.append(module)
        elif not is_library(module.__name__):
            self.spaces.append(module)
        elif impure_names(module.__name__, self.names):
            self._refuse_impure(f"the module {module.__name__}", module.__name__)

    def _library_function(self, function: Any, source: str) -> None:
        if impure_names(source, {function.__name__}):
            self._refuse_impure(f"{function.__name__}() of {source}", source)

    def _refuse_impure(self, what: str, about: str) -> None:
        self.refuse(f"{what} gives other values at each call", about)

    def _function(self, function: FunctionType) -> None:
        """The globals, closure cells, defaults and attributes of a user's function."""
        code = function.__code__
        if code.co_filename.startswith(PACKAGE):
            return
        if is_library(function.__module__):
            self._library_function(function, function.__module__)
            return
        mentioned = set(names_in(code))
        if "type" in mentioned and has_type_of_self_only(code):
            mentioned.discard("type")
        if mentioned & hung.OF_ALL and self.hung_names not in self.always:
            self.always.append(self.hung_names)
        self.names |= mentioned
        self.names |= names_matched(code)
        if mentioned & hung.FINDING_NONE or handles_errors(code) or names_matched(code):
            self._watch_absence()
        names = globals_in(code)
        for name in names & DYNAMIC - function.__globals__.keys():
            self.refuse(f"{name}() reads what cannot be guarded", name)
        self.code.add(function, names & vars(builtins).keys() - function.__globals__.keys())
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
        for name in modules_imported(code, function.__globals__.get("__package__") or ""):
            self._import(name)

    def _import(self, name: str) -> None:
        """Follow a module that a function imports itself; none is there yet at a first import."""
        if name in sys.modules:
            self._reach(sys.modules[name])
        else:
            self.always.append(Guard(f"sys.modules[{name!r}]", sys.modules, name, ABSENT, CHANGING))


class WatchedModule(ModuleType):
    """A module of graphjit's, of which a replay sees when Python exchanges a function of it."""

    def __setattr__(self, name: str, value: Any) -> None:
        VERSIONS.structure += 1
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        VERSIONS.structure += 1
        super().__delattr__(name)


#: methods that are called without being named
_SPECIAL = frozenset(
    name for kind in (int, float, list, dict, object, type(_ for _ in ())) for name in vars(kind)
    if name.startswith("__") and callable(vars(kind)[name])
) - {"__class__", "__new__", "__subclasshook__"} | {"__call__", "__enter__", "__exit__", "__init__"}


def _parts(value: Any) -> Iterator[Any]:
    """What calling or reading `value` may lead to."""
    if isinstance(value, SelfGuarding):  # it notes what is read of it, but not of tensors in it
        every: Any = value
        items = dict.values(every) if isinstance(value, dict) else list.__iter__(every)
        yield from (x for x in items if isinstance(x, (Tensor, SelfGuarding)))
    elif isinstance(value, dict):
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
    elif is_plain(value) or isinstance(value, Tensor):
        yield type(value)
    elif not is_opaque(value):
        yield type(value)
        yield from fields(value)[1::2]
    elif callable(value):  # a traced function, or another wrapper of graphjit's
        yield getattr(value, "__dict__", {}).get("__wrapped__")


def _is_path(value: Any) -> bool:
    return isinstance(value, PurePath) or (isinstance(value, type) and issubclass(value, PurePath))


def _is_extension(space: Any) -> bool:
    """Whether graphjit calls the methods of a class by itself: a `Function`, an optimizer."""
    return isinstance(space, type) and any(
        base is not object and is_library(base.__module__) for base in space.__mro__
    ) and not issubclass(space, tuple(GUARDED))


#: what finds attributes whose names are not in the code
_BY_TEXT = frozenset({"getattr", "attrgetter", "vars", "__dict__"})
