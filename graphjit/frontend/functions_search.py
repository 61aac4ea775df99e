"""Reading and writing at positions, ordering, running totals, searching.

Each is also the `Tensor` method of its name. Results whose shape depends on the values (`nonzero`,
`masked_select`, `unique` ...) say so to the recorder.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import locate
from ..ops.core import scalar_type, type_name
from .arguments import as_dtype, check_copied, check_tensor, one_dim
from .base import alone, is_tensor
from .observe import observe
from .out import write_out
from .results import result_type
from .tape import TENSORS as F

if TYPE_CHECKING:
    from .tensor import Tensor


def fresh(array: np.ndarray) -> Tensor:
    """A tensor around an array that NumPy has computed from what the recorder was told of."""
    from .creation import fresh as make

    return make(array)


def gather(
    input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Any = None
) -> Any:
    """`input` at the positions `index` along `dim`."""
    result = F.gather(input, index, dim=one_dim(input, dim))
    return result if out is None else write_out(out, result, "gather")


def _source(input: Tensor, index: Tensor, src: Any) -> Tensor:
    if is_tensor(src):
        return src
    from .creation import filled

    return filled(index._array.shape, src, input.dtype)


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
    reduce: str | None = None,
) -> Any:
    """`input` with elements of `src` (or one value) put at the positions `index` along `dim`."""
    place = one_dim(input, dim)
    source = _source(input, index, value if src is None else src)
    if reduce == "add":
        return F.scatter_add(input, index, source, dim=place)
    if reduce is not None:
        return scatter_reduce(input, dim, index, source, {"multiply": "prod"}.get(reduce, reduce))
    return F.scatter(input, index, source, dim=place)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Any:
    """`input` with elements of `src` added at the positions `index` along `dim`."""
    return F.scatter_add(input, index, src, dim=one_dim(input, dim))


_REDUCTIONS = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Any:
    """`input` with elements of `src` joined in at positions: sum, mean, prod, amax or amin."""
    place = one_dim(input, dim)
    start = input
    if not include_self:
        neutral = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "amax": -np.inf, "amin": np.inf}[reduce]
        start = F.scatter(input, index, _source(input, index, neutral), dim=place)
    if reduce in ("sum", "mean"):
        total = F.scatter_add(start, index, src, dim=place)
        if reduce == "sum":
            return total
        ones = F.new_full(src, shape=src._array.shape, value=1)
        base = F.new_full(input, shape=input._array.shape, value=1)
        if not include_self:
            base = F.scatter(base, index, _source(input, index, 0), dim=place)
        counts = F.scatter_add(base, index, ones, dim=place)
        return F.div(total, F.maximum(counts, 1))
    return _scatter_ufunc(start, place, index, src, reduce)


def _scatter_ufunc(start: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str) -> Tensor:
    from .mode import MODE

    if reduce not in _REDUCTIONS:
        raise locate(RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}."
        ))
    if MODE.grad and (start._requires_grad or src._requires_grad):
        raise locate(NotImplementedError(f"scatter_reduce({reduce!r}) has no gradient here"))
    observe("scatter_reduce()", start, index, src)
    result = start._array.copy()
    places: list[Any] = list(np.indices(index._array.shape, sparse=True))
    places[dim] = index._array
    corner = tuple(slice(0, n) for n in index._array.shape)
    _REDUCTIONS[reduce].at(result, tuple(places), src._array[corner])
    return fresh(result)


def index_select(input: Tensor, dim: int, index: Tensor, *, out: Any = None) -> Any:
    """The slices at the positions `index` along `dim`."""
    result = F.index_select(input, index, dim=one_dim(input, dim))
    return result if out is None else write_out(out, result, "index_select")


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Any:
    """`input` with slices of `source` added at the positions `index` along `dim`."""
    scaled = source if alpha == 1 else F.mul(source, alpha)
    return F.index_add(input, index, scaled, dim=one_dim(input, dim))


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Any:
    """`input` with the slices at the positions `index` along `dim` replaced.

    IndexError or RuntimeError where PyTorch raises: `index` is a vector of int64, `source` has
    the dtype of `input` and, along `dim`, the extent of `index`.
    """
    place = one_dim(input, dim)
    check_copied(input, place, index, source)
    index = F.reshape(index, shape=(index._array.size,))
    if not source._array.ndim:
        source = F.reshape(source, shape=(1,))
    if not input._array.ndim:
        row = F.reshape(input, shape=(1,))
        row = F.index_put(row, source, index, dims=(0,), accumulate=False)
        return alone(F.reshape(row, shape=()))
    last = F.permute(input, dims=_first(input, place))
    rows = F.permute(source, dims=_first(source, place))
    written = F.index_put(last, rows, index, dims=(0,), accumulate=False)
    return alone(F.permute(written, dims=_unfirst(input, place)))


def _with_row(x: Tensor, function: Callable[[Tensor], Any]) -> Any:
    """`function` of a tensor of no dimensions, as one of one element."""
    return alone(F.reshape(function(F.reshape(x, shape=(1,))), shape=()))


def _first(x: Tensor, dim: int) -> tuple[int, ...]:
    return (dim, *(i for i in range(x._array.ndim) if i != dim))


def _unfirst(x: Tensor, dim: int) -> tuple[int, ...]:
    return tuple(range(1, dim + 1)) + (0,) + tuple(range(dim + 1, x._array.ndim))


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Any:
    """`input` with the slices at the positions `index` along `dim` filled with one value."""
    place = one_dim(input, dim)
    if not input._array.ndim:
        return _with_row(input, lambda x: index_fill(x, 0, index, value))
    if not is_tensor(value):
        from .creation import filled

        value = filled((), value, input.dtype)
    first = F.permute(input, dims=_first(input, place))
    written = F.index_put(first, F.cast(value, dtype=input.dtype), index, dims=(0,),
                          accumulate=False)
    return alone(F.permute(written, dims=_unfirst(input, place)))


def index_put(input: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """`input` with elements replaced (or added to) at the places that index tensors name."""
    if not is_tensor(values):
        from .creation import filled

        values = filled((), values, input.dtype)
    positions = [_positions(input, i) for i in indices]
    flat = [p for group in positions for p in group]
    ndim = input._array.ndim
    if len(flat) > ndim:
        raise locate(IndexError(
            f"too many indices for tensor of dimension {ndim} (got {len(flat)})"
        ))
    return F.index_put(input, values, *flat, dims=tuple(range(len(flat))), accumulate=accumulate)


def _positions(input: Tensor, index: Tensor) -> list[Tensor]:
    if index._array.dtype.kind != "b":
        return [index]
    observe("indexing with a mask", index)
    return [fresh(p) for p in np.nonzero(index._array)]


def take(input: Tensor, index: Tensor) -> Any:
    """Elements at positions of the flat tensor."""
    return F.take(input, index)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Any:
    """`input` with elements replaced (or added to) at positions of the flat tensor."""
    flat = F.reshape(input, shape=(-1,))
    values = F.reshape(source, shape=(-1,))
    places = F.reshape(index, shape=(-1,))
    written = F.index_put(flat, values, places, dims=(0,), accumulate=accumulate)
    return alone(F.reshape(written, shape=input._array.shape))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Any:
    """`gather`, with the other dimensions broadcast; without `dim`, from the flat tensor."""
    if dim is None:
        return F.gather(F.reshape(input, shape=(-1,)), F.reshape(indices, shape=(-1,)), dim=0)
    place = one_dim(input, dim)
    mine, theirs = list(input._array.shape), list(indices._array.shape)
    shape = np.broadcast_shapes(
        tuple(1 if i == place else n for i, n in enumerate(mine)),
        tuple(1 if i == place else n for i, n in enumerate(theirs)),
    )
    wide = F.expand(input, shape=_with(shape, place, mine[place]))
    index = F.expand(indices, shape=_with(shape, place, theirs[place]))
    return F.gather(wide, index, dim=place)


def _with(shape: tuple[int, ...], dim: int, extent: int) -> tuple[int, ...]:
    return (*shape[:dim], extent, *shape[dim + 1 :])


def _mask(function: str, mask: Any) -> Tensor:
    check_tensor(function, mask, "mask", 2)
    if mask._array.dtype.kind == "b":
        return mask  # type: ignore[no-any-return]
    if mask._array.dtype.char == "B":
        return F.ne(mask, 0)  # type: ignore[no-any-return]
    raise locate(RuntimeError(
        f"{function}_ only supports boolean masks, but got mask with dtype "
        f"{scalar_type(mask.dtype)}"
    ))


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Any:
    """`input` with one value where `mask`."""
    kept = _mask("masked_fill", mask)
    if is_tensor(value):
        if value._array.ndim:
            raise locate(RuntimeError(
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value._array.ndim} dimension(s)."
            ))
        value = F.cast(value, dtype=input.dtype)
    elif not isinstance(value, complex):
        value = _same_kind(input, value)
    return F.where(kept, value, input)


def _same_kind(input: Tensor, value: Any) -> Any:
    """A number that does not promote `input`."""
    kind = input._array.dtype.kind
    return bool(value) if kind == "b" else int(value) if kind in "iu" else value


def masked_select(input: Tensor, mask: Tensor, *, out: Any = None) -> Any:
    """The elements where `mask`, in one dimension."""
    check_tensor("masked_select", mask, "mask", 2)
    observe("masked_select()", mask)
    shape = np.broadcast_shapes(input._array.shape, mask._array.shape)
    places = np.nonzero(np.broadcast_to(mask._array, shape))
    wide = F.expand(input, shape=shape)
    result = F.index(wide, *map(fresh, places), dims=tuple(range(len(shape)))) \
        if shape else F.reshape(wide, shape=(1,))[places[0].size == 0:]
    return result if out is None else write_out(out, result, "masked_select")


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Any:
    """`input` with the elements of `source`, in order, where `mask`."""
    observe("masked_scatter()", mask)
    places = np.nonzero(np.broadcast_to(mask._array, input._array.shape))
    values = F.reshape(source, shape=(-1,))
    values = F.slice_(values, dim=0, start=0, stop=places[0].size, step=1)
    dims = tuple(range(input._array.ndim))
    return F.index_put(input, values, *map(fresh, places), dims=dims, accumulate=False)


def nonzero(input: Tensor, *, as_tuple: bool = False, out: Any = None) -> Any:
    """The positions of the elements that are not 0, as rows or as one tensor for each dimension."""
    observe("nonzero()", input)
    array = input._array
    if as_tuple:
        return tuple(map(fresh, np.nonzero(np.atleast_1d(array))))
    result = fresh(np.argwhere(array))
    return result if out is None else write_out(out, result, "nonzero")


def argwhere(input: Tensor) -> Any:
    """The positions of the elements that are not 0, as rows."""
    return nonzero(input)


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None
) -> Any:
    """The elements in order along `dim`, and where they were."""
    check_tensor("sort", input)
    pair = F.sort(input, dim=one_dim(input, dim), descending=bool(descending))
    if out is not None:
        pair = tuple(write_out(o, r, "sort") for o, r in zip(out, pair, strict=True))
    return result_type("sort", "values", "indices")(pair)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Where the elements are that come in order along `dim`."""
    check_tensor("argsort", input)
    return F.argsort(input, dim=one_dim(input, dim), descending=bool(descending))


