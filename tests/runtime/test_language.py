"""The kernel language: what its functions compute is what Python computes."""

import ctypes
import itertools
import math

import numpy as np
import pytest

from graphjit.errors import CompileError
from graphjit.runtime import objects
from graphjit.runtime.language import f32, f64, i8, i32, i64, inline, vector
from graphjit.runtime.language.build import compile_kernel, compile_text
from graphjit.runtime.language.hints import Lanes
from graphjit.runtime.language.instructions import (
    argument,
    atomic_and,
    call,
    compare_and_swap,
    every_nth,
    fused,
    interleaved,
    lane_mask,
    lane_numbers,
    load_int,
    loader,
    masked_loader,
    place,
    prefetch,
    select,
    store_int,
    storer,
    transposed,
    unsigned_divide,
    vector_loader,
    vector_storer,
)

INTEGERS = [(7, 3, 2), (-7, 3, 5), (7, -3, -1), (-7, -3, 0), (0, 5, 9), (6, 3, 3), (-6, 3, 1)]


def native(function):
    """`function` of three int64 that returns one, as native code."""
    address = objects.load(compile_kernel(function, i64))
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 3)(address)


def agrees(function, cases=INTEGERS):
    compiled = native(function)
    for case in cases:
        assert compiled(*case) == function(*case), case


@inline
def clamp(x, low, high):
    if x < low:
        return low
    if x > high:
        return high
    return x


@inline
def divide(x, y):
    return x // y, x % y


def test_arithmetic():
    agrees(arithmetic)


def arithmetic(x, y, z):
    a = x // y + x % y * 3 - -z
    b = (x & y) | (x ^ z) | (~x << 2) | (y >> 1)
    return a + b + min(x, y, z) - max(x, z) + +y


def test_control_flow():
    def function(x, y, z):
        total = 0
        for i in range(10):
            if i == x:
                continue
            if i > 7 or (z == 0 and i > 5):
                break
            total += i
        while True:
            total -= y
            if not (-50 < total < 50):
                break
        for i in range(5, -1, -2):
            total = total * 2 + i if i != 3 else total - 1
        return total

    agrees(function)


def test_nested_loops_and_early_return():
    def function(x, y, z):
        for i in range(20):
            for j in range(i):
                if i * j == 12 + y:
                    return 100 * i + j
        return -1

    agrees(function)


def test_helpers_tuples_and_closures():
    step = 3

    def function(x, y, z):
        quotient, rest = divide(x, y)
        pair = (quotient, rest + step)
        pair = (pair[1], pair[0])
        return clamp(pair[0], -1, 4) * 10 + clamp(pair[1], z, z + 2)

    agrees(function)


def test_loops_over_what_is_known_are_unrolled():
    steps = ((1, 2), (3, 4))

    def function(x, y, z):
        total = 0
        for a, b in steps:
            total += x * a + b
        parts = [y * n for n in range(3)]
        return total + parts[0] + parts[1] * parts[2]

    agrees(function)


def test_conditions_known_while_compiling_pick_a_branch():
    fast = True

    def function(x, y, z):
        if fast and not None:
            total = x
        else:
            total = "never compiled"
        return total if fast else nowhere  # noqa: F821

    agrees(function)


def test_later_conditions_are_not_evaluated():
    """An address is read only if it is not null."""

    def function(x, y, z):
        if x != 0 and load_int(x, 0) == 5:
            return 1
        if x == 0 or load_int(x, 0) == 6:
            return 2
        return 3

    compiled = native(function)
    values = np.array([5, 6, 7])
    assert [compiled(values.ctypes.data + 8 * i, 0, 0) for i in range(3)] == [1, 2, 3]
    assert compiled(0, 0, 0) == 2


load_float, store_float = loader(f32, 0), storer(f32, 1)
load_double, store_double = loader(f64), storer(f64)


def kernel_call(function, arrays, begin, end):
    table = np.array([array.ctypes.data for array in arrays], np.int64)
    address = objects.load(compile_kernel(function))
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address)(table.ctypes.data, begin, end)


