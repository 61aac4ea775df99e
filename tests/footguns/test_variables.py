"""Variables and functions

Whatever plain Python a traced function reads, it sees as it is now. A replay that Python could
contradict does not happen: the call is recorded anew, or the function is refused with a reason and
runs eagerly.
"""

import array
import contextvars
import datetime
import functools
import importlib
import io
import itertools
import os
import random
import sys
import threading
import time
import types
from collections import OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from os.path import exists
from pathlib import Path

import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import TraceWarning

from .harness import traced, trap

SCALE = 1.0


def helper(x):
    return x * SCALE


def keep_newest(x):
    global NEWEST
    NEWEST = x.sum()
    return x + 1


@trap
def test_closure_cells():
    """A variable of an enclosing function is read anew at each call."""
    factor = 1.0

    def change(n):
        nonlocal factor
        factor = float(n % 3)

    return lambda x: x * factor, change


@trap
def test_globals():
    """A global variable is read anew at each call, also by functions that the traced one calls."""

    def change(n):
        global SCALE
        SCALE = float(n)

    return lambda x: helper(x) + SCALE, change


@trap
def test_globals_that_come_and_go():
    """A global that hides a built-in function, or no longer does, is seen."""

    def change(n):
        if n % 2:
            globals()["abs"] = lambda x: x * 100
        else:
            globals().pop("abs", None)

    return lambda x: abs(x), change


@trap
def test_globals_that_are_missing():
    """A global that is nowhere at first, and defined later, is seen."""

    def step(x):
        try:
            return x * VERBOSITY
        except NameError:
            return x

    def change(n):
        if n % 2:
            globals()["VERBOSITY"] = float(n)
        else:
            globals().pop("VERBOSITY", None)

    globals().pop("VERBOSITY", None)
    return step, change


@pytest.mark.filterwarnings("ignore:assigning NEWEST", "ignore:.* runs eagerly")
def test_globals_that_a_call_makes():
    """A global that the first call makes is assigned by each."""
    globals().pop("NEWEST", None)
    function = gj.trace(keep_newest)
    for number in range(6):
        function(gj.full((2,), float(number)))
        assert NEWEST.item() == 2 * number
    assert function.eager_reason == "every call changes NEWEST"


@trap
def test_contents_of_containers():
    """Lists, dicts and sets are compared by content, however deep a value lies in them."""
    table = {"scale": 1.0, "parts": [1.0, {"deep": (2.0, [3.0])}], "names": {"a"}}

    def step(x):
        y = x * table["scale"] + sum(table["parts"][:1]) if "b" in table["names"] else x
        return y * table["parts"][1]["deep"][1][0] + len(table)

    def change(n):
        table["scale"] = float(n)
        table["parts"][1]["deep"][1][0] = 10.0 * n
        table["names"].add("ab"[n % 2])

    return step, change


@pytest.mark.parametrize("container", [
    list, tuple, deque, np.array, set, frozenset, bytes, bytearray,
    lambda values: OrderedDict(enumerate(values)),
    lambda values: defaultdict(int, enumerate(values)),
    lambda values: namedtuple("Pair", "a b")(*values),
    lambda values: types.MappingProxyType(dict(enumerate(values))),
])  # fmt: skip
@trap
def test_every_kind_of_container(container):
    """Containers and arrays of every kind are compared by content, also when changed in place."""
    return looped(container)


@pytest.mark.parametrize("container", [
    lambda values: array.array("b", values), lambda values: memoryview(bytearray(values)),
])  # fmt: skip
@trap(eager="cannot be guarded")
def test_containers_that_cannot_be_seen_through(container):
    """What a guard cannot see through is not guessed: the function runs eagerly."""
    return looped(container)


def looped(container):
    """A step that computes with the items of a container, and what exchanges that."""
    items = container([1, 2])
    shift = 0

    def change(n):
        nonlocal items, shift
        shift = n
        items = container([n, n + 5])
        if hasattr(items, "__setitem__"):
            items[1] = 7 * n

    def step(x):
        for item in items:
            x = x + int(item) * 2
        return x + shift

    return step, change


