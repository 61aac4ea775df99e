"""Convolutions in one to three dimensions, and their transposes.

All rest on the two-dimensional op: one dimension is a plane of height 1, three are a sum of planes
over the kernel's depth.
"""

from __future__ import annotations

from typing import Any

from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor
from .numbers import repeat
from .padding import pad

Ints = int | tuple[int, ...]


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of images with kernels.

    Args:
        input: (batch, in, rows, columns), or without batch.
        weight: (out, in / groups, rows, columns).
        bias: (out,).
        padding: zeros on both sides of each dimension, "valid" for none, or "same" for as many as
            keep the size.
    """
    if input.ndim == 3:
        batch = conv2d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups)
        return batch.squeeze(0)
    if input.ndim != 4:
        raise RuntimeError(
            "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: "
            f"{list(input.shape)}"
        )
    attrs: dict[str, Any] = {"stride": repeat(stride, 2), "dilation": repeat(dilation, 2)}
    if isinstance(padding, str):
        input, padding = _padded(input, weight, padding, attrs["stride"], attrs["dilation"])
    attrs |= {"padding": repeat(padding, 2), "groups": groups}
    operands = (input, weight) if bias is None else (input, weight, bias)
    return F.convolution(*operands, **attrs)


def _padded(
    input: Tensor, weight: Tensor, padding: str, stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[Tensor, tuple[int, ...]]:
    """The padding that a word stands for; what differs between the two sides is added here."""
    if padding == "valid":
        return input, (0,) * len(stride)
    if padding != "same":
        raise ValueError(
            f"Invalid padding string {padding!r}, should be one of {{'valid', 'same'}}"
        )
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    extra = [side for total in reversed(totals) for side in (0, total % 2)]
    return (pad(input, extra) if any(extra) else input), tuple(total // 2 for total in totals)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of (batch, in, length), or without batch, with (out, in / groups, k)."""
    if input.ndim not in (2, 3):
        raise RuntimeError(
            "Expected 2D (unbatched) or 3D (batched) input to conv1d, but got input of size: "
            f"{list(input.shape)}"
        )
    rows = (0, *repeat(padding, 1)) if not isinstance(padding, str) else padding
    result = conv2d(
        input.unsqueeze(-2), weight.unsqueeze(-2), bias,
        (1, *repeat(stride, 1)), rows, (1, *repeat(dilation, 1)), groups,
    )  # fmt: skip
    return result.squeeze(-2)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of (batch, in, d, h, w), or without batch, with (out, in / groups, ...)."""
    if input.ndim == 4:
        batch = conv3d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups)
        return batch.squeeze(0)
    steps, spread = repeat(stride, 3), repeat(dilation, 3)
    if isinstance(padding, str):
        input, padding = _padded(input, weight, padding, steps, spread)
    border = repeat(padding, 3)
    input = pad(input, [0, 0, 0, 0, border[0], border[0]]) if border[0] else input
    depth = (input.shape[2] - spread[0] * (weight.shape[2] - 1) - 1) // steps[0] + 1
    total = None
    for k in range(weight.shape[2]):
        start = k * spread[0]
        planes = input[:, :, start : start + (depth - 1) * steps[0] + 1 : steps[0]]
        flat = planes.transpose(1, 2).reshape(-1, input.shape[1], *input.shape[3:])
        part = conv2d(flat, weight[:, :, k], None, steps[1:], border[1:], spread[1:], groups)
        total = part if total is None else F.add(total, part)
    assert total is not None
    result = total.reshape(input.shape[0], depth, *total.shape[1:]).transpose(1, 2)
    return result if bias is None else F.add(result, bias.reshape(-1, 1, 1, 1))


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The transpose of `conv2d`: weight is (in, out / groups, rows, columns)."""
    if input.ndim == 3:
        batch = conv_transpose2d(
            input.unsqueeze(0), weight, bias, stride, padding, output_padding, groups, dilation
        )
        return batch.squeeze(0)
    attrs = {"stride": repeat(stride, 2), "padding": repeat(padding, 2),
             "dilation": repeat(dilation, 2)}  # fmt: skip
    numbers = zip(
        input.shape[2:], weight.shape[2:], repeat(output_padding, 2), *attrs.values(), strict=True
    )
    extents = [(n - 1) * s - 2 * p + d * (k - 1) + more + 1 for n, k, more, s, p, d in numbers]
    shape = (input.shape[0], weight.shape[1] * groups, *extents)
    result = F.conv2d_input_grad(input, weight, shape=shape, groups=groups, **attrs)
    return result if bias is None else F.add(result, bias.reshape(-1, 1, 1))


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The transpose of `conv1d`: weight is (in, out / groups, k)."""
    result = conv_transpose2d(
        input.unsqueeze(-2), weight.unsqueeze(-2), bias, (1, *repeat(stride, 1)),
        (0, *repeat(padding, 1)), (0, *repeat(output_padding, 1)), groups,
        (1, *repeat(dilation, 1)),
    )  # fmt: skip
    return result.squeeze(-2)
