"""What a recording reads of Python's state: each place becomes a guard.

Functions are followed from the traced one through globals, closure cells, containers, partials and
methods, before it runs; attributes of modules and optimizers are noted while it runs.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Container, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

from ..errors import PACKAGE, TraceRefused
from . import hung
from .bytecode import (
    BY_TEXT,
    globals_in,
    handles_errors,
    has_type_of_self_only,
    imports,
    looks_into,
    names_in,
    nested,
)
from .guards import (
    ABSENT,
    CHANGING,
    MAX_DEPTH,
    SCALARS,
    TABLES,
    AbsenceGuard,
    AnyGuard,
    ClassGuard,
    CodeGuard,
    Guard,
    HungGuard,
    SameGuard,
    is_logger,
    is_mutable,
    is_opaque,
    is_plain,
    items_of,
    snapshot,
)
from .libraries import home, is_impure, is_library, telling_module
from .lookups import Sought, finds_modules, lookups
from .mode import MODE
from .parts import dispatches, has_space, is_extension, is_path, label, makes_up, parts
from .plain import WHOLE, Layout, PlainGuard, attributes, own_dict
from .state import CARRIED, GUARDED, STEPPING, WRAPPERS
from .tensor import Tensor
from .watching import (
    WatchedModule,
    assigning_plain,
    noting_plain,
    stands_in,
    watch,
    watch_absence,
)

#: built-in functions that read what no name in the code tells
DYNAMIC = {"globals", "locals", "eval", "exec", "input", "open", "__import__"}


class Reads:
    """Collects guards. `refusal` is the first reason why something read cannot be guarded."""

    def __init__(self) -> None:
        self.structural: list[Guard | ClassGuard] = []
        self.always: list[AnyGuard] = []
        self.refusal: str | None = None
        self.about = ""
        self.noted: set[tuple[int, str]] = set()
        self.seen: dict[int, Any] = {}
        self.names: set[str] = set()
        self.spaces: list[Any] = []
        self.ours: list[ModuleType] = []
        self.code = CodeGuard()
        self.absences = AbsenceGuard()
        self.always += [self.code, self.absences]
        self.sought = Sought()
        #: by the id of a function, a class or a module: how much was known when absences were noted
        self.searched: dict[int, Any] = {}
        #: how much was known when the last of it was followed
        self.followed: tuple[int, ...] = ()
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
            if MODE.recorder is not None:  # its numbers need not stay symbolic any more
                MODE.recorder.exact = True

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
        self._class_of(owner)
        self._class_entry(type(owner), name)
        self.function(value)
        self._method(type(owner), name)
        kind: Any = type(owner)
        counted = kind.__setattr__ is not object.__setattr__  # changes move a version
        counted = counted and (id(owner), name) not in CARRIED
        always = name not in TABLES and (is_mutable(value) or not counted)
        self._add(f"{type(owner).__name__}.{name}", owner, name, value, always)

    def _class_of(self, owner: Any) -> None:
        """Guard and follow what Python calls by itself on a user's class of a module."""
        cls = type(owner)
        if id(cls) in self.searched:
            return
        self.searched[id(cls)] = None
        for base in cls.__mro__:
            if not is_library(base.__module__):
                for name in _CALLED & vars(base).keys():
                    self._entry(base, name)
                self._absent(base, _CALLED & {n for each in base.__mro__ for n in vars(each)})
        self._method(cls, "__call__")

    def _method(self, cls: type, name: str) -> None:
        """Guard a method of a module's or an optimizer's class, be that class graphjit's or not."""
        if name[:1] == "_" and name != "__call__":
            return
        found = getattr(cls, name, None)
        stays = callable(found) and getattr(cls, name) is found  # bound methods are made each time
        if stays and any(hasattr(base, name) for base in GUARDED if issubclass(cls, base)):
            self.code.methods[cls, name] = found

    def absence(self, owner: Any, name: str) -> None:
        """`owner` has no attribute `name`, unless its `__getattr__` makes one up."""
        self._class_of(owner)
        if self._is_new(owner, name):
            for cls in type(owner).__mro__:
                self._absent(cls, {name})
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
        for place, base in enumerate(cls.__mro__):
            if name in vars(base):
                if not is_library(base.__module__):
                    self._entry(base, name)
                for nearer in () if name == "forward" else cls.__mro__[:place]:
                    self._absent(nearer, {name})
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
        own = {code for function in told for code in nested(getattr(function, "__code__", None))}
        codes = [c for _, code in self.code.codes for c in nested(code) if c not in own]
        changing = [id(getattr(function, "__self__", None)) for function in told]

        def is_told_only(guard: AnyGuard) -> bool:
            if not isinstance(guard, Guard) or guard.holds():
                return False
            is_attribute = not isinstance(guard.container, (CellType, dict))
            if is_attribute and (id(guard.read()) not in changing or self.names & BY_TEXT):
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
        self._called(function)
        self._reach(arguments)
        self.function(function)

    def hook(self, function: Any) -> None:
        """Guard what a function that backward may call leads to."""
        if not self.has_seen(function):
            self._called(function)
            self.function(function)

    def _called(self, function: Any) -> None:
        """Guard what is called where no variable holds it."""
        if isinstance(function, MethodType):
            self._variable("self", {"self": function.__self__}, "self")
        elif not isinstance(function, FunctionType):
            name = getattr(function, "__name__", type(function).__name__)
            self._variable(name, {"function": function}, "function")

    def function(self, function: Any) -> None:
        """Guard what the code of a function, and all code that it leads to, reads."""
        self._reach(function)
        while self.followed != (extent := self._extent()):
            self.followed = extent
            for space in tuple(self.spaces):
                self._space(space)
            self._search()
            for module in tuple(self.ours):
                for name in self.names & vars(module).keys():
                    self._library_entry(module, name)
            if self.hung:
                self._hung_entries()

    def _space(self, space: Any) -> None:
        """Guard the entries of a module, a class or a function that code may look at."""
        own = _OF_MEMBERS if isinstance(space, Enum) else WRAPPERS.get(type(space), ())
        every, lists = is_extension(space), self.sought.lists(space)
        for name in [n for n in vars(space) if n not in own and (
            every or self._is_named(n) or (lists and n[:2] != "__")
        )]:  # fmt: skip
            if not stands_in(vars(space)[name]):
                self._entry(space, name)
        if lists:
            names = {name for name, value in vars(space).items() if not stands_in(value)}
            self.absences.complete_by(space, label(space), names)

    def _search(self) -> None:
        """Guard that nothing has what is looked for in vain, or would be found first."""
        anywhere, by_id = self.sought.looked_for()
        extent = (len(self.names), *self.sought.extent())
        for space in (*self.spaces, *(function for function, _ in self.code.codes)):
            if self.searched.get(id(space)) == extent:
                continue
            self.searched[id(space)] = extent
            mine = by_id.get(id(space), set())
            self._absent(space, mine if isinstance(space, Enum) else anywhere | mine)
            if isinstance(space, type):
                self._absent(space, _DEFAULTS)
                self._search_bases(space)
            elif isinstance(space, FunctionType) and not vars(space) and self.sought.lists(space):
                self.spaces.append(space)
            if makes_up(space):
                self._absent(space, self.names)

    def _search_bases(self, cls: type) -> None:
        """Guard that no class in the order of resolution hides what a later one has."""
        kind: Any = type(cls)
        named, later = self.names | _SPECIAL, set[str]()
        for base in reversed((*cls.__mro__, *kind.__mro__)):
            if base not in (object, type):
                if not issubclass(base, type):
                    self._absent(base, later)
                later |= named & vars(base).keys()

    def _absent(self, space: Any, names: AbstractSet[str]) -> None:
        """Guard that a user's module, class or function has none of those `names` it has not."""
        if isinstance(space, type) and is_library(space.__module__):
            return
        self.absences.add(space, label(space), names - vars(space).keys() - _WATCHING)

    def _extent(self) -> tuple[int, ...]:
        sizes = (len(self.names), len(self.spaces), len(self.ours), len(self.code.codes))
        return (*sizes, self.hung, *self.sought.extent())

    def _is_named(self, name: str) -> bool:
        if name[:2] == "__":
            return name in self.names or name in _SPECIAL
        return name in self.names or "getattr" in self.names or self.sought.spells(name)

    def _is_new(self, owner: Any, name: str) -> bool:
        key = (id(owner), name)
        new = key not in self.noted
        self.noted.add(key)
        return new

    def _entry(self, space: Any, name: str) -> None:
        """Guard an attribute of a user's module, class or function."""
        if self._is_new(space, name):
            self._variable(f"{label(space)}.{name}", space, name)

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
        if not isinstance(value, SCALARS):
            self.sought.holds(key or name, value)
        self._reach(value)
        self._add(name, container, key, value, True)

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
        self.names |= telling_module(value)
        if isinstance(value, Tensor):
            self._tensor(value)
        elif is_plain(value):
            self._watch(value)
        elif isinstance(value, tuple(GUARDED)):
            self.structural.append(ClassGuard(value, type(value)))
        for part in parts(value):
            self._reach(part, depth + 1)
        if isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, ModuleType):
            self._module(value)
        elif isinstance(value, BuiltinFunctionType):
            self._library_function(value, home(value))
        elif has_space(value):
            self.spaces.append(value)
        elif is_path(value) and is_impure("pathlib", self.names):
            self._refuse_impure("pathlib", "pathlib")

    def _tensor(self, tensor: Tensor) -> None:
        """Note what users have hung on a tensor so far."""
        cls, recorder = type(tensor), MODE.recorder
        if recorder is not None and recorder.made(tensor):
            return
        found = hung.hung(tensor)
        self.tensors[id(tensor)] = (tensor, found)
        self.hung += bool(found)
        for hook in tensor._hooks or ():
            self._watch_absence()
            self._called(hook)
            self._reach(hook)
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
        elif is_impure(module.__name__, self.names):
            self._refuse_impure(f"the module {module.__name__}", module.__name__)

    def _library_function(self, function: Any, source: str) -> None:
        if is_impure(source, {function.__name__}):
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
        matched = lookups(code).matched
        self.names |= matched
        if mentioned & hung.FINDING_NONE or handles_errors(code) or matched:
            self._watch_absence()
        names = globals_in(code)
        for name in names & DYNAMIC - function.__globals__.keys():
            self.refuse(f"{name}() reads what cannot be guarded", name)
        self.sought.add(code)
        self.code.codes.append((function, code))
        missing = names - function.__globals__.keys()
        self.absences.add(function.__globals__, "", missing)
        self.absences.add(vars(builtins), "", missing - vars(builtins).keys())
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
        if dispatches(function):
            self._entry(function, "registry")
        if finds_modules(function):
            self.refuse("sys.modules leads to what cannot be guarded", "sys.modules")
        if code.co_name != "__getattribute__" and _PAST.intersection(code.co_names):
            self.refuse("an attribute is read past the class of what has it", function.__name__)
        for name in imports(code, function.__globals__.get("__package__") or ""):
            self._import(name)

    def _import(self, name: str) -> None:
        """Follow a module that a function imports itself; none is there yet at a first import."""
        if name in sys.modules:
            return self._reach(sys.modules[name])
        self.always.append(Guard(f"sys.modules[{name!r}]", sys.modules, name, ABSENT, CHANGING))


