"""`x[key]` and `x[key] = value` for random keys, against PyTorch, with gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphjit as gj

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

SHAPES = [(5,), (3, 4), (2, 3, 4), (4, 1, 3, 2), (1,), ()]


@st.composite
def slices(draw):
    bound = st.one_of(st.none(), st.integers(-7, 7))
    return slice(draw(bound), draw(bound), draw(st.one_of(st.none(), st.integers(1, 3))))


@st.composite
def index_arrays(draw, extent):
    shape = draw(st.sampled_from([(2,), (3,), (1,), (2, 2), (3, 1)]))
    count = int(np.prod(shape))
    numbers = draw(st.lists(st.integers(-extent, extent - 1), min_size=count, max_size=count))
    return np.array(numbers).reshape(shape)


@st.composite
def keys(draw):
    """A shape, and a key that may fit it."""
    shape = draw(st.sampled_from(SHAPES))
    parts, used = [], 0
    while used < len(shape) and draw(st.integers(0, 5)):
        kind = draw(st.sampled_from(["int", "slice", "slice", "none", "array", "mask", "list"]))
        extent = shape[used]
        if kind == "none":
            parts.append(None)
            continue
        if kind == "int":
            parts.append(draw(st.integers(-extent, extent - 1)))
        elif kind == "slice":
            parts.append(draw(slices()))
        elif kind == "array":
            parts.append(draw(index_arrays(extent)))
        elif kind == "list":
            parts.append(draw(st.lists(st.integers(-extent, extent - 1), min_size=1, max_size=3)))
        else:
            parts.append(np.array(draw(st.lists(st.booleans(), min_size=extent, max_size=extent))))
        used += 1
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), Ellipsis)
    key = parts[0] if len(parts) == 1 and draw(st.booleans()) else tuple(parts)
    return shape, key


def as_key(module, key):
    if isinstance(key, tuple):
        return tuple(as_key(module, part) for part in key)
    return module.tensor(key) if isinstance(key, np.ndarray) else key


def run(module, shape, action):
    """What `action(x)` returns and leaves in `x`, or the class of the error it raises."""
    x = module.arange(float(np.prod(shape))).reshape(shape).clone()
    try:
        result = action(x)
    except (IndexError, RuntimeError, ValueError, TypeError) as error:
        return type(error).__name__
    array = None if result is None else result.detach().numpy().copy()
    return array, x.detach().numpy().copy()


def assert_alike(ours, theirs):
    assert type(ours) is type(theirs), (ours, theirs)
    if isinstance(ours, str):
        assert ours == theirs
        return
    for a, b in zip(ours, theirs, strict=True):
        if a is None:
            assert b is None
        else:
            assert a.shape == b.shape
            np.testing.assert_array_equal(a, b)


@settings(max_examples=400, deadline=None)
@given(keys())
def test_get(case):
    shape, key = case
    results = [run(m, shape, lambda x, m=m: x[as_key(m, key)]) for m in (gj, torch)]
    assert_alike(*results)


@settings(max_examples=400, deadline=None)
@given(keys(), st.sampled_from(["number", "scalar", "whole", "row"]))
def test_set(case, kind):
    shape, key = case
    if not _unique(shape, key):
        return

    def action(module):
        def write(x):
            where = as_key(module, key)
            if kind == "number":
                x[where] = 7.5
            elif kind == "scalar":
                x[where] = module.tensor(-3.0)
            else:
                target = x[where].shape
                extents = target if kind == "whole" else target[-1:]
                x[where] = module.arange(float(np.prod(extents))).reshape(tuple(extents)) + 100

        return write

    assert_alike(run(gj, shape, action(gj)), run(torch, shape, action(torch)))


def _unique(shape, key):
    """Whether the key names no element twice: what is written then is not defined."""
    try:
        places = np.arange(int(np.prod(shape))).reshape(shape)
        chosen = torch.tensor(places)[as_key(torch, key)].numpy().reshape(-1)
    except (IndexError, RuntimeError, ValueError, TypeError):
        return True
    return len(set(chosen.tolist())) == chosen.size


@settings(max_examples=200, deadline=None)
@given(keys())
def test_gradient(case):
    shape, key = case

    def gradients(module):
        def action(x):
            x.requires_grad_()
            y = (x * 1.5)[as_key(module, key)]
            (y * y).sum().backward()
            return x.grad

        return action

    assert_alike(*(run(m, shape, gradients(m)) for m in (gj, torch)))


@settings(max_examples=200, deadline=None)
@given(keys())
def test_gradient_of_assignment(case):
    shape, key = case
    if not _unique(shape, key):
        return

    def gradients(module):
        def action(x):
            x.requires_grad_()
            value = module.tensor(2.0, requires_grad=True)
            y = x * 1.5
            y[as_key(module, key)] = value * 3
            (y * y).sum().backward()
            # Where all is overwritten, PyTorch gives zeros and we give None.
            grads = [module.zeros(1) if v.grad is None else v.grad for v in (x, value)]
            known = [g.reshape(-1) for g in grads if g.count_nonzero()]
            return module.cat([*known, x.new_zeros(1)])

        return action

    assert_alike(*(run(m, shape, gradients(m)) for m in (gj, torch)))
