"""Convolution and its gradients: windows laid out as columns, then a matrix product per sample.

Scratch of a worker: a copy of the weights, the columns of one group of one sample, a copy of that
group's planes of the result. Either copy is made only where the array does not lie in rows without
gaps.
"""

from __future__ import annotations

from typing import Any

from ..language import inline
from ..language.instructions import argument, loader, store_int, storer
from ..words import convolution as word
from .blas import gemm, one_thread, threads
from .columns import gather, places, scatter, taps
from .elements import REAL
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
def columns_size(table: int) -> int:
    """Elements of the columns of one group of a sample."""
    return (1 - argument(table, word.PLAIN)) * group_channels(table) * taps(table) * places(table)


@inline
def enter(table: int) -> Any:
    """Claim scratch and keep the library to one thread; returns what `leave` needs."""
    before = one_thread(argument(table, word.GET_THREADS), argument(table, word.SET_THREADS))
    block, scratch = argument(table, word.SCRATCH), 0
    if block != 0:
        scratch = claim(block)
    return scratch, before


@inline
def leave(table: int, scratch: int, before: int, error: int) -> None:
    """Undo `enter`, and report the library's error code."""
    if scratch != 0:
        release(argument(table, word.SCRATCH), scratch)
    threads(argument(table, word.SET_THREADS), before)
    if error != 0:
        store_int(argument(table, word.STATUS), 0, error)


class Parts:
    """The helpers that depend on the element type, compiled into the kernels that use them."""

    def __init__(self, flavour: str, dtype: str) -> None:
        self.element = REAL[dtype]
        self.size = self.element.size
        self.product = gemm(flavour, self.element)
        self.gather = gather(self.element)
        self.scatter = scatter(self.element)
        self.image = self._image()
        self.copy_weights = self._copy_weights()
        self.weights = self._weights()
        self.copy_result = self._copy_result()
        self.result = self._result()

    def _image(self) -> Any:
        size = self.size

        @inline
        def image(table: int, sample: int, channel: int) -> Any:
            """Address of a plane of the image."""
            at = sample * argument(table, word.IMAGE_STRIDES)
            at += channel * argument(table, word.IMAGE_STRIDES + 1)
            return argument(table, word.IMAGE) + size * at

        return image

    def _copy_weights(self) -> Any:
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

    def _weights(self) -> Any:
        copy = self.copy_weights

        @inline
        def weights(table: int, scratch: int) -> Any:
            """Address of the matrix of weights, and the stride of its rows."""
            if argument(table, word.COPY_WEIGHT) != 0:
                copy(table, scratch)
                return scratch, group_channels(table) * taps(table)
            return argument(table, word.WEIGHT), argument(table, word.WEIGHT_STRIDES)

        return weights

    def _copy_result(self) -> Any:
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

    def _result(self) -> Any:
        size, copy = self.size, self.copy_result

        @inline
        def result(table: int, scratch: int, sample: int, channel: int) -> Any:
            """Address of a matrix (channels of a group, positions), and the stride of its rows."""
            at = sample * argument(table, word.RESULT_STRIDES)
            at += channel * argument(table, word.RESULT_STRIDES + 1)
            array = argument(table, word.RESULT) + size * at
            if argument(table, word.COPY_RESULT) != 0:
                matrix = scratch + size * (weights_size(table) + columns_size(table))
                copy(table, array, matrix)
                return matrix, places(table)
            return array, argument(table, word.RESULT_STRIDES + 1)

        return result


def forward(flavour: str, dtype: str) -> Any:
    """The kernel of the convolution; its range counts samples."""
    parts = Parts(flavour, dtype)
    element, size, product, gather = parts.element, parts.size, parts.product, parts.gather
    image, weights, result = parts.image, parts.weights, parts.result

    def conv2d(table: int, begin: int, end: int) -> None:
        scratch, before = enter(table)
        matrix, row = weights(table, scratch)
        outputs, channels = group_outputs(table), group_channels(table)
        inner, error = channels * taps(table), 0
        for sample in range(begin, end):
            for group in range(argument(table, word.GROUPS)):
                columns, stride = image(table, sample, group * channels), places(table)
                if argument(table, word.PLAIN) != 0:
                    stride = argument(table, word.IMAGE_STRIDES + 1)
                else:
                    source, columns = columns, scratch + size * weights_size(table)
                    gather(table, columns, source, channels)
                target, step = result(table, scratch, sample, group * outputs)
                error |= product(
                    argument(table, word.GEMM), False, False, outputs, places(table), inner,
                    matrix + size * group * outputs * row, row, columns, stride,
                    element(0), target, step,
                )  # fmt: skip
        leave(table, scratch, before, error)

    return conv2d


