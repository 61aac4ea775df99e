"""Matrix products. `matmul` is primitive; the others have PyTorch's names and decompose to it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtypes import DType
from ..ir.graph import Spec
from .core import broadcast_shapes, declare, scalar_type, type_name
from .native import from_library
from .sampling import calls, floats, ints, rows

#: From so many multiplications on a product of matrices is worth sharing.
SHARED = 1 << 21


def check_product(a: tuple[int, ...], b: tuple[int, ...], x: DType, y: DType) -> None:
    """RuntimeError, in PyTorch's words, unless matrices of these shapes and dtypes multiply."""
    if a[1] != b[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})"
        )
    if x is not y:
        raise RuntimeError(
            "expected m1 and m2 to have the same dtype, but got: "
            f"{scalar_type(x)} != {scalar_type(y)}"
        )


def _infer_mm(a: Spec, b: Spec) -> tuple[Spec, ...]:
    for name, spec in (("self", a), ("mat2", b)):
        if len(spec.shape) != 2:
            raise RuntimeError(f"{name} must be a matrix")
    check_product(a.shape, b.shape, a.dtype, b.dtype)
    return (a.with_shape((a.shape[0], b.shape[1])),)


def mixed() -> Exception:
    """What `eval` raises for operands that NumPy would take; `infer` then finds the words."""
    return TypeError("operands do not match")


def product(xp: Any, a: Any, b: Any) -> Any:
    """The product of matrices, or of arrays of them.

    Of large ones it is that of the library, where this shares its work with other threads: those of
    BLAS, when they have nothing to do, keep the processors from them for a while.
    """
    if xp is np and a.size * b.shape[-1] >= SHARED and a.dtype.char in "fd":
        result = from_library("matmul", (a, b), {})
        if result is not None:
            return result
    return a.dot(b) if a.ndim == b.ndim == 2 else xp.matmul(a, b)


def _eval_mm(xp: Any, a: Any, b: Any) -> Any:
    if a.ndim != 2 or b.ndim != 2 or a.dtype != b.dtype:
        raise mixed()
    return product(xp, a, b)


mm = declare(
    "mm",
    "composite",
    infer=_infer_mm,
    eval=_eval_mm,
    decompose=lambda F, a, b: F.matmul(a, b),
    saves=("in0", "in1"),
    vjps=(
        lambda F, g, a, b: F.mm(g, F.t(b)),
        lambda F, g, a, b: F.mm(F.t(a), g),
    ),
    samples=rows(
        "numpy.matmul",
        *calls(((3, 4), (4, 5)), ((1, 4), (4, 1)), (ints(2, 3), ints(3, 2)), ((0, 4), (4, 2)),
               ((2, 0), (0, 3)), (floats(3, 4, layout="T"), floats(4, 5, layout="T")),
               (floats(3, 4, layout="S"), (4, 2))),
    ),
)  # fmt: skip


def _infer_bmm(a: Spec, b: Spec) -> tuple[Spec, ...]:
    for name, spec in (("batch1", a), ("batch2", b)):
        if len(spec.shape) != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    expected = [a.shape[0], a.shape[2]]
    if expected != list(b.shape[:2]):
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: {expected} "
            f"but got: {list(b.shape[:2])}."
        )
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"expected scalar type {type_name(a.dtype)} but found {type_name(b.dtype)}"
        )
    return (a.with_shape((*a.shape[:2], b.shape[2])),)


def _eval_bmm(xp: Any, a: Any, b: Any) -> Any:
    if a.ndim != 3 or b.ndim != 3 or a.dtype != b.dtype or len(a) != len(b):
        raise mixed()
    return product(xp, a, b)


bmm = declare(
    "bmm",
    "composite",
    infer=_infer_bmm,
    eval=_eval_bmm,
    decompose=lambda F, a, b: F.matmul(a, b),
    saves=("in0", "in1"),
    vjps=(
        lambda F, g, a, b: F.bmm(g, F.transpose(b, dim0=1, dim1=2)),
        lambda F, g, a, b: F.bmm(F.transpose(a, dim0=1, dim1=2), g),
    ),
    samples=rows(
        "numpy.matmul", *calls(((2, 3, 4), (2, 4, 5)), ((0, 3, 4), (0, 4, 2)),
                               (floats(2, 3, 2, layout="T"), (2, 2, 4))),
    ),
)  # fmt: skip


def _infer_matmul(a: Spec, b: Spec) -> tuple[Spec, ...]:
    if not a.shape or not b.shape:
        raise RuntimeError(
            "both arguments to matmul need to be at least 1D, but they are "
            f"{len(a.shape)}D and {len(b.shape)}D"
        )
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise RuntimeError("matmul: operands must have two dimensions or more")
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if len(a.shape) > 2 and len(b.shape) > 2 and a.shape[-1] != b.shape[-2]:
        size = Spec(batch, a.dtype).size
        raise RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"{[size, a.shape[-1]]} but got: {[size, b.shape[-2]]}."
        )
    rows = a.size // a.shape[-1] if a.shape[-1] and len(b.shape) == 2 else a.shape[-2]
    check_product((rows, a.shape[-1]), b.shape[-2:], a.dtype, b.dtype)
    return (a.with_shape((*batch, a.shape[-2], b.shape[-1])),)


