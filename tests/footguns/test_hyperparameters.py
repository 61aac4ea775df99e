"""Hyper-parameters

Learning rates, betas, momentum, weight decay and every other number of an optimizer are read anew
at each call, whoever sets them. They never go stale, and changing them compiles nothing.
"""

import collections
import functools

import numpy as np
import pytest

import graphjit as gj
from graphjit import nn, optim
from graphjit.optim import lr_scheduler

from .harness import trap

OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    "Adam": {"amsgrad": True},
    "AdamW": {"weight_decay": 0.1},
    "RMSprop": {"centered": True, "momentum": 0.5},
    "Adagrad": {"lr_decay": 0.01},
    "Adadelta": {},
    "Adamax": {"weight_decay": 0.01},
    "Rprop": {},
}


def chained(optimizer):
    first = lr_scheduler.ConstantLR(optimizer, 0.5, 20)
    return lr_scheduler.ChainedScheduler([first, lr_scheduler.ExponentialLR(optimizer, 0.99)])


def sequential(optimizer):
    first = lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 30)
    return lr_scheduler.SequentialLR(optimizer, [first, SCHEDULERS["StepLR"](optimizer)], [40])


def cyclic(optimizer):
    cycles = "momentum" in optimizer.param_groups[0] or "betas" in optimizer.param_groups[0]
    return lr_scheduler.CyclicLR(optimizer, 0.001, 0.02, 15, cycle_momentum=cycles)


def one_cycle(optimizer):
    cycles = "momentum" in optimizer.param_groups[0] or "betas" in optimizer.param_groups[0]
    return lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=300, cycle_momentum=cycles)


SCHEDULERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 30, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [20, 50, 90], 0.3),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.3, 50),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.2, 1.0, 70),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.98),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 250, 2.0),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 40, 1e-4),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 30, 2),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.99),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=3),
    "CyclicLR": cyclic,
    "OneCycleLR": one_cycle,
    "SequentialLR": sequential,
    "ChainedScheduler": chained,
}


class Training:
    """A small model with an optimizer and a scheduler, and the step that trains it."""

    def __init__(self, optimizer, scheduler=None, **options):
        gj.manual_seed(0)
        self.model = nn.Linear(3, 2)
        options = {"lr": 0.01, **OPTIMIZERS[optimizer], **options}
        self.optimizer = getattr(optim, optimizer)(self.model.parameters(), **options)
        self.scheduler = scheduler and SCHEDULERS[scheduler](self.optimizer)

    def step(self, x):
        self.optimizer.zero_grad()
        loss = (self.model(x) - 1).pow(2).mean()
        loss.backward()
        self.optimizer.step()
        return loss

    def tick(self, loss):
        """What a training loop does after each step."""
        plateau = isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau)
        self.scheduler.step(*[round(loss.item(), 3)] * plateau)

    @property
    def numbers(self):
        """All that training has changed, in one array."""
        arrays = [self.model.weight, self.model.bias]
        arrays += [t for state in self.optimizer.state.values() for t in state.values()]
        return np.concatenate([t.detach().numpy().ravel() for t in arrays])


def compare(make, change, steps=200):
    """Two trainings, one traced, with the same numbers after each step; returns the traced step."""
    eager, twin = make(), make()
    traced = gj.trace(twin.step)
    for call in range(steps):
        x = gj.sin(gj.arange(12.0) * (1.1 + call)).view(4, 3)
        for training, step in ((eager, eager.step), (twin, traced)):
            change(training, call, step(x).detach())
        np.testing.assert_allclose(twin.numbers, eager.numbers, 1e-4, 1e-5, err_msg=f"step {call}")
    assert twin.optimizer.param_groups[0]["lr"] == eager.optimizer.param_groups[0]["lr"]
    return traced.stats()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_with_every_scheduler(optimizer, scheduler, kernels):
    """Each optimizer under each scheduler: 200 steps, one compile, equal to eager at every step."""
    stats = compare(
        functools.partial(Training, optimizer, scheduler), lambda t, _, loss: t.tick(loss)
    )
    assert (stats["variants"], stats["recordings"], stats["replays"]) == (1, 1, 199)


