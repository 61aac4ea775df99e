"""Instructions for maxima over windows and their gradient.

Reads layouts; makes calls of library kernels, of which those for windows of a small, known size
keep a window in registers.
"""

from __future__ import annotations

from dataclasses import replace

from . import library
from .instruction import Argument, Instruction, Layout

Pair = tuple[int, int]

#: Windows of up to so many elements are kept in registers.
REGISTER_WINDOW = 9


def max_pool2d(
    image: Layout,
    values: Layout,
    index: Layout,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Instruction:
    """An instruction for the maxima of windows, and their int32 places in the window, row by row.

    Of equal elements the first counts, of NaNs the last. Layouts are (samples, channels, height,
    width), or without samples; of any strides. Split by planes.
    """
    image, values, index = map(_with_samples, (image, values, index))
    tiles = (
        padding == (0, 0)
        and _windows_fit(image, values, kernel, stride, dilation)
        and _rows_are_dense(image, values, index)
    )
    table = _table(image, values, index, (kernel, stride, padding, dilation))
    address = _address("forward", image, kernel, tiles)
    return Instruction("max_pool2d", address, table, 0, image.shape[0] * image.shape[1])


def max_pool2d_backward(
    gradient: Layout,
    index: Layout,
    image: Layout,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Instruction:
    """An instruction for the gradient of the image, of which `image` is the place.

    `index` is what `max_pool2d` made. Split by planes.
    """
    gradient, index, image = map(_with_samples, (gradient, index, image))
    tiles = (
        padding == (0, 0)
        and stride == kernel
        and _windows_fit(image, gradient, kernel, stride, dilation)
        and _rows_are_dense(image, gradient, index)
    )
    table = _table(image, gradient, index, (kernel, stride, padding, dilation))
    address = _address("backward", image, kernel, tiles)
    return Instruction("max_pool2d_backward", address, table, 0, image.shape[0] * image.shape[1])


def _with_samples(layout: Layout) -> Layout:
    if layout.ndim == 4:
        return layout
    return replace(layout, shape=(1, *layout.shape), strides=(0, *layout.strides))


def _windows_fit(image: Layout, out: Layout, kernel: Pair, stride: Pair, dilation: Pair) -> bool:
    """Whether every window, of neighbouring elements, lies inside the image."""
    spans = [
        (windows - 1) * step + extent
        for windows, step, extent in zip(out.shape[2:], stride, kernel, strict=True)
    ]
    inside = all(span <= n for span, n in zip(spans, image.shape[2:], strict=True))
    small = kernel[0] * kernel[1] <= REGISTER_WINDOW
    return small and inside and (dilation == (1, 1) or kernel == (1, 1))


def _rows_are_dense(*layouts: Layout) -> bool:
    return all(layout.strides[3] == 1 or layout.shape[3] == 1 for layout in layouts)


def _table(
    image: Layout, values: Layout, index: Layout, pairs: tuple[Pair, ...]
) -> tuple[Argument, ...]:
    sizes = (image.shape[1:], values.shape[2:], *pairs)
    strides = (image.strides, values.strides, index.strides)
    return (
        image.pointer,
        values.pointer,
        index.pointer,
        *(n for numbers in sizes for n in numbers),
        *(n for numbers in strides for n in numbers),
    )


def _address(kind: str, image: Layout, kernel: Pair, tiles: bool) -> int:
    name = image.dtype.name
    if tiles:
        return library.kernel("pooling", f"{kind}_tiles", name, *kernel)
    return library.kernel("pooling", kind, name)
