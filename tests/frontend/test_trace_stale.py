"""Nothing that Python can change between two calls goes unseen: each trap was once stale."""

import functools
import importlib
import logging
import os
import random
import types

import pytest

import graphjit as gj
from graphjit import nn

SHIFT = 1.0


class Settings:
    factor = 1.0


class Scaler:
    factor = 1.0

    def scale(self, x):
        return x * self.factor * SHIFT

    def __call__(self, x):
        return x * self.factor

    @property
    def twice(self):
        return 2 * self.factor


class Net(nn.Module):
    factor = 1.0

    def forward(self, x):
        return self.finish(x * self.factor)

    def finish(self, x):
        return x + 1


def shifted(a, x):
    return x * a * SHIFT


def makes_cell(value):
    def scale(x):
        return x * value

    def change(new):
        nonlocal value
        value = new

    return scale, change


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setenv("GRAPHJIT_BACKEND", "interp")


def check(function, change):
    """`function` is traced; after `change`, its value differs, and the traced one's as well."""
    x = gj.full((2,), 3.0)
    traced = gj.trace(function)
    before = function(x).tolist()
    assert [traced(x).tolist() for _ in range(3)] == [before] * 3
    change()
    after = function(x).tolist()
    assert after != before
    assert [traced(x).tolist() for _ in range(3)] == [after] * 3


def test_class_attributes(monkeypatch):
    scaler, net = Scaler(), Net()
    cases = [
        (lambda x: x * Settings.factor, Settings, "factor", 2.0),
        (lambda x: scaler.scale(x), Scaler, "factor", 3.0),
        (lambda x: scaler(x), Scaler, "factor", 4.0),
        (lambda x: x * scaler.twice, Scaler, "factor", 5.0),
        (lambda x: net(x), Net, "factor", 2.0),
        (lambda x: net(x), Net, "finish", lambda self, x: x - 50),
        (lambda x: net(x), Net, "forward", lambda self, x: x * 7),
    ]
    for function, owner, name, value in cases:
        check(function, functools.partial(monkeypatch.setattr, owner, name, value))


def test_what_a_called_thing_leads_to(monkeypatch):
    scaler = Scaler()
    check(scaler, lambda: setattr(scaler, "factor", 5.0))
    check(scaler.scale, lambda: monkeypatch.setitem(globals(), "SHIFT", 6.0))
    check(functools.partial(shifted, 2.0), lambda: monkeypatch.setitem(globals(), "SHIFT", 7.0))
    table = {"f": functools.partial(shifted, 2.0)}
    check(lambda x: table["f"](x), lambda: monkeypatch.setitem(globals(), "SHIFT", 8.0))


def test_closures_of_one_code():
    """Functions made by one factory were taken for one function."""
    (first, _), (second, change) = makes_cell(2.0), makes_cell(3.0)
    check(lambda x: first(x) + second(x), lambda: change(10.0))


def test_attributes_of_functions_and_of_modules_without_a_file():
    module = types.ModuleType("made_here")
    module.factor = 1.0

    def scale(x):
        return x * scale.factor * module.factor

    scale.factor = 1.0
    check(scale, lambda: setattr(scale, "factor", 2.0))
    check(scale, lambda: setattr(module, "factor", 2.0))


def test_the_sign_of_zero():
    table = {"zero": 0.0}
    check(lambda x: 1 / (x * table["zero"]), lambda: table.update(zero=-0.0))


def test_the_default_dtype():
    try:
        check(lambda x: gj.full((2,), 0.1), lambda: gj.set_default_dtype(gj.float64))
    finally:
        gj.set_default_dtype(gj.float32)


def test_functions_and_objects_that_are_arguments(monkeypatch):
    scaler = Scaler()
    traced = gj.trace(lambda x, f: f(x))
    assert [traced(gj.ones(1), scaler.scale).item() for _ in range(2)] == [1, 1]
    monkeypatch.setattr(Scaler, "factor", 3.0)
    assert traced(gj.ones(1), scaler.scale).item() == 3


