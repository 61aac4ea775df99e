"""Gradients in traced functions: bugs that random programs found; each test opens with one."""

import warnings

import pytest

import graphjit as gj
from graphjit import nn
from graphjit.errors import TraceWarning

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=["interp", "numba"], autouse=True)
def backend(request, monkeypatch):
    monkeypatch.setenv("GRAPHJIT_BACKEND", request.param)


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


def test_an_empty_gradient_accumulates():
    """Arrays of no elements have strides of 0, and were taken for expanded ones."""
    p = gj.ones(2, 0, requires_grad=True)
    traced = gj.trace(lambda: (p * p).sum().backward())
    for _ in range(3):
        traced()
    assert p.grad.shape == (2, 0) and p.grad.stride() == (1, 1)


def test_grad_set_to_none_without_a_look():
    """`p.grad = None`, recorded while it was None, was left out of replays."""
    p = gj.ones(2, requires_grad=True)

    @gj.trace
    def forget():
        p.grad = None

    for _ in range(3):
        forget()
        assert p.grad is None
        p.grad = gj.ones(2)


def test_gradients_of_autograd_grad_may_be_written():
    """While recording, a gradient could be an expanded array, or the same as another one."""
    @gj.trace
    def doubled(x, y):
        a, b = gj.autograd.grad((x + y).sum(), [x, y])
        a.mul_(2)
        return a, b

    x, y = gj.ones(3, requires_grad=True), gj.ones(3, requires_grad=True)
    for _ in range(3):
        a, b = doubled(x, y)
        assert a.tolist() == [2] * 3 and b.tolist() == [1] * 3


def test_gradients_arrive_in_one_order():
    """A recorded backward reached the leaves of an op in another order than an eager one."""
    p, q, seen = gj.ones(2, requires_grad=True), gj.ones(2, requires_grad=True), []
    p.register_hook(lambda g: seen.append("p"))
    q.register_hook(lambda g: seen.append("q"))

    def step():
        (p * q).sum().backward()

    step()
    with pytest.warns(TraceWarning, match="seen.append"):
        gj.trace(step)()
    assert seen == ["p", "q"] * 2


def test_the_gradient_of_a_bias_used_with_one_row():
    """Compiling `linear(x)` failed for `x` of one dimension: the bias's gradient was taken for the
    result's, whose array it is."""
    layer = nn.Linear(3, 2)
    traced = gj.trace(layer)
    for _ in range(3):
        traced(gj.ones(3)).sum().backward()
    assert layer.bias.grad.tolist() == [3, 3]


def test_a_leaf_made_in_the_function():
    """`x.clone().requires_grad_()` kept a function from ever being compiled."""

    def penalty(x):
        leaf = x.clone().requires_grad_()
        (leaf ** 3).sum().backward()
        return leaf.grad * 2, gj.autograd.grad((leaf ** 2).sum(), leaf)[0]

    traced = gj.trace(penalty)
    for i in range(4):
        a, b = traced(gj.full((2,), float(i)))
        assert a.tolist() == [6 * i * i] * 2 and b.tolist() == [2 * i] * 2
    assert traced.stats()["replays"] == 3


def test_a_leaf_made_in_the_function_that_leaves_it_with_a_gradient():
    """A replay would have returned the leaf without its `.grad`."""

    def made(x):
        leaf = x.clone().requires_grad_()
        (leaf ** 3).sum().backward()
        return leaf

    traced = gj.trace(made)
    with pytest.warns(UserWarning, match="leaves it with a gradient"):
        traced(gj.ones(2))
    assert traced(gj.ones(2)).grad.tolist() == [3, 3]


def test_gradients_lie_in_one_order():
    """The gradient of `p * y.t()` lay as its factor did, but in rows where it was recorded."""
    p, y = gj.ones(2, 3, requires_grad=True), gj.ones(3, 2)

    def step():
        p.grad = None
        (p * y.t()).sum().backward()

    traced = gj.trace(step)
    for call in (step, traced, traced, traced):
        call()
        assert p.grad.stride() == (3, 1)


def test_gradients_lie_in_order_whatever_the_parameter_was_used_as():
    """The `.grad` of a transposed use lay in another order: steps that add to it never replayed."""
    weight = gj.ones(3, 4).requires_grad_()

    def use(x):
        (weight.t() * x).sum().backward()

    traced = gj.trace(use)
    use(gj.ones(4, 3))
    assert weight.grad.stride() == (4, 1)
    for _ in range(5):
        traced(gj.ones(4, 3))
    assert weight.grad.tolist() == [[6] * 4] * 3
    assert traced.stats()["replays"] == 4


