"""Joining and splitting tensors."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..errors import locate
from .arguments import one_dim
from .base import is_tensor
from .functions_shape import ints, located_dim, meshgrid
from .out import write_out
from .tape import TENSORS as F

if TYPE_CHECKING:
    from .tensor import Tensor


def _operands(function: str, tensors: Any) -> tuple[Tensor, ...]:
    if is_tensor(tensors):
        raise locate(TypeError(
            f"{function}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor"
        ))
    operands = tuple(tensors)
    for i, x in enumerate(operands):
        if not is_tensor(x):
            raise locate(TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}"
            ))
    return operands


def cat(tensors: Any, dim: int = 0, *, out: Any = None, axis: int | None = None) -> Tensor:
    """Tensors joined along a dimension they have; empty 1-d tensors are left out."""
    operands = _operands("cat", tensors)
    if not operands:
        raise locate(ValueError("torch.cat(): expected a non-empty list of Tensors"))
    dim = dim if axis is None else axis
    if builtins.any(x._array.ndim > 1 for x in operands):
        kept = tuple(x for x in operands if x._array.shape != (0,))
        operands = kept or operands
    place = one_dim(operands[0], dim)
    result = F.concat(*operands, dim=place)
    return result if out is None else write_out(out, result, "cat")


concat = concatenate = cat


def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Tensor:
    """Tensors of one shape joined along a new dimension."""
    operands = _operands("stack", tensors)
    if not operands:
        raise locate(RuntimeError("stack expects a non-empty TensorList"))
    place = located_dim(dim, operands[0]._array.ndim + 1)
    result = F.stack(*operands, dim=place)
    return result if out is None else write_out(out, result, "stack")


def _with_ndim(x: Tensor, ndim: int) -> Tensor:
    shape = x._array.shape
    if len(shape) >= ndim:
        return x
    if ndim == 3:
        target = {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}[len(shape)]
    else:
        target = (1,) * (ndim - len(shape)) + shape
    return F.view(x, shape=target)  # type: ignore[no-any-return]


def _at_least(name: str, ndim: int) -> Any:
    def function(*tensors: Any) -> Any:
        if len(tensors) == 1 and is_tensor(tensors[0]):
            return _with_ndim(tensors[0], ndim)
        operands = _operands(name, tensors[0] if len(tensors) == 1 else tensors)
        return tuple(_with_ndim(x, ndim) for x in operands)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Tensors with dimensions of extent 1 added until they have {ndim}."
    return function


atleast_1d = _at_least("atleast_1d", 1)
atleast_2d = _at_least("atleast_2d", 2)
atleast_3d = _at_least("atleast_3d", 3)


def hstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the second dimension (the first of vectors)."""
    operands = [_with_ndim(x, 1) for x in _operands("hstack", tensors)]
    return cat(operands, 0 if operands[0]._array.ndim == 1 else 1, out=out)


def vstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the first dimension; vectors are rows."""
    return cat([_with_ndim(x, 2) for x in _operands("vstack", tensors)], 0, out=out)


row_stack = vstack


def dstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the third dimension."""
    return cat([_with_ndim(x, 3) for x in _operands("dstack", tensors)], 2, out=out)


def column_stack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the second dimension; vectors are columns."""
    operands = _operands("column_stack", tensors)
    columns = [F.reshape(x, shape=(-1, 1)) if x._array.ndim < 2 else x for x in operands]
    return cat(columns, 1, out=out)


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of `split_size` slices each (the last may be smaller), or of the sizes listed."""
    place = one_dim(tensor, dim)
    extent = tensor._array.shape[place]
    if isinstance(split_size_or_sections, (tuple, list)):
        return F.split(tensor, sizes=ints((split_size_or_sections,)), dim=place)  # type: ignore[no-any-return]
    size = operator.index(split_size_or_sections)
    if size < 0:
        raise locate(RuntimeError(
            f"split expects split_size be non-negative, but got split_size={size}"
        ))
    if size == 0 and extent:
        raise locate(RuntimeError(
            "split_size can only be 0 if dimension size is 0, but got dimension size of "
            f"{extent}"
        ))
    count = max(-(-extent // size), 1) if size else 1
    sizes = tuple(min(size, extent - i * size) for i in range(count))
    return F.split(tensor, sizes=sizes, dim=place)  # type: ignore[no-any-return]


def split_with_sizes(self: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """Views of the sizes listed."""
    return split(self, list(split_sizes), dim)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size (the last may be smaller)."""
    if chunks <= 0:
        raise locate(RuntimeError(
            f"chunk expects `chunks` to be greater than 0, got: {chunks}"
        ))
    extent = input._array.shape[one_dim(input, dim)]
    if not extent:
        return split(input, [0] * chunks, dim)
    return split(input, -(-extent // chunks), dim)


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views split at the places listed, or into a number of nearly equal parts."""
    place = one_dim(input, dim)
    extent = input._array.shape[place]
    if is_tensor(indices_or_sections):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        whole, extra = divmod(extent, indices_or_sections)
        sizes = [whole + 1] * extra + [whole] * (indices_or_sections - extra)
        return split(input, sizes, dim)
    cuts = [0, *(slice(i, None).indices(extent)[0] for i in indices_or_sections), extent]
    pairs = pairwise(cuts)
    return tuple(F.slice_(input, dim=place, start=a, stop=max(a, b), step=1) for a, b in pairs)


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along the second dimension (the first of vectors)."""
    return tensor_split(input, indices_or_sections, 0 if input._array.ndim == 1 else 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along the first dimension."""
    return tensor_split(input, indices_or_sections, 0)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along the third dimension."""
    return tensor_split(input, indices_or_sections, 2)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, as rows."""
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors, indexing="ij")
    return stack([F.reshape(g, shape=(-1,)) for g in grids], 1)


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with matrices along its diagonal."""
    blocks = [_with_ndim(x, 2) for x in tensors]
    columns = builtins.sum(b._array.shape[1] for b in blocks)
    rows, left = [], 0
    for block in blocks:
        width = block._array.shape[1]
        rows.append(F.pad(block, pads=((0, 0), (left, columns - left - width)), value=0))
        left += width
    return cat(rows, 0)
