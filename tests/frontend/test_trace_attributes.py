"""Attributes of modules that a traced call assigns: a replay assigns them too."""

import copy
import gc

import pytest

import graphjit as gj
from graphjit import nn
from graphjit.frontend.state import CARRIED

pytestmark = pytest.mark.filterwarnings("error")


def state(model):
    """What can be seen of a module's attributes."""
    return {
        name: value.tolist() if isinstance(value, gj.Tensor) else value
        for name, value in vars(model).items()
        if name[0] != "_" and (isinstance(value, (gj.Tensor, int, float, str, type(None))))
    }


def agree(model, calls, variants, function=None):
    """A module and its copy, one of them traced, do the same in each call."""
    twin = copy.deepcopy(model)
    function = function or (lambda m, *args: m(*args))
    traced = gj.trace(lambda *args: function(twin, *args))
    for change, args in calls:
        for m in (model, twin):
            if change is not None:
                change(m)
        expected, found = function(model, *args), traced(*args)
        assert str(found) == str(expected)
        assert state(twin) == state(model)
    assert traced.stats()["variants"] == variants, traced.explain()
    assert traced.eager_reason is None
    return traced


class Cell(nn.Module):
    """A recurrent cell that keeps its state; None before the first call."""

    def __init__(self):
        super().__init__()
        self.h = None
        self.steps = 0
        self.scale = 1.0
        self.register_buffer("mean", gj.zeros(3))

    def forward(self, x):
        h = x if self.h is None else self.h * 0.5 + x
        self.h = h
        self.steps += 1
        self.scale = self.scale * 0.5
        self.mean = self.mean * 0.5 + h * 0.25
        return h * self.scale + self.steps


def inputs(*values):
    return [(None, (gj.full((3,), float(v)),)) for v in values]


def test_a_state_carried_from_call_to_call():
    traced = agree(Cell(), inputs(*range(8)), 2)
    assert traced.stats()["replays"] == 6


def test_a_state_that_is_set_in_between():
    def reset(m):
        m.h = None
        m.steps = 100

    def other(m):
        m.h = gj.ones(3)
        m.mean = gj.ones(3)

    def double(m):
        m.h = gj.ones(3, dtype=gj.float64)

    calls = inputs(*range(12))
    for place, change in ((4, reset), (6, other), (8, double), (10, reset)):
        calls[place] = (change, calls[place][1])
    agree(Cell(), calls, 7)  # three for the dtypes that follow from a double state


def test_nothing_is_known_of_the_attributes_of_what_is_gone():
    """The id of a cell that was freed made another object's attributes ones that replays assign."""
    gc.collect()
    before = set(CARRIED)

    def run(cell):
        step = gj.trace(lambda x: cell(x))
        for i in range(3):
            step(gj.full((3,), float(i)))
        assert CARRIED > before

    run(Cell())
    gc.collect()
    assert CARRIED == before


def test_another_traced_function_reads_the_state():
    cell = Cell()
    step, look = gj.trace(lambda x: cell(x)), gj.trace(lambda: (cell.h * 2, cell.steps))
    step(gj.ones(3))
    for i in range(6):
        step(gj.full((3,), float(i)))
        twice, steps = look()
        assert twice.tolist() == (cell.h * 2).tolist() and steps == cell.steps


def test_results_kept_in_attributes_stay_valid():
    class Keep(nn.Module):
        last = None

        def __init__(self):
            super().__init__()
            self.first = self.second = self.text = None

        def forward(self, x):
            self.first, self.second = x * 2, self.first
            self.text = "seen"
            return self.first.sum().item()

    agree(Keep(), inputs(*range(7)), 2)


def test_an_argument_and_a_view_in_an_attribute_are_the_same_storage():
    class Keep(nn.Module):
        def __init__(self):
            super().__init__()
            self.x = self.part = None

        def forward(self, x):
            self.x, self.part = x, x[1:]
            return x + 1

    model = Keep()
    traced = gj.trace(lambda x: model(x))
    for i in range(5):
        x = gj.full((3,), float(i))
        traced(x)
        assert model.x is x
        x.add_(1)
        assert model.part.tolist() == [i + 1] * 2


def test_a_state_is_not_left_behind_by_a_call_that_fails():
    class Checked(nn.Module):
        def __init__(self):
            super().__init__()
            self.h = gj.zeros(3)

        def forward(self, x):
            self.h = self.h + x
            if self.h.sum() > 10:
                raise ValueError("too much")
            return self.h

    model, twin = Checked(), Checked()
    traced = gj.trace(lambda x: twin(x))
    for value in (1, 1, 1, 5, 1, -4, 1, 1, 9):
        x = gj.full((3,), float(value))
        seen = []
        for run, m in ((model, model), (traced, twin)):
            try:
                seen.append(run(x).tolist())
            except ValueError as error:
                seen.append(str(error))
            seen.append(m.h.tolist())
        assert seen[:2] == seen[2:]
