"""Python that looks at values: branches, loops, numbers. Paths seen before replay compiled."""

import json
import math
import operator

import numpy as np
import pytest

import graphjit as gj
from graphjit import nn, optim
from graphjit.errors import TraceWarning

pytestmark = pytest.mark.filterwarnings("error")


def agree(function, calls, replays=None):
    """Traced, `function` gives in each of the calls what it gives eagerly; returns the traced."""
    traced = gj.trace(function)
    for args in calls:
        expected = outcome(function, args)
        assert outcome(traced, args) == expected
    if replays is not None:
        assert traced.stats()["replays"] == replays
    return traced


def outcome(function, args):
    """The result, as text that tells numbers apart by type and by every bit, or the error."""
    try:
        return plain(function(*[a.clone() if isinstance(a, gj.Tensor) else a for a in args]))
    except Exception as error:  # noqa: BLE001  (both runs are to raise the same)
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def plain(value):
    if isinstance(value, gj.Tensor):
        return repr(value.tolist()) + str(value.dtype)
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(plain, value)]
    return f"{type(value).__name__} {value!r}"


def numbers(*values):
    return [(gj.tensor([1.0, 2.0, 3.0]) * v,) for v in values]


def test_both_sides_of_a_branch():
    def f(x):
        if x.sum() > 0:
            return x * 2
        return x - 1

    traced = agree(f, numbers(1, -1, 1, -1, -2, 3, 3, -1), replays=6)
    assert traced.stats()["variants"] == 2
    assert "another value than before at test_trace_values.py" in traced.explain()


def test_nested_branches_early_return_and_assert():
    def f(x):
        if x[0] > 2:
            return "large", x
        assert x[1] < 4, "too large"
        y = x * 2 if x.sum() > 0 else -x
        if y.max() > 7 and y.min() > 1.5:
            return "middle", y + 1
        return "small", y

    agree(f, numbers(1, 3, 1.5, -1, 0.1, 2, 1, 3, -1, 1.5, 2, 0.1) * 2)


def test_loops_whose_length_is_a_value():
    def f(x, limit):
        steps = 0
        while x.norm() < limit:
            x = x * 2
            steps += 1
        for i in range(int(x[0]) % 4):
            x = x + i
        return x, steps

    traced = agree(f, [(*x, k) for k in (5.0, 50.0) for x in numbers(1, 2, 1, 2, 1)])
    assert traced.stats()["variants"] <= 4


def test_a_branch_that_is_wrong_leaves_no_trace():
    def f(x, total):
        total.add_(x.sum())
        noise = gj.rand(3)
        if total > 4:
            total.sub_(4)
            return noise * 2
        return noise

    gj.manual_seed(0)
    traced, totals = gj.trace(f), [gj.zeros(()), gj.zeros(())]
    for x in (1, 1, 0.2, 1, -1, 0.5, 1, 0.1, 1):
        x = gj.full((3,), float(x)) / 3 * 2
        state = gj.get_rng_state()
        expected = f(x, totals[0])
        after = gj.get_rng_state()
        gj.set_rng_state(state)
        assert traced(x, totals[1]).tolist() == expected.tolist()
        assert totals[1].item() == totals[0].item()
        assert gj.get_rng_state().tolist() == after.tolist()
    assert traced.stats()["replays"] >= 5


def test_an_item_stays_symbolic():
    def f(x):
        n = x.sum().item()
        m = x.argmax().item()
        return x * n, x + m, n, n / 2 + m * 3, [m, -n, abs(n) - 1], m / 2

    traced = agree(f, numbers(1, 2, 3.5, -1, -7, 0.3), replays=5)
    assert traced.stats()["variants"] == 1


def test_an_item_of_each_dtype():
    def f(x):
        return x.item(), x.item() * 2, x * x.item()

    for dtype in ("float32", "float64", "float16", "int64", "int32", "uint8", "bool"):
        values = [gj.tensor(v).to(getattr(gj, dtype)) for v in (1.1, 2.3, 3.7, 0.0)]
        agree(f, [(v,) for v in values])


def test_numbers_that_python_needs_are_seen_exactly():
    def f(x):
        n = x[0].item()
        shown = f"{n:.2f}", round(n, 1), int(n) // 2, {n: 1}[n]
        return math.sqrt(n), shown, max(n, 2.0), n**2, n % 1

    agree(f, numbers(1, 2, 1, 2, 3.25))


