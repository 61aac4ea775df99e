"""Convolution layers."""

from __future__ import annotations

import math
from typing import Any

from ...frontend.creation import empty
from ...frontend.tensor import Tensor
from .. import functional as F
from .. import init
from ..functional.numbers import repeat
from ..parameter import Parameter
from .module import Module

_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What convolutions and their transposes have in common."""

    _dims: int
    _transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        _check_channels(in_channels, out_channels, groups)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = repeat(kernel_size, self._dims)
        self.stride = repeat(stride, self._dims)
        self.dilation = repeat(dilation, self._dims)
        self.padding = self._check_padding(padding, padding_mode)
        self.output_padding = repeat(output_padding, self._dims)
        self.transposed = self._transposed
        self.groups = groups
        self.padding_mode = padding_mode
        first, second = in_channels, out_channels
        if not self._transposed:
            first, second = second, first
        shape = (first, second // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _check_padding(self, padding: Any, mode: str) -> Any:
        if mode not in _MODES:
            listed = "{" + ", ".join(repr(m) for m in _MODES) + "}"
            raise ValueError(f"padding_mode must be one of {listed}, but got padding_mode='{mode}'")
        if not isinstance(padding, str):
            return repeat(padding, self._dims)
        if padding not in ("same", "valid"):
            raise ValueError(
                f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}"
            )
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
        return padding

    def reset_parameters(self) -> None:
        """Draw weight and bias from U(-k, k), k = 1 / sqrt(in_channels / groups * kernel)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}, stride={self.stride}",
        ]
        zero, one = (0,) * self._dims, (1,) * self._dims
        if self.padding != zero:
            parts.append(f"padding={self.padding}")
        if self.dilation != one:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != zero:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


def _check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    if groups <= 0:
        raise ValueError("groups must be a positive integer")
    if in_channels % groups != 0:
        raise ValueError("in_channels must be divisible by groups")
    if out_channels % groups != 0:
        raise ValueError("out_channels must be divisible by groups")


class _Conv(_ConvNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def _borders(self) -> list[int]:
        """Padding as `F.pad` takes it."""
        if not isinstance(self.padding, str):
            return [side for p in reversed(self.padding) for side in (p, p)]
        if self.padding == "valid":
            return [0] * (2 * self._dims)
        sizes = zip(reversed(self.dilation), reversed(self.kernel_size), strict=True)
        totals = [d * (k - 1) for d, k in sizes]
        return [side for total in totals for side in (total // 2, total - total // 2)]

    def _padded(self, input: Tensor) -> tuple[Tensor, Any]:
        if self.padding_mode == "zeros":
            return input, self.padding
        return F.pad(input, self._borders(), mode=self.padding_mode), 0


class Conv1d(_Conv):
    """Cross-correlation of (batch, in, length), or without batch."""

    _dims = 1

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._padded(input)
        return F.conv1d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv2d(_Conv):
    """Cross-correlation of (batch, in, rows, columns), or without batch."""

    _dims = 2

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._padded(input)
        return F.conv2d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv3d(_Conv):
    """Cross-correlation of (batch, in, depth, rows, columns), or without batch."""

    _dims = 3

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._padded(input)
        return F.conv3d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class _ConvTranspose(_ConvNd):
    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            name = type(self).__name__
            raise ValueError(f'Only "zeros" padding mode is supported for {name}')
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def _extra(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """Rows to add at the end so that the output has the size asked for."""
        if output_size is None:
            return self.output_padding
        sizes = tuple(output_size)[-self._dims :]
        numbers = zip(
            sizes, input.shape[-self._dims :], self.stride, self.padding, self.dilation,
            self.kernel_size, strict=True,
        )  # fmt: skip
        extra = tuple(
            size - ((n - 1) * s - 2 * p + d * (k - 1) + 1) for size, n, s, p, d, k in numbers
        )
        if any(not 0 <= e < max(s, d) for e, s, d in zip(
            extra, self.stride, self.dilation, strict=True
        )):  # fmt: skip
            raise ValueError(f"requested an output size of {sizes}, which no padding can give")
        return extra


class ConvTranspose1d(_ConvTranspose):
    """The transpose of `Conv1d`."""

    _dims = 1

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return F.conv_transpose1d(
            input, self.weight, self.bias, self.stride, self.padding,
            self._extra(input, output_size), self.groups, self.dilation,
        )  # fmt: skip


class ConvTranspose2d(_ConvTranspose):
    """The transpose of `Conv2d`."""

    _dims = 2

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding,
            self._extra(input, output_size), self.groups, self.dilation,
        )  # fmt: skip