@pytest.mark.parametrize("scheduler", [s for s in SCHEDULERS if s != "ReduceLROnPlateau"])
@trap(calls=40, variants=1, replays=39, kept=2)
def test_schedulers_stepped_inside(scheduler):
    """A scheduler that is stepped inside the traced function goes on at each call."""
    training = Training("SGD", scheduler)

    def step(x):
        loss = training.step(x.view(1, 4)[:, :3].sin())
        training.scheduler.step()
        return loss.detach()

    return step


NUMBERS = [
    (name, key)
    for name in OPTIMIZERS
    for key, value in getattr(optim, name)([gj.zeros(1)]).defaults.items()
    if isinstance(value, (float, int, tuple)) and not isinstance(value, bool) and key != "foreach"
]


@pytest.mark.parametrize(("optimizer", "key"), NUMBERS)
def test_every_number_set_by_hand(optimizer, key, kernels):
    """`group[key] = v` at every step, for every number of every optimizer, compiles nothing new."""

    def change(training, call, _):
        group = training.optimizer.param_groups[0]
        factor = 1 - 0.002 * (call % 7)
        value = group[key]
        several = isinstance(value, tuple)
        group[key] = tuple(v * factor for v in value) if several else (value or 0.1) * factor

    start = {"SGD": {"dampening": 0.1, "nesterov": False}}.get(optimizer, {})
    defaults = getattr(optim, optimizer)([gj.zeros(1)]).defaults
    if isinstance(defaults[key], (int, float)):
        start = start | {key: OPTIMIZERS[optimizer].get(key) or defaults[key] or 0.1}
    stats = compare(functools.partial(Training, optimizer, **start), change, 50)
    assert stats["variants"] == 1 and stats["replays"] >= 48


@pytest.mark.parametrize(("optimizer", "key"), [
    ("SGD", "weight_decay"), ("SGD", "momentum"), ("Adam", "weight_decay"), ("Adam", "lr"),
    ("RMSprop", "momentum"), ("AdamW", "weight_decay"), ("Adagrad", "lr_decay"),
])  # fmt: skip
def test_numbers_that_cross_zero(optimizer, key, kernels):
    """A number that becomes zero, or ceases to be, costs one recording more and no other change."""

    def change(training, call, _):
        training.optimizer.param_groups[0][key] = 0.0 if call // 25 % 2 else 0.01 + 1e-4 * call

    options = {"nesterov": False} if optimizer == "SGD" else {}
    stats = compare(functools.partial(Training, optimizer, **{key: 0.01}, **options), change)
    assert stats["variants"] <= 2 and stats["replays"] >= 197


@trap(variants=1)
def test_a_learning_rate_that_is_a_tensor():
    """A learning rate may be a tensor, written in place or by a scheduler."""
    weight = nn.Parameter(gj.ones(4))
    optimizer = optim.SGD([weight], lr=gj.tensor(0.1))
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)

    def step(x):
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()

    def change(n):
        if n % 2:
            optimizer.param_groups[0]["lr"].fill_(0.01 * n)
        else:
            scheduler.step()

    return step, change


@trap(variants=1)
def test_numbers_of_other_types():
    """A number may be replaced by an int, or by one of NumPy's, and still be a number."""
    weight = nn.Parameter(gj.ones(4))
    optimizer = optim.Adam([weight], lr=0.5)

    def step(x):
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()

    def change(n):
        optimizer.param_groups[0]["lr"] = (1, np.float64(0.1), np.float32(0.5), 2)[n - 1]

    return step, change


@pytest.mark.parametrize("bad", ["a", "0.5", None, gj.ones(2)], ids=str)
@trap(calls=15, every=3, replays=5)
def test_what_is_no_number(bad):
    """A rate that is no number is an error of the step, after the gradients have been left."""
    weight = nn.Parameter(gj.ones(4))
    optimizer = optim.SGD([weight], lr=0.5)

    def step(x):
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()

    def change(n):
        optimizer.param_groups[0]["lr"] = bad if n % 2 else 0.1

    return step, change


