"""Reductions. The primitives keep the dimensions they reduce, with extent 1.

`dims` is a sorted tuple of dimensions counted from the front. For each primitive there is a
`<name>_squeeze` that drops the reduced dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..ir.graph import Shape, Spec
from . import scalar as s
from .core import OPS, Op, Sample, as_array, declare, dtype_of, reduced_shape, reduction
from .doubling import prod_gradient
from .sampling import Samples, both, calls, floats, ints, reducing, rows

Dims = tuple[int, ...]

#: Up to this many elements a product with a vector of ones sums faster than `add.reduce`
#: (0.35 against 1.9 us for 1000), and BLAS keeps enough partial sums to be as exact.
_DOT_SIZE = 4096


@cache
def ones(n: int, dtype: Any) -> Any:
    """A shared vector of `n` ones, not to be written to."""
    vector = np.ones(n, dtype)
    vector.flags.writeable = False
    return vector


def total(xp: Any, x: Any) -> Any:
    """The sum of all elements of a floating-point array, as a NumPy or CuPy scalar."""
    if xp is np and x.size <= _DOT_SIZE and x.dtype.char in "fd":
        flat = x.ravel()
        return flat.dot(ones(x.size, x.dtype)) + 0.0  # BLAS's sum of one -0 is -0
    return xp.add.reduce(x, None) if x.dtype.char != "e" else xp.sum(x, dtype="f4").astype("f2")


def sum_array(xp: Any, x: Any, dims: Dims, keepdims: bool) -> Any:
    """The sum over `dims`; integers add up in int64, float16 in float32."""
    if xp is np and x.dtype.char in "fd" and x.size <= _DOT_SIZE:
        if x.ndim == len(dims):
            value = x.ravel().dot(ones(x.size, x.dtype)) + 0.0
            return np.asarray(value).reshape((1,) * x.ndim if keepdims else ())
        if x.ndim == 2 and dims == (0,) and x.size > 1:
            value = ones(len(x), x.dtype).dot(x)
            return value[None] if keepdims else value
        if x.ndim == 2 and dims == (1,) and x.size > 1:
            value = x.dot(ones(x.shape[1], x.dtype))
            return value[:, None] if keepdims else value
    if x.dtype.char == "e":
        return xp.asarray(xp.sum(x, axis=dims, keepdims=keepdims, dtype="f4")).astype("f2")
    dtype = np.int64 if x.dtype.kind in "biu" else None
    if xp is np:
        return as_array(np, np.add.reduce(x, dims, dtype=dtype, keepdims=keepdims))  # type: ignore[call-overload]
    return xp.sum(x, axis=dims, keepdims=keepdims, dtype=dtype)


def _widened(dtype: DType) -> DType:
    return dtypes.int64 if dtype.category < 2 else dtype


def _lowest(dtype: DType) -> s.Number:
    if dtype.category == 2:
        return -math.inf
    return int(np.iinfo(dtype.numpy).min) if dtype.category else False


def _highest(dtype: DType) -> s.Number:
    if dtype.category == 2:
        return math.inf
    return int(np.iinfo(dtype.numpy).max) if dtype.category else True


def _refuse_empty(name: str, shape: Shape, dims: Dims) -> None:
    for dim in dims:
        if dim < len(shape) and shape[dim] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")


def _extremum(name: str, ufunc: str, combine: str, identity: Callable[[DType], s.Number]) -> Op:
    def infer(spec: Spec, dims: Dims) -> tuple[Spec, ...]:
        _refuse_empty(name, spec.shape, dims)
        return (spec.with_shape(reduced_shape(spec.shape, dims)),)

    def eval(xp: Any, x: Any, dims: Dims) -> Any:
        return extremum_array(xp, ufunc, x, dims, True)

    return reduction(
        name,
        eval,
        combine,
        identity,
        infer=infer,
        saves=("in0", "out0"),
        vjps=_extremum_vjp,
        samples=reducing(f"numpy.{name}", empty=False, kinds="fi"),
    )


def _extremum_vjp(F: Any, g: Any, x: Any, out: Any, dims: Dims) -> Any:
    """Equal shares to all elements that tie."""
    chosen = F.cast(F.eq(x, out), dtype=dtype_of(g))
    return F.mul(F.div(g, F.sum(chosen, dims=dims)), chosen)


def extremum_array(xp: Any, ufunc: str, x: Any, dims: Dims, keepdims: bool) -> Any:
    """The maximum or minimum over `dims`.

    NumPy reduces a short last dimension one row at a time; whole columns are 5 times faster.
    """
    combine = getattr(xp, ufunc)
    if xp is np and x.ndim == 2 and dims == (1,) and 1 <= x.shape[1] <= 16:
        best = x[:, 0] if x.shape[1] > 1 else x[:, 0].copy()
        for column in range(1, x.shape[1]):
            best = combine(best, x[:, column])
        return best[:, None] if keepdims else best
    if xp is np:
        return as_array(np, combine.reduce(x, dims, None, None, keepdims))
    return getattr(xp, "amax" if ufunc == "maximum" else "amin")(x, axis=dims, keepdims=keepdims)


sum = reduction(
    "sum",
    lambda xp, x, dims: sum_array(xp, x, dims, True),
    "add",
    lambda dtype: 0,
    _widened,
    saves=("shape0",),
    vjps=lambda F, g, shape, dims: F.expand(g, shape=shape),
    samples=reducing("numpy.sum", kinds="fi"),
)


def _eval_prod(xp: Any, x: Any, dims: Dims) -> Any:
    dtype = np.int64 if x.dtype.kind in "biu" else None
    return as_array(xp, xp.prod(x, axis=dims, keepdims=True, dtype=dtype))


def _products() -> Samples:
    """Random numbers, and rows with one zero and with two."""
    zeros = np.array([[1.5, 0.0, 2.0], [0.0, 3.0, 0.0], [1.0, 2.0, 3.0]])
    return both(
        reducing("numpy.prod", low=0.5, high=1.5),
        reducing("numpy.prod", kinds="i", low=1, high=2),
        rows(lambda x, dims: x.prod(1, keepdims=True), ((zeros,), {"dims": (1,)})),
    )


prod = reduction(
    "prod", _eval_prod, "mul", lambda dtype: 1, _widened, saves=("in0",),
    vjps=lambda F, g, x, dims: prod_gradient(F, g, x, dims),
    samples=_products(),
)  # fmt: skip
amax = _extremum("amax", "maximum", "max", _lowest)
amin = _extremum("amin", "minimum", "min", _highest)


def _truth(name: str, combine: str, identity: bool) -> Op:
    def eval(xp: Any, x: Any, dims: Dims) -> Any:
        return as_array(xp, getattr(xp, name)(x, axis=dims, keepdims=True))

    return reduction(
        name, eval, combine, lambda dtype: identity, lambda dtype: dtypes.bool_,
        samples=reducing(f"numpy.{name}", kinds="b"),
    )  # fmt: skip


any = _truth("any", "bitor", False)
all = _truth("all", "bitand", True)


def _arg_extremum(name: str) -> Op:
    def infer(spec: Spec, dims: Dims) -> tuple[Spec, ...]:
        _refuse_empty(name, spec.shape, dims)
        return (Spec(reduced_shape(spec.shape, dims), dtypes.int64, spec.device),)

    def eval(xp: Any, x: Any, dims: Dims) -> Any:
        if not (x.ndim and dims):
            return xp.zeros(x.shape, np.int64)
        (dim,) = dims
        return as_array(xp, getattr(xp, name)(x, axis=dim, keepdims=True))

    def reference(x: Any, dims: Dims) -> Any:
        return getattr(np, name)(x, axis=dims[0] if x.ndim else None, keepdims=True)

    return reduction(
        name, eval, name, _lowest if name == "argmax" else _highest, infer=infer,
        samples=rows(reference, *(
            ((x,), {"dims": (dim,)})
            for x, dim in ((floats(3, 4), 0), (floats(3, 4), 1), (floats(), 0), (floats(7), 0),
                           (floats(2, 3, 4, layout="T"), 1), (ints(5, 6), 1))
        )),
    )  # fmt: skip


argmax = _arg_extremum("argmax")
argmin = _arg_extremum("argmin")


def squeezed_shape(shape: Shape, dims: Dims) -> Shape:
    """`shape` without `dims`."""
    return tuple(extent for i, extent in enumerate(shape) if i not in dims)


def output_shape(shape: Shape, dims: Dims, keepdim: bool) -> Shape:
    """The shape of a reduction of `shape`."""
    return reduced_shape(shape, dims) if keepdim else squeezed_shape(shape, dims)


def _squeezing(primitive: Op, eval: Callable[..., Any] | None = None) -> Op:
    """The reduction that drops the dimensions it reduces."""

    def infer(spec: Spec, dims: Dims) -> tuple[Spec, ...]:
        (kept,) = primitive.infer(spec, dims=dims)
        return (kept.with_shape(squeezed_shape(spec.shape, dims)),)

    def through_primitive(xp: Any, x: Any, dims: Dims) -> Any:
        kept = primitive.eval(xp, x, dims=dims)
        return kept.reshape(squeezed_shape(x.shape, dims))

    def decompose(F: Any, x: Any, dims: Dims) -> Any:
        kept = getattr(F, primitive.name)(_as_truth(F, x), dims=dims)
        return F.reshape(kept, shape=squeezed_shape(x.shape, dims))

    def _as_truth(F: Any, x: Any) -> Any:
        truth = primitive.name in ("any", "all") and dtype_of(x) is not dtypes.bool_
        return F.ne(x, 0) if truth else x

    return declare(
        f"{primitive.name}_squeeze",
        "composite",
        infer=infer,
        eval=eval or through_primitive,
        decompose=decompose,
        saves=_squeezed_saves(primitive),
        vjps=_squeezed_vjps(primitive),
        grad_name=primitive.grad_name,
        samples=_squeezed_samples(primitive),
    )


def _squeezed_saves(primitive: Op) -> tuple[str, ...]:
    return primitive.saves if "shape0" in primitive.saves else (*primitive.saves, "shape0")


def _squeezed_samples(primitive: Op) -> Samples:
    """The primitive's rows, whose references lose the reduced dimensions."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        assert primitive.samples is not None
        for row in primitive.samples(rng):
            yield replace(row, reference=partial(_squeezed_reference, row.reference))

    return samples


