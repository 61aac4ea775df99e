"""Batched matrix products: by tiles, by dot products, and as plain loops for any type of element.

Every element of the result is summed in one order, whatever part of the range a call computes.
"""

from __future__ import annotations

from collections.abc import Callable

from ..language import inline, vector
from ..language.instructions import argument, transposed, vector_loader, vector_storer
from ..language.types import lanes_of
from ..words import matmul as word
from .elements import REAL, arithmetic
from .products import multiply
from .scratch import claim, release


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
    size = REAL[dtype].size

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
        left, right = argument(table, word.LEFT_SPACE), argument(table, word.RIGHT_SPACE)
        multiply(
            argument(table, word.PRODUCT),
            argument(table, word.A) + size * a, a_row, argument(table, word.A_INNER),
            argument(table, word.B) + size * b, argument(table, word.B_INNER), b_column, 0,
            argument(table, word.C) + size * c, c_row, 0, 1,
            argument(table, word.INNER), rows, end - begin, argument(table, word.ACCUMULATE),
            scratch if left != 0 else 0, scratch + size * left if right != 0 else 0,
        )  # fmt: skip

    def matmul(table: int, begin: int, end: int) -> None:
        block, scratch = argument(table, word.SCRATCH), 0
        if block != 0:
            scratch = claim(block)
        rows, height = argument(table, word.ROWS), argument(table, word.ROW_STEP)
        columns, width = argument(table, word.COLUMNS), argument(table, word.COLUMN_STEP)
        down, across = (rows + height - 1) // height, (columns + width - 1) // width
        while begin < end:
            number, y = begin // down, begin % down
            batch, x = number // across, number % across
            steps, wide = min(down - y, end - begin), 1
            if steps == down:  # whole strips: as many as there are, for the sake of the cache
                wide = min((end - begin) // down, across - x)
            last = min(columns, (x + wide) * width)
            count = min(steps * height, rows - y * height)
            part(table, scratch, batch, x * width, last, y * height, count)
            begin += steps * wide
        if block != 0:
            release(block, scratch)

    return matmul


def dots(dtype: str) -> Callable[..., None]:
    """The kernel for a single row by columns that lie in memory without gaps, as the row does.

    A step of its range is as many columns of a matrix as a vector has lanes: their sums are
    vectors, whose lanes are added at the end.
    """
    element = REAL[dtype]
    size, lanes = element.size, lanes_of(element)
    kind = vector(element, lanes)
    load, store = vector_loader(kind), vector_storer(kind)
    numbers = range(lanes)

    @inline
    def group(table: int, a: int, b: int, c: int, columns: int) -> None:
        """Up to a vector of columns; those that do not count repeat the last that does."""
        inner, column = argument(table, word.INNER), argument(table, word.B_COLUMN)
        at = [b + size * min(n, columns - 1) * column for n in numbers]
        sums = [kind(0) for _ in numbers]
        whole = inner - inner % lanes
        for k in range(0, whole, lanes):
            left = load(a, k)
            for n in numbers:
                sums[n] += left * load(at[n], k)
        if whole < inner:
            left = load(a, whole, inner - whole)
            for n in numbers:
                sums[n] += left * load(at[n], whole, inner - whole)
        total = kind(0)
        for part in transposed([sums[n] for n in numbers]):
            total += part
        if argument(table, word.ACCUMULATE) != 0:
            total += load(c, 0, columns)
        store(c, 0, total, columns)

    def matmul(table: int, begin: int, end: int) -> None:
        columns = argument(table, word.COLUMNS)
        across = (columns + lanes - 1) // lanes
        for number in range(begin, end):
            batch, n = number // across, number % across * lanes
            a_at = offset(table, batch, word.A_BATCH)
            b_at = offset(table, batch, word.B_BATCH) + n * argument(table, word.B_COLUMN)
            c_at = offset(table, batch, word.C_BATCH) + n
            a = argument(table, word.A) + size * a_at
            b = argument(table, word.B) + size * b_at
            c = argument(table, word.C) + size * c_at
            group(table, a, b, c, min(lanes, columns - n))

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
