"""Arithmetic on the numbers of a recording, and what a call returns that holds them."""

import cmath
import collections
import math
import operator
import random
import statistics
from fractions import Fraction as Ratio
from statistics import mean as average

import pytest
from test_trace_values import agree, plain

import graphjit as gj
from graphjit.errors import TraceWarning
from graphjit.nn import functional as F

pytestmark = pytest.mark.filterwarnings("error")


class Counter:
    def __init__(self):
        self.n = 1


COUNTED = [
    lambda n: slice(n),
    lambda n: [slice(0, n), (slice(None, None, n), n)],
    lambda n: {"size": gj.Size((n, 2))},
    lambda n: {n: 1, (n, "x"): n, "last": slice(n)},
    lambda n: [complex(n * 0.5, n), cmath.sqrt(n / 2)],
]


@pytest.mark.parametrize("hold", COUNTED)
def test_results_that_hold_counters(hold):
    """A slice of a counter stayed at its second value for ever; a `Size` raised a TypeError.

    Keys of dicts were no ints, and no complex number could be made of a float.
    """
    counters = Counter(), Counter()

    def step(x, counter):
        counter.n += 1
        return hold(counter.n)

    traced = gj.trace(step)
    for _ in range(6):
        found, expected = traced(gj.ones(2), counters[1]), step(gj.ones(2), counters[0])
        assert repr(found) == repr(expected)
        assert {type(part) for part in leaves(found)} == {type(part) for part in leaves(expected)}


def leaves(value):
    """What is not a container in a result, keys included."""
    if isinstance(value, slice):
        value = value.start, value.stop, value.step
    if isinstance(value, dict):
        value = *value, *value.values()
    if not isinstance(value, (list, tuple, set, frozenset)):
        return [value]
    return [leaf for part in value for leaf in leaves(part)]


def test_slices_of_counters_are_replayed():
    counter = Counter()

    def step(x):
        counter.n += 1
        return slice(counter.n, None)

    traced = gj.trace(step)
    assert [traced(gj.ones(2)).start for _ in range(8)] == list(range(2, 10))
    assert traced.stats()["replays"] == 6


def test_slices_as_arguments():
    traced = gj.trace(lambda x, part: x[part] * 2)
    x = gj.arange(6.0)
    parts = [slice(1, 4), slice(1, 4), slice(2, None), slice(1, 4), slice(None, gj.tensor(2))]
    for part in [*parts, slice(None, gj.tensor(3)), *parts]:
        assert traced(x, part).tolist() == (x[part] * 2).tolist()


class Holder:
    pass


def test_what_an_object_is_left_with_when_a_call_fails():
    """Named tuples, sets, slices and keys of dicts kept stand-ins for the numbers in them."""
    kept = Holder()
    shape = collections.namedtuple("shape", "rows")

    def step(x):
        n = x.sum().long().item()
        kept.found = [shape(n), {n}, slice(n), {n: 1}, frozenset([n]), gj.Size([n])]
        raise ValueError

    with pytest.raises(ValueError):
        gj.trace(step)(gj.ones(2))
    assert repr(kept.found[0]) == "shape(rows=2)" and type(kept.found[-1]) is gj.Size
    assert {type(part) for part in leaves(kept.found) if part is not None} == {int}
    assert kept.found[1] == {2} and kept.found[3] == {2: 1}


