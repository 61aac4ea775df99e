"""Why a call was recorded although there are variants: what differs from the nearest, in words."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from .mode import MODE
from .state import VERSIONS
from .tensor import Tensor
from .variant import Variant

_FIELDS = ("shape", "strides", "dtype", "requires_grad", "is a leaf", "type", "hooks")


def miss_reason(key: Hashable, variants: Iterable[Variant], tensors: Sequence[Tensor]) -> str:
    """What keeps the most similar of `variants` from serving a call with this key."""
    nearest = min(variants, key=lambda v: _distance(v.tree, key), default=None)
    if nearest is None:
        return "first call"
    if nearest.tree != key:
        return _key_difference(nearest.tree, key)
    return _state_difference(nearest, tensors)


def _distance(mine: Any, theirs: Any) -> int:
    return len(_key_difference(mine, theirs).split("; ")) if mine != theirs else 0


def _key_difference(mine: Any, theirs: Any) -> str:
    """Both keys are (tree, (rows of tensors, who shares storage))."""
    (tree, (rows, places)), (other_tree, (other_rows, other_places)) = mine, theirs
    if tree != other_tree or len(rows) != len(other_rows):
        return "arguments other than tensors, or their structure, differ"
    found = [
        f"tensor {i}: {name} was {a}, is {b}"
        for i, (row, other) in enumerate(zip(rows, other_rows, strict=True))
        for name, a, b in zip(_FIELDS, row, other, strict=True)
        if a != b and name != "strides"
    ]
    if not found and places != other_places:
        return "other arguments are the same tensor"
    return "; ".join(found) or "strides of a tensor differ"


def _state_difference(variant: Variant, tensors: Sequence[Tensor]) -> str:
    if MODE.grad is not variant.grad_mode:
        return "gradients are switched on or off"
    for guard in variant.guards:
        if not guard.holds():
            return f"{guard.name} has changed"
    if VERSIONS.structure != variant.structure:
        return "a parameter, a flag or an optimizer's structure has changed"
    if not variant.grads_fit(tensors):
        return "a .grad is there that was not, or the other way round"
    return "memory is shared differently, or an optimizer's number became or ceased to be zero"
