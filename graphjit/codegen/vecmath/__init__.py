"""Every scalar instruction as a function that Numba compiles into a kernel.

Reads `ops.scalar`'s vocabulary; makes `lookup(instr, dtype)`: a Numba intrinsic on scalars of that
dtype, whose result has that dtype (bool for comparisons and predicates; `select` takes a bool
first; `philox` is on int64). Arguments of other types are converted. float16 is for the caller to
compute in float32. What is emitted has no branches, so loops over it vectorise, except for the
power of integers, whose loop does not. `bounds.ULP` says how accurate each function is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ...ops import scalar
from . import (
    basics,
    division,
    exponential,
    integers,
    logarithm,
    power,
    random,
    special,
    trigonometric,
)
from .emit import Formula, Scalar

FLOAT: dict[str, Formula] = {
    **basics.FLOAT,
    "exp": exponential.exp,
    "exp2": exponential.exp2,
    "expm1": exponential.expm1,
    "sigmoid": exponential.sigmoid,
    "tanh": exponential.tanh,
    "sinh": exponential.sinh,
    "cosh": exponential.cosh,
    "log": logarithm.log,
    "log2": logarithm.log2,
    "log10": logarithm.log10,
    "log1p": logarithm.log1p,
    "asinh": logarithm.asinh,
    "acosh": logarithm.acosh,
    "atanh": logarithm.atanh,
    "erf": special.erf,
    "sin": trigonometric.sin,
    "cos": trigonometric.cos,
    "tan": trigonometric.tan,
    "asin": trigonometric.asin,
    "acos": trigonometric.acos,
    "atan": trigonometric.atan,
    "atan2": trigonometric.atan2,
    "pow": power.power,
    "floordiv": division.floordiv,
    "mod": division.mod,
    "rem": division.rem,
}
SIGNED, UNSIGNED = integers.integer(signed=True), integers.integer(signed=False)

#: dtype name -> instruction -> the formula that emits it.
FORMULAS: dict[str, dict[str, Formula]] = {
    "float32": FLOAT,
    "float64": FLOAT,
    "int64": {**SIGNED, "philox": random.philox},
    "int32": SIGNED,
    "int16": SIGNED,
    "int8": SIGNED,
    "uint8": UNSIGNED,
    "bool": integers.BOOLEAN,
}


def has(instr: str, dtype: str) -> bool:
    """Whether there is an instruction `instr` on `dtype`."""
    return instr in FORMULAS.get(dtype, {})


@cache
def lookup(instr: str, dtype: str) -> Any:
    """The function of `instr` on the dtype named `dtype`; KeyError where it makes no sense."""
    from numba import types

    kind = types.boolean if dtype == "bool" else getattr(types, dtype)
    arguments = [kind] * scalar.INSTRUCTIONS[instr]
    if instr == "select":
        arguments[0] = types.boolean
    result = types.boolean if instr in scalar.BOOLEAN else kind
    return _intrinsic(f"{instr}_{dtype}", FORMULAS[dtype][instr], result(*arguments))


def functions() -> dict[tuple[str, str], Any]:
    """All functions, by instruction and dtype name."""
    return {(i, dtype): lookup(i, dtype) for dtype, table in FORMULAS.items() for i in table}


def _intrinsic(name: str, formula: Formula, signature: Any) -> Any:
    """`formula` as a Numba intrinsic of a fixed signature."""
    from numba.extending import intrinsic

    def generate(context: Any, builder: Any, sig: Any, values: tuple[Any, ...]) -> Any:
        return formula(*(Scalar(builder, value) for value in values)).value

    typings: dict[int, Callable[..., Any]] = {
        1: lambda context, x: (signature, generate),
        2: lambda context, x, y: (signature, generate),
        3: lambda context, x, y, z: (signature, generate),
    }
    typing = typings[len(signature.args)]
    typing.__name__ = name
    return intrinsic(typing)
