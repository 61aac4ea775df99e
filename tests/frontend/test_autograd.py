"""Backward, grad, hooks, custom functions, and what `.grad` may share, against PyTorch."""

import gc
import weakref

import numpy as np
import pytest

import graphjit as gj

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

MODULES = [gj, torch]


def both(program):
    """What a program gives with each library."""
    return [program(module) for module in MODULES]


def assert_equal(program):
    ours, theirs = both(program)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        if hasattr(b, "detach"):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-7)
        else:
            assert a == b


def test_gradients_accumulate():
    def program(t):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        for _ in range(3):
            (x * x).sum().backward()
        return [x.grad]

    assert_equal(program)


def test_a_shared_operand_gets_the_sum():
    def program(t):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        y = x * 2
        (y * y + y + x).sum().backward()
        return [x.grad]

    assert_equal(program)


@pytest.mark.parametrize("combine", [
    lambda t, x, y: (x + y).sum(), lambda t, x, y: (x + y + x).sum(),
    lambda t, x, y: t.cat([x, y]).sum(), lambda t, x, y: t.stack([x, y]).sum(),
    lambda t, x, y: (x.view(-1) + y.view(-1)).sum(), lambda t, x, y: (x - y).sum(),
])  # fmt: skip
def test_gradients_share_no_memory(combine):
    """One array may be the gradient of two leaves; each `.grad` must be its own."""

    def program(t):
        x, y = t.ones(3, requires_grad=True), t.ones(3, requires_grad=True)
        combine(t, x, y).backward()
        combine(t, x, y).backward()
        x.grad.mul_(10)
        return [x.grad, y.grad]

    assert_equal(program)


def test_the_given_gradient_is_not_aliased():
    x = gj.ones(3, requires_grad=True)
    gradient = gj.ones(3)
    x.backward(gradient)
    gradient.fill_(7)
    assert x.grad.tolist() == [1, 1, 1]
    y = gj.ones(3, requires_grad=True)
    (y + 0).backward(gradient)
    gradient.fill_(9)
    assert y.grad.tolist() == [7, 7, 7]


def test_second_backward_needs_retain_graph():
    def program(t):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        y = (x * x).sum()
        y.backward(retain_graph=True)
        y.backward()
        try:
            y.backward()
        except RuntimeError as error:
            return [x.grad, "second time" in str(error)]
        return [x.grad, False]

    assert_equal(program)


def test_a_backward_without_saved_values_can_be_repeated():
    def program(t):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        y = (x + 1).sum()
        y.backward()
        try:
            y.backward()
        except RuntimeError:
            return [x.grad, "error"]
        return [x.grad, "fine"]

    assert_equal(program)


def test_what_an_in_place_op_overwrote_is_freed_too():
    """The copy that the tape kept of it was not freed, and a second backward went through."""
    def program(t):
        x, p = t.ones(2), t.tensor([2.0], requires_grad=True)
        x.mul_(p)
        y = x.sum()
        y.backward()
        try:
            y.backward()
        except RuntimeError as error:
            return [p.grad, "second time" in str(error)]
        return [p.grad, False]

    assert_equal(program)


def test_grad_of_intermediate_and_unused():
    def program(t):
        x, unused = t.tensor([1.0, 2.0], requires_grad=True), t.ones(1, requires_grad=True)
        y = x * 3
        z = (y * y).sum()
        gx, gy, gn = t.autograd.grad(z, [x, y, unused], allow_unused=True)
        return [gx, gy, gn is None, x.grad is None]

    assert_equal(program)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("traced", [False, True])
def test_gradients_of_unused_inputs_made_zeros(create_graph, traced):
    """`materialize_grads` was unknown to `grad`."""

    def program(t):
        x, unused = t.ones(3, requires_grad=True), t.ones((2, 2), requires_grad=True)

        def grads(x, unused):
            options = {"create_graph": create_graph, "materialize_grads": True}
            return t.autograd.grad((x * x).sum(), (x, unused), **options)

        grads = gj.trace(grads) if traced and t is gj else grads
        for _ in range(3):
            found = grads(x, unused)
        return [*found, *(g.requires_grad for g in found)]

    assert_equal(program)


