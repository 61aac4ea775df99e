"""Concatenations that share parts."""

from graphs import becomes, stays

from graphjit.passes.concats import share_parts

PARTS = "a = exp(x); b = sin(x); c = cos(x); d = tanh(x); e = neg(x); g = abs(x); "
HEAD = "def f(x: f32[2, 3]): " + PARTS


def test_one_after_the_other():
    becomes(
        share_parts,
        HEAD + "p = concat(b, c, d, e, g, dim=0); q = concat(a, b, c, d, e, dim=0); return p, q",
        HEAD + "w = concat(a, b, c, d, e, g, dim=0); "
        "p = slice_(w, dim=0, start=2, stop=12, step=1); "
        "q = slice_(w, dim=0, start=0, stop=10, step=1); return p, q",
    )


def test_one_inside_the_other():
    becomes(
        share_parts,
        HEAD + "p = concat(a, b, c, d, e, g, dim=1); q = concat(b, c, d, e, dim=1); return p, q",
        HEAD + "w = concat(a, b, c, d, e, g, dim=1); "
        "p = slice_(w, dim=1, start=0, stop=18, step=1); "
        "q = slice_(w, dim=1, start=3, stop=15, step=1); return p, q",
    )


def test_few_common_parts():
    stays(
        share_parts,
        HEAD + "p = concat(a, b, c, d, dim=0); q = concat(b, c, d, e, dim=0); return p, q",
    )


def test_other_dimensions():
    stays(
        share_parts,
        HEAD + "p = concat(a, b, c, d, e, dim=0); q = concat(a, b, c, d, e, dim=1); return p, q",
    )


def test_a_part_that_needs_the_other_concatenation():
    stays(
        share_parts,
        HEAD + "p = concat(a, b, c, d, dim=0); s = slice_(p, dim=0, start=0, stop=2, step=1); "
        "t = exp(s); q = concat(a, b, c, d, t, dim=0); return p, q",
    )
