"""Optimizers and schedulers against PyTorch's: twenty steps, text, state, rates, errors."""

import copy
import warnings

import numpy as np
import pytest

import graphjit
from graphjit import nn, optim
from graphjit.ops import native

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

OPTIMIZERS = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1, "betas": (0.7, 0.9)}),
    ("Adam", {"lr": 0.1, "maximize": True, "eps": 1e-3}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.2}),
    ("AdamW", {"lr": 0.1, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "weight_decay": 0.1, "alpha": 0.8}),
    ("RMSprop", {"momentum": 0.5, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1,
                 "initial_accumulator_value": 0.5}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.4, 1.3), "step_sizes": (1e-3, 0.3)}),
]
IDS = [f"{name} {options}" for name, options in OPTIMIZERS]


class Problem:
    """Two parameters and a quadratic loss of them, in one library."""

    def __init__(self, library, dtype):
        rng = np.random.default_rng(0)
        self.library = library
        self.parameters = [
            library.from_numpy(rng.standard_normal(shape).astype(dtype)).requires_grad_()
            for shape in ((3, 2), (4,))
        ]
        self.targets = [
            library.from_numpy(rng.standard_normal(p.shape).astype(dtype)) for p in self.parameters
        ]

    def backward(self):
        loss = 0
        for parameter, target in zip(self.parameters, self.targets, strict=True):
            loss = loss + ((parameter - target) ** 2 * (target + 2)).sum()
        loss.backward()
        return loss

    def arrays(self):
        return [p.detach().numpy() for p in self.parameters]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=IDS)
def test_large_parameters_are_updated_by_one_loop(monkeypatch, name, options):
    """As PyTorch does, to the last bits, and in place."""
    compiler, made = native._compilers[0], []

    def noted(*key):
        made.append(compiler(*key))
        return made[-1]

    monkeypatch.setattr(native, "_compilers", [noted])
    start, *gradients = np.random.default_rng(0).standard_normal((4, 101, 100))
    found = []
    for library in (graphjit, torch):
        parameter = library.nn.Parameter(library.from_numpy(start.copy()))
        place = parameter.data_ptr()
        optimizer = getattr(library.optim, name)([parameter], **options)
        for gradient in gradients:
            parameter.grad = library.from_numpy(gradient)
            optimizer.step()
        assert parameter.data_ptr() == place
        state = optimizer.state[parameter]
        found.append([parameter.detach().numpy(), *(
            value.numpy() for value in state.values() if value is not None and value.ndim
        )])  # fmt: skip
    assert len(made) == 3 and None not in made
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-12, 1e-14)


def _train(problem, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        problem.backward()
        optimizer.step()


def _pair(name, options, dtype=np.float32):
    for library in (graphjit, torch):
        problem = Problem(library, dtype)
        yield problem, getattr(library.optim, name)(problem.parameters, **options)


def _state(optimizer):
    """The state dict with arrays for tensors."""
    saved = copy.deepcopy(optimizer.state_dict())
    for entries in saved["state"].values():
        for key, value in entries.items():
            entries[key] = value.numpy() if hasattr(value, "numpy") else value
    return saved


def _assert_close(found, expected, rtol=1e-6, atol=1e-6):
    for a, b in zip(found, expected, strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=IDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_twenty_steps(name, options, dtype):
    (mine, my_optimizer), (theirs, their_optimizer) = _pair(name, options, dtype)
    assert repr(my_optimizer) == repr(their_optimizer)
    _train(mine, my_optimizer, 20)
    _train(theirs, their_optimizer, 20)
    tolerance = 2e-6 if dtype == np.float32 else 1e-12
    _assert_close(mine.arrays(), theirs.arrays(), tolerance, tolerance)
    found, expected = _state(my_optimizer), _state(their_optimizer)
    assert found["param_groups"] == expected["param_groups"]
    assert found["state"].keys() == expected["state"].keys()
    for key, entries in expected["state"].items():
        assert found["state"][key].keys() == entries.keys()
        for entry, value in entries.items():
            _assert_close([found["state"][key][entry]], [value], 2e-5, 1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name, options in OPTIMIZERS if "weight_decay" not in options],
)
def test_state_wider_than_the_parameters_keeps_its_precision(name, options):
    (mine, my_optimizer), (theirs, their_optimizer) = _pair(name, options, np.float64)
    for problem, optimizer in ((mine, my_optimizer), (theirs, their_optimizer)):
        _train(problem, optimizer, 2)
        for parameter in problem.parameters:
            parameter.data = parameter.data.float()
        optimizer.step()
        optimizer.step()
    found, expected = _state(my_optimizer), _state(their_optimizer)
    for key, entries in expected["state"].items():
        for entry, value in entries.items():
            _assert_close([found["state"][key][entry]], [value], 1e-12, 1e-12)
    _assert_close(mine.arrays(), theirs.arrays(), 1e-6, 1e-6)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=IDS)
