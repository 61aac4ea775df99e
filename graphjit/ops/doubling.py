"""Products and recurrences along a dimension in log2(n) steps, each of multiplications alone.

Gradients of products go through here: there is no division, so zeros need no care, at any order of
differentiation.
"""

from __future__ import annotations

import math
from typing import Any

from ..ir.graph import Shape


def _shift(F: Any, x: Any, dim: int, by: int, fill: float) -> Any:
    """Element i becomes element i - `by`; `fill` where there is none."""
    n = x.shape[dim]
    fixed = F.new_full(x, shape=(*x.shape[:dim], abs(by), *x.shape[dim + 1 :]), value=fill)
    if by > 0:
        return F.concat(fixed, F.slice_(x, dim=dim, start=0, stop=n - by, step=1), dim=dim)
    return F.concat(F.slice_(x, dim=dim, start=-by, stop=n, step=1), fixed, dim=dim)


def products_of_others(F: Any, x: Any, dim: int) -> Any:
    """For each element the product of all others along `dim`."""
    n = x.shape[dim]
    before, after, by = _shift(F, x, dim, 1, 1), _shift(F, x, dim, -1, 1), 1
    while by < n:
        before = F.mul(before, _shift(F, before, dim, by, 1))
        after = F.mul(after, _shift(F, after, dim, -by, 1))
        by *= 2
    return F.mul(before, after)


def products_before(F: Any, x: Any, dim: int) -> Any:
    """For each element the product of those before it along `dim`."""
    product, by = _shift(F, x, dim, 1, 1), 1
    while by < x.shape[dim]:
        product = F.mul(product, _shift(F, product, dim, by, 1))
        by *= 2
    return product


def backward_recurrence(F: Any, a: Any, b: Any, dim: int) -> Any:
    """r with r[i] = b[i] + a[i] r[i + 1] along `dim`, and nothing after the last."""
    by = 1
    while by < a.shape[dim]:
        b = F.add(b, F.mul(a, _shift(F, b, dim, -by, 0)))
        a = F.mul(a, _shift(F, a, dim, -by, 1))
        by *= 2
    return b


def cumprod_gradient(F: Any, g: Any, x: Any, dim: int) -> Any:
    """The gradient of `x` from that of its running products.

    Element j counts, in each later product i, times x[k] for all other k up to i.
    """
    later = backward_recurrence(F, _shift(F, x, dim, -1, 0), g, dim)
    return F.mul(products_before(F, x, dim), later)


def prod_gradient(F: Any, g: Any, x: Any, dims: Shape) -> Any:
    """The gradient of `x` from that of its product over `dims`, which `g` keeps."""
    kept = tuple(i for i in range(len(x.shape)) if i not in dims)
    order = (*kept, *dims)
    moved = F.permute(x, dims=order)
    n = math.prod(x.shape[i] for i in dims)
    flat = F.reshape(moved, shape=(*(x.shape[i] for i in kept), n))
    others = products_of_others(F, flat, len(kept)) if n else flat
    back = tuple(sorted(range(len(order)), key=order.__getitem__))
    return F.mul(g, F.permute(F.reshape(others, shape=moved.shape), dims=back))
