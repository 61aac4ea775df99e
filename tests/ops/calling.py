"""Calls of an op by the fields of its declaration: what it saves, its vjps, its scalar formula."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import special

from graphjit import dtypes
from graphjit.ir.graph import Builder, Graph, Spec, Value
from graphjit.ir.interp import interpret
from graphjit.ops.core import ARRAYS, Op, Sample
from graphjit.ops.scalar import Expr
from graphjit.passes.building import namespace, promote


def rows(op: Op) -> list[Sample]:
    """The op's samples, the same in every run."""
    if op.samples is None:
        return []
    return list(op.samples(np.random.default_rng(sum(op.name.encode()))))


def describe(op: Op, sample: Sample) -> str:
    """The call, for the message of a failure."""
    operands = [
        f"{x.dtype}{list(x.shape)}" if isinstance(x, np.ndarray) else repr(x)
        for x in sample.inputs
    ]
    attrs = [f"{name}={value!r}" for name, value in sample.attrs.items()]
    return f"{op.name}({', '.join(operands + attrs)})"


def outputs_of(result: Any) -> tuple[Any, ...]:
    """The outputs of an op, one or several, as a tuple."""
    return result if isinstance(result, tuple) else (result,)


def run(op: Op, inputs: Sequence[Any], attrs: dict[str, Any]) -> tuple[Any, ...]:
    """The op's own `eval`."""
    return outputs_of(op.eval(np, *inputs, **attrs))


def spec_of(array: Any) -> Spec:
    """Shape and dtype of an array."""
    return Spec(tuple(array.shape), dtypes.from_numpy(array.dtype))


def saved(op: Op, inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    """What the op's vjps get, found as the tape finds it."""
    found: list[Any] = []
    for name in op.saves:
        kind, position = name.rstrip("0123456789"), name.lstrip("abcdefghijklmnopqrstuvwxyz")
        if kind == "shapes":
            found.append(tuple(tuple(np.shape(x)) for x in inputs))
        elif kind == "out":
            found.append(outputs[int(position)])
        elif int(position) >= len(inputs):
            found.append(None)
        else:
            x = inputs[int(position)]
            found.append({"in": lambda x: x, "shape": lambda x: tuple(np.shape(x)),
                          "dtype": lambda x: dtypes.from_numpy(x.dtype)}[kind](x))  # fmt: skip
    return found


def differentiable(op: Op, inputs: Sequence[Any]) -> list[bool]:
    """Which inputs are arrays of floats that the op has a gradient for."""
    return [
        isinstance(x, np.ndarray)
        and x.dtype.kind == "f"
        and (op.joint_vjp is not None or (i < len(op.vjps) and op.vjps[i] is not None))
        for i, x in enumerate(inputs)
    ]


def gradients(
    op: Op, F: Any, needs: Sequence[bool], grads: Sequence[Any], kept: Sequence[Any],
    attrs: dict[str, Any],
) -> list[Any]:  # fmt: skip
    """The gradients of the inputs that need one, from those of the outputs."""
    g = grads[0] if op.n_outputs == 1 else tuple(grads)
    if op.joint_vjp is not None:
        return list(op.joint_vjp(F, tuple(needs), g, *kept, **attrs))
    return [
        op.vjps[i](F, g, *kept, **attrs) if need else None  # type: ignore[misc]
        for i, need in enumerate(needs)
    ]


def summed_to(op: Op, gradient: Any, shape: tuple[int, ...]) -> Any:
    """Pointwise ops leave the sum over broadcast dimensions to their caller."""
    if op.kind == "pointwise" and gradient.shape != shape:
        return ARRAYS.sum_to(gradient, shape=shape)
    return gradient


class Recording:
    """A graph that is being built from arrays, each of which becomes an input once."""

    def __init__(self) -> None:
        self.builder = Builder()
        self.F = namespace(self.builder, None)
        self.inputs: list[Value] = []
        self.arrays: list[Any] = []

    def value(self, x: Any) -> Any:
        """A graph input for an array; anything else as it is."""
        if not isinstance(x, np.ndarray):
            return x
        self.inputs.append(Value(spec_of(x)))
        self.arrays.append(x)
        return self.inputs[-1]

    def values(self, xs: Sequence[Any]) -> list[Any]:
        return [self.value(x) for x in xs]

    def add(self, op: Op, operands: Sequence[Any], attrs: dict[str, Any]) -> tuple[Value, ...]:
        """One node, not taken apart."""
        return self.builder.add(op, promote(self.builder, op, operands, None), attrs)

    def run(self, results: Sequence[Value]) -> tuple[Any, ...]:
        """What the graph computes for `results`; the interpreter holds each node to `infer`."""
        graph = Graph(tuple(self.inputs), tuple(self.builder.nodes), tuple(results))
        return interpret(graph, self.arrays)[0]


def _sign(x: Any) -> Any:
    return np.where(np.isnan(x), 0, np.sign(x)) if x.dtype.kind == "f" else np.sign(x)


_NUMPY = {
    "neg": np.negative, "sign": _sign, "rsqrt": lambda x: 1 / np.sqrt(x),
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "sigmoid": special.expit, "erf": special.erf,
    "round": np.round, "sub": np.subtract, "mul": np.multiply, "product": np.multiply,
    "div": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "rem": np.fmod, "pow": np.power,
    "max": np.maximum, "min": np.minimum, "atan2": np.arctan2, "bitnot": np.invert,
    "bitand": np.bitwise_and, "bitor": np.bitwise_or, "bitxor": np.bitwise_xor,
    "shl": np.left_shift, "shr": np.right_shift,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal, "select": np.where,
}  # fmt: skip


def evaluate(expr: Any, shape: tuple[int, ...]) -> Any:
    """A scalar formula over whole arrays; its operands are arrays already."""
    if not isinstance(expr, Expr):
        return expr
    if expr.instr == "index":
        return np.indices(shape)[expr.args[0]]
    args = [evaluate(arg, shape) for arg in expr.args]
    if expr.instr == "const":
        return np.asarray(args[0], expr.dtype.numpy)  # type: ignore[union-attr]
    if expr.instr == "cast":
        return np.asarray(args[0]).astype(expr.dtype.numpy)  # type: ignore[union-attr]
    function = _NUMPY.get(expr.instr) or getattr(np, expr.instr)
    return function(*args)




def directions(rng: np.random.Generator, arrays: Sequence[Any]) -> Iterator[Any]:
    """A random array for each of `arrays`, of its shape."""
    for array in arrays:
        yield np.asarray(rng.standard_normal(array.shape))