@trap(replays=0)
def test_subclasses_of_containers():
    """A list or dict of a class of its own is compared by content and by its attributes."""

    class Layers(list):
        scale = 1.0

    class Options(dict):
        pass

    layers, options = Layers([1.0]), Options(a=1.0)
    layers.scale, options.shift = 2.0, 0.0

    def change(n):
        layers.scale = float(n)
        options.shift = 2.0 * n

    return lambda x: x * layers.scale + options.shift, change


@trap(eager="too large to guard")
def test_a_container_too_large():
    """A container of more items than a guard compares makes the function run eagerly."""
    table = list(range(1000))

    def change(n):
        table[500] = n

    return lambda x: x + table[500], change


@trap(variants=2)
def test_order_of_a_dict():
    """The order of a dict's entries is part of its content."""
    table = {"a": 1.0, "b": 2.0}

    def step(x):
        for value in table.values():
            x = x * value + value
        return x

    def change(n):
        items = list(table.items())
        table.clear()
        table.update(items[::-1])

    return step, change


@trap
def test_default_arguments():
    """Defaults are compared: replaced ones, and mutable ones by content."""

    def step(x, scale=1.0, *, parts=[1.0, 2.0], shift=0.0):  # noqa: B006  (the trap)
        return x * scale + sum(parts) + shift

    def change(n):
        step.__kwdefaults__["parts"][0] = float(n)
        if n == 2:
            step.__defaults__ = (3.0,)
        if n == 3:
            step.__kwdefaults__["shift"] = 0.5

    return step, change


@trap
def test_the_code_of_a_function():
    """A function that is called and gets other code, or another wrapper, is seen."""

    def inner(x):
        return x + 1

    def other(x):
        return x + 2

    codes = inner.__code__, other.__code__

    def change(n):
        inner.__code__ = codes[n % 2]

    return lambda x: inner(x), change


@trap
def test_partials():
    """A traced `functools.partial`, and one that is called, are followed to what they hold."""
    options = [1.0]

    def scaled(options, x, *, shift):
        return x * options[0] + shift

    bound = functools.partial(scaled, options, shift=0.5)
    step = traced(functools.partial(bound, shift=1.0))

    def change(n):
        options[0] = float(n)

    return lambda x: step(x) + bound(x), change


@trap(variants=4)
def test_closures_made_in_a_loop():
    """Closures made by one loop are functions of their own, whatever they share."""
    steps = []
    for k in range(4):
        shift = [float(k)]
        steps.append(traced(lambda x, k=k, shift=shift: x * k + shift[0]))
    calls = iter(range(100))

    return lambda x: steps[next(calls) % 4](x)


@trap
def test_decorated_functions():
    """What a decorator's wrapper and the function beneath it read is guarded."""
    scale = 1.0

    def doubled(function):
        @functools.wraps(function)
        def wrapper(x):
            return 2 * function(x) + scale

        return wrapper

    @doubled
    def inner(x):
        return x * scale

    def change(n):
        nonlocal scale
        scale = float(n)

    return lambda x: inner(x), change


@trap
def test_equal_values_of_other_types():
    """1, 1.0 and True are told apart, and so are 0.0 and -0.0."""
    value = 1

    def change(n):
        nonlocal value
        value = (1, 1.0, True, 0.0, -0.0)[n]

    return lambda x: (gj.full((2,), value), value, 1 / (x * value)), change


@trap
def test_not_a_number():
    """A NaN that stays is no change; one that comes is."""
    value = float("nan")

    def change(n):
        nonlocal value
        value = float("nan") if n % 2 else 1.0

    return lambda x: x * value, change


@trap
def test_tensors_in_python_variables():
    """A tensor that a variable or a container holds may be replaced by another."""
    table, weight = {"w": gj.ones(4)}, gj.ones(4)

    def change(n):
        nonlocal weight
        weight = gj.full((4,), float(n))
        table["w"] = gj.full((4,), 10.0 * n)

    return lambda x: x * weight + table["w"], change


@trap(variants=1)
def test_tensors_changed_in_place():
    """A captured tensor that is written in place between calls is read anew, without recording."""
    weight = gj.ones(4)

    def change(n):
        weight.fill_(float(n))
        weight[1:3] += 1
        weight.numpy()[0] = 99.0  # NumPy writes to the same memory

    return lambda x: x * weight, change


