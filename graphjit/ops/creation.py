"""Ops that make a tensor from attributes: constants, filled tensors, positions, triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..ir.graph import Shape, Spec
from . import scalar as s
from .core import declare, device_of, dtype_of, is_plain_zero, pointwise
from .sampling import bools, calls, ints, rows, unary

constant = pointwise(
    "constant",
    lambda xp, value, dtype, device="cpu": xp.asarray(value, dtype.numpy),
    lambda value, dtype, device="cpu": s.const(value, dtype),
    promotion="none",
    infer=lambda value, dtype, device="cpu": (Spec((), dtype, device),),
    samples=rows(
        lambda value, dtype: np.array(value),
        *(((), {"value": v, "dtype": d})
          for v, d in ((1.5, dtypes.float32), (-3, dtypes.int64), (True, dtypes.bool_))),
    ),
)  # fmt: skip


def _eval_full(xp: Any, shape: Shape, value: Any, dtype: DType, device: str = "cpu") -> Any:
    if is_plain_zero(value):
        return xp.zeros(shape, dtype.numpy)
    return xp.full(shape, value, dtype.numpy)


full = pointwise(
    "full",
    _eval_full,
    lambda shape, value, dtype, device="cpu": s.const(value, dtype),
    promotion="none",
    infer=lambda shape, value, dtype, device="cpu": (Spec(tuple(shape), dtype, device),),
    samples=rows(
        lambda shape, value, dtype: np.full(shape, value, dtype.numpy),
        *(((), {"shape": s, "value": v, "dtype": d})
          for s, v, d in (((2, 3), 1.5, dtypes.float32), ((), 0, dtypes.int64),
                          ((0, 2), True, dtypes.bool_), ((3,), 0.0, dtypes.float64))),
    ),
)  # fmt: skip


def _eval_iota(xp: Any, shape: Shape, dim: int, dtype: DType, device: str = "cpu") -> Any:
    positions = xp.arange(shape[dim], dtype=dtype.numpy)
    column = positions.reshape((-1,) + (1,) * (len(shape) - dim - 1))
    return column if column.shape == shape else xp.broadcast_to(column, shape).copy()


iota = pointwise(
    "iota",
    _eval_iota,
    lambda shape, dim, dtype, device="cpu": s.cast(s.index(dim), dtype),
    promotion="none",
    infer=lambda shape, dim, dtype, device="cpu": (Spec(tuple(shape), dtype, device),),
    samples=rows(
        lambda shape, dim, dtype: np.indices(shape)[dim],
        *(((), {"shape": s, "dim": dim, "dtype": d})
          for s, dim, d in (((4,), 0, dtypes.int64), ((2, 3), 0, dtypes.float32),
                            ((2, 3), 1, dtypes.int32), ((0, 3), 1, dtypes.int64))),
    ),
)  # fmt: skip


def _eval_new_full(xp: Any, x: Any, shape: Shape, value: Any) -> Any:
    return xp.zeros(shape, x.dtype) if value == 0 else xp.full(shape, value, x.dtype)


new_full = declare(
    "new_full",
    "composite",
    infer=lambda spec, shape, value: (spec.with_shape(shape),),
    eval=_eval_new_full,
    decompose=lambda F, x, shape, value: F.full(
        shape=shape, value=value, dtype=dtype_of(x), device=device_of(x)
    ),
    samples=rows(
        lambda x, shape, value: np.full(shape, value),
        *calls(((2,),), (ints(3),), shape=(2, 3), value=2),
        *calls(((),), shape=(0,), value=0),
        grad=False,
    ),
)


def _eval_zeros_like(xp: Any, x: Any) -> Any:
    return xp.zeros(x.shape, x.dtype)


zeros_like = declare(
    "zeros_like",
    "composite",
    infer=lambda spec: (spec,),
    eval=_eval_zeros_like,
    decompose=lambda F, x: F.new_full(x, shape=x.shape, value=0),
    samples=unary("numpy.zeros_like", kinds="fib"),
)


def _eval_arange_like(xp: Any, x: Any, shape: Shape, dim: int) -> Any:
    positions = xp.arange(shape[dim]).reshape((-1,) + (1,) * (len(shape) - dim - 1))
    return positions if positions.shape == shape else xp.broadcast_to(positions, shape)


#: Positions along `dim` (int64), on the device of `x`, whose elements are not looked at.
arange_like = declare(
    "arange_like",
    "composite",
    infer=lambda spec, shape, dim: (Spec(tuple(shape), dtypes.int64, spec.device),),
    eval=_eval_arange_like,
    decompose=lambda F, x, shape, dim: F.iota(
        shape=shape, dim=dim, dtype=dtypes.int64, device=device_of(x)
    ),
    samples=rows(
        lambda x, shape, dim: np.indices(shape)[dim],
        *calls(((2,),), (ints(3),), shape=(2, 3), dim=0), *calls(((),), shape=(4,), dim=0),
    ),
)


def _infer_triangle(name: str, spec: Spec) -> tuple[Spec, ...]:
    if len(spec.shape) < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    return (spec,)


def _triangle(name: str, keep: str) -> Any:
    def eval(xp: Any, x: Any, diagonal: int) -> Any:
        if x.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return getattr(xp, name)(x, diagonal)

    def decompose(F: Any, x: Any, diagonal: int) -> Any:
        rows = F.arange_like(x, shape=x.shape[-2:], dim=0)
        columns = F.arange_like(x, shape=x.shape[-2:], dim=1)
        kept = getattr(F, keep)(F.sub(columns, rows), diagonal)
        return F.where(kept, x, False if dtype_of(x) is dtypes.bool_ else 0)

    return declare(
        name,
        "composite",
        infer=lambda spec, diagonal: _infer_triangle(name, spec),
        eval=eval,
        decompose=decompose,
        vjps=lambda F, g, diagonal: getattr(F, name)(g, diagonal=diagonal),
        samples=rows(
            lambda x, diagonal: getattr(np, name)(x, diagonal),
            *(((x,), {"diagonal": k}) for x in ((3, 4), (2, 4, 3), (0, 2)) for k in (-1, 0, 2)),
            ((bools(3, 4),), {"diagonal": 1}),
        ),
    )


tril = _triangle("tril", "le")
triu = _triangle("triu", "ge")
