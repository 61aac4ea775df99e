"""A traced function that only runs forward: what comes of its results is differentiated outside."""

import copy
import gc
import math
import re

import numpy as np
import pytest

import graphjit as gj
from graphjit import nn, optim
from graphjit.frontend.waiting import WAITING
from graphjit.ir.parse import parse
from graphjit.ops import OPS
from graphjit.passes import rematerialize
from graphjit.utils.checkpoint import checkpoint

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


def test_a_second_derivative_after_a_write():
    """The error did not say which tensor had been written to."""
    p = gj.ones(3, requires_grad=True)

    def message(function):
        result = function()
        with gj.no_grad():
            p.neg_()
        with pytest.raises(RuntimeError, match="modified by an inplace") as caught:
            gj.autograd.grad(result.sum(), p, create_graph=True)
        return re.sub("version [0-9]+", "", str(caught.value)).split("\n")[0]

    square = lambda: p**2
    traced = gj.trace(square)
    assert [message(traced) for _ in range(3)] == [message(square)] * 3


@pytest.mark.parametrize(
    "function",
    [lambda p, s: p * 2 * s, lambda p, s: p * s + 1, lambda p, s: (p * 2).mul_(s)[None] * 1],
)
def test_a_tape_that_keeps_nothing_and_was_gone_back_already(function):
    """Results behind it had the gradients of the call that was recorded."""
    p = gj.ones(2, requires_grad=True)

    def step(s):
        result = function(p, s)
        gj.autograd.grad((result * p).sum(), p)
        return result

    traced = gj.trace(step)
    for s in (0.5, 2.0, 3.0, 4.0):
        found, expected = (gj.autograd.grad(f(s).sum(), p)[0] for f in (traced, step))
        assert gj.equal(found, expected)


def test_what_the_tape_keeps_though_the_backward_does_not_read_it():
    """A backward went on after a write to what eager code would have kept for it."""
    p = (gj.arange(5.0) + 1).requires_grad_()
    function = lambda: (p.view(-1, 1).cumprod(0), p * 2)
    for called in (function, gj.trace(function)):
        for _ in range(3):
            product, double = called()
            with gj.no_grad():
                p.neg_()
            double.sum().backward()
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                product.sum().backward()


def untold(p, q, held, results):
    p.data.neg_()


def untold_through_a_view(p, q, held, results):
    held[0] = 3.0


def untold_of_what_is_no_leaf(p, q, held, results):
    q.data.mul_(2)


def untold_of_a_result(p, q, held, results):
    results[0].data.mul_(2)


def untold_in_a_replay(p, q, held, results):
    @gj.trace
    def write():
        held.mul_(3)
        p.data.add_(1)

    for _ in range(4):
        write()


def untold_in_a_replay_on_arguments(p, q, held, results):
    @gj.trace
    def write(data):
        data.mul_(3)

    for _ in range(4):
        write(held)


def untold_by_an_optimizer(p, q, held, results):
    shared = nn.Parameter(held)
    shared.grad = gj.ones(2)
    optim.SGD([shared], 0.3).step()


def untold_by_a_backward(p, q, held, results):
    other = gj.zeros(2, requires_grad=True)
    other.grad = held
    (other * 3).sum().backward()


def untold_and_new_data(p, q, held, results):
    p.data = p.data * 2
    p.data.neg_()
    held.neg_()


def told_of_a_result(p, q, held, results):
    results[0].detach().mul_(2)
    results[0].data.mul_(2)


def told_of_what_is_no_leaf(p, q, held, results):
    with gj.no_grad():
        q.mul_(2)


def told_of_a_leaf(p, q, held, results):
    with gj.no_grad():
        p.neg_()


def told_in_a_replay(p, q, held, results):
    write = gj.trace(lambda: told_of_a_leaf(p, q, held, results))
    for _ in range(3):
        write()


WRITES = [
    untold, untold_through_a_view, untold_of_what_is_no_leaf, untold_of_a_result,
    untold_in_a_replay, untold_in_a_replay_on_arguments, untold_by_an_optimizer,
    untold_by_a_backward, untold_and_new_data, told_of_a_result, told_of_what_is_no_leaf,
    told_of_a_leaf, told_in_a_replay,
]  # fmt: skip


def one(p, q):
    return ((p.sigmoid() * q) * p,)


def three(p, q):
    y = p.exp() * q
    return y, y.sigmoid() * q, y.sin()


def with_data(p, q):
    return (p.exp() * p.data,)


def not_kept(p, q):
    return ((p * 2).sigmoid(),)