@trap
def test_an_argument_in_place_of_a_captured_tensor():
    """A call with the captured tensor itself as argument is not replayed for another argument."""
    weight = gj.ones(4)
    calls = iter(range(100))

    def step(x):
        return x + weight

    run = traced(step)

    return lambda x: run(weight) if next(calls) % 3 == 0 else run(x)


@trap(replays=8)
def test_the_kind_of_arguments():
    """Arguments are told apart by value and type, however deep they lie in lists and dicts."""
    step = traced(lambda x, options: x * options["scales"][0] if options["on"] else x)
    options = [{"scales": [k], "on": k != 2} for k in (1, True, 2, 3)]
    calls = iter(range(100))

    def run(x):
        n = next(calls)
        return [step(x, options[n % 4]) for _ in range(2)]

    return run


@trap(replays=4)
def test_an_argument_mutated_after_the_call():
    """A list given as an argument may be changed by the caller: it is looked into at each call."""
    scales = [1.0]
    step = traced(lambda x, scales: x * scales[0])

    def change(n):
        scales[0] = float(n)

    return lambda x: step(x, scales), change


@trap
def test_default_dtype():
    """The default dtype that is set is the one that is used."""

    def change(n):
        gj.set_default_dtype((gj.float32, gj.float64)[n % 2])

    return lambda x: gj.full((2,), 0.1) + gj.tensor(0.2), change


@trap
def test_python_that_a_loop_reads():
    """The length of a list, a range, and an iterator's state decide how often a loop runs."""
    layers, depth = [1.0, 2.0], 1

    def step(x):
        for k, layer in enumerate(layers):
            x = x * layer + k
        for _ in range(depth):
            x = x + 1
        return x

    def change(n):
        nonlocal depth
        layers.append(float(n))
        depth = n % 2

    return step, change


@pytest.mark.parametrize("impure", ["random", "numpy", "time"])
def test_what_differs_by_itself(impure):
    """Clocks and other sources of random numbers than graphjit's make the function run eagerly."""
    source = {
        "random": lambda: random.random(),
        "numpy": lambda: np.random.rand(),
        "time": lambda: time.perf_counter_ns(),
    }[impure]
    with pytest.warns(TraceWarning, match="calls run eagerly"):
        function = gj.trace(lambda x: x + source())
    results = {function(gj.zeros(1, dtype=gj.float64)).item() for _ in range(10)}
    assert len(results) == 10 and function.stats()["replays"] == 0


@trap(eager="iterator|generator|cannot be guarded|reads what")
def test_iterators():
    """An iterator that the function advances cannot be replayed: the function runs eagerly."""
    numbers = iter(range(1000))

    return lambda x: x + next(numbers)


@pytest.mark.filterwarnings("ignore::graphjit.errors.TraceWarning")
@trap(eager="every call changes|cannot be guarded")
def test_a_counter_of_calls():
    """A variable that the function itself changes is changed at each call, eagerly if need be."""
    count = 0

    def step(x):
        nonlocal count
        count += 1
        return x + count

    return step


def doubler():
    """A generator that is told numbers, and gives twice their sum."""
    total = 0.0
    while True:
        total += (yield 2 * total) or 1.0


class Spied:
    """An object whose attributes may be read past what notes that."""

    def __init__(self):
        self.scale = 1.0


SPIED = Spied()


