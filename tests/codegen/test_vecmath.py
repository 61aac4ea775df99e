"""Accuracy of the scalar functions against extended precision, and PyTorch's special cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numba import njit, types
from numba.core.registry import cpu_target
from scipy import special

from graphjit.codegen import vecmath
from graphjit.codegen.vecmath.bounds import ULP
from graphjit.ops import philox, scalar

FLOATS = ("float32", "float64")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
Long = np.longdouble


def run(instr: str, dtype: str, *inputs: Any, flags: Any = frozenset({"contract"})) -> Any:
    """`instr` applied by a compiled loop; the result's dtype is the function's own."""
    function = vecmath.lookup(instr, dtype)
    arrays = [np.ascontiguousarray(x) for x in np.broadcast_arrays(*inputs)]
    kinds = [types.boolean if instr == "select" and not i else kind_of(dtype) for i in range(3)]
    result = "bool" if instr in scalar.BOOLEAN else dtype
    signature = types.void(
        *(types.Array(kind, 1, "C") for kind in kinds[: len(arrays)]),
        types.Array(kind_of(result), 1, "C"),
    )
    out = np.empty(arrays[0].shape, result)
    typed = [
        a.astype("bool" if instr == "select" and not i else dtype) for i, a in enumerate(arrays)
    ]
    njit(signature, fastmath=set(flags))(LOOPS[len(arrays)](function))(*typed, out)
    return out


def kind_of(dtype: str) -> Any:
    return types.boolean if dtype == "bool" else getattr(types, dtype)


def loop1(f: Any) -> Callable[..., None]:
    def loop(x: Any, out: Any) -> None:
        for i in range(out.size):
            out[i] = f(x[i])

    return loop


def loop2(f: Any) -> Callable[..., None]:
    def loop(x: Any, y: Any, out: Any) -> None:
        for i in range(out.size):
            out[i] = f(x[i], y[i])

    return loop


def loop3(f: Any) -> Callable[..., None]:
    def loop(x: Any, y: Any, z: Any, out: Any) -> None:
        for i in range(out.size):
            out[i] = f(x[i], y[i], z[i])

    return loop


LOOPS = {1: loop1, 2: loop2, 3: loop3}


def run_all(instrs: Sequence[str], dtype: str, x: Any, y: Any) -> dict[str, Any]:
    """Several instructions of one or two operands in one loop, which compiles faster than many."""
    namespace: dict[str, Any] = {"f_" + instr: vecmath.lookup(instr, dtype) for instr in instrs}
    lines = ["def loop(x, y, outs):", "    for i in range(x.size):"]
    for k, instr in enumerate(instrs):
        operands = "x[i], y[i]" if scalar.INSTRUCTIONS[instr] == 2 else "x[i]"
        lines.append(f"        outs[{k}][i] = f_{instr}({operands})")
    exec("\n".join(lines), namespace)
    outs = tuple(
        np.empty(x.shape, "bool" if instr in scalar.BOOLEAN else dtype) for instr in instrs
    )
    njit(namespace["loop"])(x, y, outs)
    return dict(zip(instrs, outs, strict=True))


def erf(x: Any) -> Any:
    """The Taylor series in extended precision to 2, then 1 - erfc, where float64 is enough."""
    bounded = np.where(np.abs(x) <= 2, x, 0)
    term, total = bounded, bounded
    for n in range(1, 60):
        term = -term * bounded**2 / n
        total = total + term / (2 * n + 1)
    near = total * 2 / np.sqrt(np.arctan(Long(1)) * 4)
    tail = special.erfc(np.abs(x).astype(np.float64)).astype(Long)
    far = np.copysign(1 - tail, x)
    return np.where(np.abs(x) <= 2, np.where(x == 0, x, near), far)


REFERENCES: dict[str, Callable[..., Any]] = {
    "sqrt": np.sqrt,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": erf,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "pow": np.power,
}

SPECIAL = [
    np.nan,
    np.inf,
    0.0,
    1.0,
    0.5,
    2.0,
    5e-324,
    1e-310,
    1e-45,
    1e-40,
    1.2e-38,
    1e-30,
    1e30,
    1.7e38,
    3.4e38,
    1e300,
    1.7e308,
    88.0,
    88.72283,
    88.72284,
    89.4,
    87.3,
    104.0,
    709.78,
    709.79,
    710.4,
    708.3,
    745.0,
    126.0,
    127.0,
    128.0,
    1022.0,
    1024.0,
    0.55,
    np.pi / 2,
    np.pi,
]


def samples(dtype: str, n: int) -> Any:
    """Random bit patterns, several scales, the neighbourhood of one, special values; both signs."""
    rng = np.random.default_rng(0)
    info = np.finfo(dtype)
    words = rng.integers(0, 2**info.bits, n, f"uint{info.bits}").view(dtype)
    scales = [rng.uniform(0, scale, n) for scale in (0.01, 0.5, 1, 2, 10, 100, 1000)]
    near_one = 1 + rng.uniform(-0.05, 0.05, n)
    wide = np.exp(rng.uniform(-30, 30, n))
    x = np.concatenate([words, *scales, near_one, wide, SPECIAL]).astype(dtype)
    return np.concatenate([x, -x])


def ulp_error(actual: Any, exact: Any) -> Any:
    """Distance in units in the last place; infinite where NaN, infinity or a zero's sign differ."""
    rounded = exact.astype(actual.dtype)
    info = np.finfo(actual.dtype)
    unit = np.spacing(np.clip(np.abs(rounded), info.smallest_normal, info.max)).astype(Long)
    error = np.abs(actual.astype(Long) - exact) / unit
    flushed = (actual == 0) & (np.abs(rounded) < info.smallest_normal)
    same = (actual == rounded) | (np.isnan(actual) & np.isnan(rounded))
    error = np.where(flushed | same, np.minimum(np.nan_to_num(error), 0.5), error)
    wrong = (np.isnan(rounded) != np.isnan(actual)) | (np.isinf(rounded) != np.isinf(actual))
    wrong |= ~np.isnan(rounded) & (np.signbit(rounded) != np.signbit(actual))
    return np.where(wrong, np.inf, error)


