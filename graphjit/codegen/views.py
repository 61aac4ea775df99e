"""Views as layouts: the memory of a view op's result, given that of its operand.

None where no strides describe it, so that the elements have to be copied.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from ..ir.graph import Node
from ..runtime.instruction import Layout, row_major


def view_layout(node: Node, base: Layout) -> Layout | None:
    """The layout of `node`'s result, where the node is a view of `base`."""
    attrs = node.kwargs
    match node.op.name:
        case "permute":
            return base.permute([dim % base.ndim for dim in attrs["dims"]])
        case "expand":
            return base.expand(node.output.shape)
        case "reshape":
            return reshaped(base, node.output.shape)
        case "slice_":
            return sliced(base, node.output.shape, **attrs)
        case "diagonal":
            return _diagonal(base, node.output.shape, **attrs)
        case "flip":
            return _flipped(base, attrs["dims"])
        case "unfold":
            return _unfolded(base, node.output.shape, **attrs)
        case "barrier":
            return base
    return None


def home_of_operand(node: Node, home: Layout) -> Layout | None:
    """Where a view's operand must lie for the view to lie at `home`: only for bijective views."""
    operand = node.inputs[0]
    if node.op.name == "reshape":
        return reshaped(home, operand.shape)
    if node.op.name == "permute":
        dims = [dim % home.ndim for dim in node.attr("dims")]
        return home.permute(sorted(range(home.ndim), key=dims.__getitem__))
    return None


def sliced(
    base: Layout, shape: Sequence[int], dim: int, start: int, stop: int, step: int
) -> Layout:
    """Elements `start:stop:step` along `dim`."""
    strides = list(base.strides)
    strides[dim] *= step
    offset = start * base.strides[dim] if all(shape) else 0
    return replace(moved(base, offset), shape=tuple(shape), strides=tuple(strides))


def moved(base: Layout, elements: int) -> Layout:
    """`base` with its pointer moved on by a number of elements."""
    pointer = base.pointer
    offset = pointer.offset + elements * base.dtype.itemsize
    return replace(base, pointer=replace(pointer, offset=offset))


def _diagonal(base: Layout, shape: Sequence[int], offset: int, dim1: int, dim2: int) -> Layout:
    step = base.strides[dim1] + base.strides[dim2]
    start = offset * base.strides[dim2] if offset >= 0 else -offset * base.strides[dim1]
    kept = [s for i, s in enumerate(base.strides) if i not in (dim1, dim2)]
    result = moved(base, start if all(shape) else 0)
    return replace(result, shape=tuple(shape), strides=(*kept, step))


def _flipped(base: Layout, dims: Sequence[int]) -> Layout:
    strides = list(base.strides)
    start = 0
    for dim in dims:
        start += (base.shape[dim] - 1) * strides[dim]
        strides[dim] = -strides[dim]
    return replace(moved(base, start if all(base.shape) else 0), strides=tuple(strides))


def _unfolded(base: Layout, shape: Sequence[int], dim: int, size: int, step: int) -> Layout:
    strides = list(base.strides)
    strides[dim] *= step
    return replace(base, shape=tuple(shape), strides=(*strides, base.strides[dim]))


def reshaped(base: Layout, shape: Sequence[int]) -> Layout | None:
    """`base` under another shape, without a copy; None if its strides do not allow that."""
    if base.is_contiguous or 0 in base.shape:
        return replace(base, shape=tuple(shape), strides=row_major(shape))
    old = [(n, s) for n, s in zip(base.shape, base.strides, strict=True) if n != 1]
    strides: list[int] = []
    position = 0
    for extents in _groups([n for n, _ in old], shape):
        count, wanted = extents
        run = old[position : position + count]
        position += count
        if any(a[1] != b[0] * b[1] for a, b in itertools.pairwise(run)):
            return None
        step = run[-1][1] if run else 1
        group: list[int] = []
        for extent in reversed(wanted):
            group.append(step)
            step *= extent
        strides += reversed(group)
    return replace(base, shape=tuple(shape), strides=tuple(strides))


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Splits both shapes into the smallest runs of equal size: (old dimensions, new extents)."""
    groups: list[tuple[int, list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        count, wanted, left, right = 0, [], 1, 1
        if i < len(old):
            left, count, i = old[i], 1, i + 1
        while left != right or (j < len(new) and new[j] == 1):
            if right < left or (left == right and new[j] == 1):
                right *= new[j]
                wanted.append(new[j])
                j += 1
            else:
                left *= old[i]
                count, i = count + 1, i + 1
        groups.append((count, wanted))
    return groups


