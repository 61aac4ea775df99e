"""What Python's own functions and statements need: text, iteration, copying, pickling."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import config, dtypes
from ..device import CPU
from ..errors import locate
from .base import is_tensor
from .convert import truth
from .mode import MODE
from .observe import observe
from .printing import tensor_text

if TYPE_CHECKING:
    from .tensor import Tensor


class Layout:
    """How elements are laid out in memory; dense tensors are strided."""

    def __repr__(self) -> str:
        return f"{config.NAMESPACE}.strided"


strided = Layout()


def storage(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory of `array`."""
    base = array.base
    return base if isinstance(base, np.ndarray) else array


def placed(owner: np.ndarray, array: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Shape, strides and offset, in bytes, of `array` within its storage."""
    start = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    return array.shape, array.strides, start


def view_of(
    owner: np.ndarray, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...], start: int
) -> np.ndarray:
    """The array that `placed` described, on a storage."""
    return np.ndarray(shape, dtype, owner, start, strides)


def rebuilt(
    cls: type[Tensor], owner: np.ndarray, place: Any, dtype_name: str, requires_grad: bool
) -> Tensor:
    """A tensor from its pickled parts."""
    dtype = dtypes.by_name(dtype_name)
    array = owner if place is None else view_of(owner, dtype.numpy, *place)
    result = object.__new__(cls)
    result._array = array
    result._version = [0]
    result._requires_grad = requires_grad
    return result


class PythonMethods:
    """Text, iteration, membership, copying and pickling."""

    layout = strided
    is_sparse = False
    is_cuda = False
    is_quantized = False
    is_mkldnn = False
    is_meta = False

    def __repr__(self: Any, *, tensor_contents: Any = None) -> str:
        return tensor_text(self)

    def __format__(self: Any, spec: str) -> str:
        if self._array.ndim == 0:
            observe("format()", self)
            return self._array.item().__format__(spec)  # type: ignore[no-any-return]
        return object.__format__(self, spec)

    def __iter__(self: Any) -> Iterator[Any]:
        if not self._array.ndim:
            raise locate(TypeError("iteration over a 0-d tensor"))
        return iter(self.unbind(0))

    def __reversed__(self: Any) -> Any:
        return self.flip(0) if self._array.ndim else self

    def __contains__(self: Any, element: Any) -> bool:
        if is_tensor(element) or isinstance(element, (int, float, complex)):
            return truth((element == self).any())
        raise locate(RuntimeError(
            "Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
            f"{type(element)}."
        ))

    def __copy__(self: Any) -> Any:
        result = object.__new__(type(self))
        result.__dict__.update(self.__dict__)
        return result

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        if not self._is_leaf():
            raise locate(RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol at the moment.  If you were attempting to deepcopy a module, this may be "
                "because of a torch.nn.utils.weight_norm usage, see "
                "https://github.com/pytorch/pytorch/pull/103001"
            ))
        if MODE.recorder is not None:
            MODE.recorder.refuse("a tensor was deep-copied")
        result = object.__new__(type(self))
        memo[id(self)] = result
        result._array = _deep_array(self._array, memo)
        result._version = [0]
        result._requires_grad = self._requires_grad
        if self._grad is not None:
            result._grad = copy.deepcopy(self._grad, memo)
        known = {"_array", "_version", "_requires_grad", "_grad", "_view", "_hooks"}
        for name, value in self.__dict__.items():
            if name not in known:
                setattr(result, name, copy.deepcopy(value, memo))
        return result

    def __reduce_ex__(self: Any, protocol: Any) -> tuple[Any, ...]:
        observe("pickling")
        if not self._is_leaf():
            raise locate(RuntimeError(
                "Cannot pickle a tensor that is not a graph leaf; detach() it first"
            ))
        array = self._array
        owner = storage(array)
        place = None if owner is array else placed(owner, array)
        parts = (type(self), owner, place, self.dtype.name, self._requires_grad)
        return rebuilt, parts

    def is_floating_point(self: Any) -> bool:
        """Whether the dtype is a floating-point one."""
        return self._array.dtype.kind == "f"  # type: ignore[no-any-return]

    def is_complex(self: Any) -> bool:
        """Whether the dtype is complex."""
        return self._array.dtype.kind == "c"  # type: ignore[no-any-return]

    def is_signed(self: Any) -> bool:
        """Whether the dtype has negative numbers."""
        return self._array.dtype.kind in "ifc"

    def is_inference(self: Any) -> bool:
        """Inference mode makes ordinary tensors here."""
        return False

    def is_conj(self: Any) -> bool:
        """Conjugates are computed at once."""
        return False

    def pin_memory(self: Any, device: Any = None) -> Any:
        """This tensor: pinned memory only serves copies to a GPU."""
        return self

    def is_pinned(self: Any, device: Any = None) -> bool:
        """Whether the memory is pinned."""
        return False

    def share_memory_(self: Any) -> Any:
        """Move the storage to memory that child processes see; forked children see it as it is."""
        return self

    @property
    def retains_grad(self: Any) -> bool:
        """Whether `.grad` of this non-leaf is filled."""
        return bool(self._retains_grad)

    @property
    def output_nr(self: Any) -> int:
        """Which output of its `grad_fn` this tensor is."""
        return self._output_number  # type: ignore[no-any-return]

    def __dlpack__(self: Any, **options: Any) -> Any:
        observe("__dlpack__()")
        if self._requires_grad:
            raise BufferError(
                "Can't export tensors that require gradient, use tensor.detach()"
            )
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self: Any) -> Any:
        return self._array.__dlpack_device__()

    @property
    def is_cpu(self: Any) -> bool:
        """Whether the elements are in the CPU's memory."""
        return self.device is CPU


def _deep_array(array: np.ndarray, memo: dict[int, Any]) -> np.ndarray:
    """A copy of `array` that shares its storage's copy with other views copied in the same call."""
    owner = storage(array)
    fresh = memo.get(id(owner))
    if fresh is None:
        fresh = memo[id(owner)] = owner.copy(order="K")
        memo.setdefault(id(memo), []).append(owner)
    if owner is array:
        return fresh
    if not fresh.flags.c_contiguous or not owner.flags.c_contiguous:
        return array.copy()
    return view_of(fresh, array.dtype, *placed(owner, array))
