"""Fusion: which nodes end up in one kernel."""

import pytest
from graphs import becomes, bodies, chain, graph_of, same_graph, stays

from graphjit.ir.verify import verify
from graphjit.ops.fused import domain
from graphjit.passes import pipeline
from graphjit.passes.dce import dce
from graphjit.passes.decompose import decompose
from graphjit.passes.fuse import fuse
from graphjit.passes.numbers import compare, results_of

fused = chain(fuse, dce)

#: name: (text, the bodies of its kernels after the whole pipeline)
KERNELS = {
    "softmax": (
        "def f(x: f32[64, 100]): return softmax(x, dim=1)",
        ["amax sub exp sum div"],
    ),
    "softmax over columns": (
        "def f(x: f32[64, 100]): return softmax(x, dim=0)",
        ["amax", "sub exp sum", "div"],
    ),
    "the sum over rows runs where the rows are made": (
        ("def f(x: f32[64, 100]): a = softmax(x, dim=1); b = mul(a, a); "
        "return sum_squeeze(b, dims=(0, 1))"),
        ["amax sub exp sum div mul sum", "sum"],
    ),
    "a large sum and what follows on the whole": (
        "def f(x: f32[300, 100]): a = exp(x); return div(a, sum(a, dims=(0, 1)))",
        ["exp sum", "div"],
    ),
    "a small sum and what follows on the whole": (
        "def f(x: f32[3, 100]): a = exp(x); return div(a, sum(a, dims=(0, 1)))",
        ["exp sum div"],
    ),
    "producers of a reduction over columns": (
        ("def f(x: f32[64, 100], b: f32[100]): a = relu(x); s = sum_squeeze(a, dims=(0,)); "
        "return a, sub(b, s)"),
        ["relu sum sub"],
    ),
    "rows and columns": (
        "def f(x: f32[64, 100]): a = exp(x); return sum(a, dims=(0,)), sum(a, dims=(1,))",
        ["exp sum", "sum"],
    ),
    "different shapes": (
        "def f(x: f32[64, 100], y: f32[10]): return exp(x), exp(y)",
        ["exp", "exp"],
    ),
    "numbers are repeated": (
        ("def f(x: f32[64], y: f32[32], lr: f64[()]): a = cast(lr, dtype=f32); "
        "return mul(x, a), mul(y, a)"),
        ["cast mul", "cast mul"],
    ),
    "a product between": (
        "def f(x: f32[8, 8]): a = exp(x); b = matmul(a, x); return add(a, b)",
        ["exp", "add"],
    ),
    "several results": (
        "def f(x: f32[64]): a = exp(x); b = neg(a); c = sin(a); return a, b, c",
        ["exp neg sin"],
    ),
}


@pytest.mark.parametrize("text, expected", KERNELS.values(), ids=KERNELS)
def test_kernels(text, expected):
    graph = graph_of(text)
    result = pipeline.run(graph)
    verify(result)
    compare(results_of(graph), result)
    assert sorted(bodies(result)) == sorted(expected)
    same_graph(pipeline.run(result), result)


def test_a_kernel_in_full():
    becomes(
        fused,
        "def f(x: f32[4, 8], y: f32[8]): a = mul(x, y); b = sum(a, dims=(1,)); return exp(b)",
        """
def fused_0(x: f32[4, 8], y: f32[8]):
    a = mul(x, y)
    b = sum(a, dims=(1,))
    return exp(b)
def f(x: f32[4, 8], y: f32[8]):
    c = fused_0(x, y)
    return c
""",
    )


def test_a_path_through_another_node_keeps_kernels_apart():
    """Joining exp and add would make a cycle through the product."""
    becomes(
        fused,
        "def f(x: f32[8, 8]): a = exp(x); b = matmul(a, x); return add(a, b)",
        """
def fused_0(x: f32[8, 8]): return exp(x)
def fused_1(x: f32[8, 8], y: f32[8, 8]): return add(x, y)
def f(x: f32[8, 8]):
    a = fused_0(x)
    b = matmul(a, x)
    c = fused_1(a, b)
    return c
""",
    )


def test_cheap_values_are_computed_again():
    """The slope of tanh is not stored for the backward: it comes from tanh, which is in memory."""
    becomes(
        fused,
        """
def f(x: f32[8, 8], g: f32[8, 8]):
    t = tanh(x)
    s = sub(exp(t), t)
    p = matmul(t, g)
    return mul(p, mul(t, t))
""",
        """
def fused_0(x: f32[8, 8]): return tanh(x)
def fused_1(p: f32[8, 8], t: f32[8, 8]): return mul(p, mul(t, t))
def f(x: f32[8, 8], g: f32[8, 8]):
    t = fused_0(x)
    p = matmul(t, g)
    a = fused_1(p, t)
    return a
""",
    )


def test_costly_values_are_stored():
    graph = graph_of("def f(x: f32[8, 8]): e = exp(x); p = matmul(neg(e), x); return mul(p, e)")
    result = fused(graph)
    assert bodies(result) == ["exp neg", "mul"]
    assert len(result.nodes[0].outputs) == 2


def test_what_no_kernel_can_do_stays_alone():
    """Complex numbers are left to the host."""
    stays(fused, "def f(x: c64[8]): a = exp(x); return mul(a, a)")


def test_the_number_of_arrays_is_limited():
    names = [f"x{i}" for i in range(60)]
    total = names[0]
    for name in names[1:]:
        total = f"add({total}, {name})"
    text = f"def f({', '.join(f'{name}: f32[8]' for name in names)}): return {total}"
    result = fused(graph_of(text))
    for node in result.nodes:
        assert len(node.inputs) + len(node.outputs) <= 32
    assert len(result.nodes) == 2


def test_domain_of_a_body():
    (node,) = fused(decompose(graph_of("def f(x: f32[4, 8]): return softmax(x, dim=1)"))).nodes
    assert domain(node.attr("body")) == ((4, 8), (1,))
    (node,) = fused(graph_of("def f(x: f32[4, 8], y: f32[8]): return add(x, y)")).nodes
    assert domain(node.attr("body")) == ((4, 8), ())


def test_equal_kernels_have_equal_bodies():
    """Two layers give the same kernels, wherever their nodes stand: codegen makes each one once."""
    graph = graph_of(
        """
def f(w: f32[8], g: f32[8], v: f32[8], h: f32[8], lr: f64[()]):
    a = mul(g, cast(lr, dtype=f32))
    b = sub(w, a)
    l = cast(lr, dtype=f32)
    d = sub(v, mul(h, l))
    return (), {"w": b, "v": d}
"""
    )
    first, second = pipeline.run(graph).nodes
    assert first.attr("body").structure() == second.attr("body").structure()
