"""Convolution and its gradients: windows laid out as columns, then a matrix product.

For a chunk of a group of a sample at a time, so that the columns stay in cache. Scratch of a
worker, in this order: a copy of the weights, the columns of a chunk, a copy of a group's planes of
the result, and what the weights' gradient needs besides. The copies are made only of arrays that
do not lie in rows without gaps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..language import inline
from ..language.instructions import argument, loader, storer
from ..words import convolution as word
from .columns import gather, places, scatter, taps
from .elements import REAL
from .packing import pack
from .products import multiply
from .scratch import claim, release


@inline
def group_channels(table: int) -> int:
    """Channels of the image that an output channel sees."""
    return argument(table, word.CHANNELS) // argument(table, word.GROUPS)


@inline
def group_outputs(table: int) -> int:
    """Output channels of one group."""
    return argument(table, word.OUT_CHANNELS) // argument(table, word.GROUPS)


@inline
def weights_size(table: int) -> int:
    """Elements of the copy of the weights."""
    copied = argument(table, word.COPY_WEIGHT)
    return copied * argument(table, word.OUT_CHANNELS) * group_channels(table) * taps(table)


@inline
def result_size(table: int) -> int:
    """Elements of the copy of a group's planes of the result."""
    return argument(table, word.COPY_RESULT) * group_outputs(table) * places(table)


@inline
def enter(table: int) -> int:
    """Claim scratch, if any is needed."""
    block, scratch = argument(table, word.SCRATCH), 0
    if block != 0:
        scratch = claim(block)
    return scratch


@inline
def leave(table: int, scratch: int) -> None:
    """Undo `enter`."""
    if scratch != 0:
        release(argument(table, word.SCRATCH), scratch)


class Parts:
    """The helpers that depend on the element type, compiled into the kernels that use them."""

    def __init__(self, dtype: str) -> None:
        self.element = REAL[dtype]
        self.size = self.element.size
        self.gather = gather(self.element)
        self.image = self._image()
        self.columns = self._columns()
        self.copy_weights = self._copy_weights()
        self.weights = self._weights()
        self.copy_result = self._copy_result()
        self.result = self._result()

    def _image(self) -> Callable[..., int]:
        size = self.size

        @inline
        def image(table: int, sample: int, channel: int) -> int:
            """Address of a plane of the image."""
            at = sample * argument(table, word.IMAGE_STRIDES)
            at += channel * argument(table, word.IMAGE_STRIDES + 1)
            return argument(table, word.IMAGE) + size * at

        return image

    def _columns(self) -> Callable[..., Any]:
        size, gather = self.size, self.gather

        @inline
        def columns(
            table: int, scratch: int, source: int, channels: int, first: int, last: int
        ) -> Any:
            """Address of the columns of output rows first..last, and the stride of their rows."""
            width = argument(table, word.OUT_WIDTH)
            target = source + size * first * width
            stride = argument(table, word.IMAGE_STRIDES + 1)
            if argument(table, word.PLAIN) == 0:
                target, stride = scratch + size * weights_size(table), (last - first) * width
                gather(table, target, source, channels, first, last)
            return target, stride

        return columns

    def _copy_weights(self) -> Callable[..., None]:
        size, load, store = self.size, loader(self.element), storer(self.element)

        @inline
        def copy(table: int, matrix: int) -> None:
            strides, weight = table + 8 * word.WEIGHT_STRIDES, argument(table, word.WEIGHT)
            for row in range(argument(table, word.OUT_CHANNELS)):
                for channel in range(group_channels(table)):
                    for i in range(argument(table, word.KERNEL_HEIGHT)):
                        for j in range(argument(table, word.KERNEL_WIDTH)):
                            at = row * argument(strides, 0) + channel * argument(strides, 1)
                            at += i * argument(strides, 2) + j * argument(strides, 3)
                            store(matrix, 0, load(weight, at))
                            matrix += size

        return copy

    def _weights(self) -> Callable[..., Any]:
        copy = self.copy_weights

        @inline
        def weights(table: int, scratch: int) -> Any:
            """Address of the matrix of weights, and the stride of its rows."""
            matrix, row = argument(table, word.WEIGHT), argument(table, word.WEIGHT_STRIDES)
            if argument(table, word.COPY_WEIGHT) != 0:
                matrix, row = scratch, group_channels(table) * taps(table)
                copy(table, scratch)
            return matrix, row

        return weights

    def _copy_result(self) -> Callable[..., None]:
        size, load, store = self.size, loader(self.element), storer(self.element)

        @inline
        def copy(table: int, result: int, matrix: int) -> None:
            strides = table + 8 * word.RESULT_STRIDES
            for channel in range(group_outputs(table)):
                for y in range(argument(table, word.OUT_HEIGHT)):
                    for x in range(argument(table, word.OUT_WIDTH)):
                        at = channel * argument(strides, 1) + y * argument(strides, 2)
                        at += x * argument(strides, 3)
                        store(matrix, 0, load(result, at))
                        matrix += size

        return copy

    def _result(self) -> Callable[..., Any]:
        size, copy = self.size, self.copy_result

        @inline
        def result(table: int, scratch: int, sample: int, channel: int) -> Any:
            """Address of a matrix (channels of a group, positions), and the stride of its rows."""
            at = sample * argument(table, word.RESULT_STRIDES)
            at += channel * argument(table, word.RESULT_STRIDES + 1)
            matrix = argument(table, word.RESULT) + size * at
            row = argument(table, word.RESULT_STRIDES + 1)
            if argument(table, word.COPY_RESULT) != 0:
                array, row = matrix, places(table)
                matrix = scratch + size * (weights_size(table) + argument(table, word.COLUMNS_SIZE))
                copy(table, array, matrix)
            return matrix, row

        return result


