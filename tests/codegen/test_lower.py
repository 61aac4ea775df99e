"""Kernels for fused bodies compute what NumPy computes for them."""

import numpy as np
import pytest
from running import build, check, prepare, run

rng = np.random.default_rng(0)


def normal(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def scaled_exp(b, x, y):
    return b.add(b.exp(b.mul(x, 0.5)), y)


@pytest.mark.parametrize(
    "shapes",
    [((4, 5), (5,)), ((4, 5), (4, 5)), ((4, 1), (5,)), ((), (3,)), ((0, 3), (3,)), ((), ()),
     ((3, 0), (3, 1)), ((2, 3, 4), (3, 1)), ((1, 1), (1,)), ((2, 1, 3, 1, 5), (4, 1, 7, 1))],
)  # fmt: skip
def test_pointwise_broadcasts(shapes):
    check(scaled_exp, normal(*shapes[0]), normal(*shapes[1]))


def test_pointwise_takes_any_strides():
    wide = normal(12, 10)
    check(scaled_exp, wide[::2, ::3], wide.T[:4, 6::-1].T[:6])
    check(scaled_exp, wide.T, normal(10, 12))
    check(scaled_exp, np.broadcast_to(normal(10), (12, 10)), wide)


def test_results_take_any_strides():
    home = np.zeros((6, 20), np.float32)
    check(scaled_exp, normal(6, 5), normal(6, 5), outputs=[home[:, 3:18:3]])
    assert (home[:, 0] == 0).all()


def test_transposed_operands():
    for shape in ((40, 50), (3, 40, 50), (1000, 17)):
        x = normal(*shape)
        y = np.swapaxes(normal(*shape), -1, -2).copy()
        check(lambda b, x, y: b.add(b.mul(x, 0.5), y), x, np.swapaxes(y, -1, -2))
        check(lambda b, x: b.clone(x), x.T)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64", "bool"])
def test_transposed_operands_of_any_size(dtype):
    x, y = (normal(50, 3, 37).astype(dtype) for _ in range(2))
    check(lambda b, x: b.logical_not(x), x.transpose(2, 1, 0))
    check(lambda b, x, y: b.maximum(x, y), x.transpose(1, 2, 0), y.transpose(1, 2, 0))
    check(lambda b, x, y: b.eq(x, y), x.transpose(2, 0, 1)[:16], y.transpose(2, 0, 1)[:16])
    check(lambda b, x: b.clone(x), normal(20, 40).astype(dtype)[:, ::2].T)
    check(lambda b, x: b.clone(x), normal(20, 20).astype(dtype)[::-1].T)


def softmax(b, x):
    e = b.exp(b.sub(x, b.amax(x, dims=(1,))))
    return b.div(e, b.sum(e, dims=(1,)))


@pytest.mark.parametrize("shape", [(7, 33), (1, 5), (9, 1), (3, 5000), (200, 2), (128, 10), (0, 4)])
def test_softmax(shape):
    check(softmax, normal(*shape))


def test_rows_too_long_for_the_stack():
    x = normal(3, 60000)
    lowered = prepare(build(softmax, x), [x], [x.copy()])[2]
    assert lowered.calls[0].kernel.spacious
    check(softmax, x)


def test_softmax_of_columns_and_of_transposed_rows():
    check(lambda b, x: softmax(b, x), np.asfortranarray(normal(50, 40)))
    check(softmax, normal(40, 50).T)


def layer_norm(b, x, weight, bias):
    n = x.shape[1]
    mean = b.mul(b.sum(x, dims=(1,)), 1 / n)
    centred = b.sub(x, mean)
    variance = b.mul(b.sum(b.mul(centred, centred), dims=(1,)), 1 / n)
    scale = b.rsqrt(b.add(variance, 1e-5))
    return b.add(b.mul(b.mul(centred, scale), weight), bias), mean, scale


def test_layer_norm_with_its_statistics():
    check(layer_norm, normal(7, 33), normal(33), normal(33))


@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (3,), (0, 2, 3), (1, 3), (0, 1), (0, 1, 2, 3)])
def test_sums_over_any_dimensions(dims):
    x = normal(4, 3, 5, 20)
    check(lambda b, x: b.sum(x, dims=dims), x)
    check(lambda b, x: b.sum(x, dims=dims), x.transpose(2, 0, 3, 1))
    check(lambda b, x: b.mul(b.amax(b.exp(x), dims=dims), 2.0), x)


@pytest.mark.parametrize("shape", [(64, 100), (64, 1000), (1000, 3), (5, 513)])
def test_sum_of_rows(shape):
    x, y = normal(*shape), normal(*shape)
    check(lambda b, x, y: b.mul(b.sum(b.mul(x, y), dims=(0,)), 0.25), x, y)


