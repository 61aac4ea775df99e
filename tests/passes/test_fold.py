"""Constant folding."""

from graphs import becomes, stays

from graphjit.passes.dce import dce
from graphjit.passes.fold import fold


def folded(graph):
    return dce(fold(graph))


def test_numbers_are_computed():
    becomes(
        folded,
        """
def f(x: f32[4]):
    a = constant(value=2.0, dtype=f32)
    b = sqrt(a)
    return mul(x, b)
""",
        """
def f(x: f32[4]):
    b = constant(value=1.4142135381698608, dtype=f32)
    return mul(x, b)
""",
    )


def test_rounding_is_that_of_the_dtype():
    """0.1 + 0.2 in float32 is not 0.30000000000000004."""
    becomes(
        folded,
        """
def f(x: f32[4]):
    a = constant(value=0.10000000149011612, dtype=f32)
    b = constant(value=0.20000000298023224, dtype=f32)
    return add(x, add(a, b))
""",
        """
def f(x: f32[4]):
    c = constant(value=0.30000001192092896, dtype=f32)
    return add(x, c)
""",
    )


def test_filled_tensors_stay_filled():
    becomes(
        folded,
        """
def f(x: f32[2, 3]):
    a = full(shape=(2, 3), value=2.0, dtype=f32)
    b = sum(neg(a), dims=(1,))
    return add(x, b)
""",
        """
def f(x: f32[2, 3]):
    b = full(shape=(2, 1), value=-6.0, dtype=f32)
    return add(x, b)
""",
    )


def test_casts_change_the_dtype():
    becomes(
        folded,
        "def f(x: i64[4]): a = constant(value=2.75, dtype=f32); return mul(x, cast(a, dtype=i64))",
        "def f(x: i64[4]): a = constant(value=2, dtype=i64); return mul(x, a)",
    )


def test_positions_are_not_tabulated():
    stays(folded, "def f(): a = iota(shape=(4,), dim=0, dtype=i64); return neg(a)")


def test_large_reductions_stay():
    stays(
        folded,
        "def f(): a = full(shape=(5000,), value=1.5, dtype=f32); return sum(a, dims=(0,))",
    )


def test_negative_zero_is_kept():
    becomes(
        folded,
        "def f(x: f32[1]): a = constant(value=0.0, dtype=f32); return mul(x, neg(a))",
        "def f(x: f32[1]): a = constant(value=-0.0, dtype=f32); return mul(x, a)",
    )
