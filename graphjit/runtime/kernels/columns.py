"""Windows of an image laid out as columns, and the way back.

The columns of a sample are a matrix (channels x places in the kernel, output positions).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..language import i64, inline, vector
from ..language.instructions import (
    argument,
    call,
    every_nth,
    lane_mask,
    loader,
    masked_loader,
    storer,
    vector_loader,
    vector_storer,
)
from ..language.types import Type, lanes_of
from ..words import convolution as word
from .elements import REAL

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
    stride, origin = argument(table, word.STRIDE_HEIGHT + axis), start(table, axis, place)
    first, last = -origin, argument(table, word.HEIGHT + axis) - origin
    if stride != 1:  # a division takes as long as a row of an image
        first, last = (first + stride - 1) // stride, (last + stride - 1) // stride
    extent = argument(table, word.OUT_HEIGHT + axis)
    first = min(extent, max(0, first))
    return first, max(first, min(extent, last))


#: `lay_out(address of a gather function, *its operands)`
lay_out = call(None, *[i64] * 6)


def gather(dtype: str) -> Callable[..., None]:
    """The function `gather(table, matrix, image, channels, first, last)`: columns of an image.

    Kernels call it by its address, so that its code is made once. Only of output rows first..last,
    and zero in the padding. `matrix` and `image` are addresses; the image's is of its first
    channel. The matrix is written by whole vectors from its beginning to its end: what one has too
    much is written over by the next, and the matrix is followed by room for a vector.
    """
    element = REAL[dtype]
    size, lanes = element.size, lanes_of(element)
    kind = vector(element, lanes)
    store = vector_storer(kind, MATRIX)
    rows = _rows(element)

    @inline
    def clear(matrix: int, count: int) -> None:
        for i in range(0, count, lanes):
            store(matrix, i, 0)

    @inline
    def line(
        table: int, matrix: int, image: int, j: int, above: int, count: int, below: int
    ) -> None:
        """One row of the matrix: the elements that place (i, j) of the kernel meets.

        In `count` rows of an image from address `image` on; others `above` and `below` are zero.
        """
        width, stride = argument(table, word.OUT_WIDTH), argument(table, word.IMAGE_STRIDES + 3)
        left, right = covered(table, 1, j)
        step = stride * argument(table, word.STRIDE_WIDTH)
        down = argument(table, word.IMAGE_STRIDES + 2) * argument(table, word.STRIDE_HEIGHT)
        source = image + size * (start(table, 1, j) * stride + left * step)
        clear(matrix, above * width)
        matrix += size * above * width
        rows(matrix, source, count, width, left, right, step, size * down)
        clear(matrix + size * count * width, below * width)

    def gather(table: int, matrix: int, image: int, channels: int, first: int, last: int) -> None:
        size_of_row = size * (last - first) * argument(table, word.OUT_WIDTH)
        row_stride = argument(table, word.IMAGE_STRIDES + 2)
        down = argument(table, word.STRIDE_HEIGHT)
        for channel in range(channels):
            source = image + size * channel * argument(table, word.IMAGE_STRIDES + 1)
            for i in range(argument(table, word.KERNEL_HEIGHT)):
                top, bottom = covered(table, 0, i)
                top = min(max(top, first), last)
                bottom = max(top, min(bottom, last))
                at = source + size * row_stride * (start(table, 0, i) + top * down)
                for j in range(argument(table, word.KERNEL_WIDTH)):
                    line(table, matrix, at, j, top - first, bottom - top, last - bottom)
                    matrix += size_of_row

    return gather


#: Rows of so many vectors have no loop inside the loop over rows.
_UNROLLED = 4


def _rows(element: Type) -> Callable[..., None]:
    """A helper `rows(matrix, image, count, width, left, right, step, down)`.

    Each row of `width` is zero but for left..right, where it has elements `step` apart from
    `image` on; the next ones are `down` bytes further.
    """
    size, lanes = element.size, lanes_of(element)
    kind = vector(element, lanes)
    store = vector_storer(kind, MATRIX)
    one_by_one, every_second = _element_copy(element), _second_copy(element)
    choices = [(n + 1, _vector_copy(element, n + 1)) for n in range(_UNROLLED)]
    any_number = _vector_copy(element, 0)

    def each_row(copy: Callable[..., None]) -> Callable[..., None]:
        @inline
        def each_row(
            matrix: int, image: int, count: int, width: int, left: int, right: int, step: int,
            down: int,
        ) -> None:  # fmt: skip
            for _ in range(count):
                for x in range(0, left, lanes):
                    store(matrix, x, 0)
                copy(matrix + size * left, image, right - left, step)
                for x in range(right, width, lanes):
                    store(matrix, x, 0)
                matrix += size * width
                image += down

        return each_row

    scattered, second, long = map(each_row, (one_by_one, every_second, any_number))
    short = [(n * lanes, each_row(copy)) for n, copy in choices]

    @inline
    def rows(
        matrix: int, image: int, count: int, width: int, left: int, right: int, step: int,
        down: int,
    ) -> None:  # fmt: skip
        span = right - left
        if step == 2:
            second(matrix, image, count, width, left, right, step, down)
        elif step != 1:
            scattered(matrix, image, count, width, left, right, step, down)
        elif span > _UNROLLED * lanes:
            long(matrix, image, count, width, left, right, step, down)
        else:
            for most, copy in short:
                if most - lanes < span <= most:
                    copy(matrix, image, count, width, left, right, step, down)

    return rows


def _vector_copy(element: Type, vectors: int) -> Callable[..., None]:
    """A copy of `count` neighbours by so many vectors, 0 for any number above one."""
    lanes = lanes_of(element)
    kind = vector(element, lanes)
    load, store = vector_loader(kind, IMAGE), vector_storer(kind, MATRIX)
    known = range(vectors - 1)

    @inline
    def copy(matrix: int, image: int, count: int, step: int) -> None:
        last = count - lanes
        if vectors == 1:
            store(matrix, 0, load(image, 0, count))
        else:
            if vectors == 0:
                for x in range(0, last, lanes):
                    store(matrix, x, load(image, x))
            else:
                for n in known:
                    store(matrix, n * lanes, load(image, n * lanes))
            store(matrix, last, load(image, last))

    return copy


def _second_copy(element: Type) -> Callable[..., None]:
    """A copy of `count` elements of which every second is left out."""
    lanes = lanes_of(element)
    kind = vector(element, lanes)
    load, store = vector_loader(kind, IMAGE), vector_storer(kind, MATRIX)
    halves = range(2)

    @inline
    def copy(matrix: int, image: int, count: int, step: int) -> None:
        for x in range(0, count, lanes):
            at, last = 2 * x, 2 * (count - x) - 1
            parts = [load(image, at + h * lanes, last - h * lanes) for h in halves]
            store(matrix, x, every_nth(parts))

    return copy


def _element_copy(element: Type) -> Callable[..., None]:
    load, store = loader(element, IMAGE), storer(element, MATRIX)

    @inline
    def copy(matrix: int, image: int, count: int, step: int) -> None:
        for x in range(count):
            store(matrix, x, load(image, x * step))

    return copy


def scatter(element: Type, across: int) -> Callable[..., None]:
    """A helper `scatter(table, matrix, image, channels, first, last)`: adds columns to an image.

    Those of output rows first..last. Elements that earlier rows give nothing are set, so that
    all rows, in order, set the whole image. `across` is the kernel's width, or 0 if it is not
    known while compiling.
    """
    size = element.size
    dense, spread = _sum_dense(element, across), _sum_spread(element)

    @inline
    def scatter(
        table: int, matrix: int, image: int, channels: int, first: int, last: int
    ) -> None:
        strides = argument(table, word.STRIDE_HEIGHT) * argument(table, word.STRIDE_WIDTH)
        row = (last - first) * argument(table, word.OUT_WIDTH)
        for channel in range(channels):
            target = image + size * channel * argument(table, word.IMAGE_STRIDES + 1)
            source = matrix + size * channel * taps(table) * row
            if strides * argument(table, word.IMAGE_STRIDES + 3) == 1:
                dense(table, source, target, first, last)
            else:
                spread(table, source, target, first, last)

    return scatter


def _sum_dense(element: Type, across: int) -> Callable[..., None]:
    """A helper for strides of 1: each element of the image is summed up in a register."""
    size, lanes = element.size, lanes_of(element)
    kind = vector(element, lanes)
    load, load_image = masked_loader(kind, MATRIX), vector_loader(kind, IMAGE)
    store = vector_storer(kind, IMAGE)
    known = range(across)

    @inline
    def mask(table: int, x: int, j: int) -> Any:
        """Which of the elements from column x of the image have an output that meets them at j."""
        out_x = x - start(table, 1, j)
        return lane_mask(kind, -out_x, argument(table, word.OUT_WIDTH) - out_x)

    @inline
    def taps_sum(table: int, row: int, step: int, x: int, masks: Any) -> Any:
        """What places (i, j), for all j, give elements from column x; `row` is that of (i, 0)."""
        at, total = row + size * (x - start(table, 1, 0)), kind(0)
        step -= argument(table, word.DILATION_WIDTH)
        if across > 0:
            for j in known:
                total += load(at, j * step, masks[j])
        else:
            for j in range(argument(table, word.KERNEL_WIDTH)):
                total += load(at, j * step, mask(table, x, j))
        return total

    @inline
    def place_sum(
        table: int, matrix: int, y: int, x: int, masks: Any, first: int, last: int
    ) -> Any:
        """Sum of what lands on a vector of elements from (y, x) of the image."""
        width, columns = argument(table, word.OUT_WIDTH), argument(table, word.KERNEL_WIDTH)
        step, total = (last - first) * width, kind(0)
        for i in range(argument(table, word.KERNEL_HEIGHT)):
            out_y = y - start(table, 0, i)
            if first <= out_y < last:
                row = matrix + size * (i * columns * step + (out_y - first) * width)
                total += taps_sum(table, row, step, x, masks)
        return total

    @inline
    def fresh(table: int, out_y: int) -> int:
        """The first row of the image on which no output row before `out_y` lands."""
        height = argument(table, word.HEIGHT)
        row = out_y + start(table, 0, argument(table, word.KERNEL_HEIGHT) - 1)
        inside = 0 < out_y < argument(table, word.OUT_HEIGHT)
        border = 0 if out_y == 0 else height
        return min(max(row, 0), height) if inside else border

    @inline
    def dense(table: int, matrix: int, image: int, first: int, last: int) -> None:
        width, down = argument(table, word.WIDTH), size * argument(table, word.IMAGE_STRIDES + 2)
        begin, end = fresh(table, first), fresh(table, last)
        top = min(begin, max(0, first + start(table, 0, 0)))
        for x in range(0, width, lanes):
            row, masks = image + top * down, [mask(table, x, j) for j in known]
            for y in range(top, end):
                total = place_sum(table, matrix, y, x, masks, first, last)
                if y < begin:
                    total += load_image(row, x, width - x)
                store(row, x, total, width - x)
                row += down

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
    def plane(table: int, matrix: int, image: int, i: int, j: int, first: int, last: int) -> None:
        """Add what output rows first..last have for place (i, j) of the kernel."""
        row_stride = argument(table, word.IMAGE_STRIDES + 2)
        stride = argument(table, word.IMAGE_STRIDES + 3)
        top, bottom = covered(table, 0, i)
        left, right = covered(table, 1, j)
        step = stride * argument(table, word.STRIDE_WIDTH)
        down = size * row_stride * argument(table, word.STRIDE_HEIGHT)
        origin = start(table, 0, i) * row_stride + start(table, 1, j) * stride
        for k in range(max(top, first), min(bottom, last)):
            target = image + size * origin + k * down
            source = matrix + size * (k - first) * argument(table, word.OUT_WIDTH)
            for x in range(left, right):
                store(target, x * step, load(target, x * step) + load_matrix(source, x))

    @inline
    def spread(table: int, matrix: int, image: int, first: int, last: int) -> None:
        if first == 0:
            clear(table, image)
        for i in range(argument(table, word.KERNEL_HEIGHT)):
            for j in range(argument(table, word.KERNEL_WIDTH)):
                plane(table, matrix, image, i, j, first, last)
                matrix += size * (last - first) * argument(table, word.OUT_WIDTH)

    return spread
