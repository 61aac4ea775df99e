"""One storage that a traced function reaches in two ways; each test opens with the bug."""

import warnings

import pytest

import graphjit as gj
from graphjit import nn, optim

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=["interp", "numba"], autouse=True)
def backend(request, monkeypatch):
    monkeypatch.setenv("GRAPHJIT_BACKEND", request.param)


def test_a_captured_tensor_that_shares_memory_with_an_argument_is_returned():
    """A replay returned the argument where the function returned a captured tensor."""
    c = gj.ones(3, 2)[:, :1]
    traced = gj.trace(lambda x: (c, c.detach(), x))
    a = c.detach()
    for _ in range(4):
        same, other, argument = traced(a)
        assert same is c and argument is a
        assert other is not c and other is not a
        other.add_(1)
    assert a.tolist() == c.tolist() == [[5]] * 3


def test_a_captured_tensor_that_shares_memory_with_another_is_returned():
    """A replay returned a new tensor where the function returned the second of two captured."""
    c = gj.ones(3)
    d = c.detach()
    traced = gj.trace(lambda x: (d + x, c, d))
    for _ in range(3):
        _, first, second = traced(gj.ones(3))
        assert first is c and second is d


@pytest.mark.parametrize("replaced", ["argument", "captured", "other"])
def test_data_of_tensors_that_shared_memory_is_replaced(replaced):
    """Tensors recorded as one storage were taken for one after `.data` of one was replaced."""
    captured, other = gj.ones(3), gj.ones(3)
    tensors = {"captured": captured, "other": other.detach(), "argument": captured.detach()}
    also = tensors["other"]
    traced = gj.trace(lambda x: (x + 1, captured * 2, other * 3, also * 4))
    for i in range(6):
        if i == 3:
            tensors[replaced].data = gj.zeros(3)
        found = traced(tensors["argument"])
        expected = (tensors["argument"] + 1, captured * 2, other * 3, also * 4)
        assert [t.tolist() for t in found] == [t.tolist() for t in expected]


class Part:
    """What an argument other than a tensor holds."""

    def __init__(self, tensor):
        self.tensor = tensor


def test_a_tensor_in_an_object_shares_memory_with_an_argument():
    """A tensor found in an argument was taken for another argument with which it shared memory."""
    part = Part(gj.ones(3))
    traced = gj.trace(lambda x, part: (x + 1, part.tensor * 2))
    a = part.tensor.detach()
    for x in (a, a, a, gj.zeros(3), a):
        left, right = traced(x, part)
        assert left.tolist() == (x + 1).tolist() and right.tolist() == [2] * 3


@pytest.mark.parametrize("given", ["captured", "argument", "gradient"])
def test_a_gradient_is_reached_in_another_way(given):
    """A gradient that was an argument, captured, or another one too, was taken for it for good."""
    p, q = gj.ones(3, requires_grad=True), gj.ones(3, requires_grad=True)
    p.grad = g = gj.ones(3)
    q.grad = g if given == "gradient" else gj.ones(3)
    use = {"captured": lambda x: g, "argument": lambda x: x, "gradient": lambda x: q.grad}[given]

    def function(x):
        return p.grad * 2, use(x) * 3

    traced = gj.trace(function)
    for i in range(8):
        if i == 5:
            p.grad = gj.zeros(3)
        x = g if i != 3 else gj.zeros(3)
        assert [t.tolist() for t in traced(x)] == [t.tolist() for t in function(x)]


def test_a_gradient_read_before_it_is_used_as_a_captured_tensor():
    """A captured tensor was taken for the gradient that it was, after that was another one."""
    p = gj.ones(3, requires_grad=True)
    p.grad = g = gj.ones(3)
    traced = gj.trace(lambda: (p.grad * 2, g * 3))
    for i in range(6):
        if i == 3:
            p.grad = gj.zeros(3)
        assert [t.tolist() for t in traced()] == [(p.grad * 2).tolist(), [3] * 3]
    assert traced.stats()["replays"] == 4


def test_a_gradient_that_shares_memory_with_an_argument_is_returned():
    """A replay returned a new tensor where the function returned a gradient."""
    p = gj.ones(3, requires_grad=True)
    x = gj.ones(3)
    p.grad = x.detach()
    traced = gj.trace(lambda x: (x, p.grad))
    for _ in range(3):
        a, b = traced(x)
        assert a is x and b is p.grad


class Memory(nn.Module):
    """Exchanges a tensor in each call."""

    def __init__(self):
        super().__init__()
        self.held = gj.ones(3)


def test_a_tensor_in_an_attribute_that_is_assigned_is_captured_too():
    """The tensor first found in an attribute was taken for the one that the step left there."""
    memory = Memory()
    first = memory.held

    @gj.trace
    def step(x):
        memory.held = memory.held + x
        return first * 1

    with pytest.warns(UserWarning, match="is used as another"):
        step(gj.ones(3))
    for i in range(4):
        assert step(gj.ones(3)).tolist() == [1] * 3
        assert memory.held.tolist() == [i + 3.0] * 3


def test_a_view_of_what_is_off_the_tape_again():
    """Eagerly, `view.relu()` required grad, though the base had been detached and written to."""
    function = lambda x: [
        use((base := x * 2)[:1], base.detach_().add_(1)).requires_grad
        for use in (
            lambda view, _: view.relu(), lambda view, _: view * gj.ones(1),
            lambda view, _: gj.ones(1) / view, lambda view, _: gj.addcmul(view, view, view),
        )
    ]  # fmt: skip
    traced, x = gj.trace(function), gj.ones(2, requires_grad=True)
    assert function(x) == traced(x) == traced(x) == [False] * 4


@pytest.mark.parametrize("given", ["captured", "view", "gradient"])
def test_an_argument_that_is_written_shares_memory_with_what_is_read(given):
    """A replay read a captured tensor before or after a write to it as an argument, by chance."""
    p = gj.ones(4, requires_grad=True)

    def function(x, c):
        x.exp_()
        return c * c.sigmoid(), p.grad + 1

    def results(trace):
        c, p.grad = gj.ones(4), gj.ones(4)
        step = gj.trace(lambda x: function(x, c)) if trace else lambda x: function(x, c)
        last = {"captured": c, "view": c[1:], "gradient": p.grad}[given]
        arguments = [*(gj.zeros(last.shape) for _ in range(3)), last, last]
        return [t.tolist() for x in arguments for t in step(x)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a view of it is refused
        assert results(True) == results(False)


def test_a_gradient_that_is_read_is_a_parameter_that_is_written():
    """A replay of an update read gradients after another parameter, which one was, was written."""
    def values(trace):
        p, q = gj.ones(3, requires_grad=True), gj.ones(3, requires_grad=True)
        p.grad, q.grad = gj.ones(3), gj.ones(3)
        optimizer = optim.SGD([q, p], lr=0.5)
        step = gj.trace(optimizer.step) if trace else optimizer.step
        for i in range(5):
            if i == 3:
                p.grad = q.detach()
            step()
        return p.tolist(), q.tolist()

    assert values(True) == values(False)
