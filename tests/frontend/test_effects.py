"""Tracing a function warns, at the line, of what replays will not repeat, and of no more."""

# ruff: noqa: F401  (the programs use what is imported)

import collections
import datetime
import functools
import io
import json
import linecache
import logging
import os
import pathlib
import pickle
import pprint
import random
import secrets
import shutil
import socket
import subprocess
import sys
import time
import uuid
import warnings
from pathlib import Path
from random import random as draw
from time import perf_counter

import numpy as np
import pytest

import graphjit as gj
import graphjit.nn.functional as F
from graphjit import debug, nn, optim
from graphjit.errors import TraceWarning

logger = logging.getLogger("graphjit.test")
losses, stats, seen, queue, rows = [], {}, set(), collections.deque(), np.zeros(3)
named, counts, nested = collections.defaultdict(list), collections.Counter(), {"a": []}
generator, dice, buffer, count = np.random.default_rng(0), random.Random(0), io.StringIO(), 0
model = nn.Linear(3, 3)
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = optim.lr_scheduler.StepLR(optimizer, 5)


class Holder:
    def __init__(self):
        self.items, self.last = [], None


holder = Holder()


def told(function):
    """The warnings of decorating a function: what, and the text of the line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gj.trace(function)
    assert all(w.category is TraceWarning for w in caught)
    lines = [linecache.getline(w.filename, w.lineno).strip() for w in caught]
    return [(str(w.message), line) for w, line in zip(caught, lines, strict=True)]


def function_of(body, space=None):
    """A function whose source can be read, with a body in which effects are on lines of their own.

    Its globals are those of this file.
    """
    lines = ["def function(x, given=None):", *(f"    {line}" for line in body.splitlines())]
    source = "\n".join([*lines, "    return x * 2", ""])
    name = f"<effects {len(linecache.cache)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    space = dict(globals()) if space is None else space
    exec(compile(source, name, "exec"), space)
    return space["function"]


#: an effect on each line, and a word of what is said of it
EFFECTS = {
    "prints": """
print(x)
pprint.pprint(x)
sys.stdout.write("x")
if x.sum() > 0: print("positive")
for _ in range(2): print("again")
x = [print(v) or v for v in [x]][0]
""",
    "logs": """
logging.info("x")
logger.warning("x %s", x)
logging.getLogger("a").debug("x")
""",
    "uses a file": """
open("file")
with open("file", "w") as file: pass
Path("file").write_text("x")
pathlib.Path("file").open()
json.dump({}, None)
np.save("file", 1)
shutil.copy("a", "b")
os.remove("file")
pickle.dump(x, given)
buffer.write("x")
""",
    "the network": """
socket.create_connection(("localhost", 1))
""",
    "starts a process": """
subprocess.run(["true"])
os.system("true")
""",
    "draws numbers": """
random.random()
draw()
np.random.rand(3)
generator.normal()
dice.gauss(0, 1)
os.urandom(3)
secrets.token_hex()
uuid.uuid4()
""",
    "the clock": """
time.time()
time.sleep(0)
perf_counter()
datetime.datetime.now()
""",
    "asks the user": """
input()
""",
    "changes a container": """
losses.append(x)
losses.extend([1])
losses[0] = x
del losses[0]
losses[0] += 1
stats["loss"] = x
stats.update(loss=x)
seen.add(1)
queue.append(x)
named["a"].append(x)
counts["a"] += 1
nested["a"].append(1)
rows[0] = 1
holder.items.append(x)
given.append(x)
""",
    "changes a variable": """
