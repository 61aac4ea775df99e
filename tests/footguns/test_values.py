"""Python that looks at values

`if`, `while`, `assert`, `int(t)` and `.item()` do what they do eagerly. A path that was taken
before is replayed compiled; one that was not is recorded, and nothing of the wrong one is left.
"""

import json
import math
import sqlite3

import pytest

import graphjit as gj

from .harness import traced, trap


def signed(call):
    """Arguments whose sums change their sign."""
    return ((gj.arange(4.0) - 1) * (-1) ** (call // 2 % 2) * (1 + call),)


@trap(arguments=signed, variants=2)
def test_branches():
    """A branch is chosen by the value of this call, not of the one that was recorded."""
    total = gj.zeros(4)

    def step(x):
        total.add_(1)
        if x.sum() > 0:
            total.add_(x)
            return "positive", x * 2
        return "negative", x - total

    return step


@trap(arguments=signed, calls=30, replays=5)
def test_nested_branches_and_loops():
    """`while`, `for`, early returns and `break` on values run as often as they do eagerly."""

    def step(x):
        count = 0
        while x.abs().max() > 3:
            x = x / 2
            count += 1
            if x[0] > 2:
                break
        for i in range(int(x.abs().sum())):
            x = x + i
        return x, count

    return step



@trap(variants=1)
def test_items():
    """`.item()` that is computed with or returned is the number of this call, and compiles once."""

    def step(x):
        n, m = x.sum().item(), x.argmax().item()
        return n, m + 1, x * n, [n / 2, -n], {"n": n}

    return step


@trap(variants=1)
def test_numbers_collected():
    """Numbers that a caller collects are plain numbers, each of its own call."""
    step, log = traced(lambda x: x.sum().item()), []

    def run(x):
        log.append(step(x))
        return {type(n) for n in log} == {float}

    return run


@trap(arguments=signed)
def test_asserts():
    """`assert` on a value fails when it fails eagerly, with the same message."""

    def step(x):
        if not x.sum() > 0:  # what `assert` does
            raise AssertionError("the sum is negative")
        return x + 1

    return step


@trap(arguments=lambda call: ((gj.arange(4.0)), call % 3))
def test_slices_by_value():
    """Slices, shapes and indices that are values give results of the shape they have eagerly."""

    def step(x, start):
        n = int(x[start])
        return x[n:], gj.zeros(n + 1), x[gj.tensor(start)]

    return step


@trap(arguments=lambda call: (gj.arange(4.0), 0.5 * call), variants=1, replays=9)
def test_float_arguments():
    """A float argument may be another at each call without a recording."""
    return lambda x, scale: (x * scale, scale + 1)


@trap(arguments=lambda call: (gj.arange(4.0), call), variants=2)
def test_counters_as_arguments():
    """An int argument that changes from call to call is a number of this call, without recording
    anew."""

    def step(x, n):
        return x * n, n + 1, -n // 3, n % 4, x * 0.5**2 + n / 7

    return step


def _sizes(call):
    return gj.arange(4.0), [3, 2**70, 4, True, 5, 1.5, 2**62, 6, False, 7][call % 10]


@trap(arguments=_sizes, replays=2)
def test_numbers_of_every_size_as_arguments():
    """An int that does not fit into int64 is told apart by its value, and so are bools."""
    return lambda x, n: (x * (n % 97), n * 2, -n)


@trap(arguments=lambda call: (gj.arange(4.0), 1 + call % 2, "ab"[call % 2], call % 2 == 0))
def test_other_arguments():
    """A str or bool argument is part of what a recording is for; an int, if a shape depends on it.
    """
    return lambda x, n, name, flag: x.repeat(n) + (n if flag else len(name))


@trap(arguments=lambda call: (gj.arange(4.0) + call % 3,))
def test_text_of_values():
    """Numbers formatted, rounded or given to `math` are the numbers of this call."""

    def step(x):
        n = x[0].abs().item()
        return f"{n:.2f}", round(n, 1), math.sqrt(n), str(x[1].item())

    return step


@trap(calls=12, every=3, replays=2)
def test_masks():
    """`x[mask]` and `nonzero` have as many elements as the mask has in this call."""
    limit = gj.tensor(2.0)

    def step(x):
        mask = x % 4 > limit
        return x[mask].sum(), mask.nonzero().shape

    def change(n):
        limit.fill_(n % 2)

    return step, change



@trap(arguments=signed, calls=20, replays=5)
def test_a_wrong_path_is_undone():
    """A replay that finds itself on a wrong path leaves nothing: state, `.grad`s, generator."""
    weight = gj.ones(4, requires_grad=True)
    count = gj.zeros(())

    def step(x):
        count.add_(1)
        noise = gj.rand(4)
        loss = (weight * x * noise).sum()
        loss.backward()
        if weight.grad.sum() > 0:
            with gj.no_grad():
                weight.sub_(weight.grad)
            weight.grad = None
        return loss.detach()

    return step


class Diverged(Exception):
    """An exception that keeps numbers in every way."""

    def __init__(self, loss):
        super().__init__("diverged", loss, [loss])
        self.loss, self.history = loss, {"losses": [loss]}


@pytest.mark.parametrize("fail", [
    Diverged, KeyError, StopIteration, lambda loss: OSError(loss, "message"),
    lambda loss: ExceptionGroup("several", [ValueError(loss)]),
], ids=["class", "KeyError", "StopIteration", "OSError", "ExceptionGroup"])  # fmt: skip
def test_numbers_in_exceptions(fail):
    """An exception that leaves the function has plain numbers, and so have those behind it."""

    def numbers(value):
        if isinstance(value, BaseException):
            kept = [value.args, vars(value), getattr(value, "value", None), value.__cause__]
            return numbers([*kept, getattr(value, "errno", None), getattr(value, "exceptions", ())])
        if isinstance(value, dict):
            return numbers([*value.values()])
        if isinstance(value, (list, tuple)):
            return [number for item in value for number in numbers(item)]
        return [] if value is None or type(value) is str else [value]

    def step(x):
        loss = x.sum().item()
        try:
            raise fail(loss)
        except BaseException as error:
            raise RuntimeError("bad", loss) from error

    with pytest.raises(RuntimeError) as caught:
        gj.trace(step)(gj.ones(2))
    found = numbers(caught.value)
    assert len(found) > 1 and all(type(number) is float for number in found)
    assert json.loads(json.dumps(found)) == [2.0] * len(found)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_numbers_for_a_database():
    """A database, which cannot be guarded, is given plain numbers, once each."""
    table = sqlite3.connect(":memory:")
    table.execute("create table losses (step, loss)")

    @gj.trace
    def step(x):
        table.execute("insert into losses values (0, 0)")
        table.execute("insert into losses values (1, ?)", (x.sum().item(),))

    for number in range(3):
        step(gj.full((1,), float(number)))
    assert [*table.execute("select loss from losses where step = 1")] == [(0,), (1,), (2,)]
    assert [*table.execute("select count(*) from losses")] == [(6,)]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_numbers_that_are_told_apart():
    """Where an error shows that something has told a number from what stands for one, the call

    is made again with plain numbers, whatever the class of the error.
    """

    class Strict(dict):
        def __missing__(self, key):
            raise LookupError(f"type {key.__name__!r} is not supported")

    known, kind = Strict({float: 2.0}), [type]
    step = gj.trace(lambda x: x * known[kind[0](x.sum().item())])
    assert [step(gj.ones(1)).item() for _ in range(3)] == [2, 2, 2]


@trap(variants=3, replays=7)
def test_counters_modulo_a_number():
    """`self.i % 3 == 0` and `self.i // 3` on a counter compile for each outcome, not each value."""
    state = Counter()

    def step(x):
        state.i += 1
        if state.i % 3 == 0:
            return x * state.i, state.i // 3
        return x + state.i**2, divmod(state.i, 4)

    return step


class Counter:
    def __init__(self):
        self.i = 0
