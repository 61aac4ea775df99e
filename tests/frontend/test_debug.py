"""graphjit.debug: what eager code prints is printed at every replay."""

import numpy as np
import pytest

import graphjit as gj
from graphjit import nn, optim

pytestmark = pytest.mark.filterwarnings("error")


def printed(function, calls, capsys):
    """What a function prints in each call, and its results."""
    found = []
    for x in calls:
        result = function(x)
        found.append((capsys.readouterr().out, result.tolist()))
    return found


def test_prints_are_repeated_in_order_with_the_values_of_their_place(capsys):
    def f(x):
        gj.debug.print("in", x)
        y = x * 2
        gj.debug.print("y {} and sum {s:.2f}", y, s=y.sum())
        y.add_(1)
        gj.debug.print(y[1:], y.mean().item(), None, "end", sep="|", end="!\n")
        if y.sum() > 10:
            gj.debug.print("large: {}", float(y.sum()))
        return y

    calls = [gj.full((3,), float(i)) for i in (1, 2, 1, 3, 2, 0)]
    traced = gj.trace(f)
    assert printed(traced, calls, capsys) == printed(f, calls, capsys)
    assert traced.stats()["replays"] == 3


def test_results_are_the_same_with_and_without():
    def make(loud):
        gj.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        seen = []

        def hook(grad):
            if loud:
                gj.debug.callback(lambda g: seen.append(("hook", g.tolist())), grad)

        @gj.trace
        def step(x):
            optimizer.zero_grad()
            h = model(x)
            h.register_hook(hook)
            h.tanh().sum().backward()
            if loud:
                gj.debug.callback(lambda g: seen.append(("grad", g.tolist())), model.weight.grad)
            optimizer.step()

        return model, step, seen

    (quiet, silent, _), (model, step, seen) = make(False), make(True)
    for i in range(5):
        x = gj.full((2, 3), float(i))
        silent(x), step(x)
        for p, q in zip(quiet.parameters(), model.parameters(), strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), 1e-5)
        assert seen[-1] == ("grad", model.weight.grad.tolist())
    assert [kind for kind, _ in seen] == ["hook", "grad"] * 5
    assert step.stats()["replays"] == 4


def test_a_callback_gets_copies_and_structures():
    kept = []

    def look(values, *, name):
        kept.append((values["a"][0].tolist(), values["n"], name))
        values["a"][0].zero_()

    @gj.trace
    def f(x):
        gj.debug.callback(look, {"a": [x * 2], "n": x.sum().item()}, name="f")
        return x * 2

    for i in range(4):
        assert f(gj.full((2,), float(i))).tolist() == [2 * i] * 2
    assert kept == [([2.0 * i] * 2, 2.0 * i, "f") for i in range(4)]


def test_values_collected_in_lists():
    losses, norms = [], []

    @gj.trace
    def f(x):
        gj.debug.callback(losses.append, x.sum().item())
        gj.debug.callback(lambda n: norms.append(n.item()), x.norm())
        return x * 2

    for i in range(5):
        f(gj.full((4,), float(i)))
    assert (losses, norms) == ([0, 4, 8, 12, 16], [0, 2, 4, 6, 8])
    assert f.stats()["replays"] == 4

    @gj.trace
    def looks(x):
        gj.debug.callback(losses.append, 1.0)
        return x * len(losses)

    with pytest.warns(UserWarning, match="every call changes losses"):
        assert [looks(gj.ones(1)).item() for _ in range(6)] == [6, 7, 8, 9, 10, 11]


def test_nothing_is_printed_twice_by_a_call_that_fails(capsys):
    table = gj.zeros(3)

    def f(index):
        gj.debug.print("before")
        found = table[index]
        gj.debug.print("after")
        return found

    traced = gj.trace(f)
    for i in (0, 1, 2, 9, 1):
        outputs = []
        for run in (f, traced):
            try:
                run(gj.tensor([i]))
            except IndexError:
                print("IndexError")
            outputs.append(capsys.readouterr().out)
        assert outputs[0] == outputs[1]
