"""A traced function that only runs forward: what comes of its results is differentiated outside."""

import copy
import math

import numpy as np
import pytest

import graphjit as gj
from graphjit import nn
from graphjit.ir.parse import parse
from graphjit.ops import OPS
from graphjit.passes import rematerialize

pytestmark = pytest.mark.filterwarnings("error")


def grads(*tensors):
    return [None if t.grad is None else t.grad.numpy().copy() for t in tensors]


def assert_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, 2e-4, 2e-5)


class Twins:
    """A model, its copy, and the copy's traced call."""

    def __init__(self, model, function=None):
        gj.manual_seed(0)
        self.models = model, copy.deepcopy(model)
        function = function or (lambda m, *args: m(*args))
        self.eager = lambda *args: function(self.models[0], *args)
        self.traced = gj.trace(lambda *args: function(self.models[1], *args))

    def compare(self, calls, use):
        """Use the results of each call, and compare the gradients of inputs and parameters."""
        for args in calls:
            seen = []
            state = gj.get_rng_state()
            for run, model in zip((self.eager, self.traced), self.models, strict=True):
                gj.set_rng_state(state)
                own = [a.detach().clone().requires_grad_() for a in args]
                model.zero_grad()
                use(run(*own), own)
                seen.append(grads(*own, *model.parameters()))
            assert_close(seen[1], seen[0])
        assert self.traced.eager_reason is None
        return self.traced


def batches(count, *shape):
    rng = np.random.default_rng(1)
    return [(gj.from_numpy(rng.standard_normal(shape).astype(np.float32)),) for _ in range(count)]


