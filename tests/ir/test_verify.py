"""Every rule of the IR has a graph that breaks it."""

from dataclasses import replace

import numpy as np
import pytest

from graphjit import dtypes
from graphjit.errors import Location, VerifyError
from graphjit.ir.graph import Graph, Node, Spec, Value
from graphjit.ir.parse import parse
from graphjit.ir.verify import verify
from graphjit.ops import OPS

F32_4 = Spec((4,), dtypes.float32)


def graph_of(text):
    return parse(text, OPS)


def test_a_good_graph_passes():
    verify(graph_of('def f(w: f32[4], g: f32[4]): a = sub(w, g); return (a,), {"w": a}'))


def test_use_before_definition():
    graph = graph_of("def f(x: f32[4]): a = exp(x); b = neg(a); return b")
    with pytest.raises(VerifyError, match="operand .* is used before it is defined"):
        verify(replace(graph, nodes=graph.nodes[::-1]))


def test_second_definition():
    graph = graph_of("def f(x: f32[4]): a = exp(x); return a")
    with pytest.raises(VerifyError, match="a second time"):
        verify(replace(graph, nodes=graph.nodes * 2))


def test_wrong_type_names_the_line():
    x, y = Value(F32_4), Value(Spec((5,), dtypes.float32))
    node = Node(OPS["exp"], (x,), (), (y,), Location("train.py", 12, "step"))
    with pytest.raises(VerifyError, match=r"infer gives \(f32\[4\]\).*\(f32\[5\]\)") as info:
        verify(Graph((x,), (node,), (y,)))
    assert "train.py:12, step" in str(info.value)


def test_operands_that_the_op_refuses():
    x, y, z = Value(F32_4), Value(Spec((5,), dtypes.float32)), Value(F32_4)
    node = Node(OPS["add"], (x, y), (), (z,))
    with pytest.raises(VerifyError, match="infer raises RuntimeError: The size of tensor a"):
        verify(Graph((x, y), (node,), (z,)))


def test_attributes_are_hashable():
    x, y = Value(F32_4), Value(Spec((1,), dtypes.float32))
    node = Node(OPS["sum"], (x,), (("dims", [0]),), (y,))
    with pytest.raises(VerifyError, match="attribute dims is not hashable"):
        verify(Graph((x,), (node,), (y,)))


def test_output_nobody_defines():
    x = Value(F32_4)
    with pytest.raises(VerifyError, match="output .* is used before"):
        verify(Graph((x,), (), (Value(F32_4),)))


@pytest.mark.parametrize("case", ["not an input", "twice", "other spec"])
def test_updates(case):
    w, x, s = Value(F32_4), Value(F32_4), Value(Spec((), dtypes.float32))
    updates, message = {
        "not an input": (((s, s),), "is not an input"),
        "twice": (((w, x), (w, x)), "is updated twice"),
        "other spec": (((w, s),), "the specs differ"),
    }[case]
    inputs = (w, x) if case == "not an input" else (w, x, s)
    with pytest.raises(VerifyError, match=message):
        verify(Graph(inputs, (), (), updates))


def test_bodies_are_verified():
    graph = graph_of(
        "def fused_0(x: f32[4]): return exp(x)\ndef f(x: f32[4]): a = fused_0(x); return a"
    )
    (node,) = graph.nodes
    body = replace(node.attr("body"), nodes=())
    bad = replace(node, attrs=(("body", body),))
    with pytest.raises(VerifyError, match="output .* is used before"):
        verify(replace(graph, nodes=(bad,)))


def test_constants_fit_their_arrays():
    value = Value(F32_4)
    with pytest.raises(VerifyError, match=r"holds float64\[4\]"):
        verify(Graph((), (), (value,), consts={value: np.zeros(4)}))
