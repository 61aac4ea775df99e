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
#: Windows at most so far apart are read by whole vectors.
LARGEST_STRIDE = 4


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
    in_rows = (
        kernel[0] * kernel[1] <= REGISTER_WINDOW
        and stride[1] <= LARGEST_STRIDE
        and dilation == (1, 1)
        and _rows_are_dense(image, values, index)
    )
    table = _table(image, values, index, (kernel, stride, padding, dilation))
    name = image.dtype.name
    if in_rows:
        inside = padding == (0, 0) and _windows_fit(image, values, kernel, stride)
        address = library.kernel("pooling", "forward_rows", name, *kernel, stride[1], int(inside))
    else:
        address = library.kernel("pooling", "forward", name)
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
        and dilation == (1, 1)
        and kernel[0] * kernel[1] <= REGISTER_WINDOW
        and _windows_fit(image, gradient, kernel, stride)
        and _rows_are_dense(image, gradient, index)
    )
    table = _table(image, gradient, index, (kernel, stride, padding, dilation))
    name = image.dtype.name
    if tiles:
        address = library.kernel("pooling", "backward_tiles", name, *kernel)
    else:
        address = library.kernel("pooling", "backward", name)
    return Instruction("max_pool2d_backward", address, table, 0, image.shape[0] * image.shape[1])


def _with_samples(layout: Layout) -> Layout:
    if layout.ndim == 4:
        return layout
    return replace(layout, shape=(1, *layout.shape), strides=(0, *layout.strides))


def _windows_fit(image: Layout, out: Layout, kernel: Pair, stride: Pair) -> bool:
    """Whether windows of neighbouring elements are all inside the image."""
    sizes = zip(out.shape[2:], kernel, stride, image.shape[2:], strict=True)
    return all((windows - 1) * step + extent <= n for windows, extent, step, n in sizes)


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
