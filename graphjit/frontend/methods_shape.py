"""Methods about shape and storage: views, joining, splitting, sizes and strides, indexing."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..errors import locate
from . import functions_join as join
from . import functions_shape as shapes
from .arguments import one_dim
from .indexing import get_item, set_item
from .mode import refuse_recording
from .tape import TENSORS as F


class ViewMethods:
    """Other shapes for the same elements."""

    view, reshape, view_as, reshape_as = (
        shapes.view, shapes.reshape, shapes.view_as, shapes.reshape_as
    )
    permute, t, adjoint = shapes.permute, shapes.t, shapes.adjoint
    transpose = swapaxes = swapdims = shapes.transpose
    movedim = moveaxis = shapes.movedim
    unsqueeze, squeeze, flatten, unflatten, ravel = (
        shapes.unsqueeze, shapes.squeeze, shapes.flatten, shapes.unflatten, shapes.ravel
    )
    expand, expand_as, broadcast_to = shapes.expand, shapes.expand_as, shapes.broadcast_to
    select, narrow, diagonal, unfold = (
        shapes.select, shapes.narrow, shapes.diagonal, shapes.unfold
    )
    as_strided = shapes.as_strided
    split, split_with_sizes, chunk, tensor_split = (
        join.split, join.split_with_sizes, join.chunk, join.tensor_split
    )
    hsplit, vsplit, dsplit, unbind = join.hsplit, join.vsplit, join.dsplit, shapes.unbind
    repeat, tile, flip, fliplr, flipud = (
        shapes.repeat, shapes.tile, shapes.flip, shapes.fliplr, shapes.flipud
    )
    roll, rot90 = shapes.roll, shapes.rot90
    tril, triu, diag, diag_embed, diagflat = (
        shapes.tril, shapes.triu, shapes.diag, shapes.diag_embed, shapes.diagflat
    )
    clone = shapes.clone
    __getitem__ = get_item
    __setitem__ = set_item

    @property
    def T(self: Any) -> Any:
        """The dimensions in reverse order."""
        ndim = self._array.ndim
        if ndim not in (0, 2):
            warnings.warn(
                "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is "
                "deprecated and it will throw an error in a future release. Consider `x.mT` to "
                "transpose batches of matrices or `x.permute(*torch.arange(x.ndim - 1, -1, -1))` "
                "to reverse the dimensions of a tensor.", stacklevel=2,
            )
        return F.permute(self, dims=tuple(range(ndim))[::-1])

    @property
    def mT(self: Any) -> Any:
        """The last two dimensions exchanged."""
        self._check_matrix("mT")
        return shapes.transpose(self, -2, -1)

    @property
    def H(self: Any) -> Any:
        """The transpose of a matrix, conjugated."""
        if self._array.ndim not in (0, 2):
            raise locate(RuntimeError(
                "tensor.H is only supported on matrices (2-D tensors). Got "
                f"{self._array.ndim}-D tensor. For batches of matrices, consider using tensor.mH"
            ))
        return shapes.transpose(self, 0, 1)

    @property
    def mH(self: Any) -> Any:
        """The last two dimensions exchanged, and conjugated."""
        self._check_matrix("mH")
        return shapes.transpose(self, -2, -1)

    def _check_matrix(self: Any, name: str) -> None:
        if self._array.ndim < 2:
            raise locate(RuntimeError(
                f"tensor.{name} is only supported on matrices or batches of matrices. Got "
                f"{self._array.ndim}-D tensor."
            ))

    def contiguous(self: Any, memory_format: Any = None) -> Any:
        """This tensor if its elements lie in row-major order, else a copy in which they do."""
        return self if self._array.flags.c_contiguous else F.clone(self)


class SizeMethods:
    """Sizes, strides and storage."""

    def size(self: Any, dim: int | None = None) -> Any:
        """The shape, or one extent of it."""
        return self.shape if dim is None else self._array.shape[one_dim(self, dim)]

    def dim(self: Any) -> int:
        """The number of dimensions."""
        return self._array.ndim  # type: ignore[no-any-return]

    ndimension = dim

    def numel(self: Any) -> int:
        """The number of elements."""
        return self._array.size  # type: ignore[no-any-return]

    nelement = numel

    def __len__(self: Any) -> int:
        if not self._array.ndim:
            raise locate(TypeError("len() of a 0-d tensor"))
        return len(self._array)

    def stride(self: Any, dim: int | None = None) -> Any:
        """Steps between neighbours along each dimension, in elements."""
        strides = tuple(s // self._array.itemsize for s in self._array.strides)
        if not self._array.size:  # NumPy gives zeros
            extents = [max(extent, 1) for extent in self._array.shape]
            strides = tuple(math.prod(extents[k + 1 :]) for k in range(len(extents)))
        return strides if dim is None else strides[one_dim(self, dim)]

    def storage_offset(self: Any) -> int:
        """The place of the first element in the storage, in elements."""
        refuse_recording("storage_offset()")
        base = self._array.base
        if not hasattr(base, "__array_interface__"):
            return 0
        start = self._array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        return start // self._array.itemsize  # type: ignore[no-any-return]

    def data_ptr(self: Any) -> int:
        """The address of the first element."""
        refuse_recording("data_ptr()")
        return self._array.__array_interface__["data"][0]  # type: ignore[no-any-return]

    def element_size(self: Any) -> int:
        """Bytes of one element."""
        return self._array.itemsize  # type: ignore[no-any-return]

    @property
    def itemsize(self: Any) -> int:
        """Bytes of one element."""
        return self._array.itemsize  # type: ignore[no-any-return]

    @property
    def nbytes(self: Any) -> int:
        """Bytes of all elements."""
        return self._array.nbytes  # type: ignore[no-any-return]

    def is_contiguous(self: Any, memory_format: Any = None) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return bool(self._array.flags.c_contiguous)

    def is_set_to(self: Any, tensor: Any) -> bool:
        """Whether both are the same view of the same memory."""
        mine, theirs = self._array, tensor._array
        same = mine.shape == theirs.shape and mine.strides == theirs.strides
        return bool(same and self.data_ptr() == tensor.data_ptr())

    def is_same_size(self: Any, other: Any) -> bool:
        """Whether both have the same shape."""
        return self._array.shape == other._array.shape  # type: ignore[no-any-return]

    @property
    def _base(self: Any) -> Any:
        """The tensor that this one is a view of."""
        return None if self._view is None or self._reshaped else self._view.owner


class ShapeMethods(ViewMethods, SizeMethods):
    """Every method about shape and storage."""