def test_memory_and_conversions():
    def function(table, begin, end):
        x, y, z = argument(table, 0), argument(table, 1), argument(table, 2)
        for i in range(begin, end):
            value = load_float(x, i)
            store_float(y, i, select(value == value, fused(value, 2.0, f32(i)) / 2, 0))  # noqa: PLR0124
            store_double(z, i, f64(i64(value * 10)) + f64(i32(value) // i32(2)))

    x = np.array([1.5, -2.25, np.nan, 3.75, 100.0], np.float32)
    y, z = np.zeros(5, np.float32), np.zeros(5)
    kernel_call(function, [x, y, z], 0, 5)
    finite = np.where(np.isnan(x), 0, x)
    np.testing.assert_array_equal(y, np.where(np.isnan(x), 0, (x * 2 + np.arange(5)) / 2))
    expected = np.trunc(finite * 10) + np.trunc(finite) // 2
    np.testing.assert_array_equal(z[[0, 1, 3, 4]], expected[[0, 1, 3, 4]])


@pytest.mark.parametrize("comparison", ["<", "<=", ">", ">=", "==", "!="])
def test_comparisons_with_nan(comparison):
    text = f"def kernel(table, begin, end):\n    store(table, 2, integer(load(table, 0) {comparison} load(table, 1)))\n"  # noqa: E501
    values = [1.0, 2.0, math.nan]
    names = {"load": load_double, "store": store_int, "integer": i64}
    address = objects.load(compile_text(text, names))
    compiled = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address)
    for x, y in itertools.product(values, values):
        table = np.array([x, y, 0.0])
        compiled(table.ctypes.data, 0, 0)
        assert table.view(np.int64)[2] == eval(f"x {comparison} y")


@pytest.mark.parametrize("count", range(17))
def test_vectors_with_bounds(count):
    lanes = vector(f32, 16)
    load, store = vector_loader(lanes, fill=-1), vector_storer(lanes)

    def function(table, begin, end):
        x = load(argument(table, 0), 0, end, begin)
        store(argument(table, 1), 0, x * 2 + f32(1), end)

    x, y = np.arange(16, dtype=np.float32), np.full(16, 99, np.float32)
    kernel_call(function, [x, y], 3, count)
    expected = np.where(np.arange(16) >= 3, x, -1) * 2 + 1
    expected[count:] = 99
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 11])
def test_loops_of_whole_vectors_and_the_rest(count):
    lanes = Lanes(rest=4, interleave=2)
    load, store = loader(i64), storer(i64)

    def function(table, begin, end):
        total = i64(0)
        for i in lanes(begin, end):
            total += load(argument(table, 0), i)
            store(argument(table, 1), i, 2 * load(argument(table, 0), i))
        store(argument(table, 1), end, total)

    x, y = np.arange(3, 20), np.full(20, -1)
    kernel_call(function, [x, y], 2, 2 + count)
    expected = np.full(20, -1)
    expected[2 : 2 + count] = 2 * x[2 : 2 + count]
    expected[2 + count] = x[2 : 2 + count].sum()
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("first, last", [(0, 4), (-3, 9), (1, 3), (3, 2), (2, 9)])
def test_masks_made_once(first, last):
    lanes = vector(f64, 4)
    load, store = masked_loader(lanes), vector_storer(lanes)

    def function(table, begin, end):
        x, mask = argument(table, 0), lane_mask(lanes, begin, end)
        for i in range(0, 12, 4):
            prefetch(x + 8 * i, False)
            store(argument(table, 1), i, load(x, i, mask))

    x, y = np.arange(1.0, 13), np.zeros(12)
    kernel_call(function, [x, y], first, last)
    inside = (np.arange(12) % 4 >= first) & (np.arange(12) % 4 < last)
    np.testing.assert_array_equal(y, np.where(inside, x, 0))


