"""Shapes: views, joining, splitting, repeating, reversing.

Each is also the `Tensor` method of its name, where PyTorch has one.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import locate
from ..ops.core import broadcast_shapes as _broadcast
from ..ops.core import normalize_dim
from .arguments import as_shape, check_tensor, one_dim
from .base import alone, is_tensor
from .out import write_out
from .size import Size
from .tape import TENSORS as F

if TYPE_CHECKING:
    from .tensor import Tensor


def ints(values: tuple[Any, ...]) -> tuple[int, ...]:
    """Numbers given one by one or as one sequence."""
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        values = tuple(values[0])
    return tuple(v if type(v) is int else operator.index(v) for v in values)


def located_dim(dim: int, ndim: int) -> int:
    """`dim` from the front; IndexError, with the user's line, when out of range."""
    try:
        return normalize_dim(operator.index(dim), ndim)
    except IndexError as error:
        raise locate(error) from None


def view(self: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """The same memory under another shape; RuntimeError if the strides do not allow it."""
    from ..dtypes import DType

    if dtype is None and len(shape) == 1 and isinstance(shape[0], DType):
        dtype = shape[0]
    if dtype is not None:
        from .convert import reinterpreted

        return reinterpreted(self, dtype)
    if not shape:
        raise locate(TypeError(
            "view() received an invalid combination of arguments - got (), but expected one of:\n"
            " * (dtype dtype)\n * (tuple of ints size)\n"
        ))
    return F.view(self, shape=ints(shape))  # type: ignore[no-any-return]


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """`input` under another shape: a view if the strides allow it, else a copy."""
    return F.reshape(input, shape=ints(shape))  # type: ignore[no-any-return]


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """`view` of the shape of `other`."""
    return F.view(self, shape=other._array.shape)  # type: ignore[no-any-return]


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of `other`."""
    return F.reshape(self, shape=other._array.shape)  # type: ignore[no-any-return]


def permute(input: Tensor, *dims: Any) -> Tensor:
    """The dimensions in another order."""
    order = ints(dims)
    ndim = input._array.ndim
    if len(order) == ndim:
        order = tuple(located_dim(d, ndim) for d in order)
    return F.permute(input, dims=order)  # type: ignore[no-any-return]


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    first, second = one_dim(input, dim0), one_dim(input, dim1)
    if not input._array.ndim:
        return F.view(input, shape=())  # type: ignore[no-any-return]
    return F.transpose(input, dim0=first, dim1=second)  # type: ignore[no-any-return]


swapaxes = swapdims = transpose


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector stays as it is."""
    return F.t(input)  # type: ignore[no-any-return]


def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged (and conjugated)."""
    return transpose(input, -2, -1)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to new places; the others keep their order."""
    ndim = input._array.ndim
    old = [located_dim(d, ndim) for d in ints((source,))]
    new = [located_dim(d, ndim) for d in ints((destination,))]
    rest = iter(d for d in range(ndim) if d not in old)
    places = dict(zip(new, old, strict=True))
    order = tuple(places[d] if d in places else next(rest) for d in range(ndim))
    return F.permute(input, dims=order)  # type: ignore[no-any-return]


moveaxis = movedim


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A dimension of extent 1 put in at `dim`."""
    return F.unsqueeze(input, dim=located_dim(dim, input._array.ndim + 1))  # type: ignore[no-any-return]


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Dimensions of extent 1 taken out: all, or those named."""
    check_tensor("squeeze", input)
    if dim is None:
        dims = tuple(range(input._array.ndim))
    else:
        dims = tuple(one_dim(input, d) for d in ints((dim,)))
    return F.squeeze(input, dims=dims)  # type: ignore[no-any-return]


def expand(self: Tensor, *size: Any, implicit: bool = False) -> Tensor:
    """Extents of 1 repeated, without a copy; -1 keeps an extent."""
    shape = ints(size)
    lead = len(shape) - self._array.ndim
    if -1 in shape[: max(lead, 0)]:
        raise locate(RuntimeError(
            "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing "
            f"dimension {shape.index(-1)}"
        ))
    if lead >= 0 and -1 in shape[lead:]:
        own = self._array.shape
        kept = tuple(own[i] if n == -1 else n for i, n in enumerate(shape[lead:]))
        shape = shape[:lead] + kept
    return F.expand(self, shape=shape)  # type: ignore[no-any-return]


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of `other`."""
    return F.expand(self, shape=other._array.shape)  # type: ignore[no-any-return]


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """`expand`, as a function."""
    return expand(input, size)


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that shapes broadcast to."""
    try:
        return Size(_broadcast(*(ints((s,)) for s in shapes)))
    except RuntimeError as error:
        raise locate(error) from None


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors expanded to one shape."""
    operands = tensors[0] if len(tensors) == 1 and not is_tensor(tensors[0]) else tensors
    shape = broadcast_shapes(*(x._array.shape for x in operands))
    return tuple(F.expand(x, shape=tuple(shape)) for x in operands)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions `start_dim` to `end_dim` made one."""
    check_tensor("flatten", input)
    start, end = one_dim(input, start_dim), one_dim(input, end_dim)
    shape = input._array.shape
    if start > end:
        raise locate(RuntimeError(
            "flatten() has invalid args: start_dim cannot come after end_dim"
        ))
    if not shape:
        return F.reshape(input, shape=(1,))  # type: ignore[no-any-return]
    if start == end:
        return input
    flat = math.prod(shape[start : end + 1])
    return F.reshape(input, shape=(*shape[:start], flat, *shape[end + 1 :]))  # type: ignore[no-any-return]


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension: a view where they lie side by side, else a copy."""
    dense = input if input._array.flags.c_contiguous else F.clone(input)
    return F.reshape(dense, shape=(-1,))  # type: ignore[no-any-return]


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dimension made several."""
    place = one_dim(input, dim)
    shape = input._array.shape
    parts = list(ints((sizes,)))
    known = math.prod(n for n in parts if n != -1)
    if -1 in parts and known:
        parts[parts.index(-1)] = shape[place] // known
    if math.prod(parts) != shape[place]:
        raise locate(RuntimeError(
            f"unflatten: Provided sizes {list(ints((sizes,)))} don't multiply up to the size of "
            f"dim {place} ({shape[place]}) in the input tensor"
        ))
    return F.view(input, shape=(*shape[:place], *parts, *shape[place + 1 :]))  # type: ignore[no-any-return]


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The slice at `index` along `dim`, without that dimension."""
    if not input._array.ndim:
        raise locate(IndexError("select() cannot be applied to a 0-dim tensor."))
    place, at = one_dim(input, dim), operator.index(index)
    size = input._array.shape[place]
    if not -size <= at < size:
        raise locate(IndexError(
            f"select(): index {at} out of range for tensor of size {list(input._array.shape)} "
            f"at dimension {place}"
        ))
    return F.select(input, dim=place, index=at)  # type: ignore[no-any-return]


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` slices along `dim` from `start` on."""
    place, first = one_dim(input, dim), operator.index(start)
    size = input._array.shape[place]
    if first < 0:
        first += size
    if length < 0:
        raise locate(RuntimeError("narrow(): length must be non-negative."))
    if first + length > size:
        raise locate(RuntimeError(
            f"start ({start}) + length ({length}) exceeds dimension size ({size})."
        ))
    return F.slice_(input, dim=place, start=first, stop=first + length, step=1)  # type: ignore[no-any-return]


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of the diagonal, as a last dimension."""
    first, second = one_dim(input, dim1), one_dim(input, dim2)
    return F.diagonal(input, offset=offset, dim1=first, dim2=second)  # type: ignore[no-any-return]


def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` along a dimension, `step` apart, as a new last dimension."""
    return F.unfold(self, dim=one_dim(self, dimension), size=size, step=step)  # type: ignore[no-any-return]


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along `dim`, without that dimension."""
    if not input._array.ndim:
        raise locate(IndexError(f"Dimension specified as {dim} but tensor has no dimensions"))
    place = one_dim(input, dim)
    return tuple(F.select(input, dim=place, index=i) for i in range(input._array.shape[place]))


def repeat(self: Tensor, *sizes: Any) -> Tensor:
    """The tensor laid side by side with copies of itself along each dimension."""
    counts = ints(sizes)
    if len(counts) < self._array.ndim:
        raise locate(RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        ))
    return F.repeat(self, repeats=counts)  # type: ignore[no-any-return]


def tile(input: Tensor, *dims: Any) -> Tensor:
    """`repeat`, with missing dimensions taken as 1."""
    counts = ints(dims)
    counts = (1,) * (input._array.ndim - len(counts)) + counts
    return F.repeat(input, repeats=counts)  # type: ignore[no-any-return]


def flip(input: Tensor, *dims: Any) -> Tensor:
    """The order of elements reversed along dimensions."""
    places = tuple(one_dim(input, d) for d in ints(dims))
    for place in places:
        if places.count(place) > 1:
            raise locate(RuntimeError(f"dim {place} appears multiple times in the list of dims"))
    return F.flip(input, dims=places if input._array.ndim else ())  # type: ignore[no-any-return]


def fliplr(input: Tensor) -> Tensor:
    """The order of columns reversed."""
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The order of rows reversed."""
    return flip(input, 0)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved along dimensions; those pushed out come in at the other end."""
    moves = ints((shifts,))
    if dims is None or dims == ():
        flat = F.roll(F.reshape(input, shape=(-1,)), shifts=moves, dims=(0,))
        return alone(F.reshape(flat, shape=input._array.shape))  # type: ignore[no-any-return]
    places = tuple(one_dim(input, d) for d in ints((dims,)))
    if len(moves) != len(places):
        raise locate(RuntimeError(
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(places)}"
        ))
    return F.roll(input, shifts=moves, dims=places)  # type: ignore[no-any-return]


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The plane of two dimensions turned by `k` quarter turns."""
    first, second = (one_dim(input, d) for d in dims)
    turns = k % 4
    if turns == 0:
        return F.clone(input)  # type: ignore[no-any-return]
    if turns == 2:
        return flip(input, first, second)
    turned = flip(input, second if turns == 1 else first)
    return F.clone(F.transpose(turned, dim0=first, dim1=second))  # type: ignore[no-any-return]


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Coordinate grids: output i varies along dimension i ("ij"; "xy" swaps the first two)."""
    import warnings

    operands = tensors[0] if len(tensors) == 1 and not is_tensor(tensors[0]) else tensors
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing "
            "argument.", stacklevel=2,
        )
    if len({x.dtype for x in operands}) > 1:
        raise locate(RuntimeError("meshgrid expects all tensors to have the same dtype"))
    swap = indexing == "xy" and len(operands) >= 2
    order = [operands[1], operands[0], *operands[2:]] if swap else list(operands)
    shape = tuple(x._array.size for x in order)
    grids = []
    for i, x in enumerate(order):
        column = F.view(x, shape=(1,) * i + (-1,) + (1,) * (len(order) - i - 1))
        grids.append(F.expand(column, shape=shape))
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def tril(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
    """The lower triangle; zeros elsewhere."""
    result: Tensor = F.tril(input, diagonal=diagonal)
    return result if out is None else write_out(out, result, "tril")


def triu(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
    """The upper triangle; zeros elsewhere."""
    result: Tensor = F.triu(input, diagonal=diagonal)
    return result if out is None else write_out(out, result, "triu")


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices whose diagonals are the last dimension of `input`."""
    shape = input._array.shape
    n = shape[-1] + builtins.abs(offset)
    ndim = len(shape) + 1
    first, second = sorted((located_dim(dim1, ndim), located_dim(dim2, ndim)))
    extents = list(shape[:-1])
    extents.insert(first, n)
    extents.insert(second, n)
    zeros = F.new_full(input, shape=tuple(extents), value=0)
    return F.diagonal_scatter(zeros, input, offset=offset, dim1=first, dim2=second)  # type: ignore[no-any-return]


def diag(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    ndim = input._array.ndim
    if ndim not in (1, 2):
        raise locate(RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D"))
    if ndim == 1:
        result = diag_embed(input, diagonal)
    else:
        result = F.clone(F.diagonal(input, offset=diagonal, dim1=0, dim2=1))
    return result if out is None else write_out(out, result, "diag")


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements on its diagonal."""
    return diag_embed(ravel(input), offset)


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, through which gradients flow."""
    return F.clone(input)  # type: ignore[no-any-return]


def numel(input: Tensor) -> int:
    """The number of elements."""
    return check_tensor("numel", input)._array.size  # type: ignore[no-any-return]


def empty_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides, in elements."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))


def _check_storage(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int, itemsize: int, nbytes: int
) -> None:
    """RuntimeError where a view would reach beyond `nbytes` of storage."""
    if len(shape) != len(strides):
        raise locate(RuntimeError("mismatch in length of strides and shape"))
    if any(stride < 0 for stride in strides):
        raise locate(RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(strides)}"
        ))
    if offset < 0:
        raise locate(RuntimeError(f"Storage offset must be non-negative, got {offset}"))
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    needed = (last + 1) * itemsize
    if 0 not in shape and needed > nbytes:
        raise locate(RuntimeError(
            f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage offset {offset}, "
            f"and itemsize {itemsize} requiring a storage size of {needed} are out of bounds for "
            f"storage of size {nbytes}"
        ))


def as_strided(
    input: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """The storage of `input` under any shape and strides (in elements).

    Off the tape: RuntimeError if `input` requires grad, or if the storage is too small.
    """
    from .mode import MODE

    if input._requires_grad and MODE.grad:
        raise locate(RuntimeError("as_strided() of a tensor that requires grad is not supported"))
    shape, strides = as_shape("as_strided", (size,)), ints((stride,))
    array = input._array
    owner = array.base if isinstance(array.base, np.ndarray) else array
    offset = storage_offset
    if offset is None:
        offset = (array.ctypes.data - owner.ctypes.data) // array.itemsize
    _check_storage(shape, strides, offset, array.itemsize, owner.nbytes)
    start = np.lib.stride_tricks.as_strided(
        owner.view(array.dtype), (owner.nbytes // array.itemsize,), (array.itemsize,)
    )[offset:]
    view = np.lib.stride_tricks.as_strided(
        start, shape, tuple(s * array.itemsize for s in strides)
    )
    if MODE.recorder is not None:
        MODE.recorder.refuse("as_strided() looks at storage through its own strides")
    result = input._of(view)
    result._version = input._version
    return result
