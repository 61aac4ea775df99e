"""Traced training steps against the same steps run eagerly, for every optimizer and scheduler."""

from collections import defaultdict

import numpy as np
import pytest

import graphjit
from graphjit import config, nn, optim
from graphjit.nn import functional as F

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1}),
    ("RMSprop", {"centered": True, "momentum": 0.9}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
    ("Adadelta", {}),
    ("Adamax", {}),
    ("Rprop", {"lr": 0.1}),
]


@pytest.fixture(autouse=True)
def interpreted():
    """Graphs are interpreted: what is tested is what was recorded, not the kernels."""
    before = config.override("BACKEND", "interp")
    yield
    config.override("BACKEND", before)


class Training:
    """A model with an optimizer, stepped eagerly or by a traced function."""

    def __init__(self, traced, name="SGD", schedule=None, **options):
        graphjit.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        self.x, self.y = graphjit.randn(5, 3), graphjit.randn(5, 2)
        self.optimizer = getattr(optim, name)(self.model.parameters(), **options)
        self.scheduler = schedule(self.optimizer) if schedule else None
        self.step = self._step()
        if traced:
            self.step = graphjit.trace(self.step)

    def _step(self):
        model, optimizer, scheduler = self.model, self.optimizer, self.scheduler

        def step(x, y):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            return loss

        return step

    def run(self, steps):
        losses = [self.step(self.x, self.y).item() for _ in range(steps)]
        return [*losses, *(p.detach().numpy().copy() for p in self.model.parameters())]

    @property
    def recordings(self):
        return len(self.step.attempts)


def _both(*args, **options):
    return Training(False, *args, **options), Training(True, *args, **options)


def _assert_equal_after(eager, traced, steps):
    for expected, found in zip(eager.run(steps), traced.run(steps), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_traced_steps_are_eager_steps(name, options):
    eager, traced = _both(name, **options)
    _assert_equal_after(eager, traced, 8)
    assert traced.recordings == (2 if options.get("dampening") else 1)


@pytest.mark.parametrize(("name", "changes"), [
    ("SGD", {"lr": 0.02}), ("Adam", {"lr": 0.02, "betas": (0.5, 0.8), "eps": 0.01}),
    ("AdamW", {"weight_decay": 0.5}), ("RMSprop", {"alpha": 0.5}),
])  # fmt: skip
def test_numbers_change_without_a_new_recording(name, changes):
    eager, traced = _both(name, lr=0.1)
    for training in (eager, traced):
        training.run(3)
        training.optimizer.param_groups[0].update(changes)
    _assert_equal_after(eager, traced, 3)
    assert traced.recordings == 1


@pytest.mark.parametrize(("name", "changes"), [
    ("SGD", {"weight_decay": 0.1}), ("SGD", {"momentum": 0.9}), ("Adam", {"maximize": True}),
    ("SGD", {"momentum": 0.9, "nesterov": True}), ("Adam", {"amsgrad": True}),
])  # fmt: skip
def test_a_branch_that_flips_is_recorded_anew(name, changes):
    eager, traced = _both(name, lr=0.1)
    for training in (eager, traced):
        training.run(3)
        for key, value in changes.items():
            training.optimizer.param_groups[0][key] = value
    _assert_equal_after(eager, traced, 3)
    assert traced.recordings == 2


def _drop_state(training):
    training.optimizer.state = defaultdict(dict)


def _clear_state(training):
    training.optimizer.state.clear()


def _reload(training):
    training.optimizer.load_state_dict(training.optimizer.state_dict())


def _drop_entry(training):
    del training.optimizer.state[next(training.model.parameters())]


def _replace_buffer(training):
    state = training.optimizer.state[next(training.model.parameters())]
    state["exp_avg"] = graphjit.ones_like(state["exp_avg"])


def _add_group(training):
    graphjit.manual_seed(1)
    training.model.extra = nn.Linear(2, 2)
    training.optimizer.add_param_group({"params": training.model.extra.parameters()})


def _freeze(training):
    training.model[0].requires_grad_(False)


def _swap_parameter(training):
    training.model[2].bias = nn.Parameter(graphjit.zeros(2))
    training.optimizer.param_groups[0]["params"][3] = training.model[2].bias


@pytest.mark.parametrize("change", [
    _drop_state, _clear_state, _reload, _drop_entry, _replace_buffer, _add_group, _freeze,
    _swap_parameter,
])  # fmt: skip
def test_a_replay_sees_what_changed_in_the_optimizer(change):
    eager, traced = _both("Adam", lr=0.1)
    for training in (eager, traced):
        training.run(3)
        change(training)
    _assert_equal_after(eager, traced, 3)


@pytest.mark.parametrize("schedule", [
    lambda o: optim.lr_scheduler.StepLR(o, 2), lambda o: optim.lr_scheduler.ExponentialLR(o, 0.8),
    lambda o: optim.lr_scheduler.OneCycleLR(o, 0.5, 30),
    lambda o: optim.lr_scheduler.SequentialLR(
        o,
        [optim.lr_scheduler.ConstantLR(o, 0.1, 9), optim.lr_scheduler.ExponentialLR(o, 0.5)],
        [3],
    ),
])  # fmt: skip
def test_a_scheduler_steps_at_each_replay(schedule):
    eager, traced = _both("Adam", schedule=schedule, lr=0.1)
    _assert_equal_after(eager, traced, 7)
    assert traced.scheduler.get_last_lr() == eager.scheduler.get_last_lr()
    assert traced.scheduler.last_epoch == 7
    assert traced.recordings == 1


def test_an_optimizer_that_steps_after_its_scheduler_stays_right():
    """The rate of the second step is not the one that the replay reads at its start."""

    def losses(trace):
        training = Training(False, "SGD", lr=0.4)
        scheduler = optim.lr_scheduler.ExponentialLR(training.optimizer, 0.5)
        inner = training.step

        def twice(x, y):
            inner(x, y)
            scheduler.step()
            return inner(x, y)

        step = graphjit.trace(twice) if trace else twice
        return [step(training.x, training.y).item() for _ in range(4)]

    with pytest.warns(UserWarning, match="after its scheduler has stepped"):
        found = losses(True)
    np.testing.assert_allclose(found, losses(False), rtol=1e-6)


def test_a_rate_set_inside_the_function_stays_right():
    def losses(trace):
        training = Training(False, "SGD", lr=0.4)
        inner = training.step

        def step(x, y):
            training.optimizer.param_groups[0]["lr"] *= 0.5
            return inner(x, y)

        step = graphjit.trace(step) if trace else step
        found = [step(training.x, training.y).item() for _ in range(4)]
        assert not trace or step.stats()["replays"] == 3
        return [*found, training.optimizer.param_groups[0]["lr"]]

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-6)


