"""Accuracy of the scalar functions against extended precision, and PyTorch's special cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit, types
from scipy import special

from graphjit.codegen import vecmath
from graphjit.codegen.vecmath.bounds import ULP
from graphjit.ops import scalar

FLOATS = ("float32", "float64")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
Long = np.longdouble


def run(instr: str, dtype: str, *inputs: Any) -> Any:
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
    njit(signature, fastmath={"contract"})(LOOPS[len(arrays)](function))(*typed, out)
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


REFERENCES: dict[str, Callable[[Any], Any]] = {
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


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("instr", list(REFERENCES))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_accuracy(instr: str, dtype: str) -> None:
    """Within the stated bound on every kind of argument."""
    x = samples(dtype, 20_000)
    exact = REFERENCES[instr](x.astype(Long))
    error = ulp_error(run(instr, dtype, x), exact)
    worst = int(np.argmax(error))
    bound = ULP[instr][FLOATS.index(dtype)]
    assert error[worst] <= bound, f"{instr}({x[worst]!r}) is off by {error[worst]} ulp"