def test_training_goes_on_from_saved_state(name, options):
    problem = Problem(graphjit, np.float32)
    optimizer = getattr(optim, name)(problem.parameters, **options)
    _train(problem, optimizer, 5)
    again = Problem(graphjit, np.float32)
    for copied, parameter in zip(again.parameters, problem.parameters, strict=True):
        copied.data.copy_(parameter.data)
    restored = getattr(optim, name)(again.parameters, lr=7.0)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _train(problem, optimizer, 5)
    _train(again, restored, 5)
    _assert_close(again.arrays(), problem.arrays(), 0, 0)


def test_state_from_pytorch_loads():
    (mine, my_optimizer), (theirs, their_optimizer) = _pair("Adam", {"lr": 0.1})
    _train(mine, my_optimizer, 3)
    _train(theirs, their_optimizer, 3)
    saved = copy.deepcopy(their_optimizer.state_dict())
    for entries in saved["state"].values():
        for key, value in entries.items():
            entries[key] = graphjit.from_numpy(value.numpy().copy())
    my_optimizer.load_state_dict(saved)
    _train(mine, my_optimizer, 3)
    _train(theirs, their_optimizer, 3)
    _assert_close(mine.arrays(), theirs.arrays(), 2e-6, 2e-6)


SCHEDULERS = [
    ("StepLR", (3,), {}),
    ("MultiStepLR", ([2, 5, 5],), {"gamma": 0.5}),
    ("ConstantLR", (), {}),
    ("LinearLR", (0.3,), {"total_iters": 4}),
    ("ExponentialLR", (0.9,), {}),
    ("PolynomialLR", (7, 2.0), {}),
    ("CosineAnnealingLR", (5,), {"eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", (3, 2), {}),
    ("LambdaLR", (lambda epoch: 0.95**epoch,), {}),
    ("MultiplicativeLR", (lambda epoch: 0.9,), {}),
    ("OneCycleLR", (1.0, 20), {}),
    ("OneCycleLR", (1.0, 20), {"three_phase": True, "anneal_strategy": "linear"}),
    ("CyclicLR", (0.1, 1.0, 3), {"mode": "triangular2"}),
    ("CyclicLR", (0.1, 1.0, 3, 2), {"mode": "exp_range", "gamma": 0.9}),
]


def _optimizer(library, name="SGD"):
    parameter = library.nn.Parameter(library.ones(2))
    options = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(library.optim, name)([parameter], lr=0.4, **options)


def _rates(library, make, steps, name="SGD"):
    optimizer = _optimizer(library, name)
    scheduler = make(library.optim.lr_scheduler, optimizer)
    for _ in range(steps):
        group = optimizer.param_groups[0]
        yield group["lr"], group.get("momentum"), group.get("betas"), scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(("name", "args", "options"), SCHEDULERS)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_rates(name, args, options, optimizer):
    def make(schedulers, target):
        return getattr(schedulers, name)(target, *args, **options)

    assert list(_rates(graphjit, make, 18, optimizer)) == list(_rates(torch, make, 18, optimizer))


def test_rates_of_schedulers_in_a_row():
    def make(schedulers, target):
        first = schedulers.ConstantLR(target, 0.1, 100)
        return schedulers.SequentialLR(target, [first, schedulers.ExponentialLR(target, 0.5)], [3])

    assert list(_rates(graphjit, make, 8)) == list(_rates(torch, make, 8))


def test_rates_of_chained_schedulers():
    def make(schedulers, target):
        parts = [schedulers.ConstantLR(target, 0.1, 2), schedulers.ExponentialLR(target, 0.5)]
        return schedulers.ChainedScheduler(parts)

    assert list(_rates(graphjit, make, 8)) == list(_rates(torch, make, 8))


@pytest.mark.parametrize("options", [
    {"factor": 0.1, "patience": 1}, {"mode": "max", "patience": 2, "cooldown": 2},
    {"threshold_mode": "abs", "threshold": 0.5, "patience": 0, "min_lr": 0.05},
])  # fmt: skip
def test_rates_on_a_plateau(options):
    found = []
    for library in (graphjit, torch):
        optimizer = _optimizer(library)
        scheduler = library.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        rates = []
        for metric in (3, 2, 2, 2, 2, 1.8, 5, 5, 5, 1, 1, 1, 1.0):
            scheduler.step(metric)
            rates.append((optimizer.param_groups[0]["lr"], scheduler.num_bad_epochs))
        found.append(rates)
    assert found[0] == found[1]


def test_a_given_epoch_uses_the_closed_form():
    found = []
    for library in (graphjit, torch):
        scheduler = library.optim.lr_scheduler.CosineAnnealingLR(_optimizer(library), 10)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler.step(4)
        found.append(scheduler.get_last_lr())
    assert found[0] == found[1]


def test_scheduler_state_round_trip():
    optimizer = _optimizer(graphjit)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    optimizer.step()
    for _ in range(4):
        scheduler.step()
    other = optim.lr_scheduler.CosineAnnealingLR(_optimizer(graphjit), 99)
    other.load_state_dict(scheduler.state_dict())
    assert (other.T_max, other.last_epoch) == (10, 4)
    assert other.get_last_lr() == scheduler.get_last_lr()


ERRORS = [
    lambda lib: lib.optim.SGD(lib.ones(2)),
    lambda lib: lib.optim.SGD([]),
    lambda lib: lib.optim.SGD([lib.ones(2)], lr=-1.0),
    lambda lib: lib.optim.SGD([lib.ones(2)], momentum=-1.0),
    lambda lib: lib.optim.SGD([lib.ones(2)], nesterov=True),
    lambda lib: lib.optim.SGD([3]),
    lambda lib: lib.optim.SGD([{"params": {1, 2}}]),
    lambda lib: lib.optim.SGD([lib.ones(2).requires_grad_() * 2]),
    lambda lib: lib.optim.SGD([("a", lib.ones(2)), lib.ones(2)]),
    lambda lib: _twice_the_same(lib),
    lambda lib: lib.optim.Adam([lib.ones(2)], betas=(1.0, 0.9)),
    lambda lib: lib.optim.Adam([lib.ones(2)], betas=(0.5, 1.9)),
    lambda lib: lib.optim.Adam([lib.ones(2)], eps=-1.0),
    lambda lib: lib.optim.AdamW([lib.ones(2)], weight_decay=-1.0),
    lambda lib: lib.optim.RMSprop([lib.ones(2)], alpha=-1.0),
    lambda lib: lib.optim.Adagrad([lib.ones(2)], initial_accumulator_value=-1.0),
    lambda lib: lib.optim.Adadelta([lib.ones(2)], rho=1.5),
    lambda lib: lib.optim.Rprop([lib.ones(2)], etas=(1.5, 2.0)),
    lambda lib: _optimizer(lib).add_param_group([1]),
    lambda lib: _optimizer(lib).load_state_dict({"state": {}, "param_groups": []}),
    lambda lib: _optimizer(lib).load_state_dict({"state": {}, "param_groups": [{"params": []}]}),
    lambda lib: lib.optim.lr_scheduler.StepLR(3, 1),
    lambda lib: lib.optim.lr_scheduler.LinearLR(_optimizer(lib), start_factor=0.0),
    lambda lib: lib.optim.lr_scheduler.LambdaLR(_optimizer(lib), [abs, abs]),
    lambda lib: lib.optim.lr_scheduler.ReduceLROnPlateau(_optimizer(lib), factor=1.0),
    lambda lib: lib.optim.lr_scheduler.ReduceLROnPlateau(_optimizer(lib), mode="best"),
]  # fmt: skip


def _twice_the_same(library):
    tensor = library.ones(2)
    return library.optim.SGD([{"params": [tensor]}, {"params": [tensor]}])


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors(number):
    found = []
    for library in (graphjit, torch):
        with pytest.raises(Exception) as caught:
            ERRORS[number](library)
        text = str(caught.value).split("\n  in ")[0]
        found.append((caught.type, text.replace("graphjit.", "torch.")))
    assert found[0] == found[1]


@pytest.mark.parametrize("rate", ["0.5", None, [0.5]])
def test_rates_that_are_no_numbers(rate):
    """A rate of "0.5" was taken for 0.5."""
    messages = []
    for library in (graphjit, torch):
        parameter = library.ones(2, requires_grad=True)
        optimizer = library.optim.SGD([parameter], lr=0.1)
        optimizer.param_groups[0]["lr"] = rate
        parameter.sum().backward()
        with pytest.raises(TypeError) as caught:
            optimizer.step()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_named_parameters():
    found = []
    for library in (graphjit, torch):
        named = [("a", library.ones(2)), ("b", library.zeros(1))]
        optimizer = library.optim.SGD(named, lr=0.1)
        found.append((optimizer.state_dict()["param_groups"], repr(optimizer)))
    assert found[0] == found[1]


def test_clipping():
    found = []
    for library in (graphjit, torch):
        problem = Problem(library, np.float32)
        problem.backward()
        norm = library.nn.utils.clip_grad_norm_(problem.parameters, 1.0)
        clipped = [p.grad.numpy().copy() for p in problem.parameters]
        library.nn.utils.clip_grad_value_(problem.parameters, 0.1)
        found.append([norm.numpy(), *clipped, *(p.grad.numpy() for p in problem.parameters)])
    _assert_close(*found)


def test_parameter_is_an_ordinary_tensor_to_pytorch_style_code():
    layer = nn.Linear(2, 2)
    for parameter in layer.parameters():
        assert isinstance(parameter, graphjit.Tensor) and parameter.is_leaf


@pytest.mark.parametrize(
    "look",
    [
        lambda state, p: len(state.keys()), lambda state, p: state == {},
        lambda state, p: len({**state}), lambda state, p: p in dict(state),
        lambda state, p: len(state | {}), lambda state, p: len(state[p]) + len(state),
    ],
)  # fmt: skip
def test_a_traced_function_that_looks_at_the_state(look):
    """Keys, comparisons and copies of the state were those of the recorded call."""
    p = graphjit.ones(2, requires_grad=True)
    optimizer = graphjit.optim.SGD([p], lr=0.1)
    function = lambda x: look(optimizer.state, p)
    traced = graphjit.trace(function)
    for entries in ({}, {}, {"z": 1}, {"z": 1}, None, {}):
        optimizer.state.clear()
        if entries is not None:
            optimizer.state[p] = entries
        found = traced(graphjit.ones(1)), len(optimizer.state)
        optimizer.state.clear()
        if entries is not None:
            optimizer.state[p] = entries
        assert found == (function(graphjit.ones(1)), len(optimizer.state))


def test_a_rate_that_has_become_a_tensor():
    """What `get_last_lr` gives a traced function stayed what it was."""
    optimizer = graphjit.optim.SGD([graphjit.ones(2, requires_grad=True)], lr=0.1)
    scheduler = graphjit.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    traced = graphjit.trace(lambda x: x * scheduler.get_last_lr()[0])
    for number in range(6):
        if number == 3:
            optimizer.param_groups[0]["lr"] = graphjit.tensor(0.3)
        expected = graphjit.ones(1) * scheduler.get_last_lr()[0]
        assert graphjit.equal(traced(graphjit.ones(1)), expected)
        optimizer.step()
        scheduler.step()
