"""Convolution and its gradients, against sums over windows in NumPy."""

import itertools
import os

import numpy as np
import pytest
from kernels import close, layout

from graphjit import dtypes
from graphjit.runtime import convolution
from graphjit.runtime.instruction import Arena, Instruction, Layout
from graphjit.runtime.program import Program

#: image, weight, stride, padding, dilation, groups
CASES = [
    ((2, 4, 7, 9), (6, 4, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 4, 7, 9), (6, 2, 3, 2), (1, 1), (1, 1), (1, 1), 2),
    ((2, 4, 9, 9), (6, 2, 3, 3), (2, 3), (1, 2), (2, 1), 2),
    ((2, 4, 9, 9), (6, 4, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 4, 9, 9), (6, 2, 1, 1), (2, 1), (0, 1), (1, 1), 2),
    ((1, 4, 9, 9), (4, 1, 3, 3), (1, 1), (1, 1), (1, 1), 4),
    ((1, 4, 9, 9), (8, 1, 3, 3), (1, 2), (1, 1), (1, 1), 4),
    ((3, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((3, 1, 3, 3), (1, 1, 5, 5), (1, 1), (4, 4), (1, 1), 1),
    ((2, 16, 5, 5), (2, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 40, 37), (5, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 2, 2), (5, 3, 2, 2), (3, 3), (3, 3), (1, 1), 1),
    ((0, 3, 5, 5), (5, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((5, 34, 6, 7), (35, 34, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 34, 21, 20), (35, 34, 3, 3), (1, 1), (0, 1), (1, 1), 1),
    ((2, 3, 19, 45), (33, 3, 3, 5), (2, 2), (1, 2), (1, 1), 1),
    ((1, 2, 12, 12), (3, 2, 3, 3), (1, 1), (3, 9), (4, 3), 1),
]


def taps(image, weight, stride, padding, dilation):
    """For each place of the kernel, the padded image's elements that it meets, as an index."""
    spans = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(image[2:], weight[2:], stride, padding, dilation, strict=True)
    ]
    for i, j in itertools.product(range(weight[2]), range(weight[3])):
        top, left = i * dilation[0], j * dilation[1]
        rows = slice(top, top + (spans[0] - 1) * stride[0] + 1, stride[0])
        columns = slice(left, left + (spans[1] - 1) * stride[1] + 1, stride[1])
        yield i, j, (slice(None), slice(None), slice(None), rows, columns)


def grouped(array, groups, axis):
    shape = array.shape
    return array.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def padded(image, padding, groups):
    rows, columns = padding
    return grouped(np.pad(image, ((0, 0), (0, 0), (rows, rows), (columns, columns))), groups, 1)


def reference(image, weight, stride, padding, dilation, groups, gradient=None):
    """The convolution, and given its gradient those of the image and the weight; in float64."""
    wide, w = padded(image.astype("d"), padding, groups), grouped(weight.astype("d"), groups, 0)
    places = list(taps(image.shape, weight.shape, stride, padding, dilation))
    result = sum(
        np.einsum("ngcyx,goc->ngoyx", wide[place], w[:, :, :, i, j]) for i, j, place in places
    )
    result = result.reshape(result.shape[0], weight.shape[0], *result.shape[3:])
    if gradient is None:
        return result
    g = grouped(gradient.astype("d"), groups, 1)
    d_wide, d_weight = np.zeros_like(wide), np.zeros_like(w)
    for i, j, place in places:
        d_wide[place] += np.einsum("ngoyx,goc->ngcyx", g, w[:, :, :, i, j])
        d_weight[:, :, :, i, j] = np.einsum("ngoyx,ngcyx->goc", g, wide[place])
    rows, columns = padding
    (height, width) = image.shape[2:]
    d_image = d_wide.reshape(image.shape[:2] + d_wide.shape[3:])
    d_image = d_image[:, :, rows : rows + height, columns : columns + width]
    return result, d_image, d_weight.reshape(weight.shape)


@pytest.fixture(params=["whole", "chunks"])
def chunks(request, monkeypatch):
    """Whether columns are laid out by such small parts that every array takes several."""
    if request.param == "chunks":
        monkeypatch.setattr(convolution, "CHUNK_BYTES", 4096)


def values(rng, shape, dtype, order=None):
    """Random numbers, lying in memory in the order of dimensions `order`."""
    if order is None:
        return rng.normal(size=shape).astype(dtype)
    stored = rng.normal(size=[shape[i] for i in order]).astype(dtype)
    return stored.transpose(np.argsort(order))


def run(make, *arrays_and_geometry):
    *arrays, stride, padding, dilation, groups = arrays_and_geometry
    layouts = [layout(array, slot) for slot, array in enumerate(arrays)]
    instruction = make(*layouts, stride, padding, dilation, groups)
    assert Program([instruction], arrays=3)(*arrays) == 0
    return instruction


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", [None, (0, 2, 3, 1), (3, 2, 1, 0)])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("chunks")
def test_against_sums_over_windows(case, dtype, order):
    image_shape, weight_shape, *geometry = case
    rng = np.random.default_rng(0)
    x, w = values(rng, image_shape, dtype, order), values(rng, weight_shape, dtype, order)
    shape = reference(x, w, *geometry).shape
    gradient = values(rng, shape, dtype, order)
    y, dx, dw = reference(x, w, *geometry, gradient)

    result = np.full(shape, np.nan, dtype)
    run(convolution.conv2d, x, w, result, *geometry)
    close(result, y)
    d_image = values(rng, image_shape, dtype, order)
    run(convolution.conv2d_input_grad, gradient, w, d_image, *geometry)
    close(d_image, dx)
    d_weight = np.full(weight_shape, np.nan, dtype)
    run(convolution.conv2d_weight_grad, gradient, x, d_weight, *geometry)
    close(d_weight, dw)


@pytest.mark.parametrize("channels", [2, 12])
@pytest.mark.parametrize("groups", [1, 2])
def test_any_split_of_the_range_gives_the_whole(channels, groups):
    rng = np.random.default_rng(0)
    geometry = ((1, 1), (1, 1), (1, 1), groups)
    x, w = values(rng, (4, channels, 7, 7), "f"), values(rng, (8, channels // groups, 3, 3), "f")
    gradient = values(rng, (4, 8, 7, 7), "f")
    expected = reference(x, w, *geometry, gradient)
    for make, arrays, wanted in (
        (convolution.conv2d, (x, w, np.zeros_like(gradient)), expected[0]),
        (convolution.conv2d_input_grad, (gradient, w, np.zeros_like(x)), expected[1]),
        (convolution.conv2d_weight_grad, (gradient, x, np.zeros_like(w)), expected[2]),
    ):
        whole = make(*(layout(a, i) for i, a in enumerate(arrays)), *geometry)
        cuts = [0, 1, whole.end // 2 + 1, whole.end]
        parts = [
            Instruction("part", whole.address, whole.args, begin, end)
            for begin, end in itertools.pairwise(cuts)
        ]
        assert Program(parts, arrays=3)(*arrays) == 0
        close(arrays[2], wanted)


def test_result_in_part_of_a_wider_array():
    """Channels of a concatenation, computed in place."""
    rng = np.random.default_rng(0)
    x, w = values(rng, (2, 3, 6, 6), "f"), values(rng, (4, 3, 3, 3), "f")
    wide = np.zeros((2, 9, 4, 4), "f")
    geometry = ((1, 1), (0, 0), (1, 1), 1)
    run(convolution.conv2d, x, w, wide[:, 2:6], *geometry)
    close(wide[:, 2:6], reference(x, w, *geometry))
    assert not wide[:, :2].any() and not wide[:, 6:].any()


def _layout(shape, dtype=dtypes.float32, order=None):
    full = Layout.contiguous(Arena(0), [shape[i] for i in order or range(4)], dtype)
    return full.permute(np.argsort(order).tolist()) if order else full


@pytest.mark.parametrize("result, message", [
    (_layout((2, 4, 4, 4), order=(0, 2, 3, 1)), "planes with gaps"),
    (_layout((2, 4, 4, 4), dtypes.int32), "no convolution of graphjit.int32"),
])  # fmt: skip
def test_what_is_refused(result, message):
    x, w = (_layout(shape, result.dtype) for shape in ((2, 3, 6, 6), (4, 3, 3, 3)))
    with pytest.raises(ValueError, match=message):
        convolution.conv2d(x, w, result, (1, 1), (0, 0), (1, 1), 1)


def test_more_refusals():
    geometry = ((1, 1), (0, 0), (1, 1), 1)
    g, x = _layout((2, 4, 4, 4)), _layout((2, 3, 6, 6))
    with pytest.raises(ValueError, match="rows with gaps"):
        w = _layout((4, 3, 3, 3), order=(0, 2, 3, 1))
        convolution.conv2d_weight_grad(g, x, w, *geometry)
    with pytest.raises(ValueError, match="convolution of nothing"):
        w, nothing = _layout((4, 0, 3, 3)), _layout((2, 0, 6, 6))
        convolution.conv2d(nothing, w, g, *geometry)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_in_a_forked_child():
    rng = np.random.default_rng(0)
    geometry = ((1, 1), (0, 0), (1, 1), 1)
    x, w = values(rng, (8, 8, 16, 16), "f"), values(rng, (8, 8, 3, 3), "f")
    y = np.zeros((8, 8, 14, 14), "f")
    layouts = [layout(array, slot) for slot, array in enumerate((x, w, y))]
    program = Program([convolution.conv2d(*layouts, *geometry)], arrays=3)
    program(x, w, y)
    child = os.fork()
    if child == 0:
        again = np.zeros_like(y)
        program(x, w, again)
        os._exit(0 if np.array_equal(y, again) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
