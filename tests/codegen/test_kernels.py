"""What kernels look like: what is in their key, how they read, and how they are cut."""

import re

import numpy as np
import pytest
from running import build, prepare
from test_lower import cross_entropy, layer_norm, mean_squared, softmax

from graphjit.codegen import costs, lower
from graphjit.codegen.compiled import source
from graphjit.codegen.loops import Let, Loop, statements
from graphjit.dtypes import float32
from graphjit.runtime import objects

rng = np.random.default_rng(3)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def lowered(function, *arrays, inplace=None):
    body = build(function, *arrays)
    outputs = [np.empty(v.shape, v.dtype.numpy) for v in body.outputs]
    return prepare(body, arrays, outputs, inplace or {})[2]


def kernels(function, *arrays):
    return [call.kernel for call in lowered(function, *arrays).calls]


@pytest.fixture
def registers(monkeypatch):
    """Makes the machine one of so many vector registers, for kernels made from now on."""

    def set_count(count):
        monkeypatch.setattr(objects, "vector_registers", lambda: count)
        lower._lowered.cache_clear()

    yield set_count
    lower._lowered.cache_clear()


def test_a_kernel_reads_like_the_loops_it_is(registers):
    registers(32)

    def function(b, x, bias):
        return b.relu(b.add(x, bias))

    (kernel,) = kernels(function, normal(4, 70), normal(70))
    assert source(kernel) == (
        "# 3 groups of memory\n"
        "def kernel(table, begin, end):\n"
        "    p0 = pointer(table, 0)  # f32\n"
        "    p1 = pointer(table, 1)  # f32\n"
        "    p2 = pointer(table, 2)  # f32\n"
        "    n1 = integer(table, 3)\n"
        "    s0_0 = stride(table, 4)\n"
        "    s2_0 = stride(table, 5)\n"
        "    r1 = n1\n"
        "    for i0 in range(quotient(begin, r1), quotient(end + r1 - 1, r1)):\n"
        "        d1 = i0 * r1\n"
        "        for i1 in lanes(max(begin - d1, 0), min(end - d1, n1)):\n"
        "            v0 = load_f32_0(p0, i0 * s0_0 + i1)\n"
        "            v1 = load_f32_1(p1, i1)\n"
        "            v2 = v0 + v1\n"
        "            v4 = max_f32(v2, f32(0.0))\n"
        "            store_f32_2(p2, i0 * s2_0 + i1, v4)\n"
    )


def kinds(function, x):
    """What the innermost loops of the kernels are called."""
    texts = [source(kernel) for kernel in kernels(function, x)]
    return [kind for text in texts for kind in re.findall(r"in (\w*lanes)", text)]


@pytest.mark.parametrize(
    "name, shape, kind",
    [
        ("relu", (5, 65), "few_lanes"),
        ("relu", (5, 56), "few_lanes"),
        ("relu", (5, 7), "few_lanes"),
        ("exp", (5, 65), "lanes"),
        ("exp", (5, 56), "few_lanes"),
        ("exp", (5, 7), "lanes"),
        ("sum", (5, 65), "lanes"),
        ("sum", (5, 56), "few_lanes"),
    ],
)
def test_many_vectors_at_a_time_are_for_sums_and_what_needs_many_constants(
    registers, name, shape, kind
):
    """Rows that lie together are one, and no longer short."""
    x = normal(*shape) if shape[1] == 7 else normal(shape[0], shape[1] + 1)[:, 1:]
    attrs = {"dims": (1,)} if name == "sum" else {}
    registers(16)
    assert kinds(lambda b, x: getattr(b, name)(x, **attrs), x) == [kind]
    registers(32)
    assert kinds(lambda b, x: getattr(b, name)(x, **attrs), x) == ["lanes"]


def test_sizes_and_strides_are_no_part_of_a_kernel():
    wide = normal(40, 200)
    for function, more in ((softmax, ()), (layer_norm, (normal(75), normal(75)))):
        others = tuple(normal(90) for _ in more)
        reference = kernels(function, normal(4, 75), *more)
        assert kernels(function, normal(31, 90), *others) == reference
        assert kernels(function, wide[:, 20:110], *others) == reference


def test_contiguous_axes_are_one():
    def function(b, x, y):
        return b.mul(x, y)

    flat = kernels(function, normal(50), normal(50))
    assert kernels(function, normal(2, 3, 4), normal(2, 3, 4)) == flat
    assert kernels(function, normal(3, 4).T, normal(3, 4).T) != flat  # the result is row-major
    body = build(function, normal(3, 4).T, normal(3, 4).T)
    output = np.empty((3, 4), np.float32).T
    assert prepare(body, [normal(3, 4).T, normal(3, 4).T], [output])[2].calls[0].kernel == flat[0]


def test_two_classes_take_one_loop():
    (kernel,) = kernels(cross_entropy, normal(200, 2), np.eye(200, 2, dtype=np.float32))
    loops = [s for s in statements(kernel.body) if isinstance(s, Loop)]
    assert len(loops) == 1
    assert not kernel.locals


def test_short_rows_of_dear_elements_are_masked():
    def gates(b, x):
        return b.mul(b.sigmoid(x), b.tanh(b.add(b.sigmoid(x), b.tanh(x))))

    def is_masked(x):
        (kernel,) = kernels(gates, x)
        return any(s.masked for s in statements(kernel.body) if isinstance(s, Loop))

    wide = normal(97, 204)
    assert is_masked(wide[:, :51])
    assert not is_masked(wide[:, :64])
    assert not is_masked(normal(97, 51))


@pytest.mark.parametrize("width, masked", [(32, [13, 51]), (64, [10, 13, 51])])
def test_where_masks_are_slow_few_elements_or_cheap_ones_are_not_masked(monkeypatch, width, masked):
    monkeypatch.setattr(objects, "vector_bytes", lambda: width)

    def is_masked(op, count):
        body = [Let(i, op, (0,), float32) for i in range(5)]
        return costs.is_masked(count, body, gathers=False)

    assert [count for count in (10, 13, 16, 51) if is_masked("tanh", count)] == masked
    assert is_masked("add", 13) == (width == 64)


def test_results_do_not_depend_on_how_the_range_is_cut():
    x, y = normal(1000, 300), normal(1000, 300)
    body = build(mean_squared, x, y)
    results = []
    for pieces in (1, 2, 7):
        outputs = [np.empty(v.shape, v.dtype.numpy) for v in body.outputs]
        program, passed, whole = prepare(body, [x, y], outputs, pieces=pieces)
        assert len(whole.calls) == 2
        program(*passed)
        results.append(outputs)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_updated_operand_is_one_buffer():
    """With two pointers to the same memory LLVM's overlap check would choose the scalar loop."""
    calls = lowered(lambda b, p, g: b.sub(p, g), normal(50), normal(50), inplace={0: 0}).calls
    assert len(calls[0].kernel.buffers) == 2
