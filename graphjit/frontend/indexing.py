"""`tensor[key]` and `tensor[key] = value`.

Numbers, slices, None and `...` become views, one op each; then index tensors and masks select
elements (a copy). A key is applied from left to right, as PyTorch does it.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes
from ..errors import locate
from .base import is_tensor
from .data import as_number
from .dispatch import assign
from .observe import observe
from .out import overwrite
from .printing import type_name
from .tape import TENSORS as F

if TYPE_CHECKING:
    from .tensor import Tensor

_BASIC = (int, slice, type(None), type(Ellipsis))


def get_item(self: Tensor, key: Any) -> Tensor:
    """The elements that `key` names: a view, or a copy if it holds tensors or lists."""
    kind = type(key)
    if kind is int:
        return _select(self, 0, 0, key)
    if kind is slice:
        return _slice(self, 0, key, True)
    target = _split_key(self, key)
    if target.indices:
        return _gather(target.view, target.indices)
    return target.view if target.view is not self else _alias(self)


def set_item(self: Tensor, key: Any, value: Any) -> None:
    """Write `value`, broadcast and converted, to the elements that `key` names."""
    source = _value(self, value)
    target = _split_key(self, key, may_mask=not source._array.shape)
    view = target.view
    if target.mask is not None:
        assign(view, F.where(target.mask, F.cast(source, dtype=view.dtype), view))
    elif target.indices:
        assign(view, _scatter(view, target.indices, source))
    else:
        overwrite(view, _broadcast(source, view._array.shape))


@dataclass(slots=True)
class Target:
    """What a key comes to: a view, and the index tensors to apply to its dimensions.

    Or a mask, which broadcasts to the view.
    """

    view: Tensor
    indices: dict[int, Tensor]
    mask: Tensor | None = None


def _split_key(x: Tensor, key: Any, may_mask: bool = False) -> Target:
    """`key` applied to `x`; if `may_mask`, the only index tensor, if it is a mask, stays one."""
    items = _items(key)
    may_mask = may_mask and sum(is_tensor(x) or isinstance(x, bool) for x in items) == 1
    used = sum(_consumed(item) for item in items)
    ndim = x._array.ndim
    if used > ndim:
        if ndim == 0 and isinstance(key, int):
            _raise_scalar()
        raise locate(IndexError(f"too many indices for tensor of dimension {ndim}"))
    view, dim, original = x, 0, 0
    indices: dict[int, Tensor] = {}
    mask: tuple[Tensor, int] | None = None
    for item in items:
        if item is None:
            view, dim, original = F.unsqueeze(view, dim=dim), dim + 1, original + 1
        elif item is Ellipsis:
            dim, original = dim + ndim - used, original + ndim - used
        elif isinstance(item, slice):
            view, dim, original = _slice(view, dim, item, len(items) == 1), dim + 1, original + 1
        elif isinstance(item, bool):
            view = F.unsqueeze(view, dim=dim)
            indices[dim] = _truth_index(item)
            dim += 1
        elif may_mask and is_tensor(item) and item._array.dtype.char == "?" and item._array.ndim:
            _check_mask(view, item, dim)
            mask = item, dim
            dim, original = dim + item._array.ndim, original + item._array.ndim
        elif is_tensor(item):
            view, dim, original = _with_tensor(view, item, dim, original, indices)
        else:
            view, original = _select(view, dim, original, item), original + 1
    return Target(view, indices, None if mask is None else _aligned(*mask, view))


def _aligned(mask: Tensor, dim: int, view: Tensor) -> Tensor:
    """A mask of the dimensions of `view` from `dim` on, in a shape that broadcasts to it."""
    after = view._array.ndim - dim - mask._array.ndim
    return F.reshape(mask, shape=mask._array.shape + (1,) * after)  # type: ignore[no-any-return]


def _items(key: Any) -> list[Any]:
    """The parts of a key, with sequences and arrays made tensors."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if isinstance(key, list) and any(isinstance(part, (slice, tuple)) or part is None or
                                     part is Ellipsis for part in key):
        parts = list(key)
    return [_item(part) for part in parts]


def _item(part: Any) -> Any:
    if part is None or part is Ellipsis or isinstance(part, (bool, int, slice)):
        return part
    if is_tensor(part):
        kind = part._array.dtype.kind
        if kind not in "iub":
            raise locate(IndexError(
                "tensors used as indices must be long, int, byte or bool tensors"
            ))
        if part._array.dtype.char == "B":
            return F.ne(part, 0)
        return part
    if isinstance(part, (list, tuple, range, np.ndarray)):
        from .creation import tensor

        made = tensor(part if isinstance(part, np.ndarray) else list(part))
        if not made._array.size and made._array.dtype.kind == "f":
            made = made.to(dtypes.int64)
        return _item(made)
    if isinstance(part, str):
        raise locate(TypeError(f"new(): invalid data type '{type(part).__name__}'"))
    try:
        return operator.index(part)
    except TypeError:
        raise locate(IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            f"valid indices (got {type(part).__name__})"
        )) from None


