"""Both emitters of kernels give the same numbers, from the same text."""

import subprocess
import sys

import numpy as np
import pytest
from running import build, prepare
from test_inplace import adam
from test_lower import cross_entropy, layer_norm, normalised, softmax
from test_random_bodies import Random

import graphjit
from graphjit import dtypes
from graphjit.codegen import compiled

INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
FLOATS = ("float16", "float32", "float64")
#: Of sums, whose order is LLVM's to choose.
TOLERANCE = {2: 1e-3, 4: 1e-6, 8: 1e-14}


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.fixture
def emitter(monkeypatch):
    """Sets the emitter."""
    return lambda name: monkeypatch.setenv("GRAPHJIT_EMITTER", name)


@pytest.fixture
def both(emitter):
    """Results of a body by each emitter, for the same operands."""

    def both(body, arrays, outputs=None, inplace=None):
        made = []
        for name in compiled.EMITTERS:
            emitter(name)
            copies = [array.copy(order="K") for array in arrays]
            homes = [np.full(v.shape, 77, v.dtype.numpy) for v in body.outputs]
            program, passed, _ = prepare(body, copies, outputs or homes, inplace or {}, pieces=3)
            program(*passed)
            made.append([array.copy() for array in passed])
        return made

    return both


def same(made, exact=True):
    for one, other in zip(*made, strict=True):
        if exact or one.dtype.kind != "f":
            np.testing.assert_array_equal(one, other)
        else:
            tolerance = TOLERANCE[one.itemsize]
            scale = np.abs(one[np.isfinite(one)]).max(initial=0)
            np.testing.assert_allclose(one, other, tolerance, tolerance * float(scale))


def normal(rng, *shape, dtype="float32"):
    return (4 * rng.standard_normal(shape)).astype(dtype)


