"""Attributes that code looks for where they may be missing, sets, or lists.

Reads the instructions of code objects. What is missing when a function is recorded may be there
later, so `reads` guards that it is not.
"""

from __future__ import annotations

import dis
import functools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from types import CodeType, FunctionType
from typing import Any

from .bytecode import BY_NAME, LISTING, imports, names_in, nested

#: names of exceptions of those that catch a missing attribute
_CAUGHT = frozenset({"AttributeError", "Exception", "BaseException"})
_VARIABLES = ("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_NAME", "LOAD_CLASSDEREF")
_BETWEEN = ("COPY", "PUSH_NULL", "PRECALL", "CACHE")
#: an attribute in a string for `str.format`
_FORMAT_FIELD = re.compile(r"\{\w*((?:\.\w+)+)")

#: a variable, or "" where it is not known which, and a name that is looked for in it
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Lookups:
    """What one code object, with those in it, does with attributes.

    Attributes:
        made: those that it sets or deletes, or that a pattern matches.
        matched: the names of those that a pattern matches.
        loaded: those that it reads.
        spelled: strings that may be names of attributes.
        listed: variables of which it lists all attributes.
        catches: whether it goes on where an attribute is missing.
    """

    made: frozenset[Pair]
    matched: frozenset[str]
    loaded: frozenset[Pair]
    spelled: frozenset[Pair]
    listed: frozenset[str]
    catches: bool


@functools.lru_cache(maxsize=1024)
def lookups(code: CodeType) -> Lookups:
    """The lookups of a code object."""
    found: dict[str, set[Any]] = {
        kind: set() for kind in ("made", "matched", "loaded", "spelled", "listed")
    }
    for part in nested(code):
        for kind, what in _found(part):
            found[kind].add(what)
    sets = {kind: frozenset(what) for kind, what in found.items()}
    return Lookups(**sets, catches=_catches(code))


def _found(code: CodeType) -> Iterator[tuple[str, Any]]:
    """The sets of `Lookups` that get something, with that."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in _BETWEEN]
    before: dis.Instruction | None = None
    for step, following in pairwise([*steps, steps[-1]]):
        base = _variable(before)
        if base == "self":  # reads of instances are noted one by one
            pass
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            yield ("listed", base) if step.argval == "__dict__" else ("loaded", (base, step.argval))
        elif step.opname in ("STORE_ATTR", "DELETE_ATTR"):
            if before is None or before.opname != "SWAP":  # `a.b += 1` has loaded it
                yield "made", (base, step.argval)
        elif step.opname == "LOAD_CONST" and not following.opname.endswith("_SUBSCR"):
            is_pattern = following.opname == "MATCH_CLASS"
            for text in _texts(step.argval):
                yield "made" if is_pattern else "spelled", (base, text)
                if is_pattern:
                    yield "matched", text
        if before is not None and step.opname.startswith("LOAD_") and _lists(before):
            yield from (("listed", base) for base in [_variable(step)] if base != "self")
        before = step


def _lists(step: dis.Instruction) -> bool:
    return step.opname.startswith("LOAD_") and step.argval in LISTING


def _variable(step: dis.Instruction | None) -> str:
    """The variable that an instruction loads: "" for a local one, or for anything else."""
    if step is None:
        return ""
    name = step.argval[-1] if "LOAD_FAST_LOAD_FAST" in step.opname else step.argval
    is_self = name == "self" and "LOAD_" in step.opname
    return str(name) if is_self or step.opname in _VARIABLES else ""


def _texts(constant: Any) -> Iterator[str]:
    """Names of attributes that a constant may tell of."""
    if isinstance(constant, (tuple, frozenset)):
        for item in constant:
            yield from _texts(item)
    elif isinstance(constant, str):
        if constant.isidentifier():
            yield constant
        for names in _FORMAT_FIELD.findall(constant):
            yield from names[1:].split(".")


def _catches(code: CodeType) -> bool:
    names = set(names_in(code))
    if names & _CAUGHT and "suppress" in names:
        return True
    for part in nested(code):
        for step, following in pairwise(dis.get_instructions(part)):
            is_bare = step.opname == "PUSH_EXC_INFO" and following.opname == "POP_TOP"
            if is_bare or (step.opname == "CHECK_EXC_MATCH" and names & _CAUGHT):
                return True
    return False


@dataclass(slots=True)
class Sought:
    """The lookups of all code that a recording has led to, and what its variables hold."""

    made: set[Pair] = field(default_factory=set)
    loaded: set[Pair] = field(default_factory=set)
    spelled: set[Pair] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    catches: bool = False
    by_name: bool = False
    #: the names in `made`, and those in `spelled`
    names_made: set[str] = field(default_factory=set)
    names_spelled: set[str] = field(default_factory=set)
    #: the ids of what variables were found to hold, by name
    known: dict[str, set[int]] = field(default_factory=dict)

    def add(self, code: CodeType) -> None:
        """Note what `code` looks for."""
        found = lookups(code)
        self.made |= found.made
        self.loaded |= found.loaded
        self.spelled |= found.spelled
        self.names_made |= {name for _, name in found.made}
        self.names_spelled |= {name for _, name in found.spelled}
        self.listed |= found.listed
        self.catches |= found.catches
        self.by_name |= not BY_NAME.isdisjoint(names_in(code)) or "format" in names_in(code)

    def holds(self, name: str, value: Any) -> None:
        """The variable `name` holds `value`."""
        self.known.setdefault(name, set()).add(id(value))

    def extent(self) -> tuple[int, ...]:
        """Another one when there is something new."""
        pairs = len(self.made) + len(self.loaded) + len(self.spelled) + len(self.listed)
        return (pairs, self.catches, self.by_name, sum(map(len, self.known.values())))

    def spells(self, name: str) -> bool:
        """Whether `name` may be matched, or given to `getattr` as text."""
        return name in self.names_made or (self.by_name and name in self.names_spelled)

    def looked_for(self) -> tuple[set[str], dict[int, set[str]]]:
        """Attributes that are looked for: in anything, and in what has an id."""
        anywhere: set[str] = set()
        by_id: dict[int, set[str]] = {}
        pairs = self.made | (self.spelled if self.by_name else set())
        for base, name in pairs | (self.loaded if self.catches else set()):
            if base not in self.known:
                anywhere.add(name)
            for each in self.known.get(base, ()):
                by_id.setdefault(each, set()).add(name)
        return anywhere, by_id

    def lists(self, thing: Any) -> bool:
        """Whether code may list all attributes of a class or module."""
        for base in self.listed:
            if base in self.known and id(thing) in self.known[base]:
                return True
        return isinstance(thing, type) and any(base not in self.known for base in self.listed)


def finds_modules(function: FunctionType) -> bool:
    """Whether a function reads `sys.modules`."""
    code, known = function.__code__, function.__globals__
    bases = {base for base, name in lookups(code).loaded if name == "modules"}
    is_local = "" in bases and "sys" in imports(code, known.get("__package__") or "")
    return is_local or any(known.get(base) is sys for base in bases)
