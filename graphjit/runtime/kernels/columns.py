"""Windows of an image laid out as columns, and the way back.

The columns of a sample are a matrix (channels x places in the kernel, output positions).
"""

from __future__ import annotations

from typing import Any

from ..language import inline
from ..language.instructions import argument, loader, storer
from ..language.types import Type
from ..words import convolution as word

#: Numbers of the buffers, for the compiler to tell apart.
MATRIX, IMAGE = 0, 1


@inline
def places(table: int) -> int:
    """Output positions of one plane."""
    return argument(table, word.OUT_HEIGHT) * argument(table, word.OUT_WIDTH)


@inline
def taps(table: int) -> int:
    """Places in the kernel."""
    return argument(table, word.KERNEL_HEIGHT) * argument(table, word.KERNEL_WIDTH)


@inline
def _range(table: int, axis: int, place: int) -> Any:
    """Output positions first..last whose element at `place` of the kernel lies in the image.

    `axis` is 0 for rows, 1 for columns; also returns the image position of output position 0.
    """
    stride = argument(table, word.STRIDE_HEIGHT + axis)
    start = place * argument(table, word.DILATION_HEIGHT + axis)
    start -= argument(table, word.PADDING_HEIGHT + axis)
    extent = argument(table, word.OUT_HEIGHT + axis)
    first = min(extent, max(0, (stride - 1 - start) // stride))
    last = (argument(table, word.HEIGHT + axis) - start + stride - 1) // stride
    return first, max(first, min(extent, last)), start


def gather(element: Type) -> Any:
    """A helper `gather(table, matrix, image, channels)`: columns of an image, zero in the padding.

    `matrix` and `image` are addresses; the image's is of its first channel.
    """
    size = element.size
    load, store = loader(element, IMAGE), storer(element, MATRIX)

    @inline
    def clear(matrix: int, begin: int, end: int) -> None:
        for i in range(begin, end):
            store(matrix, i, 0)

    @inline
    def row(matrix: int, image: int, begin: int, end: int, step: int) -> None:
        if step == 1:
            for i in range(begin, end):
                store(matrix, i, load(image, i))
        else:
            for i in range(begin, end):
                store(matrix, i, load(image, i * step))

    @inline
    def plane(table: int, matrix: int, image: int, i: int, j: int) -> None:
        """One row of the matrix: the elements that place (i, j) of the kernel meets."""
        height, width = argument(table, word.OUT_HEIGHT), argument(table, word.OUT_WIDTH)
        row_stride = argument(table, word.IMAGE_STRIDES + 2)
        stride = argument(table, word.IMAGE_STRIDES + 3)
        top, bottom, y = _range(table, 0, i)
        left, right, x = _range(table, 1, j)
        step = stride * argument(table, word.STRIDE_WIDTH)
        down = row_stride * argument(table, word.STRIDE_HEIGHT)
        clear(matrix, 0, top * width)
        clear(matrix, bottom * width, height * width)
        for k in range(top, bottom):
            source = image + size * (y * row_stride + x * stride + k * down)
            target = matrix + size * k * width
            clear(target, 0, left)
            row(target, source, left, right, step)
            clear(target, right, width)

    @inline
    def gather(table: int, matrix: int, image: int, channels: int) -> None:
        for channel in range(channels):
            source = image + size * channel * argument(table, word.IMAGE_STRIDES + 1)
            for i in range(argument(table, word.KERNEL_HEIGHT)):
                for j in range(argument(table, word.KERNEL_WIDTH)):
                    plane(table, matrix, source, i, j)
                    matrix += size * places(table)

    return gather


def scatter(element: Type) -> Any:
    """A helper `scatter(table, matrix, image, channels)`: sets an image to the sums of columns."""
    size = element.size
    load_matrix = loader(element, MATRIX)
    load, store = loader(element, IMAGE), storer(element, IMAGE)

    @inline
    def clear(table: int, image: int) -> None:
        row_stride = argument(table, word.IMAGE_STRIDES + 2)
        stride = argument(table, word.IMAGE_STRIDES + 3)
        for y in range(argument(table, word.HEIGHT)):
            for x in range(argument(table, word.WIDTH)):
                store(image, y * row_stride + x * stride, 0)

    @inline
    def row(matrix: int, image: int, begin: int, end: int, step: int) -> None:
        if step == 1:
            for i in range(begin, end):
                store(image, i, load(image, i) + load_matrix(matrix, i))
        else:
            for i in range(begin, end):
                store(image, i * step, load(image, i * step) + load_matrix(matrix, i))

    @inline
    def plane(table: int, matrix: int, image: int, i: int, j: int) -> None:
        row_stride = argument(table, word.IMAGE_STRIDES + 2)
        stride = argument(table, word.IMAGE_STRIDES + 3)
        top, bottom, y = _range(table, 0, i)
        left, right, x = _range(table, 1, j)
        step = stride * argument(table, word.STRIDE_WIDTH)
        down = row_stride * argument(table, word.STRIDE_HEIGHT)
        for k in range(top, bottom):
            target = image + size * (y * row_stride + x * stride + k * down)
            source = matrix + size * k * argument(table, word.OUT_WIDTH)
            row(source, target, left, right, step)

    @inline
    def scatter(table: int, matrix: int, image: int, channels: int) -> None:
        for channel in range(channels):
            target = image + size * channel * argument(table, word.IMAGE_STRIDES + 1)
            clear(table, target)
            for i in range(argument(table, word.KERNEL_HEIGHT)):
                for j in range(argument(table, word.KERNEL_WIDTH)):
                    plane(table, matrix, target, i, j)
                    matrix += size * places(table)

    return scatter