def test_tensors_made_of_numbers():
    """`tensor(x.sum().item())` raised: a symbolic number was called for its type."""

    def f(x, s):
        a, b = x.sum().item(), int(x[0])
        return (
            gj.tensor(a), gj.tensor([a, s, 2, True]), gj.tensor([b, 1]), gj.tensor([[a], [s]]),
            gj.tensor(s, dtype=gj.int64), gj.tensor([s], dtype=gj.float64), x.new_tensor([s, a]),
            gj.tensor(x.numel() + b, dtype=gj.float16),
        )

    agree(f, [(gj.tensor([1.0, k]), k / 3) for k in (1, 2, 3, 0, -2)])

    def symbolic(x, s):
        return gj.tensor([x.sum().item(), s]), gj.tensor(s)

    agree(symbolic, [(gj.tensor([1.0, k]), k / 3) for k in (1, 2, 3, 0, -2)], replays=4)


def test_a_number_is_not_saved_for_backward():
    """The second backward through `p / s` raised: a float argument was taken for a saved tensor."""

    p = gj.ones(3, requires_grad=True)

    def f(s):
        p.grad = None
        y = p / s * s
        (y * 2).sum().backward()
        (y * 3).sum().backward()
        return p.grad.clone()

    agree(f, [(k / 3,) for k in (1, 2, 3)], replays=2)


def test_comparisons_of_numbers_guard_their_outcome_only():
    def f(x):
        n, m = x[0].item(), x[1].item()
        return x + 1 if n < m and n != 5 and not n > 90 else x - 1

    traced = agree(f, numbers(1, 2, 3, 4, 6, 7, 8, 5, -1), replays=6)
    assert traced.stats()["variants"] == 3


def test_integers_beyond_int64_and_division_by_zero():
    def f(x):
        n = x[0].item()
        return n * n, n * 3 + 1, 1 / n

    for dtype in (gj.int64, gj.float64):
        agree(f, [(gj.tensor([v], dtype=dtype),) for v in (3, 4, 1 << 40, 5, 0, -2, 7, 1 << 61, 2)])


def test_slices_and_shapes_by_value():
    def f(x, y):
        n = int(y.sum())
        return x[:n], x[y.argmax().item() :], gj.zeros(n), x.narrow(0, 0, n)

    calls = [(gj.arange(5.0), gj.tensor(v)) for v in ([1, 0], [0, 2], [1, 0], [3, 1], [0, 2])]
    agree(f, calls, replays=2)


def test_float_arguments_do_not_recompile():
    def f(x, scale, shift=0.5):
        return x * scale + shift * 2, scale

    traced = agree(f, [(*x, 0.1 * i) for i in range(9) for x in numbers(1)], replays=8)
    for i in range(5):
        x = gj.ones(2)
        assert plain(traced(x, scale=i / 7, shift=i / 3)) == plain(f(x, scale=i / 7, shift=i / 3))
    assert traced.stats()["variants"] == 2


def test_float_arguments_that_decide():
    def f(x, p, q):
        if p > 0.5:
            x = x * p
        return x + math.exp(q) if q else x

    args = [(0.1, 0.0), (0.9, 0.0), (0.2, 1.0), (0.3, 0.0), (0.8, 1.0), (0.7, 1.0), (0.9, 2.0)]
    agree(f, [(gj.ones(3), *pair) for pair in args * 2])


def test_special_floats_as_arguments():
    def f(x, s):
        return x * s, s, s + 1, 1.0 if s < 1 else 2.0, str(s)

    values = (0.0, -0.0, math.nan, math.inf, -math.inf, 1e300)
    agree(f, [(gj.ones(2, dtype=gj.float64), v) for v in values * 2])


def test_code_that_tells_symbols_from_numbers_gets_numbers():
    def by_type(x, s):
        return x * 2 if type(s) is float else x * 3

    def by_json(x):
        return json.dumps({"loss": x.sum().item()}), x + 1

    agree(by_type, [(gj.ones(2), 0.5), (gj.ones(2), 1.5), (gj.ones(2), 0.5)])
    agree(by_json, numbers(1, 2, 1))


def test_numbers_kept_outside_are_plain_afterwards():
    kept, holder = [], type("Holder", (), {})()

    def f(x):
        n = x.sum().item()
        kept.append(n)
        kept.append((n, [n]))
        holder.value = n
        return {"n": n}, (n, [n])

    with pytest.warns(TraceWarning, match="kept.append"):
        f = gj.trace(f)
    results = [f(*args) for args in numbers(1, 2) * 4]
    assert f.eager_reason == "every call changes kept"
    number, (second, [third]) = kept[:2]
    returned, (fifth, [sixth]) = results[0]
    found = [number, second, third, holder.value, returned["n"], fifth, sixth]
    assert set(map(type, found)) == {float}