@pytest.mark.parametrize("order", ["write, grad", "write, grad, grad", "grad, write, grad"])
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("function", [one, three, with_data, not_kept], ids=lambda f: f.__name__)
def test_writes_before_the_backward_leave_what_the_tape_of_eager_code_had_kept(
    function, write, order
):
    second = order.endswith("grad, grad") or order.startswith("grad")
    def gradients(traced):
        p = gj.tensor([0.5, 0.7]).requires_grad_()
        q, held = p * 1, p.data
        call = gj.trace(lambda: function(p, q)) if traced else lambda: function(p, q)
        for _ in range(3 * traced):
            gj.autograd.grad(sum(r.sum() for r in call()), p, retain_graph=True)
        results = call()
        if order.startswith("write"):
            write(p, q, held, results)
        try:
            (grad,) = gj.autograd.grad([r.sum() for r in results], p, create_graph=second)
            if order.startswith("grad"):
                write(p, q, held, results)
            more = gj.autograd.grad(grad.sum(), p) if second else ()
        except RuntimeError as error:
            return "modified by an inplace operation" in str(error)
        return np.stack([grad.detach().numpy(), *(g.numpy() for g in more)])

    expected, found = gradients(traced=False), gradients(traced=True)
    assert type(found) is type(expected)
    np.testing.assert_allclose(found, expected, 1e-5)


@pytest.mark.parametrize("function", [lambda p: p.t().tanh(), lambda p: p.exp()[:, 1:]])
def test_writes_to_results_in_another_order_and_to_views(function):
    """Results that do not fill their memory in C's order were not watched."""

    def gradient(traced, data):
        p = gj.arange(6.0).div(5).view(2, 3).requires_grad_()
        call = gj.trace(lambda: function(p)) if traced else lambda: function(p)
        for _ in range(2 * traced):
            call()
        result = call()
        (result.data if data else result.detach()).mul_(2)
        return gj.autograd.grad(result.sum(), p)[0].numpy()

    for traced in (False, True):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            gradient(traced, data=False)
    np.testing.assert_allclose(gradient(True, data=True), gradient(False, data=True), 1e-5)


@pytest.mark.parametrize(
    "takes", [lambda p, f: (f, p), lambda p, f: (lambda _: f(p), gj.ones(()))], ids=["p", "nothing"]
)
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_is_computed_again_from_what_is_there_by_then(reentrant, takes):
    def gradient(traced):
        p, q = gj.tensor([0.5, 0.7]).requires_grad_(), gj.tensor([0.2, 0.3])

        def function():
            function, argument = takes(p, lambda p: (p * 3).exp())
            inside = checkpoint(function, argument.requires_grad_(), use_reentrant=reentrant)
            return inside * (p if argument is p else 2) * q.exp()

        call = gj.trace(function) if traced else function
        for _ in range(2 * traced):
            call()
        result = call()
        p.data.neg_()
        q.neg_()  # no tape has kept it
        result.sum().backward()
        return p.grad.numpy()

    np.testing.assert_allclose(gradient(True), gradient(False), 1e-5)


def test_what_waits_may_be_freed_by_the_collector_while_it_is_looked_through():
    p = gj.ones(2, requires_grad=True)
    function, data = gj.trace(lambda: p.exp()), p.data
    held = [function() for _ in range(100)]

    class Box:
        pass

    gc.collect()
    threshold = gc.get_threshold()
    try:
        for k in range(10):
            gc.disable()
            for _ in range(5):
                box = Box()
                box.box, box.result = box, function()
                del box
            gc.set_threshold(gc.get_count()[0] + k)
            gc.enable()
            data.mul_(1.0)
    finally:
        gc.set_threshold(*threshold)
    assert len(held) == 100


def test_writes_through_data_before_each_of_two_backwards():
    def gradients(traced):
        p = gj.tensor([0.5, 0.7]).requires_grad_()
        function = lambda: p.exp() * p
        call = gj.trace(function) if traced else function
        for _ in range(2 * traced):
            call()
        result, found = call(), []
        for _ in range(2):
            p.data.neg_()
            found += gj.autograd.grad(result.sum(), p, retain_graph=True)
        return np.stack(found)

    np.testing.assert_allclose(gradients(True), gradients(False), 1e-6)


def test_what_no_backward_can_reach_any_more_keeps_nothing_aside():
    p = gj.tensor([0.5, 0.7]).requires_grad_()
    step = gj.trace(lambda: p.exp().sum())
    losses = [step() for _ in range(4)]
    before = len(WAITING)
    for loss in losses:
        loss.backward()
    assert len(WAITING) == before - 3  # the first call was recorded


def test_a_parameter_that_does_not_require_grad_any_more_is_gone_back_to():
    """Run again, the forward had no tape where its tensors had ceased to require grad."""

    def gradients(traced):
        p = gj.tensor([0.5, 0.7]).requires_grad_()

        def function():
            h = p.exp()
            return h, h * p

        call = gj.trace(function) if traced else function
        for _ in range(2 * traced):
            call()
        (h, result), (second, other) = call(), call()
        p.requires_grad_(False)
        found = gj.autograd.grad(result.sum(), h)
        second.retain_grad()
        other.sum().backward()
        assert p.grad is None
        return np.stack([found[0].numpy(), second.grad.numpy()])

    np.testing.assert_allclose(gradients(True), gradients(False), 1e-6)
