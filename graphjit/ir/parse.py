"""Reads the text that `printer.py` writes, through Python's own parser; makes graphs.

Meant for tests and for looking at dumps: `def f(x: f32[4]): a = exp(x); return a`. `F.` before an
op may be left out, and calls may stand inside calls.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from .. import dtypes
from .graph import Builder, Graph, Operation, Spec, Value

Values = tuple[Value, ...]


def parse(text: str, ops: Mapping[str, Operation]) -> Graph:
    """The graph of the last function in `text`; functions above it are bodies of `fused` nodes."""
    bodies: dict[str, Graph] = {}
    graph = None
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.FunctionDef):
            graph = _Function(statement, ops, bodies).graph()
            bodies[statement.name] = graph
    if graph is None:
        raise SyntaxError("no function in the text")
    return graph


class _Function:
    """The values known so far in one function."""

    def __init__(
        self, tree: ast.FunctionDef, ops: Mapping[str, Operation], bodies: Mapping[str, Graph]
    ) -> None:
        self.tree, self.ops, self.bodies = tree, ops, bodies
        self.builder = Builder()
        self.inputs = {arg.arg: Value(_spec(arg)) for arg in tree.args.args}
        self.consts = {arg.arg: Value(_spec(arg)) for arg in tree.args.kwonlyargs}
        self.values = {**self.inputs, **self.consts}

    def graph(self) -> Graph:
        *statements, last = self.tree.body
        for statement in statements:
            assert isinstance(statement, ast.Assign), ast.unparse(statement)
            (target,) = statement.targets
            results = self.call(statement.value)
            for name, value in zip(_names(target), results, strict=True):
                self.values[name] = value
        assert isinstance(last, ast.Return) and last.value is not None, ast.unparse(last)
        outputs, updates, checks = self.returned(last.value)
        inputs = tuple(self.inputs.values())
        return Graph(inputs, tuple(self.builder.nodes), outputs, updates, self.arrays(), checks)

    def arrays(self) -> dict[Value, Any]:
        """The text tells only the types of constants: their arrays are zeros."""
        import numpy as np

        return {v: np.zeros(v.shape, v.dtype.numpy) for v in self.consts.values()}

    def returned(self, tree: ast.expr) -> tuple[Values, tuple[tuple[Value, Value], ...], Values]:
        """Outputs, updates and checks: `return a, b`, or `return (a, b), {"x": c}, (d,)`."""
        parts = tree.elts if isinstance(tree, ast.Tuple) else [tree]
        if len(parts) < 2 or not isinstance(parts[1], ast.Dict):
            return tuple(map(self.value, parts)), (), ()
        pairs = zip(parts[1].keys, parts[1].values, strict=True)
        updates = [(ast.literal_eval(k), self.value(v)) for k, v in pairs if k is not None]
        checks = self.elements(parts[2]) if len(parts) > 2 else ()
        pairs_of_values = tuple((self.inputs[name], value) for name, value in updates)
        return self.elements(parts[0]), pairs_of_values, checks

    def elements(self, tree: ast.expr) -> Values:
        return tuple(map(self.value, tree.elts if isinstance(tree, ast.Tuple) else [tree]))

    def call(self, tree: ast.expr) -> tuple[Value, ...]:
        if not isinstance(tree, ast.Call):
            return (self.value(tree),)
        name = tree.func.attr if isinstance(tree.func, ast.Attribute) else ast.unparse(tree.func)
        attrs = {k.arg: _attribute(k.value) for k in tree.keywords if k.arg}
        if name in self.bodies:
            name, attrs["body"] = "fused", self.bodies[name]
        known = [self.value(a) for a in tree.args if not _is_number(a)]
        dtype = known[-1].dtype if known else None
        operands = [self.operand(a, dtype) for a in tree.args]
        return self.builder.add(self.ops[name], operands, attrs)

    def operand(self, tree: ast.expr, dtype: dtypes.DType | None) -> Value:
        if _is_number(tree):
            assert dtype is not None, "a number beside no tensor"
            attrs = {"value": _attribute(tree), "dtype": dtype}
            return self.builder.add(self.ops["constant"], (), attrs)[0]
        return self.value(tree)

    def value(self, tree: ast.expr) -> Value:
        if isinstance(tree, ast.Name):
            return self.values[tree.id]
        key = f"{ast.unparse(tree)} at {tree.lineno}:{tree.col_offset}"
        if key not in self.values:
            (self.values[key],) = self.call(tree)
        return self.values[key]


def _spec(arg: ast.arg) -> Spec:
    assert isinstance(arg.annotation, ast.Subscript), f"{arg.arg} has no type"
    dtype = dtypes.by_name(ast.unparse(arg.annotation.value))
    sizes = arg.annotation.slice
    if isinstance(sizes, ast.Tuple):
        return Spec(tuple(ast.literal_eval(e) for e in sizes.elts), dtype)
    return Spec((ast.literal_eval(sizes),), dtype)


def _names(target: ast.expr) -> list[str]:
    elements = target.elts if isinstance(target, ast.Tuple) else [target]
    return [ast.unparse(e) for e in elements]


def _is_number(tree: ast.expr) -> bool:
    try:
        return isinstance(_attribute(tree), (bool, int, float))
    except (ValueError, KeyError):
        return False


def _attribute(tree: ast.expr) -> Any:
    """A literal, a dtype's short name, or `float("nan")`; tuples of them."""
    if isinstance(tree, ast.Tuple):
        return tuple(_attribute(e) for e in tree.elts)
    if isinstance(tree, ast.Name):
        return dtypes.by_name(tree.id)
    if isinstance(tree, ast.Call) and ast.unparse(tree.func) == "float":
        return float(ast.literal_eval(tree.args[0]))
    return ast.literal_eval(tree)
