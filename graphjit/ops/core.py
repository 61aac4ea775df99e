"""What an op is: the fields of its declaration, and the families that fill them in.

An op is declared in one place, by calling a constructor below at the top level of a module of this
package. There is no other list of ops than `OPS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..ir.graph import Shape, Spec
from . import scalar as s

Kind = Literal[
    "pointwise", "reduce", "view", "contract", "gather", "scatter", "scan", "sort", "random",
    "opaque", "composite",
]
Promotion = Literal["none", "same", "float", "compare", "logical", "where"]
Vjp = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of the generated test matrix: the arguments of a call of the op.

    `inputs` are arrays (or numbers); `reference` computes the expected outputs with NumPy or SciPy,
    written apart from the op's own `eval`. `grad` tells whether its gradients are checked.
    """

    inputs: tuple[Any, ...]
    attrs: dict[str, Any]
    reference: Callable[..., Any] | None = None
    grad: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """An op, with everything anyone needs to know of it.

    infer       `(*specs, **attrs) -> (spec, ...)`; raises PyTorch's error for bad operands
    eval        `(xp, *arrays, **attrs) -> array`, or a tuple where there are several outputs;
                operands have the dtypes that `infer` demands
    vjps        for each input, `(F, g, *saved, **attrs) -> gradient`, or None where the input has
                none; `F` is a namespace of all ops, bound to arrays or to tensors. With several
                outputs `g` is a tuple whose entries may be None
    joint_vjp   instead of `vjps` where the gradients share work or the op takes any number of
                inputs: `(F, needs, g, *saved, **attrs) -> gradients of all inputs`, None where
                `needs`, a tuple of bool, is False
    saves       what the vjps get, as names: "in0", "out0", "shape0" (of input 0), "dtype0", or
                "shapes" (a tuple, of all inputs)
    promotion   how operands of different dtypes are brought together before `eval`:
                none; same (result has the promoted dtype); float (integers become the default
                float); compare (promoted, result bool); logical (any, result bool); where (the
                first operand stays as it is)
    scalar      pointwise: `(*operands, **attrs) -> Expr`
    combine     reductions: the scalar instruction that joins two partial results
    identity    reductions: `(dtype) -> number` that `combine` leaves alone
    decompose   composites: `(F, *values, **attrs)` computing the same outputs from other ops
    scatter     views: `(F, base, new, **attrs) -> base` with the viewed elements replaced, or
                None where that depends on which of them has been written to
    checks      `(F, *operands, **attrs) -> conditions`: bools of any shape that hold where `eval`
                does not raise because of an operand's values; nothing promotes here, so that
                numbers are to be made with `number_like`
    flops       contractions and the like: `(out, *specs, **attrs) -> int`, the additions and
                multiplications that the first output takes, given its spec and the inputs'
    moves_nothing  whether compiled code gives the result no memory of its own: it is that of the
                first operand under other strides. So it is with every view
    reads_numbers  whether `eval` looks at operands that are Python numbers
    parts       views with several outputs: `(**attrs) -> attributes of `slice_` for each output`
    n_outputs   number of outputs; 0 where the attributes decide
    samples     `(rng) -> iterator of Sample`
    """

    name: str
    kind: Kind
    infer: Callable[..., tuple[Spec, ...]]
    eval: Callable[..., Any]
    vjps: tuple[Vjp | None, ...] = ()
    joint_vjp: Vjp | None = None
    saves: tuple[str, ...] = ()
    promotion: Promotion = "none"
    scalar: Callable[..., s.Expr] | None = None
    combine: str | None = None
    identity: Callable[[DType], s.Number] | None = None
    decompose: Callable[..., Any] | None = None
    scatter: Callable[..., Any] | None = None
    parts: Callable[..., Sequence[dict[str, int]]] | None = None
    checks: Callable[..., Sequence[Any]] | None = None
    flops: Callable[..., int] | None = None
    commutative: bool = False
    idempotent: bool = False
    n_outputs: int = 1
    grad_name: str = ""
    samples: Callable[[np.random.Generator], Iterator[Sample]] | None = None
    host_only: bool = False
    moves_nothing: bool = False
    reads_numbers: bool = False

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    @property
    def differentiable(self) -> bool:
        return self.joint_vjp is not None or any(vjp is not None for vjp in self.vjps)


