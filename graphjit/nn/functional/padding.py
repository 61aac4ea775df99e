"""Padding."""

from __future__ import annotations

from collections.abc import Sequence

from ...frontend.tape import TENSORS as F
from ...frontend.tensor import Tensor


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Extend a tensor: `pad` holds (before, after) of the last dimension, then the one before...

    `mode` is "constant" (with `value`), "reflect", "replicate" or "circular". Negative numbers cut.
    """
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * input.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(pad)} and input of dimension {input.ndim}"
        )
    pairs = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)]
    if mode == "constant":
        borders = [(0, 0)] * (input.ndim - len(pairs)) + pairs[::-1]
        return F.pad(input, pads=tuple(borders), value=0.0 if value is None else value)
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    for i, (before, after) in enumerate(pairs):
        if before or after:
            input = _extend(input, input.ndim - 1 - i, before, after, mode)
    return input


def _extend(input: Tensor, dim: int, before: int, after: int, mode: str) -> Tensor:
    """One dimension longer, by elements of its own."""
    n = input.shape[dim]
    if mode == "reflect" and max(before, after) >= n:
        raise RuntimeError(
            "Padding size should be less than the corresponding input dimension, but got: "
            f"padding ({before}, {after}) at dimension {dim} of input {list(input.shape)}"
        )
    if mode == "circular" and max(before, after) > n:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    parts = [
        _border(input, dim, before, mode, True),
        input.narrow(dim, max(-before, 0), n - max(-before, 0) - max(-after, 0)),
        _border(input, dim, after, mode, False),
    ]
    return F.concat(*(part for part in parts if part is not None), dim=dim)


def _border(input: Tensor, dim: int, count: int, mode: str, first: bool) -> Tensor | None:
    n = input.shape[dim]
    if count <= 0:
        return None
    if mode == "circular":
        return input.narrow(dim, n - count if first else 0, count)
    if mode == "replicate":
        edge = input.narrow(dim, 0 if first else n - 1, 1)
        return edge.expand(*input.shape[:dim], count, *input.shape[dim + 1 :])
    return input.narrow(dim, 1 if first else n - 1 - count, count).flip(dim)