def test_first_extremum():
    x = normal(5, 40)
    x[1, 7] = x[1, 3] = 9
    x[2, 30] = x[2, 11] = np.nan
    check(lambda b, x: (b.argmax(x, dims=(1,)), b.argmin(x, dims=(0,))), x)


def test_reductions_give_nan_for_nan():
    x = normal(3, 40)
    x[1, 17] = np.nan
    for name in ("amax", "amin", "sum", "prod"):
        check(lambda b, x, name=name: getattr(b, name)(x, dims=(1,)), x)


def cross_entropy(b, x, onehot):
    shifted = b.sub(x, b.amax(x, dims=(1,)))
    e = b.exp(shifted)
    total = b.sum(e, dims=(1,))
    logs = b.sub(shifted, b.log(total))
    loss = b.mul(b.sum(b.mul(logs, onehot), dims=(0, 1)), -1 / x.shape[0])
    return loss, b.mul(b.sub(b.div(e, total), onehot), 1 / x.shape[0])


@pytest.mark.parametrize("shape", [(200, 2), (128, 10), (64, 100), (3, 600), (600, 3)])
def test_reduction_of_a_reduction(shape):
    check(cross_entropy, normal(*shape), np.eye(*shape, dtype=np.float32))


def test_sums_over_rows_and_over_columns_at_once():
    check(lambda b, x: (b.sum(x, dims=(0,)), b.sum(x, dims=(1,))), normal(30, 700))


def test_a_constant_is_no_part_of_a_kernel():
    kernels = []
    for scale, rows in ((0.5, 4), (0.75, 9)):
        x = normal(rows, 20)
        body = build(lambda b, x, scale=scale: b.mul(b.exp(x), scale), x)
        kernels.append(prepare(body, [x], [x.copy()])[2].calls[0].kernel)
    assert kernels[0] == kernels[1]


def mean_squared(b, x, y):
    d = b.sub(x, y)
    return b.mul(b.sum(b.mul(d, d), dims=(0, 1)), 1 / x.shape[0]), b.mul(d, 2.0)


@pytest.mark.parametrize("shape", [(64, 10), (1000, 1000), (1, 270000), (270000, 1), (70000, 3)])
def test_a_long_reduction_is_cut_into_chunks(shape):
    check(mean_squared, normal(*shape), normal(*shape))


@pytest.mark.parametrize("shape", [(100000, 10), (5000, 600)])
def test_long_columns(shape):
    check(lambda b, x: (b.sum(x, dims=(0,)), b.amax(x, dims=(0,))), normal(*shape))


def test_long_reduction_of_short_rows():
    x = normal(40000, 10)
    check(cross_entropy, x, np.eye(10, dtype=np.float32)[rng.integers(0, 10, 40000)])


def normalised(b, x):
    """Reductions of the whole of `x`, each of which needs the one before."""
    dims = tuple(range(len(x.shape)))
    mean = b.mul(b.sum(x, dims=dims), 1 / x.spec.size)
    centred = b.sub(x, mean)
    variance = b.mul(b.sum(b.mul(centred, centred), dims=dims), 1 / x.spec.size)
    y = b.mul(centred, b.rsqrt(b.add(variance, 1e-5)))
    return b.div(y, b.amax(y, dims=dims)), mean


@pytest.mark.parametrize("shape", [(100,), (300, 300), (300001,), (2, 3, 90000)])
def test_whole_arrays_are_gone_over_several_times(shape):
    check(normalised, normal(*shape))
    check(normalised, np.moveaxis(normal(*shape), 0, -1))


@pytest.mark.parametrize("shape", [(3, 5), (40, 7), (300, 3)])
def test_what_an_outermost_loop_keeps_for_the_next_one(shape):
    """The size of what is kept was no argument of the kernel."""

    def function(b, x, total):
        kept = b.tanh(x)
        factor = b.sum(total, dims=(0, 1))
        return kept, b.mul(factor, b.sub(b.mul(kept, kept), 1.0))

    check(function, normal(shape[0], 1, dtype=np.float64), normal(1, shape[1], dtype=np.float64))


def test_results_that_lack_an_axis_of_the_others():
    x, y, z = normal(30, 1), normal(1, 40), normal(1, 1)
    check(lambda b, x, y, z: (b.add(x, y), b.exp(x), b.neg(y), b.mul(z, 2.0)), x, y, z)


def test_long_sums_are_accurate():
    x = rng.random(1 << 20, dtype=np.float32)
    for shape, dims in (((1 << 20,), (0,)), ((1 << 18, 4), (0,)), ((1024, 1024), (1,))):
        body = build(lambda b, x, dims=dims: b.sum(x, dims=dims), x.reshape(shape))
        (got,) = run(body, [x.reshape(shape)])
        want = x.reshape(shape).astype(np.float64).sum(dims, keepdims=True)
        assert np.abs(got / want - 1).max() < 1e-6