OPS: dict[str, Op] = {}


def declare(name: str, kind: Kind, **fields: Any) -> Op:
    """Make an op and enter it in `OPS`. ValueError if the name is taken."""
    if name in OPS:
        raise ValueError(f"op {name} is declared twice")
    vjps = fields.pop("vjps", ())
    if callable(vjps):
        vjps = (vjps,)
    fields.setdefault("grad_name", camel(name))
    fields.setdefault("moves_nothing", kind == "view")
    op = Op(name=name, kind=kind, vjps=tuple(vjps), **fields)
    OPS[name] = op
    return op


def camel(name: str) -> str:
    """`log_softmax` -> `LogSoftmax`, as PyTorch names its backward nodes."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def broadcast_shapes(*shapes: Shape) -> Shape:
    """NumPy's broadcasting, with PyTorch's error where the sizes do not match."""
    result: list[int] = []
    for shape in shapes:
        if len(shape) > len(result):
            result = [1] * (len(shape) - len(result)) + result
        for i in range(1, len(shape) + 1):
            a, b = result[-i], shape[-i]
            if a != b and a != 1 and b != 1:
                raise RuntimeError(
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) "
                    f"at non-singleton dimension {len(result) - i}"
                )
            result[-i] = b if a == 1 else a
    return tuple(result)


def normalize_dim(dim: int, ndim: int) -> int:
    """`dim` counted from the front; IndexError, in PyTorch's words, when out of range."""
    span = max(ndim, 1)
    if not -span <= dim < span:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-span}, {span - 1}], "
            f"but got {dim})"
        )
    return dim % span


def result_dtype(promotion: Promotion, dtype: DType) -> DType:
    """The dtype of a pointwise op's result, from the dtype its operands were brought to."""
    return dtypes.bool_ if promotion in ("compare", "logical") else dtype


def dtype_of(value: Any) -> DType:
    """The dtype of an array, a tensor, or a value of a graph."""
    dtype = value.dtype
    return dtype if isinstance(dtype, DType) else dtypes.from_numpy(dtype)


def device_of(value: Any) -> str:
    """The device, as specs name it, of an array, a tensor, or a value of a graph."""
    spec = getattr(value, "spec", None)
    if spec is not None:
        return str(spec.device)
    return "cpu" if isinstance(value, np.ndarray) else str(value.device)


def number_like(F: Any, x: Any, value: s.Number) -> Any:
    """`value` as a tensor of no dimensions with the dtype of `x`."""
    return F.new_full(x, shape=(), value=value)


def check_same_dtype(name: str, specs: Sequence[Spec]) -> None:
    """TypeError unless all `specs` have one dtype: the caller promotes before it applies an op."""
    for spec in specs[1:]:
        if spec.dtype is not specs[0].dtype:
            given = ", ".join(s.dtype.name for s in specs)
            raise TypeError(f"{name}: operands must have one dtype, got {given}")


def check_floating(name: str, dtype: DType) -> None:
    """RuntimeError, in PyTorch's words, unless `dtype` is floating or complex."""
    if dtype.category < 2:
        raise RuntimeError(f"\"{name}\" not implemented for '{type_name(dtype)}'")


def type_name(dtype: DType) -> str:
    """What PyTorch's kernels call a dtype: Float, Long, Bool ..."""
    names = {"uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
             "float16": "Half", "float32": "Float", "float64": "Double", "bool": "Bool",
             "complex64": "ComplexFloat", "complex128": "ComplexDouble"}  # fmt: skip
    return names[dtype.name]


def scalar_type(dtype: DType) -> str:
    """What PyTorch's matrix products call a dtype in messages: float, double, long int ..."""
    names = {"uint8": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int",
             "int64": "long int", "float16": "c10::Half", "float32": "float", "float64": "double",
             "bool": "bool", "complex64": "c10::complex<float>",
             "complex128": "c10::complex<double>"}  # fmt: skip
    return names[dtype.name]


