"""The interpreter: values, updates, bodies, and errors that name the user's line."""

import numpy as np
import pytest

from graphjit import dtypes
from graphjit.errors import Location, VerifyError
from graphjit.ir.graph import Builder, Graph, Node, Spec, Value
from graphjit.ir.interp import interpret, last_uses
from graphjit.ir.parse import parse
from graphjit.ops import OPS

X = np.array([1, 2, 3, 4], np.float32)


def test_outputs_and_updates():
    graph = parse(
        'def f(w: f32[4], g: f32[4]): a = sub(w, g); b = exp(g); return (b,), {"w": a}', OPS
    )
    outputs, updates = interpret(graph, [X, X])
    np.testing.assert_array_equal(outputs[0], np.exp(X))
    np.testing.assert_array_equal(updates[0], np.zeros(4))


def test_a_body_runs_by_recursion():
    text = """
def fused_0(x: f32[4], y: f32[4]):
    a = mul(x, y)
    return a, exp(a)
def f(x: f32[4]):
    a, b = fused_0(x, x)
    return add(a, b)
"""
    (result,), _ = interpret(parse(text, OPS), [X])
    np.testing.assert_array_equal(result, X * X + np.exp(X * X))


def test_a_graph_may_return_an_input_and_a_constant():
    x, c = Value(Spec((4,), dtypes.float32)), Value(Spec((4,), dtypes.float32))
    outputs, _ = interpret(Graph((x,), (), (x, c), consts={c: X + 1}), [X])
    np.testing.assert_array_equal(outputs, [X, X + 1])


def test_inputs_must_fit():
    graph = parse("def f(x: f32[4]): return exp(x)", OPS)
    with pytest.raises(ValueError, match=r"got float64\[4\]"):
        interpret(graph, [X.astype(np.float64)])
    with pytest.raises(ValueError, match=r"got float32\[1\]"):
        interpret(graph, [X[:1]])


def test_errors_name_the_line():
    build = Builder()
    x = Value(Spec((4,), dtypes.int64))
    where = Location("train.py", 12, "step")
    (y,) = build.add(OPS["floor_divide"], (x, x), (), where)
    with pytest.raises(RuntimeError, match="ZeroDivisionError") as info:
        interpret(Graph((x,), tuple(build.nodes), (y,)), [np.zeros(4, np.int64)])
    assert any("train.py:12, step" in note for note in info.value.__notes__)


def test_an_op_that_computes_another_type_is_caught():
    x, y = Value(Spec((4,), dtypes.float32)), Value(Spec((4,), dtypes.float64))
    node = Node(OPS["exp"], (x,), (), (y,))
    with pytest.raises(VerifyError, match="eval gives float32"):
        interpret(Graph((x,), (node,), (y,)), [X])


def test_values_end_with_their_last_reader():
    graph = parse("def f(x: f32[4]): a = exp(x); b = add(a, x); c = mul(b, b); return c, a", OPS)
    x, b = graph.inputs[0], graph.nodes[1].output
    assert list(last_uses(graph).values()) == [(b,), (x,), ()]


def test_values_have_no_strides():
    """PyTorch's view refuses a transposed tensor; in a graph the value counts, not its memory."""
    graph = parse(
        "def f(x: f32[2, 3]): a = permute(x, dims=(1, 0)); return view(a, shape=(6,))", OPS
    )
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (result,), _ = interpret(graph, [x])
    np.testing.assert_array_equal(result, x.T.ravel())
