"""One or a few steps of each optimizer against its formula in NumPy, and what needs no peer."""

import copy
import pickle

import numpy as np
import pytest

import graphjit
from graphjit import nn, optim
from graphjit.frontend.state import VERSIONS
from graphjit.optim import optimizer as driver

START = np.array([1.0, -2.0, 3.0])


def _steps(name, gradients, **options):
    parameter = nn.Parameter(graphjit.from_numpy(START.copy()))
    optimizer = getattr(optim, name)([parameter], **options)
    for gradient in gradients:
        parameter.grad = graphjit.from_numpy(np.array(gradient))
        optimizer.step()
    return parameter.detach().numpy()


G1, G2 = np.array([0.5, -1.0, 2.0]), np.array([-1.0, 0.25, 1.0])


def test_sgd():
    np.testing.assert_allclose(_steps("SGD", [G1], lr=0.1), START - 0.1 * G1)
    expected = START - 0.1 * G1
    expected -= 0.1 * (0.9 * G1 + 0.5 * G2)
    np.testing.assert_allclose(
        _steps("SGD", [G1, G2], lr=0.1, momentum=0.9, dampening=0.5), expected
    )


def test_adam():
    p, m, v = START.copy(), 0, 0
    for step, g in enumerate((G1, G2, G1), 1):
        g = g + 0.1 * p
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * g * g
        p = p - 0.05 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8)
    found = _steps("Adam", [G1, G2, G1], lr=0.05, betas=(0.9, 0.99), weight_decay=0.1)
    np.testing.assert_allclose(found, p, rtol=1e-12)


def test_adamw_decays_the_parameter_itself():
    plain = _steps("Adam", [G1], lr=0.1)
    decayed = _steps("AdamW", [G1], lr=0.1, weight_decay=0.5)
    np.testing.assert_allclose(decayed, plain - 0.05 * START)


def test_rmsprop():
    v = 0.01 * G1**2
    expected = START - 0.1 * G1 / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(_steps("RMSprop", [G1], lr=0.1), expected)


def test_adagrad():
    p, total = START.copy(), 0
    for g in (G1, G2):
        total = total + g * g
        p = p - 0.1 * g / (np.sqrt(total) + 1e-10)
    np.testing.assert_allclose(_steps("Adagrad", [G1, G2], lr=0.1), p)


def test_adamax():
    np.testing.assert_allclose(_steps("Adamax", [G1], lr=0.1), START - 0.1 * np.sign(G1), 1e-7)


def test_rprop():
    expected = START - 0.1 * np.sign(G1)
    same = np.sign(G1) == np.sign(G2)
    expected -= np.where(same, 0.12 * np.sign(G2), 0)
    np.testing.assert_allclose(_steps("Rprop", [G1, G2], lr=0.1), expected)


def test_large_tensors_are_updated_block_by_block(monkeypatch):
    """The same numbers whatever the blocks."""
    rng = np.random.default_rng(0)
    start, gradient = rng.standard_normal((2, 40, 50)).astype(np.float32)

    def run(block):
        monkeypatch.setattr(driver, "BLOCK", block)
        parameters = [nn.Parameter(graphjit.from_numpy(a)) for a in (start.copy(), start.T.copy())]
        optimizer = optim.Adam(parameters, lr=0.1)
        for _ in range(3):
            for parameter, g in zip(parameters, (gradient, gradient.T), strict=True):
                parameter.grad = graphjit.from_numpy(g)
            optimizer.step()
        return [p.detach().numpy() for p in parameters]

    for small, large in zip(run(7), run(10**6), strict=True):
        np.testing.assert_array_equal(small, large)


def test_a_gradient_that_overlaps_its_parameter_is_updated_without_a_loop():
    """Which would read elements that it has written."""
    memory = np.arange(20_001.0)
    expected = memory[1:] - 0.5 * memory[:-1]
    parameter = nn.Parameter(graphjit.from_numpy(memory)[1:])
    parameter.grad = graphjit.from_numpy(memory)[:-1]
    optim.SGD([parameter], lr=0.5).step()
    np.testing.assert_array_equal(parameter.detach().numpy(), expected)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_large_parameters_that_cannot_be_written_to():
    """A loop knows no memory that is read only, and would end the process, or write to it."""
    memory = np.ones(10_000)
    memory.flags.writeable = False
    parameter = nn.Parameter(graphjit.from_numpy(memory))
    parameter.grad = graphjit.ones(10_000, dtype=graphjit.float64)
    with pytest.raises(ValueError, match="read-only"):
        optim.SGD([parameter], lr=0.5).step()
    assert (memory == 1).all()


def test_parameters_without_gradient_are_left_alone():
    used, unused = nn.Parameter(graphjit.ones(2)), nn.Parameter(graphjit.ones(2))
    optimizer = optim.Adam([used, unused], lr=0.1)
    used.grad = graphjit.ones(2)
    optimizer.step()
    assert unused.tolist() == [1, 1] and unused not in optimizer.state
    unused.grad = graphjit.ones(2)
    optimizer.step()
    assert unused.tolist() != [1, 1]
    assert optimizer.state[unused]["step"].item() == 1 and optimizer.state[used]["step"].item() == 2


