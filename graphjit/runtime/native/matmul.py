"""Batched matrix products: through a library, and as plain loops for any type of element."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ..words import matmul as word
from .blas import gemm, one_thread, threads
from .memory import inline, load_half, load_int, loader, store_half, store_int, storer
from .scratch import claim, release

REAL: dict[str, Any] = {"float32": types.float32, "float64": types.float64}
#: Type of the sum of products, where it is not the element's own.
WIDE = dict.fromkeys(("int8", "uint8", "int16", "int32"), types.int64)


@inline
def _batch_offset(table: int, batch: int, strides: int) -> int:
    """Offset in elements of matrix number `batch`, by the strides that start at word `strides`."""
    offset = 0
    for i in range(word.BATCH_DIMS - 1, -1, -1):
        extent = load_int(table, word.BATCH + i)
        offset += batch % extent * load_int(table, strides + i)
        batch //= extent
    return offset


def library(flavour: str, dtype: str) -> Any:
    """The kernel that calls `GEMM`; operands that the library cannot read are packed first."""
    element = REAL[dtype]
    size = element.bitwidth // 8
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
        rows, columns, inner = m1 - m0, n1 - n0, load_int(table, word.INNER)
        a_row, a_inner = load_int(table, word.A_ROW), load_int(table, word.A_INNER)
        b_inner, b_column = load_int(table, word.B_INNER), load_int(table, word.B_COLUMN)
        c_row = load_int(table, word.C_ROW)
        a_at = _batch_offset(table, batch, word.A_BATCH) + m0 * a_row
        b_at = _batch_offset(table, batch, word.B_BATCH) + n0 * b_column
        c_at = _batch_offset(table, batch, word.C_BATCH) + m0 * c_row + n0
        a = load_int(table, word.A) + size * a_at
        b = load_int(table, word.B) + size * b_at
        c = load_int(table, word.C) + size * c_at
        if load_int(table, word.PACK_A) != 0:
            pack(scratch, a, rows, inner, a_row, a_inner)
            a, a_row, a_inner = scratch, inner, 1
            scratch += size * rows * inner
        if load_int(table, word.PACK_B) != 0:
            pack(scratch, b, inner, columns, b_inner, b_column)
            b, b_inner, b_column = scratch, columns, 1
        beta = element(load_int(table, word.ACCUMULATE))
        a_transposed, b_transposed = a_inner != 1, b_column != 1
        lda = a_inner if a_transposed else a_row
        ldb = b_column if b_transposed else b_inner
        return product(
            load_int(table, word.GEMM), a_transposed, b_transposed, rows, columns, inner,
            a, lda, b, ldb, beta, c, c_row,
        )  # fmt: skip

    def matmul(table: int, begin: int, end: int) -> None:
        before = one_thread(load_int(table, word.GET_THREADS), load_int(table, word.SET_THREADS))
        scratch = 0
        if load_int(table, word.PACK_A) + load_int(table, word.PACK_B) != 0:
            scratch = claim(load_int(table, word.SCRATCH))
        rows, columns = load_int(table, word.ROWS), load_int(table, word.COLUMNS)
        by_columns = load_int(table, word.BY_COLUMNS) != 0
        span = columns if by_columns else rows
        error = 0
        while begin < end:
            batch = begin // span
            first = begin - batch * span
            last = min(span, first + end - begin)
            if by_columns:
                error |= block(table, scratch, batch, 0, rows, first, last)
            else:
                error |= block(table, scratch, batch, first, last, 0, columns)
            begin += last - first
        if scratch != 0:
            release(load_int(table, word.SCRATCH), scratch)
        threads(load_int(table, word.SET_THREADS), before)
        if error != 0:
            store_int(load_int(table, word.STATUS), 0, error)

    return matmul


def loops(dtype: str) -> Any:
    """The kernel of plain loops, for any element type and strides."""
    size = np.dtype(dtype).itemsize
    if dtype == "float16":
        element, load, store = types.float32, load_half, store_half
    else:
        element = getattr(types, dtype)
        load, store = loader(element), storer(element)
    wide = WIDE.get(dtype, element)

    def matmul(table: int, begin: int, end: int) -> None:
        rows, columns = load_int(table, word.ROWS), load_int(table, word.COLUMNS)
        inner = load_int(table, word.INNER)
        a_row, a_inner = load_int(table, word.A_ROW), load_int(table, word.A_INNER)
        b_inner, b_column = load_int(table, word.B_INNER), load_int(table, word.B_COLUMN)
        c_row, c_column = load_int(table, word.C_ROW), load_int(table, word.C_COLUMN)
        accumulate = load_int(table, word.ACCUMULATE) != 0
        for at in range(begin, end):
            batch, m = at // rows, at % rows
            a = _batch_offset(table, batch, word.A_BATCH) + m * a_row
            b = _batch_offset(table, batch, word.B_BATCH)
            c = _batch_offset(table, batch, word.C_BATCH) + m * c_row
            a = load_int(table, word.A) + size * a
            b = load_int(table, word.B) + size * b
            c = load_int(table, word.C) + size * c
            for n in range(columns):
                total = wide(load(c, n * c_column)) if accumulate else wide(0)
                for k in range(inner):
                    total += wide(load(a, k * a_inner)) * wide(load(b, k * b_inner + n * b_column))
                store(c, n * c_column, element(total))

    return matmul
