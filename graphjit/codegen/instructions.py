"""What the text of a kernel calls: arguments, memory access, conversions, arithmetic, folds.

Functions of the kernel language (`runtime.language`): each appends LLVM instructions where the text
calls it. Every load and store names the group of its buffer; groups of one kernel never overlap,
which LLVM learns from alias-scope metadata and needs in order to vectorise nested loops.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir

from .. import dtypes
from ..dtypes import DType
from ..runtime import objects
from ..runtime.kernels import scratch
from ..runtime.language import types
from ..runtime.language.emit import inline, instruction
from ..runtime.language.hints import in_lanes
from ..runtime.language.instructions import transpose, unsigned_divide
from .program import DIVIDED_BY
from .vecmath import FORMULAS
from .vecmath.division import by_inverse
from .vecmath.emit import Scalar

Instruction = Callable[..., Any]

_BYTE = ir.IntType(8)
_INTEGERS = {size: ir.IntType(8 * size) for size in (1, 2, 4, 8)}
_FLOATS = {2: ir.HalfType(), 4: ir.FloatType(), 8: ir.DoubleType()}
#: Sums may be taken in any order; NaN and infinities keep their meaning.
_FOLD_FLAGS = ("contract", "reassoc", "nsz")


def memory_type(dtype: DType) -> Any:
    """The LLVM type of elements of `dtype` in memory."""
    return (_FLOATS if dtype.category == 2 else _INTEGERS)[dtype.itemsize]


def register_type(dtype: DType) -> Any:
    """The LLVM type that values of `dtype` are computed in."""
    if dtype is dtypes.bool_:
        return types.i1.llvm
    return _FLOATS[4] if dtype is dtypes.float16 else memory_type(dtype)


def _value(x: Any, kind: Any) -> Any:
    return x if types.is_runtime(x) else types.constant(x, kind)


# --- arguments ----------------------------------------------------------------------------------


def _argument(builder: Any, table: Any, position: int, kind: Any) -> Any:
    """Word `position` of the table, which nothing changes while the kernel runs."""
    start = builder.inttoptr(table, kind.as_pointer())
    load = builder.load(builder.gep(start, [types.i64.llvm(position)], inbounds=True))
    load.set_metadata("invariant.load", builder.module.add_metadata([]))
    return load


@instruction
def pointer(builder: Any, table: Any, position: int) -> Any:
    """The address that is argument `position`."""
    address = _argument(builder, table, position, types.i64.llvm)
    return builder.inttoptr(address, _BYTE.as_pointer())


@instruction
def integer(builder: Any, table: Any, position: int) -> Any:
    """The integer that is argument `position`."""
    return _argument(builder, table, position, types.i64.llvm)


@instruction
def stride(builder: Any, table: Any, position: int) -> Any:
    """The stride whose negative is argument `position`.

    LLVM compiles loops over a stride that it takes for a plain variable twice, vectorised for
    stride 1 and scalar for all others; behind a minus it uses gathers and scatters.
    """
    return builder.neg(_argument(builder, table, position, types.i64.llvm))


@instruction
def number(builder: Any, table: Any, position: int) -> Any:
    """The float64 whose bits are argument `position`."""
    return _argument(builder, table, position, types.f64.llvm)


# --- memory -------------------------------------------------------------------------------------


@instruction
def as_pointer(builder: Any, address: Any) -> Any:
    """An address as a pointer."""
    return builder.inttoptr(address, _BYTE.as_pointer())


def _element(builder: Any, dtype: DType, base: Any, index: Any) -> Any:
    typed = builder.bitcast(base, memory_type(dtype).as_pointer())
    return builder.gep(typed, [_value(index, types.i64.llvm)], inbounds=True)


def _tag(builder: Any, access: Any, group: int, groups: int) -> Any:
    """Tell LLVM that `access` touches memory of `group` alone."""
    add = builder.module.add_metadata
    domain = add(["graphjit"])
    scopes = [add([f"graphjit.{i}", domain]) for i in range(groups)]
    access.set_metadata("alias.scope", add([scopes[group]]))
    others = [scope for i, scope in enumerate(scopes) if i != group]
    if others:
        access.set_metadata("noalias", add(others))
    return in_lanes(builder, access)


def load(dtype: DType, group: int, groups: int) -> Instruction:
    """`load(base, index)` of an element, as a register."""

    @instruction
    def load(builder: Any, base: Any, index: Any) -> Any:
        value = builder.load(_element(builder, dtype, base, index))
        _tag(builder, value, group, groups)
        if dtype is dtypes.bool_:
            return builder.icmp_unsigned("!=", value, value.type(0))
        return builder.fpext(value, _FLOATS[4]) if dtype is dtypes.float16 else value

    return load


def store(dtype: DType, group: int, groups: int) -> Instruction:
    """`store(base, index, value)` of a register."""

    @instruction
    def store(builder: Any, base: Any, index: Any, value: Any) -> None:
        value = _value(value, register_type(dtype))
        if dtype is dtypes.bool_:
            value = builder.zext(value, _BYTE)
        elif dtype is dtypes.float16:
            value = builder.fptrunc(value, _FLOATS[2])
        at = _element(builder, dtype, base, index)
        _tag(builder, builder.store(value, at), group, groups)

    return store


def local(dtype: DType) -> Instruction:
    """`local(count)`: an uninitialised array on the stack, until the kernel returns."""

    @instruction
    def local(builder: Any, count: Any) -> Any:
        if types.is_runtime(count):
            array = builder.alloca(memory_type(dtype), count)
        else:
            with builder.goto_entry_block():
                array = builder.alloca(memory_type(dtype), count)
        array.align = 64
        return builder.bitcast(array, _BYTE.as_pointer())

    return local


def turn(dtype: DType, group: int, local_group: int, groups: int) -> Instruction:
    """`turn(local, row, base, index, stride, rows, columns)`: a transposed copy of a tile.

    Element (i, j) of rows of `row` elements at `local` is that at index + i + j * stride of `base`.
    Squares as wide as a vector are turned in registers.
    """
    lanes = min(16, objects.vector_bytes() // dtype.itemsize)
    read, write = load(dtype, group, groups), store(dtype, local_group, groups)
    square = _square(dtype, lanes, group, local_group, groups)

    @inline
    def turn(
        local: Any, row: int, base: Any, index: int, stride: int, rows: int, columns: int
    ) -> None:
        for j in range(0, columns, lanes):  # whole cache lines at a time
            for i in range(0, rows, lanes):
                if i + lanes <= rows and j + lanes <= columns:
                    square(local, i * row + j, row, base, index + i + j * stride, stride)
                else:
                    for y in range(i, min(i + lanes, rows)):
                        for x in range(j, min(j + lanes, columns)):
                            write(local, y * row + x, read(base, index + y + x * stride))

    return turn


def _square(dtype: DType, lanes: int, group: int, local_group: int, groups: int) -> Instruction:
    kind = ir.VectorType(memory_type(dtype), lanes)

    def at(builder: Any, base: Any, start: Any, step: Any, number: int) -> Any:
        index = builder.add(start, builder.mul(step, types.i64.llvm(number)))
        return builder.bitcast(_element(builder, dtype, base, index), kind.as_pointer())

    @instruction
    def square(
        builder: Any, local: Any, to: Any, row: Any, base: Any, index: Any, stride: Any
    ) -> None:
        """The transpose of as many elements as a vector has, of as many vectors."""
        row = _value(row, types.i64.llvm)
        vectors = []
        for number in range(lanes):
            place = at(builder, base, index, stride, number)
            vector = builder.load(place, align=dtype.itemsize)
            vectors.append(_tag(builder, vector, group, groups))
        for number, vector in enumerate(transpose(builder, vectors)):
            place = at(builder, local, to, row, number)
            _tag(builder, builder.store(vector, place, align=dtype.itemsize), local_group, groups)

    return square


# --- scalars ------------------------------------------------------------------------------------


def literal(dtype: DType) -> Instruction:
    """`literal(number)`: a register of a definite type."""

    @instruction
    def literal(builder: Any, number: Any) -> Any:
        kind = register_type(dtype)
        if types.is_runtime(number):
            return types.convert(builder, number, kind)
        return types.constant(number, kind)

    return literal


def formula(operation: str, dtype: DType) -> Instruction:
    """A scalar instruction on registers of `dtype`."""
    emit = FORMULAS[register_dtype_name(dtype)][operation]

    @instruction
    def apply(builder: Any, *operands: Any) -> Any:
        kinds = [register_type(dtype)] * len(operands)
        if operation == "select":
            kinds[0] = types.i1.llvm
        values = map(_value, operands, kinds)
        return emit(*(Scalar(builder, value) for value in values)).value

    return apply


def divided(dtype: DType) -> Instruction:
    """`divided(x, y)`: x / y, the quicker the more often y is the same."""

    @instruction
    def divided(builder: Any, x: Any, y: Any) -> Any:
        kind = register_type(dtype)
        return by_inverse(*(Scalar(builder, _value(v, kind)) for v in (x, y))).value

    return divided


def register_dtype_name(dtype: DType) -> str:
    """The name of the dtype that values of `dtype` are computed in."""
    return "float32" if dtype is dtypes.float16 else dtype.name


def cast(source: DType, target: DType) -> Instruction:
    """`cast(x)`: conversion of registers as C does it, floats to small integers by way of int32."""

    @instruction
    def cast(builder: Any, x: Any) -> Any:
        x = _value(x, register_type(source))
        if target is dtypes.bool_:
            return Scalar(builder, x).differs(0).value
        if target is dtypes.float16:
            wide = _converted(builder, x, source, dtypes.float32)
            return builder.fpext(builder.fptrunc(wide, _FLOATS[2]), _FLOATS[4])
        if source.category == 2 and target.category == 1:
            return _to_integer(Scalar(builder, x), target).value
        return _converted(builder, x, source, target)

    return cast


def _to_integer(x: Scalar, target: DType) -> Scalar:
    """`x` without its fraction. What does not fit int32, or int64, is the least number there:

    that is what processors give; LLVM, where it knows of such a number, would give anything.
    """
    wide = _INTEGERS[max(target.itemsize, 4)]
    limit = 2.0 ** (wide.width - 1)
    x = (x.abs() < limit).where(x, -limit)
    number = x.builder.fptosi(x.value, wide)
    if target.itemsize < 4:
        number = x.builder.trunc(number, memory_type(target))
    return Scalar(x.builder, number)


def _converted(builder: Any, x: Any, source: DType, target: DType) -> Any:
    kind = register_type(target)
    if source is not dtypes.uint8:
        return types.convert(builder, x, kind)
    if target.category == 2:
        return builder.uitofp(x, kind)
    return x if kind == x.type else builder.zext(x, kind)


def _fold(operation: str) -> Instruction:
    @instruction
    def fold(builder: Any, x: Any, y: Any) -> Any:
        return getattr(builder, operation)(x, _value(y, x.type), flags=_FOLD_FLAGS)

    return fold


def _extremum(name: str) -> Instruction:
    """LLVM's `maximum` or `minimum`, which give NaN if there is one."""

    @instruction
    def extremum(builder: Any, x: Any, y: Any) -> Any:
        kind = ir.FunctionType(x.type, [x.type, x.type])
        function = builder.module.declare_intrinsic(name, [x.type], kind)
        return builder.call(function, [x, _value(y, x.type)], fastmath=("nsz",))

    return extremum


