"""`step.profile()`: the time, the bytes and the operations of each instruction, and their lines."""

import copy
import inspect
import itertools
import json

import numpy as np
import pytest

import graphjit as gj
from graphjit import config, nn, optim
from graphjit.frontend.profile import Profile
from graphjit.nn import functional as F
from graphjit.runtime import machine


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    """A machine with round numbers, which need not be measured."""
    limits = machine.Limits(copy=1e10, float32=1e11, float64=5e10)
    monkeypatch.setattr("graphjit.frontend.profile.limits", lambda: limits)
    return limits


def profiled(function, *args):
    """The profile of a function after its first call."""
    traced = gj.trace(function)
    traced(*args)
    return traced.profile(*args)


def only(profile, part):
    """The one row whose name has `part` in it."""
    (row,) = (row for row in profile.rows if part in row.name)
    return row


def line_of(function, text):
    """The number of the one line of `function` that has `text` in it."""
    source, start = inspect.getsourcelines(function)
    (found,) = (start + i for i, line in enumerate(source) if text in line)
    return found


# --- what is counted ----------------------------------------------------------------------------


def test_a_product_multiplies_and_adds_for_each_term():
    row = only(profiled(lambda a, b: a @ b, gj.randn(2, 30, 40), gj.randn(2, 40, 50)), "matmul")
    assert row.flops == 2 * 2 * 30 * 40 * 50
    assert row.nbytes == 4 * 2 * (30 * 40 + 40 * 50 + 30 * 50)


def test_a_pointwise_kernel_moves_each_operand_once():
    """A broadcast operand is as large as its memory, and an operand used twice is read once."""
    (row,) = profiled(lambda x, b: x * x + b, gj.randn(64, 100), gj.randn(100)).rows
    assert row.nbytes == 4 * (64 * 100 + 100 + 64 * 100)
    assert row.flops == 2 * 64 * 100
    assert row.is_memory_bound


def test_a_reduction_computes_for_each_of_its_operands():
    (row,) = profiled(lambda x: (x + 1).sum(1), gj.randn(64, 100)).rows
    assert row.nbytes == 4 * (64 * 100 + 64)
    assert row.flops == 2 * 64 * 100


