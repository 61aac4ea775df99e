"""Matrix products of any strides, against NumPy."""

import itertools
import os

import numpy as np
import pytest
from kernels import close, layout, misaligned

from graphjit import dtypes
from graphjit.runtime import gemm
from graphjit.runtime.instruction import Arena, Layout
from graphjit.runtime.program import Program

SIZES = [(1, 1, 1), (3, 4, 5), (1, 7, 9), (7, 1, 9), (7, 9, 1), (17, 33, 65), (64, 100, 300),
         (0, 3, 2), (3, 0, 2), (3, 2, 0), (100, 10, 1), (10, 10, 100), (33, 51, 20)]  # fmt: skip


def run(a, b, c, accumulate=False):
    program = Program([gemm.matmul(layout(a, 0), layout(b, 1), layout(c, 2), accumulate)], 3)
    assert program(a, b, c) == 0


def check(a, b, c):
    start = c.copy()
    run(a, b, c)
    close(c, np.matmul(a, b))
    run(a, b, c, accumulate=True)
    close(c, np.matmul(a, b) + np.matmul(a, b))
    c[...] = start
    run(a, b, c, accumulate=True)
    close(c, start + np.matmul(a, b))


def values(rng, shape, dtype, transposed=False):
    shape = (*shape[:-2], *shape[:-3:-1]) if transposed else shape
    array = (4 * rng.normal(size=shape)).astype(dtype)
    return array.swapaxes(-1, -2) if transposed else array


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("m, n, k", SIZES)
def test_every_transposition(dtype, m, n, k):
    rng = np.random.default_rng(0)
    for ta, tb, tc in itertools.product((False, True), repeat=3):
        check(
            values(rng, (m, k), dtype, ta),
            values(rng, (k, n), dtype, tb),
            values(rng, (m, n), dtype, tc),
        )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "complex64", "complex128"])
def test_every_dtype(dtype):
    rng = np.random.default_rng(0)
    check(*(values(rng, shape, dtype) for shape in ((5, 6), (6, 7), (5, 7))))


def test_float16_sums_in_float32():
    rng = np.random.default_rng(0)
    a, b = values(rng, (5, 300), "float16"), values(rng, (300, 7), "float16")
    c = np.zeros((5, 7), np.float16)
    run(a, b, c)
    np.testing.assert_array_equal(c, (a.astype("f") @ b.astype("f")).astype(np.float16))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_gaps_and_negative_strides(dtype):
    rng = np.random.default_rng(0)
    for m, n, k in ((3, 4, 5), (17, 33, 20)):
        a, b, c = (misaligned(shape, dtype, rng) for shape in ((m, k), (k, n), (m, n)))
        check(a, b, c)


