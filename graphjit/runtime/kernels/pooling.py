"""Maxima over windows of images, and their gradient. The range of each kernel counts planes.

Row by row, one place of the window after another, so that every inner loop runs along a row.
Windows of a known, small size are kept in registers instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..language import i32, inline
from ..language.instructions import argument, loader, select, storer
from ..language.types import ELEMENTS
from ..words import pooling as word

#: Numbers of the buffers, for the compiler to tell apart.
IMAGE, VALUES, INDEX = 0, 1, 2

load_index, store_index = loader(i32, INDEX), storer(i32, INDEX)


@inline
def _is_nan(x: Any) -> Any:
    """Also of integers, which `math.isnan` does not take."""
    return x != x  # noqa: PLR0124


@inline
def _covered(table: int, axis: int, place: int) -> Any:
    """Output positions first..last whose element at `place` of the window lies in the image.

    `axis` is 0 for rows, 1 for columns; also returns the image position of output position 0.
    """
    stride = argument(table, word.STRIDE_HEIGHT + axis)
    start = place * argument(table, word.DILATION_HEIGHT + axis)
    start -= argument(table, word.PADDING_HEIGHT + axis)
    extent = argument(table, word.OUT_HEIGHT + axis)
    first = min(extent, max(0, (stride - 1 - start) // stride))
    last = (argument(table, word.HEIGHT + axis) - start + stride - 1) // stride
    return first, max(first, min(extent, last)), start


@inline
def _plane(table: int, strides: int, number: int) -> int:
    """Offset in elements of plane `number` of all samples."""
    channels = argument(table, word.CHANNELS)
    sample, channel = number // channels, number % channels
    return sample * argument(table, strides) + channel * argument(table, strides + 1)


@inline
def _inside(table: int, axis: int, start: int, place: int) -> bool:
    position = start + place * argument(table, word.DILATION_HEIGHT + axis)
    return 0 <= position < argument(table, word.HEIGHT + axis)


@inline
def _first_inside(table: int, axis: int, out: int) -> int:
    """The first place of a window, along one axis, that is not in the padding."""
    start = out * argument(table, word.STRIDE_HEIGHT + axis)
    start -= argument(table, word.PADDING_HEIGHT + axis)
    place = 0
    while not _inside(table, axis, start, place):
        place += 1
    return place


def _exceeds(dtype: str) -> Callable[..., Any]:
    """A helper that tells whether `x` takes the place of `y`: larger, or NaN."""
    flip = -128 if dtype == "uint8" else 0

    @inline
    def exceeds(x: Any, y: Any) -> Any:
        if flip == 0:
            return (x > y) | _is_nan(x)
        return (x ^ flip) > (y ^ flip)

    return exceeds


def _lowest(dtype: str) -> float | int:
    kind = np.dtype(dtype)
    return -math.inf if kind.kind == "f" else int(np.iinfo(kind).min)


def forward(dtype: str) -> Any:
    """The kernel of maxima and their places: the first maximum, or the last NaN."""
    element = ELEMENTS[dtype]
    size, lowest, exceeds = element.size, _lowest(dtype), _exceeds(dtype)
    load = loader(element, IMAGE)
    load_value, store_value = loader(element, VALUES), storer(element, VALUES)

    @inline
    def start_row(table: int, values: int, index: int, out_row: int) -> None:
        step = argument(table, word.VALUES_STRIDES + 3)
        index_step = argument(table, word.INDEX_STRIDES + 3)
        places = _first_inside(table, 0, out_row) * argument(table, word.KERNEL_WIDTH)
        for x in range(argument(table, word.OUT_WIDTH)):
            store_value(values, x * step, lowest)
            store_index(index, x * index_step, i32(places + _first_inside(table, 1, x)))

    @inline
    def meet(table: int, image: int, values: int, index: int, place: int, j: int) -> None:
        """Compare a row of values with the elements at one place of their windows."""
        first, last, start = _covered(table, 1, j)
        stride = argument(table, word.IMAGE_STRIDES + 3)
        image += size * start * stride
        across = stride * argument(table, word.STRIDE_WIDTH)
        step = argument(table, word.VALUES_STRIDES + 3)
        index_step = argument(table, word.INDEX_STRIDES + 3)
        for x in range(first, last):
            new, old = load(image, x * across), load_value(values, x * step)
            better = exceeds(new, old)
            store_value(values, x * step, select(better, new, old))
            best = load_index(index, x * index_step)
            store_index(index, x * index_step, select(better, i32(place), best))

    @inline
    def row(table: int, image: int, values: int, index: int, out_row: int) -> None:
        start_row(table, values, index, out_row)
        width = argument(table, word.KERNEL_WIDTH)
        top = out_row * argument(table, word.STRIDE_HEIGHT)
        top -= argument(table, word.PADDING_HEIGHT)
        for i in range(argument(table, word.KERNEL_HEIGHT)):
            if _inside(table, 0, top, i):
                at = top + i * argument(table, word.DILATION_HEIGHT)
                source = image + size * at * argument(table, word.IMAGE_STRIDES + 2)
                for j in range(width):
                    meet(table, source, values, index, i * width + j, j)

    def max_pool2d(table: int, begin: int, end: int) -> None:
        for number in range(begin, end):
            at = _plane(table, word.IMAGE_STRIDES, number)
            image = argument(table, word.IMAGE) + size * at
            at = _plane(table, word.VALUES_STRIDES, number)
            values = argument(table, word.VALUES) + size * at
            at = _plane(table, word.INDEX_STRIDES, number)
            index = argument(table, word.INDEX) + 4 * at
            for y in range(argument(table, word.OUT_HEIGHT)):
                row(table, image, values, index, y)
                values += size * argument(table, word.VALUES_STRIDES + 2)
                index += 4 * argument(table, word.INDEX_STRIDES + 2)

    return max_pool2d


def forward_tiles(dtype: str, height: int, width: int) -> Any:
    """The kernel of maxima where windows of height x width lie inside an image of dense rows.

    Dilation is 1, and the values' and places' rows have no gaps.
    """
    element = ELEMENTS[dtype]
    size, lowest, exceeds = element.size, _lowest(dtype), _exceeds(dtype)
    load, store_value = loader(element, IMAGE), storer(element, VALUES)
    down_window, across_window = range(height), range(width)

    @inline
    def row(image: int, values: int, index: int, count: int, down: int, across: int) -> None:
        for x in range(count):
            best, where = element(lowest), i32(0)
            for i in down_window:
                for j in across_window:
                    new = load(image, i * down + x * across + j)
                    better = exceeds(new, best)
                    best = select(better, new, best)
                    where = select(better, i32(i * width + j), where)
            store_value(values, x, best)
            store_index(index, x, where)

    def max_pool2d_tiles(table: int, begin: int, end: int) -> None:
        down, across = argument(table, word.IMAGE_STRIDES + 2), argument(table, word.STRIDE_WIDTH)
        count = argument(table, word.OUT_WIDTH)
        for number in range(begin, end):
            at = _plane(table, word.IMAGE_STRIDES, number)
            image = argument(table, word.IMAGE) + size * at
            at = _plane(table, word.VALUES_STRIDES, number)
            values = argument(table, word.VALUES) + size * at
            at = _plane(table, word.INDEX_STRIDES, number)
            index = argument(table, word.INDEX) + 4 * at
            for _ in range(argument(table, word.OUT_HEIGHT)):
                row(image, values, index, count, down, across)
                image += size * down * argument(table, word.STRIDE_HEIGHT)
                values += size * argument(table, word.VALUES_STRIDES + 2)
                index += 4 * argument(table, word.INDEX_STRIDES + 2)

    return max_pool2d_tiles


def backward(dtype: str) -> Any:
    """The kernel that adds gradients where the maxima were, for any windows."""
    element = ELEMENTS[dtype]
    size = element.size
    load, store = loader(element, IMAGE), storer(element, IMAGE)
    load_gradient = loader(element, VALUES)

    @inline
    def clear(table: int, image: int) -> None:
        strides = table + 8 * word.IMAGE_STRIDES
        for y in range(argument(table, word.HEIGHT)):
            for x in range(argument(table, word.WIDTH)):
                store(image, y * argument(strides, 2) + x * argument(strides, 3), 0)

    @inline
    def give(table: int, image: int, gradient: int, index: int, place: int, j: int) -> None:
        """Add a row of gradients to the elements at one place of their windows."""
        first, last, start = _covered(table, 1, j)
        stride = argument(table, word.IMAGE_STRIDES + 3)
        image += size * start * stride
        across = stride * argument(table, word.STRIDE_WIDTH)
        step = argument(table, word.VALUES_STRIDES + 3)
        index_step = argument(table, word.INDEX_STRIDES + 3)
        for x in range(first, last):
            chosen = load_index(index, x * index_step) == i32(place)
            given = select(chosen, load_gradient(gradient, x * step), 0)
            store(image, x * across, load(image, x * across) + given)

    @inline
    def row(table: int, image: int, gradient: int, index: int, out_row: int) -> None:
        width = argument(table, word.KERNEL_WIDTH)
        top = out_row * argument(table, word.STRIDE_HEIGHT)
        top -= argument(table, word.PADDING_HEIGHT)
        for i in range(argument(table, word.KERNEL_HEIGHT)):
            if _inside(table, 0, top, i):
                at = top + i * argument(table, word.DILATION_HEIGHT)
                target = image + size * at * argument(table, word.IMAGE_STRIDES + 2)
                for j in range(width):
                    give(table, target, gradient, index, i * width + j, j)

    def max_pool2d_backward(table: int, begin: int, end: int) -> None:
        for number in range(begin, end):
            at = _plane(table, word.IMAGE_STRIDES, number)
            image = argument(table, word.IMAGE) + size * at
            at = _plane(table, word.VALUES_STRIDES, number)
            gradient = argument(table, word.VALUES) + size * at
            at = _plane(table, word.INDEX_STRIDES, number)
            index = argument(table, word.INDEX) + 4 * at
            clear(table, image)
            for y in range(argument(table, word.OUT_HEIGHT)):
                row(table, image, gradient, index, y)
                gradient += size * argument(table, word.VALUES_STRIDES + 2)
                index += 4 * argument(table, word.INDEX_STRIDES + 2)

    return max_pool2d_backward


def backward_tiles(dtype: str, height: int, width: int) -> Any:
    """The kernel of the gradient where the windows are tiles of a dense image.

    What no window covers, at the right and at the bottom, becomes zero.
    """
    element = ELEMENTS[dtype]
    size = element.size
    store, load_gradient = storer(element, IMAGE), loader(element, VALUES)
    down_window, across_window = range(height), range(width)

    @inline
    def row(image: int, gradient: int, index: int, count: int, down: int) -> None:
        for x in range(count):
            given, where = load_gradient(gradient, x), load_index(index, x)
            for i in down_window:
                for j in across_window:
                    value = select(where == i * width + j, given, 0)
                    store(image, i * down + x * width + j, value)

    @inline
    def clear(image: int, begin: int, end: int) -> None:
        for x in range(begin, end):
            store(image, x, 0)

    def max_pool2d_backward_tiles(table: int, begin: int, end: int) -> None:
        down, count = argument(table, word.IMAGE_STRIDES + 2), argument(table, word.OUT_WIDTH)
        rows = argument(table, word.OUT_HEIGHT)
        for number in range(begin, end):
            at = _plane(table, word.IMAGE_STRIDES, number)
            image = argument(table, word.IMAGE) + size * at
            at = _plane(table, word.VALUES_STRIDES, number)
            gradient = argument(table, word.VALUES) + size * at
            at = _plane(table, word.INDEX_STRIDES, number)
            index = argument(table, word.INDEX) + 4 * at
            for y in range(rows):
                row(image, gradient, index, count, down)
                for i in range(height):
                    clear(image + size * i * down, count * width, argument(table, word.WIDTH))
                image += size * height * down
                gradient += size * argument(table, word.VALUES_STRIDES + 2)
                index += 4 * argument(table, word.INDEX_STRIDES + 2)
            for y in range(rows * height, argument(table, word.HEIGHT)):
                clear(image, 0, argument(table, word.WIDTH))
                image += size * down

    return max_pool2d_backward_tiles
