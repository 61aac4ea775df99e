"""Composites become canonical ops."""

import pytest
from graphs import becomes, graph_of, stays

from graphjit.ir.verify import verify
from graphjit.ops import OPS
from graphjit.passes.decompose import decompose


def test_named_views_become_canonical_ones():
    becomes(
        decompose,
        "def f(x: f32[2, 3]): a = t(x); b = select(a, dim=0, index=-1); return b",
        "def f(x: f32[2, 3]): a = permute(x, dims=(1, 0)); "
        "b = slice_(a, dim=0, start=2, stop=3, step=1); c = reshape(b, shape=(2,)); return c",
    )


def test_numbers_take_the_dtype_beside_them():
    """0.5 beside float64 is a float64, and composites inside composites are taken apart."""
    becomes(
        decompose,
        "def f(x: f64[4]): return mean(x, dims=(0,), keepdim=True)",
        "def f(x: f64[4]): a = sum(x, dims=(0,)); return mul(a, 0.25)",
    )


def test_canonical_ops_stay():
    stays(decompose, "def f(x: f32[4], y: f32[4]): a = add(x, y); return sum(a, dims=(0,))")


@pytest.mark.parametrize("name", sorted(OPS))
def test_only_canonical_ops_decompose_to_none(name):
    """Every composite has a decomposition, unless it runs on the host by design."""
    op = OPS[name]
    assert op.kind != "composite" or op.decompose is not None or op.host_only


def test_lines_are_kept():
    graph = graph_of("def f(x: f32[4]): return mean(x, dims=(0,), keepdim=True)")
    verify(decompose(graph))
    assert {node.loc for node in decompose(graph).nodes} == {graph.nodes[0].loc}
