"""NumPy's advanced indexing: reading and writing at positions that several tensors hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import dtypes
from ..ir.graph import Shape, Spec
from .core import as_array, broadcast_shapes, declare, type_name
from .indexing import add_rows, check_bounds, in_bounds, out_of_bounds
from .sampling import calls, ints, rows


def indexed_shape(shape: Shape, dims: Sequence[int], index: Shape) -> Shape:
    """The shape of NumPy's advanced indexing of `dims` by arrays that broadcast to `index`.

    The index dimensions stand where the indexed ones stood if those are adjacent, else in front.
    """
    rest = [extent for i, extent in enumerate(shape) if i not in dims]
    adjacent = all(b == a + 1 for a, b in pairwise(dims))
    at = dims[0] if adjacent else 0
    return (*rest[:at], *index, *rest[at:])


def _index_shape(indices: Sequence[Any]) -> Shape:
    shapes = [tuple(i.shape) for i in indices]
    try:
        return broadcast_shapes(*shapes)
    except RuntimeError:
        listed = ", ".join(str(list(shape)) for shape in shapes)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}"
        ) from None


def _full_index(ndim: int, dims: Sequence[int], indices: Sequence[Any]) -> tuple[Any, ...]:
    full: list[Any] = [slice(None)] * ndim
    for dim, index in zip(dims, indices, strict=True):
        full[dim] = index
    return tuple(full)


def _check_indices(xp: Any, x: Any, indices: Sequence[Any], dims: Sequence[int]) -> None:
    for number, (dim, index) in enumerate(zip(dims, indices, strict=True)):
        if index.dtype.kind != "i":
            raise TypeError("index")
        # PyTorch counts the indexed dimensions only.
        check_bounds(xp, index, x.shape[dim], out_of_bounds(number, x.shape[dim]), negative=True)


def _infer_index(x: Spec, *indices: Spec, dims: Shape) -> tuple[Spec, ...]:
    for index in indices:
        if index.dtype not in (dtypes.int64, dtypes.int32):
            raise IndexError(
                "tensors used as indices must be long, int, byte or bool tensors"
            )
    return (x.with_shape(indexed_shape(x.shape, dims, _index_shape(indices))),)


def _eval_index(xp: Any, x: Any, *indices: Any, dims: Shape) -> Any:
    shape = indexed_shape(x.shape, dims, _index_shape(indices))
    if 0 in shape:  # PyTorch does not look at positions that select nothing.
        return xp.empty(shape, x.dtype)
    _check_indices(xp, x, indices, dims)
    result = x[_full_index(x.ndim, dims, indices)]
    return result if isinstance(result, xp.ndarray) else xp.asarray(result)


def _index_vjp(
    F: Any, needs: Sequence[bool], g: Any, *saved: Any, dims: Shape
) -> list[Any]:
    shapes, *indices = saved
    zeros = F.new_full(g, shape=shapes[0], value=0)
    indices = indices[: len(needs) - 1]
    grad = F.index_put(zeros, g, *indices, dims=dims, accumulate=True)
    return [grad] + [None] * len(indices)


def _advanced_checks(F: Any, x: Any, indices: Sequence[Any], dims: Shape) -> list[Any]:
    return [
        condition
        for dim, index in zip(dims, indices, strict=True)
        for condition in in_bounds(F, index, x.shape[dim], negative=True)
    ]


#: NumPy's advanced indexing: index tensor k stands in dimension `dims[k]` (sorted).
index = declare(
    "index",
    "gather",
    host_only=True,
    infer=_infer_index,
    eval=_eval_index,
    checks=lambda F, x, *indices, dims: _advanced_checks(F, x, indices, dims),
    saves=("shapes", *(f"in{i}" for i in range(1, 9))),
    joint_vjp=_index_vjp,
    samples=rows(
        lambda x, *indices, dims: x[_full_index(x.ndim, dims, indices)],
        *calls(((3, 4), ints(5, low=-3, high=3)), ((3, 9), ints(2, 2, high=3)),
               ((3,), ints(high=3)), (ints(3, 2), ints(4, high=3)), dims=(0,)),
        *calls(((3, 4, 2), ints(5, high=3), ints(2, 1, high=4)), dims=(0, 1)),
        *calls(((3, 2, 4), ints(5, high=3), ints(5, high=4)), dims=(0, 2)),
        *calls(((2, 3, 4), ints(3, high=4)), dims=(2,)),
    ),
)  # fmt: skip


def _infer_index_put(
    base: Spec, values: Spec, *indices: Spec, dims: Shape, accumulate: bool
) -> tuple[Spec, ...]:
    (target,) = _infer_index(base, *indices, dims=dims)
    if base.dtype is not values.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{type_name(base.dtype)} for the destination and {type_name(values.dtype)} "
            "for the source."
        )
    try:
        fits = broadcast_shapes(target.shape, values.shape) == target.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to "
            f"indexing result of shape {list(target.shape)}"
        )
    return (base,)


def _eval_index_put(
    xp: Any, base: Any, values: Any, *indices: Any, dims: Shape, accumulate: bool
) -> Any:
    if base.dtype != values.dtype:
        raise TypeError("index_put")
    if 0 in indexed_shape(base.shape, dims, _index_shape(indices)):
        return base.copy()
    _check_indices(xp, base, indices, dims)
    result = base.copy()
    place = _full_index(base.ndim, dims, indices)
    if not accumulate:
        result[place] = values
    elif len(indices) == 1 and dims == (0,):
        flat = indices[0].reshape(-1) % max(base.shape[0], 1)
        rows = xp.broadcast_to(values, (*indices[0].shape, *base.shape[1:]))
        add_rows(xp, result, flat, rows.reshape(flat.size, *base.shape[1:]))
    else:
        xp.add.at(result, place, values)
    return result


def _index_put_vjp(
    F: Any, needs: Sequence[bool], g: Any, *saved: Any, dims: Shape, accumulate: bool
) -> list[Any]:
    shapes, *indices = saved
    indices = indices[: len(needs) - 2]
    grads: list[Any] = [None] * len(needs)
    if needs[0]:
        zeros = None if accumulate else F.new_full(g, shape=shapes[1], value=0)
        grads[0] = g if accumulate else F.index_put(
            g, zeros, *indices, dims=dims, accumulate=False)  # fmt: skip
    if needs[1]:
        grads[1] = F.sum_to(F.index(g, *indices, dims=dims), shape=shapes[1])
    return grads


def _put(base: Any, values: Any, *indices: Any, dims: Shape, accumulate: bool) -> Any:
    result, place = np.array(base), _full_index(base.ndim, dims, indices)
    if not accumulate:
        result[place] = values
        return result
    numbers = np.arange(base.size).reshape(base.shape)[place]
    added = np.broadcast_to(values, numbers.shape).reshape(-1)
    weights = np.bincount(numbers.reshape(-1), added, base.size)
    return result + weights.reshape(base.shape)


#: Inputs (base, values, index tensors ...): the base with elements replaced, or added to.
index_put = declare(
    "index_put",
    "scatter",
    host_only=True,
    infer=_infer_index_put,
    eval=_eval_index_put,
    checks=lambda F, base, values, *indices, dims, accumulate: _advanced_checks(
        F, base, indices, dims
    ),
    saves=("shapes", *(f"in{i}" for i in range(2, 10))),
    joint_vjp=_index_put_vjp,
    samples=rows(
        _put,
        *calls(((3, 4), (5, 4), ints(5, low=-3, high=3)), ((3, 9), (1,), ints(2, 2, high=3)),
               ((3, 9), (7, 9), ints(7, high=3)), dims=(0,), accumulate=True),
        *calls(((3, 4, 2), (2, 5, 2), ints(5, high=3), ints(2, 1, high=4)), dims=(0, 1),
               accumulate=True),
        *calls(((4, 3), (2, 3), np.array([2, -4])), ((4, 3), (), np.array([1])), dims=(0,),
               accumulate=False),
        *calls(((2, 3, 4), (2, 3), np.array([0, 1]), np.array([3, 1])), dims=(0, 2),
               accumulate=False),
    ),
)  # fmt: skip


def _infer_take(x: Spec, index: Spec) -> tuple[Spec, ...]:
    if index.dtype is not dtypes.int64:
        raise RuntimeError(
            f"take(): Expected a long tensor for index, but got {type_name(index.dtype)}"
        )
    return (x.with_shape(index.shape),)


def _decompose_take(F: Any, x: Any, index: Any) -> Any:
    n = math.prod(x.shape)
    return F.index(F.reshape(x, shape=(n,)), index, dims=(0,))


def _take_vjp(F: Any, g: Any, index: Any, shape: Shape) -> Any:
    zeros = F.new_full(g, shape=(math.prod(shape),), value=0)
    flat = F.index_put(zeros, g, index, dims=(0,), accumulate=True)
    return F.reshape(flat, shape=shape)


def _eval_take(xp: Any, x: Any, index: Any) -> Any:
    if index.dtype.kind != "i":
        raise TypeError("take")
    check_bounds(xp, index, x.size, "out of range: tried to access index {index} on a tensor of "
                 f"{x.size} elements.", negative=True)  # fmt: skip
    return as_array(xp, x.take(index))


take = declare(
    "take",
    "composite",
    infer=_infer_take,
    eval=_eval_take,
    decompose=_decompose_take,
    checks=lambda F, x, index: in_bounds(F, index, math.prod(x.shape), negative=True),
    saves=("in1", "shape0"),
    vjps=(_take_vjp, None),
    samples=rows("numpy.take", *calls(((3, 4), ints(2, 3, low=-12, high=12)), ((5,), ints()))),
)
