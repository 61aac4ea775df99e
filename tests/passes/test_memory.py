"""Memory planning: buffers alive together never overlap, and little is wasted."""

import numpy as np
import pytest
from graphs import graph_of
from hypothesis import given
from hypothesis import strategies as st

from graphjit.passes import pipeline
from graphjit.passes.memory import ALIGNMENT, Interval, allocate, describe, inherited, peak

INTERVALS = st.lists(
    st.builds(
        lambda first, length, nbytes: Interval(first, first + length, nbytes),
        st.integers(0, 30),
        st.integers(0, 10),
        st.integers(0, 1000),
    )
)


@given(INTERVALS)
def test_buffers_alive_together_lie_apart(intervals):
    offsets, size = allocate(intervals)
    assert size >= peak(intervals)
    assert all(offset % ALIGNMENT == 0 for offset in offsets)
    for i, (a, at) in enumerate(zip(intervals, offsets, strict=True)):
        assert at + a.nbytes <= size
        for b, bt in list(zip(intervals, offsets, strict=True))[:i]:
            if a.first <= b.last and b.first <= a.last:
                assert at + max(a.nbytes, 1) <= bt or bt + max(b.nbytes, 1) <= at


def test_a_chain_takes_two_buffers():
    """Each value of a chain is read once, by the next node: two buffers take turns."""
    intervals = [Interval(i, i + 1, 1024) for i in range(10)]
    offsets, size = allocate(intervals)
    assert size == peak(intervals) == 2048
    assert set(offsets) == {0, 1024}


def test_gaps_are_filled_tightly():
    big, small = Interval(0, 9, 4096), Interval(0, 4, 256)
    later = [Interval(5, 9, 128), Interval(5, 9, 128)]
    offsets, size = allocate([big, small, *later])
    assert size == 4096 + 256
    assert sorted(offsets) == [0, 4096, 4096, 4096 + 128]


def test_nothing_to_place():
    assert allocate([]) == ([], 0)
    assert peak([]) == 0


@pytest.mark.parametrize("seed", range(3))
def test_waste_is_small(seed):
    """Over random lifetimes, the block is at most 15 % above the lower bound."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(0, 200, 300), rng.integers(1, 40, 300)
    sizes = 64 * 2 ** rng.integers(0, 10, 300)
    rows = zip(starts, lengths, sizes, strict=True)
    intervals = [Interval(int(s), int(s + n), int(b)) for s, n, b in rows]
    _, size = allocate(intervals)
    assert size <= 1.15 * peak(intervals)


def test_description():
    intervals = [Interval(0, 1, 1000), Interval(2, 3, 500)]
    text = describe(intervals, allocate(intervals)[1])
    assert text == "memory: 2 buffers, 1,500 bytes in 1,024 (at least 1,024)"


INHERITED = {
    "an operand that ends": ("p = matmul(x, x); return matmul(exp(p), x)", {"exp": "matmul"}),
    "through a view": (
        ("p = reshape(matmul(x, x), shape=(64,)); a = exp(p); "
        "return matmul(reshape(a, shape=(8, 8)), x)"),
        {"exp": "reshape"},
    ),
    "an operand that is read again": ("p = matmul(x, x); return matmul(exp(p), p)", {}),
    "a view of it is read again": (
        "p = matmul(x, x); t = permute(p, dims=(1, 0)); return matmul(exp(p), t)",
        {},
    ),
    "an input": ("return matmul(exp(x), x)", {}),
    "a result": ("p = matmul(x, x); return p, matmul(exp(p), x)", {}),
    "another dtype": ("p = matmul(x, x); return where(gt(p, x), x, x), cast(p, dtype=f64)", {}),
    "part of a concatenation": (
        "p = matmul(x, x); c = concat(p, x, dim=0); return matmul(exp(p), x), c",
        {},
    ),
    "a reduced value": ("p = matmul(x, x); return sum(p, dims=(0,))", {}),
}


@pytest.mark.parametrize("text, expected", INHERITED.values(), ids=INHERITED)
def test_results_take_over_memory(text, expected):
    graph = pipeline.run(graph_of("def f(x: f32[8, 8]): " + text))
    maker = {value: node for node in graph.nodes for value in node.outputs}
    pairs = inherited(graph)
    names = {
        maker[result].attr("body").nodes[-1].op.name: maker[operand].op.name
        for result, operand in pairs.items()
    }
    assert names == expected
