"""Lowers bodies, runs them on arrays, and compares with what NumPy computes for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from graphjit import dtypes
from graphjit.codegen.lower import Lowered, lower
from graphjit.ir.graph import Builder, Graph, Spec, Value
from graphjit.ir.interp import interpret
from graphjit.ops import OPS
from graphjit.ops.core import Namespace
from graphjit.runtime.instruction import Arena, External, Instruction, Layout
from graphjit.runtime.program import Program

TOLERANCE = {2: 4e-3, 4: 2e-5, 8: 1e-11}


class Body:
    """Builds a body graph by calling ops: `b.mul(x, y)`; bare numbers become constants."""

    def __init__(self) -> None:
        self.builder = Builder()
        self.inputs: list[Value] = []
        self._ops = Namespace(self._bind)

    def _bind(self, op: Any) -> Callable[..., Value]:
        def call(*operands: Any, **attrs: Any) -> Value:
            like = next((v for v in reversed(operands) if isinstance(v, Value)), None)
            values = [self._as_value(v, like) for v in operands]
            return self.builder.add(op, values, attrs)[0]

        return call

    def _as_value(self, operand: Any, like: Value | None) -> Value:
        if isinstance(operand, Value):
            return operand
        assert like is not None
        attrs = {"value": operand, "dtype": like.dtype}
        return self.builder.add(OPS["constant"], (), attrs)[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ops, name)

    def input(self, array: Any) -> Value:
        self.inputs.append(Value(Spec(array.shape, dtypes.from_numpy(array.dtype))))
        return self.inputs[-1]

    def graph(self, *outputs: Value) -> Graph:
        return Graph(tuple(self.inputs), tuple(self.builder.nodes), tuple(outputs))


def layout(slot: int, array: Any) -> Layout:
    """Where `array`, passed as `slot`, has its elements."""
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return Layout(External(slot), array.shape, strides, dtypes.from_numpy(array.dtype))


def build(function: Callable[..., Any], *arrays: Any) -> Graph:
    """The body of `function(b, *values)`, which returns a value or a tuple of them."""
    body = Body()
    outputs = function(body, *map(body.input, arrays))
    return body.graph(*(outputs if isinstance(outputs, tuple) else (outputs,)))


def prepare(
    body: Graph,
    arrays: Sequence[Any],
    outputs: Sequence[Any],
    inplace: Mapping[int, int] = {},
    pieces: int = 1,
) -> tuple[Program, list[Any], Lowered]:
    """A program for `body`, the arrays to call it with, and what it was made of.

    Each kernel is called for its range in `pieces`.
    """
    passed = list(arrays)
    operands = [layout(slot, array) for slot, array in enumerate(arrays)]
    results = []
    for position, output in enumerate(outputs):
        if position in inplace:
            results.append(operands[inplace[position]])
        else:
            results.append(layout(len(passed), output))
            passed.append(output)
    lowered = lower(body, operands, results, inplace)
    whole = [instruction for instruction, _ in lowered.instructions(Arena(0))]
    instructions = [part for instruction in whole for part in _parts(instruction, pieces)]
    return Program(instructions, len(passed), arena=lowered.workspace), passed, lowered


def _parts(instruction: Instruction, pieces: int) -> list[Instruction]:
    """The instruction cut into `pieces`, as threads would, the last one first."""
    ends = [instruction.end * i // pieces for i in range(pieces + 1)]
    ranges = [(begin, end) for begin, end in pairwise(ends) if begin < end]
    return [replace(instruction, begin=begin, end=end) for begin, end in reversed(ranges)]


def run(body: Graph, arrays: Sequence[Any], outputs: Sequence[Any] | None = None) -> list[Any]:
    """The results of `body` as kernels compute them, in `outputs` if given."""
    if outputs is None:
        outputs = [np.full(v.shape, 77, v.dtype.numpy) for v in body.outputs]
    program, passed, _ = prepare(body, arrays, outputs, pieces=3)
    program(*passed)
    return list(outputs)


def check_inplace(
    function: Callable[..., Any], *arrays: Any, inplace: Mapping[int, int]
) -> None:
    """Assert that results computed in the memory of operands are what NumPy computes."""
    body = build(function, *arrays)
    wanted = expected(body, [array.copy() for array in arrays])
    outputs = [np.full(v.shape, 77, v.dtype.numpy) for v in body.outputs]
    program, passed, _ = prepare(body, arrays, outputs, inplace, pieces=3)
    program(*passed)
    for position, want in enumerate(wanted):
        got = arrays[inplace[position]] if position in inplace else outputs[position]
        compare(got, want, f"result {position}")


def expected(body: Graph, arrays: Sequence[Any]) -> list[Any]:
    """The results of `body` by NumPy, computed in float64 where they are floating."""
    with np.errstate(all="ignore"):
        return interpret(body, list(arrays))[0]


def check(function: Callable[..., Any], *arrays: Any, outputs: Sequence[Any] | None = None) -> None:
    """Assert that the kernels for `function` compute what NumPy does."""
    body = build(function, *arrays)
    copies = [array.copy() for array in arrays]
    wanted = expected(body, copies)
    for position, (got, want) in enumerate(
        zip(run(body, arrays, outputs), wanted, strict=True)
    ):
        compare(got, want, f"result {position}")
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def compare(got: Any, want: Any, what: str = "") -> None:
    """Assert equality: exact for integers, within rounding for floats."""
    assert got.shape == want.shape, what
    assert got.dtype == want.dtype, what
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    tolerance = TOLERANCE[got.itemsize]
    finite = np.abs(want[np.isfinite(want)]) if want.size else want
    scale = float(finite.max(initial=0.0)) if finite.size else 0.0
    np.testing.assert_allclose(
        got, want, rtol=tolerance, atol=tolerance * max(scale, 1e-30), err_msg=what
    )
