"""Python data and foreign arrays as arrays of a dtype that tensors have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..errors import locate
from .base import is_tensor
from .observe import observe

_NUMBERS = (bool, int, float, complex, np.generic)


def check_array(array: np.ndarray) -> np.ndarray:
    """`array`, if a tensor can share it.

    ValueError for negative strides or a foreign byte order, TypeError for a dtype unknown here.
    """
    if any(step < 0 for step in array.strides):
        raise locate(ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array  with array.copy().) "
        ))
    if not array.dtype.isnative:
        raise locate(ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported."
        ))
    try:
        dtypes.from_numpy(array.dtype)
    except TypeError as error:
        raise locate(error) from None
    return array


def array_from_data(data: Any, dtype: DType | None) -> np.ndarray:
    """A new array holding `data`: a number, nested sequences of numbers, or an array.

    Without `dtype` it follows from the numbers.
    """
    if isinstance(data, np.ndarray):
        array = check_array(data)
        return np.array(array, dtype=None if dtype is None else dtype.numpy, order="C")
    if isinstance(data, (str, bytes)):
        raise locate(TypeError(f"new(): invalid data type '{type(data).__name__}'"))
    if is_tensor(data):
        data = _tensor_value(data)
    if not _is_sequence(data):
        data = _converted(data)
    shape = _shape(data)
    leaves = _leaves(data, shape)
    found = dtype or _common_dtype(leaves)
    return _filled(leaves, shape, found)


def _converted(data: Any) -> Any:
    """A number, or what an object gives as an array."""
    if isinstance(data, _NUMBERS):
        return data
    if hasattr(data, "__array__"):
        return np.asarray(data)
    raise locate(RuntimeError(f"Could not infer dtype of {type(data).__name__}"))


def _is_sequence(data: Any) -> bool:
    """Whether `data` has items. Tensors among data stand for single numbers."""
    if isinstance(data, (list, tuple)):
        return True
    if isinstance(data, np.ndarray):
        return bool(data.ndim)
    return isinstance(data, (Sequence, range)) and not isinstance(data, (str, bytes))


def _shape(data: Any) -> tuple[int, ...]:
    """The shape that the first items along each dimension suggest."""
    shape: list[int] = []
    while _is_sequence(data):
        shape.append(len(data))
        if not shape[-1]:
            break
        data = data[0]
        if isinstance(data, str):
            raise locate(ValueError("too many dimensions 'str'"))
    return tuple(shape)


def _leaves(data: Any, shape: tuple[int, ...]) -> list[Any]:
    """All numbers in order. ValueError where a sequence has another length than its siblings."""
    level = [data]
    for dim, extent in enumerate(shape):
        below: list[Any] = []
        for sequence in level:
            if not _is_sequence(sequence):
                raise locate(TypeError("not a sequence"))
            if len(sequence) != extent:
                raise locate(ValueError(
                    f"expected sequence of length {extent} at dim {dim} (got {len(sequence)})"
                ))
            below.extend(sequence)
        level = below
    return [leaf if isinstance(leaf, _NUMBERS) else _leaf(leaf) for leaf in level]


def _leaf(leaf: Any) -> Any:
    if is_tensor(leaf):
        return _tensor_value(leaf)
    if isinstance(leaf, np.ndarray) and leaf.ndim == 0:
        return leaf[()]
    if isinstance(leaf, str):
        raise locate(TypeError(f"new(): invalid data type '{type(leaf).__name__}'"))
    if isinstance(leaf, (list, tuple)):
        raise locate(TypeError(
            f"'{type(leaf).__name__}' object cannot be interpreted as an integer"
        ))
    return _converted(leaf)


def _tensor_value(tensor: Any) -> Any:
    if tensor._array.size != 1:
        raise locate(ValueError("only one element tensors can be converted to Python scalars"))
    observe("tensor()", tensor)
    return tensor._array.reshape(())[()]


def _common_dtype(leaves: Sequence[Any]) -> DType:
    if not leaves:
        return dtypes.default_float()
    result = None
    for kind in {type(leaf) for leaf in leaves}:
        dtype = _kind_dtype(kind)
        result = dtype if result is None else dtypes.promote(result, dtype)
    assert result is not None
    return result


def _kind_dtype(kind: type) -> DType:
    if issubclass(kind, np.generic):
        return dtypes.from_numpy(np.dtype(kind))
    return dtypes.of_number(kind())


def _filled(leaves: list[Any], shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    if dtype.category < 2:
        leaves = _whole_numbers(leaves, dtype)
    elif dtype.category == 2 and any(isinstance(leaf, complex) for leaf in leaves):
        raise locate(TypeError("must be real number, not complex"))
    try:
        with np.errstate(all="ignore"):
            return np.array(leaves, dtype.numpy).reshape(shape)
    except OverflowError:
        raise locate(ValueError("Overflow when unpacking long long")) from None


_C_NAMES = {"uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int",
            "int64": "int64_t", "bool": "bool", "float16": "c10::Half", "float32": "float",
            "float64": "double"}  # fmt: skip


def as_number(value: Any, dtype: DType) -> Any:
    """A number as an element of `dtype`. RuntimeError, OverflowError where it does not fit."""
    problem = RuntimeError(
        f"value cannot be converted to type {_C_NAMES.get(dtype.name)} without overflow"
    )
    if isinstance(value, complex):
        if dtype.category == 3:
            return value
        raise locate(problem)
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        raise locate(OverflowError("int too big to convert"))
    if dtype.category != 1:
        limit = float(np.finfo(dtype.numpy).max) if dtype.category == 2 else math.inf
        if limit < abs(value) < math.inf:
            raise locate(problem)
        return bool(value) if dtype.category == 0 else value
    limits = np.iinfo(dtype.numpy)
    wraps = dtype is dtypes.uint8 and isinstance(value, int)
    if not (-limits.max if wraps else limits.min) <= value <= limits.max:
        raise locate(problem)
    return int(value) & 255 if dtype is dtypes.uint8 else int(value)


def _whole_numbers(leaves: list[Any], dtype: DType) -> list[Any]:
    """Numbers as integers or bools: floats are cut, negative ones wrap in unsigned types."""
    if any(isinstance(leaf, complex) for leaf in leaves):
        raise locate(TypeError("int() argument must be a real number, not 'complex'"))
    if dtype.category == 0:
        return [bool(leaf) for leaf in leaves]
    limits = np.iinfo(dtype.numpy)
    low = -limits.max if dtype is dtypes.uint8 else limits.min
    result = []
    for leaf in leaves:
        number = int(leaf)
        if not low <= number <= limits.max:
            if dtype is dtypes.int64:
                raise locate(ValueError("Overflow when unpacking long long"))
            raise locate(RuntimeError(
                f"value cannot be converted to type {dtype.name} without overflow"
            ))
        result.append(number & 255 if dtype is dtypes.uint8 else number)
    return result
