"""Pointwise functions: arithmetic, comparison, logic, elementary functions, `where`, `clamp`.

Each is also the `Tensor` method of its name.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import dtypes
from ..dtypes import DType
from ..errors import locate
from .arguments import check_tensor
from .base import is_tensor
from .dispatch import result_type
from .out import write_out
from .tape import TENSORS as F

if TYPE_CHECKING:
    from .tensor import Tensor

Function = Callable[..., Any]


def unary(name: str, not_bool: Exception | None = None) -> Function:
    """The function of one tensor that applies the op called `name`; `not_bool` refuses bools."""
    call = getattr(F, name)

    def function(input: Any, *, out: Any = None) -> Any:
        if not is_tensor(input):
            check_tensor(name, input)
        if not_bool is not None and input._array.dtype.kind == "b":
            raise locate(type(not_bool)(*not_bool.args))
        result = call(input)
        return result if out is None else write_out(out, result, name)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{name}` of each element."
    return function


def binary(name: str, both: bool = False) -> Function:
    """The function of two operands, of which one (`both`: each) must be a tensor."""
    call = getattr(F, name)

    def function(input: Any, other: Any, *, out: Any = None) -> Any:
        if not is_tensor(other) and (both or not is_tensor(input)):
            _check_operands(name, input, other)
        result = call(input, other)
        return result if out is None else write_out(out, result, name)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{name}` of elements at the same place; shapes broadcast."
    return function


def _no_bool(kernel: str) -> Exception:
    return NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def _check_operands(name: str, input: Any, other: Any) -> None:
    check_tensor(name, input)
    check_tensor(name, other, "other", 2)


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """`input + alpha * other`."""
    if alpha != 1:
        other = _scaled(input, other, alpha)
    if not is_tensor(other) and not is_tensor(input):
        _check_operands("add", input, other)
    result = F.add(input, other)
    return result if out is None else write_out(out, result, "add")


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """`input - alpha * other`."""
    if alpha != 1:
        other = _scaled(input, other, alpha)
    if not is_tensor(other) and not is_tensor(input):
        _check_operands("sub", input, other)
    _check_bool_difference(input, other)
    result = F.sub(input, other)
    return result if out is None else write_out(out, result, "sub")


def _check_bool_difference(input: Any, other: Any) -> None:
    for x in (input, other):
        if x is True or x is False or (is_tensor(x) and x._array.dtype.kind == "b"):
            both = is_tensor(input) and is_tensor(other) and input.dtype is other.dtype
            which = "two bool tensors" if both else "a bool tensor"
            raise locate(RuntimeError(
                f"Subtraction, the `-` operator, with {which} is not supported. If you are trying "
                "to invert a mask, use the `~` or `logical_not()` operator instead."
                if not both else
                "Subtraction, the `-` operator, with two bool tensors is not supported. "
                "Use the `^` or `logical_xor()` operator instead."
            ))


def _scaled(input: Any, other: Any, alpha: Any) -> Any:
    if isinstance(alpha, float) and builtins.all(
        x._array.dtype.kind in "iub" if is_tensor(x) else isinstance(x, int)
        for x in (input, other)
    ):
        raise locate(RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        ))
    return F.mul(other, alpha) if is_tensor(other) else other * alpha


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """`other - alpha * input`."""
    return sub(other, input, alpha=alpha)


mul = binary("mul")


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """The quotient; `rounding_mode` "floor" or "trunc" rounds it and keeps integers."""
    if not is_tensor(other) and not is_tensor(input):
        _check_operands("div", input, other)
    if rounding_mode is None:
        result = F.div(input, other)
    elif rounding_mode == "floor":
        result = F.floor_divide(input, other)
    elif rounding_mode == "trunc":
        result = _trunc_divide(input, other)
    else:
        raise locate(RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        ))
    return result if out is None else write_out(out, result, "div")


def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """`input ** exponent`. RuntimeError for integers to a negative integer power."""
    if not is_tensor(exponent):
        if not is_tensor(input):
            check_tensor("pow", input)
        if exponent.__class__ is bool and input._array.dtype.kind == "b":
            return F.clone(input) if exponent else F.logical_or(input, F.logical_not(input))
        if exponent.__class__ is int and exponent < 0 and input._array.dtype.kind in "iu":
            raise locate(RuntimeError("Integers to negative integer powers are not allowed."))
    result = F.pow(input, exponent)
    return result if out is None else write_out(out, result, "pow")


def _trunc_divide(input: Any, other: Any) -> Any:
    floating = any_floating(input, other)
    if floating:
        return F.trunc(F.div(input, other))
    remainder = F.fmod(input, other)
    return F.floor_divide(F.sub(input, remainder), other)


def any_floating(*operands: Any) -> bool:
    """Whether an operand, tensor or number, is floating or complex."""
    return builtins.any(
        x._array.dtype.kind in "fc" if is_tensor(x) else isinstance(x, (float, builtins.complex))
        for x in operands
    )


floor_divide = binary("floor_divide")
remainder = binary("remainder")
fmod = binary("fmod")
atan2 = binary("atan2")
maximum = binary("maximum", both=True)
minimum = binary("minimum", both=True)
lt = binary("lt")
le = binary("le")
gt = binary("gt")
ge = binary("ge")
eq = binary("eq")
ne = binary("ne")
logical_and = binary("logical_and", both=True)
logical_or = binary("logical_or", both=True)
logical_xor = binary("logical_xor", both=True)
bitwise_and = binary("bitwise_and")
bitwise_or = binary("bitwise_or")
bitwise_xor = binary("bitwise_xor")
bitwise_left_shift = binary("bitwise_left_shift")
bitwise_right_shift = binary("bitwise_right_shift")

neg = unary("neg")
abs = unary("abs", _no_bool("abs_cpu"))
sqrt = unary("sqrt")
rsqrt = unary("rsqrt")
reciprocal = unary("reciprocal")
exp = unary("exp")
exp2 = unary("exp2")
expm1 = unary("expm1")
log = unary("log")
log2 = unary("log2")
log10 = unary("log10")
log1p = unary("log1p")
sin = unary("sin")
cos = unary("cos")
tan = unary("tan")
asin = unary("asin")
acos = unary("acos")
atan = unary("atan")
sinh = unary("sinh")
cosh = unary("cosh")
tanh = unary("tanh")
asinh = unary("asinh")
acosh = unary("acosh")
atanh = unary("atanh")
sigmoid = unary("sigmoid")
erf = unary("erf")
relu = unary("relu", RuntimeError("Boolean inputs not supported for relu"))
logical_not = unary("logical_not")
bitwise_not = unary("bitwise_not")
isnan = unary("isnan")
isinf = unary("isinf")
isfinite = unary("isfinite")


def _rounding(name: str) -> Function:
    """Rounding leaves integers as they are."""
    call = getattr(F, name)

    def function(input: Any, *, out: Any = None) -> Any:
        check_tensor(name, input)
        if input._array.dtype.kind == "b":
            raise locate(_no_bool(f"{name}_vml_cpu"))
        result = F.clone(input) if input._array.dtype.kind in "iu" else call(input)
        return result if out is None else write_out(out, result, name)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{name}` of each element."
    return function


floor = _rounding("floor")
ceil = _rounding("ceil")
trunc = _rounding("trunc")


def sign(input: Tensor, *, out: Any = None) -> Any:
    """-1, 0 or 1; a bool is its own sign."""
    check_tensor("sign", input)
    result = F.clone(input) if input._array.dtype.kind == "b" else F.sign(input)
    return result if out is None else write_out(out, result, "sign")


def round(input: Tensor, *, decimals: int = 0, out: Any = None) -> Any:
    """The nearest whole number, ties to even; with `decimals`, the nearest multiple of 10**-n."""
    check_tensor("round", input)
    if input._array.dtype.kind == "b":
        raise locate(_no_bool("round_vml_cpu"))
    if input._array.dtype.kind in "iu":
        result = F.clone(input)
    elif decimals:
        scale = 10.0 ** builtins.abs(decimals)
        scaled = F.mul(input, scale) if decimals > 0 else F.div(input, scale)
        result = F.round(scaled)
        result = F.div(result, scale) if decimals > 0 else F.mul(result, scale)
    else:
        result = F.round(input)
    return result if out is None else write_out(out, result, "round")


def frac(input: Tensor, *, out: Any = None) -> Any:
    """What is left after the whole part is taken off."""
    check_tensor("frac", input)
    if input._array.dtype.kind != "f":
        kind = _legacy(input.dtype)
        raise locate(NotImplementedError(f"\"frac_cpu\" not implemented for '{kind}'"))
    result = F.sub(input, F.trunc(input))
    return result if out is None else write_out(out, result, "frac")


def square(input: Tensor, *, out: Any = None) -> Any:
    """`input ** 2`."""
    result = F.pow(input, 2)
    return result if out is None else write_out(out, result, "square")


def positive(input: Tensor) -> Tensor:
    """`input` itself; RuntimeError for bool."""
    if input._array.dtype.kind == "b":
        raise locate(RuntimeError("The `+` operator, on a bool tensor is not supported."))
    return input


def erfc(input: Tensor, *, out: Any = None) -> Any:
    """`1 - erf(input)`."""
    result = F.sub(1, F.erf(input))
    return result if out is None else write_out(out, result, "erfc")


def logit(input: Tensor, eps: float | None = None, *, out: Any = None) -> Any:
    """`log(p / (1 - p))`, with `p` brought into [eps, 1 - eps] if given."""
    p = input if eps is None else clamp(input, eps, 1 - eps)
    result = F.log(F.div(p, F.sub(1, p)))
    return result if out is None else write_out(out, result, "logit")


def rad2deg(input: Tensor, *, out: Any = None) -> Any:
    """Degrees from radians."""
    result = F.mul(input, 180 / math.pi)
    return result if out is None else write_out(out, result, "rad2deg")


def deg2rad(input: Tensor, *, out: Any = None) -> Any:
    """Radians from degrees."""
    result = F.mul(input, math.pi / 180)
    return result if out is None else write_out(out, result, "deg2rad")


def isposinf(input: Tensor, *, out: Any = None) -> Any:
    """Where an element is positive infinity."""
    result = F.eq(input, math.inf)
    return result if out is None else write_out(out, result, "isposinf")


def isneginf(input: Tensor, *, out: Any = None) -> Any:
    """Where an element is negative infinity."""
    result = F.eq(input, -math.inf)
    return result if out is None else write_out(out, result, "isneginf")


def signbit(input: Tensor, *, out: Any = None) -> Any:
    """Where the sign bit is set; -0.0 has it."""
    if input._array.dtype.kind == "f":
        negative_zero = F.logical_and(F.eq(input, 0), F.lt(F.reciprocal(input), 0))
        result = F.logical_or(F.lt(input, 0), negative_zero)
    else:
        result = F.lt(input, 0)
    return result if out is None else write_out(out, result, "signbit")


def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
    *,
    out: Any = None,
) -> Any:
    """NaN as 0 (or `nan`), infinities as the largest finite numbers (or `posinf`, `neginf`)."""
    if input._array.dtype.kind != "f":
        result = F.clone(input)
    else:
        import numpy as np

        limits = np.finfo(input._array.dtype)
        high = float(limits.max) if posinf is None else posinf
        low = float(limits.min) if neginf is None else neginf
        result = F.where(F.isnan(input), 0.0 if nan is None else nan, input)
        result = F.where(F.eq(input, math.inf), high, result)
        result = F.where(F.eq(input, -math.inf), low, result)
    return result if out is None else write_out(out, result, "nan_to_num")


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Any:
    """Each element brought into [min, max]; either bound, number or tensor, may be missing."""
    check_tensor("clamp", input)
    if min is None and max is None:
        raise locate(RuntimeError(
            "torch.clamp: At least one of 'min' or 'max' must not be None"
        ))
    if is_tensor(min) or is_tensor(max):
        result = input if min is None else F.maximum(input, min)
        result = result if max is None else F.minimum(result, max)
    else:
        if input._array.dtype.kind == "b":
            if isinstance(min, bool) or isinstance(max, bool):
                raise locate(_no_bool("clamp_scalar_cpu"))
            input = F.cast(input, dtype=dtypes.int64)
        result = F.clamp(_widened(input, min, max), min=min, max=max)
    return result if out is None else write_out(out, result, "clamp")


def _widened(input: Tensor, *bounds: Any) -> Tensor:
    """Integers become floats where a bound is one."""
    if input._array.dtype.kind in "iub" and any_floating(*bounds):
        result: Tensor = F.cast(input, dtype=dtypes.default_float())
        return result
    return input


clip = clamp


def clamp_min(input: Tensor, min: Any, *, out: Any = None) -> Any:
    """`clamp` from below."""
    return clamp(input, min=min, out=out)


def clamp_max(input: Tensor, max: Any, *, out: Any = None) -> Any:
    """`clamp` from above."""
    return clamp(input, max=max, out=out)


def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """Elements of `input` where `condition`, else of `other`; alone, the indices of true ones."""
    if input is None and other is None:
        from .functions_search import nonzero

        return nonzero(condition, as_tuple=True)
    check_tensor("where", condition, "condition")
    if condition._array.dtype.kind != "b":
        if condition._array.dtype.char != "B":
            raise locate(RuntimeError(
                "where expected condition to be a boolean tensor, but got a tensor with dtype "
                f"{_legacy(condition.dtype)}"
            ))
        condition = F.cast(condition, dtype=dtypes.bool_)
    result = F.where(condition, input, other)
    return result if out is None else write_out(out, result, "where")


def _legacy(dtype: DType) -> str:
    from ..ops.core import type_name

    return type_name(dtype)


def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Any = None) -> Any:
    """`input + weight * (end - input)`."""
    result = F.add(input, F.mul(F.sub(end, input), weight))
    return result if out is None else write_out(out, result, "lerp")


def addcmul(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1, out: Any = None
) -> Any:
    """`input + value * tensor1 * tensor2`."""
    product = F.mul(tensor1, tensor2)
    result = F.add(input, product if value == 1 else F.mul(product, value))
    return result if out is None else write_out(out, result, "addcmul")


def addcdiv(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1, out: Any = None
) -> Any:
    """`input + value * tensor1 / tensor2`."""
    if not any_floating(tensor1, tensor2):
        raise locate(RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release "
            "addcdiv will perform a true division of tensor1 and tensor2. The historic addcdiv "
            "behavior can be implemented as (input + value * torch.trunc(tensor1 / "
            "tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / "
            "tensor2) for float inputs. The future addcdiv behavior is just the latter "
            "implementation: (input + value * tensor1 / tensor2), for all dtypes."
        ))
    result = F.add(input, F.mul(F.div(tensor1, tensor2), value))
    return result if out is None else write_out(out, result, "addcdiv")


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Where `|input - other| <= atol + rtol * |other|`, or both are equal."""
    if input.dtype is not other.dtype:
        raise locate(RuntimeError(
            f"{_legacy(input.dtype)} did not match {_legacy(other.dtype)}"
        ))
    close = F.eq(input, other)
    if equal_nan and input._array.dtype.kind in "fc":
        close = F.logical_or(close, F.logical_and(F.isnan(input), F.isnan(other)))
    error = F.abs(F.sub(input, other)) if input._array.dtype.kind != "b" else F.ne(input, other)
    allowed = F.add(F.abs(F.mul(other, rtol)), atol)
    near = F.logical_and(F.isfinite(error), F.le(error, allowed))
    return F.logical_or(close, near)


