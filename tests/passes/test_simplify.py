"""Algebraic identities and rules for views, each as before and after."""

import numpy as np
import pytest
from graphs import becomes, chain, graph_of, stays

from graphjit.ir.interp import interpret
from graphjit.passes.cse import cse
from graphjit.passes.dce import dce
from graphjit.passes.simplify import simplify

simplified = chain(simplify, cse, dce)

EXACT = {
    "x * 1": ("return mul(x, 1.0)", "return x"),
    "1 * x": ("a = constant(value=1.0, dtype=f32); return mul(a, x)", "return x"),
    "x * -1": ("return mul(x, -1.0)", "return neg(x)"),
    "(-x) * (-y)": ("return mul(neg(x), neg(y))", "return mul(x, y)"),
    "x + -0.0": ("return add(x, -0.0)", "return x"),
    "x - 0": ("return sub(x, 0.0)", "return x"),
    "x + (-y)": ("return add(x, neg(y))", "return sub(x, y)"),
    "(-y) + x": ("return add(neg(y), x)", "return sub(x, y)"),
    "x - (-y)": ("return sub(x, neg(y))", "return add(x, y)"),
    "x / 1": ("return div(x, 1.0)", "return x"),
    "x / 4": ("return div(x, 4.0)", "return mul(x, 0.25)"),
    "--x": ("return neg(neg(x))", "return x"),
    "x ** 1": ("return pow(x, 1.0)", "return x"),
    "x ** 2": ("return pow(x, 2.0)", "return mul(x, x)"),
    "x ** 3": ("return pow(x, 3.0)", "return mul(mul(x, x), x)"),
    "x ** 0.5": ("return pow(x, 0.5)", "return sqrt(x)"),
    "x ** -1": ("return pow(x, -1.0)", "return reciprocal(x)"),
    "max(x, x)": ("return maximum(x, x)", "return x"),
    "where(c, x, x)": ("return where(c, x, x)", "return x"),
    "where(not c, x, y)": ("return where(logical_not(c), x, y)", "return where(c, y, x)"),
    "not not c": ("return where(logical_not(logical_not(c)), x, y)", "return where(c, x, y)"),
    "where(True, x, y)": (
        "a = constant(value=True, dtype=b1); return where(a, x, y)",
        "return x",
    ),
    "relu(relu(x))": ("return relu(relu(x))", "return relu(x)"),
    "a copy": ("return exp(clone(x))", "return exp(x)"),
    "cast to the same": ("return cast(x, dtype=f32)", "return x"),
    "there and back": ("return cast(cast(x, dtype=f64), dtype=f32)", "return x"),
    "wider twice": (
        "return cast(cast(c, dtype=i64), dtype=f32)",
        "return cast(c, dtype=f32)",
    ),
}
KEPT = {
    "x + 0: -0 becomes 0": "return add(x, 0.0)",
    "x - -0": "return sub(x, -0.0)",
    "0 - x: 0 stays 0": "a = constant(value=0.0, dtype=f32); return sub(a, x)",
    "x * 0: NaN": "return mul(x, 0.0)",
    "x / 3: not exact": "return div(x, 3.0)",
    "x / 2^-149: no reciprocal": "return div(x, 1.401298464324817e-45)",
    "x - x: infinity": "return sub(x, x)",
    "x / x": "return div(x, x)",
    "cast that loses": "return cast(cast(x, dtype=i64), dtype=f32)",
    "-(x - y): the sign of 0": "return neg(sub(x, y))",
    "x ** 2.5": "return pow(x, 2.5)",
}
HEAD = "def f(x: f32[4, 8], y: f32[4, 8], c: b1[4, 8]): "


@pytest.mark.parametrize("before, after", EXACT.values(), ids=EXACT)
def test_exact_identities(before, after):
    becomes(simplified, HEAD + before, HEAD + after)


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_inexact_identities_are_not_applied(text):
    stays(simplified, HEAD + text)


@pytest.mark.parametrize("before, _", EXACT.values(), ids=EXACT)
def test_special_values_are_kept(before, _):
    """Identities hold bit by bit for NaN, infinities, both zeros and denormals."""
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 3.5], np.float32)
    x, y = np.meshgrid(special, special)
    text = HEAD.replace("4, 8", "8, 8") + before
    graph = graph_of(text)
    inputs = [x.copy(), y.copy(), np.asarray(x > y)]
    with np.errstate(all="ignore"):
        (expected,), _updates = interpret(graph, inputs)
        (actual,), _updates = interpret(simplified(graph), inputs)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    numbers = ~np.isnan(expected)
    if "0.5" not in before:  # NumPy takes the power 0.5 of -0 for 0, PyTorch for its root, -0
        np.testing.assert_array_equal(
            actual[numbers].view(np.int32), expected[numbers].view(np.int32)
        )


