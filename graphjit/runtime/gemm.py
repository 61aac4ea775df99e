"""Instructions for matrix products.

Reads layouts; makes calls of kernels of our own, which are as fast as the libraries' from the
smallest products to the largest, need none of them, and split anywhere without changing a bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..dtypes import DType, float32, float64
from . import library, objects
from .cache import Address
from .instruction import Argument, Instruction, Layout, Scratch
from .kernels import tiling
from .words import matmul as word

#: Tiles, one above the other, that one step of a kernel's range stands for.
TILES_IN_STEP = 8
#: Rows or terms for which b is not copied, as a's rows are not.
FEW_ROWS = 32
#: Columns that make up for copies of a: of what no cache holds, of rows far apart, of any.
FEW_COLUMNS, SOME_COLUMNS, MANY_COLUMNS = 48, 128, 512
#: Bytes over which a block of b lies, so that its strips stay in the first cache; bytes from one
#: row to the next with which a tile touches many pages; bytes of a matrix that come from afar.
CLOSE, PAGES_APART, STREAMED = 16 * 1024, 2048, 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of a product: its extent, and its strides in a, b and c."""

    extent: int
    a: int
    b: int
    c: int


@dataclass(frozen=True, slots=True)
class Product:
    """`c[batch, m, n] (+)= sum over k of a[batch, m, k] * b[batch, k, n]`."""

    a: Layout
    b: Layout
    c: Layout
    rows: Axis
    columns: Axis
    inner: Axis
    batch: tuple[Axis, ...]
    accumulate: bool

    @property
    def count(self) -> int:
        """Number of matrices."""
        return math.prod(axis.extent for axis in self.batch)


def matmul(a: Layout, b: Layout, c: Layout, accumulate: bool = False) -> Instruction:
    """An instruction for `c = a @ b`, or `c += a @ b`, over the last two dimensions.

    The other dimensions of `a` and `b` broadcast to those of `c`. All three have one dtype, any
    strides, and `c` does not overlap the others. ValueError if more than four batch dimensions are
    left after those that can be walked as one have been joined.
    """
    product = _merge_into_rows(_product(a, b, c, accumulate))
    product = _merge_into_rows(_row_major_result(product))
    if len(product.batch) > word.BATCH_DIMS:
        raise ValueError(f"matmul over {len(product.batch)} separate batch dimensions")
    if _is_dots(product):
        return _dots(product)
    return _tiles(product) if _has_tiles(product) else _loops(product)


def _product(a: Layout, b: Layout, c: Layout, accumulate: bool) -> Product:
    *batch, m, n = c.shape
    k = a.shape[-1]
    a, b = a.expand((*batch, m, k)), b.expand((*batch, k, n))
    axes = map(Axis, batch, a.strides, b.strides, c.strides)
    return Product(
        a, b, c,
        rows=Axis(m, a.strides[-2], 0, c.strides[-2]),
        columns=Axis(n, 0, b.strides[-1], c.strides[-1]),
        inner=Axis(k, a.strides[-1], b.strides[-2], 0),
        batch=_merge_batch([axis for axis in axes if axis.extent != 1]),
        accumulate=accumulate,
    )  # fmt: skip


def _follows(outer: Axis, inner: Axis) -> bool:
    """Whether the two dimensions can be walked as one."""
    return (outer.a, outer.b, outer.c) == tuple(
        inner.extent * stride for stride in (inner.a, inner.b, inner.c)
    )


def _join(outer: Axis, inner: Axis) -> Axis:
    return replace(inner, extent=outer.extent * inner.extent)


def _merge_batch(axes: list[Axis]) -> tuple[Axis, ...]:
    merged: list[Axis] = []
    for axis in axes:
        if merged and _follows(merged[-1], axis):
            axis = _join(merged.pop(), axis)
        merged.append(axis)
    return tuple(merged)


def _row_major_result(product: Product) -> Product:
    """Compute the transpose where it is c's columns that have no gaps, or there is but one."""
    p = product
    if p.rows.c != 1 or (p.columns.c == 1 and p.columns.extent != 1):
        return p

    def swap(axis: Axis) -> Axis:
        return Axis(axis.extent, axis.b, axis.a, axis.c)

    return replace(
        p, a=p.b, b=p.a, rows=swap(p.columns), columns=swap(p.rows), inner=swap(p.inner),
        batch=tuple(map(swap, p.batch)),
    )  # fmt: skip


def _merge_into_rows(product: Product) -> Product:
    """Batches that share b are more rows of one product, if the rows of a and c go on."""
    rows, rest = product.rows, list(product.batch)
    while found := next((axis for axis in rest if _follows(axis, rows)), None):
        rest.remove(found)
        rows = _join(found, rows)
    return replace(product, rows=rows, batch=tuple(rest))


