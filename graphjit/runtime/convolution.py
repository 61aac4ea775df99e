"""Instructions for two-dimensional convolution and its gradients, in NCHW.

Reads layouts; makes calls of library kernels that lay windows out as columns and multiply matrices.
Arrays that are read may have any strides.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..dtypes import float32, float64
from . import gemm, library
from .instruction import Argument, Instruction, Layout, Scratch, row_major
from .kernels import tiling
from .words import convolution as word

Pair = tuple[int, int]

#: Widths of kernels for which the image's gradient has code of its own.
UNROLLED_WIDTHS = (3, 5)
#: Elements that are laid out as columns at a time: what a second-level cache holds.
CHUNK = 192 * 1024


@dataclass(frozen=True, slots=True)
class Convolution:
    """The three arrays of a convolution, one of which is computed, and its geometry."""

    image: Layout
    weight: Layout
    result: Layout
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def taps(self) -> int:
        """Places in the kernel."""
        return self.weight.shape[2] * self.weight.shape[3]

    @property
    def group_taps(self) -> int:
        """Rows of the columns of one group."""
        return self.image.shape[1] // self.groups * self.taps

    @property
    def group_outputs(self) -> int:
        """Output channels of one group."""
        return self.weight.shape[0] // self.groups

    @property
    def places(self) -> int:
        """Output positions of one plane."""
        return self.result.shape[2] * self.result.shape[3]

    @property
    def plain(self) -> bool:
        """Whether the image's planes are the columns."""
        unit = (self.stride, self.padding, self.taps) == ((1, 1), (0, 0), 1)
        return unit and _planes_are_rows(self.image)