ROUNDED = {
    "mod": operator.mod,
    "floordiv": operator.floordiv,
    "divmod": divmod,
    "mod by an int": lambda a, b: (a % 7, a % -7, 7 % b),
    "floordiv by a float": lambda a, b: (a // 2.5, a // -3, 10.0 // b),
    "products": lambda a, b: (a * a, a * b, a + b),
    "powers": lambda a, b: (a**1, a**2, a**4, b**3),
}
INTS = [*range(-9, 10), 10**12, -(10**12), 2**31, -(2**61), 2**63 - 1, -(2**63)]
FLOATS = [-0.0, 0.5, -2.5, 4.0, -4.0, 1e16, -1e300, 1e-300, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("values", [(INTS, INTS), (FLOATS, INTS), (INTS, FLOATS), (FLOATS, FLOATS)])
@pytest.mark.parametrize("name", ROUNDED)
def test_remainders_and_quotients(name, values):
    """`%`, `//` and powers were recorded anew for each number.

    At the least int64, which has no absolute value, a product overflowed unseen.
    """
    rng = random.Random(0)

    def function(x, y):
        return ROUNDED[name](x.item(), y.item())

    calls = [
        tuple(gj.tensor(rng.choice(v), dtype=gj.int64 if v is INTS else gj.float64) for v in values)
        for _ in range(40)
    ]
    agree(function, [*calls, *calls])


def test_every_third_step():
    """A counter that was taken modulo a number made a variant for each of its values."""

    def counted(counter, x):
        counter.n += 1
        if counter.n % 3 == 0:
            return x * counter.n, counter.n // 3, counter.n**2
        return x - counter.n, divmod(counter.n, 3), -counter.n % 4

    mine, reference = Counter(), Counter()
    traced = gj.trace(lambda x: counted(mine, x))
    for n in range(20):
        x = gj.ones(2) * n
        assert plain(traced(x)) == plain(counted(reference, x))
    assert traced.stats()["variants"] == 3 and traced.stats()["replays"] == 17


def test_named_tuples_are_replayed():
    """A function with a named tuple's class among its globals ran eagerly."""
    traced = gj.trace(lambda x: NamedPair(x * 2, x.shape).left + 1)
    found = [traced(gj.ones(2) * n).tolist() for n in range(4)]
    assert found == [[2 * n + 1.0] * 2 for n in range(4)]
    assert traced.stats()["replays"] == 3


NamedPair = collections.namedtuple("NamedPair", "left right")


TOLD_APART = [
    lambda v, n: statistics.mean([v, 1.0]),
    lambda v, n: average([v, n]),
    lambda v, n: (Ratio(n, 3), Ratio(v)),
    lambda v, n: math.ldexp(v, n),
    lambda v, n: (float.__add__(v, 1.0), int.__mul__(n, 2), int.bit_count(n)),
]


@pytest.mark.filterwarnings("ignore:.* cannot be made anew")
@pytest.mark.parametrize("use", TOLD_APART)
def test_what_tells_symbols_from_numbers(use):
    """A TypeError came from code that looks at the types of numbers, and for counters too."""
    counters = Counter(), Counter()

    def step(x, counter):
        counter.n += 1
        return repr(use(x.sum().item(), counter.n))

    traced = gj.trace(step)
    for n in range(5):
        x = gj.ones(2) * (n % 2 + 0.5)
        assert traced(x, counters[1]) == step(x, counters[0])


def hidden(name):
    """A method of float, found without its name in any code that is looked through."""
    return operator.attrgetter(name)(float)


def test_a_failed_call_is_made_again_without_symbols():
    """A TypeError that only symbols cause was raised, though the call had changed nothing."""
    traced = gj.trace(lambda x: ADD(x.sum().item(), 1.0))
    assert [traced(gj.ones(2) * n) for n in (1, 1, 1, 2)] == [3.0, 3.0, 3.0, 5.0]
    assert traced.stats()["variants"] == 2 and traced.stats()["replays"] == 1


def test_a_failed_call_that_has_changed_something_is_not_made_again():
    """Such a call changes its argument once; the next one gets plain numbers."""
    traced = gj.trace(lambda x: ADD(x.add_(1).sum().item(), 1.0))
    x = gj.ones(2)
    with pytest.raises(TypeError, match="requires a 'float' object"):
        traced(x)
    assert x.tolist() == [2.0, 2.0]
    assert [traced(x), traced(x)] == [7.0, 9.0]


def test_a_failure_of_the_functions_own():
    """Numbers stay symbolic after an error that they are not to blame for."""

    def step(x, scale):
        return x.sum().item() + scale

    traced = gj.trace(step)
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \+: 'float' and 'str'"):
        traced(gj.ones(2), "1")
    assert [traced(gj.ones(2) * n, 1.0) for n in range(4)] == [1.0, 3.0, 5.0, 7.0]
    assert traced.stats()["replays"] == 3


ADD = hidden("__add__")


def test_a_type_error_of_the_users_own_is_raised_once(capsys):
    """A call that raised any TypeError beside a symbolic number was run a second time."""

    def step(x):
        print("called", x.sum().item() > 0)
        raise TypeError("mine")

    with pytest.warns(TraceWarning), pytest.raises(TypeError, match="mine"):
        gj.trace(step)(gj.ones(2))
    assert capsys.readouterr().out == "called True\n"


NEEDS_A_TENSOR = [
    lambda v, x: gj.hypot(v, v), lambda v, x: gj.erfc(v), lambda v, x: gj.copysign(v, v),
    lambda v, x: F.relu(v), lambda v, x: F.tanhshrink(v), lambda v, x: F.kl_div(v, x),
    lambda v, x: F.kl_div(x, v), lambda v, x: gj.mode(v),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("use", NEEDS_A_TENSOR)
def test_a_number_where_a_tensor_is_needed(use):
    """Functions took numbers, or raised AttributeErrors, and other ones where they were traced."""
    traced = gj.trace(lambda v, x: use(v, x))
    for v in (0.5, 1.5, 2.5):
        with pytest.raises(TypeError, match="must be Tensor, not float") as expected:
            use(v, gj.ones(2))
        with pytest.raises(TypeError, match="must be Tensor, not float") as found:
            traced(v, gj.ones(2))
        assert str(found.value).split(" (")[0] == str(expected.value).split(" (")[0]