def test_a_parameter_given_other_data_is_updated_there():
    parameter = nn.Parameter(graphjit.ones(2))
    optimizer = optim.SGD([parameter], lr=1.0)
    parameter.grad = graphjit.ones(2)
    optimizer.step()
    parameter.data = graphjit.full((2,), 5.0)
    optimizer.step()
    assert parameter.tolist() == [4, 4]


def test_an_update_is_noticed_by_backward():
    parameter = nn.Parameter(graphjit.ones(2))
    optimizer = optim.SGD([parameter], lr=1.0)
    loss = (parameter * parameter).sum()
    parameter.grad = graphjit.ones(2)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_zero_grad():
    parameter = nn.Parameter(graphjit.ones(2))
    optimizer = optim.SGD([parameter], lr=1.0)
    parameter.grad = graphjit.ones(2)
    gradient = parameter.grad
    optimizer.zero_grad(set_to_none=False)
    assert parameter.grad is gradient and gradient.tolist() == [0, 0]
    optimizer.zero_grad()
    assert parameter.grad is None


def test_closure():
    parameter = nn.Parameter(graphjit.ones(2))
    optimizer = optim.SGD([parameter], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (parameter**2).sum()
        loss.backward()
        return loss

    with graphjit.no_grad():
        assert optimizer.step(closure).item() == 2
    assert parameter.tolist() == [0, 0]


def test_a_rate_may_be_a_tensor():
    rate = graphjit.tensor(0.5)
    parameter = nn.Parameter(graphjit.ones(2))
    optimizer = optim.SGD([parameter], lr=rate)
    parameter.grad = graphjit.ones(2)
    optimizer.step()
    rate.fill_(0.25)
    optimizer.step()
    assert parameter.tolist() == [0.25, 0.25]


def test_differentiable_steps():
    """The gradient of the parameters after two steps by the learning rate."""
    rate = graphjit.tensor(0.1, requires_grad=True)
    start = graphjit.ones(2, requires_grad=True)
    parameter = start.clone()
    optimizer = optim.SGD([parameter], lr=rate, differentiable=True)
    for _ in range(2):
        parameter.grad = graphjit.full((2,), 3.0)
        with graphjit.enable_grad():
            optimizer.step()
    parameter.sum().backward()
    assert start.grad.tolist() == [1, 1]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies(duplicate):
    parameter = nn.Parameter(graphjit.ones(2))
    optimizer = optim.Adam([parameter], lr=0.1)
    parameter.grad = graphjit.ones(2)
    optimizer.step()
    other = duplicate(optimizer)
    assert repr(other) == repr(optimizer)
    mine = other.param_groups[0]["params"][0]
    assert other.state[mine]["step"].item() == 1
    mine.grad = graphjit.ones(2)
    optimizer.step()
    other.step()
    assert mine.tolist() == parameter.tolist()


def test_step_hooks():
    seen = []
    parameter = nn.Parameter(graphjit.ones(1))
    optimizer = optim.SGD([parameter], lr=0.1)
    handle = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append("before"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append("after"))
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert seen == ["before", "after", "after"]


@pytest.mark.parametrize(("change", "structure", "hyper"), [
    (lambda g: g.update(lr=0.1), 0, 0), (lambda g: g.update(lr=0.2), 0, 1),
    (lambda g: g.update(weight_decay=1), 0, 1), (lambda g: g.update(betas=(0.5, 0.5)), 0, 1),
    (lambda g: g.update(amsgrad=True), 1, 0), (lambda g: g.update(name="x"), 1, 0),
    (lambda g: g.pop("foreach"), 1, 0),
])  # fmt: skip
def test_versions_of_changes(change, structure, hyper):
    optimizer = optim.Adam([nn.Parameter(graphjit.ones(1))], lr=0.1)
    before = VERSIONS.structure, VERSIONS.hyper
    change(optimizer.param_groups[0])
    assert (VERSIONS.structure - before[0], VERSIONS.hyper - before[1]) == (structure, hyper)


def test_steps_leave_the_structure_alone():
    """Or every replay after one would look at all its guards again."""
    parameter = nn.Parameter(graphjit.ones(1))
    optimizer = optim.Adam([parameter], lr=0.1)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    parameter.grad = graphjit.ones(1)
    before = VERSIONS.structure
    for _ in range(3):
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        scheduler.step()
    assert VERSIONS.structure == before


@pytest.mark.parametrize("order", ["right", "wrong"])
def test_schedulers_warn_of_the_wrong_order(order, recwarn):
    optimizer = optim.SGD([nn.Parameter(graphjit.ones(1))], lr=0.1)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1)
    if order == "right":
        optimizer.step()
    scheduler.step()
    assert bool(recwarn.list) == (order == "wrong")