def test_a_gradient_that_is_another_tensor_too():
    """A replay added to `p.grad` as if it were not the gradient of `q`, an argument or `p` too."""
    p, q = gj.ones(2, requires_grad=True), gj.ones(2, requires_grad=True)

    def step(x):
        (p * q * x).sum().backward()

    traced, found = gj.trace(step), []
    for function in (step, traced):
        for _ in range(4):
            p.grad, q.grad = gj.zeros(2), gj.zeros(2)
            function(gj.ones(2))
        p.grad = q.grad = gj.zeros(2)
        function(gj.ones(2))
        found.append([p.grad.tolist()])
        p.grad, q.grad = gj.ones(2), gj.zeros(2)
        function(p.grad)
        found[-1] += [p.grad.tolist(), q.grad.tolist()]
    assert found[0] == found[1] == [[2, 2], [2, 2], [1, 1]]


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 1)])
@pytest.mark.parametrize("compute", [
    lambda p, x: p * p * x, lambda p, x: p.exp() * p * x, lambda p, x: p * 2 + x,
    lambda p, x: p.exp() * x,
])  # fmt: skip
def test_new_data_between_a_replay_and_its_backward(compute, shape, create_graph):
    """Gradients of gradients ran the forward again on data, or for ranks, that came after it."""

    def outcome(wrap):
        p = (gj.arange(3.0) + 1).requires_grad_()
        function = wrap(lambda x: compute(p, x))
        for _ in range(3):
            result = function(gj.ones(3))
        p.data = gj.full(shape, 2.0)
        try:
            grad = gj.autograd.grad(result.sum(), p, create_graph=create_graph)[0]
            found = grad.flatten().tolist()
            if grad.requires_grad:
                (grad * grad).sum().backward()
                found += p.grad.flatten().tolist()
            return [round(number, 4) for number in found]
        except RuntimeError as error:
            return str(error)

    assert outcome(gj.trace) == outcome(lambda function: function)


def test_gradients_of_gradients_through_a_view_of_what_is_kept():
    """`amax` was compared with its own transpose, which is of the same shape."""

    def outcome(wrap):
        p = gj.arange(8.0).reshape(2, 2, 2).sin().requires_grad_()
        function = wrap(lambda: p.amax(1).t())
        for _ in range(3):
            result = function()
        (grad,) = gj.autograd.grad((result * result).sum(), p, create_graph=True)
        (grad * grad).sum().backward()
        return grad.tolist(), p.grad.tolist()

    assert outcome(gj.trace) == outcome(lambda function: function)


def gradient_or_refusal(loss, target, create_graph=False):
    """The gradient; or whether it is refused because of a write."""
    try:
        (grad,) = gj.autograd.grad(loss, target, retain_graph=True, create_graph=create_graph)
    except RuntimeError as error:
        return "modified by an inplace operation" in str(error)
    return grad.tolist()


def test_a_write_beside_the_way_back_to_a_result():
    """It was to a tensor that gradients with respect to another result do not read."""

    def outcome(wrap):
        p = (gj.arange(3.0) + 1).requires_grad_()

        def function():
            (grad,) = gj.autograd.grad((p**3).sum(), p, create_graph=True)
            return grad, p - grad

        function = wrap(function)
        for _ in range(3):
            first, second = function()
        with gj.no_grad():
            p.zero_()
        return [gradient_or_refusal((second * second).sum(), target) for target in (first, p)]

    expected = outcome(lambda function: function)
    assert outcome(gj.trace) == expected
    assert expected == [[4.0, 20.0, 48.0], True]


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_write_beside_the_way_back_to_an_input(create_graph):
    """It was to a tensor that gradients with respect to another one do not read."""

    def outcome(wrap):
        p, q = (gj.ones(3).requires_grad_() for _ in range(2))
        function = wrap(lambda: (p * 3, q * q))
        for _ in range(3):
            first, second = function()
        with gj.no_grad():
            q.zero_()
        loss = (first * second).sum()
        return [gradient_or_refusal(loss, target, create_graph) for target in (p, q)]

    expected = outcome(lambda function: function)
    assert outcome(gj.trace) == expected
    assert expected == [[3.0, 3.0, 3.0], True]