#: methods that are called without being named
_SPECIAL = frozenset(
    name for kind in (int, float, list, dict, object, type(_ for _ in ())) for name in vars(kind)
    if name.startswith("__") and callable(vars(kind)[name])
) - {"__class__", "__subclasshook__"} | frozenset(
    "__call__ __enter__ __exit__ __init__ __new__ __getattr__ __get__ __set__ __delete__ "
    "__set_name__ __matmul__ __rmatmul__ __imatmul__ __missing__ __instancecheck__ "
    "__subclasscheck__ __prepare__ __mro_entries__ __copy__ __deepcopy__ __aenter__ __aexit__ "
    "__await__ __aiter__ __anext__ __array__ __complex__ __bytes__ __fspath__ __del__".split()
    + [f"__i{name}__" for name in "truediv floordiv mod pow lshift rshift and or xor sub".split()]
)  # fmt: skip
#: those of them that tell what a module does, or any other object whose class is not followed
_CALLED = frozenset(
    "__call__ __getattr__ __getitem__ __len__ __iter__ __contains__ __bool__ __enter__ __exit__ "
    "__eq__ __hash__".split()
)
#: what reads attributes unseen
_PAST = {"__getattribute__", "getattr_static"}
#: what Python keeps in the members of an enumeration
_OF_MEMBERS = {"_value_", "_name_", "_sort_order_", "__objclass__"}
#: those of them that every class has, or that something else stands in for
_DEFAULTS = frozenset("__init__ __new__ __bool__ __len__ __eq__".split())
#: what a class has while it is watched
_WATCHING = {"__getattribute__", "__setattr__"}
