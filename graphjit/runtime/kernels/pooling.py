"""Maxima over windows of images, and their gradient. The range of each kernel counts planes.

Row by row, one place of the window after another, so that every inner loop runs along a row.
Windows of a known, small size are kept in registers instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..language import i32, i64, inline, vector
from ..language.instructions import (
    argument,
    every_nth,
    interleaved,
    lane_numbers,
    loader,
    select,
    storer,
    vector_loader,
    vector_storer,
)
from ..language.types import ELEMENTS, lanes_of
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


def forward_rows(dtype: str, height: int, width: int, across: int, inside: int) -> Any:
    """The kernel of maxima over windows of height x width, kept in registers.

    They are `across` columns apart, dilation is 1, and the rows of image, values and places have
    no gaps. With `inside` no window hangs over the border.
    """
    element = ELEMENTS[dtype]
    size, lowest, exceeds = element.size, _lowest(dtype), _exceeds(dtype)
    lanes = lanes_of(element)
    kind, places = vector(element, lanes), vector(i32, lanes)
    load, store_values = vector_loader(kind, IMAGE, lowest), vector_storer(kind, VALUES)
    store_places = vector_storer(places, INDEX)
    rows, columns, parts = range(height), range(width), range(across)

    @inline
    def elements(table: int, row: int, at: int, j: int, count: int, fit: bool) -> Any:
        """Elements `at + j`, `at + j + across`, ... of a row for the first `count` lanes.

        What lies outside the row, unless they `fit` in it, never is a maximum.
        """
        if fit and width <= across:  # all j pick from the same vectors
            last = (count - 1) * across + width
            return every_nth([load(row, at + n * lanes, last - n * lanes) for n in parts], j)
        at += j
        last = (count - 1) * across + 1
        if fit:
            return every_nth([load(row, at + n * lanes, last - n * lanes) for n in parts])
        last = min(last, argument(table, word.WIDTH) - at)
        return every_nth(
            [load(row, at + n * lanes, last - n * lanes, -at - n * lanes) for n in parts]
        )

    @inline
    def first_places(table: int, y: int, x: int, fit: bool) -> Any:
        """Places of the first elements in the image of the windows of row y, from column x."""
        if inside:
            return places(0)
        top = _first_inside(table, 0, y) * width
        if fit:
            return places(top)
        left = argument(table, word.PADDING_WIDTH) - x * across
        outside = i32(left) - lane_numbers(places) * i32(across)
        return select(outside > 0, outside, places(0)) + i32(top)

    @inline
    def windows(table: int, image: int, y: int, x: int, count: int, fit: bool) -> Any:
        """Maxima and places of `count` windows of row y, from column x.

        They `fit` if they are known not to hang over at the left or the right.
        """
        best, where = kind(lowest), first_places(table, y, x, fit)
        top = y * argument(table, word.STRIDE_HEIGHT) - argument(table, word.PADDING_HEIGHT)
        left = x * across - argument(table, word.PADDING_WIDTH)
        for i in rows:
            if inside or 0 <= top + i < argument(table, word.HEIGHT):
                row = image + size * (top + i) * argument(table, word.IMAGE_STRIDES + 2)
                for j in columns:
                    new = elements(table, row, left, j, count, fit)
                    better = exceeds(new, best)
                    best = select(better, new, best)
                    where = select(better, places(i * width + j), where)
        return best, where

    @inline
    def fits(table: int, x: int) -> bool:
        """Whether a vector of windows from column x does not hang over."""
        if inside:
            return True
        left, last = x * across - argument(table, word.PADDING_WIDTH), (lanes - 1) * across + width
        return left >= 0 and left + last <= argument(table, word.WIDTH)

    @inline
    def line(table: int, image: int, values: int, index: int, y: int) -> None:
        """Row y of values and places; where it can, the last vector overlaps the one before."""
        extent = argument(table, word.OUT_WIDTH)
        for column in range(0, extent, lanes):
            x = max(0, min(column, extent - lanes))
            if extent >= lanes and fits(table, x):
                best, where = windows(table, image, y, x, lanes, True)
                store_values(values, x, best)
                store_places(index, x, where)
            else:
                best, where = windows(table, image, y, x, min(lanes, extent - x), False)
                store_values(values, x, best, extent - x)
                store_places(index, x, where, extent - x)

    def max_pool2d_rows(table: int, begin: int, end: int) -> None:
        for number in range(begin, end):
            at = _plane(table, word.IMAGE_STRIDES, number)
            image = argument(table, word.IMAGE) + size * at
            at = _plane(table, word.VALUES_STRIDES, number)
            values = argument(table, word.VALUES) + size * at
            at = _plane(table, word.INDEX_STRIDES, number)
            index = argument(table, word.INDEX) + 4 * at
            for y in range(argument(table, word.OUT_HEIGHT)):
                line(table, image, values, index, y)
                values += size * argument(table, word.VALUES_STRIDES + 2)
                index += 4 * argument(table, word.INDEX_STRIDES + 2)

    return max_pool2d_rows


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
    def give(
        table: int, image: int, gradient: int, place: int, inverse: int, y: int, x: int
    ) -> None:
        """Add the gradient of one window to the element at `place` in it.

        `inverse` is 2**40 divided by the width of the window: a product takes less than a division.
        """
        row = (place * inverse) >> 40
        i = y * argument(table, word.STRIDE_HEIGHT) - argument(table, word.PADDING_HEIGHT)
        i += row * argument(table, word.DILATION_HEIGHT)
        j = x * argument(table, word.STRIDE_WIDTH) - argument(table, word.PADDING_WIDTH)
        j += (place - row * argument(table, word.KERNEL_WIDTH)) * argument(
            table, word.DILATION_WIDTH
        )
        strides = table + 8 * word.IMAGE_STRIDES
        at = i * argument(strides, 2) + j * argument(strides, 3)
        given = load_gradient(gradient, x * argument(table, word.VALUES_STRIDES + 3))
        store(image, at, load(image, at) + given)

    def max_pool2d_backward(table: int, begin: int, end: int) -> None:
        inverse = (1 << 40) // argument(table, word.KERNEL_WIDTH) + 1
        for number in range(begin, end):
            at = _plane(table, word.IMAGE_STRIDES, number)
            image = argument(table, word.IMAGE) + size * at
            at = _plane(table, word.VALUES_STRIDES, number)
            gradient = argument(table, word.VALUES) + size * at
            at = _plane(table, word.INDEX_STRIDES, number)
            index = argument(table, word.INDEX) + 4 * at
            clear(table, image)
            for y in range(argument(table, word.OUT_HEIGHT)):
                for x in range(argument(table, word.OUT_WIDTH)):
                    place = load_index(index, x * argument(table, word.INDEX_STRIDES + 3))
                    give(table, image, gradient, i64(place), inverse, y, x)
                gradient += size * argument(table, word.VALUES_STRIDES + 2)
                index += 4 * argument(table, word.INDEX_STRIDES + 2)

    return max_pool2d_backward


def backward_tiles(dtype: str, height: int, width: int) -> Any:
    """The kernel of the gradient where the windows are tiles of an image of dense rows.

    What no window covers, at the right and at the bottom, becomes zero.
    """
    element = ELEMENTS[dtype]
    size, lanes = element.size, lanes_of(element)
    kind, places = vector(element, lanes), vector(i32, lanes)
    store, load_gradient = vector_storer(kind, IMAGE), vector_loader(kind, VALUES)
    load_places = vector_loader(places, INDEX)
    rows, columns = range(height), range(width)

    @inline
    def clear(image: int, begin: int, end: int) -> None:
        for x in range(begin, end, lanes):
            store(image, x, 0, end - x)

    @inline
    def row(image: int, given: Any, where: Any, first: int, x: int, count: int) -> None:
        """One row of `count` windows, whose first element is at place `first`."""
        spread = interleaved([select(where == i32(first + j), given, kind(0)) for j in columns])
        for j in columns:
            store(image, x * width + j * lanes, spread[j], count * width - j * lanes)

    def max_pool2d_backward_tiles(table: int, begin: int, end: int) -> None:
        down, extent = argument(table, word.IMAGE_STRIDES + 2), argument(table, word.OUT_WIDTH)
        for number in range(begin, end):
            at = _plane(table, word.IMAGE_STRIDES, number)
            image = argument(table, word.IMAGE) + size * at
            at = _plane(table, word.VALUES_STRIDES, number)
            gradient = argument(table, word.VALUES) + size * at
            at = _plane(table, word.INDEX_STRIDES, number)
            index = argument(table, word.INDEX) + 4 * at
            for _ in range(argument(table, word.OUT_HEIGHT)):
                for x in range(0, extent, lanes):
                    given = load_gradient(gradient, x, extent - x)
                    where = load_places(index, x, extent - x)
                    for i in rows:
                        row(image + size * i * down, given, where, i * width, x, extent - x)
                for i in rows:
                    clear(image + size * i * down, extent * width, argument(table, word.WIDTH))
                image += size * height * down
                gradient += size * argument(table, word.VALUES_STRIDES + 2)
                index += 4 * argument(table, word.INDEX_STRIDES + 2)
            for _ in range(argument(table, word.OUT_HEIGHT) * height, argument(table, word.HEIGHT)):
                clear(image, 0, argument(table, word.WIDTH))
                image += size * down

    return max_pool2d_backward_tiles
