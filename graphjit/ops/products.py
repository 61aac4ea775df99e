"""The product of two matrices, as the ops compute it on arrays.

NumPy's BLAS serves small and double products. Large float32 ones go to the sgemm that `provide`
was given, if any: OpenBLAS takes its AVX2 kernels on processors that it does not know, and is then
half as fast (110 against 210 GFlop/s on a Zen 5).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

#: Multiplications from which on the call by address, 4 us slower than NumPy's, pays.
LARGE = 1 << 20

#: `(transpose a, transpose b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)`, matrices by rows.
_SGEMM = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_char, ctypes.c_char, *(ctypes.c_int64,) * 3, ctypes.c_float,
    ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_float,
    ctypes.c_void_p, ctypes.c_int64,
)  # fmt: skip


class _Provider:
    """Where the address of sgemm comes from, asked when it is first wanted."""

    def __init__(self) -> None:
        self.find: Callable[[], int | None] | None = None
        self.sgemm: Any = None

    def get(self) -> Any:
        if self.sgemm is None and self.find is not None:
            address, self.find = self.find(), None
            self.sgemm = _SGEMM(address) if address else None
        return self.sgemm


_provider = _Provider()


def provide(find: Callable[[], int | None]) -> None:
    """Use the row-major sgemm (oneDNN's signature) at the address that `find` returns, if any."""
    _provider.find, _provider.sgemm = find, None


def dot(a: Any, b: Any) -> Any:
    """`a @ b` for two matrices of one dtype."""
    if a.dtype.char == "f" and a.size * b.shape[1] >= LARGE and a.__class__ is np.ndarray:
        sgemm = _provider.get()
        if sgemm is not None:
            out = np.empty((a.shape[0], b.shape[1]), np.float32)
            return _call(sgemm, a, b, out)
    return a.dot(b)


def dot_into(a: Any, b: Any, out: Any) -> None:
    """`out[...] = a @ b`, `out` being contiguous."""
    if a.dtype.char == "f" and a.size * b.shape[1] >= LARGE and a.__class__ is np.ndarray:
        sgemm = _provider.get()
        if sgemm is not None:
            _call(sgemm, a, b, out)
            return
    a.dot(b, out=out)


def batched_dot(xp: Any, a: Any, b: Any) -> Any:
    """`a @ b` over the last two dimensions, the others broadcasting."""
    work = a.shape[-2] * a.shape[-1] * b.shape[-1]
    if xp is not np or a.dtype.char != "f" or work < LARGE or _provider.get() is None:
        return xp.matmul(a, b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = np.empty((*batch, a.shape[-2], b.shape[-1]), np.float32)
    a, b = (np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b))
    for place in np.ndindex(batch):
        dot_into(a[place], b[place], out[place])
    return out


def _call(sgemm: Any, a: Any, b: Any, out: Any) -> Any:
    if a.shape[1] != b.shape[0]:
        raise ValueError("shapes not aligned")
    a, lda, transpose_a = _rows(a)
    b, ldb, transpose_b = _rows(b)
    status = sgemm(
        transpose_a, transpose_b, out.shape[0], out.shape[1], a.shape[1], 1.0,
        _address(a), lda, _address(b), ldb, 0.0, _address(out), out.shape[1],
    )  # fmt: skip
    if status:
        np.dot(a, b, out=out)
    return out


def _rows(x: Any) -> tuple[Any, int, bytes]:
    """`x`, the distance of its rows (or columns, then b"T") in elements; a copy if neither runs."""
    rows, columns = x.strides
    if columns == 4 and rows >= 4 * x.shape[1] and not rows % 4:
        return x, rows // 4, b"N"
    if rows == 4 and columns >= 4 * x.shape[0] and not columns % 4:
        return x, columns // 4, b"T"
    return np.ascontiguousarray(x), x.shape[1], b"N"


def _address(x: Any) -> int:
    return int(x.__array_interface__["data"][0])
