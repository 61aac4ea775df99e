"""Maxima and means over windows, of a given size or in a given number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor
from .numbers import repeat

Ints = int | tuple[int, ...]


def _window(kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> dict[str, Any]:
    kernel = repeat(kernel_size, 2)
    empty = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    return {
        "kernel": kernel,
        "stride": kernel if empty else repeat(stride, 2),
        "padding": repeat(padding, 2),
        "ceil_mode": bool(ceil_mode),
    }


def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of (batch, channels, rows, columns), or without batch.

    `return_indices`: also where in its image each maximum is, as rows * columns.
    """
    attrs = _window(kernel_size, stride, padding, ceil_mode)
    attrs["dilation"] = repeat(dilation, 2)
    values, places = F.max_pool2d(input, **attrs)
    if not return_indices:
        return values
    return values, _flat_places(places, input.shape[-1], attrs)


def _flat_places(places: Tensor, width: int, attrs: dict[str, Any]) -> Tensor:
    """Places in the windows as places in the image."""
    columns = attrs["kernel"][1]
    number = places.long()
    row = number.div(columns, rounding_mode="floor")
    inside = (row, number - row * columns)
    origins = []
    for axis in (0, 1):
        start = F.arange_like(number, shape=tuple(number.shape), dim=number.ndim - 2 + axis)
        origin = start * attrs["stride"][axis] - attrs["padding"][axis]
        origins.append(origin + inside[axis] * attrs["dilation"][axis])
    return origins[0] * width + origins[1]


def max_pool2d_with_indices(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """`max_pool2d` with `return_indices`."""
    values, places = max_pool2d(*args, **{**kwargs, "return_indices": True})
    return values, places


def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of (batch, channels, length), or without batch."""
    numbers = (kernel_size, kernel_size if stride is None else stride)
    kernel, step = ((1, *repeat(v, 1)) for v in numbers)
    result = max_pool2d(
        input.unsqueeze(-2), kernel, step, (0, *repeat(padding, 1)), (1, *repeat(dilation, 1)),
        ceil_mode, return_indices,
    )  # fmt: skip
    if return_indices:
        return tuple(part.squeeze(-2) for part in result)
    return result.squeeze(-2)


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of (batch, channels, rows, columns), or without batch."""
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    return F.avg_pool2d(
        input,
        **_window(kernel_size, stride, padding, ceil_mode),
        count_include_pad=bool(count_include_pad),
        divisor_override=divisor_override,
    )


def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of (batch, channels, length), or without batch."""
    numbers = (kernel_size, kernel_size if stride is None else stride)
    kernel, step = ((1, *repeat(v, 1)) for v in numbers)
    result = avg_pool2d(
        input.unsqueeze(-2), kernel, step, (0, *repeat(padding, 1)), ceil_mode, count_include_pad
    )
    return result.squeeze(-2)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over as many windows as `output_size` says; None keeps an extent."""
    sizes = _output_size(input, output_size, 2)
    extents = input.shape[-2:]
    if all(n % out == 0 for n, out in zip(extents, sizes, strict=True)):
        kernel = tuple(n // out for n, out in zip(extents, sizes, strict=True))
        if kernel == tuple(extents):
            return input.mean((-2, -1), keepdim=True)
        return avg_pool2d(input, kernel)
    return _by_windows(input, sizes, lambda part, dim: part.mean(dim, keepdim=True))


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means over as many windows as `output_size` says."""
    sizes = _output_size(input, output_size, 1)
    return adaptive_avg_pool2d(input.unsqueeze(-2), (1, *sizes)).squeeze(-2)


def adaptive_max_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Maxima over as many windows as `output_size` says; None keeps an extent."""
    sizes = _output_size(input, output_size, 2)
    return _by_windows(input, sizes, lambda part, dim: part.amax(dim, keepdim=True))


def adaptive_max_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Maxima over as many windows as `output_size` says."""
    sizes = _output_size(input, output_size, 1)
    return adaptive_max_pool2d(input.unsqueeze(-2), (1, *sizes)).squeeze(-2)


def _output_size(input: Tensor, output_size: Any, n: int) -> tuple[int, ...]:
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * n
    extents = input.shape[-n:]
    return tuple(e if s is None else int(s) for s, e in zip(sizes, extents, strict=True))


def _by_windows(
    input: Tensor, sizes: tuple[int, ...], reduce: Callable[[Tensor, int], Tensor]
) -> Tensor:
    """Reduce windows of unequal size, one dimension after the other."""
    for dim, out in zip((input.ndim - 2, input.ndim - 1), sizes, strict=True):
        n = input.shape[dim]
        if n == out:
            continue
        ends = [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]
        parts = [reduce(input.narrow(dim, a, b - a), dim) for a, b in ends]
        input = F.concat(*parts, dim=dim)
    return input
