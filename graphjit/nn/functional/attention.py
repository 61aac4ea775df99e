"""Attention."""

from __future__ import annotations

import math

from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor
from .dropout import dropout


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`softmax(q k^T / sqrt(d) + mask) v` (Vaswani et al., 2017).

    Args:
        query: (..., L, d).
        key: (..., S, d).
        value: (..., S, e); the result is (..., L, e).
        attn_mask: broadcastable to (..., L, S): bool (True takes part) or added to the scores. A
            row of which nothing takes part gives zeros.
        is_causal: position i sees positions up to i only.
        scale: instead of 1 / sqrt(d).
        enable_gqa: heads (dimension -3) of `query` share those of `key` and `value` in groups.
    """
    if is_causal and attn_mask is not None:
        raise RuntimeError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
            "is_causal=True"
        )
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key = key.repeat_interleave(groups, -3)
        value = value.repeat_interleave(groups, -3)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = F.mul(query.matmul(key.transpose(-2, -1)), factor)
    hidden = None
    if is_causal:
        rows, columns = scores.shape[-2:]
        row = F.arange_like(scores, shape=(rows, columns), dim=0)
        hidden = F.gt(F.arange_like(scores, shape=(rows, columns), dim=1), row)
    elif attn_mask is not None and attn_mask._array.dtype.kind == "b":
        hidden = F.logical_not(attn_mask)
    elif attn_mask is not None:
        scores = F.add(scores, attn_mask)
    if hidden is not None:
        scores = F.where(hidden, -math.inf, scores)
    last = scores.ndim - 1
    if attn_mask is None:
        weights = F.softmax(scores, dim=last)
    else:
        takes_part = F.any(F.ne(scores, -math.inf), dims=(last,))
        weights = F.softmax(F.where(takes_part, scores, 0.0), dim=last)
        weights = F.where(takes_part, weights, 0.0)
    return dropout(weights, dropout_p).matmul(value)
