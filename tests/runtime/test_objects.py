"""Object code: compiled by Numba, loaded without it."""

import ctypes
import math

import numpy as np
import pytest

from graphjit.errors import CompileError
from graphjit.runtime import objects
from graphjit.runtime.language.build import machine_code


def _triple(x, y, z):
    return 3 * x


def _call(address):
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 3)(address)


def test_compiled_function_runs():
    code = objects.compile_function(_triple, "int64(int64,int64,int64)")
    assert _call(objects.load(code))(14, 0, 0) == 42


def test_functions_of_one_name_do_not_collide():
    """Symbols of all objects share one table."""

    def make(n):
        def kernel(x, y, z):
            return x + n

        return objects.compile_function(kernel, "int64(int64,int64,int64)")

    one, two = objects.load(make(1)), objects.load(make(2))
    assert _call(one)(0, 0, 0) == 1
    assert _call(two)(0, 0, 0) == 2


def test_undefined_symbols_are_found():
    def logarithm(x, y, z):
        return int(math.lgamma(x))

    code = objects.compile_function(logarithm, "int64(int64,int64,int64)").code
    assert "lgamma" in set(objects.undefined_symbols(code))
    assert not set(objects.undefined_symbols(b"not an object"))


def test_what_numba_rejects_is_a_compile_error():
    def kernel(x, y, z):
        return open(x)

    with pytest.raises(CompileError, match="kernel"):
        objects.compile_function(kernel)


def test_missing_symbol_is_a_compile_error_not_an_abort():
    code = objects.compile_function(_triple, "int64(int64,int64,int64)")

    def logarithm(x, y, z):
        return int(math.lgamma(x))

    code = objects.compile_function(logarithm, "int64(int64,int64,int64)")
    broken = code.code.replace(b"\0lgamma\0", b"\0lgAmmA\0")
    with pytest.raises(CompileError, match="lgAmmA"):
        objects.load(objects.ObjectCode(code.symbol, broken))


def test_missing_function_is_a_compile_error():
    code = objects.compile_function(_triple, "int64(int64,int64,int64)")
    with pytest.raises(CompileError, match="nobody"):
        objects.load(objects.ObjectCode("nobody", code.code))


ROUNDED = """
declare half @__truncdfhf2(double)

define void @rounded(double* %from, half* %to) {
  %x = load double, double* %from
  %y = call half @__truncdfhf2(double %x)
  store half %y, half* %to
  ret void
}
"""


def test_float64_becomes_float16_rounded_once():
    """Kernels that LLVM makes call `__truncdfhf2`, as for `x.tanh().half()`, did not load."""
    address = objects.load(objects.ObjectCode("rounded", machine_code(ROUNDED)))
    rounded = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address)
    halves = np.arange(0x7C00, step=37, dtype=np.uint16).view(np.float16).astype(np.float64)
    middles = (halves[1:] + halves[:-1]) / 2
    near = [np.nextafter(middles, bound) for bound in (-np.inf, np.inf)]
    special = [0.0, -0.0, np.inf, np.nan, 65519.999999999, 65520, 1e300, 5e-324, 2.0**-25]
    numbers = np.concatenate([halves, middles, *near, special])
    numbers = np.concatenate([numbers, -numbers])
    found = np.empty(len(numbers), np.float16)
    for i in range(len(numbers)):
        rounded(numbers[i:].ctypes.data, found[i:].ctypes.data)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, numbers.astype(np.float16))
    assert (np.signbit(found) == np.signbit(numbers)).all()