def test_float64_takes_twice_the_bytes_and_has_a_limit_of_its_own(limits):
    x = gj.randn(200, 200, dtype=gj.float64)
    row = only(profiled(lambda x: x @ x.T, x), "matmul")
    assert row.nbytes == 8 * 3 * 200 * 200
    assert row.limit == pytest.approx(2 * 200**3 / limits.float64)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_and_its_gradients_take_equally_many_operations(groups):
    x, w = gj.randn(2, 4, 9, 9), gj.randn(6, 4 // groups, 3, 3)
    x.requires_grad = w.requires_grad = True

    def gradients(x, w):
        y = F.conv2d(x, w, groups=groups, stride=2)
        return gj.autograd.grad(y.sum(), (x, w))

    def forward(x, w):
        return F.conv2d(x, w, groups=groups, stride=2)

    expected = 2 * (2 * 6 * 4 * 4) * (4 // groups * 3 * 3)
    with gj.no_grad():
        assert only(profiled(forward, x, w), "conv2d").flops == expected
    profile = profiled(gradients, x, w)
    assert only(profile, "conv2d_input_grad").flops == expected
    assert only(profile, "conv2d_weight_grad").flops == expected


def test_equal_instructions_of_one_line_share_a_row():
    def chain(x):
        for _ in range(5):
            x = x @ x
        return x

    row = only(profiled(chain, 0.1 * gj.randn(20, 20)), "matmul")
    assert row.calls == 5 and row.flops == 5 * 2 * 20**3


# --- where it comes from ------------------------------------------------------------------------


def test_each_row_names_the_lines_it_works_for():
    def two_lines(a, b):
        c = a @ b
        c = c.exp()
        return c.log() + 1

    profile = profiled(two_lines, gj.randn(20, 20), gj.randn(20, 20))
    product, fused = only(profile, "matmul"), only(profile, "exp")
    assert [line.line for line in product.lines] == [line_of(two_lines, "a @ b")]
    exp, log = line_of(two_lines, "c.exp()"), line_of(two_lines, "c.log()")
    assert fused.place == f"test_profile.py:{exp}, {log}"


def test_calls_on_the_host_are_timed_as_well():
    profile = profiled(lambda x: (x + 1).sort()[0] * 2, gj.randn(1000))
    assert only(profile, "sort").seconds > 0
    assert only(profile, "sort").lines


# --- nothing changes ----------------------------------------------------------------------------


def training():
    """A step that draws numbers, accumulates gradients and updates every kind of state."""
    gj.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    optimizer = optim.Adam(model.parameters())

    def step(x, y):
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return model, optimizer, gj.trace(step)


def state(model, optimizer):
    """Copies of all that a step may change."""
    tensors = [*model.state_dict().values(), *(p.grad for p in model.parameters())]
    tensors += [t for s in optimizer.state.values() for t in s.values() if gj.is_tensor(t)]
    values = [t.detach().numpy().copy() for t in tensors]
    return [*values, gj.get_rng_state().numpy().copy()]


def test_profiling_changes_nothing():
    """Gradients that accumulate are inputs of the program beside its arguments."""
    x, y = gj.randn(6, 4), gj.randn(6, 2)
    model, optimizer, step = training()
    losses = [step(x, y).item() for _ in range(3)]
    before, arguments = state(model, optimizer), copy.deepcopy((x, y))
    assert step.profile(x, y).seconds > 0
    for a, b in zip(before, state(model, optimizer), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(arguments, (x, y), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    losses += [step(x, y).item() for _ in range(3)]
    assert step.stats()["replays"] >= 3

    _, _, alone = training()
    assert losses == [alone(x, y).item() for _ in range(6)]


# --- what cannot be profiled --------------------------------------------------------------------


def test_a_call_that_was_never_made():
    step = gj.trace(lambda x: x + 1)
    with pytest.raises(RuntimeError, match="call it with them first"):
        step.profile(gj.randn(3))
    step(gj.randn(3))
    assert isinstance(step.profile(gj.randn(3)), Profile)
    with pytest.raises(RuntimeError, match="call it with them first"):
        step.profile(gj.randn(4))


def test_a_function_that_runs_eagerly():
    step = gj.trace(lambda x: x.numpy())
    with pytest.warns(UserWarning, match="runs eagerly"):
        step(gj.randn(3))
    with pytest.raises(RuntimeError, match=r"not compiled for these arguments: .+"):
        step.profile(gj.randn(3))


def test_a_function_that_is_interpreted(monkeypatch):
    monkeypatch.setitem(config._overrides, "BACKEND", "interp")
    with pytest.raises(RuntimeError, match="interpreted"):
        profiled(lambda x: x + 1, gj.randn(3))


def test_a_call_that_would_raise():
    step = gj.trace(lambda table, index: table[index] + 1)
    table, index = gj.randn(5, 3), gj.tensor([0, 4, 1])
    step(table, index)
    with pytest.raises(RuntimeError, match="not compiled for these arguments"):
        step.profile(table, gj.tensor([0, 5, 1]))


def test_the_variant_that_saw_what_python_would_see_is_the_one_that_is_timed():
    def grow_or_shrink(x, factor):
        y = x * factor
        return y @ y if y.sum() > 0 else y.exp()

    step = gj.trace(grow_or_shrink)
    x = gj.ones(30, 30)
    for factor in (1.0, -1.0):
        step(x, factor)
    assert only(step.profile(x, 2.0), "matmul").calls == 1
    assert "matmul" not in str(step.profile(x, -2.0))


# --- how it is shown ----------------------------------------------------------------------------


@pytest.fixture
def profile():
    return profiled(lambda x: ((x @ x).exp() @ x).sum(), 0.1 * gj.randn(50, 50))


def test_the_table_has_a_line_for_each_row(profile):
    first, header, *lines, limits, _ = str(profile).splitlines()
    assert f"{len(profile.timings)} instructions" in first
    assert header.split() == "us share calls GB/s GF/s of limit name line".split()
    assert "10.0 GB/s" in limits and "100.0 GF/s" in limits and "50.0 in float64" in limits
    assert len(lines) == len(profile.rows)
    for line, row in zip(lines, profile.rows, strict=True):
        us, share, calls, *_ = line.split()
        assert float(us) == pytest.approx(1e6 * row.seconds, abs=0.01)
        assert float(share[:-1]) == pytest.approx(100 * row.seconds / profile.seconds, abs=0.1)
        assert int(calls) == row.calls
        assert row.name in line and line.endswith(row.place)
    assert [row.seconds for row in profile.rows] == sorted(
        (row.seconds for row in profile.rows), reverse=True
    )


def test_the_chrome_trace_is_a_time_line_of_the_instructions(profile, tmp_path):
    profile.chrome_trace(tmp_path / "trace.json")
    content = json.loads((tmp_path / "trace.json").read_text())
    events = [event for event in content["traceEvents"] if event["ph"] == "X"]
    assert [e["name"] for e in events] == [t.instruction.name for t in profile.timings]
    assert events[0]["ts"] == 0
    for event, following in itertools.pairwise(events):
        assert event["ts"] + event["dur"] == pytest.approx(following["ts"])
    assert sum(e["dur"] for e in events) == pytest.approx(1e6 * profile.seconds)
    (product, *_) = (e for e in events if e["name"] == "matmul")
    assert product["args"]["operations"] == 2 * 50**3
    assert "test_profile.py" in product["args"]["lines"][0]


def test_debug_2_prints_the_table_of_each_compiled_variant(monkeypatch, capsys):
    """A step whose gradients accumulate raised StopIteration: its arrays are not its arguments."""
    monkeypatch.setitem(config._overrides, "DEBUG", 2)
    _, _, step = training()
    for _ in range(2):
        step(gj.randn(6, 4), gj.randn(6, 2))
    assert capsys.readouterr().err.count("of limit") == 2