VIEWS = {
    "reshape of reshape": (
        "a = reshape(x, shape=(32,)); return reshape(a, shape=(2, 16))",
        "return reshape(x, shape=(2, 16))",
    ),
    "reshape to the same": ("return exp(reshape(x, shape=(4, 8)))", "return exp(x)"),
    "permute of permute": (
        "return exp(permute(permute(x, dims=(1, 0)), dims=(1, 0)))",
        "return exp(x)",
    ),
    "permute of a 1": (
        "a = reshape(x, shape=(4, 1, 8)); b = permute(a, dims=(1, 0, 2)); return b",
        "return reshape(x, shape=(1, 4, 8))",
    ),
    "expand before pointwise": (
        "a = sum(x, dims=(1,)); b = expand(a, shape=(4, 8)); return mul(b, y)",
        "a = sum(x, dims=(1,)); return mul(a, y)",
    ),
    "expand moves behind": (
        "a = sum(x, dims=(1,)); b = expand(a, shape=(4, 8)); return exp(b)",
        "a = sum(x, dims=(1,)); return expand(exp(a), shape=(4, 8))",
    ),
    "expand of expand": (
        "a = sum(x, dims=(0, 1)); b = expand(a, shape=(4, 1)); return expand(b, shape=(4, 8))",
        "a = sum(x, dims=(0, 1)); return expand(a, shape=(4, 8))",
    ),
    "full as a number": (
        "a = full(shape=(4, 8), value=2.0, dtype=f32); return mul(a, x)",
        "a = constant(value=2.0, dtype=f32); return mul(a, x)",
    ),
    "full of one number": (
        "a = full(shape=(), value=2.0, dtype=f32); return mul(a, x)",
        "a = constant(value=2.0, dtype=f32); return mul(a, x)",
    ),
    "leading ones": (
        "a = sum(x, dims=(0,)); b = reshape(a, shape=(8,)); return mul(b, y)",
        "a = sum(x, dims=(0,)); return mul(a, y)",
    ),
    "squeeze moves behind": (
        "a = reshape(sum(x, dims=(1,)), shape=(4,)); return reshape(exp(a), shape=(4, 1))",
        "return exp(sum(x, dims=(1,)))",
    ),
    "squeeze moves behind a reduction": (
        ("a = reshape(sum(x, dims=(1,)), shape=(4,)); b = amax(a, dims=(0,)); "
        "return reshape(b, shape=())"),
        "return reshape(amax(sum(x, dims=(1,)), dims=(0,)), shape=())",
    ),
    "sum over extent 1": (
        "a = sum(x, dims=(1,)); return sum(a, dims=(0, 1))",
        "return sum(x, dims=(0, 1))",
    ),
    "whole slice": ("return exp(slice_(x, dim=0, start=0, stop=4, step=1))", "return exp(x)"),
    "slice of concat": (
        "a = concat(x, y, dim=0); return slice_(a, dim=0, start=4, stop=8, step=1)",
        "return y",
    ),
    "concat of concat": (
        "a = concat(x, y, dim=0); return concat(a, x, dim=0)",
        "return concat(x, y, x, dim=0)",
    ),
    "concat of one": ("return exp(concat(x, dim=1))", "return exp(x)"),
    "slice of what was put there": (
        ("b = slice_(y, dim=0, start=1, stop=3, step=1); "
        "a = slice_scatter(x, b, dim=0, start=1, stop=3, step=1); "
        "return slice_(a, dim=0, start=1, stop=3, step=1)"),
        "return slice_(y, dim=0, start=1, stop=3, step=1)",
    ),
}


@pytest.mark.parametrize("before, after", VIEWS.values(), ids=VIEWS)
def test_views(before, after):
    becomes(simplified, HEAD + before, HEAD + after)


def test_argmax_of_argmax_is_not_joined():
    """Only reductions whose partial results combine into the whole are joined."""
    stays(simplified, "def f(x: i64[4, 8]): a = argmax(x, dims=(1,)); return argmax(a, dims=(0,))")


def test_whole_numbers_add_zero_exactly():
    becomes(simplified, "def f(x: i64[4]): return add(x, 0)", "def f(x: i64[4]): return x")


def test_integer_division_by_two_stays():
    stays(simplified, "def f(x: i64[4]): return floor_divide(x, 2)")


def test_mean_with_keepdim_false_joins_its_use():
    """mean(1) then [:, None]: the reshapes there and back disappear."""
    becomes(
        simplified,
        """
def f(x: f32[4, 8]):
    a = reshape(sum(x, dims=(1,)), shape=(4,))
    b = mul(a, 0.125)
    return sub(x, reshape(b, shape=(4, 1)))
""",
        """
def f(x: f32[4, 8]):
    a = sum(x, dims=(1,))
    return sub(x, mul(a, 0.125))
""",
    )