def _squeezed_reference(reference: Any, x: Any, dims: Dims) -> Any:
    return reference(x, dims=dims).reshape(squeezed_shape(x.shape, dims))


def _squeezed_vjps(primitive: Op) -> tuple[Any, ...]:
    """The primitive's vjp, with the reduced dimensions put back into what lacks them."""
    if not primitive.vjps:
        return ()
    inner = primitive.vjps[0]
    position = primitive.saves.index("out0") if "out0" in primitive.saves else None

    def vjp(F: Any, g: Any, *saved: Any, dims: Dims) -> Any:
        shape = reduced_shape(saved[-1], dims)
        kept = list(saved[: len(primitive.saves)])
        if position is not None:
            kept[position] = F.reshape(kept[position], shape=shape)
        assert inner is not None
        return inner(F, F.reshape(g, shape=shape), *kept, dims=dims)

    return (vjp,)


sum_squeeze = _squeezing(sum, lambda xp, x, dims: sum_array(xp, x, dims, False))
amax_squeeze = _squeezing(
    amax, lambda xp, x, dims: extremum_array(xp, "maximum", x, dims, False)
)
amin_squeeze = _squeezing(
    amin, lambda xp, x, dims: extremum_array(xp, "minimum", x, dims, False)
)
for _name in ("prod", "any", "all", "argmax", "argmin"):
    _squeezing(OPS[_name])


