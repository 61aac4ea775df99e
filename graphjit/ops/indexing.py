"""Reading and writing at positions that a tensor holds.

Positions are int64 (or int32). Those out of range raise PyTorch's IndexError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import dtypes
from ..ir.graph import Shape, Spec
from .core import as_array, broadcast_shapes, declare
from .sampling import calls, ints, rows


def check_bounds(
    xp: Any,
    index: Any,
    extent: int,
    message: str,
    negative: bool = False,
    error: type[Exception] = IndexError,
) -> None:
    """IndexError (or `error`) unless all of `index` lies in [0, extent), or from -extent where allowed.

    `message` may name `{index}`, the first offender.
    """
    if not index.size:
        return
    low = -extent if negative else 0
    if int(index.min()) >= low and int(index.max()) < extent:
        return
    bad = index[(index < low) | (index >= extent)].reshape(-1)[0]
    raise error(message.replace("{index}", str(int(bad))))


def in_bounds(F: Any, index: Any, extent: int, negative: bool = False) -> list[Any]:
    """The conditions of `check_bounds`, for a compiled program."""
    return [F.ge(index, -extent if negative else 0), F.lt(index, extent)]


def _extent(x: Any, dim: int) -> int:
    """The extent along `dim`, which a tensor of no dimensions may be indexed along too."""
    return int(x.shape[dim]) if x.shape else 1


def _index_checks(F: Any, x: Any, index: Any, *rest: Any, dim: int) -> list[Any]:
    return in_bounds(F, index, _extent(x, dim))


def _out_of_bounds(dim: int, extent: int) -> str:
    return f"index {{index}} is out of bounds for dimension {dim} with size {extent}"


def _check_integer(name: str, spec: Spec) -> None:
    if spec.dtype not in (dtypes.int64, dtypes.int32):
        kinds = "int32 or int64" if name == "index_select" else "int32/int64"
        raise RuntimeError(f"{name}(): Expected dtype {kinds} for index")


def _fit(name: str, index: Shape, other: Shape, dim: int, apart_from: bool) -> None:
    """`index` may be no larger than `other`, `dim` apart where `apart_from` says so."""
    if len(index) != len(other):
        raise RuntimeError(
            f"{name}(): Expected index to have the same number of dimensions as "
            f"{'input' if apart_from else 'src'} tensor"
        )
    for i, (a, b) in enumerate(zip(index, other, strict=True)):
        if a > b and not (apart_from and i == dim):
            what = f"apart from dimension {dim} " if apart_from else ""
            raise RuntimeError(
                f"Size does not match at dimension {i} expected index {list(index)} to be no "
                f"larger than {'self' if apart_from else 'src'} {list(other)} {what}".rstrip()
            )


def _infer_gather(x: Spec, index: Spec, dim: int) -> tuple[Spec, ...]:
    _check_integer("gather", index)
    if len(x.shape) != len(index.shape):
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as input tensor"
        )
    _fit("gather", index.shape, x.shape, dim, True)
    return (x.with_shape(index.shape),)


def _corner(shape: Shape, dim: int, full: Shape) -> tuple[slice, ...]:
    """The part of an array of shape `full` that an index of `shape` along `dim` can reach."""
    return tuple(
        slice(None) if i == dim else slice(extent) for i, extent in enumerate(shape[: len(full)])
    )


def _eval_gather(xp: Any, x: Any, index: Any, dim: int) -> Any:
    if x.ndim != index.ndim or index.dtype.kind != "i":
        raise TypeError("gather")
    if x.ndim == 0:
        check_bounds(xp, index, 1, _out_of_bounds(0, 1), error=RuntimeError)
        return x.copy()
    _fit("gather", index.shape, x.shape, dim, True)
    extent = x.shape[dim]
    check_bounds(xp, index, extent, _out_of_bounds(dim, extent), error=RuntimeError)
    return xp.take_along_axis(x[_corner(index.shape, dim, x.shape)], index, dim)


def _each(result: Any, index: Any, dim: int, value: Callable[..., Any]) -> Any:
    """`result` with `value(result, p, q)` at each place p of `index`, q being where it points."""
    for p in np.ndindex(index.shape):
        result[p] = value(result, p, (*p[:dim], index[p], *p[dim + 1 :]))
    return result


def _scattered(accumulate: bool) -> Callable[..., Any]:
    def reference(base: Any, index: Any, src: Any, dim: int) -> Any:
        result = np.array(base)
        for p in np.ndindex(index.shape):
            q = (*p[:dim], index[p], *p[dim + 1 :])
            result[q] = result[q] + src[p] if accumulate else src[p]
        return result

    return reference


gather = declare(
    "gather",
    "gather",
    checks=_index_checks,
    infer=_infer_gather,
    eval=_eval_gather,
    saves=("in1", "shape0"),
    vjps=(
        lambda F, g, index, shape, dim: F.scatter_add(
            F.new_full(g, shape=shape, value=0), index, g, dim=dim
        ),
        None,
    ),
    samples=rows(
        lambda x, index, dim: _each(np.zeros(index.shape), index, dim, lambda out, p, q: x[q]),
        *(((x, ints(*i, high=x[dim])), {"dim": dim})
          for x, i, dim in (((3, 4), (3, 2), 1), ((3, 4), (5, 3), 0), ((4,), (0,), 0),
                            ((2, 3, 4), (1, 7, 2), 1), ((0, 2), (0, 2), 1))),
    ),
)  # fmt: skip


def _places(xp: Any, index: Any, dim: int) -> tuple[Any, ...]:
    """The full index of each element of an index along `dim`."""
    places = []
    for i, extent in enumerate(index.shape):
        positions = xp.arange(extent).reshape((-1,) + (1,) * (index.ndim - i - 1))
        places.append(index if i == dim else positions)
    return tuple(places)


def _check_scatter(name: str, base: Any, index: Any, src: Any, dim: int) -> None:
    if not len(base.shape) == len(index.shape) == len(src.shape):
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as self tensor"
            if len(base.shape) != len(index.shape)
            else "Index tensor must have the same number of dimensions as src tensor"
        )
    _fit(name, index.shape, base.shape, dim, True)
    _fit(name, index.shape, src.shape, dim, False)


def _infer_scatter(name: str, base: Spec, index: Spec, src: Spec, dim: int) -> tuple[Spec, ...]:
    _check_integer(name, index)
    _check_scatter(name, base, index, src, dim)
    if base.dtype is not src.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    return (base,)


def _scatter_eval(name: str, write: Any) -> Any:
    def eval(xp: Any, base: Any, index: Any, src: Any, dim: int) -> Any:
        if base.dtype != src.dtype or index.dtype.kind != "i":
            raise TypeError(name)
        _check_scatter(name, base, index, src, dim)
        if base.ndim == 0:
            base, index, src = base.reshape(1), index.reshape(1), src.reshape(1)
            return eval(xp, base, index, src, 0).reshape(())
        extent = base.shape[dim]
        check_bounds(xp, index, extent, _out_of_bounds(dim, extent), error=RuntimeError)
        result = base.copy()
        part = src[_corner(index.shape, -1, src.shape)]
        write(xp, result, _places(xp, index, dim), part)
        return result

    return eval


def _write(xp: Any, result: Any, places: Any, values: Any) -> None:
    result[places] = values


def _accumulate(xp: Any, result: Any, places: Any, values: Any) -> None:
    xp.add.at(result, places, values)


def _scatter_saved(F: Any, g: Any, index: Any, dim: int) -> Any:
    """`g` with zeros where the scatter wrote."""
    return F.scatter(g, index, F.new_full(g, shape=index.shape, value=0), dim=dim)


def _gather_into(F: Any, g: Any, index: Any, shape: Shape, dim: int) -> Any:
    """The gradient of a source that may be larger than the index."""
    found = F.gather(g, index, dim=dim)
    if found.shape == shape:
        return found
    pads = tuple((0, extent - have) for extent, have in zip(shape, found.shape, strict=True))
    return F.pad(found, pads=pads, value=0)


scatter = declare(
    "scatter",
    "scatter",
    checks=_index_checks,
    infer=lambda base, index, src, dim: _infer_scatter("scatter", base, index, src, dim),
    eval=_scatter_eval("scatter", _write),
    saves=("in1", "shape2"),
    vjps=(
        lambda F, g, index, shape, dim: _scatter_saved(F, g, index, dim),
        None,
        lambda F, g, index, shape, dim: _gather_into(F, g, index, shape, dim),
    ),
    samples=rows(_scattered(False), *(
        ((base, np.array(index), src), {"dim": dim})
        for base, index, src, dim in (((3, 4), [[3, 0], [1, 2]], (2, 2), 1),
                                      ((3, 4), [[2, 0, 1]], (2, 4), 0), ((4,), [2, 0], (2,), 0))
    )),
)  # fmt: skip
scatter_add = declare(
    "scatter_add",
    "scatter",
    checks=_index_checks,
    infer=lambda base, index, src, dim: _infer_scatter("scatter_add", base, index, src, dim),
    eval=_scatter_eval("scatter_add", _accumulate),
    saves=("in1", "shape2"),
    vjps=(
        lambda F, g, index, shape, dim: g,
        None,
        lambda F, g, index, shape, dim: _gather_into(F, g, index, shape, dim),
    ),
    samples=rows(_scattered(True), *(
        ((base, ints(*index, high=high), src), {"dim": dim})
        for base, index, high, src, dim in (
            ((3, 4), (3, 6), 4, (3, 6), 1), ((3, 4), (5, 2), 3, (6, 3), 0), ((4,), (9,), 4, (9,), 0)
        )
    )),
)  # fmt: skip


def _infer_index_select(x: Spec, index: Spec, dim: int) -> tuple[Spec, ...]:
    _check_integer("index_select", index)
    if len(index.shape) > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if not x.shape:
        return (x,)
    return (x.with_shape((*x.shape[:dim], index.size, *x.shape[dim + 1 :])),)


def _eval_index_select(xp: Any, x: Any, index: Any, dim: int) -> Any:
    if index.ndim > 1 or index.dtype.kind != "i":
        raise TypeError("index_select")
    check_bounds(xp, index, _extent(x, dim), "index out of range in self")
    if not x.ndim:
        return x.copy()
    return x.take(index.reshape(-1), dim)


index_select = declare(
    "index_select",
    "gather",
    checks=_index_checks,
    infer=_infer_index_select,
    eval=_eval_index_select,
    saves=("in1", "shape0"),
    vjps=(
        lambda F, g, index, shape, dim: F.index_add(
            F.new_full(g, shape=shape, value=0), index, g, dim=dim
        ),
        None,
    ),
    samples=rows(
        lambda x, index, dim: np.take(x, np.atleast_1d(index), dim),
        *calls(((3, 4), ints(5, high=3)), ((3,), ints(2, high=3)), ((3, 9), ints(7, high=3)),
               (ints(3, 2), ints(3, high=3)), ((3, 2), ints(high=3)), ((3, 2), ints(0)), dim=0),
        *calls(((2, 3, 4), ints(4, high=3)), dim=1),
    ),
)  # fmt: skip


def _infer_index_add(base: Spec, index: Spec, src: Spec, dim: int) -> tuple[Spec, ...]:
    _check_integer("index_add", index)
    if len(index.shape) > 1:
        raise RuntimeError("index_add_(): Index is supposed to be 1-dimensional")
    if base.dtype is not src.dtype:
        raise RuntimeError("index_add_(): self and source must have the same scalar type")
    expected = (*base.shape[:dim], index.size, *base.shape[dim + 1 :])
    if base.shape and src.shape != expected:
        raise RuntimeError(
            f"index_add_(): Number of indices ({index.size}) should be equal to "
            f"source.size(dim): ({src.shape[dim] if src.shape else 1}), for dim: {dim}"
        )
    return (base,)


def _eval_index_add(xp: Any, base: Any, index: Any, src: Any, dim: int) -> Any:
    if index.ndim > 1 or index.dtype.kind != "i" or base.dtype != src.dtype:
        raise TypeError("index_add")
    result = base.copy()
    if not base.ndim:
        return xp.asarray(result + src.reshape(()))
    if src.shape != (*base.shape[:dim], index.size, *base.shape[dim + 1 :]):
        raise TypeError("index_add")
    check_bounds(xp, index, base.shape[dim], "index out of range in self")
    add_rows(xp, xp.moveaxis(result, dim, 0), index.reshape(-1), xp.moveaxis(src, dim, 0))
    return result


def add_rows(xp: Any, target: Any, index: Any, rows: Any) -> None:
    """`target[index[i]] += rows[i]`, where an index may come more than once.

    Rows of one index are brought together by a stable sort and summed by `add.reduceat`, which for
    long rows is many times faster than `add.at`.
    """
    if xp is not np or target.ndim == 1 or math.prod(target.shape[1:]) < 8 or not len(index):
        xp.add.at(target, index, rows)
        return
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    target[ordered[starts]] += np.add.reduceat(rows[order], starts, axis=0)


def _added_rows(base: Any, index: Any, src: Any, dim: int) -> Any:
    result = np.array(base)
    for k, i in enumerate(index):
        np.moveaxis(result, dim, 0)[i] += np.moveaxis(src, dim, 0)[k]
    return result


index_add = declare(
    "index_add",
    "scatter",
    checks=_index_checks,
    infer=_infer_index_add,
    eval=_eval_index_add,
    saves=("in1",),
    vjps=(
        lambda F, g, index, dim: g,
        None,
        lambda F, g, index, dim: F.index_select(g, index, dim=dim),
    ),
    samples=rows(
        _added_rows,
        *calls(((3, 4), ints(5, high=3), (5, 4)), ((3,), ints(4, high=3), (4,)),
               ((3, 9), ints(7, high=3), (7, 9)), dim=0),
        *calls(((2, 3, 4), ints(4, high=3), (2, 4, 4)), dim=1),
    ),
)  # fmt: skip


def _eval_take_rows(xp: Any, weight: Any, index: Any, padding_idx: int | None) -> Any:
    if index.dtype.kind != "i" or weight.ndim != 2:
        raise TypeError("embedding")
    check_bounds(xp, index, weight.shape[0], "index out of range in self")
    return weight.take(index, 0)


def _infer_embedding(weight: Spec, index: Spec, padding_idx: int | None) -> tuple[Spec, ...]:
    if len(weight.shape) != 2:
        raise RuntimeError("'weight' must be 2-D")
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar "
            f"types: Long, Int; but got {index.dtype.name} instead "
            "(while checking arguments for embedding)"
        )
    return (weight.with_shape((*index.shape, weight.shape[1])),)


def _decompose_embedding(F: Any, weight: Any, index: Any, padding_idx: int | None) -> Any:
    flat = F.reshape(index, shape=(math.prod(index.shape),))
    rows = F.index_select(weight, flat, dim=0)
    return F.reshape(rows, shape=(*index.shape, weight.shape[1]))


def _embedding_vjp(
    F: Any, g: Any, index: Any, shape: Shape, padding_idx: int | None
) -> Any:
    if padding_idx is not None:
        counts = F.unsqueeze(F.ne(index, padding_idx), dim=len(index.shape))
        g = F.where(counts, g, 0)
    n = math.prod(index.shape)
    flat = F.reshape(index, shape=(n,))
    zeros = F.new_full(g, shape=shape, value=0)
    return F.index_add(zeros, flat, F.reshape(g, shape=(n, shape[1])), dim=0)


#: Rows of a table. The row `padding_idx` gets no gradient.
embedding = declare(
    "embedding",
    "composite",
    infer=_infer_embedding,
    eval=_eval_take_rows,
    decompose=_decompose_embedding,
    checks=lambda F, weight, index, padding_idx: in_bounds(F, index, weight.shape[0]),
    saves=("in1", "shape0"),
    vjps=(_embedding_vjp, None),
    samples=rows(
        lambda weight, index, padding_idx: weight[index],
        *calls(((5, 3), ints(2, 4)), ((5, 9), ints(7)), ((5, 3), ints()), padding_idx=None),
    ),
)


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
    _index_shape(indices)
    for number, (dim, index) in enumerate(zip(dims, indices, strict=True)):
        if index.dtype.kind != "i":
            raise TypeError("index")
        # PyTorch counts the indexed dimensions only.
        check_bounds(xp, index, x.shape[dim], _out_of_bounds(number, x.shape[dim]), negative=True)


def _infer_index(x: Spec, *indices: Spec, dims: Shape) -> tuple[Spec, ...]:
    for index in indices:
        if index.dtype not in (dtypes.int64, dtypes.int32):
            raise IndexError(
                "tensors used as indices must be long, int, byte or bool tensors"
            )
    return (x.with_shape(indexed_shape(x.shape, dims, _index_shape(indices))),)


def _eval_index(xp: Any, x: Any, *indices: Any, dims: Shape) -> Any:
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
            f"{base.dtype.name.capitalize()} for the destination and "
            f"{values.dtype.name.capitalize()} for the source."
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
            f"take(): Expected a long tensor for index, but got {index.dtype.name.capitalize()}"
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
