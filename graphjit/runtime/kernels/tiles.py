"""Small matrix products without a library: tiles of the result are summed up in registers.

A tile is `ROWS` rows by one to three vectors. Columns of b must be neighbours in memory; where they
are not, a block of them is packed first. The strides of a are free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..language import inline, vector
from ..language.instructions import argument, loader, storer, vector_loader, vector_storer
from ..language.types import Type, lanes_of
from ..words import matmul as word
from .elements import REAL
from .matmul import offset
from .scratch import claim, release

#: Rows of a tile, and vectors at most: 8 x 3 sums fill the registers of AVX-512.
ROWS = 8
VECTORS = 3
#: Terms of a sum that are added before the next tile has its turn.
BLOCK = 512


def tile(element: Type, vectors: int) -> Callable[..., None]:
    """A helper for a tile of `ROWS` rows (of which `rows` count) and so many vectors of columns.

    `last` columns count in the last vector. `c` is the address of the tile; a_row and the like are
    strides in elements.
    """
    lanes, size = lanes_of(element), element.size
    kind = vector(element, lanes)
    load_scalar, load, store = loader(element), vector_loader(kind), vector_storer(kind)
    lines, parts = range(ROWS), range(vectors)
    cells = range(ROWS * vectors)

    @inline
    def bound(part: int, last: int) -> Any:
        return last if part == vectors - 1 else lanes

    @inline
    def tile(
        a: int, a_row: int, a_inner: int, b: int, b_inner: int, c: int, c_row: int,
        inner: int, rows: int, last: int, accumulate: int,
    ) -> None:  # fmt: skip
        row_at = [a + size * min(r, rows - 1) * a_row for r in lines]
        sums = [kind(0) for _ in cells]
        for k in range(inner):
            right = [load(b, k * b_inner + v * lanes, bound(v, last)) for v in parts]
            for r in lines:
                left = kind(load_scalar(row_at[r], k * a_inner))
                for v in parts:
                    sums[r * vectors + v] += left * right[v]
        for r in lines:
            if r < rows:
                for v in parts:
                    total = sums[r * vectors + v]
                    if accumulate != 0:
                        total += load(c, r * c_row + v * lanes, bound(v, last))
                    store(c, r * c_row + v * lanes, total, bound(v, last))

    return tile


def matmul(dtype: str) -> Callable[..., None]:
    """The kernel; its range counts rows of all matrices."""
    element = REAL[dtype]
    size, lanes = element.size, lanes_of(element)
    load, store = loader(element), storer(element)
    one, two, three = (tile(element, n + 1) for n in range(VECTORS))

    @inline
    def pack(target: int, source: int, rows: int, columns: int, row: int, column: int) -> None:
        for i in range(rows):
            for j in range(columns):
                store(target, i * columns + j, load(source, i * row + j * column))

    @inline
    def strip(
        table: int, a: int, b: int, b_inner: int, c: int,
        rows: int, columns: int, inner: int, accumulate: int,
    ) -> None:  # fmt: skip
        """Up to three vectors of columns of all rows."""
        a_row, a_inner = argument(table, word.A_ROW), argument(table, word.A_INNER)
        c_row = argument(table, word.C_ROW)
        for m in range(0, rows, ROWS):
            left, target, count = a + size * m * a_row, c + size * m * c_row, rows - m
            if columns <= lanes:
                one(
                    left, a_row, a_inner, b, b_inner, target, c_row, inner, count,
                    columns, accumulate,
                )  # fmt: skip
            elif columns <= 2 * lanes:
                two(
                    left, a_row, a_inner, b, b_inner, target, c_row, inner, count,
                    columns - lanes, accumulate,
                )  # fmt: skip
            else:
                three(
                    left, a_row, a_inner, b, b_inner, target, c_row, inner, count,
                    columns - 2 * lanes, accumulate,
                )  # fmt: skip

    @inline
    def rows_of_one(table: int, scratch: int, batch: int, first: int, last: int) -> None:
        """Rows of one product, by blocks of the sum that fit the cache."""
        a_row, a_inner = argument(table, word.A_ROW), argument(table, word.A_INNER)
        b_inner, b_column = argument(table, word.B_INNER), argument(table, word.B_COLUMN)
        a_at = offset(table, batch, word.A_BATCH) + first * a_row
        c_at = offset(table, batch, word.C_BATCH) + first * argument(table, word.C_ROW)
        a = argument(table, word.A) + size * a_at
        b = argument(table, word.B) + size * offset(table, batch, word.B_BATCH)
        c = argument(table, word.C) + size * c_at
        inner, extent = argument(table, word.INNER), argument(table, word.COLUMNS)
        for n in range(0, extent, VECTORS * lanes):
            columns = min(VECTORS * lanes, extent - n)
            for k in range(0, inner, BLOCK):
                count = min(BLOCK, inner - k)
                source, row = b + size * (n * b_column + k * b_inner), b_inner
                if scratch != 0:
                    pack(scratch, source, count, columns, row, b_column)
                    source, row = scratch, columns
                accumulate = 1 if k > 0 else argument(table, word.ACCUMULATE)
                left = a + size * k * a_inner
                strip(
                    table, left, source, row, c + size * n, last - first, columns, count,
                    accumulate,
                )  # fmt: skip

    def matmul(table: int, begin: int, end: int) -> None:
        scratch = 0
        if argument(table, word.PACK_B) != 0:
            scratch = claim(argument(table, word.SCRATCH))
        span = argument(table, word.ROWS)
        while begin < end:
            batch = begin // span
            first = begin - batch * span
            last = min(span, first + end - begin)
            rows_of_one(table, scratch, batch, first, last)
            begin += last - first
        if scratch != 0:
            release(argument(table, word.SCRATCH), scratch)

    return matmul
