"""Walks the syntax tree of a Python function and emits LLVM for it.

Reads the function's source and the names it closes over; makes instructions in a builder's block.
Helpers are emitted into their callers.
"""

from __future__ import annotations

import ast
import builtins
import linecache
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from types import CodeType
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from llvmlite import ir

from ...errors import CompileError
from . import operators
from .hints import Lanes, annotate
from .names import fixed_names
from .types import (
    Type,
    constant,
    convert,
    filled,
    i1,
    i64,
    is_runtime,
    materialised,
    scalar,
    unified,
)

Helper = TypeVar("Helper", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")


def inline(function: Helper) -> Helper:
    """Mark a function as a helper: kernels that call it have it compiled into them."""
    function.__graphjit_helper__ = True  # type: ignore[attr-defined]
    return function


def instruction(function: Callable[Concatenate[Any, P], R]) -> Callable[P, R]:
    """Mark `function(builder, *operands)` as one that emits LLVM where a kernel calls it.

    Operands are LLVM values, or what is known while compiling. Kernels leave `builder` out.
    """
    function.__graphjit_instruction__ = True  # type: ignore[attr-defined]
    return cast(Callable[P, R], function)


class Located(CompileError):
    """An error whose message begins with the innermost statement that has it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A variable: an address on the stack, which LLVM turns into registers."""

    address: Any


@dataclass(slots=True)
class Scope:
    """One emission of one function: its variables, and where and with what it returns.

    A return that nothing else can follow gives `result` as it is. Those from within branches and
    loops, which are `nested`, need a variable for it and a block `exit` where all of them meet.
    """

    outer: Mapping[str, Any]
    fixed: frozenset[str] = frozenset()
    names: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    exit: Any = None
    nested: int = 0
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Loop:
    """Where `continue` and `break` go."""

    next: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Source:
    """A function's tree, the names it assigns, which of these once, and those it finds outside."""

    tree: ast.FunctionDef
    assigned: frozenset[str]
    fixed: frozenset[str]
    outer: Mapping[str, Any]


@cache
def read(function: Callable[..., Any]) -> Source:
    """The source of a Python function. CompileError where there is none."""
    tree, assigned, fixed = _syntax(function.__code__)
    return Source(tree, assigned, fixed, {**function.__globals__, **_enclosed(function)})


def parsed(tree: ast.FunctionDef, outer: Mapping[str, Any]) -> Source:
    """The source whose tree is `tree`, with names from `outer`."""
    return Source(tree, _assigned(tree), fixed_names(tree), outer)


@cache
def _syntax(code: CodeType) -> tuple[ast.FunctionDef, frozenset[str], frozenset[str]]:
    """The tree of a function and its names, once for all that are made of the same code."""
    tree = _functions(code.co_filename).get((code.co_name, code.co_firstlineno))
    if tree is None:
        raise CompileError(f"no source of {code.co_qualname}")
    return tree, _assigned(tree), fixed_names(tree)


@cache
def _functions(path: str) -> dict[tuple[str, int], ast.FunctionDef]:
    """The functions of a file by name and first line: one reading for all of them."""
    tree = ast.parse("".join(linecache.getlines(path)))
    return {
        (node.name, min([node.lineno, *(d.lineno for d in node.decorator_list)])): node
        for node in _statements(tree.body)
        if isinstance(node, ast.FunctionDef)
    }


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements and those inside them: expressions, which are most of a tree, have none."""
    for statement in body:
        yield statement
        for name in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(statement, name, ()))


def _enclosed(function: Callable[..., Any]) -> dict[str, Any]:
    """The names that a function closes over, but for those that have no value yet."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def _assigned(tree: ast.FunctionDef) -> frozenset[str]:
    return frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and _is_store(n))


