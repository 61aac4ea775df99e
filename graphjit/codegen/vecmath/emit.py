"""A scalar under construction: Python operators that append LLVM instructions.

Reads nothing of graphjit. The formulas of this package are functions from `Scalar` to `Scalar`,
each written once for float32 and float64, and run once for every use in a kernel.

Floating-point operators carry the flag `contract` and nothing else: a kernel may be compiled with
`reassoc` (reductions are), which would undo Cody-Waite reductions, but Numba adds a kernel's flags
only to instructions that have none. There are no branches, so loops over a formula vectorise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

CONTRACT = ("contract",)
#: No contraction either. `arcp` means nothing to an addition; it keeps Numba from adding flags.
EXACT = ("arcp",)

FLOAT32, FLOAT64 = ir.FloatType(), ir.DoubleType()
INT32, INT64 = ir.IntType(32), ir.IntType(64)


@dataclass(frozen=True)
class FloatFormat:
    """The layout of a floating-point type, and the numbers that formulas need of it."""

    name: str
    bits: ir.IntType
    mantissa: int
    bias: int
    tiny: float

    @property
    def width(self) -> int:
        """Size in bits."""
        return 32 if self.bits == INT32 else 64

    @property
    def rounder(self) -> float:
        """Added to a number, it leaves the nearest integer in the low bits of the sum."""
        return 1.5 * 2.0**self.mantissa


FORMATS = {
    FLOAT32: FloatFormat("float32", INT32, 23, 127, 2.0**-126),
    FLOAT64: FloatFormat("float64", INT64, 52, 1023, 2.0**-1022),
}


@dataclass(frozen=True)
class Scalar:
    """An LLVM value with operators. Numbers take the type of the scalar beside them."""

    builder: ir.IRBuilder
    value: ir.Value

    # Types and constants.

    @property
    def type(self) -> ir.Type:
        return self.value.type

    @property
    def is_float(self) -> bool:
        return self.type in FORMATS

    @property
    def format(self) -> FloatFormat:
        return FORMATS[self.type]

    def const(self, number: float) -> Scalar:
        """`number` as a constant of this type."""
        if self.type == FLOAT32:
            number = float(np.float32(number))
        return self.make(ir.Constant(self.type, number))

    def make(self, value: ir.Value) -> Scalar:
        """A scalar of another value in the same place."""
        return Scalar(self.builder, value)

    def _value(self, other: Scalar | float) -> ir.Value:
        return other.value if isinstance(other, Scalar) else self.const(other).value

    def binary(
        self, float_op: str, int_op: str, other: Scalar | float, flags: Sequence[str] = CONTRACT
    ) -> Scalar:
        """The builder's instruction `float_op` or `int_op`, as the type demands."""
        value = self._value(other)
        if self.is_float:
            return self.make(getattr(self.builder, float_op)(self.value, value, flags=flags))
        return self.make(getattr(self.builder, int_op)(self.value, value))

    # Arithmetic.

    def __add__(self, other: Scalar | float) -> Scalar:
        return self.binary("fadd", "add", other)

    def __radd__(self, other: float) -> Scalar:
        return self.const(other) + self

    def __sub__(self, other: Scalar | float) -> Scalar:
        return self.binary("fsub", "sub", other)

    def __rsub__(self, other: float) -> Scalar:
        return self.const(other) - self

    def __mul__(self, other: Scalar | float) -> Scalar:
        return self.binary("fmul", "mul", other)

    def __rmul__(self, other: float) -> Scalar:
        return self.const(other) * self

    def __truediv__(self, other: Scalar | float) -> Scalar:
        return self.binary("fdiv", "sdiv", other)

    def __rtruediv__(self, other: float) -> Scalar:
        return self.const(other) / self

    def __neg__(self) -> Scalar:
        if self.is_float:
            return self.make(self.builder.fneg(self.value))
        return self.make(self.builder.neg(self.value))

    def plus(self, other: Scalar | float) -> Scalar:
        """The sum, rounded as it stands: never part of a fused multiply-add."""
        return self.binary("fadd", "add", other, EXACT)

    def minus(self, other: Scalar | float) -> Scalar:
        """The difference, rounded as it stands."""
        return self.binary("fsub", "sub", other, EXACT)

    def times(self, other: Scalar | float) -> Scalar:
        """The product, rounded as it stands."""
        return self.binary("fmul", "mul", other, EXACT)

    # Bits.

    def __and__(self, other: Scalar | int) -> Scalar:
        return self.make(self.builder.and_(self.value, self._value(other)))

    def __or__(self, other: Scalar | int) -> Scalar:
        return self.make(self.builder.or_(self.value, self._value(other)))

    def __xor__(self, other: Scalar | int) -> Scalar:
        return self.make(self.builder.xor(self.value, self._value(other)))

    def __invert__(self) -> Scalar:
        return self.make(self.builder.not_(self.value))

    def __lshift__(self, other: Scalar | int) -> Scalar:
        return self.make(self.builder.shl(self.value, self._value(other)))

    def __rshift__(self, other: Scalar | int) -> Scalar:
        """Arithmetic shift: the sign is kept."""
        return self.make(self.builder.ashr(self.value, self._value(other)))

    def logical_shift(self, other: Scalar | int) -> Scalar:
        """Shift to the right, filling with zeros."""
        return self.make(self.builder.lshr(self.value, self._value(other)))

    def bits(self) -> Scalar:
        """The representation, as an integer of the same width."""
        return self.make(self.builder.bitcast(self.value, self.format.bits))

    def as_float(self) -> Scalar:
        """The number that these bits represent."""
        kind = FLOAT32 if self.type == INT32 else FLOAT64
        return self.make(self.builder.bitcast(self.value, kind))

    # Comparison and choice. All comparisons with NaN are false, except `!=`.

    def compare(self, operator: str, other: Scalar | float, signed: bool = True) -> Scalar:
        """A boolean; `operator` is one of < <= > >= == !=."""
        value = self._value(other)
        if self.is_float:
            ordered = operator != "!="
            method = self.builder.fcmp_ordered if ordered else self.builder.fcmp_unordered
        else:
            method = self.builder.icmp_signed if signed else self.builder.icmp_unsigned
        return self.make(method(operator, self.value, value))

    def __lt__(self, other: Scalar | float) -> Scalar:
        return self.compare("<", other)

    def __le__(self, other: Scalar | float) -> Scalar:
        return self.compare("<=", other)

    def __gt__(self, other: Scalar | float) -> Scalar:
        return self.compare(">", other)

    def __ge__(self, other: Scalar | float) -> Scalar:
        return self.compare(">=", other)

    def equals(self, other: Scalar | float) -> Scalar:
        return self.compare("==", other)

    def differs(self, other: Scalar | float) -> Scalar:
        return self.compare("!=", other)

    def is_nan(self) -> Scalar:
        return self.differs(self)

    def where(self, x: Scalar | float, y: Scalar | float) -> Scalar:
        """`x` where this boolean holds, else `y`; one of them must be a scalar."""
        kind = x if isinstance(x, Scalar) else y
        assert isinstance(kind, Scalar)
        return self.make(self.builder.select(self.value, kind._value(x), kind._value(y)))

    # Intrinsics and conversions.

    def intrinsic(self, name: str, *others: Scalar | float) -> Scalar:
        """`llvm.<name>` of this scalar and others of its type."""
        function = self.builder.module.declare_intrinsic(
            f"llvm.{name}",
            [self.type],
            ir.FunctionType(self.type, [self.type] * (1 + len(others))),
        )
        values = [self._value(other) for other in others]
        return self.make(self.builder.call(function, [self.value, *values]))

    def abs(self) -> Scalar:
        return self.intrinsic("fabs")

    def sqrt(self) -> Scalar:
        return self.intrinsic("sqrt")

    def floor(self) -> Scalar:
        return self.intrinsic("floor")

    def trunc(self) -> Scalar:
        return self.intrinsic("trunc")

    def sign_of(self, other: Scalar) -> Scalar:
        """This magnitude with the sign of `other`, also where that is a zero."""
        return self.intrinsic("copysign", other)

    def fma(self, factor: Scalar | float, addend: Scalar | float) -> Scalar:
        """`self * factor + addend` rounded once, whatever the processor."""
        return self.intrinsic("fma", factor, addend)

    def to(self, kind: ir.Type) -> Scalar:
        """Conversion between float32 and float64, or of a signed integer to either."""
        if self.type == kind:
            return self
        if not self.is_float:
            return self.make(self.builder.sitofp(self.value, kind))
        convert = self.builder.fpext if kind == FLOAT64 else self.builder.fptrunc
        return self.make(convert(self.value, kind))


