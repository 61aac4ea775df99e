"""Ops that copy elements to other places: writes into part of a tensor, concatenation, reversal.

Reads the index arithmetic of `shape`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.graph import Shape, Spec
from .core import declare
from .sampling import both, calls, floats, ints, rows
from .shape import slice_, slices


def _check_slice(base: Spec, new: Spec, dim: int, start: int, stop: int, step: int) -> Spec:
    (target,) = slice_.infer(base, dim=dim, start=start, stop=stop, step=step)
    if target.shape != new.shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = "
            f"{list(new.shape)}, slice size = {list(target.shape)}"
        )
    return base


def _eval_slice_scatter(
    xp: Any, base: Any, new: Any, dim: int, start: int, stop: int, step: int
) -> Any:
    result = base.copy()
    result[slices(base.ndim, dim, start, stop, step)] = new
    return result


def _written_slice(base: Any, new: Any, dim: int, start: int, stop: int, step: int) -> Any:
    result = np.array(base)
    np.moveaxis(result, dim, 0)[start:stop:step] = np.moveaxis(new, dim, 0)
    return result


slice_scatter = declare(
    "slice_scatter",
    "scatter",
    infer=lambda base, new, **where: (_check_slice(base, new, **where),),
    eval=_eval_slice_scatter,
    saves=("shape1",),
    vjps=(
        lambda F, g, shape, **where: F.slice_scatter(
            g, F.new_full(g, shape=shape, value=0), **where
        ),
        lambda F, g, shape, **where: F.slice_(g, **where),
    ),
    samples=rows(_written_slice, *(
        (operands, {"dim": dim, "start": a, "stop": b, "step": c})
        for operands, dim, a, b, c in (
            (((5, 3), (2, 3)), 0, 1, 3, 1), (((2, 7), (2, 2)), 1, 1, 7, 3),
            (((4,), (0,)), 0, 2, 2, 1), ((floats(3, 5, layout="T"), (3, 5)), 1, 0, 5, 1),
        )
    )),
)  # fmt: skip


def _eval_slice_backward(
    xp: Any, g: Any, shape: Shape, dim: int, start: int, stop: int, step: int
) -> Any:
    result = xp.zeros(shape, g.dtype)
    result[slices(len(shape), dim, start, stop, step)] = g
    return result


def _decompose_slice_backward(F: Any, g: Any, shape: Shape, **where: int) -> Any:
    return F.slice_scatter(F.new_full(g, shape=shape, value=0), g, **where)


slice_backward = declare(
    "slice_backward",
    "composite",
    infer=lambda spec, shape, dim, start, stop, step: (spec.with_shape(shape),),
    eval=_eval_slice_backward,
    decompose=_decompose_slice_backward,
    vjps=lambda F, g, shape, **where: F.slice_(g, **where),
    samples=rows(
        lambda g, shape, **where: _written_slice(np.zeros(shape), g, **where),
        *calls(((2, 3),), shape=(5, 3), dim=0, start=1, stop=3, step=1),
        *calls(((2, 2),), shape=(2, 7), dim=1, start=1, stop=7, step=3),
    ),
)


def _eval_diagonal_scatter(
    xp: Any, base: Any, new: Any, offset: int, dim1: int, dim2: int
) -> Any:
    result = base.copy()
    view = result.diagonal(offset, dim1, dim2)
    view.flags.writeable = True
    view[...] = new
    return result


def _decompose_diagonal_scatter(
    F: Any, base: Any, new: Any, offset: int, dim1: int, dim2: int
) -> Any:
    """The elements of `new` stand along rows (or columns, below the diagonal) and are compared."""
    ndim = len(base.shape)
    along, across = (dim1, dim2) if offset >= 0 else (dim2, dim1)
    rest = iter(range(ndim - 2))
    order = [{along: ndim - 2, across: ndim - 1}.get(i, -1) for i in range(ndim)]
    placed = F.permute(
        F.unsqueeze(new, dim=ndim - 1), dims=tuple(next(rest) if i < 0 else i for i in order)
    )
    missing = base.shape[along] - placed.shape[along]
    pads = tuple((0, missing if i == along else 0) for i in range(ndim))
    rows = F.arange_like(base, shape=base.shape, dim=dim1)
    columns = F.arange_like(base, shape=base.shape, dim=dim2)
    on_diagonal = F.eq(F.sub(columns, rows), offset)
    return F.where(on_diagonal, F.pad(placed, pads=pads, value=0), base)


diagonal_scatter = declare(
    "diagonal_scatter",
    "composite",
    infer=lambda base, new, offset, dim1, dim2: (base,),
    eval=_eval_diagonal_scatter,
    decompose=_decompose_diagonal_scatter,
    saves=("shape1",),
    vjps=(
        lambda F, g, shape, **where: F.diagonal_scatter(
            g, F.new_full(g, shape=shape, value=0), **where
        ),
        lambda F, g, shape, **where: F.diagonal(g, **where),
    ),
    samples=rows(
        lambda base, new, offset, dim1, dim2: base
        + np.diag(new - np.diagonal(base, offset), offset),
        *calls(((3, 3), (3,)), offset=0, dim1=0, dim2=1),
        *calls(((4, 4), (3,)), offset=1, dim1=0, dim2=1),
        *calls(((4, 4), (2,)), offset=-2, dim1=0, dim2=1),
    ),
)


def _infer_concat(*specs: Spec, dim: int) -> tuple[Spec, ...]:
    if not specs:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    first = specs[0].shape
    for i, spec in enumerate(specs):
        if not spec.shape:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
        if len(spec.shape) != len(first):
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {len(first)} "
                f"and {len(spec.shape)}"
            )
        for axis, (expected, extent) in enumerate(zip(first, spec.shape, strict=True)):
            if axis != dim and expected != extent:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size "
                    f"{expected} but got size {extent} for tensor number {i} in the list."
                )
    total = sum(spec.shape[dim] for spec in specs)
    return (specs[0].with_shape((*first[:dim], total, *first[dim + 1 :])),)


def _concat_vjp(
    F: Any, needs: Sequence[bool], g: Any, shapes: Sequence[Shape], dim: int
) -> list[Any]:
    start, grads = 0, []
    for need, shape in zip(needs, shapes, strict=True):
        stop = start + shape[dim]
        grads.append(F.slice_(g, dim=dim, start=start, stop=stop, step=1) if need else None)
        start = stop
    return grads


concat = declare(
    "concat",
    "scatter",
    infer=_infer_concat,
    eval=lambda xp, *arrays, dim: xp.concatenate(arrays, dim),
    promotion="same",
    saves=("shapes",),
    joint_vjp=_concat_vjp,
    grad_name="Cat",
    samples=rows(
        lambda *xs, dim: np.concatenate(xs, dim),
        *calls(((2, 3), (4, 3), (1, 3)), ((0, 2), (3, 2)), ((2, 3),), dim=0),
        *calls((ints(2, 1), ints(2, 2)), ((2, 3), floats(2, 5, layout="T")), dim=1),
    ),
)


def _infer_stack(*specs: Spec, dim: int) -> tuple[Spec, ...]:
    if not specs:
        raise RuntimeError("stack expects a non-empty TensorList")
    for i, spec in enumerate(specs):
        if spec.shape != specs[0].shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(specs[0].shape)} "
                f"at entry 0 and {list(spec.shape)} at entry {i}"
            )
    shape = specs[0].shape
    return (specs[0].with_shape((*shape[:dim], len(specs), *shape[dim:])),)


def _stack_vjp(
    F: Any, needs: Sequence[bool], g: Any, shapes: Sequence[Shape], dim: int
) -> list[Any]:
    return [F.select(g, dim=dim, index=i) if need else None for i, need in enumerate(needs)]


stack = declare(
    "stack",
    "composite",
    infer=_infer_stack,
    eval=lambda xp, *arrays, dim: xp.stack(arrays, dim),
    decompose=lambda F, *xs, dim: F.concat(*(F.unsqueeze(x, dim=dim) for x in xs), dim=dim),
    promotion="same",
    saves=("shapes",),
    joint_vjp=_stack_vjp,
    samples=rows(
        lambda *xs, dim: np.stack(xs, dim),
        *calls(((2, 3), (2, 3)), ((), (), ()), ((2,),), dim=0),
        *calls(((2, 3), (2, 3)), (ints(2), ints(2)), dim=1),
    ),
)

flip = declare(
    "flip",
    "gather",
    moves_nothing=True,
    infer=lambda spec, dims: (spec,),
    eval=lambda xp, x, dims: xp.flip(x, dims).copy() if x.ndim else x.copy(),
    vjps=lambda F, g, dims: F.flip(g, dims=dims),
    samples=rows(
        lambda x, dims: np.flip(x, dims),
        *(((x,), {"dims": dims})
          for x, dims in (((3, 4), (0,)), ((3, 4), (0, 1)), ((2, 3, 4), (1,)), ((3,), ()))),
    ),
)  # fmt: skip


def _roll_parts(extent: int, shift: int, dim: int) -> tuple[dict[str, int], dict[str, int]]:
    cut = -shift % extent
    return (
        {"dim": dim, "start": cut, "stop": extent, "step": 1},
        {"dim": dim, "start": 0, "stop": cut, "step": 1},
    )


def _decompose_roll(F: Any, x: Any, shifts: Shape, dims: Shape) -> Any:
    for shift, dim in zip(shifts, dims, strict=True):
        if x.shape[dim]:
            last, first = _roll_parts(x.shape[dim], shift, dim)
            x = F.concat(F.slice_(x, **last), F.slice_(x, **first), dim=dim)
    return x


roll = declare(
    "roll",
    "composite",
    infer=lambda spec, shifts, dims: (spec,),
    eval=lambda xp, x, shifts, dims: xp.roll(x, shifts, dims),
    decompose=_decompose_roll,
    vjps=lambda F, g, shifts, dims: F.roll(g, shifts=tuple(-n for n in shifts), dims=dims),
    samples=rows(
        lambda x, shifts, dims: np.roll(x, shifts, dims),
        *calls(((3, 4),), (ints(3, 4),), shifts=(1,), dims=(1,)),
        *calls(((3, 4),), ((2, 3),), shifts=(-4, 2), dims=(0, 1)),
        *calls(((0, 4),), shifts=(1,), dims=(0,)),
    ),
)


def _padded_shape(shape: Shape, pads: Sequence[tuple[int, int]]) -> Shape:
    return tuple(n + before + after for n, (before, after) in zip(shape, pads, strict=True))


def _infer_pad(spec: Spec, pads: Sequence[tuple[int, int]], value: float) -> tuple[Spec, ...]:
    shape = _padded_shape(spec.shape, pads)
    for i, extent in enumerate(shape):
        if extent < 0:
            before, after = pads[i]
            raise RuntimeError(
                f"The input size {spec.shape[i]}, plus negative padding {before} and {after}, "
                f"resulted in a negative output size, which is invalid. Check dimension {i} of "
                "your input."
            )
    return (spec.with_shape(shape),)


def _crop(F: Any, x: Any, pads: Sequence[tuple[int, int]]) -> Any:
    """`x` without what negative padding removes."""
    for dim, (before, after) in enumerate(pads):
        if before < 0 or after < 0:
            stop = x.shape[dim] + min(after, 0)
            x = F.slice_(x, dim=dim, start=max(-before, 0), stop=stop, step=1)
    return x


def _decompose_pad(F: Any, x: Any, pads: Sequence[tuple[int, int]], value: float) -> Any:
    x = _crop(F, x, pads)
    for dim, (before, after) in enumerate(pads):
        before, after = max(before, 0), max(after, 0)
        if before or after:
            extent = x.shape[dim]
            shape = (*x.shape[:dim], before + extent + after, *x.shape[dim + 1 :])
            x = F.slice_scatter(
                F.new_full(x, shape=shape, value=value), x,
                dim=dim, start=before, stop=before + extent, step=1,
            )  # fmt: skip
    return x


def _eval_pad(xp: Any, x: Any, pads: Sequence[tuple[int, int]], value: float) -> Any:
    shape = _padded_shape(x.shape, pads)
    result = xp.full(shape, value, x.dtype)
    inner, source = [], []
    for extent, (before, after) in zip(x.shape, pads, strict=True):
        kept = extent + min(before, 0) + min(after, 0)
        source.append(slice(max(-before, 0), max(-before, 0) + kept))
        inner.append(slice(max(before, 0), max(before, 0) + kept))
    result[tuple(inner)] = x[tuple(source)]
    return result


#: Constant padding: `pads` is (before, after) for each dimension; negative numbers crop.
pad = declare(
    "pad",
    "composite",
    infer=_infer_pad,
    eval=_eval_pad,
    decompose=_decompose_pad,
    vjps=lambda F, g, pads, value: F.pad(
        g, pads=tuple((-before, -after) for before, after in pads), value=0
    ),
    grad_name="ConstantPadNd",
    samples=both(
        rows(
            lambda x, pads, value: np.pad(x, pads, constant_values=value),
            *calls(((3, 4),), (ints(2, 2),), pads=((1, 2), (0, 3)), value=7),
            *calls(((3,),), pads=((0, 0),), value=0),
        ),
        rows(
            lambda x, pads, value: np.pad(x[1:, :-2], ((0, 2), (0, 0)), constant_values=value),
            *calls(((4, 5),), pads=((-1, 2), (0, -2)), value=1.5),
        ),
    ),
)


def _interleaved(shape: Shape, repeats: Shape) -> tuple[Shape, Shape, Shape]:
    """Shapes of `x` while it is repeated: with a place before each dimension, expanded, done."""
    lead = len(repeats) - len(shape)
    shape = (1,) * lead + shape
    spread = tuple(n for extent in shape for n in (1, extent))
    expanded = tuple(n for r, extent in zip(repeats, shape) for n in (r, extent))
    return spread, expanded, tuple(r * extent for r, extent in zip(repeats, shape))


def _infer_repeat(spec: Spec, repeats: Shape) -> tuple[Spec, ...]:
    if len(repeats) < len(spec.shape):
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions "
            "of tensor"
        )
    return (spec.with_shape(_interleaved(spec.shape, repeats)[2]),)


def _decompose_repeat(F: Any, x: Any, repeats: Shape) -> Any:
    spread, expanded, shape = _interleaved(x.shape, repeats)
    return F.reshape(F.expand(F.reshape(x, shape=spread), shape=expanded), shape=shape)


def _repeat_vjp(F: Any, g: Any, source: Shape, repeats: Shape) -> Any:
    spread, expanded, _ = _interleaved(source, repeats)
    return F.reshape(F.sum_to(F.reshape(g, shape=expanded), shape=spread), shape=source)


repeat = declare(
    "repeat",
    "composite",
    infer=_infer_repeat,
    eval=lambda xp, x, repeats: xp.tile(x, repeats),
    decompose=_decompose_repeat,
    saves=("shape0",),
    vjps=_repeat_vjp,
    samples=rows(
        lambda x, repeats: np.tile(x, repeats),
        *calls(((2, 3),), ((3,),), (ints(2),), repeats=(2, 1)),
        *calls(((2, 3),), ((),), repeats=(2, 3, 2)), *calls(((2,),), repeats=(0,)),
    ),
)