def forward(dtype: str) -> Callable[..., None]:
    """The kernel of the convolution; its range counts samples."""
    parts = Parts(dtype)
    size, columns, image = parts.size, parts.columns, parts.image
    weights, result = parts.weights, parts.result

    @inline
    def chunk(
        table: int, scratch: int, source: int, matrix: int, row: int, target: int, step: int,
        first: int, last: int,
    ) -> None:  # fmt: skip
        """Output rows first..last of a group of a sample."""
        channels, width = group_channels(table), argument(table, word.OUT_WIDTH)
        right, stride = columns(table, scratch, source, channels, first, last)
        multiply(
            argument(table, word.PRODUCT), matrix, row, 1, right, stride, 1,
            target + size * first * width, step,
            channels * taps(table), group_outputs(table), (last - first) * width, 0, 0, 0,
        )  # fmt: skip

    def conv2d(table: int, begin: int, end: int) -> None:
        scratch = enter(table)
        matrix, row = weights(table, scratch)
        outputs, channels = group_outputs(table), group_channels(table)
        height, rows = argument(table, word.OUT_HEIGHT), argument(table, word.CHUNK)
        for sample in range(begin, end):
            for group in range(argument(table, word.GROUPS)):
                source = image(table, sample, group * channels)
                left = matrix + size * group * outputs * row
                target, step = result(table, scratch, sample, group * outputs)
                for y in range(0, height, rows):
                    last = min(height, y + rows)
                    chunk(table, scratch, source, left, row, target, step, y, last)
        leave(table, scratch)

    return conv2d


