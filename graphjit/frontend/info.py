"""Facts about dtypes and tensors, and the defaults that can be set."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..errors import locate
from .arguments import as_dtype, check_device, check_tensor
from .convert import dtype_by_type_name, truth
from .dispatch import result_type as _result_type
from .state import VERSIONS


class finfo:
    """Limits of a floating-point dtype."""

    def __init__(self, type: DType | None = None) -> None:
        self._dtype = dtypes.default_float() if type is None else type
        if self._dtype.category < 2:
            raise locate(TypeError(
                "torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                "'torch.finfo'"
            ))
        limits = np.finfo(self._dtype.numpy)
        self.bits = int(limits.bits)
        self.dtype = self._dtype.name
        for name in ("max", "min", "eps", "tiny", "smallest_normal", "resolution"):
            setattr(self, name, float(getattr(limits, name)))

    max: float
    min: float
    eps: float
    tiny: float
    smallest_normal: float
    resolution: float

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        parts = ", ".join(f"{name}={getattr(self, name):.6g}" for name in names)
        return f"finfo({parts}, dtype={self.dtype})"


class iinfo:
    """Limits of an integer dtype."""

    def __init__(self, type: DType) -> None:
        if type.category != 1:
            raise locate(TypeError(
                "torch.iinfo() requires an integer input type. Use torch.finfo to handle "
                "'torch.iinfo'"
            ))
        limits = np.iinfo(type.numpy)
        self.bits = int(limits.bits)
        self.max = int(limits.max)
        self.min = int(limits.min)
        self.dtype = type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:.6g}, max={self.max:.6g}, dtype={self.dtype})"


def get_default_dtype() -> DType:
    """The dtype of floating-point literals."""
    return dtypes.default_float()


def set_default_dtype(d: Any) -> None:
    """Make a floating-point dtype that of literals."""
    try:
        dtypes.set_default_float(as_dtype(d, "set_default_dtype"))
    except TypeError as error:
        raise locate(error) from None
    VERSIONS.structure += 1


def set_default_tensor_type(t: Any) -> None:
    """The old `set_default_dtype`, taking a type such as `DoubleTensor` or its name."""
    set_default_dtype(dtype_by_type_name(t) if isinstance(t, str) else t.dtype)


def set_default_device(device: Any) -> None:
    """Make a device that of new tensors: only the CPU is there."""
    check_device(device)


def get_default_device() -> Any:
    """The device of new tensors."""
    return check_device(None)


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype that two operands are brought to."""
    return _result_type((tensor1, tensor2))


def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest dtype that holds both."""
    return dtypes.promote(type1, type2)


def can_cast(from_: DType, to: DType) -> bool:
    """Whether results of one dtype may be stored as another: the category must not shrink."""
    return from_.category <= to.category


def is_floating_point(input: Any) -> bool:
    """Whether the dtype is a floating-point one."""
    return check_tensor("is_floating_point", input)._array.dtype.kind == "f"  # type: ignore[no-any-return]


def is_complex(input: Any) -> bool:
    """Whether the dtype is complex."""
    return check_tensor("is_complex", input)._array.dtype.kind == "c"  # type: ignore[no-any-return]


def is_nonzero(input: Any) -> bool:
    """`bool(input)`."""
    return truth(input)


def is_storage(obj: Any) -> bool:
    """Storages are not objects of their own here."""
    return False


def set_num_threads(n: int) -> None:
    """How many threads compiled kernels use."""
    from .. import config

    if n < 1:
        raise locate(RuntimeError("set_num_threads expects a positive integer"))
    config.override("NUM_THREADS", n)


def get_num_threads() -> int:
    """How many threads compiled kernels use."""
    import os

    from .. import config

    return config.get_int("NUM_THREADS") or len(os.sched_getaffinity(0))

