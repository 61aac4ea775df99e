"""Small kernels and layouts for the tests of the runtime."""

import numpy as np

from graphjit import dtypes
from graphjit.runtime import cache, objects
from graphjit.runtime.instruction import External, Layout


def layout(array, slot):
    """The layout of an array passed as `slot`."""
    strides = tuple(step // array.itemsize for step in array.strides)
    return Layout(External(slot), array.shape, strides, dtypes.from_numpy(array.dtype))


def float_kernel(name):
    """The address of a kernel over float64 arrays.

    Tables: add (x, y, out), scale (x, bits of a factor, out), check (x, status): nonzero status
    where an element is negative, halve (x): in place.
    """
    return cache.kernel_address(f"test {name}", lambda: objects.compile_function(BUILD[name]()))


def _memory():
    from numba import types

    from graphjit.runtime.native.memory import loader, storer

    return loader(types.float64), storer(types.float64)


def _add():
    from graphjit.runtime.native.memory import load_int

    load, store = _memory()

    def add(table, begin, end):
        x, y, out = load_int(table, 0), load_int(table, 1), load_int(table, 2)
        for i in range(begin, end):
            store(out, i, load(x, i) + load(y, i))

    return add


def _scale():
    from graphjit.runtime.native.memory import load_int

    load, store = _memory()

    def scale(table, begin, end):
        x, factor, out = load_int(table, 0), load(table, 1), load_int(table, 2)
        for i in range(begin, end):
            store(out, i, load(x, i) * factor)

    return scale


def _check():
    from graphjit.runtime.native.memory import load_int, store_int

    load, _ = _memory()

    def check(table, begin, end):
        x, status = load_int(table, 0), load_int(table, 1)
        for i in range(begin, end):
            if load(x, i) < 0:
                store_int(status, 0, 10 + i)

    return check


def _halve():
    from graphjit.runtime.native.memory import load_int

    load, store = _memory()

    def halve(table, begin, end):
        x = load_int(table, 0)
        for i in range(begin, end):
            store(x, i, load(x, i) * 0.5)

    return halve


BUILD = {"add": _add, "scale": _scale, "check": _check, "halve": _halve}


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