def input_gradient(dtype: str, across: int) -> Callable[..., None]:
    """The kernel of the image's gradient; its range counts samples.

    `across` is the kernel's width, or 0 if it is not known while compiling.
    """
    parts = Parts(dtype)
    size, sum_up = parts.size, scatter(parts.element, across)
    image, weights, result = parts.image, parts.weights, parts.result

    @inline
    def chunk(
        table: int, scratch: int, matrix: int, row: int, source: int, step: int, target: int,
        channels: int,
    ) -> None:  # fmt: skip
        """Some channels of a group of a sample."""
        columns, stride = target, argument(table, word.IMAGE_STRIDES + 1)
        if argument(table, word.PLAIN) == 0:
            columns, stride = scratch + size * weights_size(table), places(table)
        multiply(
            argument(table, word.PRODUCT), matrix, 1, row, source, step, 1, columns, stride,
            group_outputs(table), channels * taps(table), places(table), 0, 0, 0,
        )  # fmt: skip
        if argument(table, word.PLAIN) == 0:
            sum_up(table, columns, target, channels)

    def conv2d_input_grad(table: int, begin: int, end: int) -> None:
        scratch = enter(table)
        matrix, row = weights(table, scratch)
        outputs, channels = group_outputs(table), group_channels(table)
        some = argument(table, word.CHUNK)
        for sample in range(begin, end):
            for group in range(argument(table, word.GROUPS)):
                source, step = result(table, scratch, sample, group * outputs)
                for channel in range(0, channels, some):
                    left = matrix + size * (group * outputs * row + channel * taps(table))
                    target = image(table, sample, group * channels + channel)
                    count = min(some, channels - channel)
                    chunk(table, scratch, left, row, source, step, target, count)
        leave(table, scratch)

    return conv2d_input_grad


def weight_gradient(dtype: str) -> Callable[..., None]:
    """The kernel of the weights' gradient; its range counts channels or output channels.

    It is summed up as its transpose, (channels x kernel, outputs): packing the gradient of the
    result for that costs less than packing the columns.
    """
    parts = Parts(dtype)
    element, size, columns = parts.element, parts.size, parts.columns
    image, result, copy, store = parts.image, parts.result, pack(element), storer(element)

    @inline
    def clear(matrix: int, count: int) -> None:
        for i in range(count):
            store(matrix, i, element(0))

    @inline
    def add_sample(
        table: int, scratch: int, sums: int, sample: int, first: int, channels: int, output: int,
        outputs: int,
    ) -> None:  # fmt: skip
        """Add a sample's part of the transposed gradient of some channels and outputs."""
        space = sums + size * group_channels(table) * taps(table) * group_outputs(table)
        height, rows = argument(table, word.OUT_HEIGHT), argument(table, word.CHUNK)
        width, source = argument(table, word.OUT_WIDTH), image(table, sample, first)
        group = output // group_outputs(table) * group_outputs(table)
        planes, step = result(table, scratch, sample, group)
        planes += size * (output - group) * step
        for y in range(0, height, rows):
            last = min(height, y + rows)
            left, stride = columns(table, scratch, source, channels, y, last)
            multiply(
                argument(table, word.PRODUCT), left, stride, 1, planes + size * y * width, 1, step,
                sums, outputs, (last - y) * width, channels * taps(table), outputs, sample + y,
                0, space,
            )  # fmt: skip

    @inline
    def block(table: int, scratch: int, group: int, c0: int, c1: int, o0: int, o1: int) -> None:
        """Weights of channels c0..c1 and outputs o0..o1 of a group, summed over the samples."""
        rows, outputs = (c1 - c0) * taps(table), o1 - o0
        sums = weights_size(table) + argument(table, word.COLUMNS_SIZE) + result_size(table)
        sums = scratch + size * sums
        channel = group * group_channels(table) + c0
        output = group * group_outputs(table) + o0
        if argument(table, word.SAMPLES) == 0:
            clear(sums, rows * outputs)
        for sample in range(argument(table, word.SAMPLES)):
            add_sample(table, scratch, sums, sample, channel, c1 - c0, output, outputs)
        row = argument(table, word.WEIGHT_STRIDES)
        weight = argument(table, word.WEIGHT) + size * (output * row + c0 * taps(table))
        copy(weight, row, sums, outputs, rows, 1, outputs)

    def conv2d_weight_grad(table: int, begin: int, end: int) -> None:
        scratch = enter(table)
        outputs, channels = group_outputs(table), group_channels(table)
        by_output = argument(table, word.BY_OUTPUT) != 0
        span = outputs if by_output else channels
        while begin < end:
            group = begin // span
            first = begin - group * span
            last = min(span, first + end - begin)
            c0, c1 = (0 if by_output else first), (channels if by_output else last)
            o0, o1 = (first if by_output else 0), (last if by_output else outputs)
            block(table, scratch, group, c0, c1, o0, o1)
            begin += last - first
        leave(table, scratch)

    return conv2d_weight_grad