def count(shape: Shape, dims: Dims) -> int:
    """How many elements are reduced to one."""
    return math.prod(shape[dim] for dim in dims if dim < len(shape))


def _sum_to_dims(shape: Shape, target: Shape) -> Dims:
    """The dimensions along which `target` was broadcast to `shape`."""
    lead = len(shape) - len(target)
    return tuple(
        i for i, extent in enumerate(shape) if i < lead or (target[i - lead] == 1 and extent != 1)
    )


def _eval_sum_to(xp: Any, x: Any, shape: Shape) -> Any:
    if x.shape == shape:
        return x
    if (
        xp is np and x.ndim == 2 and x.shape[1:] == shape and x.dtype.char in "fd"
        and x.size <= _DOT_SIZE
    ):  # fmt: skip
        return ones(len(x), x.dtype).dot(x)  # the gradient of a bias
    dims = _sum_to_dims(x.shape, shape)
    result = sum_array(xp, x, dims, False)
    return result if result.shape == shape else result.reshape(shape)


def _decompose_sum_to(F: Any, x: Any, shape: Shape) -> Any:
    dims = _sum_to_dims(x.shape, shape)
    summed = F.sum(x, dims=dims) if dims else x
    return F.reshape(summed, shape=shape)


def _sum_to_reference(x: Any, shape: Shape) -> Any:
    padded = (1,) * (x.ndim - len(shape)) + shape
    dims = tuple(i for i, extent in enumerate(padded) if extent != x.shape[i])
    return np.sum(x, axis=dims, keepdims=True).reshape(shape)


