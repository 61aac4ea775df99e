"""Batched matrix products: through a library, and as plain loops for any type of element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..language import inline
from ..language.instructions import argument, loader, store_int, storer
from ..words import matmul as word
from .blas import gemm, one_thread, threads
from .elements import REAL, arithmetic
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


def library(flavour: str, dtype: str) -> Callable[..., Any]:
    """The kernel that calls `GEMM`; operands that the library cannot read are packed first."""
    element = REAL[dtype]
    size = element.size
    product = gemm(flavour, element)
    load, store = loader(element), storer(element)

    @inline
    def pack(target: int, source: int, rows: int, columns: int, row: int, column: int) -> None:
        """Copy a strided matrix to rows without gaps."""
        for i in range(rows):
            for j in range(columns):
                store(target, i * columns + j, load(source, i * row + j * column))

    @inline
    def block(table: int, scratch: int, batch: int, m0: int, m1: int, n0: int, n1: int) -> Any:
        """Rows m0..m1 and columns n0..n1 of one product; the library's error code."""
        rows, columns, inner = m1 - m0, n1 - n0, argument(table, word.INNER)
        a_row, a_inner = argument(table, word.A_ROW), argument(table, word.A_INNER)
        b_inner, b_column = argument(table, word.B_INNER), argument(table, word.B_COLUMN)
        c_row = argument(table, word.C_ROW)
        a_at = offset(table, batch, word.A_BATCH) + m0 * a_row
        b_at = offset(table, batch, word.B_BATCH) + n0 * b_column
        c_at = offset(table, batch, word.C_BATCH) + m0 * c_row + n0
        a = argument(table, word.A) + size * a_at
        b = argument(table, word.B) + size * b_at
        c = argument(table, word.C) + size * c_at
        if argument(table, word.PACK_A) != 0:
            pack(scratch, a, rows, inner, a_row, a_inner)
            a, a_row, a_inner = scratch, inner, 1
            scratch += size * rows * inner
        if argument(table, word.PACK_B) != 0:
            pack(scratch, b, inner, columns, b_inner, b_column)
            b, b_inner, b_column = scratch, columns, 1
        a_transposed, b_transposed = a_inner != 1, b_column != 1
        lda = a_inner if a_transposed else a_row
        ldb = b_column if b_transposed else b_inner
        return product(
            argument(table, word.GEMM), a_transposed, b_transposed, rows, columns, inner,
            a, lda, b, ldb, element(argument(table, word.ACCUMULATE)), c, c_row,
        )  # fmt: skip

    def matmul(table: int, begin: int, end: int) -> None:
        before = one_thread(argument(table, word.GET_THREADS), argument(table, word.SET_THREADS))
        scratch = 0
        if argument(table, word.PACK_A) + argument(table, word.PACK_B) != 0:
            scratch = claim(argument(table, word.SCRATCH))
        rows, columns = argument(table, word.ROWS), argument(table, word.COLUMNS)
        by_columns = argument(table, word.BY_COLUMNS) != 0
        span = columns if by_columns else rows
        error = 0
        while begin < end:
            batch = begin // span
            first = begin - batch * span
            last = min(span, first + end - begin)
            m0, m1 = (0 if by_columns else first), (rows if by_columns else last)
            n0, n1 = (first if by_columns else 0), (last if by_columns else columns)
            error |= block(table, scratch, batch, m0, m1, n0, n1)
            begin += last - first
        if scratch != 0:
            release(argument(table, word.SCRATCH), scratch)
        threads(argument(table, word.SET_THREADS), before)
        if error != 0:
            store_int(argument(table, word.STATUS), 0, error)

    return matmul


def loops(dtype: str) -> Callable[..., Any]:
    """The kernel of plain loops, for any element type and strides."""
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