def msort(input: Tensor, *, out: Any = None) -> Any:
    """The elements in order along the first dimension."""
    result = F.sort(input, dim=0, descending=False)[0]
    return result if out is None else write_out(out, result, "msort")


def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *,
    out: Any = None,
) -> Any:
    """The `k` largest (or smallest) elements along `dim`, and where they are."""
    check_tensor("topk", input)
    if input._array.dtype.kind == "b":
        raise locate(RuntimeError("topk does not support bool dtypes on CPU"))
    pair = F.topk(input, k=int(k), dim=one_dim(input, dim), largest=bool(largest))
    if out is not None:
        pair = tuple(write_out(o, r, "topk") for o, r in zip(out, pair, strict=True))
    return result_type("topk", "values", "indices")(pair)


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The `k`-th smallest element along `dim`, and where it is."""
    place = one_dim(input, dim)
    extent = input._array.shape[place] if input._array.ndim else 1
    if not 1 <= k <= extent:
        raise locate(RuntimeError(
            f"kthvalue(): selected number k out of range for dimension {place}"
        ))
    return _ordered("kthvalue", input, place, k - 1, keepdim)


def _ordered(name: str, input: Tensor, dim: int, position: int, keepdim: bool) -> Any:
    """The element at a position of the sorted order along `dim`."""
    if input._array.dtype.kind == "b":
        raise locate(NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'"))
    pair = F.sort(input, dim=dim, descending=False)
    if input._array.ndim:
        if keepdim:
            where = {"dim": dim, "start": position, "stop": position + 1, "step": 1}
            pair = tuple(alone(F.slice_(x, **where)) for x in pair)
        else:
            pair = tuple(alone(F.select(x, dim=dim, index=position)) for x in pair)
    return result_type(name, "values", "indices")(pair)


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower of two, or NaN if there is one; over `dim`, with indices."""
    if dim is None:
        return median(F.reshape(input, shape=(-1,)), 0)[0]
    place = one_dim(input, dim)
    extent = input._array.shape[place] if input._array.ndim else 1
    pair = _ordered("median", input, place, (extent - 1) // 2, keepdim)
    if input._array.dtype.kind != "f" or not input._array.ndim:
        return pair
    found = F.any(F.isnan(input), dims=(place,))
    first = F.argmax(input, dims=(place,))  # which takes the first NaN for the largest number
    if not keepdim:
        found, first = (F.squeeze(x, dims=(place,)) for x in (found, first))
    values = F.where(found, math.nan, pair[0])
    return result_type("median", "values", "indices")((values, F.where(found, first, pair[1])))


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along `dim` (the smallest of several), and where it is last."""
    observe("mode()", check_tensor("mode", input))
    place = one_dim(input, dim)
    rows = np.moveaxis(np.atleast_1d(input._array), place, -1)
    found = np.empty(rows.shape[:-1], np.int64)
    for at in np.ndindex(*rows.shape[:-1]):
        values, counts = np.unique(rows[at], return_counts=True)
        found[at] = np.flatnonzero(rows[at] == values[counts.argmax()])[-1]
    index = fresh(np.expand_dims(found, place))
    values = F.gather(input, index, dim=place) if input._array.ndim else F.clone(input)
    if not keepdim and input._array.ndim:
        values, index = (alone(F.squeeze(x, dims=(place,))) for x in (values, index))
    elif not input._array.ndim:
        index = alone(F.reshape(index, shape=()))
    return result_type("mode", "values", "indices")((values, index))


def _running(name: str) -> Any:
    call = getattr(F, name)

    def function(input: Tensor, dim: int, *, dtype: Any = None, out: Any = None) -> Any:
        check_tensor(name, input)
        if dtype is not None:
            input = input.to(as_dtype(dtype, name))
        result = call(input, dim=one_dim(input, dim))
        if dtype is not None and result.dtype is not input.dtype:
            result = F.cast(result, dtype=input.dtype)
        return result if out is None else write_out(out, result, name)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The running {name[3:]} along `dim`."
    return function


cumsum = _running("cumsum")
cumprod = _running("cumprod")


def _running_extremum(name: str) -> Any:
    call = getattr(F, name)

    def function(input: Tensor, dim: int) -> Any:
        pair = call(input, dim=one_dim(input, dim))
        return result_type(name, "values", "indices")(pair)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The running {name[3:]} along `dim`, and where it is."
    return function


cummax = _running_extremum("cummax")
cummin = _running_extremum("cummin")


def logcumsumexp(input: Tensor, dim: int) -> Any:
    """The logarithm of the running sum of exponentials."""
    return F.logcumsumexp(input, dim=one_dim(input, dim))


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None
) -> Any:
    """Differences of neighbours along `dim`, `n` times over."""
    from .functions_join import cat

    place = one_dim(input, dim)
    parts = [x for x in (prepend, input, append) if x is not None]
    result = cat(parts, place) if len(parts) > 1 else input
    for _ in range(n):
        extent = result._array.shape[place]
        upper = F.slice_(result, dim=place, start=1, stop=extent, step=1)
        lower = F.slice_(result, dim=place, start=0, stop=builtins.max(extent - 1, 0), step=1)
        boolean = result._array.dtype.kind == "b"
        result = F.logical_xor(upper, lower) if boolean else F.sub(upper, lower)
    return result


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements (or slices along `dim`) in order; also where each went, how often."""
    observe("unique()", input)
    values, inverse, counts = np.unique(
        input._array, return_inverse=True, return_counts=True, axis=dim
    )
    if dim is None:
        inverse = inverse.reshape(input._array.shape)
    results = [values]
    if return_inverse:
        results.append(inverse.astype(np.int64))
    if return_counts:
        results.append(counts.astype(np.int64))
    made = tuple(fresh(np.ascontiguousarray(r)) for r in results)
    return made[0] if len(made) == 1 else made


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements (or slices along `dim`) that differ from the one before."""
    observe("unique_consecutive()", input)
    rows = input._array.reshape(-1, 1) if dim is None else np.moveaxis(input._array, dim, 0)
    flat = rows.reshape(len(rows), -1)
    new = np.ones(len(flat), bool)
    new[1:] = (flat[1:] != flat[:-1]).any(1)
    starts = np.flatnonzero(new)
    kept = rows[starts]
    values = kept.reshape(-1) if dim is None else np.moveaxis(kept, 0, dim)
    results = [values]
    if return_inverse:
        inverse = np.cumsum(new) - 1
        results.append(inverse.reshape(input._array.shape) if dim is None else inverse)
    if return_counts:
        results.append(np.diff(np.append(starts, len(flat))))
    made = tuple(fresh(np.ascontiguousarray(r)) for r in results)
    return made[0] if len(made) == 1 else made


def bincount(input: Tensor, weights: Any = None, minlength: int = 0) -> Any:
    """How often each whole number occurs (or the sum of its weights)."""
    observe("bincount()", *filter(is_tensor, (input, weights)))
    array = input._array
    if array.dtype.kind not in "iub":
        raise locate(NotImplementedError(
            f"\"bincount_cpu\" not implemented for '{type_name(input.dtype)}'"
        ))
    if array.ndim != 1 or (array.size and array.min() < 0):
        raise locate(RuntimeError("bincount only supports 1-d non-negative integral inputs."))
    given = None if weights is None else weights._array
    counts = np.bincount(array, given, minlength)
    return fresh(counts if given is None or given.dtype != np.float32
                     else counts.astype(np.float32))


def searchsorted(
    sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Any = None,
) -> Any:
    """Where elements would have to be put in to keep the last dimension in order."""
    observe("searchsorted()", *filter(is_tensor, (sorted_sequence, input, sorter)))
    rows = sorted_sequence._array
    if sorter is not None:
        rows = np.take_along_axis(rows, sorter._array, -1)
    values = input._array if is_tensor(input) else np.asarray(input, rows.dtype)
    where: Any = "right" if right or side == "right" else "left"
    if rows.ndim == 1:
        found = np.asarray(np.searchsorted(rows, values, where))
    else:
        found = np.stack([np.searchsorted(r, v, where) for r, v in zip(
            rows.reshape(-1, rows.shape[-1]), values.reshape(-1, values.shape[-1]), strict=True
        )]).reshape(values.shape)
    return fresh(found.astype(np.int32 if out_int32 else np.int64))


def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Any:
    """Which interval between boundaries each element falls in."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def isin(elements: Any, test_elements: Any, *, invert: bool = False) -> Any:
    """Where an element is among others."""
    observe("isin()", *filter(is_tensor, (elements, test_elements)))
    first, second = (x._array if is_tensor(x) else np.asarray(x) for x in (elements, test_elements))
    return fresh(np.asarray(np.isin(first, second, invert=invert)))


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements fall in each of `bins` equal intervals."""
    observe("histc()", input)
    array = input._array
    low, high = (min, max) if min != max else (array.min(), array.max())
    if low == high:
        low, high = low - 1, high + 1
    counts, _ = np.histogram(array, bins, (low, high))
    return fresh(counts.astype(array.dtype))


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: Any = None
) -> Any:
    """Each slice along `dim` repeated in place."""
    if repeats is None:
        observe("repeat_interleave()", input)
        counts = input._array
        return fresh(np.repeat(np.arange(counts.size), counts))
    if dim is None:
        input, dim = F.reshape(input, shape=(-1,)), 0
    place = one_dim(input, dim)
    extent = input._array.shape[place]
    if is_tensor(repeats):
        observe("repeat_interleave()", repeats)
        times: Any = repeats._array
    else:
        times = repeats
    order = np.repeat(np.arange(extent), times)
    return F.index_select(input, fresh(order), dim=place)


def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear",
) -> Any:
    """The elements below which a share `q` of all lie."""
    observe("quantile()", *filter(is_tensor, (input, q)))
    share = q._array if is_tensor(q) else np.asarray(q, input._array.dtype)
    method: Any = interpolation
    found = np.quantile(input._array, share, axis=dim, method=method, keepdims=keepdim)
    return fresh(np.asarray(found, input._array.dtype))
