"""Pointwise ops of several operands: arithmetic, comparison, logic, selection, conversion.

One output element comes from the elements at the same index; every op here fuses with every other.
An operand may be a Python number. Vjps leave the sum over broadcast dimensions to their caller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..ir.graph import Spec
from . import blocks
from . import scalar as s
from .blocks import is_large
from .core import Op, as_array, dtype_of, number_like, pointwise, type_name, ufunc
from .native import binary_loop
from .sampling import Samples, binary, bools, both, calls, floats, ints, rows, unary

_Number = (int, float)


def _no_bool_subtract(dtype: DType) -> None:
    if dtype is dtypes.bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. "
            "Use the `^` or `logical_xor()` operator instead."
        )


add = pointwise(
    "add", "add", "add", commutative=True,
    vjps=(lambda F, g: g, lambda F, g: g),
    samples=binary("numpy.add", kinds="fi"),
)  # fmt: skip
sub = pointwise(
    "sub", "subtract", "sub", check=_no_bool_subtract,
    vjps=(lambda F, g: g, lambda F, g: F.neg(g)),
    samples=binary("numpy.subtract", kinds="fi"),
)  # fmt: skip
mul = pointwise(
    "mul", "multiply", "mul", commutative=True, saves=("in0", "in1"),
    vjps=(lambda F, g, x, y: F.mul(g, y), lambda F, g, x, y: F.mul(g, x)),
    samples=binary("numpy.multiply", kinds="fi"),
)  # fmt: skip
div = pointwise(
    "div", "true_divide", "div", promotion="float", saves=("in1", "out0"),
    vjps=(
        lambda F, g, y, out: F.div(g, y),
        lambda F, g, y, out: F.neg(F.mul(g, F.div(out, y))),
    ),
    samples=binary("numpy.true_divide", second=(0.5, 2)),
)  # fmt: skip


def _check_divisor(x: Any, y: Any) -> None:
    """PyTorch raises where an integer is divided by zero; NumPy only warns."""
    if isinstance(y, int):
        zero = y == 0 and getattr(x, "dtype", None) is not None and x.dtype.kind in "iub"
    else:
        zero = not isinstance(y, float) and y.dtype.kind in "iub" and not y.all()
    if zero:
        raise RuntimeError("ZeroDivisionError")


def _nonzero_divisor(F: Any, x: Any, y: Any) -> list[Any]:
    integer = not isinstance(y, _Number) and dtype_of(y).category < 2
    return [F.ne(y, number_like(F, y, 0))] if integer else []


def _refuse_bool(kernel: str, x: Any, y: Any) -> None:
    """NotImplementedError, in PyTorch's words, where NumPy would compute with bools as int8."""
    if not isinstance(x, _Number) and x.dtype.char == "?" and np.result_type(x, y) == np.bool_:
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def _eval_floor_divide(xp: Any, x: Any, y: Any) -> Any:
    _refuse_bool("div_floor_cpu", x, y)
    _check_divisor(x, y)
    return as_array(xp, xp.floor_divide(x, y))


def _eval_remainder(xp: Any, x: Any, y: Any) -> Any:
    _refuse_bool("remainder_cpu", x, y)
    _check_divisor(x, y)
    result = as_array(xp, xp.remainder(x, y))
    if result.dtype.kind == "f":  # PyTorch's zeros have the sign of the dividend, NumPy's do not
        xp.copysign(result, x, out=result, where=result == 0)
    return result


def _divisions(reference: str) -> Samples:
    """Dividends of both signs by divisors of both signs, none near zero."""
    return both(
        binary(reference, -9, 9, kinds="fi", second=(1, 4)),
        binary(reference, -9, 9, kinds="fi", second=(-4, -1)),
    )


floor_divide = pointwise(
    "floor_divide", binary_loop("floor_divide", _eval_floor_divide), "floordiv",
    checks=_nonzero_divisor,
    samples=_divisions("numpy.floor_divide"),
)  # fmt: skip
remainder = pointwise(
    "remainder", binary_loop("remainder", _eval_remainder), "mod", saves=("in0", "in1"),
    checks=_nonzero_divisor,
    vjps=(
        lambda F, g, x, y: g,
        lambda F, g, x, y: F.neg(F.mul(g, F.floor_divide(x, y))),
    ),
    samples=_divisions("numpy.remainder"),
)  # fmt: skip


def _eval_fmod(xp: Any, x: Any, y: Any) -> Any:
    _refuse_bool("fmod_cpu", x, y)
    _check_divisor(x, y)
    return as_array(xp, xp.fmod(x, y))


