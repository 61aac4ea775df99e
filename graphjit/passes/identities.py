"""Algebraic rules for pointwise ops and reductions: exact in floating point, NaN and -0 included.

The one licence taken is that of reductions: sums of sums are joined, in whatever order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtypes import DType
from ..ir.graph import Value
from ..ops.scalar import INSTRUCTIONS
from .rewriting import Draft, Rewriter, Rule


def _is(number: Any, wanted: float) -> bool:
    """Equal, and of the same sign where it is zero."""
    return (
        number is not None
        and not isinstance(number, complex)
        and number == wanted
        and math.copysign(1, number) == math.copysign(1, wanted)
    )


def _mul(make: Rewriter, draft: Draft) -> Value | None:
    for x, y in (draft.inputs, draft.inputs[::-1]):
        number = make.number(y)
        if _is(number, 1):
            return x
        if _is(number, -1) and x.dtype.category in (1, 2):
            return make("neg", x)
    signs = [make.made_by(value, "neg") for value in draft.inputs]
    if signs[0] and signs[1]:
        return make("mul", signs[0].inputs[0], signs[1].inputs[0])
    return None


def _add(make: Rewriter, draft: Draft) -> Value | None:
    for x, y in (draft.inputs, draft.inputs[::-1]):
        number = make.number(y)
        exact = _is(number, -0.0) if x.dtype.category >= 2 else number == 0
        if number is not None and exact:
            return x
        negated = make.made_by(y, "neg")
        if negated and x.dtype.category > 0:
            return make("sub", x, negated.inputs[0])
    return None


def _sub(make: Rewriter, draft: Draft) -> Value | None:
    x, y = draft.inputs
    if _is(make.number(y), 0):
        return x
    negated = make.made_by(y, "neg")
    return make("add", x, negated.inputs[0]) if negated else None


def _div(make: Rewriter, draft: Draft) -> Value | None:
    x, y = draft.inputs
    number = make.number(y)
    if _is(number, 1):
        return x
    if number is not None and _has_exact_reciprocal(number, y.dtype):
        return make("mul", x, make.constant(1 / number, y))
    return None


def _has_exact_reciprocal(number: Any, dtype: DType) -> bool:
    """A power of two whose reciprocal is normal in `dtype`."""
    if not isinstance(number, float) or number == 0 or not math.isfinite(number):
        return False
    mantissa, exponent = math.frexp(abs(number))
    return mantissa == 0.5 and abs(exponent) < np.finfo(dtype.numpy).maxexp - 2


def _neg(make: Rewriter, draft: Draft) -> Value | None:
    inner = make.made_by(draft.inputs[0], "neg")
    return inner.inputs[0] if inner else None


def _pow(make: Rewriter, draft: Draft) -> Value | None:
    """The exponents that eager mode computes without a power function."""
    x, y = draft.inputs
    exponent = make.number(y)
    if y.shape or exponent is None or isinstance(exponent, complex):
        return None
    if exponent == 1:
        return x
    if exponent == 2:
        return make("mul", x, x)
    if x.dtype.category != 2:
        return None
    if exponent == 3:
        return make("mul", make("mul", x, x), x)
    if exponent == -2:
        return make("reciprocal", make("mul", x, x))
    roots = {0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    return make(roots[exponent], x) if exponent in roots else None


def _cast(make: Rewriter, draft: Draft) -> Value | None:
    (x,) = draft.inputs
    dtype = draft.attrs["dtype"]
    if x.dtype is dtype:
        return x
    inner = make.made_by(x, "cast")
    if inner and _holds_all(inner.inputs[0].dtype, x.dtype):
        return make("cast", inner.inputs[0], dtype=dtype)
    return None


def _holds_all(narrow: DType, wide: DType) -> bool:
    """Whether `wide` represents each value of `narrow` exactly."""
    if narrow.category == 1 and wide.category == 2:
        return 8 * narrow.itemsize <= np.finfo(wide.numpy).nmant
    if narrow.category == 1 and wide.category == 3:
        return False
    return bool(np.can_cast(narrow.numpy, wide.numpy, "safe"))


def _where(make: Rewriter, draft: Draft) -> Value | None:
    condition, x, y = draft.inputs
    chosen = make.number(condition)
    if chosen is not None:
        return x if chosen else y
    if x is y:
        return x
    inverse = make.made_by(condition, "logical_not")
    if inverse and inverse.inputs[0].dtype is condition.dtype:
        return make("where", inverse.inputs[0], y, x)
    return None


def _same_operands(make: Rewriter, draft: Draft) -> Value | None:
    x, y = draft.inputs
    return x if x is y else None


def _logical_not(make: Rewriter, draft: Draft) -> Value | None:
    inner = make.made_by(draft.inputs[0], "logical_not")
    if inner and inner.inputs[0].dtype is draft.spec.dtype:
        return inner.inputs[0]
    return None


def _copy(make: Rewriter, draft: Draft) -> Value | None:
    return draft.inputs[0]


def idempotent(make: Rewriter, draft: Draft) -> Value | None:
    """f(f(x)) is f(x) where the op says so."""
    if not draft.op.idempotent:
        return None
    inner = make.builder.producer.get(draft.inputs[0])
    same = inner is not None and inner.op is draft.op and dict(inner.attrs) == draft.attrs
    return draft.inputs[0] if same else None


def reduce_single(make: Rewriter, draft: Draft) -> Value | None:
    """Dimensions of extent 1 need no reduction."""
    if draft.op.kind != "reduce" or draft.op.combine is None or "dims" not in draft.attrs:
        return None
    (x,) = draft.inputs
    dims = tuple(d for d in draft.attrs["dims"] if x.shape[d] != 1)
    if dims and dims == draft.attrs["dims"]:
        return None
    if dims:
        return make(draft.op.name, x, **{**draft.attrs, "dims": dims})
    if not _keeps_element(draft):
        return None
    element = make("cast", x, dtype=draft.spec.dtype)
    if draft.op.combine == "add" and element.dtype.category >= 2:
        return make("add", element, make.constant(0.0, element))  # a sum is never -0
    return element


def _keeps_element(draft: Draft) -> bool:
    """Whether the reduction of one element is that element, up to its dtype."""
    x = np.asarray([2], draft.inputs[0].dtype.numpy)
    expected = x.astype(draft.spec.dtype.numpy)
    return bool(draft.op.eval(np, x, dims=(0,)) == expected)


def reduce_twice(make: Rewriter, draft: Draft) -> Value | None:
    """A reduction of the same reduction is one over the dimensions of both."""
    if draft.op.kind != "reduce" or draft.op.combine not in INSTRUCTIONS:
        return None
    (x,) = draft.inputs
    inner = make.made_by(x, draft.op.name)
    if inner is None or x.dtype is not draft.spec.dtype:
        return None
    dims = tuple(sorted({*draft.attrs["dims"], *inner.attr("dims")}))
    return make(draft.op.name, inner.inputs[0], **{**draft.attrs, "dims": dims})


RULES: dict[str, tuple[Rule, ...]] = {
    "mul": (_mul,),
    "add": (_add,),
    "sub": (_sub,),
    "div": (_div,),
    "neg": (_neg,),
    "pow": (_pow,),
    "cast": (_cast,),
    "where": (_where,),
    "maximum": (_same_operands,),
    "minimum": (_same_operands,),
    "logical_not": (_logical_not,),
    "clone": (_copy,),
}
GENERAL: tuple[Rule, ...] = (idempotent, reduce_single, reduce_twice)
