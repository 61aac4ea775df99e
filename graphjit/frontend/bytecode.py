"""What code objects say of themselves: names, imports, attributes that they look for or set."""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from itertools import pairwise
from types import CodeType
from typing import Any


def nested(code: CodeType | None) -> Iterator[CodeType]:
    """A code object and those inside it."""
    if code is not None:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from nested(constant)


#: functions that are given the names of attributes, and those that list attributes
BY_NAME = frozenset({"getattr", "hasattr", "setattr", "delattr", "attrgetter"})
LISTING = frozenset({"vars", "dir", "getmembers", "getmembers_static"})
#: what reads attributes whose names are not in the code
BY_TEXT = LISTING | {"getattr", "attrgetter", "__dict__"}
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_ATTR", "LOAD_METHOD")


def looks_into(name: str, code: CodeType) -> bool:
    """Whether `code` does more with a variable than to take a bound method of what it holds."""
    instructions = list(dis.get_instructions(code))
    for this, following in pairwise(instructions):
        if this.opname in _LOADS and this.argval == name:
            calls = sys.version_info >= (3, 12) and (following.arg or 0) & 1
            if following.opname != "LOAD_ATTR" or calls:
                return True
    return False


def names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


@functools.lru_cache(maxsize=1024)
def handles_errors(code: CodeType) -> bool:
    """Whether there are `except` clauses, or a `with` or `finally`, which look the same."""
    steps = (step for part in nested(code) for step in dis.get_instructions(part))
    return any(step.opname == "PUSH_EXC_INFO" for step in steps)


@functools.lru_cache(maxsize=1024)
def has_type_of_self_only(code: CodeType) -> bool:
    """Whether all uses of `type` are `type(self)`, as in methods that dataclasses have."""
    pairs = [pair for part in nested(code) for pair in pairwise(dis.get_instructions(part))]
    uses = [following for this, following in pairs if this.argval == "type"]
    return all(use.opname.startswith("LOAD_FAST") and use.argval == "self" for use in uses)


@functools.lru_cache(maxsize=1024)
def tells_same(code: CodeType) -> bool:
    """Whether `code` may ask if two things are the same one: by `is`, by `in`, by `id()`."""
    if not _IDENTITY.isdisjoint(names_in(code)):
        return True
    pairs = [pair for part in nested(code) for pair in pairwise(dis.get_instructions(part))]
    return any(
        step.opname in ("IS_OP", "CONTAINS_OP") and before.opname != "LOAD_CONST"
        for before, step in pairs
    )


@functools.lru_cache(maxsize=1024)
def stored_in(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The names of attributes that statements in `code` set, and of those that they delete."""
    steps = [step for part in nested(code) for step in dis.get_instructions(part)]
    return (
        frozenset(step.argval for step in steps if step.opname == "STORE_ATTR"),
        frozenset(step.argval for step in steps if step.opname == "DELETE_ATTR"),
    )


def imports(code: CodeType, package: str) -> Iterator[str]:
    """The modules that import statements in `code` name."""
    for name, level in _imported(code):
        yield resolve_name("." * level + name, package) if level else name


@functools.lru_cache(maxsize=1024)
def _imported(code: CodeType) -> tuple[tuple[str, int], ...]:
    """Names of modules in import statements, with how many packages up they are looked for."""
    found: list[tuple[str, int]] = []
    for part in nested(code):
        before: list[Any] = [None, None]
        for step in dis.get_instructions(part):
            if step.opname == "IMPORT_NAME":
                found.append((step.argval, before[0].argval))
            before = [before[1], step]
    return tuple(found)


@functools.lru_cache(maxsize=1024)
def globals_in(code: CodeType) -> frozenset[str]:
    """The names of globals and built-ins that a function looks up, not those of attributes."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname in _LOOK_UPS}
    inner = [globals_in(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return frozenset(found).union(*inner)


_LOOK_UPS = {"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"}
#: functions and methods that find a tensor by its identity
_IDENTITY = frozenset("id hash index remove count".split())
