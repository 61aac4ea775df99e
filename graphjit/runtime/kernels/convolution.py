"""Convolution and its gradients: windows laid out as columns, then a matrix product.

For some channels of some output rows at a time, or of some samples with small planes, so that the
columns stay in cache. What is copied - columns, operands that do not lie in rows without gaps -
has its place in the scratch of a worker, which the table tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..language import inline
from ..language.instructions import argument, loader, storer
from ..words import convolution as word
from .columns import lay_out, places, scatter, taps
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


@inline
def place(table: int, scratch: int, at: int) -> int:
    """Address of a part of the scratch, given the word that tells where; 0 if it is not needed."""
    offset = argument(table, at)
    return scratch + offset if offset != 0 else 0


class Parts:
    """The helpers that depend on the element type, compiled into the kernels that use them."""

    def __init__(self, dtype: str) -> None:
        self.element = REAL[dtype]
        self.size = self.element.size
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
        size, image = self.size, self.image

        @inline
        def columns(
            table: int, scratch: int, sample: int, count: int, channel: int, channels: int,
            first: int, last: int,
        ) -> Any:  # fmt: skip
            """Columns of output rows first..last of some channels of some samples.

            Their address, the stride of their rows, and that from one sample to the next.
            """
            width = argument(table, word.OUT_WIDTH)
            target = image(table, sample, channel) + size * first * width
            row, next = argument(table, word.IMAGE_STRIDES + 1), argument(table, word.IMAGE_STRIDES)
            if argument(table, word.COLUMNS_AT) != 0:
                target, row = place(table, scratch, word.COLUMNS_AT), (last - first) * width
                next = channels * taps(table) * row
                for i in range(count):
                    source = image(table, sample + i, channel)
                    lay_out(
                        argument(table, word.GATHER), table, target + size * i * next, source,
                        channels, first, last,
                    )  # fmt: skip
            return target, row, next

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
            if argument(table, word.WEIGHT_AT) != 0:
                matrix = place(table, scratch, word.WEIGHT_AT)
                row = group_channels(table) * taps(table)
                copy(table, matrix)
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
            if argument(table, word.RESULT_AT) != 0:
                array, row = matrix, places(table)
                matrix = place(table, scratch, word.RESULT_AT)
                copy(table, array, matrix)
            return matrix, row

        return result


def forward(dtype: str) -> Callable[..., None]:
    """The kernel of the convolution; its range counts samples."""
    parts = Parts(dtype)
    size, columns, weights, result = parts.size, parts.columns, parts.weights, parts.result

    @inline
    def chunk(
        table: int, scratch: int, sample: int, count: int, group: int, matrix: int, row: int,
        first: int, last: int,
    ) -> None:  # fmt: skip
        """Output rows first..last of a group of some samples."""
        channels, outputs = group_channels(table), group_outputs(table)
        width, some = argument(table, word.OUT_WIDTH), argument(table, word.CHANNEL_STEP)
        matrix += size * group * outputs * row
        target, step = result(table, scratch, sample, group * outputs)
        for c in range(0, channels, some):
            terms = min(some, channels - c)
            right, stride, next = columns(
                table, scratch, sample, count, group * channels + c, terms, first, last
            )
            multiply(
                argument(table, word.PRODUCT), matrix + size * c * taps(table), row, 1,
                right, stride, 1, next,
                target + size * first * width, step, argument(table, word.RESULT_STRIDES), count,
                terms * taps(table), outputs, (last - first) * width, c,
                place(table, scratch, word.LEFT_AT), place(table, scratch, word.RIGHT_AT),
            )  # fmt: skip

    def conv2d(table: int, begin: int, end: int) -> None:
        scratch = enter(table)
        matrix, row = weights(table, scratch)
        height, rows = argument(table, word.OUT_HEIGHT), argument(table, word.ROW_STEP)
        samples = argument(table, word.SAMPLE_STEP)
        for sample in range(begin, end, samples):
            count = min(samples, end - sample)
            for group in range(argument(table, word.GROUPS)):
                for y in range(0, height, rows):
                    last = min(height, y + rows)
                    chunk(table, scratch, sample, count, group, matrix, row, y, last)
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
        table: int, scratch: int, matrix: int, row: int, source: int, step: int,
        sample: int, count: int, channel: int, channels: int, first: int, last: int,
    ) -> None:  # fmt: skip
        """What output rows first..last give some channels of some samples."""
        width, target = argument(table, word.OUT_WIDTH), image(table, sample, channel)
        stride, next = argument(table, word.IMAGE_STRIDES + 1), argument(table, word.IMAGE_STRIDES)
        plain = argument(table, word.COLUMNS_AT) == 0
        if not plain:
            target, stride = place(table, scratch, word.COLUMNS_AT), (last - first) * width
            next = channels * taps(table) * stride
        multiply(
            argument(table, word.PRODUCT), matrix, 1, row,
            source + size * first * width, step, 1, argument(table, word.RESULT_STRIDES),
            target, stride, next, count,
            group_outputs(table), channels * taps(table), (last - first) * width, 0,
            place(table, scratch, word.LEFT_AT), place(table, scratch, word.RIGHT_AT),
        )  # fmt: skip
        if not plain:
            for i in range(count):
                plane = image(table, sample + i, channel)
                sum_up(table, target + size * i * next, plane, channels, first, last)

    @inline
    def planes(
        table: int, scratch: int, matrix: int, row: int, sample: int, count: int, group: int
    ) -> None:
        """A group of some samples."""
        outputs, channels = group_outputs(table), group_channels(table)
        height, rows = argument(table, word.OUT_HEIGHT), argument(table, word.ROW_STEP)
        some = argument(table, word.CHANNEL_STEP)
        source, step = result(table, scratch, sample, group * outputs)
        for c in range(0, channels, some):
            left = matrix + size * (group * outputs * row + c * taps(table))
            for y in range(0, height, rows):
                chunk(
                    table, scratch, left, row, source, step, sample, count,
                    group * channels + c, min(some, channels - c), y, min(height, y + rows),
                )  # fmt: skip

    def conv2d_input_grad(table: int, begin: int, end: int) -> None:
        scratch = enter(table)
        matrix, row = weights(table, scratch)
        samples = argument(table, word.SAMPLE_STEP)
        for sample in range(begin, end, samples):
            for group in range(argument(table, word.GROUPS)):
                planes(table, scratch, matrix, row, sample, min(samples, end - sample), group)
        leave(table, scratch)

    return conv2d_input_grad


def weight_gradient(dtype: str) -> Callable[..., None]:
    """The kernel of the weights' gradient; its range counts channels or output channels.

    It is summed up as its transpose, (channels x kernel, outputs): packing the gradient of the
    result for that costs less than packing the columns.
    """
    parts = Parts(dtype)
    element, size, columns = parts.element, parts.size, parts.columns
    result, copy, store = parts.result, pack(element), storer(element)

    @inline
    def clear(matrix: int, count: int) -> None:
        for i in range(count):
            store(matrix, i, element(0))

    @inline
    def add_sample(
        table: int, scratch: int, sample: int, first: int, channels: int, output: int, outputs: int
    ) -> None:
        """Add a sample's part of the transposed gradient of some channels and outputs."""
        height, rows = argument(table, word.OUT_HEIGHT), argument(table, word.ROW_STEP)
        width = argument(table, word.OUT_WIDTH)
        group = output // group_outputs(table) * group_outputs(table)
        planes, step = result(table, scratch, sample, group)
        planes += size * (output - group) * step
        for y in range(0, height, rows):
            last = min(height, y + rows)
            left, stride, _ = columns(table, scratch, sample, 1, first, channels, y, last)
            multiply(
                argument(table, word.PRODUCT), left, stride, 1,
                planes + size * y * width, 1, step, 0,
                place(table, scratch, word.SUMS_AT), outputs, 0, 1,
                (last - y) * width, channels * taps(table), outputs, sample + y,
                place(table, scratch, word.LEFT_AT), place(table, scratch, word.RIGHT_AT),
            )  # fmt: skip

    @inline
    def block(
        table: int, scratch: int, group: int, c: int, channels: int, o: int, outputs: int
    ) -> None:
        """Weights of some channels from c and outputs from o of a group, over all samples."""
        rows, sums = channels * taps(table), place(table, scratch, word.SUMS_AT)
        channel = group * group_channels(table) + c
        output = group * group_outputs(table) + o
        if argument(table, word.SAMPLES) == 0:
            clear(sums, rows * outputs)
        for sample in range(argument(table, word.SAMPLES)):
            add_sample(table, scratch, sample, channel, channels, output, outputs)
        row = argument(table, word.WEIGHT_STRIDES)
        weight = argument(table, word.WEIGHT) + size * (output * row + c * taps(table))
        copy(weight, row, sums, outputs, rows, 1, outputs)

    def conv2d_weight_grad(table: int, begin: int, end: int) -> None:
        scratch = enter(table)
        outputs, channels = group_outputs(table), group_channels(table)
        by_output, some = argument(table, word.BY_OUTPUT) != 0, argument(table, word.CHANNEL_STEP)
        span = outputs if by_output else channels
        while begin < end:
            group = begin // span
            first = begin - group * span
            last = min(span, first + end - begin)
            c0, c1 = (0 if by_output else first), (channels if by_output else last)
            o0, o1 = (first if by_output else 0), (last if by_output else outputs)
            for c in range(c0, c1, some):
                block(table, scratch, group, c, min(some, c1 - c), o0, o1 - o0)
            begin += last - first
        leave(table, scratch)

    return conv2d_weight_grad