Formula = Callable[..., Scalar]
Coefficients = Sequence[float]
#: from so many coefficients on, even and odd powers of a polynomial are summed apart
LONG = 6


def polynomial(x: Scalar, coefficients: Coefficients) -> Scalar:
    """`c0 + c1 x + c2 x**2 + ...` by Horner's rule; if long, even and odd powers apart.

    Iterations of the loop overlap, but long chains fill the processor's window before the next.
    """
    if len(coefficients) < LONG:
        return horner(x, coefficients)
    square = x * x
    return horner(square, coefficients[::2]) + x * horner(square, coefficients[1::2])


def horner(x: Scalar, coefficients: Coefficients) -> Scalar:
    """The same in one chain."""
    *rest, last = coefficients
    total = x.const(last)
    for coefficient in reversed(rest):
        total = total * x + coefficient
    return total


def nearest(x: Scalar, scale: float) -> tuple[Scalar, Scalar]:
    """The integer nearest to `x * scale`: as a float, and in the low bits of an integer.

    Valid to 2**21 (float32) and 2**50 (float64). Adding a large number rounds without the
    conversion instruction, whose result for NaN would be poison.
    """
    rounder = x.format.rounder
    shifted = x * scale + rounder
    return shifted.minus(rounder), shifted.bits()


def power_of_two(exponent: Scalar) -> Scalar:
    """`2**exponent` for an integer `exponent` (low bits count) that a normal number can have."""
    kind = FORMATS[FLOAT32 if exponent.type == INT32 else FLOAT64]
    return ((exponent + kind.bias) << kind.mantissa).as_float()


def scale_by_power(x: Scalar, exponent: Scalar) -> Scalar:
    """`x * 2**exponent` by adding to the exponent field; result and `x` must be normal numbers."""
    return (x.bits() + (exponent << x.format.mantissa)).as_float()
