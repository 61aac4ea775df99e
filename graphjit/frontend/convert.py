"""Tensors to other dtypes and devices, to NumPy, and to Python values.

Everything here that shows values to Python says so to the recorder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .. import config, dtypes
from ..device import CPU, Device
from ..dtypes import DType
from ..errors import locate
from .arguments import as_dtype, check_device
from .base import is_tensor
from .mode import MODE
from .observe import MAX_ELEMENTS, number, observe, observe_truth
from .printing import type_name
from .tape import TENSORS as F

if TYPE_CHECKING:
    from .tensor import Tensor


def to_dtype(tensor: Tensor, dtype: DType) -> Tensor:
    """`tensor` itself if it has the dtype, else a copy."""
    if tensor._array.dtype is dtype.numpy or tensor._array.dtype == dtype.numpy:
        return tensor
    return F.cast(tensor, dtype=dtype)  # type: ignore[no-any-return]


def to(
    self: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
    other: Any = None,
) -> Tensor:
    """This tensor with another dtype or on another device; itself if nothing changes.

    Takes a dtype, a device, a device and a dtype, or a tensor to be like.
    """
    if other is not None:
        args = (other, *args)
    if args:
        first = args[0]
        if is_tensor(first):
            dtype = first.dtype
        elif isinstance(first, (str, Device, int)) and not isinstance(first, bool):
            device = first
            if len(args) > 1 and not isinstance(args[1], bool):
                dtype = args[1]
            if len(args) > 2 and not isinstance(args[2], bool):
                _refuse_arguments(args)
        elif first is not None:
            dtype = first
        elif len(args) > 1:
            dtype = args[1]
    if device is not None:
        check_device(device)
    result = self if dtype is None else to_dtype(self, as_dtype(dtype, "to"))
    return F.clone(self) if copy and result is self else result


def _refuse_arguments(args: tuple[Any, ...]) -> NoReturn:
    kinds = ", ".join(type(a).__name__ for a in args)
    raise locate(TypeError(
        f"to() received an invalid combination of arguments - got ({kinds}), but expected one of:\n"
        " * (device device, dtype dtype, bool non_blocking, bool copy)\n"
        " * (dtype dtype, bool non_blocking, bool copy)\n"
        " * (Tensor tensor, bool non_blocking, bool copy)\n"
    ))


def cuda(self: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """A copy on a GPU. AssertionError where there is none."""
    check_device("cuda" if device is None else device)
    return self


def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """This tensor: it is on the CPU."""
    return self


def type_method(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of this tensor's type; with `dtype` (or a name or class of one), a conversion."""
    if dtype is None:
        return type_name(self.dtype)
    if isinstance(dtype, str):
        dtype = dtype_by_type_name(dtype)
    wanted = getattr(dtype, "dtype", dtype)
    return to_dtype(self, wanted if isinstance(wanted, DType) else as_dtype(dtype, "type"))


