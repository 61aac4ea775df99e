"""Python's operators on tensors.

An operand that is neither tensor, number nor array gives NotImplemented, so that Python tries the
other side and then raises its own TypeError.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from . import functions_linear as linear
from . import functions_pointwise as pointwise
from .base import TensorBase, is_tensor
from .out import write_back
from .tape import TENSORS as F


def operand(value: Any) -> Any:
    """`value` as an op takes it, or NotImplemented."""
    if isinstance(value, (TensorBase, numbers.Number)):
        return value
    if isinstance(value, np.ndarray):
        from .creation import from_numpy

        return from_numpy(value)
    return NotImplemented


def _binary(name: str, function: Any) -> Any:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (TensorBase, float, int)):
            other = operand(other)
            if other is NotImplemented:
                return NotImplemented
        return function(self, other)

    method.__name__ = method.__qualname__ = f"__{name}__"
    return method


def _reflected(name: str, function: Any) -> Any:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (float, int)):
            other = operand(other)
            if other is NotImplemented:
                return NotImplemented
        return function(other, self)

    method.__name__ = method.__qualname__ = f"__r{name}__"
    return method


def _in_place(name: str, function: Any) -> Any:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (TensorBase, float, int)):
            other = operand(other)
            if other is NotImplemented:
                return NotImplemented
        return write_back(self, function(self, other))

    method.__name__ = method.__qualname__ = f"__i{name}__"
    return method


class OperatorMethods:
    """`+ - * / // % ** @ & | ^ << >> ~`, comparisons, and their reflected and in-place forms."""

    __add__ = _binary("add", F.add)
    __radd__ = _binary("radd", F.add)
    __iadd__ = _in_place("add", F.add)
    __sub__ = _binary("sub", pointwise.sub)
    __rsub__ = _reflected("sub", pointwise.sub)
    __isub__ = _in_place("sub", pointwise.sub)
    __mul__ = _binary("mul", F.mul)
    __rmul__ = _binary("rmul", F.mul)
    __imul__ = _in_place("mul", F.mul)
    __truediv__ = _binary("truediv", F.div)
    __rtruediv__ = _reflected("truediv", F.div)
    __itruediv__ = _in_place("truediv", F.div)
    __floordiv__ = _binary("floordiv", F.floor_divide)
    __rfloordiv__ = _reflected("floordiv", F.floor_divide)
    __ifloordiv__ = _in_place("floordiv", F.floor_divide)
    __mod__ = _binary("mod", F.remainder)
    __rmod__ = _reflected("mod", F.remainder)
    __imod__ = _in_place("mod", F.remainder)
    __pow__ = _binary("pow", pointwise.pow)
    __rpow__ = _reflected("pow", F.pow)
    __ipow__ = _in_place("pow", pointwise.pow)
    __and__ = _binary("and", F.bitwise_and)
    __rand__ = _reflected("and", F.bitwise_and)
    __iand__ = _in_place("and", F.bitwise_and)
    __or__ = _binary("or", F.bitwise_or)
    __ror__ = _reflected("or", F.bitwise_or)
    __ior__ = _in_place("or", F.bitwise_or)
    __xor__ = _binary("xor", F.bitwise_xor)
    __rxor__ = _reflected("xor", F.bitwise_xor)
    __ixor__ = _in_place("xor", F.bitwise_xor)
    __lshift__ = _binary("lshift", F.bitwise_left_shift)
    __rlshift__ = _reflected("lshift", F.bitwise_left_shift)
    __ilshift__ = _in_place("lshift", F.bitwise_left_shift)
    __rshift__ = _binary("rshift", F.bitwise_right_shift)
    __rrshift__ = _reflected("rshift", F.bitwise_right_shift)
    __irshift__ = _in_place("rshift", F.bitwise_right_shift)
    __lt__ = _binary("lt", F.lt)
    __le__ = _binary("le", F.le)
    __gt__ = _binary("gt", F.gt)
    __ge__ = _binary("ge", F.ge)
    __eq__ = _binary("eq", F.eq)
    __ne__ = _binary("ne", F.ne)

    def __hash__(self) -> int:
        return id(self)

    def __matmul__(self: Any, other: Any) -> Any:
        return linear.matmul(self, other) if is_tensor(other) else NotImplemented

    def __rmatmul__(self: Any, other: Any) -> Any:
        left = operand(other)
        return linear.matmul(left, self) if is_tensor(left) else NotImplemented

    def __imatmul__(self: Any, other: Any) -> Any:
        return write_back(self, linear.matmul(self, other))

    def __neg__(self: Any) -> Any:
        return F.neg(self)

    def __pos__(self: Any) -> Any:
        return pointwise.positive(self)

    def __abs__(self: Any) -> Any:
        return pointwise.abs(self)

    def __invert__(self: Any) -> Any:
        return F.bitwise_not(self)