def integers(rng, dtype, *shape):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers(dtype, rng, both):
    x, y = integers(rng, dtype, 3, 50), integers(rng, dtype, 50)
    y[y == 0] = 3

    def function(b, x, y):
        arithmetic = b.add(x, y), b.sub(x, y), b.mul(x, y), b.floor_divide(x, y), b.remainder(x, y)
        order = b.lt(x, y), b.ge(x, y), b.ne(x, y), b.where(b.gt(x, y), x, y), b.maximum(x, y)
        return *arithmetic, *order, b.bitwise_xor(x, y), b.cast(x, dtype=dtypes.float32)

    same(both(build(function, x, y), [x, y]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats(dtype, rng, both):
    x, y = normal(rng, 3, 50, dtype=dtype), normal(rng, 50, dtype=dtype)
    x[1, :3] = np.nan, np.inf, -np.inf

    def function(b, x, y):
        smooth = b.exp(x), b.tanh(x), b.log(b.abs(x)), b.sin(x), b.pow(b.abs(y), x), b.sigmoid(x)
        order = b.lt(x, y), b.ne(x, x), b.maximum(x, y), b.where(b.le(x, y), x, -0.25)
        rounded = b.floor(x), b.remainder(x, y), b.cast(b.sign(x), dtype=dtypes.int8)
        return *smooth, *order, *rounded, b.div(b.sub(b.mul(x, y), 0.1), y), b.isfinite(x)

    same(both(build(function, x, y), [x, y]))


def test_bools_and_casts(rng, both):
    x, y = rng.random((3, 50)) < 0.5, rng.random(50) < 0.5

    def function(b, x, y):
        logic = b.logical_and(x, y), b.logical_xor(x, y), b.logical_not(x), b.eq(x, y)
        return *logic, *(b.cast(x, dtype=dtypes.by_name(name)) for name in (*INTEGERS, *FLOATS))

    same(both(build(function, x, y), [x, y]))


def test_positions_and_strides(rng, both):
    x, home = normal(rng, 6, 5), np.zeros((6, 20), np.float32)

    def function(b, x):
        rows = b.iota(shape=(6, 1), dim=0, dtype=dtypes.int64)
        columns = b.iota(shape=(1, 5), dim=1, dtype=dtypes.int64)
        return b.where(b.ge(rows, columns), x, -np.inf)

    same(both(build(function, x), [x], [home[:, 3:18:3]]))
    same(both(build(function, x.T.copy().T), [x.T.copy().T]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_tiles_of_transposed_operands(dtype, rng, both):
    x, y = normal(rng, 3, 40, 35, dtype=dtype), normal(rng, 3, 35, 40, dtype=dtype)
    body = build(lambda b, x, y: b.add(x, y), x.swapaxes(1, 2), y)
    same(both(body, [x.swapaxes(1, 2), y]))


@pytest.mark.parametrize("dims", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "bool"])
def test_reductions(dims, dtype, rng, both):
    x = normal(rng, 40, 30).astype(dtype)

    def function(b, x):
        order = b.amax(x, dims=dims), b.any(x, dims=dims), b.all(x, dims=dims)
        places = (b.argmax(x, dims=dims), b.argmin(x, dims=dims)) if len(dims) == 1 else ()
        return b.sum(x, dims=dims), *order, *places

    same(both(build(function, x), [x]), exact=False)


@pytest.mark.parametrize(
    "function, shapes",
    [
        (softmax, [(7, 33)]),
        (softmax, [(3, 60000)]),  # rows in claimed memory
        (softmax, [(200, 2)]),
        (layer_norm, [(7, 33), (33,), (33,)]),
        (cross_entropy, [(64, 100), (64, 100)]),
        (normalised, [(300, 300)]),
        (lambda b, x: b.sum(x, dims=(0,)), [(70000, 3)]),
        (lambda b, x: b.sum(x, dims=(0, 1)), [(3, 100000)]),
    ],
)
def test_several_stages(function, shapes, rng, both):
    arrays = [normal(rng, *shape) for shape in shapes]
    same(both(build(function, *arrays), arrays), exact=False)


def test_tiles(rng, both):
    x, y = normal(rng, 1000, 700), normal(rng, 700, 1000).T
    same(both(build(lambda b, x, y: b.add(b.mul(x, 0.5), y), x, y), [x, y]))


def test_in_place(rng, both):
    arrays = [np.abs(normal(rng, 30, 50)) for _ in range(4)] + [np.asarray(0.1, np.float32)]
    same(both(build(adam, *arrays), arrays, inplace={0: 0, 1: 2, 2: 3}))


def test_random_words(both):
    seed, offset = np.asarray(5), np.asarray(2**33)
    attrs = {"n": 301, "group": 2, "step": 4, "lane": 3}
    body = build(lambda b, seed, offset: b.random_words(seed, offset, **attrs), seed, offset)
    same(both(body, [seed, offset]))


@pytest.mark.parametrize("seed", range(5000, 5010))
def test_random_bodies(seed, both):
    drawn = Random(seed)
    same(both(drawn.graph(), drawn.arrays), exact=False)


def trained(steps=3):
    """The losses and weights of a small network."""
    graphjit.manual_seed(3)
    nn = graphjit.nn
    model = nn.Sequential(
        nn.Linear(12, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.2), nn.Linear(16, 5)
    )
    optimizer = graphjit.optim.AdamW(model.parameters(), lr=1e-2)
    x, y = graphjit.randn(24, 12), graphjit.arange(24) % 5

    @graphjit.trace
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    losses = [float(step(x, y)) for _ in range(steps)]
    assert step.stats()["replays"]
    return losses, [parameter.detach().numpy() for parameter in model.parameters()]


def test_a_training_step(emitter, monkeypatch):
    from graphjit.codegen import emit_numba

    built = []
    real = emit_numba.build
    monkeypatch.setattr(emit_numba, "build", lambda text: built.append(text) or real(text))
    losses, weights = trained()
    assert not built
    emitter("numba")
    by_numba = trained()
    assert built
    np.testing.assert_allclose(losses, by_numba[0], 1e-5)
    for one, other in zip(weights, by_numba[1], strict=True):
        np.testing.assert_allclose(one, other, 1e-4, 1e-5)


def test_no_other_emitter(emitter):
    emitter("gcc")
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="GRAPHJIT_EMITTER must be llvm or numba, got 'gcc'"):
        prepare(build(lambda b, x: b.add(x, x), x), [x], [x.copy()])


def test_the_default_does_without_numba(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHJIT_CACHE_DIR", str(tmp_path))
    program = """
import sys, graphjit
from graphjit.runtime import cache
step = graphjit.trace(lambda x: (x.exp() + 1).sum())
for _ in range(3):
    step(graphjit.ones(9))
print(cache.stats().compiled > 0, "numba" in sys.modules)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["True", "False"]
