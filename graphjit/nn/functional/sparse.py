"""Rows looked up by number, and numbers as rows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ...frontend.mode import grad_mode
from ...frontend.observe import by_values, require
from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` that `input` numbers: shapes (...), (n, d) -> (..., d).

    `padding_idx`: a row that gets no gradient. `max_norm`: rows longer are shortened in place.
    """
    if padding_idx is not None:
        if not -weight.shape[0] <= padding_idx < weight.shape[0]:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= weight.shape[0]
    if max_norm is not None:
        with grad_mode(False):
            _renormalize(weight, input, max_norm, norm_type)
    return F.embedding(weight, input, padding_idx=padding_idx)


def _renormalize(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    used = input.reshape(-1).unique()
    rows = weight[used]
    norms = rows.norm(norm_type, 1, keepdim=True)
    shorter = F.where(F.gt(norms, max_norm), rows * (max_norm / (norms + 1e-7)), rows)
    weight[used] = shorter


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Rows of zeros with a 1 where the number says: shape (...) -> (..., classes), int64."""
    if tensor._array.dtype.char not in "lq":
        raise RuntimeError(
            "one_hot is only applicable to index tensor of type LongTensor."
        )
    if num_classes == -1:
        if tensor.numel() == 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        num_classes = int(tensor.max()) + 1
    _check_classes(tensor, num_classes)
    require(lambda: F.logical_and(F.ge(tensor, 0), F.lt(tensor, num_classes)))
    column = tensor.unsqueeze(-1)
    shape = (*tensor.shape, num_classes)
    return F.eq(column, F.arange_like(column, shape=shape, dim=tensor.ndim)).long()


def _check_classes(tensor: Tensor, num_classes: int) -> None:
    if not tensor.numel():
        return
    if tensor._array.min() < 0:
        raise by_values(
            RuntimeError("Class values must be non-negative."), "one_hot()", tensor
        )
    if tensor._array.max() >= num_classes:
        raise by_values(
            RuntimeError("Class values must be smaller than num_classes."), "one_hot()", tensor
        )


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """`embedding`, reduced over each bag: a row of `input`, or a stretch between `offsets`."""
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if input.ndim == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        ends = [*offsets.tolist(), *(() if include_last_offset else (input.shape[0],))]
        bags = [input[a:b] for a, b in pairwise(ends)]
    else:
        bags = [input]
    parts = []
    for bag in bags:
        rows = embedding(bag, weight, padding_idx, max_norm, norm_type)
        if per_sample_weights is not None:
            rows = rows * per_sample_weights.unsqueeze(-1)
        reduced = rows.amax(-2) if mode == "max" else getattr(rows, mode)(-2)
        parts.append(reduced if input.ndim == 2 else reduced.unsqueeze(0))
    return F.concat(*parts, dim=0)