def dtype_by_type_name(name: str) -> DType:
    """The dtype of "torch.FloatTensor" and its like."""
    for dtype in dtypes.ALL:
        legacy = type_name(dtype).split(".", 1)[1]
        if name in (legacy, f"{config.NAMESPACE}.{legacy}", f"torch.{legacy}"):
            return dtype
    raise locate(ValueError(f"invalid type: '{name}'"))


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor with the dtype of `other`."""
    return to_dtype(self, other.dtype)


def reinterpreted(tensor: Tensor, dtype: DType) -> Tensor:
    """The same bytes as elements of another dtype."""
    if MODE.recorder is not None:
        MODE.recorder.refuse("view(dtype) looks at bytes")
    size, wanted = tensor._array.itemsize, dtype.itemsize
    if size != wanted and tensor._array.ndim == 0:
        raise locate(RuntimeError(
            "self.dim() cannot be 0 to view "
            f"{type_name(tensor.dtype)} as {type_name(dtype)} (different element sizes)"
        ))
    result = tensor._of(tensor._array.view(dtype.numpy))
    result._version = tensor._version
    return result


def _caster(name: str, dtype: DType) -> Any:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return to_dtype(self, dtype)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"This tensor as {dtype.name}."
    return method


def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """The array of this tensor, sharing its memory. RuntimeError if it requires grad."""
    observe("numpy()")
    if self._requires_grad and not force:
        raise locate(RuntimeError(
            "Can't call numpy() on Tensor that requires grad. "
            "Use tensor.detach().numpy() instead."
        ))
    return self._array


def item(self: Tensor) -> Any:
    """The only element, as a Python number. RuntimeError if there are more or none."""
    if self._array.size != 1:
        raise locate(RuntimeError(
            f"a Tensor with {self._array.size} elements cannot be converted to Scalar"
        ))
    return self._array.item() if MODE.recorder is None else number(self)


def tolist(self: Tensor) -> Any:
    """The elements as nested lists of Python numbers."""
    if MODE.recorder is None:
        return self._array.tolist()
    if not self._array.ndim:
        return number(self)
    if self._array.size > MAX_ELEMENTS:
        observe("tolist()", self)
        return self._array.tolist()
    return [tolist(row) for row in self.detach().unbind(0)]


def truth(self: Tensor) -> bool:
    """Whether the only element is not 0. RuntimeError if there are more or none."""
    array = self._array
    if array.size != 1:
        which = "more than one value" if array.size else "no values"
        raise locate(RuntimeError(f"Boolean value of Tensor with {which} is ambiguous"))
    value = bool(array.item())
    observe_truth(self, value)
    return value


def _single(self: Tensor, what: str) -> Any:
    if self._array.size != 1:
        raise locate(ValueError("only one element tensors can be converted to Python scalars"))
    observe(what, self)
    return self._array.item()


def as_int(self: Tensor) -> int:
    """The only element, cut to a whole number."""
    if MODE.recorder is not None and self._array.size == 1 and self._array.dtype.kind == "f":
        observe("int()", F.trunc(self.detach()))  # what is cut off may differ
        return int(self._array.item())
    return int(_single(self, "int()"))


def as_float(self: Tensor) -> float:
    """The only element as a float."""
    return float(_single(self, "float()"))


def as_complex(self: Tensor) -> complex:
    """The only element as a complex number."""
    return complex(_single(self, "complex()"))


def as_index(self: Tensor) -> int:
    """The only element, where Python wants an index. TypeError unless it is an integer."""
    if self._array.size != 1 or self._array.dtype.kind not in "iub":
        raise locate(TypeError(
            "only integer tensors of a single element can be converted to an index"
        ))
    observe("an index", self)
    return int(self._array.item())


class ConvertMethods:
    """Conversions, the NumPy bridge, and what Python's own functions need."""

    to = to
    cpu = cpu
    cuda = cuda
    type = type_method
    type_as = type_as
    numpy = numpy
    item = item
    tolist = tolist
    __bool__ = truth
    __int__ = as_int
    __float__ = as_float
    __complex__ = as_complex
    __index__ = as_index

    float = _caster("float", dtypes.float32)
    double = _caster("double", dtypes.float64)
    half = _caster("half", dtypes.float16)
    int = _caster("int", dtypes.int32)
    long = _caster("long", dtypes.int64)
    short = _caster("short", dtypes.int16)
    char = _caster("char", dtypes.int8)
    byte = _caster("byte", dtypes.uint8)
    bool = _caster("bool", dtypes.bool_)
    cfloat = _caster("cfloat", dtypes.complex64)
    cdouble = _caster("cdouble", dtypes.complex128)

    def __array__(self: Any, dtype: Any = None, copy: Any = None) -> np.ndarray:
        array = numpy(self)
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError("a copy is needed to change the dtype")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_wrap__(
        self: Any, array: np.ndarray, context: Any = None, return_scalar: Any = False
    ) -> Any:
        """What NumPy's functions return for tensors: a tensor again."""
        return self._of(np.asarray(array))

    def is_nonzero(self: Any) -> Any:
        """`bool(self)`."""
        return truth(self)

    def get_device(self: Any) -> Any:
        """The index of the GPU, or -1 on the CPU."""
        return -1 if self.device is CPU else self.device.index
