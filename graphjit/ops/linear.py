"""Affine maps: `linear`, and PyTorch's products with a term added."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.graph import Spec
from .contract import check_product, mixed, product, row_count
from .core import OPS, Op, broadcast_shapes, by_parts, declare, type_name
from .sampling import calls, floats, rows


def _infer_linear(x: Spec, w: Spec, *bias: Spec) -> tuple[Spec, ...]:
    if not x.shape or len(w.shape) != 2:
        raise RuntimeError(
            "linear: input must have a dimension and weight two, got sizes "
            f"{list(x.shape)} and {list(w.shape)}"
        )
    if bias and x.shape[-1] == w.shape[1]:
        _check_bias(x, w, bias[0])
    count = x.size // x.shape[-1] if x.shape[-1] else row_count(x)
    check_product((count, x.shape[-1]), w.shape[::-1], x.dtype, w.dtype)
    return (x.with_shape((*x.shape[:-1], w.shape[0])),)


def _check_bias(x: Spec, w: Spec, bias: Spec) -> None:
    if bias.dtype is not x.dtype:
        raise RuntimeError(
            "self and mat2 must have the same dtype, but got "
            f"{type_name(bias.dtype)} and {type_name(w.dtype)}"
        )
    if bias.shape not in ((w.shape[0],), (1,), ()):
        raise RuntimeError(
            f"The expanded size of the tensor ({w.shape[0]}) must match the existing size "
            f"({bias.shape[-1]}) at non-singleton dimension 1.  Target sizes: "
            f"{[row_count(x), w.shape[0]]}.  Tensor sizes: {list(bias.shape)}"
        )


def _eval_linear(xp: Any, x: Any, w: Any, *bias: Any) -> Any:
    if w.ndim != 2 or not x.ndim or x.dtype != w.dtype:
        raise mixed()
    if x.ndim == 2:
        y = product(xp, x, w.T)
    else:
        y = product(xp, x.reshape(row_count(x), x.shape[-1]), w.T)
    if bias:
        (b,) = bias
        if b.dtype != y.dtype or b.ndim > 1:
            raise mixed()
        xp.add(y, b, y)
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], w.shape[0])


def flat_rows(F: Any, x: Any) -> Any:
    """`x` as a matrix whose rows lie along the last dimension."""
    return x if len(x.shape) == 2 else F.reshape(x, shape=(row_count(x), x.shape[-1]))


def _decompose_linear(F: Any, x: Any, w: Any, *bias: Any) -> Any:
    y = F.matmul(flat_rows(F, x), F.permute(w, dims=(1, 0)))
    if len(x.shape) != 2:
        y = F.reshape(y, shape=(*x.shape[:-1], w.shape[0]))
    return F.add(y, bias[0]) if bias else y


def _linear_grad_input(F: Any, g: Any, x: Any, w: Any, bias: Any) -> Any:
    if len(x.shape) == 2:
        return F.mm(g, w)
    return F.reshape(F.mm(flat_rows(F, g), w), shape=x.shape)


linear = declare(
    "linear",
    "composite",
    infer=_infer_linear,
    eval=_eval_linear,
    decompose=_decompose_linear,
    saves=("in0", "in1", "shape2"),
    vjps=(
        _linear_grad_input,
        lambda F, g, x, w, bias: F.mm(F.t(flat_rows(F, g)), flat_rows(F, x)),
        lambda F, g, x, w, bias: F.sum_to(g, shape=bias),
    ),
    grad_name="Addmm",
    samples=rows(
        lambda x, w, b=0: x @ w.T + b,
        *calls(((3, 4), (5, 4), (5,)), ((3, 4), (5, 4)), ((2, 3, 4), (5, 4), (5,)),
               ((4,), (5, 4), (5,)), ((0, 4), (5, 4), (5,)), ((3, 0), (2, 0), (2,)),
               (floats(3, 4, layout="T"), floats(5, 4, layout="S"), (5,)),
               (floats(2, 3, 4, layout="T"), (1, 4), (1,))),
    ),
)  # fmt: skip


def _scaled(F: Any, x: Any, factor: float) -> Any:
    return x if factor == 1 else F.mul(x, factor)


def _product_with_term(name: str, product: str, *shapes: Any) -> Op:
    """`beta * term + alpha * product(a, b)`; with `beta` 0 the term is not looked at."""

    def infer(term: Spec, a: Spec, b: Spec, beta: float, alpha: float) -> tuple[Spec, ...]:
        (spec,) = OPS[product].infer(a, b)
        if term.dtype is not a.dtype:
            raise RuntimeError(
                "self and mat2 must have the same dtype, but got "
                f"{type_name(term.dtype)} and {type_name(a.dtype)}"
            )
        if broadcast_shapes(term.shape, spec.shape) != spec.shape:
            raise RuntimeError(f"{name}: cannot expand {list(term.shape)} to {list(spec.shape)}")
        return (spec,)

    def decompose(F: Any, term: Any, a: Any, b: Any, beta: float, alpha: float) -> Any:
        result = _scaled(F, getattr(F, product)(a, b), alpha)
        return F.add(_scaled(F, term, beta), result) if beta != 0 else result

    eval_parts = by_parts(decompose)

    def eval(xp: Any, term: Any, a: Any, b: Any, beta: float, alpha: float) -> Any:
        if term.dtype != a.dtype:
            raise mixed()
        return eval_parts(xp, term, a, b, beta=beta, alpha=alpha)

    def swap(F: Any, x: Any) -> Any:
        last = len(x.shape) - 1
        return F.transpose(x, dim0=last - 1, dim1=last)

    def grad_right(F: Any, g: Any, term: Any, a: Any, b: Any, beta: float, alpha: float) -> Any:
        if len(b.shape) == 1:
            return _scaled(F, F.mv(F.t(a), g), alpha)
        return _scaled(F, getattr(F, product)(swap(F, a), g), alpha)

    def grad_left(F: Any, g: Any, term: Any, a: Any, b: Any, beta: float, alpha: float) -> Any:
        if len(b.shape) == 1:
            return _scaled(F, F.mul(F.unsqueeze(g, dim=1), F.unsqueeze(b, dim=0)), alpha)
        return _scaled(F, getattr(F, product)(g, swap(F, b)), alpha)

    return declare(
        name,
        "composite",
        infer=infer,
        eval=eval,
        decompose=decompose,
        saves=("shape0", "in1", "in2"),
        vjps=(
            lambda F, g, shape, a, b, beta, alpha: F.sum_to(_scaled(F, g, beta), shape=shape),
            grad_left,
            grad_right,
        ),
        samples=rows(
            lambda term, a, b, beta, alpha: beta * term + alpha * np.matmul(a, b),
            *((operands, {"beta": beta, "alpha": alpha})
              for operands in shapes for beta, alpha in ((1, 1), (0.5, 2), (0, 1.5))),
        ),
    )  # fmt: skip


addmm = _product_with_term("addmm", "mm", ((5,), (3, 4), (4, 5)), ((3, 5), (3, 4), (4, 5)))
baddbmm = _product_with_term("baddbmm", "bmm", ((2, 3, 5), (2, 3, 4), (2, 4, 5)))
addmv = _product_with_term("addmv", "mv", ((3,), (3, 4), (4,)), ((), (3, 4), (4,)))