def pointwise(
    name: str,
    eval: str | Callable[..., Any],
    scalar: str | Callable[..., s.Expr],
    promotion: Promotion = "same",
    **fields: Any,
) -> Op:
    """An op whose output element depends on the input elements at the same index.

    `eval` may name a NumPy function, `scalar` an instruction. Operands broadcast; a Python number
    may stand for an operand. `check(dtype)` may reject a dtype of the operands.
    """
    check = fields.pop("check", None)

    def infer(*specs: Spec, **attrs: Any) -> tuple[Spec, ...]:
        shape = broadcast_shapes(*(spec.shape for spec in specs))
        typed = specs[1:] if promotion == "where" else specs
        check_same_dtype(name, typed)
        if promotion == "float":
            check_floating(name, typed[0].dtype)
        if check is not None:
            check(typed[0].dtype)
        return (Spec(shape, result_dtype(promotion, typed[0].dtype), specs[0].device),)

    fields.setdefault("infer", infer)
    return declare(
        name,
        "pointwise",
        eval=ufunc(eval) if isinstance(eval, str) else eval,
        scalar=_instruction(scalar) if isinstance(scalar, str) else scalar,
        promotion=promotion,
        **fields,
    )


def ufunc(name: str) -> Callable[..., Any]:
    """An `eval` that calls the function of that name; NumPy's scalars become arrays."""
    on_cpu = getattr(np, name)

    def eval(xp: Any, *arrays: Any) -> Any:
        result = on_cpu(*arrays) if xp is np else getattr(xp, name)(*arrays)
        return result if result.__class__ is np.ndarray else xp.asarray(result)

    return eval


def as_array(xp: Any, result: Any) -> Any:
    """`result`, with NumPy's scalars made arrays of no dimensions."""
    return result if result.__class__ is np.ndarray else xp.asarray(result)


def _instruction(name: str) -> Callable[..., s.Expr]:
    def scalar(*operands: s.Operand) -> s.Expr:
        return s.call(name, *operands)

    return scalar


def reduced_shape(shape: Shape, dims: Sequence[int]) -> Shape:
    """`shape` with extent 1 along `dims`."""
    return tuple(1 if i in dims else extent for i, extent in enumerate(shape))


def reduction(
    name: str,
    eval: str | Callable[..., Any],
    combine: str,
    identity: Callable[[DType], s.Number],
    out_dtype: Callable[[DType], DType] = lambda dtype: dtype,
    **fields: Any,
) -> Op:
    """A reduction over `dims` (sorted, from the front), which stay in the result with extent 1."""

    def infer(spec: Spec, dims: tuple[int, ...]) -> tuple[Spec, ...]:
        return (Spec(reduced_shape(spec.shape, dims), out_dtype(spec.dtype), spec.device),)

    def named(xp: Any, x: Any, dims: tuple[int, ...]) -> Any:
        return getattr(xp, str(eval))(x, axis=dims, keepdims=True)

    fields.setdefault("infer", infer)
    return declare(
        name,
        "reduce",
        eval=named if isinstance(eval, str) else eval,
        combine=combine,
        identity=identity,
        **fields,
    )


class Namespace:
    """All ops as attributes, each called as `F.name(*operands, **attrs)`.

    What a call does is `bind`'s to say: compute arrays, record tensors, or build nodes.
    """

    def __init__(self, bind: Callable[[Op], Callable[..., Any]]) -> None:
        self._bind = bind

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in OPS:
            raise AttributeError(f"no op {name}")
        bound = self._bind(OPS[name])
        self.__dict__[name] = bound
        return bound


def _bind_arrays(op: Op) -> Callable[..., Any]:
    return partial(op.eval, np)


#: Ops on NumPy arrays: the namespace of a backward that nothing records.
ARRAYS = Namespace(_bind_arrays)


@cache
def arrays_of(xp: Any) -> Namespace:
    """Ops on the arrays of `xp` (NumPy or CuPy)."""
    return ARRAYS if xp is np else Namespace(lambda op: partial(op.eval, xp))


def by_parts(decompose: Callable[..., Any]) -> Callable[..., Any]:
    """An `eval` that runs a composite's parts one after another."""

    def eval(xp: Any, *arrays: Any, **attrs: Any) -> Any:
        return decompose(arrays_of(xp), *arrays, **attrs)

    return eval


def is_plain_zero(value: Any) -> bool:
    """Whether a number is zero, but not -0.0: all bits are zeros."""
    return value == 0 and not (isinstance(value, float) and math.copysign(1.0, value) < 0)
