"""Modules

Parameters, buffers, submodules, flags and hooks may change between calls in every way that PyTorch
allows. The next call of a traced function sees it, whether it records anew or not.
"""

import copy

import pytest

import graphjit as gj
from graphjit import nn, optim

from .harness import traced, trap

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook")


RELU = nn.functional.relu
HANDLES = []


@pytest.fixture(autouse=True)
def remove_global_hooks_afterwards():
    yield
    remove_global_hooks()


def remove_global_hooks():
    while HANDLES:
        HANDLES.pop().remove()


def rows(call):
    """A batch of six rows of four numbers."""
    return (gj.sin(gj.arange(24.0) * (1.3 + call)).view(6, 4),)


def small():
    return nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.BatchNorm1d(5), nn.Linear(5, 2))


def train(model):
    """A step of training that leaves gradients behind."""
    optimizer = optim.SGD(model.parameters(), lr=0.01)

    def step(x):
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


@trap(arguments=rows)
def test_training_and_evaluation():
    """`train()` and `eval()` on the model or one of its layers change what the next call does."""
    model = small()

    def change(n):
        (model.eval, model.train, model[2].eval, model.train)[n - 1]()

    return train(model), change


@trap(arguments=rows)
def test_requires_grad():
    """Parameters frozen and thawed between calls stop and start to get gradients."""
    model = small()

    def change(n):
        model[0].requires_grad_(n % 2 == 0)
        model[3].bias.requires_grad = n % 2 == 1

    return train(model), change


@trap(arguments=rows)
def test_parameters_replaced():
    """A parameter or a buffer that is assigned anew is used from then on."""
    model = small()
    step = lambda x: model(x).detach()

    def change(n):
        model[0].weight = nn.Parameter(gj.full((5, 4), 0.1 * n))
        model[2].running_mean = gj.full((5,), 1.0 * n)
        if n == 3:
            model[3].bias = None

    return step, change


@trap(arguments=rows)
def test_data_reassigned():
    """`p.data = ...` gives a parameter other memory; the traced function reads and writes that."""
    model = small()

    def change(n):
        model[0].weight.data = gj.full((5, 4), 0.1 * n)
        model[3].bias.data = model[3].bias.data * 0.5

    return train(model), change


@trap(arguments=rows, variants=1)
def test_data_updated_in_the_function():
    """`p.data -= lr * p.grad` writes to where `p.data` is, and is compiled as any other write."""
    model = small()

    def step(x):
        loss = model(x).square().mean()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.1 * p.grad
            p.grad = None
        return loss

    return step, None


@trap(arguments=rows, variants=1)
def test_data_written():
    """Writing into `p.data`, and `copy_` and `init` under `no_grad`, need no new recording."""
    model = small()

    def change(n):
        model[0].weight.data.mul_(0.5)
        model[3].bias.data[0] = float(n)
        with gj.no_grad():
            model[3].weight.copy_(gj.full((2, 5), 0.1 * n))
        nn.init.constant_(model[0].bias, 0.2 * n)

    return train(model), change


@trap(arguments=rows, variants=1)
def test_load_state_dict():
    """`load_state_dict` between calls is seen, without a new recording."""
    model = small()
    saved = copy.deepcopy(model.state_dict())

    def change(n):
        model.load_state_dict({k: v * 0.5 * n if v.ndim else v for k, v in saved.items()})

    return train(model), change


@trap(arguments=rows)
def test_load_state_dict_that_assigns():
    """`load_state_dict(assign=True)` replaces the parameters, which is seen."""
    model = small()

    def change(n):
        model.load_state_dict({k: v + n for k, v in model.state_dict().items()}, assign=True)

    return lambda x: model(x).detach(), change


@trap(arguments=rows, replays=3)
def test_layers_swapped():
    """Layers may be assigned, added, removed and put in another order."""
    model = small()

    def change(n):
        if n == 1:
            model[0] = nn.Linear(4, 5)
        elif n == 2:
            model.append(nn.Tanh())
        elif n == 3:
            del model[1]
        else:
            model[0], model[-1] = nn.Linear(4, 5, bias=False), nn.Sigmoid()

    return train(model), change