def _is_store(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


class Emitter:
    """Emits one LLVM function."""

    def __init__(self, function: Any) -> None:
        self.function = function
        entry = function.append_basic_block("entry")
        self.builder = ir.IRBuilder(function.append_basic_block("body"))
        self._variables = ir.IRBuilder(entry)
        self._start = self.builder.block
        self.scope = Scope({})
        self.loops: list[Loop] = []

    def run(self, source: Source) -> None:
        """Emit the whole function, whose arguments are the LLVM function's."""
        value = self.inlined(source, list(self.function.args))
        self._variables.position_at_end(self.function.entry_basic_block)
        self._variables.branch(self._start)
        if self.function.return_value.type == ir.VoidType():
            self.builder.ret_void()
        else:
            self.builder.ret(convert(self.builder, value, self.function.return_value.type))

    # --- variables ----------------------------------------------------------------------------

    def variable(self, value: Any) -> Any:
        """A place for values like `value`: a slot, or a list of places for a tuple."""
        if isinstance(value, (tuple, list)):
            return [self.variable(part) for part in value]
        if not is_runtime(value) and not isinstance(value, (bool, int, float)):
            return value
        return Slot(self._variables.alloca(materialised(value).type))

    def put(self, place: Any, value: Any) -> Any:
        """Store into a place; returns the place that now has the value."""
        if isinstance(place, list) and isinstance(value, (tuple, list)):
            return [self.put(p, v) for p, v in zip(place, value, strict=True)]
        if not isinstance(place, Slot):
            return value
        kind = place.address.type.pointee
        value = value if is_runtime(value) else constant(value, kind)
        if value.type != kind:
            raise CompileError(f"a variable of type {kind} cannot take {value.type}")
        self.builder.store(value, place.address)
        return place

    def get(self, place: Any) -> Any:
        """What a place holds."""
        if isinstance(place, list):
            return tuple(self.get(part) for part in place)
        return self.builder.load(place.address) if isinstance(place, Slot) else place

    def assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                names = self.scope.names
                if name in self.scope.fixed:
                    names[name] = self.settled(value)
                    return
                if name not in names:
                    names[name] = self.variable(value)
                names[name] = self.put(names[name], value)
            case ast.Tuple(elts=parts):
                for part, one in zip(parts, value, strict=True):
                    self.assign(part, one)
            case ast.Subscript(value=ast.Name(id=name), slice=index):
                self.put(self.scope.names[name][self.expression(index)], value)
            case _:
                raise CompileError(f"assignment to {ast.unparse(target)}")

    def lookup(self, name: str) -> Any:
        if name in self.scope.names:
            return self.get(self.scope.names[name])
        if name in self.scope.outer:
            return self.scope.outer[name]
        if hasattr(builtins, name):
            return getattr(builtins, name)
        raise CompileError(f"name {name} is not defined")

    # --- blocks -------------------------------------------------------------------------------

    def block(self, name: str) -> Any:
        return self.function.append_basic_block(name)

    def go(self, block: Any) -> None:
        """Branch to `block`, unless the current one has ended."""
        if not self.builder.block.is_terminated:
            self.builder.branch(block)

    def at(self, block: Any) -> None:
        self.builder.position_at_end(block)

    @contextmanager
    def loop(self, next: Any, after: Any) -> Iterator[None]:
        self.loops.append(Loop(next, after))
        self.scope.nested += 1
        yield
        self.scope.nested -= 1
        self.loops.pop()

    # --- statements ---------------------------------------------------------------------------

    def statements(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            if self.scope.is_over or self.builder.block.is_terminated:
                return
            try:
                self.statement(statement)
            except Located:
                raise
            except Exception as error:
                line = ast.unparse(statement).splitlines()[0]
                raise Located(f"{line}: {error}") from error

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=[target], value=value):
                self.assign(target, self.expression(value))
            case ast.AugAssign(target=target, op=op, value=value):
                old = self.expression(_as_load(target))
                new = self.expression(value)
                self.assign(target, operators.binary(self.builder, type(op), old, new))
            case ast.If(test=test, body=body, orelse=orelse):
                self.branch(self.expression(test), body, orelse)
            case ast.For(target=target, iter=iterable, body=body):
                self.loop_over(target, iterable, body)
            case ast.While(test=test, body=body):
                self.loop_while(test, body)
            case ast.Return(value=value):
                self.leave(None if value is None else self.expression(value))
            case ast.Expr(value=value):
                self.expression(value)
            case ast.Break():
                self.builder.branch(self.loops[-1].after)
            case ast.Continue():
                self.builder.branch(self.loops[-1].next)
            case ast.Pass():
                pass
            case _:
                raise CompileError(f"no kernel has a statement {type(node).__name__}")

    def branch(self, test: Any, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt]) -> None:
        if not is_runtime(test):
            self.statements(body if test else orelse)
            return
        then, other, after = self.block("then"), self.block("else"), self.block("endif")
        self.builder.cbranch(self.truth(test), then, other)
        self.scope.nested += 1
        for block, statements in ((then, body), (other, orelse)):
            self.at(block)
            self.statements(statements)
            self.go(after)
        self.scope.nested -= 1
        self.at(after)

    def loop_over(self, target: ast.expr, iterable: ast.expr, body: Sequence[ast.stmt]) -> None:
        match iterable:
            case ast.Call(func=ast.Name(id=name), args=args) if name in self.ranges():
                limits = [self.expression(argument) for argument in args]
                kind = self.ranges()[name]
                if kind is not None and kind.rest:
                    self.loop_parts(target, limits, body, kind)
                else:
                    self.loop_range(target, limits, body, kind)
            case _:
                for item in self.expression(iterable):
                    self.bind(target, item)
                    self.statements(body)

    def ranges(self) -> dict[str, Lanes | None]:
        """What loops of the machine are called, and what they promise."""
        named = {n: v for n, v in self.scope.outer.items() if isinstance(v, Lanes)}
        return {"range": None, **named}

    def loop_range(
        self,
        target: ast.expr,
        limits: list[Any],
        body: Sequence[ast.stmt],
        kind: Lanes | None = None,
    ) -> None:
        """A loop of the machine. A step that is not known while compiling is positive.

        It is tested before the first iteration and at the end of each, as optimisers would have it.
        """
        begin, end, step = [[0, *limits, 1], [*limits, 1], limits][len(limits) - 1]
        begin, end = convert(self.builder, begin, i64.llvm), materialised(end)
        counter = self.variable(begin)
        self.put(counter, begin)
        inside, next, after = map(self.block, ("loop", "next", "done"))
        order = "<" if is_runtime(step) or step > 0 else ">"
        self.builder.cbranch(self.builder.icmp_signed(order, begin, end), inside, after)
        self.at(inside)
        self.assign(target, self.get(counter))
        with self.loop(next, after):
            self.statements(body)
        self.go(next)
        self.at(next)
        following = self.builder.add(self.get(counter), materialised(step), flags=("nsw",))
        self.put(counter, following)
        again = order if is_runtime(step) or step != 1 else "!="
        back = self.builder.cbranch(
            self.builder.icmp_signed(again, following, end), inside, after
        )
        if kind is not None:
            annotate(self.builder, back, kind)
        self.at(after)

    def loop_parts(
        self, target: ast.expr, limits: list[Any], body: Sequence[ast.stmt], kind: Lanes
    ) -> None:
        """A loop over whole vectors, and a masked one over what is left."""
        begin, end = map(materialised, limits if len(limits) > 1 else [0, *limits])
        count = self.builder.sub(end, begin)
        whole = self.builder.and_(count, constant(-kind.rest, i64.llvm))
        middle = self.builder.add(begin, whole, flags=("nsw",))
        self.loop_range(target, [begin, middle], body, replace(kind, masked=False, rest=0))
        self.loop_range(target, [middle, end], body, Lanes(masked=True))

    def loop_while(self, test: ast.expr, body: Sequence[ast.stmt]) -> None:
        check, inside, after = map(self.block, ("check", "loop", "done"))
        self.go(check)
        self.at(check)
        value = self.expression(test)
        if is_runtime(value):
            self.builder.cbranch(self.truth(value), inside, after)
        else:
            self.go(inside if value else after)
        self.at(inside)
        with self.loop(check, after):
            self.statements(body)
        self.go(check)
        self.at(after)

    def leave(self, value: Any) -> None:
        scope = self.scope
        if scope.exit is None and not scope.nested:
            scope.result, scope.is_over = self.settled(value), True
            return
        if scope.exit is None:
            scope.exit = self.block("return")
        if value is not None:
            if scope.result is None:
                scope.result = self.variable(value)
            scope.result = self.put(scope.result, value)
        self.go(scope.exit)

    def settled(self, value: Any) -> Any:
        """What a variable would hold of `value`."""
        if isinstance(value, (tuple, list)):
            return tuple(map(self.settled, value))
        return materialised(value) if isinstance(value, (bool, int, float)) else value

    # --- calls --------------------------------------------------------------------------------

    def inlined(self, source: Source, arguments: Sequence[Any]) -> Any:
        """Emit a function's body here; its value, or None."""
        caller, loops = self.scope, self.loops
        scope = self.scope = Scope(source.outer, source.fixed)
        self.loops = []
        parameters = [parameter.arg for parameter in source.tree.args.args]
        for name, value in zip(parameters, arguments, strict=True):
            if name in source.assigned:
                self.assign(ast.Name(name, ast.Store()), value)
            else:
                self.scope.names[name] = value
        self.statements(source.tree.body)
        result = scope.result
        if scope.exit is not None:
            self.go(scope.exit)
            self.at(scope.exit)
            result = None if result is None else self.get(result)
        self.scope, self.loops = caller, loops
        return result

    def call(self, function: Any, arguments: list[Any]) -> Any:
        if isinstance(function, Type):
            return convert(self.builder, arguments[0], _like(function, arguments[0]))
        if isinstance(function, ir.VectorType):
            return filled(self.builder, arguments[0], function)
        if getattr(function, "__graphjit_instruction__", False):
            return function(self.builder, *arguments)
        if getattr(function, "__graphjit_helper__", False):
            return self.inlined(read(function), arguments)
        if function in (min, max):
            return self.extreme(ast.Lt if function is min else ast.Gt, arguments)
        if any(map(_contains_runtime, arguments)):
            raise CompileError(f"a kernel cannot call {function!r}")
        return function(*arguments)

    def extreme(self, order: type, arguments: list[Any]) -> Any:
        best = arguments[0]
        for other in arguments[1:]:
            test = operators.compare(self.builder, order, other, best)
            best = self.choose(test, other, best)
        return best

    def choose(self, test: Any, x: Any, y: Any) -> Any:
        """`x if test else y`, both of which have been computed."""
        if not is_runtime(test):
            return x if test else y
        x, y = unified(self.builder, x, y)
        return self.builder.select(test, x, y)

    # --- expressions --------------------------------------------------------------------------

    def truth(self, value: Any) -> Any:
        if not is_runtime(value):
            return constant(bool(value), i1.llvm)
        if value.type != i1.llvm:
            raise CompileError(f"a condition of type {value.type}")
        return value

    def expression(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self.lookup(name)
            case ast.Attribute(value=owner, attr=attr):
                return getattr(self.expression(owner), attr)
            case ast.BinOp(left=left, op=op, right=right):
                x, y = self.expression(left), self.expression(right)
                return operators.binary(self.builder, type(op), x, y)
            case ast.UnaryOp(op=op, operand=operand):
                return operators.unary(self.builder, type(op), self.expression(operand))
            case ast.Compare():
                return self.comparison(node)
            case ast.BoolOp(op=op, values=values):
                return self.lazy(isinstance(op, ast.And), values)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.conditional(self.expression(test), body, orelse)
            case ast.Call(func=function, args=args, keywords=[]):
                return self.call(self.expression(function), self.arguments(args))
            case ast.Tuple(elts=parts):
                return tuple(self.arguments(parts))
            case ast.ListComp(elt=item, generators=[ast.comprehension(ifs=[]) as source]):
                return self.unrolled(item, source)
            case ast.Subscript(value=ast.Name(id=name), slice=index) if name in self.scope.names:
                return self.get(self.scope.names[name][self.expression(index)])
            case ast.Subscript(value=value, slice=index):
                return self.expression(value)[self.expression(index)]
            case _:
                raise CompileError(f"no kernel has an expression {ast.unparse(node)}")

    def conditional(self, test: Any, body: ast.expr, orelse: ast.expr) -> Any:
        """Both values are computed, unless the condition is known while compiling."""
        if not is_runtime(test):
            return self.expression(body if test else orelse)
        return self.choose(test, self.expression(body), self.expression(orelse))

    def unrolled(self, item: ast.expr, source: ast.comprehension) -> Any:
        """A list made by a loop over what is known while compiling: a tuple."""
        values = []
        for one in self.expression(source.iter):
            self.bind(source.target, one)
            values.append(self.expression(item))
        return tuple(values)

    def bind(self, target: ast.expr, value: Any) -> None:
        """Give a name to a value as it is, without a variable."""
        if isinstance(target, ast.Tuple):
            for part, one in zip(target.elts, value, strict=True):
                self.bind(part, one)
        else:
            assert isinstance(target, ast.Name)
            self.scope.names[target.id] = value

    def arguments(self, nodes: Sequence[ast.expr]) -> list[Any]:
        values: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                values += self.expression(node.value)
            else:
                values.append(self.expression(node))
        return values

    def comparison(self, node: ast.Compare) -> Any:
        left, result = self.expression(node.left), None
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.expression(right_node)
            one = operators.compare(self.builder, type(op), left, right)
            result = one if result is None else self.both(result, one)
            left = right
        return result

    def both(self, x: Any, y: Any) -> Any:
        if is_runtime(x) and is_runtime(y):
            return self.builder.and_(x, y)
        return (y if x else x) if not is_runtime(x) else (x if y else y)

    def lazy(self, conjunction: bool, nodes: Sequence[ast.expr]) -> Any:
        """`and` or `or`: later operands are computed only if the first leaves it open."""
        first, rest = self.expression(nodes[0]), nodes[1:]
        if not rest or (not is_runtime(first) and bool(first) != conjunction):
            return first
        if not is_runtime(first):
            return self.lazy(conjunction, rest)
        result = self.variable(self.truth(first))
        self.put(result, first)
        more, after = self.block("more"), self.block("known")
        self.builder.cbranch(first, *((more, after) if conjunction else (after, more)))
        self.at(more)
        self.put(result, self.truth(self.lazy(conjunction, rest)))
        self.go(after)
        self.at(after)
        return self.get(result)


def _like(kind: Type, value: Any) -> Any:
    """The LLVM type that conversion of `value` to `kind` gives: a vector's lanes are converted."""
    if is_runtime(value) and scalar(value.type) is not value.type:
        return ir.VectorType(kind.llvm, value.type.count)
    return kind.llvm


def _contains_runtime(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_contains_runtime, value))
    return is_runtime(value)


def _as_load(target: ast.expr) -> ast.expr:
    match target:
        case ast.Name(id=name):
            return ast.Name(name, ast.Load())
        case ast.Subscript(value=value, slice=index):
            return ast.Subscript(value, index, ast.Load())
    raise CompileError(f"assignment to {ast.unparse(target)}")
