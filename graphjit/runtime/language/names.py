"""Which names of a function keep the value that they get once: those need no variable.

Reads a function's tree. A name does if one statement alone assigns it, and every use lies behind
that statement in the same block, or inside what stands there: whatever leads to a use then has come
past the statement, in the same turn of every loop.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

#: Uses are counted; those of a stretch of the function have numbers from the first to the second.
Stretch = tuple[int, int]
_NOWHERE = (1, 0)


def fixed_names(tree: ast.FunctionDef) -> frozenset[str]:
    """The names that keep their value."""
    reader = _Reader()
    reader.block(tree.body)
    for parameter in tree.args.args:
        reader.assigned(ast.Name(parameter.arg, ast.Store()), _NOWHERE)
    return frozenset(name for name in reader.reach if reader.is_fixed(name))


class _Reader:
    """Goes through a function in the order of its text."""

    def __init__(self) -> None:
        self.count = 0
        self.uses: dict[str, list[int]] = {}
        #: For each assignment of a name, where its value is known to be there.
        self.reach: dict[str, list[Stretch]] = {}

    def is_fixed(self, name: str) -> bool:
        (begin, end), *others = self.reach[name]
        uses = self.uses.get(name, [])
        return not others and begin <= end and all(begin <= use < end for use in uses)

    def block(self, body: Sequence[ast.stmt]) -> None:
        found: list[tuple[ast.expr, int]] = []
        for statement in body:
            self.statement(statement)
            if isinstance(statement, ast.Assign):
                found += [(target, self.count) for target in statement.targets]
        for target, begin in found:
            self.assigned(target, (begin, self.count))

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.For(target=target, iter=iterable, body=body, orelse=orelse):
                self.expressions([iterable])
                begin = self.count
                self.block(body)
                self.assigned(target, (begin, self.count))
                self.block(orelse)
            case ast.If(test=test, body=body, orelse=orelse) | ast.While(
                test=test, body=body, orelse=orelse
            ):
                self.expressions([test])
                self.block(body)
                self.block(orelse)
            case ast.AugAssign(target=target):
                self.expressions([node])
                self.assigned(target, _NOWHERE)
            case _:
                self.expressions([node])

    def expressions(self, nodes: Iterable[ast.AST]) -> None:
        """Count uses; what is assigned in passing, or by elements, needs a variable."""
        for node in nodes:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
                    self.uses.setdefault(inner.id, []).append(self.count)
                    self.count += 1
                elif isinstance(inner, ast.comprehension):
                    self.assigned(inner.target, _NOWHERE)
                elif isinstance(inner, ast.Subscript) and isinstance(inner.ctx, ast.Store):
                    self.assigned(inner.value, _NOWHERE)

    def assigned(self, target: ast.expr, reach: Stretch) -> None:
        for name in ast.walk(target):
            if isinstance(name, ast.Name):
                self.reach.setdefault(name.id, []).append(reach)