def _consumed(item: Any) -> int:
    """How many dimensions of the tensor a part of the key uses up."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if is_tensor(item) and item._array.dtype.kind == "b":
        return item._array.ndim
    return 1


def _raise_scalar() -> None:
    raise locate(IndexError(
        "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in "
        "C++ to convert a 0-dim tensor to a number"
    ))


def _select(x: Tensor, dim: int, original: int, index: int) -> Tensor:
    shape = x._array.shape
    if not shape:
        _raise_scalar()
    extent = shape[dim]
    if not -extent <= index < extent:
        raise locate(IndexError(
            f"index {index} is out of bounds for dimension {original} with size {extent}"
        ))
    return F.select(x, dim=dim, index=index)  # type: ignore[no-any-return]


def _slice(x: Tensor, dim: int, part: slice, alone: bool) -> Tensor:
    if not x._array.ndim:
        raise locate(IndexError("slice() cannot be applied to a 0-dim tensor."))
    extent = x._array.shape[dim]
    if part.start is None and part.stop is None and part.step is None:
        if not alone:
            return x
        return F.slice_(x, dim=dim, start=0, stop=extent, step=1)  # type: ignore[no-any-return]
    try:
        start, stop, step = part.indices(extent)
    except ValueError as error:
        raise locate(error) from None
    except TypeError:
        raise locate(TypeError(
            "slice indices must be integers or None or have an __index__ method"
        )) from None
    if step <= 0:
        raise locate(ValueError("step must be greater than zero"))
    return F.slice_(x, dim=dim, start=start, stop=max(start, stop), step=step)  # type: ignore[no-any-return]


def _alias(x: Tensor) -> Tensor:
    return F.reshape(x, shape=x._array.shape)  # type: ignore[no-any-return]


def _truth_index(value: bool) -> Tensor:
    from .creation import filled

    return filled((int(value),), 0, dtypes.int64)


def _with_tensor(
    view: Tensor, item: Tensor, dim: int, original: int, indices: dict[int, Tensor]
) -> tuple[Tensor, int, int]:
    array = item._array
    if array.dtype.kind == "b":
        return _with_mask(view, item, dim, original, indices)
    if array.ndim == 0:
        observe("an index that is a tensor of no dimensions", item)
        return _select(view, dim, original, int(array)), dim, original + 1
    indices[dim] = item
    return view, dim + 1, original + 1


def _with_mask(
    view: Tensor, mask: Tensor, dim: int, original: int, indices: dict[int, Tensor]
) -> tuple[Tensor, int, int]:
    """A mask becomes the positions where it is true, one index tensor for each dimension."""
    observe("indexing with a mask", mask)
    shape = mask._array.shape
    if not shape:
        view = F.unsqueeze(view, dim=dim)
        indices[dim] = _truth_index(bool(mask._array))
        return view, dim + 1, original
    _check_mask(view, mask, dim)
    from .creation import fresh

    for i, positions in enumerate(np.nonzero(mask._array)):
        indices[dim + i] = fresh(positions)
    return view, dim + len(shape), original + len(shape)


def _check_mask(view: Tensor, mask: Tensor, dim: int) -> None:
    shape = mask._array.shape
    for i, extent in enumerate(shape):
        if view._array.shape[dim + i] != extent:
            raise locate(IndexError(
                f"The shape of the mask {list(shape)} at index {i} does not match the shape of the "
                f"indexed tensor {list(view._array.shape)} at index {dim + i}"
            ))


def _check_indices(x: Tensor, indices: dict[int, Tensor]) -> None:
    """IndexError where index tensors do not broadcast or point outside."""
    shapes = [index._array.shape for index in indices.values()]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        listed = ", ".join(str(list(shape)) for shape in shapes)
        raise locate(IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            f"{listed}"
        )) from None


def _gather(x: Tensor, indices: dict[int, Tensor]) -> Tensor:
    _check_indices(x, indices)
    return F.index(x, *indices.values(), dims=tuple(indices))  # type: ignore[no-any-return]


def _value(self: Tensor, value: Any) -> Tensor:
    """What is assigned, as a tensor of the target's dtype."""
    if is_tensor(value):
        return value
    if isinstance(value, (bool, int, float, complex, np.generic)):
        from .creation import filled

        return filled((), as_number(value, self.dtype), self.dtype)
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    raise locate(TypeError(f"can't assign a {name} to a {type_name(self.dtype)}"))


def _broadcast(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`value` without leading extents of 1, expanded to `shape`."""
    given = value._array.shape
    if given == shape:
        return value
    lead = 0
    while len(given) - lead > len(shape) and given[lead] == 1:
        lead += 1
    if lead:
        value = F.reshape(value, shape=given[lead:])
    return F.expand(value, shape=shape)  # type: ignore[no-any-return]


def _scatter(x: Tensor, indices: dict[int, Tensor], value: Tensor) -> Tensor:
    _check_indices(x, indices)
    if value.dtype is not x.dtype:
        if value._array.ndim:
            raise locate(RuntimeError(
                "Index put requires the source and destination dtypes match, got "
                f"{_kind(x)} for the destination and {_kind(value)} for the source."
            ))
        value = F.cast(value, dtype=x.dtype)
    return F.index_put(x, value, *indices.values(), dims=tuple(indices), accumulate=False)  # type: ignore[no-any-return]


def _kind(x: Tensor) -> str:
    return type_name(x.dtype).split(".")[1].removesuffix("Tensor")
