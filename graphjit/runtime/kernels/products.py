"""The function of a whole matrix product: blocks of terms and rows by strips of columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..language import i64, inline
from ..language.instructions import call
from ..language.types import lanes_of
from . import tiling
from .elements import REAL
from .packing import pack, panels
from .tiles import strip, tile

#: `multiply(address of a product's function, *its operands)`
multiply = call(None, *[i64] * 17)


def product(dtype: str) -> Callable[..., None]:
    """The function of a product; kernels call it by its address, so that its code is made once.

    Operands as in `tiles.tile`; a is multiplied by `count` matrices b, which are `b_next` elements
    apart. With `left_space`, room for a block of rows, those are copied to panels as high as a
    tile; with `right_space`, room for a block of a strip, columns of b need not be neighbours.
    """
    element = REAL[dtype]
    size, lanes = element.size, lanes_of(element)
    shape = tiling.shape()
    lines, vectors = shape.lines, shape.vectors
    step, high = lanes * vectors, tiling.block_rows(size)
    copy_right, copy_left, compute = pack(element), panels(element, lines), strip(element)
    flat = [(n, v * lanes, tile(element, n, v, n)) for n, v in shape.flat]

    @inline
    def even_strip(columns: int) -> Any:
        """Columns of the next strip: four vectors are two and two, not three and one.

        Not even a last vector that is not full is left alone, which would have nothing to overlap.
        """
        count = (columns + lanes - 1) // lanes
        strips = (count + vectors - 1) // vectors
        width = min(columns, (count + strips - 1) // strips * lanes)
        return width - lanes if lanes < width and 0 < columns - width < lanes else width

    @inline
    def wide_strips(
        a: int, a_row: int, a_inner: int, b: int, b_inner: int, c: int, c_row: int,
        inner: int, rows: int, columns: int, accumulate: int,
    ) -> Any:  # fmt: skip
        """Strips of tiles of one or two rows; returns how many columns those are."""
        n = 0
        for few, width, compute_flat in flat:
            if rows == few:
                while columns - n >= width:
                    compute_flat(
                        a, a_row, a_inner, b + size * n, b_inner, c + size * n, c_row,
                        inner, few, width, accumulate,
                    )  # fmt: skip
                    n += width
        return n

    @inline
    def block(
        a: int, a_panel: int, a_row: int, a_inner: int, b: int, b_inner: int, b_column: int,
        c: int, c_row: int, inner: int, rows: int, columns: int, accumulate: int, space: int,
    ) -> None:  # fmt: skip
        """Add a block of terms to a block of rows."""
        n = 0
        if space == 0:
            n = wide_strips(
                a, a_row, a_inner, b, b_inner, c, c_row, inner, rows, columns, accumulate
            )
        while n < columns:
            width = even_strip(columns - n)
            source, row = b + size * n * b_column, b_inner
            if space != 0:
                copy_right(space, step, source, inner, width, b_inner, b_column)
                source, row = space, step
            compute(
                a, a_panel, a_row, a_inner, source, row, c + size * n, c_row, inner, rows, width,
                accumulate,
            )  # fmt: skip
            n += width

    def product(
        a: int, a_row: int, a_inner: int, b: int, b_inner: int, b_column: int, b_next: int,
        c: int, c_row: int, c_next: int, count: int, inner: int, rows: int, columns: int,
        accumulate: int, left_space: int, right_space: int,
    ) -> None:  # fmt: skip
        for k in range(0, inner, tiling.BLOCK_TERMS):
            terms = min(tiling.BLOCK_TERMS, inner - k)
            for m in range(0, rows, high):
                some, left = min(high, rows - m), a + size * (m * a_row + k * a_inner)
                panel, row, next = lines * a_row, a_row, a_inner
                if left_space != 0:
                    copy_left(left_space, left, some, terms, a_row, a_inner)
                    left, panel, row, next = left_space, lines * terms, 1, lines
                for i in range(count):
                    block(
                        left, panel, row, next,
                        b + size * (i * b_next + k * b_inner), b_inner, b_column,
                        c + size * (i * c_next + m * c_row), c_row, terms, some, columns,
                        accumulate if k == 0 else 1, right_space,
                    )  # fmt: skip

    return product
