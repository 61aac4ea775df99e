"""What a function's code does with names from outside: calls, items set, variables assigned.

Reads the function's source, or its bytecode where there is none (or it is a lambda's, whose lines
hold more than the lambda). Nothing is run, and nothing is decided here.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Literal

#: a name and what follows it: attributes, "()" for the result of a call, "[]" for an item
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Use:
    """What is called or assigned at `path`, or at an item of what is there."""

    kind: Literal["call", "item", "assign"]
    path: Path
    line: int


@dataclass(slots=True)
class Uses:
    """The uses in one function.

    Attributes:
        imports: what import statements in it make of names: a dotted name each.
        tested: names that it looks at before it decides; what it then does to them it may do once.
    """

    found: list[Use] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)
    tested: set[str] = field(default_factory=set)


def uses_of(function: FunctionType, is_callback: Callable[[Path], bool]) -> Uses:
    """The uses in a function and in those inside it, but for what it hands to a callback."""
    tree = _tree(function)
    if tree is None:
        return _in_bytecode(function.__code__, is_callback)
    return _in_source(tree, function.__code__, is_callback)


def parameters(code: CodeType) -> tuple[str, ...]:
    """The names of the parameters."""
    flags = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + flags]


# --- source ---------------------------------------------------------------------------------------

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Scope = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _tree(function: FunctionType) -> _Function | None:
    """The function's definition; None where its source is missing, or is that of something else."""
    code = function.__code__
    # `inspect.getsource` would first look through all modules for the one of this file.
    lines = linecache.getlines(code.co_filename, function.__globals__)[code.co_firstlineno - 1 :]
    try:
        tree = ast.parse(textwrap.dedent("".join(inspect.getblock(lines))))
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    first = tree.body[0] if tree.body else None
    named = isinstance(first, _Function) and first.name == code.co_name
    return first if named else None  # type: ignore[return-value]


def _in_source(tree: _Function, code: CodeType, is_callback: Callable[[Path], bool]) -> Uses:
    reader = _Reader(tree, code, is_callback)
    for statement in tree.body:
        reader.visit(statement)
    return reader.uses


class _Reader(ast.NodeVisitor):
    """Walks over a function's statements, and collects the uses of names that it does not bind."""

    def __init__(
        self, tree: _Function, code: CodeType, is_callback: Callable[[Path], bool]
    ) -> None:
        self.uses = Uses()
        self.start = code.co_firstlineno - 1
        nodes = list(ast.walk(tree))[1:]  # all but itself
        self.outer = {*code.co_freevars, *_declared(nodes, ast.Global)}
        declared = {*_declared(nodes, ast.Global), *_declared(nodes, ast.Nonlocal)}
        self.assigned = self.outer & declared
        self.bound = set(_bound(nodes)) - self.outer
        self.callbacks = _handed_over(nodes, is_callback)

    def _add(self, kind: Literal["call", "item", "assign"], path: Path, node: ast.expr) -> None:
        if path and path[0] not in self.bound:
            self.uses.found.append(Use(kind, path, self.start + node.lineno))

    def visit(self, node: ast.AST) -> None:
        if node in self.callbacks or getattr(node, "name", None) in self.callbacks:
            return
        super().visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._add("call", _path(node.func), node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._add("item", _path(node.value), node)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load) and node.id in self.assigned:
            self._add("assign", (node.id,), node)

    def visit_If(self, node: ast.If) -> None:
        self.uses.tested.update(n.id for n in ast.walk(node.test) if isinstance(n, ast.Name))
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self.uses.imports[name] = alias.name if alias.asname else name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names if not node.level else ():
            self.uses.imports[alias.asname or alias.name] = f"{node.module}.{alias.name}"


def _path(node: ast.expr) -> Path:
    """`a.b[0].c()` as a path; empty where it does not begin with a name."""
    match node:
        case ast.Name():
            return (node.id,)
        case ast.Attribute():
            step = node.attr
        case ast.Subscript():
            step = "[]"
        case ast.Call():
            return _followed(_path(node.func), "()")
        case _:
            return ()
    return _followed(_path(node.value), step)


def _followed(path: Path, step: str) -> Path:
    return (*path, step) if path else ()


def _declared(
    nodes: Iterable[ast.AST], kind: type[ast.Global | ast.Nonlocal]
) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, kind):
            yield from node.names


def _bound(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The names that a function makes in its body, or one inside it makes or takes."""
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, (*_Scope, ast.ClassDef)):
            if isinstance(node, _Scope):
                yield from (a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg))
            yield getattr(node, "name", "")
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name


def _handed_over(
    nodes: Iterable[ast.AST], is_callback: Callable[[Path], bool]
) -> set[ast.AST | str]:
    """The functions, as nodes or by name, that are handed to a callback, which calls them."""
    found: set[ast.AST | str] = set()
    for node in nodes:
        if isinstance(node, ast.Call) and node.args and is_callback(_path(node.func)):
            first = node.args[0]
            found.add(first.id if isinstance(first, ast.Name) else first)
    return found


# --- bytecode -------------------------------------------------------------------------------------

_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")


def _in_bytecode(code: CodeType, is_callback: Callable[[Path], bool]) -> Uses:
    uses = Uses(list(_plain_uses(code, code)))
    calls_back = any(use.kind == "call" and is_callback(use.path) for use in uses.found)
    for constant in code.co_consts if not calls_back else ():
        if isinstance(constant, CodeType):
            uses.found += _in_nested(constant, code)
    return uses


def _in_nested(code: CodeType, top: CodeType) -> Iterator[Use]:
    yield from _plain_uses(code, top)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _in_nested(constant, top)


def _plain_uses(code: CodeType, top: CodeType) -> Iterator[Use]:
    """Calls and assignments of names and of their attributes, as far as one sees without a stack.

    `top` is the code of the function that `code` is inside of: its variables are not from outside.
    """
    path: Path = ()
    called, line, before = False, 0, ""
    for step in dis.get_instructions(code):
        if path and step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            path, called = (*path, step.argval), called or _is_called(step)
        elif step.opname != "EXTENDED_ARG":
            if path and (called or step.opname == "PUSH_NULL"):
                yield Use("call", path, line)
            line = (step.positions.lineno if step.positions else None) or code.co_firstlineno
            path = _start(step, code, top)
            called = before == "PUSH_NULL" or _is_called(step)
            if _is_outer_store(step, top):
                yield Use("assign", (step.argval,), line)
        before = step.opname


def _start(step: dis.Instruction, code: CodeType, top: CodeType) -> Path:
    """The name from outside that an instruction loads, if it does."""
    name = step.argval
    if step.opname.startswith("LOAD_FAST"):
        name = name[-1] if isinstance(name, tuple) else name
        return (name,) if code is top and name in parameters(code) else ()
    is_outer = step.opname in _LOADS and ("DEREF" not in step.opname or name in top.co_freevars)
    return (name,) if is_outer else ()


def _is_outer_store(step: dis.Instruction, top: CodeType) -> bool:
    if step.opname == "STORE_DEREF":
        return step.argval in top.co_freevars
    return step.opname == "STORE_GLOBAL"


def _is_called(step: dis.Instruction) -> bool:
    """Whether an instruction makes room for the call of what it, or those after it, load."""
    if step.opname == "LOAD_METHOD":
        return True
    marked = ("LOAD_GLOBAL", "LOAD_ATTR") if sys.version_info >= (3, 12) else ("LOAD_GLOBAL",)
    return step.opname in marked and bool((step.arg or 0) & 1)
