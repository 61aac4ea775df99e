"""Bugs of traced functions that random programs found; each test opens with the bug."""

import pytest

import graphjit as gj

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=["interp", "numba"], autouse=True)
def backend(request, monkeypatch):
    monkeypatch.setenv("GRAPHJIT_BACKEND", request.param)


def test_a_tensor_returned_twice_is_one_object():
    """A replay returned two tensors where the function returned one twice."""

    @gj.trace
    def traced(x):
        y = x + 1
        return y, [y, y[0]]

    for _ in range(3):
        a, (b, row) = traced(gj.zeros(2, 3))
        assert a is b
        row.fill_(7)
        assert a.tolist() == [[7] * 3, [1] * 3]


def test_a_result_has_the_strides_that_it_has_eagerly():
    """A replay returned contiguous tensors where eager code gives transposed ones."""
    traced = gj.trace(lambda x: (x.t() * 2, (x * 2)[:, 1]))
    for _ in range(3):
        a, b = traced(gj.ones(2, 3))
        assert a.stride() == (1, 3) and b.stride() == (3,)
        assert a.tolist() == [[2, 2]] * 3 and b.tolist() == [2, 2]


def test_a_detached_argument_is_another_tensor():
    """A replay returned the argument itself, with requires_grad, for `x.detach()`."""
    traced = gj.trace(lambda x: (x.detach(), x.view(-1).detach(), x))
    x = gj.ones(2, 2, requires_grad=True)
    for _ in range(3):
        a, b, same = traced(x)
        assert same is x and not a.requires_grad and not b.requires_grad
        b[0] = 5
        assert x[0, 0] == a[0, 0] == 5


def test_a_gradient_that_is_returned_is_the_gradient():
    """A replay returned a copy of the new `p.grad`."""
    p = gj.ones(3, requires_grad=True)

    @gj.trace
    def step(x):
        p.grad = None
        (p * x).sum().backward()
        return p.grad

    for i in range(3):
        assert step(gj.full((3,), float(i))) is p.grad
        assert p.grad.tolist() == [i] * 3