sum_to = declare(
    "sum_to",
    "composite",
    infer=lambda spec, shape: (spec.with_shape(shape),),
    eval=_eval_sum_to,
    decompose=_decompose_sum_to,
    saves=("shape0",),
    vjps=lambda F, g, source, shape: F.expand(g, shape=source),
    grad_name="Sum",
    samples=rows(_sum_to_reference, *(
        ((x,), {"shape": shape})
        for x, shape in (((3, 4), (4,)), ((3, 4), (3, 1)), ((3, 4), ()), ((3, 4), (3, 4)),
                         ((2, 3, 4), (3, 1)), ((2, 0), (2, 1)), ((2, 3, 4), (1, 1, 1)))
    )),
)  # fmt: skip


def _infer_max(spec: Spec, dim: int, keepdim: bool, name: str) -> tuple[Spec, ...]:
    _refuse_empty(name, spec.shape, (dim,))
    shape = output_shape(spec.shape, (dim,), keepdim)
    return (spec.with_shape(shape), Spec(shape, dtypes.int64, spec.device))


def _with_index(name: str) -> Op:
    """`max(dim)` or `min(dim)`: (values, indices); the gradient goes to the index alone."""
    value_op, index_op = OPS[f"a{name}"], OPS[f"arg{name}"]

    def eval(xp: Any, x: Any, dim: int, keepdim: bool) -> Any:
        index = index_op.eval(xp, x, dims=(dim,))
        values = value_op.eval(xp, x, dims=(dim,) if x.ndim else ())
        shape = output_shape(x.shape, (dim,), keepdim)
        return values.reshape(shape), index.reshape(shape)

    def decompose(F: Any, x: Any, dim: int, keepdim: bool) -> Any:
        shape = output_shape(x.shape, (dim,), keepdim)
        if not x.shape:
            return x, F.cast(F.zeros_like(x), dtype=dtypes.int64)
        values = getattr(F, value_op.name)(x, dims=(dim,))
        index = getattr(F, index_op.name)(x, dims=(dim,))
        return F.reshape(values, shape=shape), F.reshape(index, shape=shape)

    return declare(
        f"{name}_dim",
        "composite",
        infer=lambda spec, dim, keepdim: _infer_max(spec, dim, keepdim, name),
        eval=eval,
        decompose=decompose,
        saves=("out1", "shape0"),
        vjps=_with_index_vjp,
        n_outputs=2,
        grad_name=name.capitalize(),
        samples=_indexed_samples(name),
    )


def _indexed_samples(name: str) -> Samples:
    def reference(x: Any, dim: int, keepdim: bool) -> Any:
        axis = dim if x.ndim else None
        return (
            getattr(np, name)(x, axis=axis, keepdims=keepdim),
            np.asarray(getattr(np, f"arg{name}")(x, axis=axis, keepdims=keepdim)),
        )

    shapes = ((3, 4), 0), ((3, 4), 1), ((), 0), ((2, 3, 4), 1), ((5,), 0)
    return rows(
        reference,
        *(((x,), {"dim": dim, "keepdim": k}) for x, dim in shapes for k in (True, False)),
    )


def _with_index_vjp(F: Any, g: Any, index: Any, shape: Shape, dim: int, keepdim: bool) -> Any:
    values = g[0]
    if values is None:
        return None
    if not shape:
        return values
    kept = reduced_shape(shape, (dim,))
    return F.index_scatter(
        F.reshape(values, shape=kept), F.reshape(index, shape=kept), dim=dim, size=shape[dim]
    )


max_dim = _with_index("max")
min_dim = _with_index("min")


def _eval_index_scatter(xp: Any, g: Any, index: Any, dim: int, size: int) -> Any:
    shape = g.shape[:dim] + (size,) + g.shape[dim + 1 :]
    result = xp.zeros(shape, g.dtype)
    xp.put_along_axis(result, index, g, dim)
    return result


def _decompose_index_scatter(F: Any, g: Any, index: Any, dim: int, size: int) -> Any:
    shape = g.shape[:dim] + (size,) + g.shape[dim + 1 :]
    positions = F.arange_like(g, shape=shape, dim=dim)
    return F.where(F.eq(positions, index), g, 0)


index_scatter = declare(
    "index_scatter",
    "composite",
    infer=lambda g, index, dim, size: (
        g.with_shape(g.shape[:dim] + (size,) + g.shape[dim + 1 :]),
    ),
    eval=_eval_index_scatter,
    decompose=_decompose_index_scatter,
    saves=("in1",),
    vjps=(lambda F, g, index, dim, size: F.gather(g, index, dim=dim), None),
    samples=rows(
        lambda g, index, dim, size: g * np.eye(size, dtype=g.dtype)[index[:, 0]],
        *calls(((3, 1), ints(3, 1, high=4)), dim=1, size=4),
    ),
)
