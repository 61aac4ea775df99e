"""Layouts of views address the elements that NumPy's views do."""

import numpy as np
import pytest

from graphjit import dtypes
from graphjit.codegen.views import home_of_operand, reshaped, view_layout
from graphjit.ir.graph import Builder, Spec, Value
from graphjit.ops import OPS
from graphjit.runtime.instruction import External, Layout


def elements(memory, layout):
    """The elements that `layout` addresses in `memory`."""
    strides = [4 * stride for stride in layout.strides]
    return np.lib.stride_tricks.as_strided(
        memory[layout.pointer.offset // 4 :], layout.shape, strides
    )


def random_layout(rng):
    """A strided window into 0, 1, 2 ..., and the memory it looks into."""
    shape = rng.integers(1, 5, rng.integers(0, 5))
    memory = np.arange(np.prod(shape) * 2 ** len(shape), dtype=np.int32)
    window = memory.reshape(shape * 2)[(*(slice(0, 2 * n, rng.integers(1, 3)) for n in shape), ...)]
    window = window[(*(slice(0, n) for n in shape), ...)].transpose(rng.permutation(len(shape)))
    strides = tuple(stride // 4 for stride in window.strides)
    return memory, Layout(External(0), window.shape, strides, dtypes.int32), window


def random_factors(rng, size):
    """A shape of `size` elements, with a few ones."""
    shape = []
    while size > 1:
        factor = rng.choice([k for k in range(2, size + 1) if size % k == 0])
        shape += [int(factor)] + [1] * int(rng.integers(0, 2))
        size //= factor
    return tuple(rng.permutation(shape).astype(int).tolist())


@pytest.mark.parametrize("seed", range(300))
def test_reshapes_are_views_exactly_where_numpy_has_them(seed):
    rng = np.random.default_rng(seed)
    memory, layout, window = random_layout(rng)
    shape = random_factors(rng, window.size)
    found = reshaped(layout, shape)
    expected = window.reshape(shape)
    assert (found is not None) == (np.shares_memory(window, expected) or window.size == 0)
    if found is not None:
        np.testing.assert_array_equal(elements(memory, found), expected)


def node_of(name, shape, attrs):
    builder = Builder()
    builder.add(OPS[name], (Value(Spec(shape, dtypes.int32)),), attrs)
    return builder.nodes[0]


VIEWS = [
    ("permute", (2, 3, 4), {"dims": (2, 0, 1)}, lambda x: x.transpose(2, 0, 1)),
    ("expand", (3, 1), {"shape": (2, 3, 4)}, lambda x: np.broadcast_to(x, (2, 3, 4))),
    ("slice_", (5, 4), {"dim": 0, "start": 1, "stop": 5, "step": 2}, lambda x: x[1:5:2]),
    ("slice_", (5, 4), {"dim": 1, "start": 4, "stop": 4, "step": 1}, lambda x: x[:, 4:4]),
    ("diagonal", (3, 4), {"offset": 1, "dim1": 0, "dim2": 1}, lambda x: x.diagonal(1)),
    ("diagonal", (4, 3), {"offset": -2, "dim1": 0, "dim2": 1}, lambda x: x.diagonal(-2)),
    ("flip", (2, 3, 4), {"dims": (0, 2)}, lambda x: np.flip(x, (0, 2))),
    ("reshape", (2, 6), {"shape": (3, 4)}, lambda x: x.reshape(3, 4)),
]


@pytest.mark.parametrize(("name", "shape", "attrs", "reference"), VIEWS)
def test_view_ops(name, shape, attrs, reference):
    memory = np.arange(np.prod(shape), dtype=np.int32)
    base = Layout.contiguous(External(0), shape, dtypes.int32)
    found = view_layout(node_of(name, shape, attrs), base)
    np.testing.assert_array_equal(elements(memory, found), reference(memory.reshape(shape)))


@pytest.mark.parametrize(("name", "shape", "attrs", "reference"), [VIEWS[0], VIEWS[-1]])
def test_an_operand_laid_out_for_its_view_makes_the_view_lie_there(name, shape, attrs, reference):
    node = node_of(name, shape, attrs)
    home = Layout.contiguous(External(0), node.output.shape, dtypes.int32)
    operand = home_of_operand(node, home)
    memory = np.zeros(np.prod(shape), np.int32)
    values = np.arange(memory.size, dtype=np.int32).reshape(shape)
    elements(memory, operand)[...] = values
    np.testing.assert_array_equal(memory.reshape(node.output.shape), reference(values))
