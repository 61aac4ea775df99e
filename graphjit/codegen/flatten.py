"""Turns the body of a fused node into a `Program`.

Reads a body graph and the layouts of its operands and results. Dimensions of extent 1 vanish, every
op's formula becomes scalar instructions, equal values become one, and constants become arguments.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from .. import dtypes
from ..dtypes import DType
from ..errors import CompileError
from ..ir.graph import Graph, Node, Shape
from ..ir.graph import Value as GraphValue
from ..ops import scalar as s
from ..ops.core import Op, broadcast_shapes
from ..runtime.instruction import Argument, Layout, ScalarSlot
from .program import (
    INDEX,
    LITERAL,
    LOAD,
    REDUCE,
    SCALAR,
    Axes,
    Program,
    Reduction,
    Slot,
    Store,
    Value,
    axis_set,
)

Operand = Layout | ScalarSlot
_FIRST_OF = {"argmax": "max", "argmin": "min"}
_NOWHERE = 2**63 - 1


def register_dtype(dtype: DType) -> DType:
    """What values of `dtype` are computed in: float16 in float32. CompileError for complex."""
    if dtype.is_complex:
        raise CompileError(f"no kernels for {dtype.name}")
    return dtypes.float32 if dtype is dtypes.float16 else dtype


def flatten(
    body: Graph,
    operands: Sequence[Operand],
    results: Sequence[Layout],
    inplace: Mapping[int, int],
) -> Program:
    """`body` as a program; result `r` takes the memory of operand `inplace[r]`."""
    return _Flattener(body).run(operands, results, inplace)


class _Flattener:
    """The program under construction, and where each value of the body is in it."""

    def __init__(self, body: Graph) -> None:
        self.body = body
        every = [*body.inputs, *(v for node in body.nodes for v in node.outputs)]
        self.domain = broadcast_shapes(*(value.shape for value in every))
        kept = [dim for dim, extent in enumerate(self.domain) if extent != 1]
        self.axis_of = {dim: axis for axis, dim in enumerate(kept)}
        self.extents = tuple(self.domain[dim] for dim in kept)
        self.values: list[Value] = []
        self.numbers: dict[Value, int] = {}
        self.slots: list[Slot] = []
        self.scalars: list[tuple[Argument, DType]] = []
        self.of: dict[GraphValue, int] = {}

    def run(
        self, operands: Sequence[Operand], results: Sequence[Layout], inplace: Mapping[int, int]
    ) -> Program:
        for value, operand in zip(self.body.inputs, operands, strict=True):
            self._input(value, operand)
        for node in self.body.nodes:
            self.of[node.output] = self._node(node)
        stores = []
        for value, layout in zip(self.body.results, results, strict=True):
            stores.append(self._store(value, layout))
        for result, source in inplace.items():
            _check_congruent(operands[source], results[result])
        _check_overlaps(self.slots, stores)
        return Program(
            self.extents,
            tuple(self.slots),
            tuple(self.scalars),
            tuple(self.values),
            tuple(stores),
        )

    # -- operands and results

    def _input(self, value: GraphValue, operand: Operand) -> None:
        dtype = register_dtype(value.dtype)
        if isinstance(operand, ScalarSlot):
            self.of[value] = self._scalar(operand, dtype)
            return
        if value.shape != operand.shape or value.dtype is not operand.dtype:
            found = f"{operand.dtype.short}{list(operand.shape)}"
            raise CompileError(f"an operand of type {value.spec} cannot be memory of {found}")
        slot = self._slot(operand)
        axes = axis_set(a for a, stride in enumerate(self.slots[slot].strides) if stride)
        self.of[value] = self._add(Value(LOAD, (), dtype, axes, slot))

    def _slot(self, layout: Layout) -> int:
        """The slot for `layout`, which must broadcast to the domain.

        Congruent operands and results share one: with two pointers to one address LLVM's checks for
        overlap would send the loop to its scalar version.
        """
        strides = [0] * len(self.extents)
        lead = len(self.domain) - layout.ndim
        for dim, (extent, stride) in enumerate(zip(layout.shape, layout.strides, strict=True)):
            if extent != 1 and lead + dim in self.axis_of:
                strides[self.axis_of[lead + dim]] = stride
        slot = Slot(layout.pointer, layout.dtype, tuple(strides), len(self.slots))
        for number, other in enumerate(self.slots):
            if slot.memory == other.memory:
                slot = replace(slot, group=other.group)
                if slot == other:
                    return number
        self.slots.append(slot)
        return len(self.slots) - 1

    def _scalar(self, argument: Argument, dtype: DType) -> int:
        self.scalars.append((argument, dtype))
        return self._add(Value(SCALAR, (), dtype, 0, len(self.scalars) - 1))

    def _store(self, value: GraphValue, layout: Layout) -> Store:
        if value.shape != layout.shape or value.dtype is not layout.dtype:
            found = f"{layout.dtype.short}{list(layout.shape)}"
            raise CompileError(f"a result of type {value.spec} cannot go to memory of {found}")
        axes = self._axes(value.shape, range(value.ndim))
        return Store(self._slot(layout), self.of[value], axes)

    def _axes(self, shape: Shape, dims: Sequence[int]) -> Axes:
        """The axes that `dims` of a value of `shape` are."""
        lead = len(self.domain) - len(shape)
        return axis_set(self.axis_of[lead + dim] for dim in dims if shape[dim] != 1)

    # -- nodes

    def _node(self, node: Node) -> int:
        op = cast(Op, node.op)
        args = [self.of[value] for value in node.inputs]
        if op.kind == "reduce":
            return self._rounded(self._reduce(op, node, args[0]), node.output.dtype)
        if op.scalar is None:
            raise CompileError(f"{op.name} has no formula for an element")
        formula = op.scalar(*map(s.operand, range(len(args))), **node.kwargs)
        dtype = register_dtype(node.output.dtype)
        if not args and formula.instr == "const":
            return self._constant(formula.args[0], dtype)
        return self._rounded(
            self._expression(formula, args, node.output.shape, dtype), node.output.dtype
        )

    def _rounded(self, value: int, dtype: DType) -> int:
        """`value`, what an op gives, in the precision of `dtype`, with the infinities it has."""
        if dtype is not dtypes.float16 or self.values[value].op in (LOAD, LITERAL):
            return value
        return self._cast(value, dtype)

    def _constant(self, number: object, dtype: DType) -> int:
        """Zeros are written into the code; other numbers stay out of it, so that code is shared."""
        assert isinstance(number, (bool, int, float))
        if number == 0 or dtype.category == 0:
            return self._literal(number, dtype)
        return self._scalar(_as_argument(number, dtype), dtype)

    def _literal(self, number: s.Number, dtype: DType) -> int:
        kind = (bool, int, float)[dtype.category]
        return self._add(Value(LITERAL, (), dtype, 0, repr(kind(number))))

    def _add(self, value: Value) -> int:
        number = self.numbers.get(value)
        if number is None:
            number = self.numbers[value] = len(self.values)
            self.values.append(value)
        return number

    def _apply(self, op: str, args: Sequence[int], dtype: DType, detail: Hashable = None) -> int:
        axes = 0
        for arg in args:
            axes |= self.values[arg].axes
        return self._add(Value(op, tuple(args), dtype, axes, detail))

    def _cast(self, value: int, dtype: DType) -> int:
        """`value` as `dtype`, rounded to its precision."""
        source = self.values[value].dtype
        if source is dtype:
            return value
        return self._apply("cast", [value], register_dtype(dtype), dtype)

    # -- formulas

    def _expression(
        self, expr: s.Operand, args: Sequence[int], shape: Shape, dtype: DType
    ) -> int:
        """The value of `expr`, where numbers without a type have `dtype`."""
        if not isinstance(expr, s.Expr):
            return self._literal(expr, dtype)
        if expr.instr == "operand":
            return args[cast(int, expr.args[0])]
        if expr.instr == "const":
            assert expr.dtype is not None
            return self._literal(cast(s.Number, expr.args[0]), register_dtype(expr.dtype))
        if expr.instr == "index":
            return self._index(self._axes(shape, [cast(int, expr.args[0])]))
        operands = self._operands(expr, args, shape, dtype)
        if expr.instr == "cast":
            assert expr.dtype is not None
            return self._cast(operands[0], expr.dtype)
        return self._apply(expr.instr, operands, self._type_of(expr.instr, operands))

    def _operands(
        self, expr: s.Expr, args: Sequence[int], shape: Shape, dtype: DType
    ) -> list[int]:
        """Operands of one instruction; bare numbers take the type of those beside them."""
        typed = {
            position: self._expression(arg, args, shape, dtype)
            for position, arg in enumerate(expr.args)
            if isinstance(arg, s.Expr)
        }
        beside = [p for p in typed if not (expr.instr == "select" and p == 0)]
        number_type = self.values[typed[beside[0]]].dtype if beside else dtype
        return [
            typed[position]
            if position in typed
            else self._literal(cast(s.Number, arg), number_type)
            for position, arg in enumerate(expr.args)
        ]

    def _type_of(self, instr: str, operands: Sequence[int]) -> DType:
        if instr in s.BOOLEAN:
            return dtypes.bool_
        return self.values[operands[-1]].dtype

    def _index(self, axes: Axes) -> int:
        if not axes:
            return self._literal(0, dtypes.int64)
        return self._add(Value(INDEX, (), dtypes.int64, axes, axes.bit_length() - 1))

    # -- reductions

    def _reduce(self, op: Op, node: Node, value: int) -> int:
        shape = node.inputs[0].shape
        axes = self._axes(shape, node.attr("dims"))
        assert op.combine is not None and op.identity is not None
        if op.combine in _FIRST_OF:
            return self._first_extremum(_FIRST_OF[op.combine], op, value, axes)
        out = node.output.dtype
        dtype = register_dtype(out)
        if dtype.category == 0 and self.values[value].dtype.category:
            zero = self._literal(0, self.values[value].dtype)
            value = self._apply("ne", [value, zero], dtypes.bool_)
        return self._fold(op.combine, op.identity(out), self._cast(value, dtype), axes)

    def _fold(self, combine: str, identity: s.Number, value: int, axes: Axes) -> int:
        if not axes:
            return value
        source = self.values[value]
        reduction = Reduction(combine, identity, axes)
        return self._add(Value(REDUCE, (value,), source.dtype, source.axes & ~axes, reduction))

    def _first_extremum(self, combine: str, op: Op, value: int, axes: Axes) -> int:
        """The first index of the extremum or, if there is one, of the first NaN.

        As two reductions, which vectorise: the extremum, then the smallest index that has it.
        """
        index = self._index(axes)
        if not axes:
            return index
        assert op.identity is not None
        dtype = self.values[value].dtype
        if dtype.category == 0:
            dtype = dtypes.uint8
            value = self._cast(value, dtype)
        best = self._fold(combine, op.identity(dtype), value, axes)
        chosen = self._apply("eq", [value, best], dtypes.bool_)
        if dtype.category == 2:
            nan = self._apply("isnan", [value], dtypes.bool_)
            chosen = self._apply("bitor", [chosen, nan], dtypes.bool_)
        nowhere = self._literal(_NOWHERE, dtypes.int64)
        where = self._apply("select", [chosen, index, nowhere], dtypes.int64)
        return self._fold("min", _NOWHERE, where, axes)


def _check_congruent(operand: Operand, result: Layout) -> None:
    """CompileError unless each element of `result` lies where that of `operand` does."""
    if not isinstance(operand, Layout) or operand.pointer != result.pointer:
        raise CompileError("a result that takes an operand's memory must start where it does")
    if _steps(operand) != _steps(result) or operand.dtype.itemsize != result.dtype.itemsize:
        raise CompileError("a result that takes an operand's memory must have its strides")


def _check_overlaps(slots: Sequence[Slot], stores: Sequence[Store]) -> None:
    """CompileError if memory is written that is also seen in another arrangement."""
    written = {store.slot for store in stores}
    if len(written) < len(stores):
        raise CompileError("two results have the same memory")
    for number in written:
        if any(s.group == slots[number].group for i, s in enumerate(slots) if i != number):
            raise CompileError("a result lies over an operand that is read at other indices")


def _steps(layout: Layout) -> list[tuple[int, int]]:
    pairs = zip(layout.shape, layout.strides, strict=True)
    return [(extent, stride) for extent, stride in pairs if extent != 1]


def _as_argument(number: s.Number, dtype: DType) -> Argument:
    return float(number) if dtype.category == 2 else int(number)
