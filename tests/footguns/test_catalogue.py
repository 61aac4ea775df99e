"""The catalogue itself: its ranking is complete, and its comparison sees what it is to see."""

import types
from pathlib import Path

import pytest

import graphjit as gj
from graphjit import nn

from . import RANKED
from .harness import trap
from .portrait import differences, portrait


def test_every_file_is_ranked():
    files = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    assert files == {f"test_{name}" for name in RANKED} | {"test_catalogue"}


def changed(make, change):
    """Whether a portrait shows what `change` does to one of two equal things."""
    mine, theirs = make(), make()
    assert not differences(portrait(x=mine), portrait(x=theirs), True)
    change(theirs)
    return bool(differences(portrait(x=mine), portrait(x=theirs), True))


def namespace():
    base = gj.arange(4.0)
    return types.SimpleNamespace(
        base=base, view=base[1:], leaf=gj.ones(2, requires_grad=True), layer=nn.Dropout(0.5),
        numbers=[1, 2.0], function=lambda x, k=[1]: x * base + k[0],
    )  # fmt: skip


@pytest.mark.parametrize("change", [
    lambda t: t.base.add_(1),
    lambda t: t.base.__setitem__(3, float("nan")),
    lambda t: setattr(t, "base", t.base.double()),
    lambda t: setattr(t, "view", t.view.clone()),
    lambda t: setattr(t.leaf, "grad", gj.zeros(2)),
    lambda t: t.leaf.requires_grad_(False),
    lambda t: t.layer.eval(),
    lambda t: setattr(t.layer, "p", 0.6),
    lambda t: t.layer.register_forward_hook(print),
    lambda t: t.numbers.append(3),
    lambda t: t.numbers.__setitem__(0, 1.0),
    lambda t: t.function.__defaults__[0].append(2),
    lambda t: setattr(t, "function", None),
])  # fmt: skip
def test_a_portrait_shows(change):
    assert changed(namespace, change)


def test_a_stale_replay_fails_its_trap():
    """What the harness is for: a step that gives the traced world something else is reported."""
    worlds = iter(range(2))

    def make():
        world = next(worlds)
        return lambda x: x + world

    with pytest.raises(AssertionError, match="eagerly"):
        trap(make)()


def test_a_function_that_only_runs_eagerly_fails_its_trap():
    def make():
        return lambda x: gj.from_numpy(x.numpy() + 1)

    with pytest.raises(AssertionError, match="runs eagerly"):
        trap(make)()