def logaddexp(input: Tensor, other: Tensor, *, out: Any = None) -> Any:
    """`log(exp(input) + exp(other))`, without overflow."""
    top = F.maximum(input, other)
    gap = F.neg(F.abs(F.sub(input, other)))
    result = F.where(F.eq(F.abs(top), math.inf), top, F.add(top, F.log1p(F.exp(gap))))
    return result if out is None else write_out(out, result, "logaddexp")


def _floating(*operands: Any) -> DType:
    """The dtype that an op on floating-point numbers takes `operands` in."""
    dtype = result_type(operands)
    return dtype if dtype.category >= 2 else dtypes.default_float()


def _scalar(number: Any, dtype: DType) -> Tensor:
    from .creation import filled

    return filled((), number, dtype)


def xlogy(input: Any, other: Any, *, out: Any = None) -> Any:
    """`input * log(other)`, and 0 where `input` is 0."""
    dtype = _floating(input, other)
    input, other = (x if is_tensor(x) else _scalar(x, dtype) for x in (input, other))
    result = F.where(F.eq(input, 0), 0.0, F.mul(input, F.log(F.cast(other, dtype=dtype))))
    result = F.where(F.isnan(other), math.nan, result)
    return result if out is None else write_out(out, result, "xlogy")


def hypot(input: Tensor, other: Tensor, *, out: Any = None) -> Any:
    """The length of the hypotenuse."""
    result = F.sqrt(F.add(F.mul(input, input), F.mul(other, other)))
    return result if out is None else write_out(out, result, "hypot")


