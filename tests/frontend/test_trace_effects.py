"""What a replay does not do again is warned of when a function is decorated, with the line."""

import inspect
import logging
import re
import sys
import warnings

import pytest

import graphjit as gj
from graphjit import nn, optim
from graphjit.errors import TraceWarning

losses, counts, total = [], {"n": 0}, 0
log = logging.getLogger("effects")


def shows(x):
    print("x")
    return x


def logs(x):
    log.info("x")
    log.log(10, "x")
    sys.stderr.write("x")
    return x


def appends(x):
    losses.append(1)
    counts["n"] += 1
    return x


def assigns(x):
    global total
    total = 1
    return x


def warned(function):
    """The lines of `function`, from 1, that decorating it warns of, and what is said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gj.trace(function)
    first = inspect.getsourcelines(function)[1]
    assert all(w.category is TraceWarning and w.filename == __file__ for w in caught)
    return [(w.lineno - first, str(w.message)) for w in caught]


@pytest.mark.parametrize(("function", "lines", "says"), [
    (shows, [1], "debug.print"), (logs, [1, 2, 3], "is not called"),
    (appends, [1, 2], r"losses.append\(\)|counts\['n'\]"), (assigns, [2], "total"),
])  # fmt: skip
def test_effects_are_named_with_their_lines(function, lines, says):
    found = warned(function)
    assert [line for line, _ in found] == lines
    assert all(re.search(says, text) for _, text in found)


def test_closures_and_objects():
    kept, holder = [], nn.Linear(1, 1)
    holder.history = []
    count = 0

    def f(x):
        nonlocal count
        count += 1
        kept.extend([1])
        holder.history.append(2)
        return x

    assert [line for line, _ in warned(f)] == [2, 3, 4]


def test_ordinary_steps_are_not_warned_of():
    model = nn.Sequential(nn.Linear(2, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2)

    def step(x, out=None):
        outputs, named = [], {}
        print = str  # a name of its own
        for layer in model:
            x = layer(x)
            outputs.append(x)
            named["x"] = x
            named.update(y=x)
        x[0] = 1
        x.add_(1).clamp_(min=0)
        optimizer.zero_grad()
        outputs[-1].sum().backward()
        optimizer.step()
        scheduler.step()
        text = ",".join([print(1)])
        model.train().eval()
        return {k: v for k, v in named.items() if k}, sorted(outputs, key=id), text

    assert warned(step) == []
    assert warned(gj.nn.functional.softmax) == []


def test_what_is_called_is_looked_at_when_it_is_recorded():
    class Loud(nn.Module):
        def forward(self, x):
            print("forward")
            return helper(x)

    def helper(x):
        log.info("helper")
        return x * 2

    model = Loud()
    traced = gj.trace(lambda x: model(x))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            traced(gj.ones(2))
    assert sorted(str(w.message).split("(")[0] for w in caught) == ["log.info", "print"]
    assert traced.stats()["replays"] == 2


def test_functions_that_read_files_run_eagerly(tmp_path):
    path = tmp_path / "scale"

    def f(x):
        with open(path) as file:
            return x * float(file.read())

    traced = gj.trace(f)
    for scale in (2.0, 3.0, 4.0):
        path.write_text(str(scale))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert traced(gj.ones(1)).item() == scale
    assert "open()" in traced.explain()