def _table(product: Product, changes: dict[int, Argument]) -> tuple[Argument, ...]:
    p = product
    table: dict[int, Argument] = dict.fromkeys(range(word.WORDS), 0)
    table |= {word.A: p.a.pointer, word.B: p.b.pointer, word.C: p.c.pointer}
    table |= {word.ROWS: p.rows.extent, word.A_ROW: p.rows.a, word.C_ROW: p.rows.c}
    table |= {word.COLUMNS: p.columns.extent, word.B_COLUMN: p.columns.b}
    table |= {word.C_COLUMN: p.columns.c, word.ACCUMULATE: int(p.accumulate)}
    table |= {word.INNER: p.inner.extent, word.A_INNER: p.inner.a, word.B_INNER: p.inner.b}
    padding = word.BATCH_DIMS - len(p.batch)
    for i, axis in enumerate((Axis(1, 0, 0, 0),) * padding + p.batch):
        table |= {word.BATCH + i: axis.extent, word.A_BATCH + i: axis.a}
        table |= {word.B_BATCH + i: axis.b, word.C_BATCH + i: axis.c}
    table |= changes
    return tuple(table.values())


def _is_dots(product: Product) -> bool:
    """Whether it is a row by columns, both of which lie in memory without gaps."""
    p = product
    dense = (p.inner.a, p.inner.b) == (1, 1) and (p.columns.c == 1 or p.columns.extent == 1)
    return p.rows.extent == 1 and dense and p.c.dtype in (float32, float64)


def _dots(product: Product) -> Instruction:
    address = library.kernel("matmul", "dots", product.c.dtype.name)
    lanes = objects.vector_bytes() // product.c.dtype.itemsize
    steps = product.count * -(-product.columns.extent // lanes)
    return Instruction("matmul", address, _table(product, {}), 0, steps)


def _has_tiles(product: Product) -> bool:
    """Whether the kernel of tiles can compute it: it needs a sum, and neighbouring columns."""
    p = product
    neighbours = p.columns.c == 1 or p.columns.extent == 1
    return p.c.dtype in (float32, float64) and p.inner.extent > 0 and neighbours


def _tiles(product: Product) -> Instruction:
    dtype, rows, columns = product.c.dtype, product.rows.extent, product.columns.extent
    left, right = _left_space(product), _right_space(product)
    size = dtype.itemsize
    step, wide = TILES_IN_STEP * tiling.shape().lines, tiling.strip_columns(size)
    changes: dict[int, Argument] = {
        word.ROW_STEP: step,
        word.COLUMN_STEP: wide,
        word.PRODUCT: function(dtype),
        word.LEFT_SPACE: left,
        word.RIGHT_SPACE: right,
        word.SCRATCH: Scratch(size * (left + right)) if left + right else 0,
    }
    address = library.kernel("matmul", "tiles", dtype.name)
    steps = product.count * -(-rows // step) * -(-columns // wide)
    return Instruction("matmul", address, _table(product, changes), 0, steps)


def _left_space(product: Product) -> int:
    """Elements of scratch for a block of rows of a, 0 to read them as they lie."""
    p, size = product, product.c.dtype.itemsize
    if p.rows.extent < FEW_ROWS or p.columns.extent < _columns_worth_copies(p):
        return 0
    return tiling.left_space(size, p.rows.extent, p.inner.extent)


def _columns_worth_copies(product: Product) -> int:
    """So many columns make up for copying a, by how far apart in memory is what a tile reads."""
    p, size = product, product.c.dtype.itemsize
    dense = 1 in (p.inner.a, p.rows.a)
    if dense and p.inner.a != 1 and size * p.rows.extent * p.inner.extent >= STREAMED:
        return FEW_COLUMNS
    stride = size * max(abs(p.inner.a), abs(p.rows.a))
    return MANY_COLUMNS if dense and stride < PAGES_APART else SOME_COLUMNS


def _right_space(product: Product) -> int:
    """Elements of scratch for a strip of b, 0 to read it as it lies."""
    p, size = product, product.c.dtype.itemsize
    if p.columns.extent == 1:
        return 0
    block = size * abs(p.inner.b) * min(p.inner.extent, tiling.BLOCK_TERMS)
    worth = block > CLOSE and min(p.rows.extent, p.inner.extent) >= FEW_ROWS
    if not worth and p.columns.b == 1:
        return 0
    return tiling.right_space(size, p.inner.extent)


def function(dtype: DType) -> Address:
    """The address of the function that computes products of float32 or float64 matrices."""
    return library.kernel("products", "product", dtype.name, operands=17)


def _loops(product: Product) -> Instruction:
    address = library.kernel("matmul", "loops", product.c.dtype.name)
    extent = product.count * product.rows.extent
    return Instruction("matmul", address, _table(product, {}), 0, extent)
