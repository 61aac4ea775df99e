"""Distances between vectors."""

from __future__ import annotations

from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle along `dim`; norms are held above `eps`."""
    norms = [F.maximum((x * x).sum(dim, keepdim=True).sqrt(), eps) for x in (x1, x2)]
    return F.mul(F.div(x1, norms[0]), F.div(x2, norms[1])).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of `x1 - x2 + eps` along the last dimension."""
    return F.add(F.sub(x1, x2), eps).norm(p, -1, keepdim=keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms between all pairs of rows, each pair once."""
    rows = [
        F.sub(input[i : i + 1], input[i + 1 :]).norm(p, -1) for i in range(input.shape[0] - 1)
    ]
    return F.concat(*rows, dim=0)