def conv2d(
    image: Layout,
    weight: Layout,
    result: Layout,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Instruction:
    """An instruction for `result = conv2d(image, weight)`, split by samples.

    ValueError if the dtype is neither float32 nor float64, an operand is empty, or the planes of
    the result do not lie in memory row by row.
    """
    c = Convolution(image, weight, result, stride, padding, dilation, groups)
    if not _planes_are_rows(result):
        raise ValueError("convolution into planes with gaps")
    return _instruction("forward", "conv2d", c, image.shape[0])


def conv2d_input_grad(
    gradient: Layout,
    weight: Layout,
    image: Layout,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Instruction:
    """An instruction for the gradient of the image, of which `image` is the place.

    Split by samples. ValueError as for `conv2d`, whose result's place is of any strides here.
    """
    c = Convolution(image, weight, gradient, stride, padding, dilation, groups)
    return _instruction("input_gradient", "conv2d_input_grad", c, image.shape[0])


def conv2d_weight_grad(
    gradient: Layout,
    image: Layout,
    weight: Layout,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Instruction:
    """An instruction for the gradient of the weights, of which `weight` is the place.

    Split by channels, so that every sum has one order. ValueError as for `conv2d`, or if `weight`
    does not lie in memory row by row.
    """
    c = Convolution(image, weight, gradient, stride, padding, dilation, groups)
    if not _rows_are_dense(weight):
        raise ValueError("gradient of weights into rows with gaps")
    by_output = image.shape[1] < 8 <= weight.shape[0]
    extent = weight.shape[0] if by_output else image.shape[1]
    return _instruction("weight_gradient", "conv2d_weight_grad", c, extent, by_output)


def _planes_are_rows(layout: Layout) -> bool:
    """Whether each plane has no gaps, and planes of one sample can be rows of a matrix."""
    if layout.size == 0:
        return True
    (channels, height, width), (channel, row, column) = layout.shape[1:], layout.strides[1:]
    return (
        (column == 1 or width == 1)
        and (row == width or height == 1)
        and (channel >= height * width or channels == 1)
    )


def _rows_are_dense(weight: Layout) -> bool:
    outputs, *rest = weight.shape
    inner = Layout(weight.pointer, tuple(rest), weight.strides[1:], weight.dtype)
    return inner.is_contiguous and (weight.strides[0] >= inner.size or outputs == 1)


def _dense_strides(layout: Layout) -> tuple[int, ...]:
    """Strides in which those of dimensions of one element are large enough for a library."""
    wanted = row_major(layout.shape)
    if layout.size == 0:
        return wanted
    triples = zip(layout.shape, layout.strides, wanted, strict=True)
    return tuple(stride if extent > 1 else dense for extent, stride, dense in triples)


def _instruction(
    kind: str, name: str, c: Convolution, extent: int, by_output: bool = False
) -> Instruction:
    dtype = c.image.dtype
    if dtype not in (float32, float64):
        raise ValueError(f"no convolution of {dtype}")
    if 0 in (*c.image.shape[1:], *c.weight.shape, *c.result.shape[1:]):
        raise ValueError("convolution of nothing")
    copy_weight = kind != "weight_gradient" and not _rows_are_dense(c.weight)
    copy_result = not _planes_are_rows(c.result)
    chunk, columns = _chunk(c, kind)
    scratch = copy_weight * c.weight.size + columns + copy_result * c.group_outputs * c.places
    if kind == "weight_gradient":
        scratch += c.group_taps * c.group_outputs + tiling.right_space(dtype.itemsize, c.places)
    table: dict[int, Argument] = _geometry(c) | {
        word.PLAIN: int(c.plain),
        word.COPY_WEIGHT: int(copy_weight),
        word.COPY_RESULT: int(copy_result),
        word.BY_OUTPUT: int(by_output),
        word.CHUNK: chunk,
        word.COLUMNS_SIZE: columns,
        word.PRODUCT: gemm.function(dtype),
        word.SCRATCH: Scratch(dtype.itemsize * scratch) if scratch else 0,
    }
    across = c.weight.shape[3] if c.weight.shape[3] in UNROLLED_WIDTHS else 0
    parameters = (dtype.name, across) if kind == "input_gradient" else (dtype.name,)
    address = library.kernel("convolution", kind, *parameters)
    return Instruction(name, address, tuple(table[i] for i in range(word.WORDS)), 0, extent)


def _chunk(c: Convolution, kind: str) -> Pair:
    """How much is laid out as columns at a time, and elements of those columns."""
    height, width = c.result.shape[2:]
    channels = c.image.shape[1] // c.groups
    if c.plain:
        return (channels if kind == "input_gradient" else height), 0
    if kind == "input_gradient":
        chunk = max(1, min(channels, CHUNK // (c.taps * c.places)))
        return chunk, chunk * c.taps * c.places
    wanted = max(1, CHUNK // c.group_taps)
    fewest = max(1, wanted // (2 * width))
    candidates = range(fewest, max(fewest, min(height, wanted // width)) + 1)
    vectors = {rows: _vectors(height, width, rows) for rows in candidates}
    rows = min(candidates, key=lambda rows: (vectors[rows], -rows))
    return rows, c.group_taps * rows * width


def _vectors(height: int, width: int, rows: int) -> int:
    """Vectors of positions in all chunks of so many rows: full ones are fewer."""
    whole, rest = divmod(height, rows)
    return whole * -(-rows * width // 16) + -(-rest * width // 16)


def _geometry(c: Convolution) -> dict[int, Argument]:
    pairs = (c.result.shape[2:], c.weight.shape[2:], c.stride, c.padding, c.dilation)
    table: dict[int, Argument] = {
        word.IMAGE: c.image.pointer,
        word.WEIGHT: c.weight.pointer,
        word.RESULT: c.result.pointer,
        word.OUT_CHANNELS: c.weight.shape[0],
        word.GROUPS: c.groups,
    }
    table |= dict(enumerate(c.image.shape, word.SAMPLES))
    table |= dict(enumerate((n for pair in pairs for n in pair), word.OUT_HEIGHT))
    for first, layout in (
        (word.IMAGE_STRIDES, c.image),
        (word.WEIGHT_STRIDES, c.weight),
        (word.RESULT_STRIDES, c.result),
    ):
        table |= dict(enumerate(_dense_strides(layout), first))
    return table
