"""Division of rows by numbers: rounded as every other division is, whatever the numbers."""

import numpy as np
import pytest
from running import build, prepare, run

from graphjit.codegen.compiled import source

TINY = {"float32": 2.0**-126, "float64": 2.0**-1022}
#: Divisors beyond these are scaled down by as much.
LARGE = {"float32": np.float32(2.0**64), "float64": 2.0**512}
SPECIAL = [0.0, 1.0, 3.0, np.inf, np.nan]


def divide(b, x, y):
    return b.div(x, y)


def text(body, arrays):
    """The kernel of a body."""
    outputs = [np.empty(v.shape, v.dtype.numpy) for v in body.outputs]
    (call,) = prepare(body, arrays, outputs)[2].calls
    return source(call.kernel)


def numbers(rng, dtype, count):
    """Random bits, and the ends of what is represented."""
    width = np.dtype(dtype).itemsize
    bits = rng.integers(0, 256, (count, width), dtype=np.uint8).view(dtype)[:, 0]
    limits = np.finfo(dtype)
    ends = [*SPECIAL, limits.max, limits.tiny, limits.max / 2, 1 + limits.eps, 1 - limits.epsneg]
    ends = np.array(ends, dtype)
    return np.concatenate([bits, ends, -ends])


def flushed(x, dtype):
    """Numbers below the smallest normal one are zero."""
    return np.where(np.abs(x) < TINY[dtype], np.copysign(np.zeros_like(x), x), x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_by_numbers(dtype):
    rng = np.random.default_rng(0)
    x, y = flushed(numbers(rng, dtype, 3000), dtype), flushed(numbers(rng, dtype, 300), dtype)
    x = np.concatenate([x, rng.uniform(1, 2, 5000).astype(dtype)])
    x, y = np.broadcast_to(x, (len(y), len(x))).copy(), y[:, None]
    body = build(divide, x, y)
    assert "divided" in text(body, [x, y])
    (got,) = run(body, [x, y])
    with np.errstate(all="ignore"):
        want = flushed(x / y, dtype)
        scaled = np.where(np.abs(y) > LARGE[dtype], x / LARGE[dtype], x)
        left = np.abs(scaled) * np.finfo(dtype).eps / 4
    exact = (left >= TINY[dtype]) & (np.abs(want) != TINY[dtype]) | ~np.isfinite(want)
    np.testing.assert_array_equal(got[exact], want[exact])
    np.testing.assert_array_max_ulp(got[~exact], want[~exact], 1)
    np.testing.assert_array_equal(np.signbit(got[want == 0]), np.signbit(want[want == 0]))


def test_of_vectors_by_vectors_is_as_it_was():
    x, y = np.ones((3, 70), "f"), np.ones((3, 70), "f")
    assert "divided" not in text(build(divide, x, y), [x, y])
