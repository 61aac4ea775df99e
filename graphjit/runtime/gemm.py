"""Matrix products: the library that computes them, and instructions for them.

Reads layouts; makes instructions that call oneDNN or BLAS through a function pointer, always on the
calling thread alone, or loops of our own.
"""

from __future__ import annotations

import ctypes
import functools
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from ..dtypes import DType, float32, float64
from . import library as kernels
from .instruction import Argument, Instruction, Layout, Scratch, Status
from .words import matmul as word

#: Columns at most that one pass over the rows of a small product computes.
TILE_COLUMNS = 48
ONEDNN_WHEELS = ("onednn-cpu-gomp", "onednn")


@dataclass(frozen=True, slots=True)
class Library:
    """A library's matrix product: its address and convention, and OpenMP's thread setting."""

    flavour: str
    gemm: int
    get_threads: int = 0
    set_threads: int = 0


@functools.cache
def library(dtype: DType) -> Library | None:
    """The fastest matrix product at hand for `dtype`; None if there is none."""
    if dtype is float32 and (onednn := _onednn()) is not None:
        return onednn
    if dtype in (float32, float64):
        return _blas("sgemm" if dtype is float32 else "dgemm")
    return None


@functools.cache
def _onednn() -> Library | None:
    for path in _onednn_paths():
        try:
            dnnl = ctypes.CDLL(path)
            gemm = _address(dnnl, "dnnl_sgemm")
        except (OSError, AttributeError):
            continue
        if (threads := _openmp()) is not None:
            return Library("onednn", gemm, *threads)
    return None


def _onednn_paths() -> Iterator[str]:
    """Where oneDNN may be: wheels put it in the environment's lib, which no loader searches."""
    name = "libdnnl.so.3"
    installed = Path(sys.prefix) / "lib" / name
    if installed.exists():
        yield str(installed)
    yield name
    for wheel in ONEDNN_WHEELS:
        try:
            files = metadata.files(wheel) or []
        except metadata.PackageNotFoundError:
            continue
        yield from (str(file.locate()) for file in files if file.name == name)


def _openmp() -> tuple[int, int] | None:
    """Addresses of OpenMP's thread settings in the runtime that oneDNN has just loaded."""
    try:
        openmp = ctypes.CDLL("libgomp.so.1")
        return _address(openmp, "omp_get_max_threads"), _address(openmp, "omp_set_num_threads")
    except (OSError, AttributeError):
        return None


def _address(library: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0


@functools.cache
def _blas(name: str) -> Library | None:
    """SciPy's BLAS by the pointers it offers to Cython, told to use one thread."""
    try:
        from scipy.linalg import cython_blas
    except ImportError:
        return None
    capsule = cython_blas.__pyx_capi__[name]
    pythonapi = ctypes.pythonapi
    pythonapi.PyCapsule_GetName.restype = ctypes.c_char_p
    pythonapi.PyCapsule_GetName.argtypes = [ctypes.py_object]
    pythonapi.PyCapsule_GetPointer.restype = ctypes.c_void_p
    pythonapi.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    signature = pythonapi.PyCapsule_GetName(capsule)
    if b"char *, char *, int *, int *, int *" not in signature:
        return None
    gemm = pythonapi.PyCapsule_GetPointer(capsule, signature)
    return Library("blas", gemm, *_openblas_threads())


def _openblas_threads() -> tuple[int, int]:
    """Addresses of the thread settings of the OpenBLAS in SciPy's wheel; zeros if not found."""
    import scipy

    libraries = Path(scipy.__file__).parent.with_name("scipy.libs")
    for path in libraries.glob("libscipy_openblas*"):
        try:
            openblas = ctypes.CDLL(str(path))
            return (
                _address(openblas, "scipy_openblas_get_num_threads"),
                _address(openblas, "scipy_openblas_set_num_threads"),
            )
        except (OSError, AttributeError):
            continue
    return 0, 0


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
    product = _merge_into_rows(_row_major_result(_product(a, b, c, accumulate)))
    if len(product.batch) > word.BATCH_DIMS:
        raise ValueError(f"matmul over {len(product.batch)} separate batch dimensions")
    if (found := _usable_library(product)) is not None:
        return _library_instruction(product, found)
    return _loop_instruction(product)


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
    """Compute the transpose where it is c's columns that have no gaps."""
    p = product
    if p.columns.extent == 1 or p.columns.c == 1 or (p.rows.c != 1 and p.rows.extent != 1):
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


@dataclass(frozen=True, slots=True)
class Operand:
    """Strides of a matrix as the library is to read it; `packed` if it is copied first."""

    row: int
    column: int
    packed: bool = False


def _operand(rows: int, columns: int, row: int, column: int) -> Operand:
    """A matrix as a library can read it: one stride is 1, the other at least the extent."""
    if (column == 1 or columns == 1) and (row >= columns or rows == 1):
        return Operand(row if rows > 1 else columns, 1)
    if (row == 1 or rows == 1) and (column >= rows or columns == 1):
        return Operand(1, column if columns > 1 else rows)
    return Operand(row, column, packed=True)


def _usable_library(product: Product) -> Library | None:
    """The library, unless the product is empty, or its result is not in rows."""
    m, n, k = product.rows, product.columns, product.inner
    if m.extent * n.extent * k.extent * product.count == 0:
        return None
    if (n.c != 1 and n.extent != 1) or (m.c < n.extent and m.extent != 1):
        return None
    return library(product.c.dtype)


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


def _library_instruction(product: Product, found: Library) -> Instruction:
    m, n, k = product.rows.extent, product.columns.extent, product.inner.extent
    a = _operand(m, k, product.rows.a, product.inner.a)
    b = _operand(k, n, product.inner.b, product.columns.b)
    scratch = product.c.dtype.itemsize * (a.packed * m * k + b.packed * k * n)
    by_columns = product.count * m < n
    changes: dict[int, Argument] = {
        word.A_ROW: a.row,
        word.A_INNER: a.column,
        word.B_INNER: b.row,
        word.B_COLUMN: b.column,
        word.C_ROW: product.rows.c if m > 1 else n,
        word.BY_COLUMNS: int(by_columns),
        word.GEMM: found.gemm,
        word.GET_THREADS: found.get_threads,
        word.SET_THREADS: found.set_threads,
        word.PACK_A: int(a.packed),
        word.PACK_B: int(b.packed),
        word.STATUS: Status(),
        word.SCRATCH: Scratch(scratch) if scratch else 0,
    }
    address = kernels.kernel("matmul", "library", found.flavour, product.c.dtype.name)
    extent = product.count * (n if by_columns else m)
    return Instruction("matmul", address, _table(product, changes), 0, extent)


def _tile_instruction(product: Product) -> Instruction:
    """A small product of ours; the columns of c are neighbours."""
    pack = product.columns.b != 1 and product.columns.extent != 1
    dtype, columns = product.c.dtype, min(product.columns.extent, TILE_COLUMNS)
    changes: dict[int, Argument] = {
        word.PACK_B: int(pack),
        word.SCRATCH: Scratch(dtype.itemsize * product.inner.extent * columns) if pack else 0,
    }
    address = kernels.kernel("tiles", "matmul", dtype.name)
    extent = product.count * product.rows.extent
    return Instruction("matmul", address, _table(product, changes), 0, extent)


def _loop_instruction(product: Product) -> Instruction:
    address = kernels.kernel("matmul", "loops", product.c.dtype.name)
    return Instruction(
        "matmul", address, _table(product, {}), 0, product.count * product.rows.extent
    )