def test_flags_of_grad_that_do_nothing_or_contradict():
    """`only_inputs` was unknown to `grad`."""

    def program(t):
        x = t.ones(3, requires_grad=True)
        with pytest.warns(FutureWarning, match="only_inputs argument is deprecated and is ignored"):
            (warned,) = t.autograd.grad((x * x).sum(), x, only_inputs=False)
        (by_place,) = t.autograd.grad((x * x).sum(), (x,), None, False, False, True, False)
        with pytest.raises(ValueError, match="or not passed when materialize_grads=True, but got"):
            t.autograd.grad(x.sum(), x, allow_unused=False, materialize_grads=True)
        return [warned, by_place]

    assert_equal(program)


def test_batched_gradients_are_refused():
    x = gj.ones(3, requires_grad=True)
    with pytest.raises(NotImplementedError, match="is_grads_batched"):
        gj.autograd.grad(x * 2, x, gj.ones((2, 3)), is_grads_batched=True)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("function", [
    lambda t, x: (x**4).sum(), lambda t, x: x.exp().sum(), lambda t, x: (x.sin() * x).sum(),
    lambda t, x: (x.sigmoid() / x).sum(), lambda t, x: x.tanh().pow(2).sum(),
    lambda t, x: (x @ x.t()).sum() * x.mean(), lambda t, x: x.softmax(1).pow(2).sum(),
    lambda t, x: x.logsumexp(1).pow(2).sum(), lambda t, x: (x[:, 0] * x[:, 1]).pow(3).sum(),
    lambda t, x: t.cat([x, x * x]).pow(2).sum(), lambda t, x: x.norm(),
    lambda t, x: x.var(0).sum() * x.std(), lambda t, x: x.prod(1).sum(),
    lambda t, x: x.cumsum(0).pow(3).sum(), lambda t, x: x.cumprod(1).sum(),
    lambda t, x: x.max(1)[0].pow(3).sum(), lambda t, x: x.clamp(0.5, 2).pow(3).sum(),
    lambda t, x: t.where(x > 1, x**3, x**2).sum(), lambda t, x: x.expand(3, 2, 2).pow(3).sum(),
    lambda t, x: x.gather(1, t.tensor([[0], [1]])).pow(4).sum(),
    lambda t, x: x.log().sum() + x.sqrt().sum(),
])  # fmt: skip
def test_higher_orders(function, order):
    def program(t):
        x = t.tensor([[1.1, 2.3], [0.7, 1.9]], dtype=t.float64, requires_grad=True)
        g = function(t, x)
        for _ in range(order):
            (g,) = t.autograd.grad(g.sum(), x, create_graph=True, allow_unused=True)
            if g is None:
                return [None]
        return [g]

    ours, theirs = both(program)
    if theirs[0] is None or ours[0] is None:
        assert theirs[0] is None or not theirs[0].abs().sum()
    else:
        np.testing.assert_allclose(ours[0].detach().numpy(), theirs[0].detach().numpy(), rtol=1e-8,
                                   atol=1e-13)


def test_backward_with_create_graph():
    def program(t):
        x = t.tensor([2.0, 3.0], requires_grad=True)
        (x**3).sum().backward(create_graph=True)
        first = x.grad
        x.grad = None
        first.sum().backward()
        return [first, x.grad]

    assert_equal(program)


def test_backward_into_chosen_inputs():
    def program(t):
        x, y = t.ones(2, requires_grad=True), t.ones(2, requires_grad=True)
        (x * y * 3).sum().backward(inputs=[x])
        return [x.grad, y.grad is None]

    assert_equal(program)


def test_tensor_hooks():
    def program(t):
        seen = []
        x = t.tensor([1.0, 2.0], requires_grad=True)
        y = x * 3
        first = x.register_hook(lambda g: seen.append(g.clone()))
        x.register_hook(lambda g: g * 2)
        y.register_hook(lambda g: g + 1)
        (y * y).sum().backward()
        first.remove()
        before = len(seen)
        (x * 2).sum().backward()
        return [*seen, x.grad, before == len(seen)]

    assert_equal(program)


def test_retain_grad():
    def program(t):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        y = x * 3
        y.retain_grad()
        z = y * y
        z.sum().backward()
        return [y.grad, x.grad, y.retains_grad, y.is_leaf, x.is_leaf]

    assert_equal(program)


def test_post_accumulate_and_node_hooks():
    def program(t):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        y = x * 3
        y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] * 10, *inputs[1:]))
        y.sum().backward()
        return [x.grad]

    assert_equal(program)