@trap(replays=3)
def test_groups_added_and_removed():
    """Parameter groups and their parameters may be added, exchanged and removed."""
    weights = [nn.Parameter(gj.full((4,), float(k))) for k in range(4)]
    optimizer = optim.Adam(weights[:1], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        sum((w * x).sum() for w in weights).backward()
        optimizer.step()

    def change(n):
        if n == 1:
            optimizer.add_param_group({"params": weights[1:3], "lr": 0.01})
        elif n == 2:
            optimizer.param_groups[0]["params"][0] = weights[3]
        elif n == 3:
            optimizer.param_groups.pop()

    return step, change


@pytest.mark.parametrize("optimizer", ["SGD", "Adagrad"])
@trap(calls=14, every=3, replays=5)
def test_parameters_of_a_group_put_in_as_another_list(optimizer):
    """Another list put in as `group["params"]` is the one that is trained from then on."""
    weights = [nn.Parameter(gj.full((4,), float(k))) for k in range(4)]
    optimizer = getattr(optim, optimizer)(weights[:2], lr=0.1)
    (group,) = optimizer.param_groups

    def step(x):
        optimizer.zero_grad()
        sum((w * x).sum() for w in weights).backward()
        optimizer.step()

    def put_in(n):
        if n == 1:
            group["params"] = weights[1:3]
        elif n == 2:
            group["params"].append(weights[0])
        elif n == 3:
            group.update(params=weights[:1])
        else:
            optimizer.param_groups[0] |= {"params": (weights[0], weights[3])}

    def change(n):
        put_in(n)
        for weight in weights:  # so that all have a state, if the optimizer keeps one
            optimizer.state[weight].setdefault("sum", gj.zeros(4))
            optimizer.state[weight].setdefault("step", gj.tensor(0.0))

    return step, change


def replace(groups, group):
    groups[0] = group


@pytest.mark.parametrize(
    "put_in",
    [
        lambda o, group: replace(o.param_groups, group),
        lambda o, group: setattr(o, "param_groups", [group]),
        lambda o, group: (o.param_groups.clear(), o.param_groups.append(group)),
        lambda o, group: (o.param_groups.clear(), o.param_groups.insert(0, group)),
        lambda o, group: (o.param_groups.clear(), o.param_groups.extend([group])),
        lambda o, group: o.param_groups.__setitem__(slice(None), [group]),
        lambda o, group: (o.param_groups.__iadd__([group]), o.param_groups.pop(0)),
        lambda o, group: o.__setstate__({"param_groups": [group]}),
    ],
)
@trap(calls=12, every=3, replays=3)
def test_groups_put_in_as_plain_dicts(put_in):
    """A plain dict put in among the parameter groups is a group like any other."""
    weights = [nn.Parameter(gj.full((4,), float(k))) for k in range(2)]
    optimizer = optim.Adam(weights[:1], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        sum((w * x).sum() for w in weights).backward()
        optimizer.step()

    def change(n):
        if n < 3:
            params = [weights[-n]]
            put_in(optimizer, {**optimizer.param_groups[0], "lr": 0.1 + n, "params": params})
        else:
            optimizer.param_groups[0]["lr"] = 0.5
            optimizer.param_groups[0]["params"].append(weights[0])

    return step, change


@trap(calls=20, every=4, replays=8)
def test_a_state_put_in_as_plain_dicts():
    """Plain dicts put in as the state, or as that of one parameter, are used from then on."""
    weight = nn.Parameter(gj.ones(4))
    optimizer = optim.SGD([weight], lr=0.1, momentum=0.9)

    def step(x):
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()
        return optimizer.state[weight]["momentum_buffer"] * 1

    def change(n):
        if n == 1:
            optimizer.state = collections.defaultdict(dict)
        elif n == 2:
            optimizer.state[weight] = {"momentum_buffer": gj.ones(4) * 5}
        elif n == 3:
            optimizer.state[weight]["momentum_buffer"] = gj.ones(4) * 7
        else:
            optimizer.state = {weight: {"momentum_buffer": gj.ones(4) * 9}}

    return step, change


@trap(replays=3)
def test_the_state_of_an_optimizer():
    """Optimizer state may be cleared, edited in place, replaced, saved and loaded between calls."""
    weight = nn.Parameter(gj.ones(4))
    optimizer = optim.Adam([weight], lr=0.1)
    saved = []

    def step(x):
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()

    def change(n):
        if n == 1:
            saved.append(optimizer.state_dict())
            optimizer.state[weight]["exp_avg"].zero_()
        elif n == 2:
            optimizer.state[weight]["step"] += 10
            optimizer.state[weight]["exp_avg_sq"] = gj.ones(4)
        elif n == 3:
            optimizer.load_state_dict(saved[0])
        else:
            optimizer.state.clear()

    return step, change


@trap(variants=1)
def test_two_optimizers():
    """Two optimizers that share a traced function keep their numbers apart."""
    a, b = nn.Parameter(gj.ones(4)), nn.Parameter(gj.ones(4))
    first, second = optim.SGD([a], lr=0.1, momentum=0.5), optim.Adam([b], lr=0.1)

    def step(x):
        first.zero_grad()
        second.zero_grad()
        (a * x + b * x).sum().backward()
        first.step()
        second.step()

    def change(n):
        first.param_groups[0]["lr"] = 0.1 / n
        second.param_groups[0]["betas"] = (0.9 - 0.1 * n, 0.99)

    return step, change


@trap
def test_hooks_of_optimizers():
    """Hooks before and after `optimizer.step` may be added, changed and removed."""
    weight, handles, scale = nn.Parameter(gj.ones(4)), [], 1.0
    optimizer = optim.SGD([weight], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()

    def clamp(optimizer, args, kwargs):
        with gj.no_grad():
            weight.clamp_(-scale, scale)

    def change(n):
        nonlocal scale
        scale = 0.1 * n
        if n % 2:
            handles.append(optimizer.register_step_post_hook(clamp))
        else:
            handles.pop().remove()

    return step, change


@trap
def test_closures_of_optimizers():
    """`optimizer.step(closure)` evaluates the closure, and returns its loss."""
    weight, scale = nn.Parameter(gj.ones(4)), 1.0
    optimizer = optim.SGD([weight], lr=0.1)

    def step(x):
        def closure():
            optimizer.zero_grad()
            loss = (weight * x * scale).pow(2).mean()
            loss.backward()
            return loss

        return optimizer.step(closure).detach()

    def change(n):
        nonlocal scale
        scale = 1 / n

    return step, change


@trap(calls=20, every=4, variants=1)
def test_a_number_read_by_the_function():
    """A learning rate that the function itself reads is a number that it sees as it is now."""
    weight = nn.Parameter(gj.ones(4))
    optimizer = optim.SGD([weight], lr=0.1)

    def step(x):
        rate = optimizer.param_groups[0]["lr"]
        optimizer.zero_grad()
        (weight * x * rate).sum().backward()
        optimizer.step()
        return x + rate

    def change(n):
        optimizer.param_groups[0]["lr"] = 0.1 * n

    return step, change


class Signs(optim.Optimizer):
    """An optimizer as users write them."""

    def __init__(self, params, lr, scale=1.0):
        super().__init__(params, {"lr": lr})
        self.scale = scale

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "sum" not in state:
                    state["sum"] = gj.zeros_like(p)
                with gj.no_grad():
                    state["sum"].mul_(0.5).add_(p.grad.sign() * self.scale)
                    p.sub_(group["lr"] * state["sum"])


@trap(calls=20, every=4, replays=9)
def test_optimizers_of_ones_own():
    """What an optimizer of one's own reads is guarded: attributes, groups, parameters and state."""
    a, b = nn.Parameter(gj.ones(4)), nn.Parameter(gj.ones(4))
    optimizer = Signs([a], lr=0.5)

    def step(x):
        optimizer.zero_grad()
        (a * x + b * x).sum().backward()
        optimizer.step()

    def change(n):
        if n == 1:
            optimizer.scale = 3.0
        elif n == 2:
            optimizer.param_groups[0]["lr"] = 0.1
            optimizer.state[a]["sum"] = gj.ones(4)
        elif n == 3:
            optimizer.param_groups[0]["params"].append(b)
        else:
            optimizer.state.clear()

    return step, change


@trap
def test_a_step_that_is_replaced():
    """An `optimizer.step` that is replaced, on the object or the class, is the one that runs."""
    weight = nn.Parameter(gj.ones(4))
    optimizer = Signs([weight], lr=0.5)
    plain = optimizer.step

    def step(x):
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()

    def change(n):
        if n % 2:
            optimizer.step = lambda: (plain(), plain())
        else:
            del optimizer.step

    return step, change


def only_half(optimizer, closure=None):
    """A step that users put in the place of one of graphjit's."""
    with gj.no_grad():
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.sub_(p.grad * 0.5)


def keep_some(optimizer, set_to_none=True):
    """The same for `zero_grad`."""
    with gj.no_grad():
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.mul_(0.25)


@pytest.mark.parametrize(
    ("cls", "name", "method"),
    [
        (optim.SGD, "step", only_half),
        (optim.SGD, "zero_grad", keep_some),
        (optim.SGD, "zero_grad", functools.partial(print, end="")),
        (optim.Optimizer, "zero_grad", keep_some),
        (nn.Linear, "__call__", lambda module, x: module.forward(x) * 3),
        (nn.Module, "__call__", lambda module, x: module.forward(x) * 3),
        (nn.Module, "parameters", lambda module: iter([module.bias])),
    ],
)
@pytest.mark.parametrize("optimizer", ["SGD", "Signs"])
def test_methods_patched_on_classes(cls, name, method, optimizer):
    """Another method put on `optim.SGD`, `nn.Module` and their like is the one that runs."""
    own = {key: value for key, value in vars(cls).items() if key == name}

    def restore():
        if own:
            setattr(cls, name, own[name])
        elif name in vars(cls):
            delattr(cls, name)

    @trap(calls=12, every=3, replays=4)
    def patch():
        model = nn.Linear(4, 1)
        kind = {"SGD": optim.SGD, "Signs": Signs}[optimizer]
        optimized = kind(model.parameters(), lr=0.01)

        def step(x):
            optimized.zero_grad()
            loss = model(x).sum() + sum(p.sum() for p in model.parameters())
            loss.backward()
            optimized.step()
            return loss.detach()

        def change(n):
            if n % 2:
                setattr(cls, name, method)
            else:
                restore()

        return step, change

    try:
        patch()
    finally:
        restore()


@trap
def test_what_a_scheduler_says():
    """`scheduler.last_epoch` and its like, read by the function, are what they are at each call."""
    weight = nn.Parameter(gj.ones(4))
    optimizer = optim.SGD([weight], lr=0.1)
    scheduler = lr_scheduler.StepLR(optimizer, 2)

    def step(x):
        return x * scheduler.last_epoch + scheduler.get_last_lr()[0]

    def change(n):
        optimizer.step()
        scheduler.step()
        scheduler.step()

    return step, change


@pytest.mark.parametrize("scheduler", [s for s in SCHEDULERS if s != "ReduceLROnPlateau"])
@trap(calls=20, variants=1, replays=19, kept=20)
def test_rates_returned_after_the_step_of_a_scheduler(scheduler):
    """A rate that is read after its scheduler has stepped, and returned, is the new one."""
    training = Training("SGD", scheduler)

    def step(x):
        before = training.optimizer.param_groups[0]["lr"]
        loss = training.step(x.view(1, 4)[:, :3].sin())
        training.scheduler.step()
        after = training.optimizer.param_groups[0]["lr"]
        return loss.detach(), {"lr": (before, after, *training.scheduler.get_last_lr())}

    return step


def after_stepping(use):
    """A step that does something with a rate after its scheduler has stepped."""
    training = Training("SGD", "ExponentialLR")
    training.seen = 0.0

    def step(x):
        training.step(x.view(1, 4)[:, :3].sin())
        training.scheduler.step()
        return use(training, x)

    return step


@pytest.mark.parametrize(
    "use",
    [
        lambda t, x: t.optimizer.param_groups[0]["lr"] * 2,
        lambda t, x: x * t.optimizer.param_groups[0]["lr"],
        lambda t, x: x + (t.scheduler.get_last_lr()[0] < 0.009),
        lambda t, x: round(t.optimizer.param_groups[0].get("lr"), 3),
        lambda t, x: t.scheduler.last_epoch,
        lambda t, x: t.scheduler.state_dict()["last_epoch"],
        lambda t, x: setattr(t, "seen", t.optimizer.param_groups[0]["lr"]),
        lambda t, x: (t.optimizer.param_groups[0]["lr"], t.scheduler.step()),
        lambda t, x: t.step(x.view(1, 4)[:, :3]).detach(),
    ],
)
@trap(replays=0, eager="after .* step|has stepped")
def test_rates_used_after_the_step_of_a_scheduler(use):
    """What computes with a rate after its scheduler has stepped runs eagerly."""
    return after_stepping(use)


@trap(calls=20, every=4)
def test_rates_of_other_types_read_by_the_function():
    """A rate that the function reads may become an integer or a tensor, and a float again."""
    weight = nn.Parameter(gj.ones(4))
    optimizer = optim.SGD([weight], lr=0.1)

    def step(x):
        group = optimizer.param_groups[0]
        return x * group["lr"], isinstance(group["lr"], float), group.get("momentum"), "lr" in group

    def change(n):
        optimizer.param_groups[0]["lr"] = (0.2, 1, gj.tensor(0.5), 0.3)[n - 1]

    return step, change


@trap(calls=20, every=4)
def test_rates_that_become_equal_ones_of_another_type():
    """A rate of 1.0 may become 1, or 0.0 become -0.0: both are equal, and not the same."""
    weight = nn.Parameter(gj.ones(4))
    optimizer = optim.SGD([weight], lr=1.0)

    def step(x):
        group = optimizer.param_groups[0]
        return isinstance(group["lr"], float), gj.full((1,), 1.0) / group["lr"], str(group["lr"])

    def change(n):
        optimizer.param_groups[0]["lr"] = (1, 1.0, 0.0, -0.0)[n - 1]

    return step, change


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@trap(arguments=lambda call: (gj.arange(4.0) + call, 0.1 / (1 + call), call % 2), replays=6)
def test_rates_set_by_the_function(optimizer):
    """A rate that the function sets, from an argument or from what it was, is that of its step."""
    training = Training(optimizer)
    (group,) = training.optimizer.param_groups

    def change(n):
        group["lr"] = 0.05 * n

    def step(x, rate, call):
        before = group["lr"]
        group["lr"] = rate if call else before * 0.5
        loss = training.step(x.view(1, 4)[:, :3].sin())
        return loss.detach(), before, group["lr"], "lr" in group

    return step, change


@trap(calls=12, replays=3, eager="set inside")
def test_rates_set_to_zero():
    """A rate that becomes zero, or becomes another type of number, is that from then on."""
    training = Training("SGD")
    (group,) = training.optimizer.param_groups
    rates = [0.1, 0.1, 0.1, 0.0, 0.0, 0.0, 1, 1, 0.2, 0.2, 0.2, 0.2]

    def step(x):
        group["lr"] = rates[training.count]
        training.step(x.view(1, 4)[:, :3].sin())
        group.update(weight_decay=0.5 * group["lr"])

    def change(n):
        training.count = 2 * n

    training.count = 0
    return step, change


@trap(replays=0, eager="set inside|has stepped")
def test_rates_set_after_the_step_of_a_scheduler():
    """A rate that the function sets after its scheduler has stepped is set by every call."""

    def use(training, x):
        training.optimizer.param_groups[0]["lr"] = 0.5

    return after_stepping(use)


@trap
def test_rates_set_in_one_branch():
    """A rate that only one branch sets stays what it was in the other."""
    training = Training("Adam")
    (group,) = training.optimizer.param_groups

    def step(x):
        if x.sum() > 20:
            group["lr"] = group["lr"] * 0.5
        training.step(x.view(1, 4)[:, :3].sin())
        if group["lr"] < 0.004:
            group["lr"] = 0.01
        return group["lr"]

    return step
