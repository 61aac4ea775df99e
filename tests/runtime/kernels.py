"""Small kernels and layouts for the tests of the runtime."""

import numpy as np

from graphjit import dtypes
from graphjit.runtime import cache
from graphjit.runtime.instruction import External, Layout
from graphjit.runtime.language import f64
from graphjit.runtime.language.build import compile_kernel
from graphjit.runtime.language.instructions import argument, loader, store_int, storer

load, store = loader(f64), storer(f64)


def layout(array, slot):
    """The layout of an array passed as `slot`."""
    strides = tuple(step // array.itemsize for step in array.strides)
    return Layout(External(slot), array.shape, strides, dtypes.from_numpy(array.dtype))


def add(table, begin, end):
    """Table: x, y, out."""
    x, y, out = argument(table, 0), argument(table, 1), argument(table, 2)
    for i in range(begin, end):
        store(out, i, load(x, i) + load(y, i))


def scale(table, begin, end):
    """Table: x, bits of a factor, out."""
    x, factor, out = argument(table, 0), load(table, 1), argument(table, 2)
    for i in range(begin, end):
        store(out, i, load(x, i) * factor)


def check(table, begin, end):
    """Table: x, status, which becomes nonzero where an element is negative."""
    x, status = argument(table, 0), argument(table, 1)
    for i in range(begin, end):
        if load(x, i) < 0:
            store_int(status, 0, 10 + i)


def halve(table, begin, end):
    """Table: x, which is halved in place."""
    x = argument(table, 0)
    for i in range(begin, end):
        store(x, i, load(x, i) * 0.5)


def float_kernel(name):
    """The address of one of the kernels above, over float64 arrays."""
    return cache.kernel_address(f"test {name}", lambda: compile_kernel(globals()[name]))


def misaligned(shape, dtype, rng):
    """Random values in an array with gaps, reversed along its last dimension."""
    wide = tuple(2 * extent for extent in shape)
    values = (4 * rng.normal(size=wide)).astype(dtype)
    return values[tuple(slice(None, None, 2) for _ in shape[:-1]) + (slice(None, None, -2),)]


def close(actual, desired):
    """Compare with a tolerance for sums in another order."""
    exact = np.dtype(actual.dtype).kind in "iub"
    digits = {"float16": 2e-2, "float32": 2e-4, "float64": 1e-10}.get(str(actual.dtype), 1e-5)
    digits = 0 if exact else digits
    scale = max(1.0, float(np.abs(desired).max(initial=0)))
    np.testing.assert_allclose(actual, desired, digits, digits * scale)
