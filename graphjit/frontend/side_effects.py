"""Warnings about what a replay will not do again, from the source of the functions traced.

A recording runs a function's Python once; replays run what was recorded. Reads the source of a
function whose code names something of that kind; says nothing where there is none to read.
"""

from __future__ import annotations

import ast
import dis
import inspect
import io
import textwrap
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ..errors import TraceWarning

#: methods that change the container that they are called on
CHANGING = frozenset(
    "append appendleft extend insert add update setdefault pop popleft remove discard clear sort "
    "reverse".split()
)
#: methods of loggers and streams
SHOWING = frozenset("write writelines debug info warning error critical exception log".split())


def warn_of_effects(functions: Iterable[FunctionType], known: set[CodeType]) -> None:
    """Warn, at the user's lines, of effects of `functions`; their code is added to `known`."""
    for function in functions:
        code = function.__code__
        if code in known:
            continue
        known.add(code)
        for line, text in effects(function):
            registry = function.__globals__.setdefault("__warningregistry__", {})
            warnings.warn_explicit(
                text, TraceWarning, code.co_filename, line, function.__module__, registry
            )


def effects(function: FunctionType) -> list[tuple[int, str]]:
    """What a replay of `function` leaves out, with its line in the file."""
    if not _is_suspect(function.__code__):
        return []
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return []
    ast.increment_lineno(tree, first - 1)
    definition = next((n for n in ast.walk(tree) if isinstance(n, _FUNCTIONS)), None)
    return [] if definition is None else sorted(_Scan(function, definition).effects())


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _is_suspect(code: CodeType) -> bool:
    """Whether the names in `code`, or in functions inside it, hint at an effect."""
    names = {*code.co_names, *code.co_freevars}
    if names & (CHANGING | SHOWING | {"print"}) or _stores_outside(code):
        return True
    return any(isinstance(c, CodeType) and _is_suspect(c) for c in code.co_consts)


def _stores_outside(code: CodeType) -> bool:
    return any(
        i.opname in ("STORE_GLOBAL", "STORE_SUBSCR")
        or (i.opname == "STORE_DEREF" and i.argval in code.co_freevars)
        for i in dis.get_instructions(code)
    )  # fmt: skip


class _Scan:
    """Looks through the body of one function."""

    def __init__(self, function: FunctionType, definition: ast.AST) -> None:
        self.definition = definition
        self.outer = {n for node in ast.walk(definition) for n in _declared(node)}
        self.local = set(_bound(definition)) - self.outer
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        self.values: dict[str, Any] = dict(function.__globals__)
        for name, cell in cells:
            try:
                self.values[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                self.values.pop(name, None)

    def effects(self) -> Iterator[tuple[int, str]]:
        for node in self._nodes(self.definition, self._told()):
            text = None
            if isinstance(node, ast.Call):
                text = self._call(node)
            elif isinstance(node, (ast.Assign, ast.AugAssign)):
                text = self._assignment(node)
            if text is not None:
                assert isinstance(node, (ast.expr, ast.stmt))
                yield node.lineno, f"{text} when a traced function is replayed"

    def _told(self) -> set[Any]:
        """What `graphjit.debug.callback` is given to call: lambdas, and names of functions."""
        told: set[Any] = set()
        for node in ast.walk(self.definition):
            if isinstance(node, ast.Call) and node.args:
                called = self._value(node.func)
                if getattr(called, "__module__", None) == "graphjit.debug":
                    first = node.args[0]
                    told.add(first.id if isinstance(first, ast.Name) else first)
        return told

    def _nodes(self, node: ast.AST, told: set[Any]) -> Iterator[ast.AST]:
        """The nodes of the body, without the bodies of functions in `told`."""
        if node in told or (isinstance(node, ast.FunctionDef) and node.name in told):
            return
        yield node
        for child in ast.iter_child_nodes(node):
            yield from self._nodes(child, told)

    def _call(self, node: ast.Call) -> str | None:
        called = node.func
        if isinstance(called, ast.Name):
            hides = "print" in self.local or "print" in self.values
            is_print = called.id == "print" and not hides
            return "print() is not called (graphjit.debug.print is)" if is_print else None
        if not isinstance(called, ast.Attribute):
            return None
        holder = self._value(called.value)
        if called.attr in SHOWING and _shows(holder):
            return f"{ast.unparse(called)}() is not called"
        if called.attr in CHANGING and isinstance(holder, (list, dict, set, deque)):
            return f"{ast.unparse(called)}() is not called (graphjit.debug.callback is)"
        return None

    def _assignment(self, node: ast.Assign | ast.AugAssign) -> str | None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and target.id in self.outer:
                return f"{target.id}, a variable from outside, is not assigned"
            if isinstance(target, ast.Subscript):
                holder = self._value(target.value)
                root = _root(target.value)
                outside = root is not None and root not in self.local
                if outside and isinstance(holder, (list, dict, deque)):
                    return f"{ast.unparse(target)} is not assigned"
        return None

    def _value(self, node: ast.AST) -> Any:
        """What an outer name, or an attribute of what it holds, is when this is looked at."""
        if isinstance(node, ast.Name):
            return None if node.id in self.local else self.values.get(node.id)
        if isinstance(node, ast.Attribute):
            holder = self._value(node.value)
            return getattr(holder, "__dict__", {}).get(node.attr)
        return None


def _shows(holder: Any) -> bool:
    """Whether `holder` is a logger, the module of loggers, or a stream."""
    if isinstance(holder, ModuleType):
        return holder.__name__ == "logging"
    return type(holder).__module__ == "logging" or isinstance(holder, io.IOBase)


def _root(node: ast.AST) -> str | None:
    """The name that a dotted expression begins with."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _declared(node: ast.AST) -> list[str]:
    return node.names if isinstance(node, (ast.Global, ast.Nonlocal)) else []


def _bound(definition: ast.AST) -> Iterator[str]:
    """The names that a function, or one inside it, binds."""
    for node in ast.walk(definition):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