def input_gradient(flavour: str, dtype: str) -> Any:
    """The kernel of the image's gradient; its range counts samples."""
    parts = Parts(flavour, dtype)
    element, size, product, scatter = parts.element, parts.size, parts.product, parts.scatter
    image, weights, result = parts.image, parts.weights, parts.result

    def conv2d_input_grad(table: int, begin: int, end: int) -> None:
        scratch, before = enter(table)
        matrix, row = weights(table, scratch)
        outputs, channels = group_outputs(table), group_channels(table)
        inner, error = channels * taps(table), 0
        for sample in range(begin, end):
            for group in range(argument(table, word.GROUPS)):
                source, step = result(table, scratch, sample, group * outputs)
                target, stride = image(table, sample, group * channels), places(table)
                columns = target
                if argument(table, word.PLAIN) != 0:
                    stride = argument(table, word.IMAGE_STRIDES + 1)
                else:
                    columns = scratch + size * weights_size(table)
                error |= product(
                    argument(table, word.GEMM), True, False, inner, places(table), outputs,
                    matrix + size * group * outputs * row, row, source, step,
                    element(0), columns, stride,
                )  # fmt: skip
                if argument(table, word.PLAIN) == 0:
                    scatter(table, columns, target, channels)
        leave(table, scratch, before, error)

    return conv2d_input_grad


def weight_gradient(flavour: str, dtype: str) -> Any:
    """The kernel of the weights' gradient; its range counts channels or output channels."""
    parts = Parts(flavour, dtype)
    element, size, product, gather = parts.element, parts.size, parts.product, parts.gather
    image, result = parts.image, parts.result
    store = storer(element)

    @inline
    def clear(matrix: int, rows: int, columns: int, row: int) -> None:
        for i in range(rows):
            for j in range(columns):
                store(matrix, i * row + j, 0)

    @inline
    def block(table: int, scratch: int, group: int, c0: int, c1: int, o0: int, o1: int) -> Any:
        """Weights of channels c0..c1 and outputs o0..o1 of a group, summed over the samples."""
        first = group * group_channels(table) + c0
        row = argument(table, word.WEIGHT_STRIDES)
        at = (group * group_outputs(table) + o0) * row + c0 * taps(table)
        weight = argument(table, word.WEIGHT) + size * at
        if argument(table, word.SAMPLES) == 0:
            clear(weight, o1 - o0, (c1 - c0) * taps(table), row)
        error = 0
        for sample in range(argument(table, word.SAMPLES)):
            columns, stride = image(table, sample, first), places(table)
            if argument(table, word.PLAIN) != 0:
                stride = argument(table, word.IMAGE_STRIDES + 1)
            else:
                source, columns = columns, scratch + size * weights_size(table)
                gather(table, columns, source, c1 - c0)
            gradient, step = result(table, scratch, sample, group * group_outputs(table))
            error |= product(
                argument(table, word.GEMM), False, True, o1 - o0, (c1 - c0) * taps(table),
                places(table), gradient + size * o0 * step, step, columns, stride,
                element(min(sample, 1)), weight, row,
            )  # fmt: skip
        return error

    def conv2d_weight_grad(table: int, begin: int, end: int) -> None:
        scratch, before = enter(table)
        outputs, channels = group_outputs(table), group_channels(table)
        span = outputs if argument(table, word.BY_OUTPUT) != 0 else channels
        error = 0
        while begin < end:
            group = begin // span
            first = begin - group * span
            last = min(span, first + end - begin)
            if argument(table, word.BY_OUTPUT) != 0:
                error |= block(table, scratch, group, 0, channels, first, last)
            else:
                error |= block(table, scratch, group, first, last, 0, outputs)
            begin += last - first
        leave(table, scratch, before, error)

    return conv2d_weight_grad