BATCHES = [
    ((2, 3), (2, 3), (2, 3)),
    ((2, 3), (3,), (2, 3)),
    ((), (4,), (4,)),
    ((4,), (), (4,)),
    ((2, 1, 3), (5, 1), (2, 5, 3)),
    ((2, 1, 2, 1), (1, 3, 1, 2), (2, 3, 2, 2)),
    ((0,), (0,), (0,)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("a_batch, b_batch, batch", BATCHES)
def test_batches_broadcast(dtype, a_batch, b_batch, batch):
    rng = np.random.default_rng(0)
    for ta, tb in itertools.product((False, True), repeat=2):
        check(
            values(rng, (*a_batch, 6, 5), dtype, ta),
            values(rng, (*b_batch, 5, 20), dtype, tb),
            values(rng, (*batch, 6, 20), dtype),
        )


def test_heads_of_attention():
    """Batches interleaved with rows, as split heads leave them."""
    rng = np.random.default_rng(0)
    q, k, out = (rng.normal(size=(2, 7, 3, 5)).astype("f") for _ in range(3))
    scores = np.zeros((2, 3, 7, 7), "f")
    check(q.transpose(0, 2, 1, 3), k.transpose(0, 2, 3, 1), scores)
    check(scores, q.transpose(0, 2, 1, 3), out.transpose(0, 2, 1, 3))


def test_expanded_operands():
    """Strides of zero inside a matrix."""
    rng = np.random.default_rng(0)
    row = rng.normal(size=(1, 30)).astype("f")
    for a in (np.broadcast_to(row, (20, 30)), np.broadcast_to(row[:, :1], (20, 30))):
        check(a, rng.normal(size=(30, 40)).astype("f"), np.zeros((20, 40), "f"))
        check(rng.normal(size=(40, 20)).astype("f"), a, np.zeros((40, 30), "f"))


def test_too_many_batch_dimensions_are_refused():
    shape = (2, 2, 2, 2, 2, 3, 3)
    scattered = tuple(3**i * 10 for i in range(7))
    layouts = [Layout(Arena(0), shape, scattered, dtypes.float32)] * 3
    with pytest.raises(ValueError, match="5 separate batch"):
        gemm.matmul(*layouts)


def test_batches_with_a_shared_right_side_become_rows():
    """Whatever a step of the range stands for, there are as many as for one tall matrix."""

    def steps(*batch):
        shapes = ((*batch, 64), (64, 32), (*batch, 32))
        return gemm.matmul(
            *(Layout.contiguous(Arena(0), shape, dtypes.float32) for shape in shapes)
        ).end

    assert steps(8, 100) == steps(800)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("sizes", [(2, 70, 30, 20), (1, 3, 200, 20), (3, 2, 5, 4)])
def test_any_split_of_the_range_gives_the_whole(dtype, sizes):
    batch, m, n, k = sizes
    rng = np.random.default_rng(0)
    a, b = values(rng, (batch, m, k), dtype, True), values(rng, (batch, k, n), dtype)
    c = np.zeros((batch, m, n), dtype)
    whole = gemm.matmul(layout(a, 0), layout(b, 1), layout(c, 2))
    cuts = [0, *sorted(rng.integers(0, whole.end, 3).tolist()), whole.end]
    parts = [
        gemm.Instruction("part", whole.address, whole.args, begin, end)
        for begin, end in itertools.pairwise(cuts)
    ]
    assert Program(parts, 3)(a, b, c) == 0
    close(c, np.matmul(a, b))


def test_infinity_and_nan_are_not_multiplied_away():
    """Without accumulation what is in c does not count, not even NaN."""
    for m, n, k in ((2, 3, 2), (40, 40, 40)):
        a, b = np.ones((m, k), "f"), np.ones((k, n), "f")
        a[0, 0] = np.inf
        c = np.full((m, n), np.nan, "f")
        run(a, b, c)
        assert np.all(np.isposinf(c[0])) and np.all(c[1:] == k)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("m, n, k", [(200, 150, 700), (97, 17, 40), (1, 150, 40), (49, 530, 300)])
def test_any_split_gives_the_same_bits(dtype, transposed, m, n, k):
    """Results do not depend on how many threads share the work."""
    rng = np.random.default_rng(0)
    a, b = values(rng, (2, m, k), dtype), values(rng, (k, n), dtype, transposed)
    c = np.zeros((2, m, n), dtype)
    run(a, b, c)
    whole = gemm.matmul(layout(a, 0), layout(b, 1), layout(c, 2))
    for step in (1, 3, 5):
        again = np.zeros_like(c)
        parts = [
            gemm.Instruction("part", whole.address, whole.args, i, min(i + step, whole.end))
            for i in range(0, whole.end, step)
        ]
        Program(parts, 3)(a, b, again)
        np.testing.assert_array_equal(c, again)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m, n, k", [(70, 130, 1100), (500, 140, 300), (35, 530, 33), (33, 600, 7)])
def test_large_products_of_blocks_and_strips(dtype, m, n, k):
    """Of blocks of terms and of rows, both copied to lie side by side."""
    rng = np.random.default_rng(0)
    for ta, tb in itertools.product((False, True), repeat=2):
        a, b = values(rng, (m, k), dtype, ta), values(rng, (k, n), dtype, tb)
        check(a, b, np.zeros((m, n), dtype))


def test_rows_far_apart_with_gaps():
    """A block of neither rows nor columns without gaps, copied one by one."""
    rng = np.random.default_rng(0)
    a, b, c = (misaligned(shape, "float32", rng) for shape in ((50, 70), (70, 150), (50, 150)))
    check(a, b, np.zeros((50, 150), "float32"))
    check(a, b, c)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_few_rows(dtype, m):
    """Tiles as wide as they are low, and dot products where there is but one row."""
    rng = np.random.default_rng(0)
    for n, k in ((200, 300), (131, 29), (9, 5), (1, 100), (3, 64)):
        for tb in (False, True):
            a, b = values(rng, (2, m, k), dtype), values(rng, (2, k, n), dtype, tb)
            check(a, b, np.zeros((2, m, n), dtype))


def test_matrix_times_vector():
    rng = np.random.default_rng(0)
    for shape in ((50, 70), (3, 50, 70)):
        for ta in (False, True):
            a, x = values(rng, shape, "float32", ta), values(rng, (70, 1), "float32")
            check(a, x, np.zeros((*shape[:-1], 1), "float32"))
            check(x.T, a.swapaxes(-1, -2), np.zeros((*shape[:-2], 1, 50), "float32"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_in_a_forked_child():
    rng = np.random.default_rng(0)
    a, b, c = (values(rng, (256, 256), "float32") for _ in range(3))
    run(a, b, c)
    child = os.fork()
    if child == 0:
        run(a, b, c)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