global count; count += 1
""",
}
EACH = [(word, line) for word, lines in EFFECTS.items() for line in lines.strip().splitlines()]


@pytest.mark.parametrize(("word", "line"), EACH, ids=[line for _, line in EACH])
def test_an_effect_is_told_with_its_line(word, line):
    found = told(function_of(f"y = x + 1\n{line}"))
    assert len(found) == 1
    assert word in found[0][0] and "in function" in found[0][0] and found[0][1] == line


@pytest.mark.parametrize(
    ("word", "line"),
    [pair for pair in EACH if "[" not in pair[1].replace("[x]", "") and ")." not in pair[1]],
)
def test_without_source_bytecode_is_read(word, line):
    """Except for what needs more than names and attributes to be seen."""
    space = dict(globals())
    exec(f"def function(x, given=None):\n    y = x + 1\n    {line}\n    return x", space)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gj.trace(space["function"])
    assert [w.lineno for w in caught] == [3] and word in str(caught[0].message)


HARMLESS = """
optimizer.zero_grad(); loss = F.mse_loss(model(x), x); loss.backward(); optimizer.step()
optimizer.param_groups[0]["lr"] = 0.5; scheduler.step(); model.train(); model.eval()
x.add_(1); x[0] = 1; model.weight.data.add_(1); model.weight.grad = None; x = x.add(x); x.sort()
made = []; made.append(x); made[0] = x; made += [x]; table = {}; table["a"] = x; table.update(b=x)
made = [[] for _ in range(3)]; made[0].append(x); made = list(x); made.pop(); {}.update(a=1)
text = "{} {}".format(1, 2); text = f"{1}".upper(); text = ",".join(["a"]); len(losses); str(1)
debug.print(x); gj.debug.callback(losses.append, x); debug.callback(lambda v: losses.append(v), x)
def told(v): losses.append(v); print(v)
def inner(v): found = []; found.append(v); return found
gj.manual_seed(0); gj.rand(3); gj.random.fork_rng(); x = nn.functional.dropout(x); x.uniform_()
holder.last = x; model.scale = 2; time = x; datetime.timedelta(seconds=1); os.path.join("a", "b")
if "a" not in stats: stats["a"] = x
if not losses: losses.append(1)
np.float32(1).sum(); np.zeros(3).sum(); pickle.dumps(1); json.dumps({}); Path("a").name; sum([1])
for losses in [[]]: losses.append(x)
import random as other; x = x * 1
assert x.ndim, "no"; isinstance(x, gj.Tensor); raise ValueError(f"{x.shape}")
"""


@pytest.mark.parametrize("line", HARMLESS.strip().splitlines())
def test_what_replays_do_repeat_is_passed_over(line):
    body = f"{line}\ndebug.callback(told, x)" if "told" in line else line
    assert told(function_of(body)) == []


# --- where effects are looked for -----------------------------------------------------------------


def helper(x):
    print("helping")
    return x


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.history = []
        self.inner = nn.Sequential(nn.Linear(3, 3), Loud())

    def forward(self, x):
        self.history.append(x)
        return self.inner(x)


class Loud(nn.Module):
    def forward(self, x):
        print("loud")
        return x


LAYER = Layer()


def test_functions_and_modules_that_are_called_are_looked_into():
    closure = []

    def nearby(x):
        closure.append(1)
        return helper(x)

    lines = ['print("helping")', "self.history.append(x)", 'print("loud")', "closure.append(1)"]
    assert [line for _, line in told(lambda x: helper(x))] == lines[:1]
    assert [line for _, line in told(lambda x: LAYER(x))] == lines[1:3]
    assert [line for _, line in told(LAYER)] == lines[1:3]
    assert [line for _, line in told(LAYER.forward)] == lines[1:3]
    assert [line for _, line in told(Layer.forward)] == lines[1:2]
    assert [line for _, line in told(nearby)] == [lines[3], lines[0]]
    assert [line for _, line in told(gj.no_grad()(nearby))] == [lines[3], lines[0]]


def test_variables_of_enclosing_functions():
    total, kept = 0, []

    def step(x):
        nonlocal total
        total += 1
        own = 0

        def inner():
            nonlocal own
            own += 1
            kept.append(own)

        inner()
        return x

    assert [line for _, line in told(step)] == ["total += 1", "kept.append(own)"]


def test_recursion_and_imports_inside():
    def first(x):
        import random
        from time import sleep as pause

        pause(random.random())
        return second(x)

    def second(x):
        return first(x)

    assert {text.split("(")[0] for text, _ in told(first)} == {"pause", "random.random"}


@pytest.mark.parametrize("thing", [len, gj.sin, gj.trace(lambda x: x), Holder, np.add, "".join])
def test_what_has_no_code_to_read_is_passed_over(thing):
    assert told(thing) == []
    assert len(told(functools.partial(helper))) == 1


def test_what_a_recording_leads_to_is_looked_at_then():
    layers = [Loud(), nn.Tanh()]

    def step(x):
        for layer in layers:
            x = layer(x)
        debug.callback(report, x)
        return x

    def report(x):
        print("reported")

    assert told(step) == []
    texts, traced = run(step)
    assert [text.partition(" in")[0] for text in texts] == ["print()"]
    assert traced.stats()["replays"] == 5


def test_an_ordinary_step():
    def step(x, out=None):
        outputs, named = [], {}
        print = str  # a name of its own
        for layer in [model]:
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

    assert told(step) == [] and told(F.softmax) == []


def test_disabled_traces_are_not_looked_at(monkeypatch):
    monkeypatch.setenv("GRAPHJIT_DISABLE", "1")
    assert told(helper) == []


# --- together with what happens then --------------------------------------------------------------


def run(function, *args, calls=6):
    """Decorate and call a function; the texts of all warnings, and the traced function."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        traced = gj.trace(function)
        for _ in range(calls):
            traced(gj.ones(3), *args)
    return [str(w.message) for w in caught], traced


ENDS = ("draws numbers", "the clock", "changes a container", "changes a variable")


@pytest.mark.parametrize(
    "line",
    [line for word, line in EACH if word in ENDS and "given" not in line] + ["buffer.write('x')"],
)
def test_what_has_been_told_is_not_told_again(line):
    space = {**globals(), "losses": [0] * 9, "named": collections.defaultdict(list)}
    texts, traced = run(function_of(line, space))
    assert len(texts) == 1
    same = line.startswith(("seen", "rows", "losses[0] = x"))  # no change after the first call
    assert same or (traced.stats()["replays"] == 0 and traced.eager_reason is not None)


def test_what_has_not_been_told_is_told_when_it_happens():
    found = [losses]
    texts, _ = run(lambda x: (time.time(), found[0].append(1), x)[2])
    assert len(texts) == 1 and "the clock" in texts[0]
    texts, _ = run(lambda x: (found[0].append(1), x)[1])
    assert len(texts) == 1 and "every call changes found" in texts[0]


def test_silent_effects_leave_replays_alone(capsys):
    texts, traced = run(function_of('print("once")\nlogger.info("x")'))
    assert len(texts) == 2 and traced.stats()["replays"] == 5
    assert capsys.readouterr().out == "once\n"


def test_functions_that_read_files_run_eagerly(tmp_path):
    path = tmp_path / "scale"

    def f(x):
        with open(path) as file:
            return x * float(file.read())

    with pytest.warns(TraceWarning, match=r"open\(\) in f uses a file, which no replay"):
        traced = gj.trace(f)
    for scale in (2.0, 3.0, 4.0):
        path.write_text(str(scale))
        assert traced(gj.ones(1)).item() == scale
