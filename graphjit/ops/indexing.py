"""Reading and writing along one dimension, at positions that a tensor holds.

Positions are int64 (or int32). Those out of range raise PyTorch's IndexError.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..ir.graph import Shape, Spec
from .core import declare, number_like, type_name
from .sampling import calls, ints, rows


def check_bounds(
    xp: Any, index: Any, extent: int, message: str, negative: bool = False,
    error: type[Exception] = IndexError,
) -> None:  # fmt: skip
    """`error` unless all of `index` lies in [0, extent), or from -extent where allowed.

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
    low = number_like(F, index, -extent if negative else 0)
    return [F.ge(index, low), F.lt(index, number_like(F, index, extent))]


def _extent(x: Any, dim: int) -> int:
    """The extent along `dim`, which a tensor of no dimensions may be indexed along too."""
    return int(x.shape[dim]) if x.shape else 1


def _index_checks(F: Any, x: Any, index: Any, *rest: Any, dim: int) -> list[Any]:
    return in_bounds(F, index, _extent(x, dim))


def out_of_bounds(dim: int, extent: int) -> str:
    """What `check_bounds` is to say."""
    return f"index {{index}} is out of bounds for dimension {dim} with size {extent}"


def _check_along(xp: Any, index: Any, dim: int, extent: int) -> None:
    """What gather, scatter and index_add raise: PyTorch's RuntimeError."""
    check_bounds(xp, index, extent, out_of_bounds(dim, extent), error=RuntimeError)


def _check_integer(name: str, spec: Spec) -> None:
    if spec.dtype not in (dtypes.int64, dtypes.int32):
        kinds = "int32 or int64" if name == "index_select" else "int32/int64"
        raise RuntimeError(f"{name}(): Expected dtype {kinds} for index")


def _exceeds(index: Shape, other: Shape, dim: int | None = None) -> int | None:
    """The first dimension but `dim` along which `index` is larger than `other`."""
    pairs = enumerate(zip(index, other, strict=True))
    return next((i for i, (a, b) in pairs if a > b and i != dim), None)


def _check_gather(x: Any, index: Any, dim: int) -> None:
    if len(x.shape) != len(index.shape):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    wrong = _exceeds(index.shape, x.shape, dim)
    if wrong is not None:
        raise RuntimeError(
            f"Size does not match at dimension {wrong} expected index {list(index.shape)} to be "
            f"no larger than self {list(x.shape)} apart from dimension {dim}"
        )


def _infer_gather(x: Spec, index: Spec, dim: int) -> tuple[Spec, ...]:
    _check_integer("gather", index)
    _check_gather(x, index, dim)
    return (x.with_shape(index.shape),)


def _corner(shape: Shape, dim: int, full: Shape) -> tuple[slice, ...]:
    """The part of an array of shape `full` that an index of `shape` along `dim` can reach."""
    return tuple(
        slice(None) if i == dim else slice(extent) for i, extent in enumerate(shape[: len(full)])
    )


def _eval_gather(xp: Any, x: Any, index: Any, dim: int) -> Any:
    if index.dtype.kind != "i":
        raise TypeError("gather")
    _check_gather(x, index, dim)
    _check_along(xp, index, dim, _extent(x, dim))
    if x.ndim == 0:
        return x.copy()
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
    host_only=True,
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


def _check_scatter(base: Any, index: Any, src: Any, dim: int) -> None:
    for name, other in (("self", base), ("src", src)):
        if len(other.shape) != len(index.shape):
            raise RuntimeError(
                f"Index tensor must have the same number of dimensions as {name} tensor"
            )
    if _exceeds(index.shape, base.shape, dim) is None and _exceeds(index.shape, src.shape) is None:
        return
    raise RuntimeError(
        f"Expected index {list(index.shape)} to be no larger than self {list(base.shape)} apart "
        f"from dimension {dim} and to be no larger size than src {list(src.shape)}"
    )


def _infer_scatter(base: Spec, index: Spec, src: Spec, dim: int) -> tuple[Spec, ...]:
    _check_integer("scatter", index)
    _check_scatter(base, index, src, dim)
    if base.dtype is not src.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    return (base,)


def _scatter_eval(write: Any) -> Any:
    def eval(xp: Any, base: Any, index: Any, src: Any, dim: int) -> Any:
        if base.dtype != src.dtype or index.dtype.kind != "i":
            raise TypeError("scatter")
        _check_scatter(base, index, src, dim)
        if base.ndim == 0:
            base, index, src = base.reshape(1), index.reshape(1), src.reshape(1)
            return eval(xp, base, index, src, 0).reshape(())
        _check_along(xp, index, dim, base.shape[dim])
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
    host_only=True,
    checks=_index_checks,
    infer=_infer_scatter,
    eval=_scatter_eval(_write),
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
    host_only=True,
    checks=_index_checks,
    infer=_infer_scatter,
    eval=_scatter_eval(_accumulate),
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
    host_only=True,
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
    if len(index.shape) > 1:
        raise IndexError(
            f"index_add_(): Index is supposed to be a vector, but got dim: {len(index.shape)} with "
            f"type: {type_name(index.dtype)} and size: {list(index.shape)}"
        )
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(
            "index_add_(): Expected dtype int32/int64 for index but got: "
            f"{type_name(index.dtype)}"
        )
    if base.dtype is not src.dtype:
        raise RuntimeError(
            f"index_add_(): self ({type_name(base.dtype)}) and source ({type_name(src.dtype)}) "
            "must have the same scalar type"
        )
    _check_added(base.shape, index.size, src.shape, dim)
    return (base,)


def _check_added(base: Shape, count: int, src: Shape, dim: int) -> None:
    if src and dim >= len(src):
        raise RuntimeError(
            f"index_add_(): Indexing dim {dim} is out of bounds of the source tensor with dim "
            f"{len(src)}"
        )
    extent = src[dim] if src else 1
    if count != extent:
        raise RuntimeError(
            f"index_add_(): Number of indices ({count}) should be equal to source.size(dim): "
            f"({extent}), for dim: {dim}"
        )
    slices = [shape[:dim] + shape[dim + 1 :] if base and src else shape for shape in (base, src)]
    if slices[0] != slices[1]:
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(base)} source.shape = {list(src)}"
        )


def _eval_index_add(xp: Any, base: Any, index: Any, src: Any, dim: int) -> Any:
    if index.ndim > 1 or index.dtype.kind != "i" or base.dtype != src.dtype:
        raise TypeError("index_add")
    _check_added(base.shape, index.size, src.shape, dim)
    if base.ndim > 1:
        _check_along(xp, index, dim, base.shape[dim])
    else:
        check_bounds(xp, index, _extent(base, dim), "index out of range in self")
    result = base.copy()
    target, added = (xp.moveaxis(xp.atleast_1d(x), dim, 0) for x in (result, src))
    add_rows(xp, target, index.reshape(-1), added)
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
    host_only=True,
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
            f"types: Long, Int; but got torch.{type_name(index.dtype)}Tensor instead "
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
