"""Views and products rearranged, each as before and after."""

import numpy as np
import pytest
from graphs import becomes, chain, stays

from graphjit.ir.interp import interpret
from graphjit.ir.parse import parse
from graphjit.ops import OPS
from graphjit.passes.cse import cse
from graphjit.passes.dce import dce
from graphjit.passes.layout import layout
from graphjit.passes.simplify import simplify

arranged = chain(layout, simplify, cse, dce)

CASES = {
    "rows are merged": (
        "def f(x: f32[2, 3, 5], w: f32[5, 7]): return matmul(x, w)",
        ("def f(x: f32[2, 3, 5], w: f32[5, 7]): a = reshape(x, shape=(6, 5)); b = matmul(a, w); "
        "return reshape(b, shape=(2, 3, 7))"),
    ),
    "the gradient of a weight used by a batch is one product": (
        ("def f(x: f32[2, 3, 5], g: f32[2, 3, 7]): a = permute(x, dims=(0, 2, 1)); "
        "b = matmul(a, g); return sum(b, dims=(0,))"),
        ("def f(x: f32[2, 3, 5], g: f32[2, 3, 7]): a = reshape(x, shape=(6, 5)); "
        "b = permute(a, dims=(1, 0)); c = reshape(g, shape=(6, 7)); d = matmul(b, c); "
        "return reshape(d, shape=(1, 5, 7))"),
    ),
    "a transposed product": (
        "def f(x: f32[6, 5], y: f32[5, 7]): a = matmul(x, y); return permute(a, dims=(1, 0))",
        ("def f(x: f32[6, 5], y: f32[5, 7]): b = permute(y, dims=(1, 0)); "
        "a = permute(x, dims=(1, 0)); return matmul(b, a)"),
    ),
    "nothing of a pointwise result of one element": (
        "def f(x: f32[1]): a = slice_(mul(x, x), dim=0, start=0, stop=0, step=1); return exp(a)",
        ("def f(x: f32[1]): a = slice_(x, dim=0, start=0, stop=0, step=1); "
        "return exp(mul(a, a))"),
    ),
    "an inner dimension of 1": (
        "def f(x: f32[6, 1], y: f32[1, 7]): return matmul(x, y)",
        "def f(x: f32[6, 1], y: f32[1, 7]): return mul(x, y)",
    ),
    "a product with a column": (
        "def f(x: f32[6, 5], y: f32[5, 1]): return matmul(x, y)",
        ("def f(x: f32[6, 5], y: f32[5, 1]): a = reshape(y, shape=(1, 5)); "
        "return sum(mul(x, a), dims=(1,))"),
    ),
    "a product with a row": (
        "def f(x: f32[1, 5], y: f32[5, 7]): return matmul(x, y)",
        ("def f(x: f32[1, 5], y: f32[5, 7]): a = reshape(x, shape=(5, 1)); "
        "return sum(mul(y, a), dims=(0,))"),
    ),
    "a sum of many products": (
        """
def f(a: f32[3, 5], b: f32[3, 7]):
    p = matmul(permute(a, dims=(1, 0)), b)
    q = matmul(permute(exp(a), dims=(1, 0)), b)
    r = matmul(permute(sin(a), dims=(1, 0)), b)
    s = matmul(permute(cos(a), dims=(1, 0)), b)
    return add(add(add(p, q), r), s)
""",
        """
def f(a: f32[3, 5], b: f32[3, 7]):
    l = concat(a, exp(a), sin(a), cos(a), dim=0)
    t = permute(l, dims=(1, 0))
    r = concat(b, b, b, b, dim=0)
    return matmul(t, r)
""",
    ),
    "a sum of many sums": (
        """
def f(a: f32[3, 5], y: f32[1, 5]):
    p = sum(a, dims=(0,))
    q = sum(exp(a), dims=(0,))
    r = sum(sin(a), dims=(0,))
    s = sum(cos(a), dims=(0,))
    return add(add(add(add(p, q), y), r), s)
""",
        """
def f(a: f32[3, 5], y: f32[1, 5]):
    l = concat(a, exp(a), sin(a), cos(a), dim=0)
    s = sum(l, dims=(0,))
    return add(y, s)
""",
    ),
    "a sum of many terms, some of them results of ops with several": (
        """
def f(a: f32[3, 5]):
    v, w = sort(a, dim=1, descending=False)
    p, q = sort(exp(a), dim=1, descending=False)
    return add(add(add(v, p), a), a)
""",
        """
def f(a: f32[3, 5]):
    v, w = sort(a, dim=1, descending=False)
    p, q = sort(exp(a), dim=1, descending=False)
    return add(add(add(v, p), a), a)
""",
    ),
    "slices of a pointwise result": (
        """
def f(x: f32[4, 8], b: f32[8], c: f32[4, 1]):
    a = mul(add(x, b), c)
    p = slice_(a, dim=1, start=0, stop=4, step=1)
    q = slice_(a, dim=1, start=4, stop=8, step=1)
    return mul(p, q)
""",
        """
def f(x: f32[4, 8], b: f32[8], c: f32[4, 1]):
    x0 = slice_(x, dim=1, start=0, stop=4, step=1)
    b0 = slice_(b, dim=0, start=0, stop=4, step=1)
    p = mul(add(x0, b0), c)
    x1 = slice_(x, dim=1, start=4, stop=8, step=1)
    b1 = slice_(b, dim=0, start=4, stop=8, step=1)
    q = mul(add(x1, b1), c)
    return mul(p, q)
""",
    ),
    "ones are added to operands": (
        """
def f(t: i64[4], x: f32[4, 8]):
    a = cast(ne(t, -100), dtype=f32)
    return mul(x, reshape(a, shape=(4, 1)))
""",
        """
def f(t: i64[4], x: f32[4, 8]):
    u = reshape(t, shape=(4, 1))
    a = cast(ne(u, -100), dtype=f32)
    return mul(x, a)
""",
    ),
    "slices put into zeros and added": (
        """
def f(p: f32[2, 3], q: f32[2, 2]):
    z = full(shape=(2, 6), value=0.0, dtype=f32)
    a = slice_scatter(z, p, dim=1, start=0, stop=3, step=1)
    b = slice_scatter(z, q, dim=1, start=4, stop=6, step=1)
    return add(b, a)
""",
        """
def f(p: f32[2, 3], q: f32[2, 2]):
    z = full(shape=(2, 1), value=0.0, dtype=f32)
    return concat(p, z, q, dim=1)
""",
    ),
}
KEPT = {
    "rows of a transposed operand": "def f(x: f32[3, 2, 5], w: f32[5, 7]): "
    "a = permute(x, dims=(1, 0, 2)); return matmul(a, w)",
    "a product that is read twice": "def f(x: f32[6, 5], y: f32[5, 7]): a = matmul(x, y); "
    "return a, permute(a, dims=(1, 0))",
    "few products": "def f(a: f32[5, 5], b: f32[5, 5]): p = matmul(a, b); q = matmul(b, a); "
    "return add(p, q)",
    "slices that overlap": "def f(x: f32[8]): a = exp(x); "
    "p = slice_(a, dim=0, start=0, stop=5, step=1); q = slice_(a, dim=0, start=3, stop=8, step=1); "
    "return add(p, q)",
    "slices read by a product": "def f(x: f32[8, 5], y: f32[5, 5]): a = exp(x); "
    "p = slice_(a, dim=0, start=0, stop=5, step=1); return matmul(p, y)",
    "overlapping parts": "def f(p: f32[3]): z = full(shape=(4,), value=0.0, dtype=f32); "
    "a = slice_scatter(z, p, dim=0, start=0, stop=3, step=1); "
    "b = slice_scatter(z, p, dim=0, start=1, stop=4, step=1); return add(a, b)",
}


@pytest.mark.parametrize("before, after", CASES.values(), ids=CASES)
def test_views_are_moved(before, after):
    becomes(arranged, before, after)


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_what_stays(text):
    stays(arranged, text)


def test_a_row_times_a_column_that_is_not_transposed():
    """A permutation that changes nothing was taken for a transposition."""
    graph = parse(
        "def f(x: f32[1, 2]): a = permute(x, dims=(0, 1)); b = permute(x, dims=(1, 0)); "
        "return matmul(a, b)",
        OPS,
    )
    x = np.array([[3.0, 4.0]], np.float32)
    ((result,), _) = interpret(layout(graph), [x])
    assert result.tolist() == [[25.0]]
