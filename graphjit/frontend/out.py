"""Writing results where the caller wants them: `out=` arguments and in-place methods."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import DType
from ..errors import locate
from ..ops.core import type_name
from .dispatch import assign, fit
from .mode import MODE
from .tape import TENSORS as F

if TYPE_CHECKING:
    from .tensor import Tensor


def check_castable(source: DType, target: DType) -> None:
    """RuntimeError unless a result of dtype `source` may be stored as `target`.

    The category (bool, integer, floating, complex) may grow but not shrink.
    """
    if source.category > target.category:
        raise locate(RuntimeError(
            f"result type {type_name(source)} can't be cast to the desired output type "
            f"{type_name(target)}"
        ))


def write_out(out: Tensor, result: Tensor, function: str) -> Tensor:
    """Store `result` in `out`, which takes its shape; returns `out`."""
    if MODE.grad and (out._requires_grad or result._requires_grad):
        whose = "one of the arguments requires grad"
        raise locate(RuntimeError(
            f"{function}(): functions with out=... arguments don't support automatic "
            f"differentiation, but {whose}."
        ))
    check_castable(result.dtype, out.dtype)
    if out._array.shape != result._array.shape:
        _resize(out, result._array.shape)
    return assign(out, result)


def _resize(out: Tensor, shape: tuple[int, ...]) -> None:
    if out._array.size:
        warnings.warn(
            "An output with one or more elements was resized since it had shape "
            f"{list(out._array.shape)}, which does not match the required output shape "
            f"{list(shape)}. This behavior is deprecated, and in a future PyTorch release outputs "
            "will not be resized unless they have zero elements. You can explicitly reuse an out "
            "tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
            stacklevel=4,
        )
    if MODE.recorder is not None:
        MODE.recorder.refuse("out= changed the shape of a tensor")
    out._array = np.empty(shape, out._array.dtype)


def in_place(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """The method that stores `function(self, ...)` in `self`."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        result = function(self, *args, **kwargs)
        return write_back(self, result)

    method.__name__ = method.__qualname__ = f"{function.__name__}_"
    method.__doc__ = f"`{function.__name__}`, in place."
    return method


def overwrite(target: Tensor, value: Any) -> Tensor:
    """`target[...] = value`; what `target` was before gets a gradient of zeros."""
    if MODE.grad and target._tracked() and not target._is_leaf():
        value = _replaced(target, fit(target, value))
    return assign(target, value)


def _replaced(target: Tensor, value: Tensor) -> Any:
    shape = target._array.shape
    if not shape:
        rows = _replaced(F.reshape(target, shape=(1,)), F.reshape(value, shape=(1,)))
        return F.reshape(rows, shape=())
    return F.slice_scatter(target, value, dim=0, start=0, stop=shape[0], step=1)


def _keep_operand(node: Any, target: Tensor) -> None:
    """Let a tape node hold a copy of its first operand, which is about to be overwritten."""
    for place, (kind, position) in enumerate(node.kinds):
        if kind == "in" and position == 0 and node.saved[place] is target:
            edge, kept = target._edge(), target._of(target._array.copy())
            kept._requires_grad = target._requires_grad
            if type(edge) is tuple:
                kept._grad_fn, kept._output_number = edge
            if MODE.recorder is not None:
                MODE.recorder.copied(target, kept)
            node.saved = (*node.saved[:place], kept, *node.saved[place + 1 :])
            node.arrays = None
            rows = list(node.versions)
            first = next(i for i, row in enumerate(rows) if row[0] is target._array)
            rows[first] = (kept._array, kept._version, kept._version[0])
            node.versions = tuple(rows)


def write_back(target: Tensor, result: Tensor) -> Tensor:
    """Store the result of an in-place op in its first operand."""
    if result._grad_fn is not None and result is not target:
        _keep_operand(result._grad_fn, target)
    source, kept = result._array, target._array
    if source.shape != kept.shape:
        raise locate(RuntimeError(
            f"output with shape {list(kept.shape)} doesn't match the broadcast shape "
            f"{list(source.shape)}"
        ))
    if source.dtype is not kept.dtype:
        check_castable(result.dtype, target.dtype)
    return assign(target, result)