def test_small_results_whose_shape_depends_on_values():
    def f(x):
        mask = x > 2
        y = x.clone()
        y[mask] = 0
        return x[mask], x.nonzero(), x.unique(), y, gj.masked_select(x, mask)

    calls = [(gj.tensor([1.0, v, 3.0, v]),) for v in (0, 5, 0, 5, 2, 0)]
    agree(f, calls, replays=3)


def test_results_seen_by_python_are_the_callers_own():
    """A constant of a recording that was returned could be written to, and so changed replays."""

    def f(x):
        return x.nonzero(), gj.tensor([1.0, 2.0])

    traced = gj.trace(f)
    for _ in range(4):
        places, constant = traced(gj.tensor([0.0, 1.0]))
        assert (places.tolist(), constant.tolist()) == ([[1]], [1, 2])
        places.zero_(), constant.zero_()


def test_a_step_that_skips_on_nan():
    def make():
        gj.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = optim.Adam(model.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = model(x).pow(2).mean()
            if loss.isnan():
                return None
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            if norm > 0.2:
                optimizer.step()
            return loss.item()

        return model, step

    (model, eager), (twin, step) = make(), make()
    traced = gj.trace(step)
    for i in range(12):
        x = gj.full((2, 3), math.nan if i % 4 == 2 else 1.0 / (1 + i))
        expected = eager(x)
        assert traced(x) == (None if expected is None else pytest.approx(expected, 1e-4))
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), 1e-4)
            assert (p.grad is None) == (q.grad is None)
    assert traced.stats()["replays"] >= 8


@pytest.mark.parametrize("limit", ["MAX_VARIANTS", "MAX_BRANCHES"])
def test_too_many_branches_run_eagerly_and_say_so(monkeypatch, limit):
    monkeypatch.setenv(f"GRAPHJIT_{limit}", "4")

    @gj.trace
    def f(x):
        return x * int(x[0])

    def check(numbers):
        for i in numbers:
            assert f(gj.full((2,), float(i))).tolist() == [i * i] * 2

    where = rf"{limit}=4.*test_trace_values\.py.*int\(x\[0\]\)"
    with pytest.warns(UserWarning, match=where):
        check(range(40))
    check([1, 2, 50])
    assert f.stats()["variants"] == 4


def test_values_that_raise_are_seen_at_a_replay():
    """Checks of probabilities were left out while recording, so that replays drew from NaN."""

    def chance(x):
        return gj.bernoulli(x).abs() >= 0

    def choice(x):
        return gj.multinomial(x, 1) >= 0

    def spread(x):
        return gj.normal(0.0, x).isfinite()

    def classes(x):
        return nn.functional.one_hot(x.long(), 3)

    good, bad = [0.5, 0.25], ([0.5, -1.0], [0.5, math.nan], [7.0, 0.0], [0.0, 0.0])
    for function in (chance, choice, spread, classes):
        for wrong in bad:
            agree(function, [(gj.tensor(v),) for v in (good, good, wrong, good, wrong)])


def test_multinomial_refuses_what_pytorch_refuses():
    torch = pytest.importorskip("torch")
    for weights in ([0.5, -1.0], [0.5, math.nan], [math.inf, 1.0], [0.0, 0.0]):
        messages = []
        for library in (gj, torch):
            with pytest.raises(RuntimeError) as caught:
                library.multinomial(library.tensor(weights), 1)
            messages.append(str(caught.value).splitlines()[0])
        assert messages[0] == messages[1]


def test_a_comparison_of_a_number_that_python_has_seen():
    """Comparing a float with an int, after its value had been seen, failed in the recorder."""

    def f(x):
        n = x.sum().item()
        text = str(n)
        return text, n > 2, n == 3.0, int(n) < n + 0.5, x * n

    agree(f, numbers(1, 2, 1))


OPERATORS = [
    operator.floordiv, operator.mod, divmod, pow, operator.lshift, operator.or_, operator.truediv
]  # fmt: skip


@pytest.mark.parametrize("operation", OPERATORS)
@pytest.mark.parametrize("other", [-0.25, 3, 2.5])
@pytest.mark.parametrize("number", [4, 1.5])
def test_numbers_of_two_kinds(operation, other, number):
    """`x.item() // 0.5` of an integer tensor raised a TypeError while it was recorded."""

    def function(x):
        found = []
        for pair in ((x.item(), other), (other, x.item())):
            try:
                found.append(operation(*pair))
            except TypeError as error:
                found.append(str(error))
        return found

    traced = gj.trace(function)
    for _ in range(3):
        x = gj.tensor(number)
        assert repr(traced(x)) == repr(function(x))


