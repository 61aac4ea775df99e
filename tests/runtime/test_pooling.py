"""Maxima over windows and their gradient, against loops over windows."""

import itertools

import numpy as np
import pytest
from kernels import layout

from graphjit.runtime import pooling
from graphjit.runtime.instruction import Instruction
from graphjit.runtime.program import Program

#: image, windows out, kernel, stride, padding, dilation
CASES = [
    ((2, 3, 8, 10), (4, 5), (2, 2), (2, 2), (0, 0), (1, 1)),
    ((2, 3, 9, 11), (4, 3), (2, 3), (2, 3), (0, 0), (1, 1)),
    ((2, 3, 9, 11), (5, 6), (3, 3), (2, 2), (1, 1), (1, 1)),
    ((2, 3, 9, 12), (4, 6), (3, 3), (2, 2), (0, 0), (1, 1)),  # the last window hangs over
    ((2, 3, 9, 11), (7, 5), (3, 2), (1, 2), (1, 0), (2, 2)),
    ((2, 3, 9, 11), (7, 9), (3, 3), (1, 1), (0, 0), (1, 1)),
    ((1, 1, 5, 5), (5, 5), (5, 5), (1, 1), (2, 2), (1, 1)),
    ((1, 2, 48, 70), (24, 35), (2, 2), (2, 2), (0, 0), (1, 1)),
    ((1, 2, 40, 70), (13, 23), (3, 3), (3, 3), (0, 0), (1, 1)),
    ((1, 2, 41, 70), (20, 34), (3, 3), (2, 2), (0, 0), (1, 1)),
    ((1, 2, 19, 70), (10, 35), (3, 3), (2, 2), (1, 1), (1, 1)),  # inside but for the borders
    ((1, 1, 31, 101), (2, 2), (30, 100), (1, 1), (0, 0), (1, 1)),
    ((1, 1, 1, 1), (1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
    ((0, 3, 8, 8), (4, 4), (2, 2), (2, 2), (0, 0), (1, 1)),
]


def reference(x, out, kernel, stride, padding, dilation):
    """Maxima and their places: the first of equals, the last NaN."""
    values = np.zeros((*x.shape[:2], *out), x.dtype)
    index = np.zeros(values.shape, np.int32)
    for n, c, y, z in np.ndindex(values.shape):
        best = None
        for place in np.ndindex(kernel):
            i, j = (
                o * s - p + k * d
                for o, s, p, k, d in zip((y, z), stride, padding, place, dilation, strict=True)
            )
            if 0 <= i < x.shape[2] and 0 <= j < x.shape[3]:
                new = x[n, c, i, j]
                if best is None or new > best or np.isnan(new):
                    best = new
                    index[n, c, y, z] = place[0] * kernel[1] + place[1]
        values[n, c, y, z] = best
    return values, index


def reference_gradient(gradient, index, shape, kernel, stride, padding, dilation):
    result = np.zeros(shape, gradient.dtype)
    for n, c, y, z in np.ndindex(gradient.shape):
        i, j = divmod(int(index[n, c, y, z]), kernel[1])
        i, j = i * dilation[0] - padding[0], j * dilation[1] - padding[1]
        result[n, c, y * stride[0] + i, z * stride[1] + j] += gradient[n, c, y, z]
    return result


def images(rng, shape, dtype, kind):
    x = rng.integers(-3, 4, size=shape).astype(dtype)
    if kind == "special":
        x[rng.random(shape) < 0.1] = np.nan
        x[rng.random(shape) < 0.3] = -np.inf
    return np.ascontiguousarray(x.T).T if kind == "strided" else x


def run(make, *arrays_and_geometry):
    *arrays, kernel, stride, padding, dilation = arrays_and_geometry
    layouts = [layout(array, slot) for slot, array in enumerate(arrays)]
    instruction = make(*layouts, kernel, stride, padding, dilation)
    assert Program([instruction], arrays=3)(*arrays) == 0
    return instruction


@pytest.mark.parametrize("kind", ["plain", "special", "strided"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_against_loops_over_windows(case, dtype, kind):
    shape, out, *geometry = case
    rng = np.random.default_rng(0)
    x = images(rng, shape, dtype, kind)
    expected, places = reference(x, out, *geometry)
    values = np.full(expected.shape, 7, dtype)
    index = np.full(expected.shape, 77, np.int32)
    run(pooling.max_pool2d, x, values, index, *geometry)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(index, places)

    gradient = rng.normal(size=expected.shape).astype(dtype)
    gradient.flat[:1] = np.inf
    d_image = np.full_like(x, 7)
    run(pooling.max_pool2d_backward, gradient, index, d_image, *geometry)
    wanted = reference_gradient(gradient, index, shape, *geometry)
    np.testing.assert_allclose(d_image, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_integers(dtype):
    shape, out, *geometry = CASES[2]
    x = np.random.default_rng(0).integers(0, 100, size=shape).astype(dtype)
    x[0] = np.iinfo(dtype).min
    expected, places = reference(x, out, *geometry)
    values, index = np.zeros_like(expected), np.zeros_like(places)
    run(pooling.max_pool2d, x, values, index, *geometry)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(index, places)


def test_image_without_samples():
    x = np.arange(32.0).reshape(2, 4, 4)
    values, index = np.zeros((2, 2, 2)), np.zeros((2, 2, 2), np.int32)
    geometry = ((2, 2), (2, 2), (0, 0), (1, 1))
    instruction = run(pooling.max_pool2d, x, values, index, *geometry)
    assert instruction.end == 2
    np.testing.assert_array_equal(values, x[:, 1::2, 1::2])
    d_image = np.ones_like(x)
    run(pooling.max_pool2d_backward, values, index, d_image, *geometry)
    assert d_image.sum() == values.sum()


def test_any_split_of_the_range_gives_the_whole():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 8, 8)).astype("f")
    geometry = ((2, 2), (2, 2), (0, 0), (1, 1))
    expected, places = reference(x, (4, 4), *geometry)
    values, index = np.zeros_like(expected), np.zeros_like(places)
    arrays = (x, values, index)
    whole = pooling.max_pool2d(*(layout(a, i) for i, a in enumerate(arrays)), *geometry)
    parts = [
        Instruction("part", whole.address, whole.args, begin, end)
        for begin, end in itertools.pairwise([0, 1, 7, whole.end])
    ]
    assert Program(parts, arrays=3)(*arrays) == 0
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(index, places)