def test_a_rate_read_by_the_function_is_guarded():
    def results(trace):
        training = Training(False, "SGD", lr=0.4)
        inner = training.step

        def step(x, y):
            return inner(x, y).detach() * training.optimizer.param_groups[0]["lr"]

        step = graphjit.trace(step) if trace else step
        found = []
        for rate in (0.4, 0.4, 0.2, 0.1):
            training.optimizer.param_groups[0]["lr"] = rate
            found.append(step(training.x, training.y).item())
        return found

    np.testing.assert_allclose(results(True), results(False), rtol=1e-6)


class SignDescent(optim.Optimizer):
    """An optimizer as users write them."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @graphjit.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["mean"] = graphjit.zeros_like(parameter)
                state["mean"].mul_(0.5).add_(parameter.grad)
                parameter.add_(state["mean"].sign(), alpha=-group["lr"])


def test_a_users_own_optimizer():
    pair = []
    for traced in (False, True):
        training = Training(False)
        training.optimizer = SignDescent(training.model.parameters())
        training.step = training._step()
        if traced:
            training.step = graphjit.trace(training.step)
        pair.append(training)
    _assert_equal_after(*pair, 4)
    for training in pair:
        training.optimizer.param_groups[0]["lr"] = 0.01
    _assert_equal_after(*pair, 3)


@pytest.mark.parametrize("clip", ["norm", "value"])
def test_clipping_in_a_traced_step(clip):
    def losses(trace):
        training = Training(False)
        model, optimizer = training.model, optim.SGD(training.model.parameters(), lr=0.5)

        def step(x, y):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            if clip == "norm":
                nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            else:
                nn.utils.clip_grad_value_(model.parameters(), 0.05)
            optimizer.step()
            return loss

        step = graphjit.trace(step) if trace else step
        return [step(training.x, training.y).item() for _ in range(5)]

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-5)


@pytest.mark.parametrize("rate", [graphjit.tensor([0.5]), graphjit.zeros(0), graphjit.ones(2)])
def test_a_rate_that_is_a_tensor(rate):
    """While recorded, a rate of one dimension, or of other than one element, was broadcast."""

    def outcome(trace):
        p = graphjit.tensor(2.0, requires_grad=True)
        optimizer = optim.SGD([p], lr=0.1)
        optimizer.param_groups[0]["lr"] = rate

        def step():
            p.grad = p.detach() * 3
            optimizer.step()
            return p.detach() * 1

        step = graphjit.trace(step) if trace else step
        try:
            return [step().item() for _ in range(3)]
        except RuntimeError as error:
            return str(error).splitlines()[0]

    assert outcome(True) == outcome(False)


class Counting(optim.Optimizer):
    """A user's optimizer, which counts its steps and says that it has been stepped."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})
        self.count, self.stepped = 0, False

    @graphjit.no_grad()
    def step(self):
        self.count += 1
        self.stepped = True
        for parameter in self.param_groups[0]["params"]:
            parameter.sub_(parameter.grad, alpha=self.param_groups[0]["lr"] / self.count)


def test_attributes_of_an_optimizer_are_assigned_at_replays():
    """What replays set to the value that it had already stayed what others had made of it."""

    def run(traced):
        weight = graphjit.ones(3, requires_grad=True)
        optimizer, seen = Counting([weight]), []

        def step():
            optimizer.zero_grad()
            (weight**2).sum().backward()
            optimizer.step()

        step = graphjit.trace(step) if traced else step
        for number in range(8):
            step()
            seen.append((optimizer.count, optimizer.stepped, weight.tolist()))
            if number == 4:
                optimizer.count, optimizer.stepped = 20, False
        if traced:
            assert step.stats()["replays"] > 3
        return seen

    found, expected = run(traced=True), run(traced=False)
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    np.testing.assert_allclose([r[2] for r in found], [r[2] for r in expected], rtol=1e-6)