@trap(arguments=rows)
def test_module_lists_and_dicts():
    """`ModuleList`, `ModuleDict` and `ParameterList` may grow, shrink and be reordered."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Tanh()])
            self.heads = nn.ModuleDict({"a": nn.Linear(4, 2)})
            self.scales = nn.ParameterList([nn.Parameter(gj.ones(1))])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return sum(head(x) for head in self.heads.values()) * sum(self.scales)

    net = Net()

    def change(n):
        net.layers.insert(n, nn.Linear(4, 4))
        if n == 2:
            net.heads["b"] = nn.Linear(4, 2)
        if n == 3:
            net.heads.pop("a")
        net.scales.append(nn.Parameter(gj.full((1,), float(n))))

    return lambda x: net(x).detach(), change


@trap(arguments=rows)
def test_attributes_of_modules():
    """Plain attributes of a module are seen: numbers, strings, lists, objects, functions."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.mode, self.shifts, self.act = 1.0, "add", [0.0], gj.tanh

        def forward(self, x):
            x = x + self.shifts[0] if self.mode == "add" else x - self.shifts[0]
            return self.act(x * self.scale)

    net = Net()

    def change(n):
        net.scale = float(n)
        net.shifts[0] = 0.5 * n
        net.mode = ("add", "sub")[n % 2]
        net.act = (gj.tanh, gj.sigmoid)[n // 3]

    return net, change


@trap(arguments=rows)
def test_attributes_that_appear():
    """An attribute that hides a class attribute, or that is looked for with `hasattr`, is seen."""

    class Net(nn.Module):
        scale = 2.0

        def forward(self, x):
            x = x * self.scale
            return x + self.extra if hasattr(self, "extra") else x

    net = Net()

    def change(n):
        if n == 1:
            net.scale = 5.0
        elif n == 2:
            net.extra = 1.0
        elif n == 3:
            del net.scale
        else:
            del net.extra

    return net, change


@trap(arguments=rows)
def test_forward_replaced():
    """A `forward` that is replaced, on the instance or on the class, is the one that runs."""

    class Net(nn.Module):
        def forward(self, x):
            return x + 1

    net = Net()
    plain = Net.forward

    def change(n):
        if n == 1:
            net.forward = lambda x: x * 2
        elif n == 2:
            del net.forward
        elif n == 3:
            Net.forward = lambda self, x: plain(self, x) - 10
        else:
            net.__class__ = type("Other", (Net,), {"forward": lambda self, x: x * 0})

    return lambda x: net(x), change


@trap(arguments=rows)
def test_forward_hooks():
    """Hooks on modules, before and after `forward`, may be added, changed and removed."""
    model, scale = small(), 1.0
    handles = []

    def after(module, args, output):
        return output * scale

    def before(module, args):
        return (args[0] + scale,)

    def change(n):
        nonlocal scale
        scale = float(n)
        if n == 1:
            handles.append(model[0].register_forward_hook(after))
        elif n == 2:
            handles.append(model[3].register_forward_pre_hook(before))
        elif n == 3:
            handles.pop(0).remove()
        else:
            handles.pop().remove()

    return train(model), change


@trap(arguments=rows)
def test_hooks_for_all_modules():
    """Hooks registered for all modules at once are seen, and so is their removal."""
    model = small()

    def change(n):
        remove_global_hooks()
        if n % 2:
            hook = lambda module, args, output: output * (1 + 0.1 * n)
            HANDLES.append(nn.modules.module.register_module_forward_hook(hook))

    return train(model), change


@trap(arguments=rows)
def test_backward_hooks_of_modules():
    """Backward hooks on modules may be added and removed."""
    model, handles = small(), []

    def double(module, grad_input, grad_output):
        return tuple(None if g is None else g * 2 for g in grad_input)

    def change(n):
        if n % 2:
            handles.append(model[3].register_full_backward_hook(double))
        else:
            handles.pop().remove()

    return train(model), change


@trap(arguments=rows)
def test_hooks_of_tensors():
    """Hooks on parameters may be added and removed; what they read is guarded."""
    model, handles, scale = small(), [], 1.0

    def change(n):
        nonlocal scale
        scale = float(n)
        if n % 2:
            handles.append(model[0].weight.register_hook(lambda g: g * scale))
        else:
            handles.pop().remove()

    return train(model), change


@trap(arguments=rows, eager="cannot be guarded|every call changes")
def test_counting_in_a_hook():
    """A hook with an effect of its own has it at every call."""
    model, seen = small(), []
    model[0].register_forward_hook(lambda module, args, output: seen.append(len(seen)))

    return train(model)


@trap(arguments=rows)
def test_batch_norm_between_calls():
    """Running statistics, and the count of batches, go on where eager code has left them."""
    model = small()

    def change(n):
        model(gj.full((6, 4), float(n)) * gj.rand(6, 4))
        if n == 3:
            model[2].reset_running_stats()
        model[2].momentum = 0.1 * n

    return train(model), change


@trap(arguments=rows)
def test_dtype_of_a_model():
    """`double()` and `float()` between calls change the model under the function."""
    model = small()

    def step(x):
        return model(x.to(model[0].weight.dtype)).detach()

    def change(n):
        (model.double, model.float)[n % 2]()

    return step, change


@trap(arguments=rows, replays=3)
def test_shared_parameters():
    """Weights that are tied, and untied again, get their gradients from every use."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))

    def change(n):
        if n % 2:
            model[2].weight = model[0].weight
        else:
            model[2].weight = nn.Parameter(model[0].weight.detach().clone())

    def step(x):
        model.zero_grad()
        loss = model(x).mean()
        loss.backward()
        return loss.detach()

    return step, change


@trap(arguments=rows)
def test_weights_that_are_computed():
    """`weight_norm` and its like, put on and removed, are seen; EMA copies stay what they are."""
    model, average = small(), small()

    def step(x):
        loss = model(x).mean()
        with gj.no_grad():
            for mine, other in zip(average.parameters(), model.parameters(), strict=True):
                mine.lerp_(other, 0.1)
        return loss.detach()

    def change(n):
        average.load_state_dict(model.state_dict())
        with gj.no_grad():
            model[0].weight.mul_(n)

    return step, change


@trap(arguments=rows)
def test_models_in_a_list():
    """Which of several models a variable points to is seen; each keeps its recording."""
    models = [small().eval() for _ in range(3)]
    current = models[0]

    def change(n):
        nonlocal current
        current = models[n % 3]

    return lambda x: current(x).detach(), change


@trap(arguments=rows)
def test_module_as_an_argument():
    """A module may be an argument: calls with another one, or with it changed, are told apart."""
    models = [small().eval() for _ in range(2)]
    step = traced(lambda model, x: model(x).detach())
    calls = iter(range(100))

    def change(n):
        models[0].train(n % 2 == 0)

    return lambda x: step(models[next(calls) % 2], x), change


@trap(arguments=rows)
def test_functions_of_graphjit_replaced(monkeypatch):
    """A function of graphjit's own that is replaced in its module is seen."""
    relu = RELU

    def change(n):
        double = lambda x, inplace=False: relu(x) * 2
        monkeypatch.setattr(nn.functional, "relu", double if n % 2 else relu)

    return lambda x: nn.functional.relu(x), change


@trap(arguments=rows)
def test_gradient_buffers_of_parameters():
    """`p.grad` may be None, zero, filled, or replaced between calls: it accumulates as eagerly."""
    model = small().eval()

    def step(x):
        model(x).pow(2).mean().backward()

    def change(n):
        for k, p in enumerate(model.parameters()):
            if n == 1:
                p.grad = None
            elif n == 2:
                p.grad.zero_()
            elif n == 3:
                p.grad = gj.ones_like(p) if k % 2 else None
            else:
                p.grad = p.grad.t().contiguous().t() if p.ndim == 2 else p.grad

    return step, change


@trap
def test_the_dict_of_a_module():
    """`vars(module)` and `module.__dict__` read what is there, also what was put there by them."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.shift = 1.0, 0.0

        def forward(self, x):
            return x * self.__dict__["scale"] + vars(self)["shift"]

    model = Scaled()

    def change(n):
        if n == 1:
            model.scale = 2.0
        if n == 2:
            model.__dict__["scale"] = 3.0
        if n == 3:
            vars(model)["shift"] = 4.0

    return lambda x: model(x), change


class Wrapper(nn.Module):
    """Hands on what it does not have itself, as wrappers do."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


@trap()
def test_a_module_that_hands_on_attributes():
    """What a wrapper finds in the module inside it is seen, and so is another module inside."""
    model = Wrapper(nn.Linear(4, 2))

    def change(n):
        if n % 2:
            model.inner = nn.Linear(4, 2 + n)
        else:
            model.inner.scale = float(n)
            nn.init.constant_(model.weight, n)

    def step(x):
        return x @ model.weight.t() * getattr(model, "scale", 0.5), model.out_features

    return step, change


@trap()
def test_a_module_that_becomes_another_one():
    """The class of a module may be assigned."""

    class Doubled(nn.Linear):
        pass

    layer = nn.Linear(4, 2)
    model = nn.Sequential(layer)

    def change(n):
        layer.__class__ = Doubled if n % 2 else nn.Linear

    def step(x):
        names = [type(module).__name__ for module in model.modules()]
        return model(x) * (1 + isinstance(layer, Doubled)), names

    return step, change
