"""Types of the kernel language: integers, floats, and vectors of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from ...errors import CompileError
from ..objects import vector_bytes


@dataclass(frozen=True, slots=True)
class Type:
    """A machine type; inside a kernel, `kind(x)` converts `x` as C does."""

    name: str
    llvm: Any

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return bytes_of(self.llvm)

    def __call__(self, x: Any) -> Any:
        raise TypeError(f"{self.name}(...) outside a kernel")

    def __repr__(self) -> str:
        return self.name


i1 = Type("i1", ir.IntType(1))
i8 = Type("i8", ir.IntType(8))
i16 = Type("i16", ir.IntType(16))
i32 = Type("i32", ir.IntType(32))
i64 = Type("i64", ir.IntType(64))
f32 = Type("f32", ir.FloatType())
f64 = Type("f64", ir.DoubleType())
#: What elements of a dtype are in memory.
ELEMENTS = {
    "int8": i8,
    "uint8": i8,
    "int16": i16,
    "int32": i32,
    "int64": i64,
    "float32": f32,
    "float64": f64,
}


def vector(element: Type, lanes: int) -> Any:
    """The LLVM type of a vector."""
    return ir.VectorType(element.llvm, lanes)


def lanes_of(element: Type) -> int:
    """Lanes of the vectors of `element` that kernels use: the machine's widest, up to 16."""
    return min(16, vector_bytes() // element.size)


def is_vector(kind: Any) -> bool:
    return isinstance(kind, ir.VectorType)


def scalar(kind: Any) -> Any:
    """The type of one lane."""
    return kind.element if is_vector(kind) else kind


def is_float(kind: Any) -> bool:
    return isinstance(scalar(kind), (ir.HalfType, ir.FloatType, ir.DoubleType))


def is_runtime(value: Any) -> bool:
    """Whether `value` is computed by the kernel, not known while compiling."""
    return isinstance(value, ir.Value)


def constant(value: Any, kind: Any) -> Any:
    """A Python number as a value of an LLVM type, in every lane of a vector."""
    if is_vector(kind):
        return ir.Constant(kind, [constant(value, kind.element)] * kind.count)
    if is_float(kind):
        return ir.Constant(kind, float(value))
    if int(value) != value:
        raise CompileError(f"{value} as an integer")
    return ir.Constant(kind, int(value))


def materialised(value: Any) -> Any:
    """`value`, or the Python number as the value it has in a variable."""
    if is_runtime(value):
        return value
    if isinstance(value, bool):
        return constant(value, i1.llvm)
    if isinstance(value, int):
        return constant(value, i64.llvm)
    if isinstance(value, float):
        return constant(value, f64.llvm)
    raise CompileError(f"no variable can hold {value!r}")


def splat(builder: Any, value: Any, kind: Any) -> Any:
    """A scalar in every lane of a vector type."""
    none = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(none, value, i32.llvm(0))
    mask = ir.Constant(ir.VectorType(i32.llvm, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, none, mask)


def filled(builder: Any, value: Any, kind: Any) -> Any:
    """A number, converted, in every lane of a vector type."""
    if not is_runtime(value):
        return constant(value, kind)
    return splat(builder, convert(builder, value, kind.element), kind)


def unified(builder: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Two operands of one type: a Python number takes the other's, a scalar fills a vector.

    CompileError for two different types.
    """
    if not is_runtime(x):
        x = constant(x, y.type) if is_runtime(y) else materialised(x)
    if not is_runtime(y):
        y = constant(y, x.type)
    if is_vector(x.type) and x.type.element == y.type:
        y = splat(builder, y, x.type)
    elif is_vector(y.type) and y.type.element == x.type:
        x = splat(builder, x, y.type)
    if x.type != y.type:
        raise CompileError(f"operands of types {x.type} and {y.type}")
    return x, y


def convert(builder: Any, x: Any, kind: Any) -> Any:
    """`x` as a value of the LLVM type `kind`, lane by lane. Bool is unsigned, integers signed."""
    if not is_runtime(x):
        return constant(x, kind)
    if x.type == kind:
        return x
    old, new = scalar(x.type), scalar(kind)
    if is_float(old) and is_float(new):
        wider = bytes_of(new) > bytes_of(old)
        return builder.fpext(x, kind) if wider else builder.fptrunc(x, kind)
    if is_float(old):
        return builder.fptosi(x, kind)
    boolean = old.width == 1
    if is_float(new):
        return builder.uitofp(x, kind) if boolean else builder.sitofp(x, kind)
    if new.width < old.width:
        return builder.trunc(x, kind)
    return builder.zext(x, kind) if boolean else builder.sext(x, kind)


def bytes_of(kind: Any) -> int:
    """Bytes that a number of an LLVM type takes in memory."""
    if isinstance(kind, ir.IntType):
        return max(1, int(kind.width) // 8)
    if isinstance(kind, ir.HalfType):
        return 2
    return 4 if isinstance(kind, ir.FloatType) else 8
