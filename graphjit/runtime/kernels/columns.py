"""Windows of an image laid out as columns, and the way back.

The columns of a sample are a matrix (channels x places in the kernel, output positions). Rows that
lie in memory without gaps are moved by whole vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..language import inline, vector
from ..language.instructions import argument, loader, storer, vector_loader, vector_storer
from ..language.types import Type, lanes_of
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
def start(table: int, axis: int, place: int) -> int:
    """Image position of the element that output position 0 has at `place` of its window.

    `axis` is 0 for rows, 1 for columns.
    """
    before = argument(table, word.PADDING_HEIGHT + axis)
    return place * argument(table, word.DILATION_HEIGHT + axis) - before


@inline
def covered(table: int, axis: int, place: int) -> Any:
    """Output positions first..last whose element at `place` of the window lies in the image."""
    stride = argument(table, word.STRIDE_HEIGHT + axis)
    origin = start(table, axis, place)
    extent = argument(table, word.OUT_HEIGHT + axis)
    first = min(extent, max(0, (stride - 1 - origin) // stride))
    last = (argument(table, word.HEIGHT + axis) - origin + stride - 1) // stride
    return first, max(first, min(extent, last))


def gather(element: Type) -> Callable[..., None]:
    """A helper `gather(table, matrix, image, channels, first, last)`: columns of an image.

    Only of output rows first..last, and zero in the padding. `matrix` and `image` are addresses;
    the image's is of its first channel.
    """
    size, lanes = element.size, lanes_of(element)
    kind = vector(element, lanes)
    load, store = loader(element, IMAGE), storer(element, MATRIX)
    load_lanes, store_lanes = vector_loader(kind, IMAGE), vector_storer(kind, MATRIX)

    @inline
    def clear(matrix: int, begin: int, end: int) -> None:
        for i in range(begin, end, lanes):
            store_lanes(matrix, i, 0, end - i)

    @inline
    def copy(matrix: int, image: int, end: int) -> None:
        """`end` elements by whole vectors, the last of which overlaps the one before."""
        for i in range(0, end - lanes, lanes):
            store_lanes(matrix, i, load_lanes(image, i))
        store_lanes(matrix, end - lanes, load_lanes(image, end - lanes))

    @inline
    def dense(matrix: int, image: int, rows: int, width: int, down: int) -> None:
        """Rows of which every element lies in the image, one after the other.

        The narrow ones, which most images have, without a loop inside the loop.
        """
        if width <= lanes:
            for _ in range(rows):
                store_lanes(matrix, 0, load_lanes(image, 0, width), width)
                matrix += size * width
                image += down
        elif width <= 2 * lanes:
            for _ in range(rows):
                store_lanes(matrix, 0, load_lanes(image, 0))
                store_lanes(matrix, width - lanes, load_lanes(image, width - lanes))
                matrix += size * width
                image += down
        else:
            for _ in range(rows):
                copy(matrix, image, width)
                matrix += size * width
                image += down

    @inline
    def row(matrix: int, image: int, begin: int, end: int, step: int) -> None:
        if step != 1:
            for i in range(begin, end):
                store(matrix, i, load(image, i * step))
        elif end - begin < lanes:
            store_lanes(matrix, begin, load_lanes(image, begin, end - begin), end - begin)
        else:
            copy(matrix + size * begin, image + size * begin, end - begin)

    @inline
    def plane(table: int, matrix: int, image: int, i: int, j: int, first: int, last: int) -> None:
        """One row of the matrix: the elements that place (i, j) of the kernel meets."""
        width = argument(table, word.OUT_WIDTH)
        row_stride = argument(table, word.IMAGE_STRIDES + 2)
        stride = argument(table, word.IMAGE_STRIDES + 3)
        top, bottom = covered(table, 0, i)
        top = min(max(top, first), last)
        bottom = max(top, min(bottom, last))
        left, right = covered(table, 1, j)
        step = stride * argument(table, word.STRIDE_WIDTH)
        down = size * row_stride * argument(table, word.STRIDE_HEIGHT)
        origin = start(table, 0, i) * row_stride + start(table, 1, j) * stride
        source = image + size * origin + top * down
        clear(matrix, 0, (top - first) * width)
        target = matrix + size * (top - first) * width
        if step == 1 and right - left == width:
            dense(target, source, bottom - top, width, down)
        else:
            for _ in range(top, bottom):
                clear(target, 0, left)
                row(target, source, left, right, step)
                clear(target, right, width)
                target += size * width
                source += down
        clear(matrix, (bottom - first) * width, (last - first) * width)

    @inline
    def gather(table: int, matrix: int, image: int, channels: int, first: int, last: int) -> None:
        row = size * (last - first) * argument(table, word.OUT_WIDTH)
        for channel in range(channels):
            source = image + size * channel * argument(table, word.IMAGE_STRIDES + 1)
            for i in range(argument(table, word.KERNEL_HEIGHT)):
                for j in range(argument(table, word.KERNEL_WIDTH)):
                    plane(table, matrix, source, i, j, first, last)
                    matrix += row

    return gather


def scatter(element: Type, across: int) -> Callable[..., None]:
    """A helper `scatter(table, matrix, image, channels)`: sets an image to the sums of columns.

    `across` is the kernel's width, or 0 if it is not known while compiling.
    """
    size = element.size
    dense, spread = _sum_dense(element, across), _sum_spread(element)

    @inline
    def scatter(table: int, matrix: int, image: int, channels: int) -> None:
        strides = argument(table, word.STRIDE_HEIGHT) * argument(table, word.STRIDE_WIDTH)
        for channel in range(channels):
            target = image + size * channel * argument(table, word.IMAGE_STRIDES + 1)
            source = matrix + size * channel * taps(table) * places(table)
            if strides * argument(table, word.IMAGE_STRIDES + 3) == 1:
                dense(table, source, target)
            else:
                spread(table, source, target)

    return scatter


def _sum_dense(element: Type, across: int) -> Callable[..., None]:
    """A helper for strides of 1: each element of the image is summed up in a register."""
    size, lanes = element.size, lanes_of(element)
    kind = vector(element, lanes)
    load, store = vector_loader(kind, MATRIX), vector_storer(kind, IMAGE)
    known = range(across)

    @inline
    def tap(table: int, row: int, x: int, j: int) -> Any:
        """What lands on elements from column x; `row` is a row of positions of tap (i, 0)."""
        width, out_x = argument(table, word.OUT_WIDTH), x - start(table, 1, j)
        return load(row + size * j * places(table), out_x, width - out_x, -out_x)

    @inline
    def place_sum(table: int, matrix: int, y: int, x: int) -> Any:
        """Sum of what lands on a vector of elements from (y, x) of the image."""
        height, width = argument(table, word.OUT_HEIGHT), argument(table, word.OUT_WIDTH)
        columns = argument(table, word.KERNEL_WIDTH)
        total = kind(0)
        for i in range(argument(table, word.KERNEL_HEIGHT)):
            out_y = y - start(table, 0, i)
            if 0 <= out_y < height:
                row = matrix + size * (i * columns * places(table) + out_y * width)
                if across > 0:
                    for j in known:
                        total += tap(table, row, x, j)
                else:
                    for j in range(columns):
                        total += tap(table, row, x, j)
        return total

    @inline
    def dense(table: int, matrix: int, image: int) -> None:
        width = argument(table, word.WIDTH)
        for x in range(0, width, lanes):
            row = image
            for y in range(argument(table, word.HEIGHT)):
                store(row, x, place_sum(table, matrix, y, x), width - x)
                row += size * argument(table, word.IMAGE_STRIDES + 2)

    return dense


def _sum_spread(element: Type) -> Callable[..., None]:
    """A helper for any strides: the columns are added to the image one after another."""
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
    def plane(table: int, matrix: int, image: int, i: int, j: int) -> None:
        row_stride = argument(table, word.IMAGE_STRIDES + 2)
        stride = argument(table, word.IMAGE_STRIDES + 3)
        top, bottom = covered(table, 0, i)
        left, right = covered(table, 1, j)
        step = stride * argument(table, word.STRIDE_WIDTH)
        down = size * row_stride * argument(table, word.STRIDE_HEIGHT)
        origin = start(table, 0, i) * row_stride + start(table, 1, j) * stride
        for k in range(top, bottom):
            target = image + size * origin + k * down
            source = matrix + size * k * argument(table, word.OUT_WIDTH)
            for x in range(left, right):
                store(target, x * step, load(target, x * step) + load_matrix(source, x))

    @inline
    def spread(table: int, matrix: int, image: int) -> None:
        clear(table, image)
        for i in range(argument(table, word.KERNEL_HEIGHT)):
            for j in range(argument(table, word.KERNEL_WIDTH)):
                plane(table, matrix, image, i, j)
                matrix += size * places(table)

    return spread