def pairs(dtype: str, n: int) -> tuple[Any, Any]:
    """Samples against shuffled samples, all special pairs, and moderate powers."""
    rng = np.random.default_rng(1)
    x = samples(dtype, n)
    ends = np.array([*SPECIAL, 3.0, 7.0, 1.5, 2.0**23 + 1, 2.0**24 - 1, 2.0**53 - 1])
    ends = np.concatenate([ends, -ends]).astype(dtype)
    corners = [side.ravel() for side in np.meshgrid(ends, ends)]
    scales = (1, 1e-3), (2, 100), (0.01, 1e4)
    bases = [np.exp(rng.uniform(-scale, scale, n)) for scale, _ in scales]
    powers = [rng.uniform(-scale, scale, n) for _, scale in scales]
    whole = rng.integers(-12, 12, (2, n)).astype(dtype)
    y = np.concatenate([rng.permutation(x), *powers, whole[1], corners[1]])
    return np.concatenate([x, *bases, whole[0], corners[0]]).astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("instr", ULP)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_accuracy(instr: str, dtype: str) -> None:
    """Within the stated bound on every kind of argument."""
    binary = scalar.INSTRUCTIONS[instr] == 2
    inputs = pairs(dtype, 10_000) if binary else (samples(dtype, 20_000),)
    exact = REFERENCES[instr](*(x.astype(Long) for x in inputs))
    error = ulp_error(run(instr, dtype, *inputs), exact)
    worst = int(np.argmax(error))
    arguments = ", ".join(repr(x[worst]) for x in inputs)
    bound = ULP[instr][FLOATS.index(dtype)]
    assert error[worst] <= bound, f"{instr}({arguments}) is off by {error[worst]} ulp"


def test_every_transcendental_function_has_a_bound() -> None:
    """The table leaves out only what is exact."""
    exact = set(
        "neg abs sign floor ceil round trunc add sub mul product div floordiv mod rem max "
        "min".split()
    )
    assert set(ULP) == set(REFERENCES)
    for instr in {*scalar.UNARY, *scalar.BINARY} - exact:
        assert instr in ULP or not vecmath.has(instr, "float32"), instr


