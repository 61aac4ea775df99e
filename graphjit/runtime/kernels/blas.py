"""Calls of a library's matrix product, row-major, whatever the library's convention.

onednn: row-major, arguments by value. blas: column-major, arguments by address, 32-bit integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..language import i8, i32, i64, inline
from ..language.instructions import call, place, select
from ..language.types import Type

_NO, _YES = ord("N"), ord("T")
get_number = call(i32)
set_number = call(None, i32)


def gemm(flavour: str, element: Type) -> Callable[..., Any]:
    """A helper `gemm(function, a_transposed, b_transposed, m, n, k, a, lda, b, ldb, beta, c, ldc)`.

    It computes `c = a b + beta c` and returns 0, or the library's error code. A transposed operand
    lies in memory as its transpose; `ld*` are the strides of rows in memory.
    """
    return _onednn(element) if flavour == "onednn" else _blas(element)


def _onednn(element: Type) -> Callable[..., Any]:
    function = call(
        i32, i8, i8, i64, i64, i64, element, i64, i64, i64, i64, element, i64, i64
    )  # fmt: skip

    @inline
    def gemm(
        address: int, ta: bool, tb: bool, m: int, n: int, k: int,
        a: int, lda: int, b: int, ldb: int, beta: float, c: int, ldc: int,
    ) -> Any:  # fmt: skip
        x, y = select(ta, i8(_YES), i8(_NO)), select(tb, i8(_YES), i8(_NO))
        return i64(function(address, x, y, m, n, k, 1.0, a, lda, b, ldb, beta, c, ldc))

    return gemm


def _blas(element: Type) -> Callable[..., Any]:
    """Column-major reads the transposes, and `(a b)^T = b^T a^T`: the operands trade places."""
    function = call(None, *[i64] * 13)

    @inline
    def gemm(
        address: int, ta: bool, tb: bool, m: int, n: int, k: int,
        a: int, lda: int, b: int, ldb: int, beta: float, c: int, ldc: int,
    ) -> Any:  # fmt: skip
        x, y = select(ta, i8(_YES), i8(_NO)), select(tb, i8(_YES), i8(_NO))
        function(
            address, place(y), place(x), place(i32(n)), place(i32(m)), place(i32(k)),
            place(element(1.0)), b, place(i32(ldb)), a, place(i32(lda)), place(element(beta)),
            c, place(i32(ldc)),
        )  # fmt: skip
        return 0

    return gemm


@inline
def one_thread(get_threads: int, set_threads: int) -> int:
    """Make the library use this thread alone; returns the number to give back to `threads`."""
    before = 0
    if set_threads != 0:
        before = i64(get_number(get_threads))
        if before != 1:
            set_number(set_threads, 1)
    return before


@inline
def threads(set_threads: int, before: int) -> None:
    """Undo `one_thread`."""
    if before > 1:
        set_number(set_threads, i32(before))
