"""Differentiation

Gradients flow into, out of and through traced functions as they do eagerly, and end up in the same
`.grad`s, to any order.
"""

import pytest

import graphjit as gj
from graphjit import nn, optim

from .harness import traced, trap


def weighted(call):
    """An argument that requires grad."""
    return ((gj.arange(4.0) + call).requires_grad_(),)


@trap(variants=1, replays=9)
def test_gradients_accumulate():
    """`backward` over several calls adds to `.grad`; zeroing it in between starts anew."""
    weight = gj.ones(4, requires_grad=True)
    weight.grad = gj.zeros(4)

    def step(x):
        (weight * x).sum().backward()

    def change(n):
        weight.grad.zero_()

    return step, change


@trap
def test_gradients_that_come_and_go():
    """`.grad` that is None, a tensor, or shared with another tensor is what it is eagerly."""
    weight, other = gj.ones(4, requires_grad=True), gj.ones(4, requires_grad=True)

    def step(x):
        (weight * x + other).sum().backward()
        return weight.grad

    def change(n):
        weight.grad = None if n % 2 else gj.ones(4)
        other.grad = None

    return step, change


@trap(variants=2)
def test_accumulation_over_micro_batches():
    """Gradients of several batches add up before one step of the optimizer."""
    weight = gj.ones(4, requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.1, momentum=0.5)
    accumulate = traced(lambda x: (weight * x).pow(2).mean().backward())
    calls = iter(range(100))

    @traced
    def update():
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    weight.grad = gj.zeros(4)

    def step(x):
        accumulate(x)
        if next(calls) % 3 == 2:
            update()

    return step


@trap
def test_grad_mode():
    """`no_grad`, `inference_mode` and `set_grad_enabled` around the call decide about gradients."""
    weight, mode = gj.ones(4, requires_grad=True), 0
    run = traced(lambda x: (weight * x).detach() + float(gj.is_grad_enabled()))

    def step(x):
        with (gj.enable_grad, gj.no_grad, gj.inference_mode)[mode]():
            return run(x)

    def change(n):
        nonlocal mode
        mode = n % 3

    return step, change


@trap(variants=1)
def test_grad_mode_inside():
    """`no_grad` inside the function cuts the tape where it does eagerly."""
    weight = gj.ones(4, requires_grad=True)

    def step(x):
        weight.grad = None
        with gj.no_grad():
            factor = weight * 2
        (weight * factor * x).sum().backward()
        with gj.no_grad():
            weight.sub_(0.1 * weight.grad)
        return factor

    return step


@trap(arguments=weighted)
def test_results_used_in_an_eager_loss():
    """A traced forward whose result goes into an eager loss gets its gradients back."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    forward = traced(lambda x: model(x))

    def step(x):
        model.zero_grad()
        loss = forward(x).pow(2).sum()
        loss.backward()
        return loss.detach(), x.grad

    return step


@trap(arguments=weighted)
def test_gradients_of_arguments():
    """Gradients with respect to arguments are accumulated in the arguments of this call."""

    def step(x):
        y = (x**3).sum()
        y.backward()
        return x.grad

    return step


@trap(arguments=weighted)
def test_gradients_returned():
    """`autograd.grad` inside the function returns the gradients, and touches no `.grad`."""
    weight = gj.ones(4, requires_grad=True)

    def step(x):
        return gj.autograd.grad((x * weight**2).sum(), [x, weight])

    return step


@trap(variants=2)
def test_double_backward():
    """A gradient penalty, the gradient of a gradient, is the eager one."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))

    def step(x):
        model.zero_grad()
        point = x.view(1, 4).detach().requires_grad_()
        (slope,) = gj.autograd.grad(model(point).sum(), point, create_graph=True)
        loss = ((slope.norm() - 1) ** 2).mean()
        loss.backward()
        return loss.detach()

    return step


@trap(eager="leaves it with a gradient")
def test_a_result_with_a_gradient():
    """A result that carries a `.grad` of its own has it at every call."""

    def step(x):
        point = x.detach().requires_grad_()
        point.pow(2).sum().backward()
        return point

    return step


@trap(variants=1)
def test_an_inner_loop():
    """A step of gradient descent inside the function may be differentiated itself."""
    weight = gj.ones(4, requires_grad=True)

    def step(x):
        weight.grad = None
        inner = (weight * x).pow(2).mean()
        (slope,) = gj.autograd.grad(inner, weight, create_graph=True)
        ((weight - 0.1 * slope) * x).sum().backward()

    return step