def deleted(n):
    del n[n]


@pytest.mark.parametrize(
    "use", [lambda n: n._array, lambda n: operator.setitem(n, n, 1), deleted]
)
def test_what_a_number_lacks(use):
    """The message of an error on a symbolic number was not the number's."""

    def function(x, s):
        found = []
        for n in (x.sum().item(), s):
            try:
                use(n)
            except (AttributeError, TypeError) as error:
                found.append(str(error))
        return found

    traced = gj.trace(function)
    assert traced(gj.arange(3), 1.5) == function(gj.arange(3), 1.5)


CAUGHT = {
    "index": (lambda x: gj.arange(3.0)[x.long()], [0.0, 1.0], [0.0, 5.0]),
    "embedding": (lambda x: gj.nn.functional.embedding(x.long(), gj.eye(3)), [1.0], [7.0]),
    "one_hot": (lambda x: gj.nn.functional.one_hot(x.long(), 3), [1.0, 2.0], [-1.0, 4.0]),
    "quotient": (lambda x: 5 / x.sum().item(), [1.0, 2.0], [-1.0, 1.0]),
    "division": (lambda x: 5 // x.long(), [1.0, 2.0], [0.0, 1.0]),
    "bernoulli": (lambda x: gj.bernoulli(x), [0.5, 0.0], [0.5, 2.0]),
    "normal": (lambda x: gj.normal(x, x), [0.5, 0.0], [0.5, -2.0]),
    "multinomial": (lambda x: gj.multinomial(x, 1), [0.5, 0.5], [0.0, 0.0]),
}


@pytest.mark.parametrize("name", CAUGHT)
@pytest.mark.parametrize("first", [False, True])
def test_an_error_of_values_that_the_function_catches(name, first):
    """A replay took for granted that an error came again, whatever the elements were by then."""
    raises, good, bad = CAUGHT[name]

    def function(x):
        try:
            raises(x)
        except (RuntimeError, IndexError, ArithmeticError):
            return x + 1
        return x * 2

    traced = gj.trace(function)
    inputs = [bad, bad, good, bad, good] if first else [good, good, bad, good, bad]
    for elements in inputs:
        x = gj.tensor(elements)
        assert traced(x).tolist() == function(x).tolist()
    assert traced.stats()["replays"] >= 2


NUMBERS = {
    "float16": [300.0, -0.0, 2048.0, 6.0, float("inf"), 1e-4, float("nan"), 100.0],
    "float32": [float("-inf"), -0.0, 4.0, 3e9, -3e9, float("nan"), 1e20, -2.5],
    "int64": [-(2**63), 2**63 - 1, 7, -7, 0, 3, -1, 10],
    "uint8": [0, 1, 100, 255, 7, 9, 128, 200],
}
EDGES = [
    ("float16", lambda x: (x * x) / x), ("float16", lambda x: x.square() < 1e5),
    ("float16", lambda x: (x + 1).float() - x.float()),
    ("float16", lambda x: x[7].repeat(3).std(0)),
    ("float16", lambda x: x[3].repeat(3).var(-1, correction=3)),
    ("float32", lambda x: x.pow(-0.5)), ("float32", lambda x: x.pow(-2)),
    ("float32", lambda x: (x * 2).byte()), ("float32", lambda x: (x - 1).int()),
    ("float32", lambda x: (x * 3).long()), ("float32", lambda x: (x * 3).short()),
    ("int64", lambda x: x.fmod(3)), ("int64", lambda x: x.div(3, rounding_mode="trunc")),
    ("int64", lambda x: gj.fmod(x, gj.full((8,), -3))), ("int64", lambda x: x // -3),
    ("uint8", lambda x: x.log10().byte()), ("uint8", lambda x: (1 / x).char()),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "function"), EDGES)
def test_numbers_at_the_edge(dtype, function, monkeypatch):
    """Kernels did not round float16 between ops, nor get the least integer or infinities right."""
    monkeypatch.setenv("GRAPHJIT_BACKEND", "numba")
    x = gj.tensor(NUMBERS[dtype], dtype=getattr(gj, dtype))
    expected = function(x).numpy()
    traced = gj.trace(function)
    for _ in range(3):
        np.testing.assert_array_equal(traced(x).numpy(), expected)