@pytest.mark.parametrize("element, n", [(f32, 4), (f32, 16), (f64, 2), (i64, 4), (f64, 8)])
def test_squares_are_transposed(element, n):
    lanes = vector(element, n)
    load, store, rows = vector_loader(lanes), vector_storer(lanes), range(n)

    def function(table, begin, end):
        turned = transposed([load(argument(table, 0), n * i) for i in rows])
        for i in rows:
            store(argument(table, 1), n * i, turned[i])

    x = np.arange(n * n, dtype={f32: "f", f64: "d", i64: "q"}[element]).reshape(n, n)
    y = np.zeros_like(x)
    kernel_call(function, [x, y], 0, 0)
    np.testing.assert_array_equal(y, x.T)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_shuffles_undo_each_other(n):
    lanes = vector(i64, 4)
    load, store = vector_loader(lanes), vector_storer(lanes)
    parts = range(n)

    def function(table, begin, end):
        x, y, z = argument(table, 0), argument(table, 1), argument(table, 2)
        spread = interleaved([load(x, 4 * i) for i in parts])
        for i in parts:
            store(y, 4 * i, spread[i])
        store(z, 0, every_nth(spread) + lane_numbers(lanes) - lanes(1))

    x = np.arange(4 * n) * 10
    y, z = np.zeros_like(x), np.zeros(4, np.int64)
    kernel_call(function, [x, y, z], 0, 0)
    np.testing.assert_array_equal(y, x.reshape(n, 4).T.ravel())
    np.testing.assert_array_equal(z, x[:4] + np.arange(4) - 1)


def test_small_integers_are_signed():
    load = loader(i8)

    def function(x, y, z):
        return i64(load(x, 0)) + unsigned_divide(y, z)

    value = np.array([-3], np.int8)
    assert native(function)(value.ctypes.data, 17, 5) == -3 + 3


def test_calls_through_pointers():
    sqrt = call(f64, f64)

    def function(x, y, z):
        return i64(sqrt(x, f64(y)))

    address = ctypes.cast(ctypes.CDLL(None).sqrt, ctypes.c_void_p).value
    assert native(function)(address, 49, 0) == 7


def test_atomics_and_stack():
    def function(x, y, z):
        at = place(y)
        seen = compare_and_swap(at, y, z)
        missed = compare_and_swap(at, y, 0)
        atomic_and(at, 6)
        return seen * 100 + missed * 10 + load_int(at, 0)

    assert native(function)(0, 1, 7) == 100 + 70 + 6


def undefined(x, y, z):
    return nobody(x)  # noqa: F821


def mixed(x, y, z):
    return i32(x) + y


def retyped(x, y, z):
    total = f64(0)
    total = x
    return total




def python_call(x, y, z):
    return sorted(x)


def with_statement(x, y, z):
    with x:
        return y


@pytest.mark.parametrize("function, message", [
    (undefined, "return nobody.*: name nobody is not defined"),
    (mixed, "operands of types i32 and i64"),
    (retyped, "total = x: a variable of type double cannot take i64"),
    (python_call, "a kernel cannot call"),
    (with_statement, "no kernel has a statement With"),
])  # fmt: skip
def test_errors_name_the_statement(function, message):
    with pytest.raises(CompileError, match=message):
        compile_kernel(function, i64)


def test_numbers_are_not_conditions():
    def function(x, y, z):
        while x:
            x -= 1
        return x

    with pytest.raises(CompileError, match="a condition of type i64"):
        compile_kernel(function, i64)


def test_types_are_not_for_python():
    with pytest.raises(TypeError, match="outside a kernel"):
        f32(1)


def test_options_of_llvm_are_for_versions_known_to_have_them(monkeypatch):
    """An option that LLVM does not know ends the process."""
    llvm, given = objects.initialise_llvm(), []
    set_option = llvm.set_option

    def noting(name, option):
        given.append(option)
        set_option(name, option)

    monkeypatch.setattr(llvm, "set_option", noting)
    text = "def kernel(table, begin, end):\n    x = begin + end\n"
    compile_text(text, {})
    assert given == ["--enable-misched=false", "--enable-misched=true"]
    monkeypatch.setattr(llvm, "llvm_version_info", (99, 0, 0))
    compile_text(text, {})
    assert len(given) == 2