def test_gradient_modes():
    def program(t):
        x = t.ones(2, requires_grad=True)
        states = [t.is_grad_enabled()]
        with t.no_grad():
            states += [t.is_grad_enabled(), (x * 2).requires_grad]
            with t.enable_grad():
                states += [t.is_grad_enabled(), (x * 2).requires_grad]
        with t.set_grad_enabled(False):
            states.append((x * 2).requires_grad)

        @t.no_grad()
        def function():
            return (x * 2).requires_grad

        with t.inference_mode():
            states.append((x * 2).requires_grad)
        t.set_grad_enabled(False)
        states.append(t.is_grad_enabled())
        t.set_grad_enabled(True)
        return [*states, function(), t.is_grad_enabled()]

    assert_equal(program)


def make_function(t):
    class Scale(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor, y):
            ctx.save_for_backward(x, y)
            ctx.factor = factor
            return x * factor + y, x - y

        @staticmethod
        def backward(ctx, first, second):
            x, y = ctx.saved_tensors
            return first * ctx.factor + second * x, None, first - second * y

    return Scale


def test_custom_function():
    def program(t):
        x, y = t.tensor([1.0, 2.0], requires_grad=True), t.tensor([3.0, 4.0], requires_grad=True)
        a, b = make_function(t).apply(x, 2.5, y)
        (a * b).sum().backward()
        return [a, b, x.grad, y.grad, type(a.grad_fn).__name__, a.requires_grad]

    assert_equal(program)


