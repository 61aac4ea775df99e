"""Batched matrix products: by tiles, and as plain loops for any type of element.

Every element of the result is summed in one order, whatever part of the range a call computes.
"""

from __future__ import annotations

from collections.abc import Callable

from ..language import inline
from ..language.instructions import argument
from ..words import matmul as word
from .elements import REAL, arithmetic
from .scratch import claim, release
from .tiles import multiply, strip_width


@inline
def offset(table: int, batch: int, strides: int) -> int:
    """Offset in elements of matrix number `batch`, by the strides that start at word `strides`."""
    total = 0
    for i in word.BATCH_ORDER:
        extent = argument(table, word.BATCH + i)
        total += batch % extent * argument(table, strides + i)
        batch = batch // extent
    return total


def tiles(dtype: str) -> Callable[..., None]:
    """The kernel for floats whose result has columns that are neighbours.

    A step of its range is a block of rows of a strip of columns of a matrix; rows come first.
    """
    element = REAL[dtype]
    size, widest = element.size, strip_width(element)

    @inline
    def part(
        table: int, scratch: int, batch: int, begin: int, end: int, first: int, rows: int
    ) -> None:
        """`rows` rows from `first` of columns begin..end of a matrix."""
        a_row, b_column = argument(table, word.A_ROW), argument(table, word.B_COLUMN)
        c_row = argument(table, word.C_ROW)
        a = offset(table, batch, word.A_BATCH) + first * a_row
        b = offset(table, batch, word.B_BATCH) + begin * b_column
        c = offset(table, batch, word.C_BATCH) + first * c_row + begin
        multiply(
            argument(table, word.PRODUCT),
            argument(table, word.A) + size * a, a_row, argument(table, word.A_INNER),
            argument(table, word.B) + size * b, argument(table, word.B_INNER), b_column,
            argument(table, word.C) + size * c, c_row,
            argument(table, word.INNER), rows, end - begin, argument(table, word.ACCUMULATE),
            scratch,
        )  # fmt: skip

    def matmul(table: int, begin: int, end: int) -> None:
        scratch, space = 0, argument(table, word.SCRATCH)
        if space != 0:
            scratch = claim(space)
        rows, height = argument(table, word.ROWS), argument(table, word.ROW_BLOCK)
        columns = argument(table, word.COLUMNS)
        blocks, strips = (rows + height - 1) // height, (columns + widest - 1) // widest
        while begin < end:
            number, block = begin // blocks, begin % blocks
            batch, n = number // strips, number % strips
            steps, wide = min(blocks - block, end - begin), 1
            if steps == blocks:  # whole strips: as many as there are, for the sake of the cache
                wide = min((end - begin) // blocks, strips - n)
            last = min(columns, (n + wide) * widest)
            count = min(steps * height, rows - block * height)
            part(table, scratch, batch, n * widest, last, block * height, count)
            begin += steps * wide
        if space != 0:
            release(space, scratch)

    return matmul


def loops(dtype: str) -> Callable[..., None]:
    """The kernel for any element type and strides; its range counts rows of all matrices."""
    numbers = arithmetic(dtype)

    def matmul(table: int, begin: int, end: int) -> None:
        rows, columns = argument(table, word.ROWS), argument(table, word.COLUMNS)
        inner = argument(table, word.INNER)
        a_row, a_inner = argument(table, word.A_ROW), argument(table, word.A_INNER)
        b_inner, b_column = argument(table, word.B_INNER), argument(table, word.B_COLUMN)
        c_row, c_column = argument(table, word.C_ROW), argument(table, word.C_COLUMN)
        for at in range(begin, end):
            batch, m = at // rows, at % rows
            a_at = offset(table, batch, word.A_BATCH) + m * a_row
            b_at = offset(table, batch, word.B_BATCH)
            c_at = offset(table, batch, word.C_BATCH) + m * c_row
            a = argument(table, word.A) + numbers.size * a_at
            b = argument(table, word.B) + numbers.size * b_at
            c = argument(table, word.C) + numbers.size * c_at
            for n in range(columns):
                total = numbers.zero()
                if argument(table, word.ACCUMULATE) != 0:
                    total = numbers.load(c, n * c_column)
                for k in range(inner):
                    x = numbers.load(a, k * a_inner)
                    y = numbers.load(b, k * b_inner + n * b_column)
                    total = numbers.add_product(total, x, y)
                numbers.store(c, n * c_column, total)

    return matmul
