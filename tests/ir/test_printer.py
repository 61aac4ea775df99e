"""Graphs as text: what is printed runs as Python and parses to the same graph."""

import numpy as np
import pytest

from graphjit import dtypes
from graphjit.errors import Location
from graphjit.ir.graph import Builder, Graph, Spec, Value
from graphjit.ir.interp import interpret
from graphjit.ir.parse import parse
from graphjit.ir.printer import dtype_names, short_names, to_text
from graphjit.ops import OPS
from graphjit.ops.core import ARRAYS

TEXTS = {
    "one op": """
def f(x: f32[4]):
    a = F.exp(x)  # f32[4]
    return a
""",
    "attributes of every type": """
def f(x: f32[2, 3], y: i64[2, 3]):
    a = F.sum(x, dims=(1,))  # f32[2, 1]
    b = F.cast(y, dtype=f32)  # f32[2, 3]
    c = F.constant(dtype=f32, value=float("-inf"))  # f32[]
    d = F.maximum(b, c)  # f32[2, 3]
    e = F.add(d, a)  # f32[2, 3]
    return e, a
""",
    "updates": """
def f(w: f32[()], g: f32[()]):
    a = F.sub(w, g)  # f32[]
    return (g,), {"w": a}
""",
    "no outputs": """
def f(w: f32[4]):
    a = F.neg(w)  # f32[4]
    return (), {"w": a}
""",
    "several outputs of a node": """
def f(x: f32[4, 2]):
    a, b = F.split(x, dim=0, sizes=(1, 3))  # f32[1, 2], f32[3, 2]
    return a, b
""",
    "a body": """
def fused_0(x0: f32[4], x1: f32[4]):
    a = F.mul(x0, x1)  # f32[4]
    b = F.exp(a)  # f32[4]
    return a, b


def f(x: f32[4], y: f32[4]):
    a, b = fused_0(x, y)  # f32[4], f32[4]
    c, d = fused_0(a, b)  # f32[4], f32[4]
    return d
""",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_parses_and_prints_as_it_was(text):
    text = text.lstrip("\n")
    graph = parse(text, OPS)
    words = [word for word in ("x", "y", "w", "g") if f"{word}:" in text[text.rindex("def ") :]]
    names = dict(zip(graph.inputs, words, strict=True))
    assert to_text(graph, "f", names) == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_runs_as_the_interpreter_does(text):
    graph = parse(text, OPS)
    rng = np.random.default_rng(0)
    inputs = [np.asarray(rng.normal(size=v.shape)).astype(v.dtype.numpy) for v in graph.inputs]
    scope = {"F": ARRAYS, **{short: dtypes.by_name(short) for short in dtype_names(graph)}}
    exec("from __future__ import annotations\n" + to_text(graph, "f"), scope)
    result = scope["f"](*inputs)
    outputs, updates = interpret(graph, inputs)
    if graph.updates:
        result, named = result
        np.testing.assert_array_equal(list(named.values()), updates)
    result = result if isinstance(result, tuple) else (result,)
    for got, expected in zip(result, outputs, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_lines_name_the_source():
    """A node shows the user's file and line behind its type."""
    build = Builder()
    x = Value(Spec((4,), dtypes.float32))
    (y,) = build.add(OPS["exp"], (x,), (), Location("/home/me/train.py", 12, "step"))
    text = to_text(Graph((x,), tuple(build.nodes), (y,)))
    assert "a = F.exp(x0)  # f32[4]  train.py:12" in text


def test_short_names_are_no_keywords():
    names = short_names()
    first = [next(names) for _ in range(800)]
    assert first[:3] == ["a", "b", "c"]
    assert first[25:28] == ["z", "aa", "ab"]
    assert not {"as", "if", "in", "is", "or"} & set(first)


def test_one_line_text_with_calls_inside_calls():
    """Tests write graphs in one line, with numbers as operands."""
    graph = parse("def f(x: f32[4]): return add(mul(x, 2.0), x)", OPS)
    assert [node.op.name for node in graph.nodes] == ["constant", "mul", "add"]