def heaviside(input: Tensor, values: Tensor, *, out: Any = None) -> Any:
    """0 below 0, 1 above 0, `values` at 0."""
    step = F.cast(F.gt(input, 0), dtype=input.dtype)
    result = F.where(F.eq(input, 0), values, step)
    return result if out is None else write_out(out, result, "heaviside")


def copysign(input: Any, other: Any, *, out: Any = None) -> Any:
    """The size of `input` with the sign of `other`."""
    size = F.abs(F.cast(check_tensor("copysign", input), dtype=_floating(input, other)))
    negative = signbit(other) if is_tensor(other) else math.copysign(1, other) < 0
    if is_tensor(negative):
        result = F.where(negative, F.neg(size), size)
    else:
        result = F.neg(size) if negative else size
    return result if out is None else write_out(out, result, "copysign")


#: PyTorch's other names.
absolute = abs
negative = neg
subtract = sub
multiply = mul
divide = div
arctan2 = atan2
less = lt
less_equal = le
greater = gt
greater_equal = ge
not_equal = ne
arcsin, arccos, arctan = asin, acos, atan
arcsinh, arccosh, arctanh = asinh, acosh, atanh
fix = trunc


def true_divide(dividend: Any, divisor: Any, *, out: Any = None) -> Any:
    """`div`, by its other name."""
    return div(dividend, divisor, out=out)
