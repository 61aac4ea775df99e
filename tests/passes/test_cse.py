"""Common-subexpression elimination."""

from graphs import becomes, stays

from graphjit.passes.cse import cse


def test_equal_products_are_merged():
    """x * y written twice is computed once, also with its factors swapped."""
    becomes(
        cse,
        "def f(x: f32[4], y: f32[4]): a = mul(x, y); b = mul(y, x); return add(a, b)",
        "def f(x: f32[4], y: f32[4]): a = mul(x, y); return add(a, a)",
    )


def test_differences_are_not():
    stays(cse, "def f(x: f32[4], y: f32[4]): a = sub(x, y); b = sub(y, x); return add(a, b)")


def test_chains_are_merged():
    becomes(
        cse,
        "def f(x: f32[4]): a = exp(x); b = neg(a); c = exp(x); d = neg(c); return mul(b, d)",
        "def f(x: f32[4]): a = exp(x); b = neg(a); return mul(b, b)",
    )


def test_equal_numbers_of_other_types_stay_apart():
    """1, 1.0 and True are equal in Python; so are 0.0 and -0.0."""
    stays(
        cse,
        """
def f(x: f32[4]):
    a = constant(value=1, dtype=f32)
    b = constant(value=1.0, dtype=f32)
    c = constant(value=True, dtype=f32)
    d = constant(value=0.0, dtype=f32)
    e = constant(value=-0.0, dtype=f32)
    g = constant(value=0.0, dtype=f64)
    return a, b, c, d, e, g
""",
    )


def test_attributes_count():
    stays(
        cse, "def f(x: f32[2, 2]): a = sum(x, dims=(0,)); b = sum(x, dims=(1,)); return a, b"
    )


def test_equal_results_may_be_returned_twice():
    becomes(
        cse,
        'def f(w: f32[4], x: f32[4]): a = exp(x); b = exp(x); return (a,), {"w": b}',
        'def f(w: f32[4], x: f32[4]): a = exp(x); return (a,), {"w": a}',
    )
