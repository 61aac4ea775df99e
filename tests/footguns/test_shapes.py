"""Shapes and dtypes

A traced function takes arguments of any shape, layout and dtype. A new shape is recorded once and
needs no new kernels where the structure is the same.
"""

import pytest

import graphjit as gj
from graphjit import nn, optim

from .harness import trap


def batches(call):
    """Full batches with a smaller one at the end of each epoch."""
    rows = 3 if call % 4 == 3 else 8
    return (gj.sin(gj.arange(4.0 * rows)).view(rows, 4),)


def model_and_step():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(x):
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


@trap(arguments=batches, variants=2, replays=8)
def test_a_smaller_last_batch(kernels):
    """The smaller last batch of each epoch has a recording of its own, and both are kept."""
    return model_and_step()


@trap(arguments=lambda call: (gj.ones(call % 3, 4),), replays=6)
def test_batches_of_none_and_one(kernels):
    """A batch of no rows, or of one, gives what it gives eagerly, NaN included."""
    return model_and_step()


@trap(arguments=lambda call: (gj.ones(call % 3, 4),), replays=4)
def test_reductions_over_nothing(kernels):
    """Sums, means and norms over no elements are the eager ones, and so are the errors."""
    return lambda x: (x.sum(0), x.mean(), x.prod(), x.norm(), x.softmax(1), x.amax(0))


@trap(arguments=lambda call: (gj.arange(float(call * 7 % 10)),), calls=30, replays=20)
def test_many_lengths(kernels):
    """Each length is recorded once; going back to it is a replay."""
    return lambda x: (x.cumsum(0), x * 2 + x.sum(), x.flip(0))


def test_a_hundred_lengths_compile_each_kernel_once(kernels, monkeypatch):
    """100 different lengths compile no kernel twice: sizes are arguments of kernels."""
    monkeypatch.setenv("GRAPHJIT_MAX_VARIANTS", "200")
    step = gj.trace(lambda x: ((x * 2 + 1).tanh().sum(), x / x.sum()))
    for length in range(2, 102):
        x = gj.arange(float(length))
        total, parts = step(x)
        assert total.item() == pytest.approx((x * 2 + 1).tanh().sum().item(), 1e-5)
        assert gj.allclose(parts, x / x.sum())
    found = step.stats()
    assert (found["variants"], found["host_calls"]) == (100, 0)
    # Short rows may be unrolled: a kernel of their own for a few lengths.
    assert found["kernels"] <= 12
    longer = gj.trace(lambda x: ((x * 2 + 1).tanh().sum(), x / x.sum()))
    for length in range(50, 150):
        longer(gj.arange(float(length)))
    assert longer.stats()["kernels"] <= 3


def test_layers_of_one_structure_share_kernels(kernels):
    """A model of twelve equal layers compiles no more kernels than one of three."""

    def kernels_of(depth):
        model = nn.Sequential(*[nn.Sequential(nn.Linear(16, 16), nn.Tanh()) for _ in range(depth)])
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        @gj.trace
        def step(x):
            optimizer.zero_grad()
            loss = model(x).pow(2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        step(gj.ones(8, 16))
        return len(step.kernels())

    assert kernels_of(12) <= kernels_of(3)


def of_any_dtype(call):
    dtype = (gj.float32, gj.float64, gj.int64, gj.int32, gj.float16, gj.bool, gj.uint8)[call % 7]
    return (gj.tensor([0, 1, 2, 3]).to(dtype),)


@trap(arguments=of_any_dtype, calls=14, variants=7, replays=7)
def test_dtypes_that_change(kernels):
    """Each dtype is promoted and computed as eagerly, however often they change."""
    return lambda x: (x + 1, x * 2.5, x.sum(), x / 2, x > 1, -x.float())


def of_any_rank(call):
    return (gj.arange(12.0).view([(12,), (3, 4), (2, 3, 2), (1, 12), (12, 1)][call % 5]),)


@trap(arguments=of_any_rank, variants=5, replays=5)
def test_ranks_that_change(kernels):
    """Vectors, matrices and tensors of higher rank have recordings of their own."""
    return lambda x: (x.sum(-1), x.t() if x.ndim == 2 else x.view(-1), x + x.mean())


@trap(arguments=lambda call: (gj.tensor(float(call)) if call % 2 else float(call), gj.ones(2)))
def test_numbers_and_tensors(kernels):
    """A number and a 0-d tensor in the same place are told apart: they promote differently."""
    return lambda s, x: (x.half() * s, x * s)


@trap(arguments=lambda call: ([gj.ones(2)] * (1 + call % 3), {"k": gj.ones(1)}), variants=3)
def test_structure_of_arguments(kernels):
    """Lists, tuples and dicts of tensors may change their length and their keys."""
    return lambda xs, named: (sum(xs), {k: v + len(xs) for k, v in named.items()}, tuple(xs))


@trap(calls=12, every=3)
def test_shapes_of_captured_tensors(kernels):
    """A captured tensor that gets another shape in place, or by `.data`, is seen."""
    weight = gj.ones(4)

    def change(n):
        weight.data = gj.ones((n, 4))

    return lambda x: (weight * x).sum(0), change


@trap(calls=12, arguments=lambda call: (gj.ones(2 + call % 3),), eager="MAX_VARIANTS", replays=1)
def test_too_many_variants(kernels, monkeypatch):
    """Beyond the limit on variants, calls run eagerly, and one warning says so."""
    monkeypatch.setenv("GRAPHJIT_MAX_VARIANTS", "2")
    return lambda x: x * 2


@trap(eager="storage_offset", arguments=lambda call: (gj.arange(20.0)[call : call + 4],))
def test_where_an_argument_begins(kernels):
    """Where a view begins in its storage is no part of its type: who asks for it runs eagerly."""
    return lambda x: (x.storage_offset(), x + x.storage_offset())


@trap(eager="data_ptr")
def test_addresses(kernels):
    """A function that looks at an address runs eagerly."""
    held = gj.ones(4)
    return lambda x: x * (1 + (x.data_ptr() == held.data_ptr()))


@trap(eager="complex")
def test_complex_numbers(kernels):
    """Complex numbers are made by eager code, of the parts that each call has."""
    return lambda x: gj.complex(x, x + 1)
