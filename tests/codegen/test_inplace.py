"""A result may take the memory of an operand, however often the operand is read."""

import numpy as np
import pytest
from running import check_inplace
from test_lower import cross_entropy, layer_norm, normalised, softmax

import graphjit as gj

rng = np.random.default_rng(1)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def adam(b, p, g, m, v, lr):
    m = b.add(b.mul(m, 0.9), b.mul(g, 0.1))
    v = b.add(b.mul(v, 0.999), b.mul(b.mul(g, g), 0.001))
    return b.sub(p, b.mul(b.div(m, b.add(b.sqrt(v), 1e-8)), lr)), m, v


@pytest.mark.parametrize("shape", [(100,), (30, 50), ()])
def test_adam(shape):
    arrays = [normal(*shape), normal(*shape), normal(*shape), np.abs(normal(*shape)), normal()]
    check_inplace(adam, *map(np.asarray, arrays), inplace={0: 0, 1: 2, 2: 3})


@pytest.mark.parametrize("shape", [(20, 30), (200, 2), (1, 5000), (70, 1)])
def test_rows_that_are_read_several_times(shape):
    check_inplace(softmax, normal(*shape), inplace={0: 0})
    check_inplace(layer_norm, normal(*shape), normal(shape[1]), normal(shape[1]), inplace={0: 0})
    onehot = np.eye(*shape, dtype=np.float32)
    check_inplace(cross_entropy, normal(*shape), onehot, inplace={1: 0})
    check_inplace(cross_entropy, normal(*shape), onehot, inplace={1: 1})


@pytest.mark.parametrize("shape", [(300,), (200000,), (300, 1000)])
def test_whole_arrays_that_are_read_several_times(shape):
    check_inplace(normalised, normal(*shape), inplace={0: 0})


def test_a_store_waits_for_later_reads_of_its_memory():
    """The first result is known early, but its memory is an operand of the second."""

    def function(b, x, y):
        return b.mul(y, 2.0), b.mul(b.tanh(b.sub(x, b.mul(b.sum(x, dims=(1,)), 0.01))), y)

    check_inplace(function, normal(7, 40), normal(7, 40), inplace={0: 1})
    check_inplace(function, normal(1, 300000), normal(1, 300000), inplace={0: 1})

    def columns(b, x, y):
        return b.mul(y, 2.0), b.mul(b.sub(x, b.sum(x, dims=(0,))), y)

    check_inplace(columns, normal(7, 40), normal(7, 40), inplace={0: 1})
    check_inplace(columns, normal(9000, 40), normal(9000, 40), inplace={0: 1})


def test_a_number_is_updated_once_and_after_its_last_read():
    def function(b, step, x):
        return b.add(step, 1.0), b.mul(x, step), b.sum(x, dims=(0,))

    for n in (3, 1000, 300000):
        check_inplace(function, normal(1), normal(n), inplace={0: 0})
        check_inplace(function, normal(1), normal(n), inplace={0: 0, 1: 1})



def test_writes_to_a_view_of_nothing():
    """The strides of an empty array told it from what was to be written over it."""

    @gj.trace
    def step(x):
        x.unsqueeze(0).add_(3.0)
        x[:2] = True

    for _ in range(3):
        step(gj.ones(0)[::2])


@pytest.mark.parametrize("position", [0, 1])
def test_transposed_operands(position):
    """Only those are read tile by tile that nothing overwrites."""

    def function(b, x, y):
        return b.add(b.mul(x, 2), y)

    check_inplace(function, normal(40, 50), normal(50, 40).T, inplace={0: position})


def test_a_base_of_a_write_whose_other_view_is_read_later():
    """A write to a view of a value was compiled as one to the value, which was still to be read."""
    def function(x):
        v = x.index_fill(0, gj.tensor([0]), 0.5)
        scaled = v / v.norm(dim=0, keepdim=True)
        v.view(-1)[0] = 7.0
        return v, scaled, "nan" if v.isnan().any() else ""

    x = gj.arange(12.0).reshape(3, 4) - 5.5
    traced = gj.trace(function)
    for _ in range(3):
        for found, expected in zip(traced(x)[:2], function(x)):
            assert gj.allclose(found, expected)