MODELS = {
    "mlp": (nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), (5, 4)),
    "norms": (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.LayerNorm(6)), (5, 4)),
    "dropout": (nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Softmax(-1)), (5, 4)),
    "cnn": (nn.Sequential(nn.Conv2d(1, 3, 3), nn.GELU(), nn.MaxPool2d(2)), (2, 1, 8, 8)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_differentiated_outside(name):
    model, shape = MODELS[name]
    twins = Twins(model)
    traced = twins.compare(batches(4, *shape), lambda out, _: (out * out).sum().backward())
    assert traced.stats()["replays"] == 3


def test_several_results_and_only_some_of_them_used():
    def f(model, x):
        h = model[0](x)
        return h.tanh(), model[2](h), x.detach() + 1

    twins = Twins(MODELS["mlp"][0], f)
    calls = batches(3, 5, 4)
    twins.compare(calls, lambda out, _: (out[0].sum() + (out[1] ** 2).sum()).backward())
    twins.compare(calls, lambda out, _: (out[1] ** 3).sum().backward())
    twins.compare(calls, lambda out, _: out[0].exp().sum().backward())
    assert twins.traced.stats()["variants"] == 1


def test_a_gradient_penalty_differentiates_the_gradient():
    def penalty(out, inputs):
        (gradient,) = gj.autograd.grad(out.sum(), inputs, create_graph=True)
        (gradient.norm(2, 1) - 1).pow(2).mean().backward()

    Twins(MODELS["mlp"][0]).compare(batches(4, 5, 4), penalty)


def test_what_is_detached_stays_detached_in_second_order():
    def f(model, x):
        h = model(x)
        return (h * h.detach() + x.sum().detach() * h).pow(2)

    def second(out, inputs):
        (gradient,) = gj.autograd.grad(out.sum(), inputs, create_graph=True)
        gradient.pow(2).sum().backward()

    Twins(MODELS["mlp"][0], f).compare(batches(4, 5, 4), second)


def test_accumulation_retain_graph_and_hooks_on_results():
    def use(out, inputs):
        out.register_hook(lambda g: g * 2)
        out.sum().backward(retain_graph=True)
        (out * 3).sum().backward()

    Twins(MODELS["mlp"][0]).compare(batches(3, 5, 4), use)


def test_inputs_that_are_no_leaves():
    twins = Twins(MODELS["mlp"][0], lambda m, x: m(x))
    for (x,) in batches(4, 5, 4):
        seen = []
        for run in (twins.eager, twins.traced):
            leaf = x.clone().requires_grad_()
            run(leaf * 2 + 1).pow(2).sum().backward()
            seen.append(grads(leaf))
        assert_close(seen[1], seen[0])


def test_backward_twice_and_writes_in_between_raise_as_eagerly():
    def f(x, w):
        return (x @ w).exp(), (x * 2).sum()

    def errors(run):
        x, w = gj.ones(2, 3).requires_grad_(), gj.ones(3, 2).requires_grad_()
        found = []
        for change in ("again", "result", "weight", "input sum", "nothing"):
            out, total = run(x, w)
            try:
                if change == "result":
                    out.mul_(2)
                with gj.no_grad():
                    if change == "weight":
                        w.mul_(1.5)
                    if change == "input sum":
                        x.add_(1)
                        out = total  # the tape has not kept what a sum was made of
                out.sum().backward()
                if change == "again":
                    out.sum().backward()
            except RuntimeError as error:
                found.append((change, str(error).split("[")[0].split("\n")[0]))
        return found, grads(x, w)

    traced = gj.trace(f)
    expected, expected_grads = errors(f)
    for _ in range(3):
        found, found_grads = errors(traced)
        assert found == expected
        assert_close(found_grads, expected_grads)
    assert [change for change, _ in expected] == ["again", "result", "weight"]
    assert traced.stats()["replays"] > 10


def test_hooks_inside_and_custom_functions_stay_eager():
    seen = []
    calls = seen.append

    class Double(gj.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            calls(g)
            return g * 2

    def hooked(x):
        y = x * 3
        y.register_hook(lambda g: g * 5)
        return y.sum()

    for function, expected in ((hooked, 15), (lambda x: Double.apply(x).sum(), 2)):
        traced = gj.trace(function)
        with pytest.warns(UserWarning, match="runs eagerly"):
            traced(gj.ones(2, requires_grad=True))
        for _ in range(3):
            x = gj.ones(2, requires_grad=True)
            traced(x).backward()
            assert x.grad.tolist() == [expected] * 2
    assert len(seen) == 3


def test_no_grad_around_the_call_keeps_nothing():
    model = MODELS["mlp"][0]
    traced = gj.trace(lambda x: model(x))
    x = gj.ones(5, 4)
    for _ in range(3):
        assert traced(x).requires_grad
        with gj.no_grad():
            assert not traced(x).requires_grad
    assert traced.stats()["variants"] == 2
    assert traced(x).grad_fn.name() == model(x).grad_fn.name()


def test_results_of_successive_calls_are_differentiated_each_on_its_own():
    model = nn.Linear(3, 3)
    traced = gj.trace(lambda x: model(x).tanh())
    inputs = [gj.full((2, 3), float(i), requires_grad=True) for i in range(5)]
    results = [traced(x) for x in inputs]
    for x, out in reversed(list(zip(inputs, results, strict=True))):
        out.sum().backward()
        expected = gj.autograd.grad(model(x).tanh().sum(), x)[0]
        np.testing.assert_allclose(x.grad.numpy(), expected.numpy(), 1e-5, 1e-6)


def test_only_what_is_cheapest_is_kept():
    """tanh(x) * sigmoid(x): eager keeps four arrays; x alone is enough."""
    traced = gj.trace(lambda x: gj.tanh(x + 1) * gj.sigmoid(x + 1))
    x = gj.linspace(-2, 2, 1000).requires_grad_()
    for _ in range(3):
        x.grad = None
        traced(x).sum().backward()
        expected = gj.autograd.grad((gj.tanh(x + 1) * gj.sigmoid(x + 1)).sum(), x)[0]
        np.testing.assert_allclose(x.grad.numpy(), expected.numpy(), 1e-4, 1e-6)
    kept = traced.attempts[0].variant.recording.backward.halves.kept
    assert len([value for value in kept if value.spec.size > 1]) == 1


def test_the_cut_keeps_products_and_not_what_follows_from_them():
    joint = parse("""
def f(x: f32[8, 8], w: f32[8, 8], g: f32[8, 8]):
    a = F.matmul(x, w)
    b = F.tanh(a)
    c = F.mul(b, b)
    d = F.mul(g, c)
    return b, d
""", OPS)
    x, w, g = joint.inputs
    halves = rematerialize.split(joint, 1, [g], {x, w})
    assert len(halves.kept) == 1 and len(halves.forward.outputs) == 2
    back = rematerialize.backward(joint, halves, [g], joint.outputs[1:])
    assert {node.op.name for node in back.nodes} <= {"tanh", "mul"}


def test_results_with_tapes_of_their_own():
    """After a backward from one result of a replay, none was possible from another one."""
    p, q = gj.ones(2, requires_grad=True), gj.ones(2, requires_grad=True)
    traced = gj.trace(lambda x: ((p * x).exp(), (q * x).tanh()))
    for i in range(3):
        p.grad = q.grad = None
        a, b = traced(gj.full((2,), float(i)))
        a.sum().backward()
        b.sum().backward()
        np.testing.assert_allclose(p.grad, [i * math.exp(i)] * 2, rtol=1e-6)
        np.testing.assert_allclose(q.grad, [i / math.cosh(i) ** 2] * 2, rtol=1e-6)


def test_results_that_share_a_part_of_the_tape():
    """What both results need is used up by the first backward, as in eager code."""
    p = gj.ones(2, requires_grad=True)

    def shared(x):
        y = (p * x).exp()
        return y * 2, y * 3

    for function in (shared, gj.trace(shared)):
        for _ in range(3):
            a, b = function(gj.ones(2))
            a.sum().backward()
            with pytest.raises(RuntimeError, match="a second time"):
                b.sum().backward()


def test_a_tape_that_keeps_nothing_is_gone_back_twice():
    """The second backward through `p * 2` raised if the product came from a replay."""
    p = gj.ones(2, requires_grad=True)
    traced = gj.trace(lambda: p * 2)
    for _ in range(3):
        p.grad, y = None, traced()
        y.sum().backward()
        y.sum().backward()
        assert p.grad.tolist() == [4, 4]
