"""The old constructors: `Tensor(2, 3)`, `FloatTensor([1, 2])`, `LongTensor(...)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import config, dtypes
from ..dtypes import DType
from ..errors import locate
from ..ops.core import scalar_type, type_name
from .arguments import as_shape, check_device
from .creation import fresh, uninitialised
from .data import array_from_data
from .size import Size
from .tensor import Tensor


def legacy_tensor(cls: type[Tensor], dtype: DType, *args: Any, **options: Any) -> Tensor:
    """Sizes give uninitialised memory, a sequence gives its elements, a tensor itself."""
    check_device(options.pop("device", None))
    if not args and "data" in options:
        args = (options.pop("data"),)
    if not args:
        return uninitialised((0,), dtype)
    first = args[0]
    if len(args) == 1 and isinstance(first, Tensor) and first._array.ndim:
        return _alias(first, dtype, cls)
    if len(args) == 1 and isinstance(first, (list, tuple, range, np.ndarray)):
        if not isinstance(first, Size):
            return fresh(array_from_data(first, dtype))
    elif len(args) == 1 and isinstance(first, float):
        raise locate(TypeError(f"new(): data must be a sequence (got {type(first).__name__})"))
    return uninitialised(as_shape("new", args), dtype)


def _alias(source: Tensor, dtype: DType, cls: type) -> Tensor:
    if isinstance(cls, LegacyType) and source.dtype is not dtype:
        wanted, found = scalar_type(dtype), scalar_type(source.dtype)
        options = "device=cpu, layout=Strided, requires_grad=false (default), " \
            "pinned_memory=false (default), memory_format=(nullopt)"
        raise locate(TypeError(
            f"expected TensorOptions(dtype={wanted}, {options}) "
            f"(got TensorOptions(dtype={found}, {options}))"
        ))
    return source.detach()


class LegacyType(type):
    """The class of `FloatTensor` and its like: calls make tensors, instances are told by dtype."""

    dtype: DType

    def __call__(cls, *args: Any, **options: Any) -> Tensor:
        return legacy_tensor(cls, cls.dtype, *args, **options)  # type: ignore[arg-type]

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype

    def __repr__(cls) -> str:
        return f"<class '{config.NAMESPACE}.{cls.__name__}'>"


def _legacy_type(dtype: DType) -> LegacyType:
    return LegacyType(f"{type_name(dtype)}Tensor", (), {"dtype": dtype})


FloatTensor = _legacy_type(dtypes.float32)
DoubleTensor = _legacy_type(dtypes.float64)
HalfTensor = _legacy_type(dtypes.float16)
LongTensor = _legacy_type(dtypes.int64)
IntTensor = _legacy_type(dtypes.int32)
ShortTensor = _legacy_type(dtypes.int16)
CharTensor = _legacy_type(dtypes.int8)
ByteTensor = _legacy_type(dtypes.uint8)
BoolTensor = _legacy_type(dtypes.bool_)