fmod = pointwise(
    "fmod", binary_loop("fmod", _eval_fmod), "rem", saves=("in0", "in1"), checks=_nonzero_divisor,
    vjps=(
        lambda F, g, x, y: g,
        lambda F, g, x, y: F.neg(F.mul(g, F.trunc(F.div(x, y)))),
    ),
    samples=_divisions("numpy.fmod"),
)  # fmt: skip


_power = binary_loop("pow", ufunc("power"))


def _eval_pow(xp: Any, x: Any, y: Any) -> Any:
    _refuse_bool("pow", x, y)
    if isinstance(x, _Number):
        return _power(xp, x, y)
    if isinstance(y, _Number):
        return _power_of_number(xp, x, y)
    if x.dtype.kind in "iu":
        return _integer_power(xp, x, y)
    if xp is np and y.ndim == 0 and x.ndim:
        return _power_of_number(np, x, y.item())
    return _power(xp, x, y)


#: Exponents for which PyTorch, too, multiplies, divides or takes a root instead of calling pow.
_EASY_POWERS: dict[float, Any] = {
    0.5: lambda xp, x: xp.sqrt(x),
    3: lambda xp, x: xp.multiply(xp.multiply(x, x), x),
    -0.5: lambda xp, x: xp.reciprocal(xp.sqrt(x)),
    -1: lambda xp, x: xp.reciprocal(x),
    -2: lambda xp, x: xp.reciprocal(xp.multiply(x, x)),
}


def _power_of_number(xp: Any, x: Any, exponent: float) -> Any:
    if exponent == 2:
        return as_array(xp, xp.multiply(x, x))
    if x.dtype.kind == "f" and exponent in _EASY_POWERS:
        return as_array(xp, _EASY_POWERS[exponent](xp, x))
    if x.dtype.kind in "iu" and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    return _power(xp, x, exponent)


def _integer_power(xp: Any, x: Any, y: Any) -> Any:
    """NumPy refuses negative exponents; PyTorch gives the reciprocal rounded towards zero."""
    if not (y < 0).any():
        return as_array(xp, xp.power(x, y))
    power = xp.power(x, xp.maximum(y, 0))
    sign = xp.where(y % 2 == 0, 1, x)
    inverse = xp.where(xp.abs(x) == 1, sign, 0)
    return xp.where(y < 0, inverse, power).astype(x.dtype)


