"""Kernels on every dtype that has kernels, with the conversions between them."""

import itertools
import warnings

import numpy as np
import pytest
from running import build, check, prepare, run

import graphjit as gj
from graphjit import dtypes
from graphjit.errors import CompileError

INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
FLOATS = ("float16", "float32", "float64")
rng = np.random.default_rng(2)


def values(dtype, *shape):
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype in INTEGERS:
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return (4 * rng.standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_wrap(dtype):
    x, y = values(dtype, 3, 50), values(dtype, 50)
    check(
        lambda b, x, y: (b.add(x, y), b.mul(x, y), b.sub(x, y), b.maximum(x, y), b.lt(x, y)), x, y
    )
    check(lambda b, x, y: (b.bitwise_and(x, y), b.bitwise_xor(x, y), b.bitwise_not(x)), x, y)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_division_rounds_down(dtype):
    x, y = values(dtype, 3, 50), values(dtype, 50)
    y[y == 0] = 3
    if dtype != "uint8":
        y[0] = -1
        x[0, 0] = 7
    check(lambda b, x, y: (b.floor_divide(x, y), b.remainder(x, y)), x, y)


def test_division_by_an_integer_zero_does_not_trap():
    x, zero = values("int32", 40), np.zeros(40, np.int32)
    (got,) = run(build(lambda b, x, y: b.floor_divide(x, y), x, zero), [x, zero])
    assert got.shape == (40,)


@pytest.mark.parametrize("dtype", (*INTEGERS, "bool"))
def test_integers_add_up_in_int64(dtype):
    x = values(dtype, 7, 60)
    for dims in ((0,), (1,), (0, 1)):
        check(lambda b, x, dims=dims: b.sum(x, dims=dims), x)
        check(lambda b, x, dims=dims: (b.amax(x, dims=dims), b.amin(x, dims=dims)), x)
    check(lambda b, x: (b.argmax(x, dims=(1,)), b.argmin(x, dims=(0,))), x)


@pytest.mark.parametrize("dtype", ("bool", "int32", "float32", "float64"))
def test_any_and_all(dtype):
    x = values(dtype, 30, 60)
    x[3] = 0
    x[:, 5] = 1
    for dims in ((0,), (1,), (0, 1)):
        check(lambda b, x, dims=dims: (b.any(x, dims=dims), b.all(x, dims=dims)), x)


@pytest.mark.parametrize("source", ("bool", *INTEGERS, *FLOATS))
@pytest.mark.parametrize("target", ("bool", *INTEGERS, *FLOATS))
def test_casts(source, target):
    x = values(source, 3, 40)
    if source in FLOATS and target in INTEGERS:
        x = np.abs(x)
    elif source == "int64" and target in FLOATS:
        x >>= 50
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(lambda b, x: b.cast(x, dtype=dtypes.by_name(target)), x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats(dtype):
    x = values(dtype, 6, 70)
    y = np.abs(values(dtype, 70)) + np.asarray(0.5, dtype)
    check(lambda b, x, y: b.div(b.exp(b.neg(b.mul(x, x))), y), x, y)
    check(lambda b, x, y: b.sum(b.mul(x, y), dims=(1,)), x, y)
    check(lambda b, x, y: (b.amax(b.mul(x, y), dims=(0,)), b.floor(x)), x, y)
    check(lambda b, x, y: (b.where(b.gt(x, y), x, y), b.isnan(x), b.isfinite(x)), x, y)


def test_a_cast_to_float16_rounds_where_it_stands():
    x = np.full(9, 1 + 2**-12, np.float32)

    def function(b, x):
        rounded = b.cast(b.cast(x, dtype=dtypes.float16), dtype=dtypes.float32)
        return b.sub(x, rounded)

    check(function, x)


def test_positions():
    x = values("float32", 4, 5, 6)

    def function(b, x):
        rows = b.iota(shape=(5, 1), dim=0, dtype=dtypes.int64)
        columns = b.iota(shape=(1, 6), dim=1, dtype=dtypes.int64)
        masked = b.where(b.ge(rows, columns), x, -np.inf)
        return masked, b.amax(masked, dims=(2,)), b.iota(shape=(1, 6), dim=0, dtype=dtypes.int32)

    check(function, x)


def test_special_literals():
    x = values("float32", 20)
    check(lambda b, x: (b.where(b.gt(x, 0), np.inf, x), b.where(b.gt(x, 0), np.nan, x)), x)
    check(lambda b, x: b.add(b.full(shape=(3, 20), value=-2.5, dtype=dtypes.float32), x), x)
    check(lambda b, x: b.mul(b.full(shape=(20,), value=0, dtype=dtypes.float32), x), x)


def test_no_float64_inside_float32_kernels():
    from graphjit.codegen.compiled import source

    x = values("float32", 7, 60)

    def function(b, x):
        position = b.cast(b.iota(shape=(7, 60), dim=1, dtype=dtypes.int64), dtype=dtypes.float32)
        return b.sum(b.exp(b.mul(b.add(x, position), 0.5)), dims=(1,))

    lowered = prepare(build(function, x), [x], [np.empty((7, 1), np.float32)])[2]
    assert "f64" not in source(lowered.calls[0].kernel)


def test_complex_is_refused():
    x = np.zeros(3, np.complex64)
    with pytest.raises(CompileError, match="complex64"):
        run(build(lambda b, x: b.neg(x), x), [x])


def test_random_words_are_those_of_the_eager_generator():
    seed, offset = np.array(2**40 + 7), np.array(11)

    def function(b, seed, offset):
        words = b.random_words(seed, offset, n=1000, group=1, step=2, lane=1)
        return words, b.mul(b.cast(words, dtype=dtypes.float32), 2.0**-32)

    check(function, seed, offset)


@pytest.mark.parametrize(
    "function",
    [lambda x: x.tanh().half(), lambda x: x.half().tanh(), lambda x: x.float().log1p().half()],
)
def test_signs_of_float64_in_float16(function):
    """LLVM takes the sign of a float16 from the float64 that it came from, by a call."""
    x = gj.linspace(-0.9, 3, 17, dtype=gj.float64)
    traced = gj.trace(function)
    for _ in range(3):
        assert gj.allclose(traced(x), function(x), rtol=2e-3)


@pytest.mark.parametrize("dtype", FLOATS)
def test_zeros_of_remainders_have_the_sign_of_the_dividend(dtype):
    """Eager remainders had the sign of the divisor, traced `fmod` lost that of -0.0."""
    rows = [-4.0, 4.0, -0.0, 0.0, -6.5], [2.0, -2.0, 4.0, -1.0, 0.5]
    x, y = (np.array(r, dtype) for r in zip(*itertools.product(*rows), strict=True))
    expected = np.signbit(np.fmod(x, y))  # C's fmod
    x, y = gj.from_numpy(x), gj.from_numpy(y)
    both = lambda x, y: (gj.remainder(x, y), gj.fmod(x, y))
    traced = gj.trace(both)
    for results in (both(x, y), traced(x, y), traced(x, y)):
        for result in results:
            found = result.numpy()
            np.testing.assert_array_equal(np.signbit(found)[found == 0], expected[found == 0])
