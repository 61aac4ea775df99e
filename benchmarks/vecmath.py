"""Scalar functions on a million elements: ours in a compiled loop, NumPy, torch where installed.

Prints nanoseconds per element, one thread, best of many runs, and what the first kernel with the
function took to compile. Run as `python benchmarks/vecmath.py [function ...]`.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from scipy import special

from graphjit.codegen import vecmath
from graphjit.ops import scalar

SIZE = 1 << 20
DTYPES = ("float32", "float64")
FUNCTIONS = (
    "exp exp2 expm1 log log2 log10 log1p sigmoid tanh erf sin cos tan asin acos atan sinh cosh "
    "asinh acosh atanh sqrt rsqrt pow atan2 floordiv mod"
).split()
NUMPY: dict[str, Callable[..., Any]] = {
    "erf": special.erf,
    "sigmoid": special.expit,
    "rsqrt": lambda x, out: np.reciprocal(np.sqrt(x, out=out), out=out),
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "pow": np.power,
    "atan2": np.arctan2,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
}
TORCH = {"floordiv": "floor_divide", "mod": "remainder"}


def nanoseconds(call: Callable[[], Any]) -> float:
    """Per element: the best of the runs that fit in a fifth of a second, at least five."""
    best, begin = float("inf"), time.perf_counter()
    runs = 0
    while runs < 5 or time.perf_counter() - begin < 0.2:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
        runs += 1
    return best / SIZE * 1e9


def compiled(name: str, dtype: str, arity: int) -> tuple[Callable[..., None], float]:
    """A loop over the function, and the milliseconds it took to compile."""
    function = vecmath.lookup(name, dtype)

    def unary(x: Any, out: Any) -> None:
        for i in range(out.size):
            out[i] = function(x[i])

    def binary(x: Any, y: Any, out: Any) -> None:
        for i in range(out.size):
            out[i] = function(x[i], y[i])

    signature = types.void(*[types.Array(getattr(types, dtype), 1, "C")] * (arity + 1))
    start = time.perf_counter()
    loop = njit(signature, fastmath={"contract"})(unary if arity == 1 else binary)
    return loop, (time.perf_counter() - start) * 1e3


def row(name: str, dtype: str) -> str:
    """One line of the table."""
    arity = scalar.INSTRUCTIONS[name]
    rng = np.random.default_rng(0)
    low, high = (1, 6) if name == "acosh" else (0.01, 0.99 if name in "asin acos atanh" else 5)
    inputs = [rng.uniform(low, high, SIZE).astype(dtype) for _ in range(arity)]
    out = np.empty_like(inputs[0])
    loop, milliseconds = compiled(name, dtype, arity)
    ours = nanoseconds(lambda: loop(*inputs, out))
    reference = NUMPY.get(name) or getattr(np, name)
    numpy = nanoseconds(lambda: reference(*inputs, out=out))
    torch = torch_time(name, inputs, out)
    return f"{name:9}{dtype:9}{ours:7.2f}{numpy:8.2f}{torch:>8}{milliseconds:9.0f}"


def torch_time(name: str, inputs: list[Any], out: Any) -> str:
    """torch's time, or a dash."""
    if importlib.util.find_spec("torch") is None:
        return "-"
    import torch

    torch.set_num_threads(1)
    function = getattr(torch, TORCH.get(name, name))
    tensors = [torch.from_numpy(x) for x in inputs]
    result = torch.from_numpy(out)
    return f"{nanoseconds(lambda: function(*tensors, out=result)):.2f}"


def main() -> None:
    """The table of the functions named on the command line, else of all."""
    compiled("abs", "float32", 1)
    print(f"{'function':9}{'dtype':9}{'ours':>7}{'numpy':>8}{'torch':>8}{'compile':>9}")
    print(f"{'':18}{'ns':>7}{'ns':>8}{'ns':>8}{'ms':>9}")
    for name in sys.argv[1:] or FUNCTIONS:
        for dtype in DTYPES:
            print(row(name, dtype), flush=True)


if __name__ == "__main__":
    main()