def test_an_argument_that_is_also_a_captured_tensor():
    """`x + c` recorded with `x is c` was replayed as `x + x` for every x."""
    c = gj.ones(2)
    traced = gj.trace(lambda x: x + c)
    assert [traced(x).tolist() for x in (c, c, gj.full((2,), 5.0), c)] == [
        [2, 2], [2, 2], [6, 6], [2, 2]
    ]


def test_an_effect_on_a_plain_object_is_not_left_out():
    """`h.value = x` ran while recording only."""
    holder = types.SimpleNamespace(value=None)

    @gj.trace
    def keep(x):
        holder.value = x
        return x + 1

    first = gj.ones(1)
    for x in (first, first, first, gj.zeros(1), gj.ones(1)):
        keep(x)
        assert holder.value is x


@pytest.mark.parametrize("impure", [
    lambda x: x * random.random(),
    lambda x: x * float(os.environ.get("GRAPHJIT_NO_SUCH_NAME", "1")),
    lambda x: x * globals()["SHIFT"],
])
def test_what_cannot_be_guarded_runs_eagerly(impure):
    def called():
        traced = gj.trace(impure)
        traced(gj.ones(1))
        return traced

    with pytest.warns(UserWarning, match="runs? eagerly"):
        traced = called()
    assert traced.stats()["variants"] == 0


def test_manual_seed_inside_a_traced_function():
    """While recording, numbers drawn after `manual_seed` came from the old seed."""
    def reseeded(x):
        gj.rand(3)
        gj.manual_seed(1)
        return x + gj.rand(2)

    with pytest.warns(UserWarning, match="runs eagerly"):
        assert gj.trace(reseeded)(gj.ones(2)).tolist() == reseeded(gj.ones(2)).tolist()


def test_an_element_chosen_by_a_tensor_is_a_view():
    """Recorded as a copy, `x[i]` with a 0-d `i` lost what was then written to it."""

    @gj.trace
    def f(x, i):
        y = x[i]
        y.add_(1)
        return x * 1

    for _ in range(3):
        assert f(gj.zeros(2, 2), gj.tensor(1)).tolist() == [[0, 0], [1, 1]]
        assert f(gj.zeros(2, 2), gj.tensor(0)).tolist() == [[1, 1], [0, 0]]
    assert f.stats()["replays"] == 4


def test_the_level_of_a_logger():
    """A replay went on with a branch that an earlier level of a logger had taken."""
    logger = logging.getLogger("graphjit.test.level")

    def step(x):
        return x + 1 if logger.isEnabledFor(logging.INFO) else x - 1

    traced = gj.trace(step)
    for level in (logging.INFO, logging.ERROR, logging.INFO):
        logger.setLevel(level)
        assert traced(gj.zeros(1)).item() == (1 if level == logging.INFO else -1)
    assert traced.stats()["variants"] == 2 and traced.stats()["replays"] == 1


def test_globals_of_installed_packages(tmp_path, monkeypatch):
    """Packages that were installed were taken for libraries, whose globals do not change."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "installed_by_a_test.py").write_text("SCALE = 1.0\ndef act(x): return x * SCALE\n")
    monkeypatch.syspath_prepend(folder)
    package = importlib.import_module("installed_by_a_test")
    traced = gj.trace(lambda x: package.act(x))
    for scale in (1.0, 3.0):
        package.SCALE = scale
        for _ in range(3):
            assert traced(gj.ones(2)).tolist() == [scale] * 2
    assert traced.stats()["replays"] == 4


def test_globals_of_a_function_made_by_exec():
    """A function whose globals have no name was taken for a library's."""
    space = {}
    exec("SCALE = 1.0\ndef act(x): return x * SCALE\n", space)
    traced = gj.trace(lambda x: space["act"](x))
    for scale in (1.0, 3.0):
        space["SCALE"] = scale
        for _ in range(3):
            assert traced(gj.ones(2)).tolist() == [scale] * 2
