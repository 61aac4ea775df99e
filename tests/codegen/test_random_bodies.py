"""Random bodies over random shapes and strides compute what NumPy computes for them.

A failure prints the seed; `GRAPHJIT_TEST_SEED=<seed>` runs that body alone.
"""

import os

import numpy as np
import pytest
from running import TOLERANCE, Body, expected, prepare, run

from graphjit.codegen import arrange, lower, phases

COUNT = 40
UNARY = ("neg", "abs", "tanh", "sigmoid", "relu", "sign", "floor")
BINARY = ("add", "sub", "mul", "maximum", "minimum")
COMPARE = ("lt", "le", "gt", "ge", "eq", "ne")
FLOATS = (np.float32, np.float32, np.float32, np.float64, np.float16)


class Random:
    """Draws one body: `inputs`, values by kind, and the graph."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.body = Body()
        rank = int(self.rng.integers(0, 5))
        extents = self.rng.choice([1, 2, 3, 5, 17, 40], size=rank)
        self.domain = tuple(int(e) for e in extents)
        self.dtype = self.rng.choice(FLOATS)
        self.arrays = []
        self.floats = [self.input() for _ in range(self.rng.integers(1, 4))]
        self.bools = [self.comparison()]

    def input(self):
        """An operand that broadcasts to the domain, with strides of any kind."""
        shape = tuple(1 if self.rng.random() < 0.25 else e for e in self.domain)
        if self.rng.random() < 0.2:
            shape = shape[int(self.rng.integers(0, len(shape) + 1)) :]
        order = self.rng.permutation(len(shape))
        steps = self.rng.choice([1, 1, 1, 2, -1], size=len(shape))
        extents = [abs(step) * shape[dim] for dim, step in zip(order, steps, strict=True)]
        base = np.asarray(self.rng.standard_normal(extents))
        array = np.asarray(base, self.dtype)[tuple(slice(None, None, s) for s in steps)]
        self.arrays.append(np.asarray(array).transpose(np.argsort(order)))
        assert self.arrays[-1].shape == shape
        return self.body.input(self.arrays[-1])

    def pick(self, values):
        return values[int(self.rng.integers(0, len(values)))]

    def comparison(self):
        name = self.pick(COMPARE)
        return getattr(self.body, name)(self.pick(self.floats), self.pick(self.floats))

    def step(self):
        """Add one value."""
        b, kind = self.body, self.rng.integers(0, 10)
        x, y = self.pick(self.floats), self.pick(self.floats)
        if kind < 3:
            self.floats.append(getattr(b, self.pick(UNARY))(x))
        elif kind < 6:
            self.floats.append(getattr(b, self.pick(BINARY))(x, y))
        elif kind == 6:
            self.floats.append(b.where(self.pick(self.bools), x, y))
        elif kind == 7:
            self.bools.append(self.comparison())
        elif kind == 8:
            self.floats.append(b.mul(x, float(self.rng.standard_normal())))
        else:
            self.reduction(x)

    def reduction(self, x):
        b = self.body
        dims = tuple(d for d in range(x.ndim) if self.rng.random() < 0.5)
        name = self.pick(("sum", "amax", "amin", "mean", "any", "argmax"))
        if not dims:
            return
        if name == "any":
            truth = self.pick(self.bools)
            dims = tuple(d for d in dims if d < truth.ndim)
            self.bools.append(b.any(truth, dims=dims))
        elif name == "argmax":
            self.floats.append(b.cast(b.argmax(x, dims=dims[:1]), dtype=x.dtype))
        elif name == "mean":
            count = float(np.prod([x.shape[d] for d in dims]))
            self.floats.append(b.mul(b.sum(x, dims=dims), 1 / count))
        else:
            self.floats.append(getattr(b, name)(x, dims=dims))

    def graph(self):
        for _ in range(int(self.rng.integers(2, 14))):
            self.step()
        made = [*self.floats[1:], *self.bools]
        count = int(self.rng.integers(1, 4))
        chosen = [made[int(i)] for i in self.rng.integers(0, len(made), count)]
        return self.body.graph(*chosen)


def seeds(first=0):
    alone = os.environ.get("GRAPHJIT_TEST_SEED")
    return [int(alone)] if alone else range(first, first + COUNT)


@pytest.mark.parametrize("seed", seeds())
def test_random_body(seed):
    drawn = Random(seed)
    graph = drawn.graph()
    wanted = expected(graph, [array.copy() for array in drawn.arrays])
    assert_equal(run(graph, drawn.arrays), wanted, seed)


@pytest.mark.parametrize("seed", seeds(1000))
def test_random_body_in_small_pieces(seed, monkeypatch):
    """As if all extents were long: tiles, chunks, written-out axes, and locals off the stack."""
    lower._lowered.cache_clear()
    for module in (arrange, lower, phases):
        monkeypatch.setattr(module, "TILE", 8)
    monkeypatch.setattr(arrange, "SHORT", 4)
    monkeypatch.setattr(lower, "STACK_BYTES", 256)
    for name, small in (("SERIAL", 50), ("CHUNK", 24), ("STREAK", 4)):
        monkeypatch.setattr(phases, name, small)
    test_random_body(seed)
    lower._lowered.cache_clear()


@pytest.mark.parametrize("seed", seeds(2000))
def test_random_body_in_place(seed):
    drawn = Random(seed)
    graph = drawn.graph()
    wanted = expected(graph, [array.copy() for array in drawn.arrays])
    inplace = {}
    for position, value in enumerate(graph.outputs):
        free = [
            i
            for i, operand in enumerate(graph.inputs)
            if operand.spec == value.spec and i not in inplace.values()
        ]
        if free and drawn.rng.random() < 0.7:
            inplace[position] = drawn.pick(free)
    outputs = [np.full(v.shape, 77, v.dtype.numpy) for v in graph.outputs]
    program, passed, _ = prepare(graph, drawn.arrays, outputs, inplace, pieces=3)
    program(*passed)
    got = [drawn.arrays[inplace[i]] if i in inplace else o for i, o in enumerate(outputs)]
    assert_equal(got, wanted, seed)


def assert_equal(got, wanted, seed):
    for position, (one, other) in enumerate(zip(got, wanted, strict=True)):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        # Rounding may turn a comparison, a sign or a floor here and there.
        assert differing(one, other) <= 0.02, f"seed {seed}, result {position}:\n{one}\n{other}"


def differing(one, other):
    """The share of elements that are not equal within rounding."""
    if one.dtype.kind != "f":
        return np.mean(one != other) if one.size else 0
    tolerance = TOLERANCE[one.itemsize]
    scale = np.abs(other[np.isfinite(other)]).max(initial=1e-30)
    close = np.isclose(one, other, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
    return np.mean(~close) if one.size else 0
