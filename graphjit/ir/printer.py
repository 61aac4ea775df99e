"""A graph as Python text that can be read, run, and parsed again (`parse.py`).

    def step(x: f32[64, 1000], w: f32[1000, 100]):
        a = F.matmul(x, w)  # f32[64, 100]  train.py:12
        return a

A node that holds a body graph prints as a call of a function that stands above it. A graph with
updates returns its outputs and a dict of the new values by the name of their input.
"""

from __future__ import annotations

import itertools
import keyword
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..dtypes import DType
from .graph import Graph, Node, Value


def to_text(graph: Graph, name: str = "graph", names: Mapping[Value, str] | None = None) -> str:
    """The text of `graph` as a function called `name`; `names` are given to chosen values."""
    functions: list[str] = []
    _print_function(graph, name, dict(names or {}), functions, {})
    return "\n\n\n".join(functions) + "\n"


def short_names() -> Iterator[str]:
    """a, b, ... z, aa, ab, ...; no keywords."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    for length in itertools.count(1):
        for combination in itertools.product(letters, repeat=length):
            word = "".join(combination)
            if not keyword.iskeyword(word):
                yield word


def dtype_names(graph: Graph) -> set[str]:
    """The short names of all dtypes that the text of `graph` mentions."""
    found = {value.dtype.short for value in (*graph.inputs, *graph.consts)}
    for node in graph.nodes:
        for _, attr in node.attrs:
            if isinstance(attr, Graph):
                found |= dtype_names(attr)
            elif isinstance(attr, DType):
                found.add(attr.short)
    return found


def name_values(graph: Graph, names: Mapping[Value, str]) -> dict[Value, str]:
    """A name for every value: as given, else x0, x1... for inputs, c0... for constants."""
    table = dict(names)
    taken = set(table.values())
    for prefix, values in (("x", graph.inputs), ("c", tuple(graph.consts))):
        for i, value in enumerate(values):
            table.setdefault(value, f"{prefix}{i}")
            taken.add(table[value])
    fresh = (word for word in short_names() if word not in taken)
    for node in graph.nodes:
        for value in node.outputs:
            if value not in table:
                table[value] = next(fresh)
    return table


def _print_function(
    graph: Graph,
    name: str,
    given: Mapping[Value, str],
    functions: list[str],
    bodies: dict[Any, str],
) -> None:
    names = name_values(graph, given)
    lines = [f"def {name}({_parameters(graph, names)}):"]
    for node in graph.nodes:
        lines.append("    " + _statement(node, names, functions, bodies))
    lines.append("    return " + _returned(graph, names))
    functions.append("\n".join(lines))


def _parameters(graph: Graph, names: Mapping[Value, str]) -> str:
    parameters = [f"{names[v]}: {_annotation(v)}" for v in graph.inputs]
    if graph.consts:
        parameters += ["*", *(f"{names[v]}: {_annotation(v)}" for v in graph.consts)]
    return ", ".join(parameters)


def _annotation(value: Value) -> str:
    """`f32[4]`; Python has no empty subscript, so scalars are `f32[()]`."""
    return str(value.spec) if value.shape else f"{value.dtype.short}[()]"


def _statement(
    node: Node, names: Mapping[Value, str], functions: list[str], bodies: dict[Any, str]
) -> str:
    body = next((value for _, value in node.attrs if isinstance(value, Graph)), None)
    if body is None:
        function = f"F.{node.op.name}"
    else:
        key = body.structure()
        if key not in bodies:
            bodies[key] = f"{node.op.name}_{len(bodies)}"
            _print_function(body, bodies[key], {}, functions, bodies)
        function = bodies[key]
    arguments = [names[v] for v in node.inputs]
    arguments += [f"{k}={literal(v)}" for k, v in node.attrs if not isinstance(v, Graph)]
    targets = ", ".join(names[v] for v in node.outputs)
    comment = ", ".join(str(v.spec) for v in node.outputs)
    if node.loc is not None:
        comment += f"  {node.loc}"
    return f"{targets} = {function}({', '.join(arguments)})  # {comment}"


def literal(value: object) -> str:
    """An attribute as a Python expression."""
    if isinstance(value, DType):
        return value.short
    if isinstance(value, tuple):
        inside = ", ".join(map(literal, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value)


def _returned(graph: Graph, names: Mapping[Value, str]) -> str:
    outputs = [names[v] for v in graph.outputs]
    if not graph.updates and not graph.checks:
        return ", ".join(outputs) if len(outputs) != 0 else "()"
    updates = ", ".join(f'"{names[old]}": {names[new]}' for old, new in graph.updates)
    parts = [_tuple(outputs), f"{{{updates}}}"]
    if graph.checks:
        parts.append(_tuple([names[v] for v in graph.checks]))
    return ", ".join(parts)


def _tuple(names: list[str]) -> str:
    return f"({names[0]},)" if len(names) == 1 else f"({', '.join(names)})"
