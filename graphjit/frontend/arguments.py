"""Reading arguments as PyTorch's functions take them: sizes, dims, dtypes, devices.

TypeErrors, IndexErrors and RuntimeErrors have PyTorch's wording.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Number
from typing import TYPE_CHECKING, Any

from .. import config, dtypes
from ..device import CPU, Device, array_namespace
from ..device import device as as_device
from ..dtypes import DType
from ..errors import locate
from ..ops.core import normalize_dim, type_name
from .base import TensorBase

if TYPE_CHECKING:
    from .tensor import Tensor

_PYTHON_DTYPES = {float: dtypes.float64, int: dtypes.int64, bool: dtypes.bool_,
                  complex: dtypes.complex128}  # fmt: skip


def as_shape(function: str, size: Sequence[Any]) -> tuple[int, ...]:
    """A size given as numbers or as one sequence of numbers; all at least 0."""
    if len(size) == 1 and isinstance(size[0], Iterable) and not _is_scalar_tensor(size[0]):
        size = tuple(size[0])
    shape = tuple(_extent(function, extent, position) for position, extent in enumerate(size))
    for extent in shape:
        if extent < 0:
            raise locate(RuntimeError(
                f"Trying to create tensor with negative dimension {extent}: {list(shape)}"
            ))
    return shape


def _is_scalar_tensor(value: Any) -> bool:
    return getattr(value, "ndim", None) == 0


def _extent(function: str, extent: Any, position: int) -> int:
    if type(extent) is int:
        return extent
    try:
        return operator.index(extent)
    except TypeError:
        kind = type(extent).__name__
        if position == 0:
            message = f"(position 1) must be tuple of ints, not {kind}"
        else:
            message = (f"failed to unpack the object at pos {position + 1} with error \"type must "
                       f"be tuple of ints,but got {kind}\"")  # fmt: skip
        raise locate(TypeError(f"{function}(): argument 'size' {message}")) from None


def as_dtype(dtype: Any, function: str = "") -> DType:
    """A dtype, or the Python type that stands for one."""
    if isinstance(dtype, DType):
        return dtype
    if dtype in _PYTHON_DTYPES:
        return _PYTHON_DTYPES[dtype]
    kind = type(dtype).__name__
    raise locate(TypeError(
        f"{function}(): argument 'dtype' must be {config.NAMESPACE}.dtype, not {kind}"
    ))


def check_device(device: Any) -> Device:
    """The device asked for, if there is one here; AssertionError for CUDA where there is none."""
    if device is None or device is CPU:
        return CPU
    try:
        found = as_device(device)
        array_namespace(found)
    except (RuntimeError, AssertionError) as error:
        raise locate(error) from None
    return found


def check_tensor(function: str, value: Any, argument: str = "input", position: int = 1) -> Any:
    """`value`, if it is a tensor; TypeError otherwise."""
    if isinstance(value, TensorBase):
        return value
    raise locate(TypeError(
        f"{function}(): argument '{argument}' (position {position}) must be Tensor, "
        f"not {type(value).__name__}"
    ))


def check_number(function: str, value: Any, argument: str, position: int) -> None:
    """TypeError unless `value` is a number, or a tensor that stands for one."""
    if not isinstance(value, (Number, TensorBase)):
        raise locate(TypeError(
            f"{function}(): argument '{argument}' (position {position}) must be Number, "
            f"not {type(value).__name__}"
        ))


def as_dims(x: Tensor, dim: int | Sequence[int] | None) -> tuple[int, ...]:
    """`dim` as reductions take it: sorted, from the front; all dims for None or ()."""
    ndim = x._array.ndim
    if dim is None:
        return tuple(range(ndim))
    try:
        if isinstance(dim, (tuple, list)):
            dims = tuple(sorted(normalize_dim(operator.index(d), ndim) for d in dim))
            return _check_distinct(dims) if dims else tuple(range(ndim))
        single: Any = dim
        place = normalize_dim(operator.index(single), ndim)
        return (place,) if ndim else ()
    except IndexError as error:
        raise locate(error) from None


def _check_distinct(dims: tuple[int, ...]) -> tuple[int, ...]:
    for before, after in pairwise(dims):
        if before == after:
            raise locate(RuntimeError(f"dim {after} appears multiple times in the list of dims"))
    return dims


def one_dim(x: Tensor, dim: int) -> int:
    """One dimension, from the front."""
    try:
        return normalize_dim(operator.index(dim), x._array.ndim)
    except IndexError as error:
        raise locate(error) from None


def check_copied(input: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    """What PyTorch checks before `index_copy`, in its order."""
    shape, given, count = input._array.shape, source._array.shape, index._array.size
    extent = given[dim] if dim < len(given) else 1
    names = [type_name(x.dtype) for x in (input, source, index)]
    slices = [s[:dim] + s[dim + 1 :] for s in (shape, given)]
    texts = [" ".join(map(str, s)) for s in slices]
    for fails, error, text in (
        (index._array.ndim > 1, IndexError,
         f"Index should have dimension 1 or 0 (got {index._array.ndim})"),
        (not given and count != 1, IndexError,
         f"When source is scalar, index should have one element (got {count})"),
        (given and shape and len(given) != len(shape), IndexError,
         ("When source and destination are not scalars, their dimensionality must match. Source "
          f"dimensionality ({len(given)}), destination dimensionality ({len(shape)})")),
        (names[2] != "Long", RuntimeError,
         f"Expected a long tensor for index, but got {names[2]}"),
        (names[0] != names[1], RuntimeError,
         ("self and source expected to have the same dtype, but got (self) "
          f"{names[0]} and (source) {names[1]}")),
        (slices[0] != slices[1], RuntimeError,
         ("Source/destination tensor must have same slice shapes. Destination slice shape: "
          f"{texts[0]} at dimension {dim} and source slice shape: {texts[1]} at dimension 0.")),
        (given and count != extent, IndexError,
         f"Number of indices ({count}) should be equal to source.size(dim) ({extent})"),
    ):  # fmt: skip
        if fails:
            raise locate(error(f"index_copy_(): {text}"))
