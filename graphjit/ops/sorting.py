"""Order and running totals along one dimension. They run on the host, as NumPy does them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..ir.graph import Shape, Spec
from .core import declare
from .doubling import cumprod_gradient
from .sampling import Samples, both, floats, ints, rows


def _moved(spec: Spec, dim: int, extent: int) -> Spec:
    return spec.with_shape((*spec.shape[:dim], extent, *spec.shape[dim + 1 :]))


def order(xp: Any, x: Any, dim: int, descending: bool) -> Any:
    """The positions that sort `x` along `dim`, equal elements in their order; NaN is largest."""
    if x.ndim == 0:
        return xp.zeros((), np.int64)
    if not descending:
        return xp.argsort(x, axis=dim, kind="stable")
    backwards = xp.flip(x, dim)
    found = xp.argsort(backwards, axis=dim, kind="stable")
    return xp.flip(x.shape[dim] - 1 - found, dim)


def _eval_sort(xp: Any, x: Any, dim: int, descending: bool) -> tuple[Any, Any]:
    index = xp.ascontiguousarray(order(xp, x, dim, descending)).reshape(x.shape)
    values = xp.take_along_axis(x, index, dim) if x.ndim else x.copy()
    return values, index


def _selected_vjp(F: Any, g: Any, index: Any, shape: Shape, dim: int, **rest: Any) -> Any:
    """Each gradient goes to where its value came from."""
    if g[0] is None:
        return None
    return F.scatter_add(F.new_full(g[0], shape=shape, value=0), index, g[0], dim=dim)


def _orders(pick: Callable[[Any, Any], Any]) -> Samples:
    """Rows sorted both ways; `pick` is given the sorted elements and their places."""

    def reference(x: Any, dim: int, descending: bool) -> Any:
        if not x.ndim:
            return pick(x, np.zeros((), int))
        index = np.argsort(-x if descending else x, axis=dim, kind="stable")
        return pick(np.take_along_axis(x, index, dim), index)

    places = ((3, 4), 1), ((3, 4), 0), ((5,), 0), ((), 0), (ints(20), 0), ((0, 3), 0)
    return rows(reference, *(
        ((x,), {"dim": dim, "descending": d}) for x, dim in places for d in (True, False)
    ))  # fmt: skip


sort = declare(
    "sort",
    "sort",
    infer=lambda spec, dim, descending: (spec, spec.with_dtype(dtypes.int64)),
    eval=_eval_sort,
    saves=("out1", "shape0"),
    vjps=_selected_vjp,
    n_outputs=2,
    host_only=True,
    samples=_orders(lambda x, i: (x, i)),
)
argsort = declare(
    "argsort",
    "sort",
    infer=lambda spec, dim, descending: (spec.with_dtype(dtypes.int64),),
    eval=lambda xp, x, dim, descending: _eval_sort(xp, x, dim, descending)[1],
    host_only=True,
    samples=_orders(lambda x, i: i),
)


def _infer_topk(spec: Spec, k: int, dim: int, largest: bool) -> tuple[Spec, ...]:
    extent = spec.shape[dim] if spec.shape else 1
    if not 0 <= k <= extent:
        raise RuntimeError("selected index k out of range")
    values = _moved(spec, dim, k) if spec.shape else spec
    return values, values.with_dtype(dtypes.int64)


def _eval_topk(xp: Any, x: Any, k: int, dim: int, largest: bool) -> tuple[Any, Any]:
    extent = x.shape[dim] if x.ndim else 1
    if not 0 <= k <= extent:
        raise RuntimeError("selected index k out of range")
    if not x.ndim:
        return x.copy(), xp.zeros((), np.int64)
    index = order(xp, x, dim, largest)
    index = xp.ascontiguousarray(xp.take(index, xp.arange(k), dim))
    return xp.take_along_axis(x, index, dim), index


def _topk_reference(x: Any, k: int, dim: int, largest: bool) -> Any:
    index = np.argsort(-x if largest else x, axis=dim, kind="stable")
    index = np.take(index, range(k), dim)
    return np.take_along_axis(x, index, dim), index


#: The `k` largest or smallest, sorted.
topk = declare(
    "topk",
    "sort",
    infer=_infer_topk,
    eval=_eval_topk,
    saves=("out1", "shape0"),
    vjps=_selected_vjp,
    n_outputs=2,
    host_only=True,
    samples=rows(_topk_reference, *(
        ((x,), {"k": k, "dim": dim, "largest": largest})
        for x, k, dim in (((3, 4), 2, 1), ((3, 4), 3, 0), ((5,), 0, 0), (ints(20), 20, 0))
        for largest in (True, False)
    )),
)  # fmt: skip


def _infer_scan(spec: Spec, dim: int) -> tuple[Spec, ...]:
    return (spec if spec.dtype.category > 1 else spec.with_dtype(dtypes.int64),)


def _scan_eval(name: str) -> Any:
    def eval(xp: Any, x: Any, dim: int) -> Any:
        if not x.ndim:
            return x.astype(np.int64 if x.dtype.kind in "biu" else x.dtype)
        dtype = np.int64 if x.dtype.kind in "biu" else None
        return getattr(xp, name)(x, axis=dim, dtype=dtype)

    return eval


def _scans(reference: Callable[..., Any], low: float = -2, high: float = 2) -> Samples:
    places = ((3, 4), 1), ((3, 4), 0), ((5,), 0), ((), 0), ((0, 3), 1)
    return rows(
        lambda x, dim: reference(x, dim) if x.ndim else reference(x[None], 0)[0],
        *(((floats(*x, low=low, high=high),), {"dim": dim}) for x, dim in places),
    )


def _from_the_end(F: Any, g: Any, dim: int) -> Any:
    """Running totals counted from the last element back."""
    if not g.shape:
        return g
    return F.flip(F.cumsum(F.flip(g, dims=(dim,)), dim=dim), dims=(dim,))


cumsum = declare(
    "cumsum",
    "scan",
    infer=_infer_scan,
    eval=_scan_eval("cumsum"),
    vjps=_from_the_end,
    host_only=True,
    samples=both(
        _scans(np.cumsum), rows(lambda x, dim: np.cumsum(x, dim), ((ints(3, 4),), {"dim": 0}))
    ),
)


def _cumprod_vjp(F: Any, g: Any, x: Any, dim: int) -> Any:
    return cumprod_gradient(F, g, x, dim) if x.shape else g


cumprod = declare(
    "cumprod",
    "scan",
    infer=_infer_scan,
    eval=_scan_eval("cumprod"),
    saves=("in0",),
    vjps=_cumprod_vjp,
    host_only=True,
    samples=both(_scans(np.cumprod), rows(
        lambda x, dim: np.cumprod(x, dim),
        ((np.array([[2.0, 0.0, 3.0, 1.5], [0.0, 1.0, 0.0, 2.0]]),), {"dim": 1}),
    )),
)  # fmt: skip


def _eval_cumulative(name: str) -> Any:
    """Running maximum or minimum, with the last position that attains it."""

    def eval(xp: Any, x: Any, dim: int) -> tuple[Any, Any]:
        if not x.ndim:
            return x.copy(), xp.zeros((), np.int64)
        values = getattr(xp, name).accumulate(x, axis=dim)
        shape = (-1,) + (1,) * (x.ndim - dim - 1)
        attained = xp.logical_or(x == values, xp.isnan(x)) if x.dtype.kind == "f" else x == values
        positions = xp.where(attained, xp.arange(x.shape[dim]).reshape(shape), 0)
        return values, xp.maximum.accumulate(positions, axis=dim)

    return eval


def _cumulative(name: str, ufunc: str) -> Any:
    def reference(x: Any, dim: int) -> Any:
        values, index = np.array(x), np.zeros(x.shape, int)
        for place in np.ndindex(x.shape):
            seen = np.moveaxis(x, dim, 0)[(slice(place[dim] + 1), *np.delete(place, dim))]
            values[place] = getattr(np, ufunc).reduce(seen)
            index[place] = np.flatnonzero(seen == values[place])[-1]
        return values, index

    return declare(
        name,
        "scan",
        infer=lambda spec, dim: (spec, spec.with_dtype(dtypes.int64)),
        eval=_eval_cumulative(ufunc),
        saves=("out1", "shape0"),
        vjps=_selected_vjp,
        n_outputs=2,
        host_only=True,
        samples=rows(reference, *(
            ((x,), {"dim": dim}) for x, dim in (((3, 4), 1), ((3, 4), 0), (ints(9, high=3), 0))
        )),
    )  # fmt: skip


cummax = _cumulative("cummax", "maximum")
cummin = _cumulative("cummin", "minimum")


def _logcumsumexp_vjp(F: Any, g: Any, x: Any, out: Any, dim: int) -> Any:
    scaled = _from_the_end(F, F.mul(g, F.exp(F.neg(out))), dim)
    return F.mul(F.exp(x), scaled)


def _eval_logcumsumexp(xp: Any, x: Any, dim: int) -> Any:
    if x.dtype.kind != "f":
        raise TypeError("logcumsumexp")
    return x.copy() if not x.ndim else xp.logaddexp.accumulate(x, axis=dim)


logcumsumexp = declare(
    "logcumsumexp",
    "scan",
    infer=lambda spec, dim: (spec,),
    eval=_eval_logcumsumexp,
    saves=("in0", "out0"),
    vjps=_logcumsumexp_vjp,
    host_only=True,
    samples=_scans(lambda x, dim: np.log(np.cumsum(np.exp(x), dim))),
)
