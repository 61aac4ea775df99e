"""Copies, memory and cost

Traced functions and modules with traced methods can be copied, pickled and dropped like any other.
They hold on to nothing that is gone, and checking that nothing has changed does not grow with the
model.
"""

import copy
import gc
import pickle
import sys
import tracemalloc
import weakref

import pytest

import graphjit as gj
from graphjit import nn, optim

from .harness import traced, trap


class Net(nn.Module):
    """A model whose forward is traced on the class."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.scale = 1.0

    @gj.trace
    def forward(self, x):
        return self.layer(x).detach() * self.scale


@pytest.mark.parametrize("copied", [
    copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net)),
])  # fmt: skip
def test_copies_of_modules_with_traced_methods(copied):
    """A copied or pickled module with traced methods computes with its own parameters."""
    net = Net()
    x = gj.ones(1, 4)
    net(x), net(x)
    twin = copied(net)
    with gj.no_grad():
        twin.layer.weight.fill_(1.0)
        twin.layer.bias.fill_(0.5)
    twin.scale = 2.0
    shared = copied is copy.copy
    for _ in range(5):
        assert twin(x).tolist() == [[9, 9]]
        assert net(x).tolist() == (net.layer(x) * 1.0).tolist()
        assert shared or net(x).tolist() != [[4.5, 4.5]]


@trap
def test_a_model_copied_between_calls():
    """`deepcopy` of a model between calls gives a model apart; both go on as eagerly."""
    models = [nn.Linear(4, 2)]

    @traced
    def step(model, x):
        model.weight.data.mul_(0.5)
        return model(x).detach()

    def change(n):
        models.append(copy.deepcopy(models[-1]))
        models[0].weight.data.fill_(float(n))

    return lambda x: [step(model, x) for model in (models[0], models[-1])], change


def traced_step():
    """A traced training step, and weak references to all that it holds."""
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = optim.Adam(model.parameters())

    @gj.trace
    def step(x):
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    things = [model, optimizer, step, *model.parameters()]
    return step, [weakref.ref(thing) for thing in things]


def test_everything_is_freed(kernels):
    """When the last name of a traced function is gone, so are its model, optimizer and buffers."""
    step, references = traced_step()
    for _ in range(10):
        step(gj.ones(3, 4))
    assert step.stats()["replays"] == 9
    del step
    gc.collect()
    assert [reference() for reference in references] == [None] * len(references)


def test_results_and_arguments_are_freed(kernels):
    """A replay keeps none of its arguments and results alive after the call."""
    function = gj.trace(lambda x: x * 2 + 1)
    function(gj.ones(1000))
    references = []
    for _ in range(10):
        x = gj.ones(1000)
        y = function(x)
        references += [weakref.ref(x), weakref.ref(y), weakref.ref(x._array), weakref.ref(y._array)]
        del x, y
    gc.collect()
    assert [reference() for reference in references] == [None] * 40
    assert function.stats()["replays"] == 10


def test_methods_do_not_keep_their_instances(kernels):
    """A method traced on the class keeps no instance alive that nobody else holds."""

    class Scaler:
        def __init__(self, scale):
            self.scale = gj.full((4,), scale)

        @gj.trace
        def apply(self, x):
            return x * self.scale

    references = []
    for k in range(10):
        scaler = Scaler(float(k))
        for _ in range(2):
            assert scaler.apply(gj.ones(4)).tolist() == [k] * 4
        references.append(weakref.ref(scaler))
        del scaler
    gc.collect()
    assert [reference() for reference in references] == [None] * 10


def test_no_growth_over_many_calls(kernels):
    """Thousands of calls, of training steps and of functions with arguments, leave no memory."""
    step, _ = traced_step()
    function = gj.trace(lambda x, k: gj.rand(3) + x * k)
    x = gj.ones(3, 4)

    def run(calls):
        for _ in range(calls):
            step(x)
            function(x[0, :3], 0.5)

    run(100)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run(3_000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000
    assert step.stats()["replays"] >= 3_099


def executed_lines(function, *args):
    """How many lines of Python a call runs, and how many objects it walks in C."""
    count = 0

    def follow(frame, event, arg):
        nonlocal count
        count += event == "line"
        return follow

    before = sys.gettrace()
    sys.settrace(follow)
    try:
        function(*args)
    finally:
        sys.settrace(before)
    return count


def guards_of(depth):
    """The newest variant of a traced training forward of a model of `depth` layers."""
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(depth)])
    function = gj.trace(lambda x: model(x).sum().detach())
    with gj.no_grad():
        x = gj.ones(1, 2)
        function(x), function(x)
        assert function.stats()["replays"] == 1
        return executed_lines(function.last.holds, [x])


def test_the_cost_of_guards():
    """Checking that nothing has changed takes the same for a model of 2 and of 200 layers."""
    assert guards_of(200) == guards_of(2) < 50


class Trainer:
    """A plain object with a log and a counter."""

    def __init__(self, scale):
        self.scale, self.log, self.epoch = scale, [], 0


def test_unrelated_state_records_nothing():
    """What the function does not read may change at will: other modules, attributes, optimizers."""
    model, other = nn.Linear(4, 2), nn.Linear(4, 2)
    holder = Trainer(2.0)

    @gj.trace
    def step(x):
        return model(x).detach() * holder.scale

    for call in range(10):
        other.eval() if call % 2 else other.train()
        other.weight = nn.Parameter(gj.ones(2, 4))
        optim.SGD(other.parameters(), lr=0.1 * call).step()
        holder.log.append(call)
        assert gj.allclose(step(gj.ones(1, 4)), model(gj.ones(1, 4)) * 2.0)
    assert (step.stats()["variants"], step.stats()["replays"]) == (1, 9)


@pytest.mark.filterwarnings("ignore:.*runs eagerly")
def test_a_trainer_that_keeps_a_log():
    """A traced method is not recorded anew because its object grows a log that it never reads."""

    class Logging(Trainer):
        @gj.trace
        def step(self, x):
            return x * self.scale

    trainer = Logging(2.0)
    for call in range(300):
        trainer.epoch = call
        trainer.log.append(trainer.step(gj.ones(2)).tolist())
    trainer.scale = 3.0
    assert trainer.step(gj.ones(2)).tolist() == [3, 3]
    assert trainer.log == [[2, 2]] * 300
    found = trainer.step.stats()
    assert (found["variants"], found["replays"]) == (2, 299)


def test_recording_keeps_no_memory_in_use():
    """The call that is recorded takes no more memory than eager code: what it no longer holds is
    freed at once, though all of it is in the recording."""
    x, p = gj.ones(1 << 18), gj.ones(1 << 18, requires_grad=True)  # a megabyte each

    def step(x):
        for k in range(20):
            x = (x.sin() * k)[1:].reshape(-1)
            x = x.add_(1).view(1, -1).squeeze_(0)
        (p[: len(x)] * x).sum().backward()
        p.grad = None
        return x.sum()

    def peak(function):
        gc.collect()
        tracemalloc.start()
        try:
            function(x)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    eager = peak(step)
    traced = gj.trace(step)
    assert peak(traced) < eager + (2 << 20)
    assert traced.stats()["recordings"] == 1