@pytest.fixture
def quiet():
    """Calls that run eagerly do not say so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def gradients_between_calls(function, traced):
    """Of the last result of each call, with respect to the first of each, and what hooks saw."""
    p = gj.arange(6.0).view(2, 3).clone().requires_grad_()
    call = (gj.trace if traced else lambda f: f)(lambda s: function(p, s))
    results = [call(gj.tensor(s)) for s in (1.0, 2.0, 3.0, 4.0)]
    seen = []
    results[2][0].register_hook(lambda grad: seen.append(grad.tolist()))
    rows = []
    for last in (results[2][-1], results[3][-1]):
        for first in (results[2][0], results[3][0]):
            options = {"allow_unused": True, "retain_graph": True}
            (grad,) = gj.autograd.grad(last.sum(), first, **options)
            rows.append(None if grad is None else grad.tolist())
    return rows, seen


def used_up(p, s):
    y = (p * s).exp()
    y.sum().backward()
    return y, y.mean()


def used_up_beside_each_other(p, s):
    y = (p * s).exp()
    y.sum().backward()
    return (y * s).unbind(0)


def used_up_with_what_was_kept(p, s):
    y = (p * s).exp()
    y.sum().backward()
    return y, y * s


def view_of_a_parameter(p, s):
    v = p.view(3, 2)
    return v, v[0]


def computed_from_a_view(p, s):
    v = p.view(3, 2)
    return v, v * s


@pytest.mark.parametrize(
    "function",
    [
        used_up, used_up_beside_each_other, used_up_with_what_was_kept, view_of_a_parameter,
        computed_from_a_view,
    ],
    ids=lambda f: f.__name__,
)  # fmt: skip
@pytest.mark.usefixtures("quiet")
def test_gradients_with_respect_to_results_are_those_of_their_own_call(function):
    """All replays shared the end of a used-up tape, and views of parameters were on their own:

    gradients were those of another call, hooks of its results were called, or there was None.
    """
    expected = gradients_between_calls(function, traced=False)
    assert gradients_between_calls(function, traced=True) == expected


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("hang", ["register_hook", "retain_grad"])
def test_hooks_that_a_call_hangs_to_a_view_of_a_parameter(hang):
    """Replays gave a view without them."""

    def gradients(traced):
        p = gj.ones(2, 3, requires_grad=True)

        def step():
            v = p.view(3, 2)
            v.retain_grad() if hang == "retain_grad" else v.register_hook(lambda grad: grad * 2)
            return v

        call = gj.trace(step) if traced else step
        for _ in range(4):
            result = call()
        result.sum().backward()
        return p.grad.tolist(), result.grad is None

    assert gradients(traced=True) == gradients(traced=False)


@pytest.mark.parametrize("write", ["told", "untold"])
@pytest.mark.parametrize("function", [lambda p, q: q.fill_(2) * p, lambda p, q: p.exp().view(-1)])
def test_later_writes_to_what_a_call_has_written_or_gives_a_view_of(function, write):
    """What a call had written to was not watched, nor what its result is a view of."""

    def gradient(traced):
        p, q = gj.ones(2, 2, requires_grad=True), gj.full((2, 2), 3.0)
        call = gj.trace(lambda: function(p, q)) if traced else lambda: function(p, q)
        for _ in range(3):
            result = call()
        for tensor in (q, result):
            (tensor.detach() if write == "told" else tensor.data).mul_(3)
        try:
            return gj.autograd.grad(result.sum(), p)[0].view(-1).tolist()
        except RuntimeError as error:
            return ["modified by an inplace operation" in str(error)]

    assert gradient(traced=True) == pytest.approx(gradient(traced=False), rel=1e-5)


@pytest.mark.usefixtures("quiet")
def test_a_view_of_a_tensor_from_outside_that_the_call_makes_a_leaf():
    """Replays gave a view that does not require grad."""
    q = gj.ones(2, 2)
    call = gj.trace(lambda: q.view(-1).requires_grad_())
    for _ in range(3):
        assert call().requires_grad


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("inside", [False, True])
def test_hooks_of_an_argument_that_is_no_leaf(inside):
    """Replays did not register one, nor call one that was registered between two calls."""

    def seen(traced):
        rows = []

        def step(x):
            if inside:
                x.register_hook(lambda grad: grad * 2)
            return gj.autograd.grad((x * x).sum(), x)[0]

        call = gj.trace(step) if traced else step
        x = gj.ones(2, requires_grad=True) * 3
        for number in range(5):
            if number == 2:
                x.register_hook(lambda grad: rows.append(grad.tolist()))
            rows.append(call(x).tolist())
        return rows

    assert seen(traced=True) == seen(traced=False)


@pytest.mark.parametrize(
    "function", [lambda p, held: p * held, lambda p, held: (p.sin() * held).exp()]
)
def test_writes_through_another_tensor_on_the_memory_of_a_parameter(function):
    """Only the version counter of the tensor that was met first was compared."""
    p = gj.ones(3, requires_grad=True)
    held = p.data
    traced = gj.trace(lambda: function(p, held))
    for call in (traced, traced, traced, lambda: function(p, held)):
        result = call()
        held.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            gj.autograd.grad(result.sum(), p)
