"""Moving a module's tensors to another dtype or device, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from ... import dtypes
from ...device import Device, device
from ...dtypes import DType
from ...frontend.mode import grad_mode
from ...frontend.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator


class Conversion:
    """The part of `Module` that converts its parameters and buffers."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    children: Callable[[], Iterator[Any]]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the data of every tensor by `fn` of it; parameters keep their identity."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        with grad_mode(False):
            for parameter in self._parameters.values():
                if parameter is None:
                    continue
                parameter.data = fn(parameter.data)
                if parameter._grad is not None:
                    parameter._grad.data = fn(parameter._grad.data)
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert to a device, a dtype, or both, or to those of a tensor.

        TypeError unless the dtype is floating or complex; integer tensors keep theirs.
        """
        where, dtype = _target(*args, **kwargs)
        if dtype is not None and dtype.category < 2:
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={dtype}"
            )

        def convert(tensor: Tensor) -> Tensor:
            if where is not None:
                tensor = tensor.to(where)
            if dtype is not None and tensor.dtype.category >= 2:
                tensor = tensor.to(dtype)
            return tensor

        return self._apply(convert)

    def type(self, dst_type: DType) -> Self:
        """Convert all tensors to `dst_type`."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def float(self) -> Self:
        """Convert floating tensors to float32."""
        return self._apply(lambda tensor: _floating(tensor, dtypes.float32))

    def double(self) -> Self:
        """Convert floating tensors to float64."""
        return self._apply(lambda tensor: _floating(tensor, dtypes.float64))

    def half(self) -> Self:
        """Convert floating tensors to float16."""
        return self._apply(lambda tensor: _floating(tensor, dtypes.float16))

    def cpu(self) -> Self:
        """Move to the CPU."""
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self, device: Any = None) -> Self:
        """Move to a GPU."""
        return self._apply(lambda tensor: tensor.cuda(device))

    def share_memory(self) -> Self:
        """Move to memory shared between processes."""
        return self._apply(lambda tensor: tensor.share_memory_())


def _floating(tensor: Tensor, dtype: DType) -> Tensor:
    return tensor.to(dtype) if tensor.dtype.is_floating_point else tensor


def _target(
    *args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False, **rest: Any
) -> tuple[Device | None, DType | None]:
    """The device and dtype named by the arguments of `to`."""
    for arg in args:
        if isinstance(arg, Tensor):
            device, dtype = arg.device, arg.dtype
        elif isinstance(arg, DType):
            dtype = arg
        elif isinstance(arg, (str, int, Device)) and not isinstance(arg, bool):
            device = arg
    return (None if device is None else _device(device)), dtype


_device = device