@pytest.mark.parametrize(("owner", "name", "args", "change"), [
    ({"a": 1.0}, "get", ("a",), lambda owner, n: owner.update(a=float(n))),
    ({"a": 1.0}, "setdefault", ("a",), lambda owner, n: owner.update(a=float(n))),
    ([1.0], "__getitem__", (0,), lambda owner, n: owner.__setitem__(0, float(n))),
    ([1.0], "__len__", (), lambda owner, n: owner.append(n)),
    ([1.0, 2.0], "index", (2.0,), lambda owner, n: owner.insert(0, 1.0)),
    ({1.0}, "__contains__", (2.0,), lambda owner, n: owner.add(float(n))),
    (np.ones(2), "sum", (), lambda owner, n: owner.__setitem__(0, float(n))),
    (np.ones(1), "item", (), lambda owner, n: owner.__setitem__(0, float(n))),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
@pytest.mark.parametrize("kept", [
    lambda method: method, lambda method: functools.partial(method), lambda method: [method],
], ids=["bound", "partial", "list"])  # fmt: skip
@trap
def test_built_in_methods(owner, name, args, change, kept):
    """A built-in method of a container reads what that holds now, wherever the method is kept."""
    owner = owner.copy()
    method = kept(getattr(owner, name))

    def step(x):
        found = method[0] if isinstance(method, list) else method
        return x * float(found(*args))

    return step, lambda n: change(owner, n)


@pytest.mark.parametrize(("make", "name", "args"), [
    (list, "append", (1,)), (deque, "append", (1,)),
    (lambda: deque(range(50)), "popleft", ()), (lambda: list(range(50)), "pop", ()),
    (bytearray, "extend", (b"a",)), (io.StringIO, "write", ("a",)),
    (lambda: iter(range(50)), "__next__", ()), (itertools.count, "__next__", ()),
    (doubler, "send", (None,)), (lambda: contextvars.ContextVar("n"), "set", (1,)),
    (lambda: SPIED, "__getattribute__", ("scale",)),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
@pytest.mark.parametrize("is_default", [False, True], ids=["closure", "default"])
def test_built_in_methods_that_change_things(make, name, args, is_default):
    """A built-in method that changes what it is bound to does so in each call."""

    def run(wrap):
        owner = make()
        SPIED.scale, found = 1.0, []
        method = getattr(owner, name)
        step = (lambda x, m=method: (x, m(*args))) if is_default else lambda x: (x, method(*args))
        step = wrap(step)
        for number in range(6):
            found.append(step(gj.ones(1))[1])
            SPIED.scale = float(number)
        found = [value for value in found if not isinstance(value, contextvars.Token)]
        return found, owner.getvalue() if name == "write" else owner

    with pytest.warns(UserWarning, match="every call changes|cannot be"):
        found, owner = run(gj.trace)
    expected, other = run(lambda function: function)
    assert found == expected
    assert owner == other or not isinstance(owner, (list, dict, deque, bytearray, str))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("draw", [
    np.random.rand, np.random.default_rng(0).random, np.random.RandomState(0).rand,
    random.random, datetime.datetime.now,
], ids=lambda draw: draw.__name__)  # fmt: skip
def test_methods_that_draw(draw):
    """A method of a generator, or of the clock, gives another value at each call."""
    step = gj.trace(lambda x: (x, str(draw())))
    found = {step(gj.ones(1))[1] for _ in range(6)}
    assert len(found) == 6
    assert "cannot be guarded" in step.eager_reason or "other values" in step.eager_reason


def of_local_sys():
    import sys

    return sys.modules["an_option"].rate


@pytest.mark.filterwarnings("ignore::graphjit.errors.TraceWarning")
@pytest.mark.parametrize("rate", [
    lambda: sys.modules["an_option"].rate, of_local_sys, lambda: __import__("an_option").rate,
    lambda: importlib.import_module("an_option").rate,
], ids=["sys", "local sys", "__import__", "import_module"])  # fmt: skip
@trap(eager="sys.modules|__import__|import_module|importlib")
def test_modules_that_are_looked_up(rate):
    """A function that finds modules by their names given as text runs eagerly."""
    module = sys.modules.setdefault("an_option", types.ModuleType("an_option"))
    module.rate = 1.0
    return lambda x: x * rate(), lambda n: setattr(module, "rate", float(n))


@pytest.mark.parametrize("is_method", [False, True], ids=["function", "method"])
@trap
def test_functions_by_type(is_method):
    """What `singledispatch` has registered is followed, and compared, as it is at each call."""
    factors = [1.0]

    def scaled(x):
        return x * factors[0]

    if is_method:
        class Scaled:
            scale = functools.singledispatchmethod(lambda self, x: x)

        vars(Scaled)["scale"].register(gj.Tensor, lambda self, x: scaled(x))
        register = vars(Scaled)["scale"].register
    else:
        scale = functools.singledispatch(lambda x: x)
        scale.register(gj.Tensor, scaled)
        register = scale.register

    def change(n):
        factors[0] = float(n)
        if n == 3:
            register(gj.Tensor, (lambda self, x: x + 100) if is_method else (lambda x: x + 100))

    return (lambda x: Scaled().scale(x)) if is_method else lambda x: scale(x), change


@trap
def test_functions_in_a_read_only_table():
    """Functions in a `MappingProxyType` are followed."""
    factors = [1.0]
    table = types.MappingProxyType({"scale": lambda x: x * factors[0]})
    return lambda x: table["scale"](x), lambda n: factors.append(factors.pop() + n)


@trap
def test_values_of_pythons_own_types():
    """Fractions, decimals, dates, paths and ranges are compared by value."""
    things = [Fraction(1, 2), Decimal("0.5"), datetime.date(2026, 1, 1), Path("a"), range(2)]

    def step(x):
        half, tenth, day, path, numbers = things
        return x * float(half) + float(tenth) + day.day + len(str(path)) + len(numbers)

    def change(n):
        things[n % 5] = [
            Fraction(1, 2 + n), Decimal(n), datetime.date(2026, 1, 1 + n), Path("b" * n), range(n)
        ][n % 5]  # fmt: skip

    return step, change


@trap(eager="cannot be guarded")
def test_cached_functions():
    """A function under `functools.cache` returns what its cache holds."""
    scale = 1.0

    @functools.cache
    def cached(k):
        return scale * k

    def change(n):
        nonlocal scale
        scale = float(n)
        if n % 2:
            cached.cache_clear()

    return lambda x: x * cached(3), change


@trap(eager="cannot be guarded")
def test_context_variables():
    """The value of a context variable is the one of this call."""
    variable = contextvars.ContextVar("variable", default=1.0)

    def change(n):
        variable.set(float(n))

    return lambda x: x * variable.get(), change


@trap
def test_imports_inside():
    """A module that the function imports itself is read as it is now."""

    def step(x):
        from tests.footguns import settings

        return x * settings.SCALE

    def change(n):
        from tests.footguns import settings

        settings.SCALE = float(n)

    return step, change


@pytest.mark.parametrize("read", [
    lambda: os.path.exists("stop"), lambda: Path("stop").exists(), lambda: exists("stop"),
    lambda: len(os.getcwd()), lambda: len(threading.current_thread().name),
])  # fmt: skip
@trap(eager="gives other values at each call")
def test_files_and_the_process(read):
    """What the file system or the process says may be something else at each call."""

    def step(x):
        return x * 2 if read() else x

    return step


@trap(replays=0, eager="every call changes counted.calls")
def test_counters_that_functions_have():
    """A function that keeps a counter in its own attributes counts each call."""

    def counted(x):
        counted.calls = getattr(counted, "calls", 0) + 1
        return x * counted.calls

    return lambda x: counted(x) + 1


def test_counters_that_traced_functions_have():
    """A traced function that keeps a counter in its own attributes counts each call."""

    @gj.trace
    def step(x):
        if not hasattr(step, "calls"):
            step.calls = 0
        step.calls += 1
        return x * step.calls

    with pytest.warns(UserWarning, match="every call changes step.calls"):
        found = [step(gj.ones(())).item() for _ in range(6)]
    assert found == [1, 2, 3, 4, 5, 6]


def test_attributes_of_traced_functions():
    """An attribute that a traced function has, or gets from outside, is compared."""

    @gj.trace
    def step(x):
        return x * getattr(step, "scale", 1.0) + step.shift

    step.shift, one = 1.0, gj.ones(())
    assert [step(one).item() for _ in range(3)] == [2, 2, 2]
    step.scale = 5.0
    assert [step(one).item() for _ in range(3)] == [6, 6, 6]
    step.shift = 3.0
    assert [step(one).item() for _ in range(3)] == [8, 8, 8]
    assert step.stats()["replays"] == 6


@pytest.mark.parametrize("owner", [
    lambda: type("Options", (), {}), lambda: types.ModuleType("options"), lambda: lambda: None,
], ids=["class", "module", "function"])  # fmt: skip
@trap
def test_attributes_that_are_missing_at_first(owner):
    """What `getattr`, `hasattr` and `except` do not find on a class, a module or a function

    is found once it is there.
    """
    options = owner()

    def scale():
        return options.scale

    def step(x):
        x = x * 2 if getattr(options, "double", False) else x
        try:
            return x * scale()
        except AttributeError:
            return x - 1 if hasattr(options, "shift") else x

    def change(n):
        name = ("double", "shift", "scale")[n % 3]
        if hasattr(options, name):
            delattr(options, name)
        else:
            setattr(options, name, float(n))

    return step, change
