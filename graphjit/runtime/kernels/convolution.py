"""Convolution and its gradients: windows laid out as columns, then a matrix product per sample.

Scratch of a worker, in this order: a copy of the weights, the columns of one group of one sample, a
copy of that group's planes of the result, and what the weights' gradient needs besides. The copies
are made only of arrays that do not lie in rows without gaps.
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
from .scratch import claim, release
from .tiles import product


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
def columns_size(table: int) -> int:
    """Elements of the columns of one group of a sample."""
    return (1 - argument(table, word.PLAIN)) * group_channels(table) * taps(table) * places(table)


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
        self.product = product(self.element)
        self.gather = gather(self.element)
        self.scatter = scatter(self.element)
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
        size, image, gather = self.size, self.image, self.gather

        @inline
        def columns(table: int, scratch: int, sample: int, first: int, count: int) -> Any:
            """Address of the columns of `count` channels from `first`, and their rows' stride."""
            source = image(table, sample, first)
            target, stride = source, argument(table, word.IMAGE_STRIDES + 1)
            if argument(table, word.PLAIN) == 0:
                target, stride = scratch + size * weights_size(table), places(table)
                gather(table, target, source, count)
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
                matrix = scratch + size * (weights_size(table) + columns_size(table))
                copy(table, array, matrix)
            return matrix, row

        return result


def forward(dtype: str) -> Callable[..., None]:
    """The kernel of the convolution; its range counts samples."""
    parts = Parts(dtype)
    size, multiply, columns = parts.size, parts.product, parts.columns
    weights, result = parts.weights, parts.result

    def conv2d(table: int, begin: int, end: int) -> None:
        scratch = enter(table)
        matrix, row = weights(table, scratch)
        outputs, channels = group_outputs(table), group_channels(table)
        for sample in range(begin, end):
            for group in range(argument(table, word.GROUPS)):
                right, stride = columns(table, scratch, sample, group * channels, channels)
                target, step = result(table, scratch, sample, group * outputs)
                multiply(
                    matrix + size * group * outputs * row, row, 1, right, stride, 1, target, step,
                    channels * taps(table), outputs, places(table), 0, 0,
                )  # fmt: skip
        leave(table, scratch)

    return conv2d


def input_gradient(dtype: str) -> Callable[..., None]:
    """The kernel of the image's gradient; its range counts samples."""
    parts = Parts(dtype)
    size, multiply, scatter = parts.size, parts.product, parts.scatter
    image, weights, result = parts.image, parts.weights, parts.result

    def conv2d_input_grad(table: int, begin: int, end: int) -> None:
        scratch = enter(table)
        matrix, row = weights(table, scratch)
        outputs, channels = group_outputs(table), group_channels(table)
        for sample in range(begin, end):
            for group in range(argument(table, word.GROUPS)):
                source, step = result(table, scratch, sample, group * outputs)
                target = image(table, sample, group * channels)
                columns, stride = target, argument(table, word.IMAGE_STRIDES + 1)
                if argument(table, word.PLAIN) == 0:
                    columns, stride = scratch + size * weights_size(table), places(table)
                multiply(
                    matrix + size * group * outputs * row, 1, row, source, step, 1, columns, stride,
                    outputs, channels * taps(table), places(table), 0, 0,
                )  # fmt: skip
                if argument(table, word.PLAIN) == 0:
                    scatter(table, columns, target, channels)
        leave(table, scratch)

    return conv2d_input_grad


def weight_gradient(dtype: str) -> Callable[..., None]:
    """The kernel of the weights' gradient; its range counts channels or output channels.

    It is summed up as its transpose, (channels x kernel, outputs): packing the gradient of the
    result for that costs less than packing the columns.
    """
    parts = Parts(dtype)
    element, size, multiply, columns = parts.element, parts.size, parts.product, parts.columns
    result, copy, store = parts.result, pack(parts.element), storer(parts.element)

    @inline
    def clear(matrix: int, count: int) -> None:
        for i in range(count):
            store(matrix, i, element(0))

    @inline
    def block(table: int, scratch: int, group: int, c0: int, c1: int, o0: int, o1: int) -> None:
        """Weights of channels c0..c1 and outputs o0..o1 of a group, summed over the samples."""
        first, rows = group * group_channels(table) + c0, (c1 - c0) * taps(table)
        sums = scratch + size * (weights_size(table) + columns_size(table) + result_size(table))
        space = sums + size * group_channels(table) * taps(table) * group_outputs(table)
        if argument(table, word.SAMPLES) == 0:
            clear(sums, rows * (o1 - o0))
        for sample in range(argument(table, word.SAMPLES)):
            left, stride = columns(table, scratch, sample, first, c1 - c0)
            gradient, step = result(table, scratch, sample, group * group_outputs(table))
            multiply(
                left, stride, 1, gradient + size * o0 * step, 1, step, sums, o1 - o0,
                places(table), rows, o1 - o0, sample, space,
            )  # fmt: skip
        row = argument(table, word.WEIGHT_STRIDES)
        at = (group * group_outputs(table) + o0) * row + c0 * taps(table)
        weight = argument(table, word.WEIGHT) + size * at
        copy(weight, row, sums, o1 - o0, rows, 1, o1 - o0)

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