@pytest.mark.parametrize("instr", ["exp", "log1p", "sin", "tanh", "asinh", "log10"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_flags_of_a_reduction_change_nothing(instr: str) -> None:
    """A kernel compiled with `reassoc` used to lose the low part of Cody-Waite reductions."""
    x = samples("float32", 10_000)
    exact = REFERENCES[instr](x.astype(Long))
    actual = run(instr, "float32", x, flags={"contract", "reassoc", "nsz"})
    assert ulp_error(actual, exact).max() <= ULP[instr][0]


def floor_mod(x: Any, y: Any) -> Any:
    """PyTorch's remainder: C's, moved to the side of the divisor."""
    r = np.fmod(x, y)
    return np.where((r != 0) & ((y < 0) != (r < 0)), r + y, r)


def floor_divide(x: Any, y: Any) -> Any:
    """PyTorch's floor_divide: from C's remainder, so that nothing is rounded over an integer."""
    r = np.fmod(x, y)
    q = (x - r) / y - ((r != 0) & ((y < 0) != (r < 0)))
    q = np.floor(q) + (q - np.floor(q) > 0.5)
    return np.where(y == 0, x / y, np.where(q == 0, np.copysign(0, x / y), q))


FLOAT_EXACT: dict[str, Callable[..., Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": lambda x: np.nan_to_num(np.sign(x)),
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "product": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "mod": floor_mod,
    "rem": np.fmod,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "logical_not": np.logical_not,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_exact_float_functions(dtype: str) -> None:
    """What IEEE 754 defines is equal to NumPy's."""
    x, y = pairs(dtype, 5_000)
    for instr, actual in run_all(list(FLOAT_EXACT), dtype, x, y).items():
        expected = FLOAT_EXACT[instr](*(x, y)[: scalar.INSTRUCTIONS[instr]])
        np.testing.assert_array_equal(actual, expected, err_msg=instr)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_floor_divide(dtype: str) -> None:
    """Right to one unit, also where the quotient has no exact integer part."""
    x, y = pairs(dtype, 5_000)
    exact = floor_divide(x.astype(Long), y.astype(Long))
    assert ulp_error(run("floordiv", dtype, x, y), exact).max() <= 1.0


def integer_power(x: int, y: int) -> int:
    """x ** y modulo 2**64; powers below zero as integer division gives them."""
    if y >= 0:
        return pow(x, y, 2**64)
    return {1: 1, -1: -1 if y % 2 else 1}.get(x, 0)


def integer_reference(instr: str, width: int) -> Callable[..., int]:
    """The meaning of `instr` on Python integers, before wrapping."""
    table: dict[str, Callable[..., int]] = {
        **{name: lambda x: x for name in ("floor", "ceil", "round", "trunc")},
        "neg": lambda x: -x,
        "abs": abs,
        "sign": lambda x: (x > 0) - (x < 0),
        "add": lambda x, y: x + y,
        "sub": lambda x, y: x - y,
        "mul": lambda x, y: x * y,
        "floordiv": lambda x, y: x // y if y else 0,
        "mod": lambda x, y: x % y if y else 0,
        "rem": lambda x, y: (abs(x) % abs(y)) * (-1 if x < 0 else 1) if y else 0,
        "pow": integer_power,
        "max": max,
        "min": min,
        "bitand": lambda x, y: x & y,
        "bitor": lambda x, y: x | y,
        "bitxor": lambda x, y: x ^ y,
        "bitnot": lambda x: ~x,
        "shl": lambda x, y: x << y if 0 <= y < width else 0,
        "shr": lambda x, y: x >> (y if 0 <= y < width else width),
        "lt": lambda x, y: x < y,
        "le": lambda x, y: x <= y,
        "gt": lambda x, y: x > y,
        "ge": lambda x, y: x >= y,
        "eq": lambda x, y: x == y,
        "ne": lambda x, y: x != y,
        "isnan": lambda x: False,
        "isinf": lambda x: False,
        "logical_not": lambda x: not x,
    }
    return table[instr]


def wrapped(value: int, dtype: str) -> int:
    """`value` modulo the range of `dtype`."""
    info = np.iinfo(dtype)
    return (int(value) - int(info.min)) % 2**info.bits + int(info.min)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers(dtype: str) -> None:
    """Every instruction on all pairs of small, random and extreme numbers."""
    info = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    chosen = [*range(-9 if info.min else 0, 10), 31, 32, 63, 64, info.max, info.max - 1]
    chosen += [info.min, info.min + 1, *rng.integers(info.min, info.max, 12, dtype)]
    x, y = (side.ravel() for side in np.meshgrid(*[np.array(chosen, dtype)] * 2))
    instrs = sorted(vecmath.FORMULAS[dtype].keys() - {"select", "philox"})
    for instr, actual in run_all(instrs, dtype, x, y).items():
        rows = zip(*(x.tolist(), y.tolist())[: scalar.INSTRUCTIONS[instr]], strict=True)
        reference = integer_reference(instr, info.bits)
        expected = [wrapped(reference(*row), dtype) for row in rows]
        np.testing.assert_array_equal(actual, expected, err_msg=instr)


def test_booleans() -> None:
    """Sum is or, product is and; all four pairs."""
    x, y = np.array([False, False, True, True]), np.array([False, True, False, True])
    expected = {
        "add": x | y, "mul": x & y, "max": x | y, "min": x & y, "sign": x,
        "bitand": x & y, "bitor": x | y, "bitxor": x ^ y, "bitnot": ~x, "logical_not": ~x,
        "lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y, "eq": x == y, "ne": x != y,
        "isnan": x & ~x, "isinf": x & ~x,
    }  # fmt: skip
    assert expected.keys() | {"select"} == vecmath.FORMULAS["bool"].keys()
    for instr, actual in run_all(list(expected), "bool", x, y).items():
        np.testing.assert_array_equal(actual, expected[instr], err_msg=instr)


@pytest.mark.parametrize("dtype", vecmath.FORMULAS)
def test_select(dtype: str) -> None:
    """One operand or the other, of every dtype."""
    x, y = np.arange(10).astype(dtype), np.arange(10, 20).astype(dtype)
    condition = np.arange(10) % 3 == 0
    np.testing.assert_array_equal(run("select", dtype, condition, x, y), np.where(condition, x, y))


@pytest.mark.parametrize("seed", [0, -1, 2**40 + 12345])
def test_philox_equals_the_eager_generator(seed: int) -> None:
    """The kernel's words are those of `ops.philox`, whatever the seed and the offset."""
    offset, n = 2**33 - 50, 1001
    words = run("philox", "int64", np.full(n, seed), np.full(n, offset), np.arange(n))
    np.testing.assert_array_equal(words, philox.philox_bits(seed, offset, n))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("instr", sorted(vecmath.FLOAT))
def test_results_have_the_type_of_the_arguments(instr: str, dtype: str) -> None:
    """No float32 function promotes to float64; comparisons give bool."""
    kind = kind_of(dtype)
    arguments = [kind] * scalar.INSTRUCTIONS[instr]
    function = vecmath.lookup(instr, dtype)
    if instr == "select":
        arguments[0] = types.boolean
    context = cpu_target.typing_context
    context.refresh()  # no kernel may have been compiled yet
    signature = context.resolve_value_type(function).get_call_type(context, arguments, {})
    assert signature.return_type == (types.boolean if instr in scalar.BOOLEAN else kind)


def test_several_library_calls_in_one_kernel() -> None:
    """The second function with a rare library call used to fail to compile."""
    x = np.array([1.0, 1e6, -3e20, 0.0])
    y = np.array([0.3, 1e-20, 7.0, 1.0])
    results = run_all(["sin", "cos", "mod", "tan"], "float64", x, y)
    for instr, reference in {"sin": np.sin, "cos": np.cos, "tan": np.tan}.items():
        np.testing.assert_allclose(results[instr], reference(x), rtol=1e-15)
    np.testing.assert_array_equal(results["mod"], floor_mod(x, y))


@pytest.mark.parametrize("instr", ["exp", "log", "erf", "sin", "pow", "mod", "atan2", "floordiv"])
def test_loops_vectorise(instr: str) -> None:
    """The compiled loop works on vectors, also where a library call is possible."""
    function = vecmath.lookup(instr, "float32")
    arity = scalar.INSTRUCTIONS[instr]
    signature = types.void(*[types.Array(types.float32, 1, "C")] * (arity + 1))
    compiled = njit(signature, fastmath={"contract"})(LOOPS[arity](function))
    text = compiled.inspect_llvm(compiled.signatures[0])
    assert "fmul contract <" in text or "fdiv contract <" in text