def _pow_grad_base(F: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    if isinstance(y, _Number):
        if y == 0:
            return F.zeros_like(g)
        return F.mul(g, F.mul(F.pow(x, y - 1), y) if y != 2 else F.mul(x, 2))
    return F.where(F.eq(y, 0), 0, F.mul(g, F.mul(y, F.pow(x, F.sub(y, 1)))))


def _pow_grad_exponent(F: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    if isinstance(x, _Number):
        if x == 0:
            return F.where(F.ge(y, 0), 0, F.mul(g, F.mul(out, -math.inf)))
        return F.mul(g, F.mul(out, math.log(x) if x > 0 else math.nan))
    zero = F.logical_and(F.eq(x, 0), F.ge(y, 0))
    return F.where(zero, 0, F.mul(g, F.mul(out, F.log(x))))


pow = pointwise(
    "pow", _eval_pow, "pow", saves=("in0", "in1", "out0"), reads_numbers=True,
    vjps=(_pow_grad_base, _pow_grad_exponent),
    samples=both(
        binary("numpy.power", 0.2, 3, second=(-2, 3)),
        binary("numpy.power", -3, 4, kinds="i", second=(0, 4)),
        rows("numpy.power", *(((floats(2, 3), n), {}) for n in (2, 3, 0, 1, 2.0))),
        rows("numpy.power", ((floats(2, 3, low=0.5), 0.5), {})),
    ),
)  # fmt: skip


def _atan2_grad(F: Any, g: Any, y: Any, x: Any) -> Any:
    """`g` over the square of the distance from the origin; 0 at the origin, as in PyTorch."""
    square = F.add(*(v * v if isinstance(v, _Number) else F.mul(v, v) for v in (x, y)))
    return F.where(F.eq(square, 0), 0, F.div(g, square))


atan2 = pointwise(
    "atan2", binary_loop("atan2", ufunc("arctan2")), "atan2",
    promotion="float", saves=("in0", "in1"),
    vjps=(
        lambda F, g, y, x: F.mul(_atan2_grad(F, g, y, x), x),
        lambda F, g, y, x: F.neg(F.mul(_atan2_grad(F, g, y, x), y)),
    ),
    samples=binary("numpy.arctan2"),
)  # fmt: skip


def _extremum_grad(F: Any, g: Any, mine: Any, other: Any, loses: str) -> Any:
    """All of `g` to the operand that was chosen, half to each where they are equal."""
    lost = getattr(F, loses)(mine, other)
    return F.where(lost, 0, F.where(F.eq(mine, other), F.mul(g, 0.5), g))


maximum = pointwise(
    "maximum", "maximum", "max", commutative=True, saves=("in0", "in1"),
    vjps=(
        lambda F, g, x, y: _extremum_grad(F, g, x, y, "lt"),
        lambda F, g, x, y: _extremum_grad(F, g, y, x, "lt"),
    ),
    samples=binary("numpy.maximum", kinds="fi"),
)  # fmt: skip
minimum = pointwise(
    "minimum", "minimum", "min", commutative=True, saves=("in0", "in1"),
    vjps=(
        lambda F, g, x, y: _extremum_grad(F, g, x, y, "gt"),
        lambda F, g, x, y: _extremum_grad(F, g, y, x, "gt"),
    ),
    samples=binary("numpy.minimum", kinds="fi"),
)  # fmt: skip

def _comparison(name: str, function: str, commutative: bool = False) -> Op:
    samples = binary(f"numpy.{function}", kinds="fib")
    return pointwise(
        name, function, name, promotion="compare", commutative=commutative, samples=samples
    )


lt = _comparison("lt", "less")
le = _comparison("le", "less_equal")
gt = _comparison("gt", "greater")
ge = _comparison("ge", "greater_equal")
eq = _comparison("eq", "equal", commutative=True)
ne = _comparison("ne", "not_equal", commutative=True)


def _logical(name: str, instruction: str) -> Op:
    def scalar(x: s.Operand, y: s.Operand) -> s.Expr:
        return s.call(instruction, s.call("ne", x, 0), s.call("ne", y, 0))

    samples = binary(f"numpy.{name}", -1, 2, kinds="bi")
    return pointwise(
        name, name, scalar, promotion="logical", commutative=True, samples=samples
    )


logical_and = _logical("logical_and", "bitand")
logical_or = _logical("logical_or", "bitor")
logical_xor = _logical("logical_xor", "bitxor")
logical_not = pointwise(
    "logical_not", "logical_not", "logical_not", promotion="logical",
    samples=unary("numpy.logical_not", kinds="b"),
)  # fmt: skip


def _whole(name: str) -> Any:
    def check(dtype: DType) -> None:
        if dtype.category > 1:
            raise NotImplementedError(f'"{name}_cpu" not implemented for \'{type_name(dtype)}\'')

    return check


def _check_invert(dtype: DType) -> None:
    if dtype.category > 1:
        raise TypeError(
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors"
        )


def _bitwise(name: str, function: str, instruction: str, refusal: str, kinds: str) -> Op:
    samples = binary(f"numpy.{function}", 0, 7, kinds=kinds)
    return pointwise(
        name, function, instruction, check=_whole(refusal), commutative="b" in kinds,
        samples=samples,
    )  # fmt: skip


bitwise_and = _bitwise("bitwise_and", "bitwise_and", "bitand", "bitwise_and", "ib")
bitwise_or = _bitwise("bitwise_or", "bitwise_or", "bitor", "bitwise_or", "ib")
bitwise_xor = _bitwise("bitwise_xor", "bitwise_xor", "bitxor", "bitwise_xor", "ib")
bitwise_left_shift = _bitwise("bitwise_left_shift", "left_shift", "shl", "lshift", "i")
bitwise_right_shift = _bitwise("bitwise_right_shift", "right_shift", "shr", "rshift", "i")
bitwise_not = pointwise(
    "bitwise_not", "invert", "bitnot", check=_check_invert,
    samples=unary("numpy.invert", kinds="ib"),
)  # fmt: skip


#: From this many elements on, choosing with bit masks beats `np.where`, whose branches a random
#: condition mispredicts (1M float32: 0.25 against 4 ms).
MASK_SIZE = 4096
_SAME_SIZE_INT = {4: np.dtype(np.int32), 8: np.dtype(np.int64)}


def eval_where(xp: Any, condition: Any, x: Any, y: Any) -> Any:
    """`x` where `condition`, else `y`."""
    if xp is not np or condition.size < MASK_SIZE:
        return xp.where(condition, x, y)
    if x.__class__ in _Number and is_large(y):
        return _choose_in_blocks(lambda c, y: _choose_by_masks(c, x, y), condition, y)
    if y.__class__ in _Number and is_large(x):
        return _choose_in_blocks(lambda c, x: _choose_by_masks(c, x, y), condition, x)
    return _choose_by_masks(condition, x, y)


def _choose_in_blocks(choose: Any, condition: Any, x: Any) -> Any:
    if condition.shape != x.shape or not condition.flags.c_contiguous:
        return choose(condition, x)
    result = np.empty_like(x)
    target, conditions, xs = result.reshape(-1), condition.reshape(-1), x.reshape(-1)
    for start in range(0, x.size, blocks.BLOCK):
        part = slice(start, start + blocks.BLOCK)
        target[part] = choose(conditions[part], xs[part])
    return result


def _choose_by_masks(condition: Any, x: Any, y: Any) -> Any:
    """`np.where` as arithmetic on the bits, if the operands are plain enough; exact for NaN."""
    dtype = (y if isinstance(x, _Number) else x).dtype
    integer = _SAME_SIZE_INT.get(dtype.itemsize)
    if integer is None or condition.dtype.kind != "b":
        return np.where(condition, x, y)
    bits = [_bits(value, dtype, integer) for value in (x, y)]
    if any(b is None for b in bits):
        return np.where(condition, x, y)
    mask = condition.astype(integer)
    np.negative(mask, mask)
    x_bits, y_bits = bits
    if y_bits is _ZERO:
        chosen = mask & x_bits
    elif x_bits is _ZERO:
        chosen = np.invert(mask, mask) & y_bits
    else:
        chosen = ((x_bits ^ y_bits) & mask) ^ y_bits
    return chosen.view(dtype)


_ZERO = object()


def _bits(value: Any, dtype: Any, integer: Any) -> Any:
    """`value` seen as integers; `_ZERO` for the number 0; None where NumPy cannot view it so."""
    if isinstance(value, _Number):
        if value == 0 and math.copysign(1, value) > 0:
            return _ZERO
        value = np.asarray(value, dtype)
    if value.dtype != dtype:
        return None
    return value.view(integer)


def _choices() -> Samples:
    shapes = [((3, 4),) * 3, ((3, 1), (4,), ()), ((), (), ()), ((0, 3), (3,), (1,)),
              ((80, 80), (80, 80), (80, 80))]  # fmt: skip
    operands: list[Sequence[Any]] = [(bools(*c), x, y) for c, x, y in shapes]
    operands += [(bools(m, m), (m, m), 0) for m in (3, 80)]
    return rows("numpy.where", *calls(*operands, (bools(80, 80), 0.0, (80, 80))))


where = pointwise(
    "where", eval_where, s.select, promotion="where", saves=("in0",),
    vjps=(
        None,
        lambda F, g, condition: F.where(condition, g, 0),
        lambda F, g, condition: F.where(condition, 0, g),
    ),
    samples=_choices(),
)  # fmt: skip


def _infer_cast(spec: Spec, dtype: DType) -> tuple[Spec, ...]:
    return (spec.with_dtype(dtype),)


def _conversions() -> Samples:
    def reference(x: Any, dtype: DType) -> Any:
        return np.array(x, dtype.numpy)

    targets = (dtypes.float64, dtypes.float16, dtypes.int32, dtypes.bool_)
    operands = [(x,) for x in (floats(3, 4), ints(2), bools(2))]
    return both(
        *(rows(reference, *calls(*operands, dtype=target), grad=False) for target in targets),
        rows(reference, ((floats(3, layout="S"),), {"dtype": dtypes.float64})),
    )


def _eval_cast(xp: Any, x: Any, dtype: DType) -> Any:
    """`x` as `dtype`. As in PyTorch, float64 becomes float16 by way of float32."""
    by_way = x.dtype.char == "d" and dtype is dtypes.float16
    return (x.astype("f4") if by_way else x).astype(dtype.numpy)


cast = pointwise(
    "cast",
    _eval_cast,
    lambda x, dtype: s.cast(x, dtype),
    promotion="none",
    infer=_infer_cast,
    saves=("dtype0",),
    vjps=lambda F, g, source, dtype: F.cast(g, dtype=source),
    grad_name="ToCopy",
    samples=_conversions(),
)
clone = pointwise(
    "clone", lambda xp, x: x.copy(), lambda x: x, promotion="none", vjps=lambda F, g: g,
    samples=unary("numpy.array", kinds="fib"),
)  # fmt: skip


def _special_values(reference: str) -> Samples:
    values = np.array([1.5, math.nan, math.inf, -math.inf, -0.0])
    return both(
        unary(reference), rows(reference, *(((values.astype(t),), {}) for t in ("f4", "f8")))
    )


isnan = pointwise(
    "isnan", "isnan", "isnan", promotion="compare", samples=_special_values("numpy.isnan")
)
isinf = pointwise(
    "isinf", "isinf", "isinf", promotion="compare", samples=_special_values("numpy.isinf")
)


def _scalar_isfinite(x: s.Operand) -> s.Expr:
    return s.call("logical_not", s.call("bitor", s.call("isnan", x), s.call("isinf", x)))


isfinite = pointwise(
    "isfinite", "isfinite", _scalar_isfinite, promotion="compare",
    samples=_special_values("numpy.isfinite"),
)  # fmt: skip