def test_custom_function_twice_differentiated():
    def program(t):
        class Cube(t.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return g * 3 * x**2

        x = t.tensor([1.0, 2.0], requires_grad=True)
        (g,) = t.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
        (h,) = t.autograd.grad(g.sum(), x)
        return [g, h]

    assert_equal(program)


def test_custom_function_unused_output_and_needs():
    def program(t):
        class Two(t.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.needs = ctx.needs_input_grad
                return x * 2, y * 3

            @staticmethod
            def backward(ctx, a, b):
                return a * 2, b * 3 if ctx.needs_input_grad[1] else None

        x, y = t.ones(2, requires_grad=True), t.ones(2)
        out, _ = Two.apply(x, y)
        out.sum().backward()
        return [x.grad, y.grad is None]

    assert_equal(program)


def test_wrong_number_of_gradients():
    def program(t):
        class Bad(t.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                return x + y

            @staticmethod
            def backward(ctx, g):
                return g

        x = t.ones(2, requires_grad=True)
        try:
            Bad.apply(x, x).sum().backward()
        except RuntimeError as error:
            return ["incorrect number of gradients" in str(error)]
        return [False]

    assert_equal(program)


def test_next_functions():
    def program(t):
        x = t.ones(2, requires_grad=True)
        loss = ((x * 2).exp() + 1).sum()
        names, node = [], loss.grad_fn
        while node is not None:
            names.append(node.name() if not isinstance(node.name, str) else node.name)
            following = [f for f, _ in node.next_functions if f is not None]
            node = following[0] if following else None
        return [[n.removeprefix("torch::autograd::") for n in names]]

    assert_equal(program)


def test_saved_value_modified_in_place():
    def program(t):
        messages = []
        for write in ("y.add_(1)", "y[0] = 5", "y.mul_(2)", "y.data.add_(1)", "y.detach().add_(1)"):
            x = t.ones(3, requires_grad=True)
            y = x * 1
            z = y.exp() * y
            exec(write, {"y": y})
            try:
                z.sum().backward()
                messages.append("fine")
            except RuntimeError as error:
                text = str(error)
                messages.append("modified by an inplace operation" in text)
        return messages

    assert_equal(program)


def test_changing_one_factor_spares_the_other():
    """A product with a constant reads the constant only: the tensor may change."""

    def program(t):
        x, c = t.ones(3, requires_grad=True), t.full((3,), 2.0)
        y = x * 1
        z = y * c
        y.add_(1)
        z.sum().backward()
        return [x.grad]

    assert_equal(program)


def test_a_view_cannot_be_detached_in_place():
    def program(t):
        x = t.ones(3, requires_grad=True)
        results = []
        for view in (x[:2], t.ones(3)[1:], x.unbind()[0], x.detach()[:1]):
            with pytest.raises(RuntimeError, match="Can't detach views in-place. Use detach"):
                view.detach_()
            results.append(view.requires_grad)
        return results

    assert_equal(program)


def test_detach_and_data():
    def program(t):
        x = t.ones(3, requires_grad=True)
        y = x * 2
        d = y.detach()
        results = [d.requires_grad, d.grad_fn is None, d.data_ptr() == y.data_ptr()]
        x.data.fill_(5)
        x.data = t.full((3,), 7.0)
        return [*results, x, x.requires_grad, x.is_leaf, y.detach_().requires_grad]

    assert_equal(program)


def test_grad_attribute_is_checked():
    def program(t):
        x = t.ones(3, requires_grad=True)
        messages = []
        for value in (3, t.ones(2), t.ones(3, dtype=t.float64)):
            try:
                x.grad = value
                messages.append("fine")
            except (TypeError, RuntimeError) as error:
                messages.append((type(error).__name__, str(error).split("\n")[0][:80]))
        x.grad = None
        return messages

    assert_equal(program)


def test_mixed_dtypes():
    def program(t):
        x, y = t.ones(2, requires_grad=True), t.ones(2, dtype=t.float64, requires_grad=True)
        (x * y * t.tensor([1, 2])).sum().backward()
        return [x.grad, y.grad, str(x.grad.dtype)[-7:], str(y.grad.dtype)[-7:]]

    assert_equal(program)


def test_grad_of_an_intermediate_spares_what_made_it():
    """`grad(y, u)` used up the node that made `u`: no other backward could go through it."""

    def program(t):
        p = t.ones(2, requires_grad=True)
        u = p * t.ones(2)
        u.register_hook(lambda g: g * 5)
        found = t.autograd.grad((u * 2).sum(), u)
        (u * 3).sum().backward()
        return [*found, p.grad]

    assert_equal(program)


def test_a_gradient_left_from_other_data():
    """After `p.data = ...`, NumPy's error about shapes or dtypes came out of backward."""

    def program(t):
        p = t.ones(3, requires_grad=True)
        (p * 2).sum().backward()
        p.data = t.ones(3, dtype=t.float64)
        (p * 2).sum().backward()
        p.data = t.ones(2)
        with pytest.raises(RuntimeError, match="size of tensor a .3. must match .* b .2."):
            (p * 2).sum().backward()
        return [p.grad, str(p.grad.dtype)[-7:]]

    assert_equal(program)


def test_deep_tape_needs_no_recursion():
    x = gj.ones(1, requires_grad=True)
    y = x
    for _ in range(20000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1
    del y


def test_tape_frees_itself_without_a_collector():
    """A node must not refer to its own output: that is a cycle, which only the collector frees."""
    gc.disable()
    try:
        x = gj.ones(3, requires_grad=True)
        y = x.exp().sigmoid()
        alive = weakref.ref(y)
        z = y.sum()
        del y, z
        assert alive() is None
    finally:
        gc.enable()


def test_gradcheck():
    x = gj.rand(3, 4, dtype=gj.float64, requires_grad=True)
    w = gj.rand(2, 4, dtype=gj.float64, requires_grad=True)
    assert gj.autograd.gradcheck(lambda a, b: (a @ b.T).sigmoid(), (x, w))
    assert gj.autograd.gradgradcheck(lambda a, b: (a @ b.T).sigmoid(), (x, w))

    class Wrong(gj.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gj.autograd.gradcheck(Wrong.apply, (x,))
    assert not gj.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False)


def test_variable():
    def program(t):
        v = t.autograd.Variable(t.ones(2), requires_grad=True)
        kind = t.autograd.Variable
        return [v.requires_grad, isinstance(v, kind), isinstance(t.ones(1), kind)]

    assert_equal(program)


def test_a_retained_gradient_is_what_all_hooks_have_left():
    """A hook registered after `retain_grad` changed the gradient, but not the retained one."""
    x = gj.ones(3).requires_grad_()
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda grad: grad * 5)
    y.sum().backward()
    assert y.grad.tolist() == [5] * 3 and x.grad.tolist() == [10] * 3


def test_views_of_a_tensor_given_another_shape_in_place():
    """A view taken before had no place on the tape any more, and writes through it went astray."""

    def program(t):
        x = t.arange(12.0).reshape(3, 4).requires_grad_()
        results = []
        for change in (lambda v: v.t_(), lambda v: v.unsqueeze_(1).squeeze_().transpose_(0, 1)):
            x.grad = None
            y = x * 2
            row = y[1]
            change(y)
            row.mul_(3)
            y.add_(1)
            column = y[:, 2]
            column.mul_(5)
            results += [y.shape, row, column, y._base is None, row._base is y]
            (y * y).sum().backward(retain_graph=True)
            results.append(x.grad.clone())
            row.sum().backward()
            results.append(x.grad)
        return results

    assert_equal(program)


def test_detaching_what_was_given_another_shape_in_place():
    def program(t):
        x = t.ones(3, 4, requires_grad=True)
        y = x * 2
        y.t_()
        y.detach_()
        y.mul_(2)
        return [y, y.requires_grad, y.is_leaf]

    assert_equal(program)


@pytest.mark.parametrize("change", [
    lambda v, y: v.mul_(y), lambda v, y: v.unsqueeze_(0), lambda v, y: v.t_(),
])  # fmt: skip
def test_views_of_leaves_are_not_changed_in_place(change):
    """`unsqueeze_` of a view of a parameter went through."""

    def program(t):
        x = t.ones(3)
        v = x[:2]
        x.requires_grad_()
        with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad is"):
            change(v, t.ones(2, requires_grad=True))
        return [x, v.shape]

    assert_equal(program)


def test_hooks_of_leaves_see_the_sum():
    """The hook of a leaf used several times was called with each part, or not by `grad`."""

    def program(t):
        results = []
        p = t.arange(3.0).requires_grad_()
        p.register_hook(lambda g: results.append(g.clone()))
        p.register_hook(lambda g: g.clamp(-4, 4) * 10)
        for run in (
            lambda: (p * 2 + p.sin() + p * 3).sum().backward(),
            lambda: t.autograd.backward([p.sum(), (p * 2).sum()]),
            lambda: (p * 2 + p * p).sum().backward(inputs=[p]),
            lambda: results.append(t.autograd.grad((p * 2 + p * 3).sum(), p)[0]),
            lambda: results.append(
                t.autograd.grad((p * p).sum(), p, create_graph=True)[0].detach()
            ),
            lambda: p.backward(t.ones(3)),
        ):
            run()
            results.append(p.grad.clone())
        return results

    assert_equal(program)


def test_a_gradient_that_shares_memory_with_its_leaf():
    """The first part of the gradient was added to it before the second was computed."""

    def program(t):
        p = t.arange(3.0).requires_grad_()
        p.grad = p.detach()
        (p * p + p * p.exp()).sum().backward()
        return [p, p.grad]

    assert_equal(program)


def test_gradients_of_leaves_of_no_dimensions_and_of_many_uses():
    def program(t):
        p, q = t.tensor(2.0, requires_grad=True), t.ones(2, requires_grad=True)
        total = p * 0
        for k in range(5):
            total = total + (p * k * q).sum()
        for _ in range(2):
            total.backward(retain_graph=True)
        return [p.grad, q.grad]

    assert_equal(program)


def test_custom_function_with_a_context_set_up_apart():
    def program(t):
        class Scaled(t.autograd.Function):
            @staticmethod
            def forward(x, factor):
                return x * factor, x.exp()

            @staticmethod
            def setup_context(ctx, inputs, output):
                _, ctx.factor = inputs
                ctx.save_for_backward(output[1])

            @staticmethod
            def backward(ctx, first, second):
                (exponential,) = ctx.saved_tensors
                return first * ctx.factor + second * exponential, None

        x = t.arange(3.0).requires_grad_()
        a, b = Scaled.apply(x, 3.0)
        (a * b).sum().backward()
        return [a, b, x.grad, a.grad_fn.name()]

    assert_equal(program)


def test_custom_function_of_a_view_whose_base_was_written_to():
    def program(t):
        class Double(t.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, g):
                return g * 2

        w, base = t.ones(3, requires_grad=True), t.zeros(3)
        view = base[:2]
        base.add_(w)
        Double.apply(view).sum().backward()
        return [w.grad]

    assert_equal(program)


@pytest.mark.parametrize("op", ["{} * 3", "{}.sin()", "{}[0]"])
def test_a_leaf_that_is_frozen_before_the_backward_gets_no_gradient(op):
    def gradients(library):
        leaf = library.ones(2, requires_grad=True)
        loss = eval(op.format("leaf"), {"leaf": leaf}).sum()
        leaf.requires_grad_(False)
        loss.backward(retain_graph=True)
        frozen = leaf.grad
        leaf.requires_grad_(True)
        loss.backward()
        return frozen, leaf.grad.tolist()

    found, expected = gradients(gj), gradients(torch)
    assert found[0] is expected[0] is None
    assert found[1] == pytest.approx(expected[1])
