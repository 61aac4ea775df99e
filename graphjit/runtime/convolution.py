"""Instructions for two-dimensional convolution and its gradients, in NCHW.

Reads layouts; makes calls of library kernels that lay windows out as columns and multiply matrices.
Arrays that are read may have any strides.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..dtypes import float32, float64
from . import gemm, library, objects
from .instruction import Argument, Instruction, Layout, Scratch, row_major
from .kernels import tiling
from .words import convolution as word

Pair = tuple[int, int]

#: Widths of kernels for which the image's gradient has code of its own.
UNROLLED_WIDTHS = (3, 5)
#: Bytes of columns that are laid out at a time: half of a second-level cache.
CHUNK_BYTES = 256 * 1024
#: Parts of scratch begin on cache lines.
LINE = 64


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
    steps = _steps(c, kind)
    places, size = _scratch(c, kind, steps)
    table: dict[int, Argument] = _geometry(c) | places
    table |= {
        word.BY_OUTPUT: int(by_output),
        word.SAMPLE_STEP: steps.samples,
        word.CHANNEL_STEP: steps.channels,
        word.ROW_STEP: steps.rows,
        word.PRODUCT: gemm.function(dtype),
        word.GATHER: library.kernel("columns", "gather", dtype.name, operands=6),
        word.SCRATCH: Scratch(size) if size else 0,
    }
    across = c.weight.shape[3] if c.weight.shape[3] in UNROLLED_WIDTHS else 0
    parameters = (dtype.name, across) if kind == "input_gradient" else (dtype.name,)
    address = library.kernel("convolution", kind, *parameters)
    return Instruction(name, address, tuple(table[i] for i in range(word.WORDS)), 0, extent)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Samples, channels of a group, and output rows whose columns are laid out at a time."""

    samples: int
    channels: int
    rows: int


def _steps(c: Convolution, kind: str) -> _Steps:
    """As many channels as are terms or rows of a block of a product, as many rows as cache."""
    size, channels = c.image.dtype.itemsize, c.image.shape[1] // c.groups
    height, width = c.result.shape[2:]
    if c.plain:
        return _Steps(max(1, c.image.shape[0]), channels, height)
    elements, most = CHUNK_BYTES // size, tiling.BLOCK_TERMS // c.taps
    if kind == "input_gradient":
        most = tiling.block_rows(size) // c.taps
    elif kind == "weight_gradient":  # whose sums stay in cache
        most = min(most, elements // (c.taps * c.group_outputs))
    some = _even_part(channels, max(1, most))
    positions = max(1, elements // (some * c.taps))
    alone = kind == "weight_gradient" or _copies_result(c)
    samples = 1 if alone else _even_part(c.image.shape[0], max(1, positions // c.places))
    return _Steps(samples, some, _rows(height, width, positions, size))


def _even_part(extent: int, most: int) -> int:
    """The size, `most` at most, of as few parts of `extent` as there can be; 1 or more."""
    parts = max(1, -(-extent // most))
    return max(1, -(-extent // parts))


def _rows(height: int, width: int, positions: int, size: int) -> int:
    """Output rows of about so many positions, of which vectors are the fullest."""
    lanes = objects.vector_bytes() // size
    fewest, most = max(1, positions // (2 * width)), max(1, min(height, positions // width))

    def vectors(rows: int) -> int:
        whole, rest = divmod(height, rows)
        return whole * -(-rows * width // lanes) + -(-rest * width // lanes)

    return min(range(min(fewest, most), most + 1), key=lambda rows: (vectors(rows), -rows))


def _copies_result(c: Convolution) -> bool:
    return not _planes_are_rows(c.result)


def _scratch(c: Convolution, kind: str, steps: _Steps) -> tuple[dict[int, Argument], int]:
    """Where the parts of a worker's scratch are, and its size in bytes."""
    size, terms = c.image.dtype.itemsize, steps.channels * c.taps
    positions = steps.samples * steps.rows * c.result.shape[3]
    is_sums = kind == "weight_gradient"
    weights = 0 if is_sums or _rows_are_dense(c.weight) else c.weight.size
    left, right = _copies_of_product(c, kind, steps)
    elements = {
        word.WEIGHT_AT: weights,
        word.COLUMNS_AT: 0 if c.plain else terms * positions + objects.vector_bytes() // size,
        word.RESULT_AT: c.group_outputs * c.places if _copies_result(c) else 0,
        word.SUMS_AT: terms * c.group_outputs if is_sums else 0,
        word.LEFT_AT: left,
        word.RIGHT_AT: right,
    }
    places: dict[int, Argument] = dict.fromkeys(elements, 0)
    end = LINE
    for at, count in elements.items():
        if count:
            places[at] = end
            end += -(-count * size // LINE) * LINE
    return places, end if end > LINE else 0


def _copies_of_product(c: Convolution, kind: str, steps: _Steps) -> Pair:
    """Elements that a matrix product copies of its left and of its right side.

    The weights' gradient has a right side whose columns are no neighbours. What else is copied is
    read often enough to pay for it.
    """
    size, terms = c.image.dtype.itemsize, steps.channels * c.taps
    positions = steps.rows * c.result.shape[3]
    if kind == "weight_gradient":
        return 0, tiling.right_space(size, positions)
    rows, inner = c.group_outputs, terms
    if kind == "input_gradient":
        rows, inner = terms, c.group_outputs
    left = tiling.left_space(size, rows, inner)
    columns = steps.samples * positions
    return (
        left if columns >= gemm.SOME_COLUMNS and rows >= gemm.FEW_ROWS else 0,
        tiling.right_space(size, inner) if rows >= gemm.FEW_ROWS else 0,
    )


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