def _eval_matmul(xp: Any, a: Any, b: Any) -> Any:
    if a.ndim < 2 or b.ndim < 2 or a.dtype != b.dtype:
        raise mixed()
    if b.ndim == 2:
        if a.ndim == 2:
            return product(xp, a, b)
        if a.flags.c_contiguous and a.shape[-1]:
            flat = product(xp, a.reshape(-1, a.shape[-1]), b)
            return flat.reshape(*a.shape[:-1], b.shape[1])
    return product(xp, a, b)


def _swap_last(F: Any, x: Any) -> Any:
    last = len(x.shape) - 1
    return F.transpose(x, dim0=last - 1, dim1=last)


def _matmul_grad_left(F: Any, g: Any, a: Any, b: Any) -> Any:
    return F.sum_to(F.matmul(g, _swap_last(F, b)), shape=a.shape)


def _matmul_grad_right(F: Any, g: Any, a: Any, b: Any) -> Any:
    """The sum over broadcast batches is part of the product where `b` is a single matrix."""
    if len(b.shape) == 2 and len(a.shape) > 2 and a.shape[:-2] == g.shape[:-2]:
        left = F.reshape(a, shape=(row_count(a), a.shape[-1]))
        return F.mm(F.t(left), F.reshape(g, shape=(row_count(g), g.shape[-1])))
    return F.sum_to(F.matmul(_swap_last(F, a), g), shape=b.shape)


def row_count(x: Any) -> int:
    """The number of rows along the last dimension of `x`."""
    return math.prod(x.shape[:-1])


matmul = declare(
    "matmul",
    "contract",
    infer=_infer_matmul,
    eval=_eval_matmul,
    flops=lambda out, a, b: 2 * out.size * a.shape[-1],
    saves=("in0", "in1"),
    vjps=(_matmul_grad_left, _matmul_grad_right),
    grad_name="UnsafeView",
    samples=rows(
        "numpy.matmul",
        *calls(((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
               ((2, 1, 3, 4), (5, 4, 2)), (floats(2, 3, 4, layout="T"), (4, 5)),
               ((2, 3, 4), (2, 4, 5)), ((2, 0, 4), (4, 5)), (ints(2, 2, 2), ints(2, 2))),
    ),
)  # fmt: skip


def _infer_mv(a: Spec, x: Spec) -> tuple[Spec, ...]:
    if len(a.shape) != 2 or len(x.shape) != 1:
        raise RuntimeError(
            f"vector + matrix @ vector expected, got 1, {len(a.shape)}, {len(x.shape)}"
        )
    if a.shape[1] != x.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({a.shape[0]}), mat ({a.shape[0]}x{a.shape[1]}), "
            f"vec ({x.shape[0]})"
        )
    if a.dtype is not x.dtype:
        names = [type_name(d) for d in (x.dtype, a.dtype, x.dtype)]
        raise RuntimeError(
            "addmv input tensors must have the same dtype, but got "
            f"{names[0]}, {names[1]}, and {names[2]}"
        )
    return (a.with_shape(a.shape[:1]),)


def _eval_mv(xp: Any, a: Any, x: Any) -> Any:
    if a.ndim != 2 or x.ndim != 1 or a.dtype != x.dtype:
        raise mixed()
    return a.dot(x)


def _column(F: Any, x: Any) -> Any:
    return F.unsqueeze(x, dim=1)


mv = declare(
    "mv",
    "composite",
    infer=_infer_mv,
    eval=_eval_mv,
    decompose=lambda F, a, x: F.reshape(F.matmul(a, _column(F, x)), shape=a.shape[:1]),
    saves=("in0", "in1"),
    vjps=(
        lambda F, g, a, x: F.mul(_column(F, g), F.unsqueeze(x, dim=0)),
        lambda F, g, a, x: F.mv(F.t(a), g),
    ),
    samples=rows("numpy.matmul", *calls(((3, 4), (4,)), ((0, 4), (4,)), ((3, 0), (0,)))),
)


def _infer_dot(x: Spec, y: Spec) -> tuple[Spec, ...]:
    if len(x.shape) != 1 or len(y.shape) != 1:
        raise RuntimeError(
            f"1D tensors expected, but got {len(x.shape)}D and {len(y.shape)}D tensors"
        )
    if x.dtype is not y.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{type_name(x.dtype)} and {type_name(y.dtype)}"
        )
    if x.shape != y.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{x.shape[0]}] and src [{y.shape[0]}] to "
            f"have the same number of elements, but got {x.shape[0]} and {y.shape[0]} elements "
            "respectively"
        )
    if x.dtype.category == 0:
        raise NotImplementedError("\"dot\" not implemented for 'Bool'")
    return (x.with_shape(()),)


def _eval_dot(xp: Any, x: Any, y: Any) -> Any:
    if x.ndim != 1 or y.ndim != 1 or x.dtype != y.dtype or x.dtype.kind == "b":
        raise mixed()
    return xp.asarray(x.dot(y))


def _decompose_dot(F: Any, x: Any, y: Any) -> Any:
    total = F.reshape(F.sum(F.mul(x, y), dims=(0,)), shape=())
    return total if total.dtype == x.dtype else F.cast(total, dtype=x.dtype)


dot = declare(
    "dot",
    "composite",
    infer=_infer_dot,
    eval=_eval_dot,
    decompose=_decompose_dot,
    saves=("in0", "in1"),
    vjps=(lambda F, g, x, y: F.mul(g, y), lambda F, g, x, y: F.mul(g, x)),
    samples=rows("numpy.dot", *calls(((4,), (4,)), ((0,), (0,)), (ints(3), ints(3)))),
)
