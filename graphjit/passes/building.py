"""A namespace of ops whose calls append nodes, as `decompose` functions want it.

Does for graphs what the frontend's dispatch does for tensors: numbers become constants, operands
are brought to one dtype by explicit casts, composites are taken apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import dtypes
from ..dtypes import DType
from ..errors import Location
from ..ir.graph import Builder, Value
from ..ops import OPS, Op
from ..ops.core import Namespace

Operand = Value | bool | int | float | complex


def namespace(builder: Builder, loc: Location | None) -> Namespace:
    """All ops, each appending its nodes to `builder` under the user's line `loc`."""

    def bind(op: Op) -> Callable[..., Any]:
        def call(*operands: Operand, **attrs: Any) -> Any:
            values = promote(builder, op, operands, loc)
            if op.decompose is not None:
                return op.decompose(F, *values, **attrs)
            outputs = builder.add(op, values, attrs, loc)
            return outputs[0] if len(outputs) == 1 else outputs

        return call

    F = Namespace(bind)
    return F


def promote(
    builder: Builder, op: Op, operands: Sequence[Operand], loc: Location | None
) -> list[Value]:
    """`operands` as values of the dtypes that `op.infer` demands."""
    fixed = {"none": len(operands), "where": 1}.get(op.promotion, 0)
    target = _common_dtype(op, operands[fixed:])
    devices = [operand.spec.device for operand in operands if isinstance(operand, Value)]
    device = devices[0] if devices else "cpu"
    return [
        as_value(builder, operand, None if i < fixed else target, loc, device)
        for i, operand in enumerate(operands)
    ]


def as_value(
    builder: Builder,
    operand: Operand,
    dtype: DType | None,
    loc: Location | None = None,
    device: str = "cpu",
) -> Value:
    """`operand` with dtype `dtype`, or its own where that is None; a number goes to `device`."""
    if not isinstance(operand, Value):
        return constant(builder, operand, dtype or dtypes.of_number(operand), loc, device)
    if dtype is None or operand.dtype is dtype:
        return operand
    return builder.add(OPS["cast"], (operand,), {"dtype": dtype}, loc)[0]


def constant(
    builder: Builder,
    number: Any,
    dtype: DType,
    loc: Location | None = None,
    device: str = "cpu",
) -> Value:
    """A 0-d constant; the number is kept as Python has it after rounding to `dtype`."""
    rounded = dtype.numpy.type(number).item()
    attrs = {"value": rounded, "dtype": dtype, **on_device(device)}
    return builder.add(OPS["constant"], (), attrs, loc)[0]


def on_device(device: str) -> dict[str, str]:
    """The attribute that puts a new tensor on `device`; none for the CPU, which is the default."""
    return {} if device == "cpu" else {"device": device}


def _common_dtype(op: Op, operands: Sequence[Operand]) -> DType | None:
    """PyTorch's promotion: tensors with dimensions first, then 0-d tensors, then numbers."""
    if not operands:
        return None
    if op.promotion == "logical":
        return dtypes.bool_
    ranks: list[DType | None] = [None, None, None]
    for operand in operands:
        rank, dtype = _rank(operand)
        known = ranks[rank]
        ranks[rank] = dtype if known is None else dtypes.promote(known, dtype)
    strongest, *weaker = [dtype for dtype in ranks if dtype is not None]
    for dtype in weaker:
        strongest = dtypes.promote_weak(strongest, dtype)
    if op.promotion == "float" and strongest.category < 2:
        return dtypes.default_float()
    return strongest


def _rank(operand: Operand) -> tuple[int, DType]:
    if isinstance(operand, Value):
        return (0 if operand.shape else 1), operand.dtype
    return 2, dtypes.of_number(operand)
