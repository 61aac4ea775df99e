"""Calls of a library's matrix product, row-major, whatever the library's convention.

onednn: row-major, arguments by value. blas: column-major, arguments by address, 32-bit integers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .memory import I32, I64, caller, inline, intrinsic

I8 = ir.IntType(8)
_LETTER = {False: ord("N"), True: ord("T")}
_alloca: Any = cgutils.alloca_once
_get_threads = caller(types.int32)
_set_threads = caller(types.void, types.int32)


def gemm(flavour: str, element: Any) -> Any:
    """An intrinsic `gemm(function, a_transposed, b_transposed, m, n, k, a, lda, b, ldb, beta, c,
    ldc)` that computes `c = a b + beta c` and returns 0, or the library's error code.

    A transposed operand lies in memory as its transpose; `ld*` are the strides of rows in memory.
    """
    generate = _generate_onednn if flavour == "onednn" else _generate_blas

    def call(
        typing: Any, function: Any, ta: Any, tb: Any, m: Any, n: Any, k: Any,
        a: Any, lda: Any, b: Any, ldb: Any, beta: Any, c: Any, ldc: Any,
    ) -> Any:  # fmt: skip
        word, flag = types.int64, types.boolean
        operands = (word, flag, flag, word, word, word, word, word, word, word, element, word, word)
        return word(*operands), generate

    return intrinsic(call)


def _letter(builder: Any, transposed: Any) -> Any:
    return builder.select(transposed, I8(_LETTER[True]), I8(_LETTER[False]))


def _generate_onednn(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    function, ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc = args
    real = beta.type
    at = real.as_pointer()
    kind = ir.FunctionType(I32, [I8, I8, I64, I64, I64, real, at, I64, at, I64, real, at, I64])
    a, b, c = (builder.inttoptr(x, at) for x in (a, b, c))
    ta, tb = _letter(builder, ta), _letter(builder, tb)
    target = builder.inttoptr(function, kind.as_pointer())
    status = builder.call(target, [ta, tb, m, n, k, real(1.0), a, lda, b, ldb, beta, c, ldc])
    return builder.sext(status, I64)


def _generate_blas(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Column-major reads the transposes, and `(a b)^T = b^T a^T`: the operands trade places."""
    function, ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc = args
    real = beta.type

    def place(value: Any) -> Any:
        at = _alloca(builder, value.type)
        builder.store(value, at)
        return at

    def integer(value: Any) -> Any:
        return place(builder.trunc(value, I32))

    a, b, c = (builder.inttoptr(x, real.as_pointer()) for x in (a, b, c))
    ta, tb = place(_letter(builder, ta)), place(_letter(builder, tb))
    values = [
        tb, ta, integer(n), integer(m), integer(k), place(real(1.0)),
        b, integer(ldb), a, integer(lda), place(beta), c, integer(ldc),
    ]  # fmt: skip
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(builder.inttoptr(function, kind.as_pointer()), values)
    return I64(0)


@inline
def one_thread(get_threads: int, set_threads: int) -> int:
    """Make the library use this thread alone; returns the number to give back to `threads`."""
    before = 0
    if set_threads != 0:
        before = types.int64(_get_threads(get_threads, ()))
        if before != 1:
            _set_threads(set_threads, (types.int32(1),))
    return before


@inline
def threads(set_threads: int, before: int) -> None:
    """Undo `one_thread`."""
    if before > 1:
        _set_threads(set_threads, (types.int32(before),))