#: How floating-point reductions combine: as they please, so that vector lanes can share the work.
FOLDS = {
    "add": _fold("fadd"),
    "mul": _fold("fmul"),
    "max": _extremum("llvm.maximum"),
    "min": _extremum("llvm.minimum"),
}


@cache
def by_name(name: str, groups: int) -> Instruction:
    """The function that the text of a kernel with so many groups of memory calls by `name`.

    `load_f32_2` and `store_f32_2` of group 2, `turn_f32_0_2` from 0 to 2, `local_f32`, `f32` for
    literals, `cast_f32_i64` from float32 to int64, `fold_add`, `exp_f32`.
    """
    operation, *suffix = name.split("_")
    if not suffix:
        return literal(dtypes.by_name(operation))
    if operation in ("load", "store"):
        make = load if operation == "load" else store
        return make(dtypes.by_name(suffix[0]), int(suffix[1]), groups)
    if operation == DIVIDED_BY:
        return divided(dtypes.by_name(suffix[0]))
    if operation == "turn":
        return turn(dtypes.by_name(suffix[0]), int(suffix[1]), int(suffix[2]), groups)
    if operation == "local":
        return local(dtypes.by_name(suffix[0]))
    if operation == "cast":
        return cast(dtypes.by_name(suffix[0]), dtypes.by_name(suffix[1]))
    if operation == "fold":
        return FOLDS[suffix[0]]
    return formula("_".join([operation, *suffix[:-1]]), dtypes.by_name(suffix[-1]))


#: Kinds of loops whose iterations are independent.
LOOPS = ("lanes", "few_lanes", "masked_lanes")
#: Names in texts that stand for what Python means by them, or for kinds of loops.
_BUILT_IN = frozenset(("kernel", "range", "min", "max", *LOOPS))
_HEADER = re.compile(r"# (\d+) groups of memory\n")
_CALL = re.compile(r"\b([a-z]\w*)\(")
_FIXED: dict[str, Any] = {
    "pointer": pointer,
    "integer": integer,
    "stride": stride,
    "number": number,
    "as_pointer": as_pointer,
    "quotient": unsigned_divide,
    "claim": scratch.claim,
    "release": scratch.release,
    "inf": float("inf"),
    "nan": float("nan"),
}


def called_by(text: str) -> dict[str, Any]:
    """All that the text of a kernel refers to, by name, but for the kinds of its loops."""
    header = _HEADER.match(text)
    assert header is not None
    names = set(_CALL.findall(text)) - _FIXED.keys() - _BUILT_IN
    return _FIXED | {name: by_name(name, int(header[1])) for name in names}
