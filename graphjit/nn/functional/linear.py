"""Affine maps."""

from __future__ import annotations

from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input @ weight.T + bias`. Shapes (..., in), (out, in), (out,) -> (..., out)."""
    if weight.ndim == 1:
        product = F.dot(input, weight) if input.ndim == 1 else input.matmul(weight)
        return product if bias is None else F.add(product, bias)
    return F.linear(input, weight) if bias is None else F.linear(input, weight, bias)


def bilinear(
    input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """`x1.T @ weight[k] @ x2` for each k. Shapes (..., a), (..., b), (out, a, b) -> (..., out)."""
    out, a, b = weight.shape
    left = linear(input1, weight.permute(0, 2, 1).reshape(out * b, a))
    products = F.mul(left.reshape(*input1.shape[:-1], out, b), input2.unsqueeze(-2))
    result = products.sum(-1)
    return result if bias is None else F.add(result, bias)