@trap
def test_custom_functions():
    """A custom `Function` runs its own forward and backward; what they read is guarded."""
    weight, scale = gj.ones(4, requires_grad=True), 1.0

    class Scaled(gj.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.scale = scale
            return x * scale

        @staticmethod
        def backward(ctx, g):
            return g * ctx.scale * 10

    def step(x):
        weight.grad = None
        Scaled.apply(weight * x).sum().backward()

    def change(n):
        nonlocal scale
        scale = float(n)

    return step, change


@trap
def test_hooks_on_the_way():
    """Hooks on results inside the function change gradients as they do eagerly."""
    weight, factor = gj.ones(4, requires_grad=True), 1.0

    def step(x):
        weight.grad = None
        y = weight * x
        y.register_hook(lambda g: g * factor)
        y.retain_grad()
        y.sum().backward()
        return y.grad

    def change(n):
        nonlocal factor
        factor = float(n)

    return step, change


@pytest.mark.parametrize("kind", ["function", "built-in method", "method"])
@trap(replays=0, eager="every call changes")
def test_hooks_that_keep_gradients(kind):
    """A hook on a parameter that notes each gradient does so in each call."""
    weight, found = gj.nn.Parameter(gj.ones(4)), []

    class Notes:
        def note(self, grad):
            found.append(grad.sum().item())

    hook = {
        "function": lambda grad: found.append(1),
        "built-in method": found.append,
        "method": Notes().note,
    }[kind]
    weight.register_hook(hook)

    def step(x):
        weight.grad = None
        (weight * x).sum().backward()
        return len(found)

    return step


@trap(variants=1)
def test_retained_graphs():
    """`retain_graph` allows a second backward, which adds its gradients again."""
    weight = gj.ones(4, requires_grad=True)

    def step(x):
        weight.grad = None
        loss = (weight * x).pow(2).sum()
        loss.backward(retain_graph=True)
        loss.backward()

    return step


@trap(variants=1)
def test_clipping():
    """Clipping by norm and by value changes the gradients that the optimizer sees."""
    model = nn.Linear(4, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        model(x.view(1, 4)).pow(2).sum().backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        nn.utils.clip_grad_value_(model.parameters(), 0.3)
        optimizer.step()
        return norm

    return step


@trap(replays=6)
def test_a_step_skipped():
    """A step that is skipped because of a NaN leaves all as eager code would."""
    weight = gj.ones(4, requires_grad=True)
    optimizer = optim.Adam([weight], lr=0.1)
    calls = iter(range(100))

    @traced
    def step(x):
        optimizer.zero_grad()
        loss = (weight * x).pow(2).mean()
        loss.backward()
        if not loss.isfinite():
            return None
        optimizer.step()
        return loss.item()

    return lambda x: step(x / 0 if next(calls) % 3 == 2 else x)


@trap(variants=1)
def test_parts_that_need_no_gradient():
    """Parameters that a loss does not reach keep `.grad` None, and their optimizer skips them."""
    used, unused = gj.ones(4, requires_grad=True), gj.ones(4, requires_grad=True)
    optimizer = optim.Adam([used, unused], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        (used * x).sum().backward()
        optimizer.step()

    return step


@trap(variants=1)
def test_the_tape_of_a_loss():
    """A loss that has been differentiated is returned with a used-up tape, as eagerly."""
    weight = gj.ones(4, requires_grad=True)
    run = traced(lambda x: _backward((weight * x).sum()))

    def step(x):
        weight.grad = None
        loss = run(x)
        with pytest.raises(RuntimeError, match="second time"):
            (loss * loss).backward()
        return loss

    return step


def _backward(loss):
    loss.pow(2).backward()
    return loss


@trap(variants=1)
def test_in_place_on_the_tape():
    """In-place operations that the tape follows are differentiated as eagerly."""
    weight = gj.ones(4, requires_grad=True)

    def step(x):
        weight.grad = None
        y = weight * x
        y[1:].mul_(3)
        y += weight
        y.sum().backward()
        return y.detach()

    return step


@trap(replays=0)
def test_a_value_changed_before_backward():
    """Backward through a value that was overwritten in the meantime raises the same error."""
    weight = gj.ones(4, requires_grad=True)

    def step(x):
        y = weight.exp()
        loss = (y * x).sum()
        y.add_(1)
        loss.backward()

    return step


@trap(variants=1)
def test_hooks_upstream_of_a_traced_function():
    """Recording a forward whose backward comes later calls no hooks, and fills no `.grad`."""
    weight, seen = gj.ones(4, requires_grad=True), gj.zeros(4)

    def note(grad):
        seen.add_(grad.detach())

    weight.register_hook(note)
    head = traced(lambda h: (h * h * weight).sum())

    def step(x):
        weight.grad = None
        h = weight * x
        h.retain_grad()
        h.register_hook(note)
        head(h).backward()
        return h.grad, weight.grad, seen * 1

    return step


@trap(variants=2)
def test_a_cell_called_again_on_what_it_gave():
    """The state of a recurrent cell depends on its weight already: its tape is gone over once."""
    weight = gj.ones(4, requires_grad=True)
    cell = traced(lambda x, h: (h * weight + x).tanh())

    def step(x):
        weight.grad = None
        h = gj.zeros(4)
        for _ in range(3):
            h = cell(x, h)
        h.sum().backward()
        return h.detach(), weight.grad

    return step


@trap(variants=1)
def test_gradients_of_gradients_through_a_cell_called_again():
    """So it is where the gradient is differentiated again, and hooks are called as often."""
    weight, seen = gj.ones(4, requires_grad=True), gj.zeros(4)

    def note(grad):
        seen.add_(grad.detach())

    weight.register_hook(note)
    head = traced(lambda h: (h * weight).tanh())

    def step(x):
        weight.grad = None
        result = head((weight * x).exp()).sum()
        (first,) = gj.autograd.grad(result, weight, create_graph=True)
        first.sum().backward()
        return first.detach(), weight.grad, seen * 1

    return step


@trap(variants=1)
def test_operands_overwritten_in_place():
    """What the tape keeps of an operand that is overwritten is of this call, not of the first."""
    weight = gj.ones(4, requires_grad=True)

    def product(x):
        y = x * 1
        return y.mul_(weight)

    later = traced(product)

    def step(x):
        sine = (weight * x).sin_()
        sine[:2].square_()
        sine.abs_().add_(1).pow_(weight)
        inside = gj.autograd.grad(sine.sum() + product(x).sum(), weight)
        return *inside, *gj.autograd.grad(later(x + 1).sum(), weight)

    return step


@trap(variants=1)
def test_results_that_depend_on_each_other():
    """Where one result was computed from another, gradients of the one go through the other: its
    hooks see them, `retain_grad` keeps them, and `autograd.grad` with respect to it has them."""
    weight = gj.ones(4, requires_grad=True)

    @traced
    def features(x):
        h = (weight * x).sin()
        return h, h.pow(2).sum(), (h * weight).exp()

    def step(x):
        weight.grad = None
        h, loss, other = features(x)
        h.retain_grad()
        seen = []
        h.register_hook(lambda grad: seen.append(grad * 1))
        other.register_hook(lambda grad: grad * 3)
        (loss + other.sum() + h.sum()).backward(retain_graph=True)
        (force,) = gj.autograd.grad(loss, h, create_graph=True)
        force.pow(2).sum().backward()
        return h.grad, seen, force.detach(), weight.grad

    return step


@trap(variants=1)
def test_a_state_that_a_result_depends_on():
    """So it is for what the call keeps in an attribute."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(gj.ones(4))
            self.features = gj.zeros(4)

        def forward(self, x):
            self.features = self.weight * x
            return self.features.exp().sum()

    model = Model()
    call = traced(lambda x: model(x))

    def step(x):
        model.zero_grad()
        loss = call(x)
        model.features.retain_grad()
        loss.backward()
        return model.features.grad, model.weight.grad

    return step


@trap(variants=1)
def test_a_result_beside_itself_detached():
    """A result may be returned, or kept, with what it is without its tape: they share memory."""
    weight = gj.ones(4, requires_grad=True)

    @traced
    def kept(x):
        y = (weight * x).exp()
        return y, y.detach(), y.detach()[1:]

    def step(x):
        weight.grad = None
        result, alone, part = kept(x / 5)
        result.sum().backward(retain_graph=True)
        part.mul_(2)
        try:
            result.sum().backward()
        except RuntimeError as error:
            return alone, weight.grad, str(error).split("version")[0]

    return step


@trap(variants=1, arguments=lambda call: (gj.ones(4, requires_grad=True),))
def test_a_view_under_enable_grad():
    """A view of an argument, made under `enable_grad` in a call under `no_grad`, has its tape."""

    @traced
    def part(x):
        with gj.enable_grad():
            return x[1:]

    def step(x):
        with gj.no_grad():
            result = part(x)
        if result.requires_grad:
            result.sum().backward()
        return x.grad

    return step


@trap(variants=1)
def test_writes_between_a_gradient_and_its_own():
    """Gradients of gradients notice what was written to, before the first and between the two."""
    weight, scale = gj.ones(4, requires_grad=True), gj.ones(4)

    @traced
    def curve(x):
        return (weight * x).sin() * scale

    def step(x):
        rows = []
        for early, late in ((gj.ones(1), weight), (scale, x), (scale.data, x.data)):
            result = curve(x)
            early.add_(0.1)
            try:
                (slope,) = gj.autograd.grad(result.sum(), weight, create_graph=True)
                late.detach().mul_(1.1)
                rows.append(gj.autograd.grad(slope.sum(), weight)[0])
            except RuntimeError as error:
                rows.append(str(error).split("[")[0])
        return rows

    return step


@trap(variants=2)
def test_results_behind_a_used_up_tape():
    """What a backward in the call has used up leaves each result a tape of its own call."""
    weight = gj.ones(4, requires_grad=True)

    @traced
    def used(x):
        y = (weight * x).exp()
        y.sum().backward()
        return y.mean(), (y * 2).sum()

    def step(x):
        weight.grad = None
        (first, _), (_, last) = used(x), used(x)
        seen = []
        first.register_hook(lambda grad: seen.append(grad * 1))
        try:
            last.backward()
        except RuntimeError as error:
            seen.append(str(error).split("(")[0])
        return seen, gj.autograd.grad(last, first, allow_unused=True), weight.grad

    return step
