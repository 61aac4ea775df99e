"""Views: the same elements under another shape. Their results share the operand's memory.

Five are primitive (permute, expand, reshape, slice_, diagonal); the others carry PyTorch's names
and decompose into them. Dimensions in attributes are counted from the front.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.graph import Shape, Spec
from .core import Op, declare, normalize_dim, type_name
from .sampling import Samples, calls, floats, ints, rows


def inverse(dims: Shape) -> Shape:
    """The permutation that undoes `dims`."""
    return tuple(sorted(range(len(dims)), key=dims.__getitem__))


def _infer_permute(spec: Spec, dims: Shape) -> tuple[Spec, ...]:
    if len(dims) != len(spec.shape):
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {len(spec.shape)} "
            f"is not equal to len(dims) = {len(dims)}"
        )
    order = [normalize_dim(dim, len(dims)) for dim in dims]
    if len(set(order)) < len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return (spec.with_shape([spec.shape[dim] for dim in order]),)


def _undo_permute(F: Any, g: Any, dims: Shape) -> Any:
    return F.permute(g, dims=inverse(tuple(dim % len(dims) for dim in dims)))


permute = declare(
    "permute",
    "view",
    infer=_infer_permute,
    eval=lambda xp, x, dims: x.transpose(dims),
    vjps=_undo_permute,
    scatter=lambda F, base, new, dims: _undo_permute(F, new, dims),
    samples=rows(
        lambda x, dims: np.transpose(x, dims),
        *(((x,), {"dims": dims})
          for x, dims in (((2, 3, 4), (2, 0, 1)), ((3, 4), (1, 0)), ((), ()), ((0, 3), (1, 0)))),
    ),
)  # fmt: skip


def _infer_expand(spec: Spec, shape: Shape) -> tuple[Spec, ...]:
    lead = len(shape) - len(spec.shape)
    if lead < 0:
        kind = f"torch.{type_name(spec.dtype)}Tensor"
        raise RuntimeError(
            f"expand({kind}{{{list(spec.shape)}}}, size={list(shape)}): the number of sizes "
            f"provided ({len(shape)}) must be greater or equal to the number of dimensions in the "
            f"tensor ({len(spec.shape)})"
        )
    result = []
    for i, extent in enumerate(shape):
        have = spec.shape[i - lead] if i >= lead else None
        if extent == -1:
            if have is None:
                raise RuntimeError(
                    f"The expanded size of the tensor (-1) isn't allowed in a leading, "
                    f"non-existing dimension {i}"
                )
            extent = have
        elif have not in (None, 1, extent):
            raise RuntimeError(
                f"The expanded size of the tensor ({extent}) must match the existing size ({have}) "
                f"at non-singleton dimension {i}.  Target sizes: {list(shape)}.  "
                f"Tensor sizes: {list(spec.shape)}"
            )
        result.append(extent)
    return (spec.with_shape(result),)


def _eval_expand(xp: Any, x: Any, shape: Shape) -> Any:
    if x.shape == shape:
        return x[...]
    if -1 in shape:
        lead = len(shape) - x.ndim
        if -1 in shape[:lead]:
            raise ValueError("expand")
        shape = tuple(x.shape[i - lead] if s == -1 else s for i, s in enumerate(shape))
    if xp is np and x.flags.c_contiguous and x.size and 0 not in shape:
        return np.ndarray(shape, x.dtype, x, 0, _expanded_strides(x, shape))
    result = xp.broadcast_to(x, shape)
    if xp is np:  # a row of it is like any other tensor
        result.flags.writeable = x.flags.writeable
    return result


def _expanded_strides(x: Any, shape: Shape) -> tuple[int, ...]:
    """The strides of `x` under `shape`; ValueError where it does not fit.

    `np.broadcast_to` takes ten times as long, and what it returns cannot be written to.
    """
    lead = len(shape) - x.ndim
    strides = [0] * lead
    for extent, have, step in zip(shape[max(lead, 0) :], x.shape, x.strides):
        if have != extent and have != 1:
            raise ValueError("expand")
        strides.append(step if have == extent else 0)
    if lead < 0:
        raise ValueError("expand")
    return tuple(strides)


def _expand_vjp(F: Any, g: Any, source: Shape, shape: Shape) -> Any:
    return F.sum_to(g, shape=source)


def _scatter_expand(F: Any, base: Any, new: Any, shape: Shape) -> Any:
    """Which of its copies an element of `base` was written through cannot be told from `new`."""
    if 0 in new.shape:
        return base
    repeated = math.prod(new.shape) > math.prod(base.shape)
    return None if repeated else F.reshape(new, shape=base.shape)


expand = declare(
    "expand",
    "view",
    infer=_infer_expand,
    eval=_eval_expand,
    saves=("shape0",),
    vjps=_expand_vjp,
    scatter=_scatter_expand,
    samples=rows(
        lambda x, shape: np.broadcast_to(x, [n if n >= 0 else x.shape[i - len(shape)]
                                             for i, n in enumerate(shape)]),
        *(((x,), {"shape": shape})
          for x, shape in (((1,), (4,)), ((3, 1), (2, 3, 4)), ((), (2, 3)), ((1, 1), (0, 3)),
                           ((3, 1), (-1, 4)), ((2, 3), (2, 3)))),
    ),
)  # fmt: skip


def resolve_shape(shape: Shape, size: int) -> Shape:
    """`shape` with its -1 filled in; RuntimeError, in PyTorch's words, where nothing fits."""
    for i, extent in enumerate(shape):
        if extent < -1:
            raise RuntimeError(
                f"invalid shape dimension {extent} at index {i} of shape {list(shape)}"
            )
    known = math.prod(extent for extent in shape if extent != -1)
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if -1 in shape and known == 0 and size == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified "
            "dimension size -1 can be any value and is ambiguous"
        )
    if (-1 not in shape and known != size) or (-1 in shape and (not known or size % known)):
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")
    return tuple(size // known if extent == -1 else extent for extent in shape)


def _infer_reshape(spec: Spec, shape: Shape) -> tuple[Spec, ...]:
    return (spec.with_shape(resolve_shape(tuple(shape), spec.size)),)


def _as_source(F: Any, g: Any, source: Shape, **attrs: Any) -> Any:
    return F.reshape(g, shape=source)


def _scatter_reshape(F: Any, base: Any, new: Any, **attrs: Any) -> Any:
    return F.reshape(new, shape=base.shape)


def _eval_reshape(xp: Any, x: Any, shape: Shape) -> Any:
    if len(shape) and min(shape) < -1:
        resolve_shape(shape, x.size)
    return x.reshape(shape)


def _shapes() -> Samples:
    places = (((2, 6), (3, 4)), ((4,), (2, -1)), ((1,), ()), ((), (1, 1)), ((0, 3), (3, 0)),
              (floats(3, 4, layout="T"), (2, 6)))  # fmt: skip
    return rows(lambda x, shape: np.reshape(x, shape), *(
        ((x,), {"shape": shape}) for x, shape in places
    ))  # fmt: skip


reshape = declare(
    "reshape",
    "view",
    infer=_infer_reshape,
    eval=_eval_reshape,
    saves=("shape0",),
    vjps=_as_source,
    scatter=_scatter_reshape,
    grad_name="View",
    samples=_shapes(),
)


def slices(ndim: int, dim: int, start: int, stop: int, step: int) -> tuple[slice, ...]:
    """The index that selects `start:stop:step` along `dim`."""
    return (slice(None),) * dim + (slice(start, stop, step),)


def slice_length(start: int, stop: int, step: int) -> int:
    """The number of elements in `start:stop:step`."""
    return max(-(-(stop - start) // step), 0)


def _infer_slice(spec: Spec, dim: int, start: int, stop: int, step: int) -> tuple[Spec, ...]:
    shape = list(spec.shape)
    if step <= 0:
        raise ValueError("step must be greater than zero")
    shape[dim] = slice_length(start, min(stop, shape[dim]), step)
    return (spec.with_shape(shape),)


def _slice_vjp(F: Any, g: Any, shape: Shape, **where: int) -> Any:
    return F.slice_backward(g, shape=shape, **where)


slice_ = declare(
    "slice_",
    "view",
    infer=_infer_slice,
    eval=lambda xp, x, dim, start, stop, step: x[slices(x.ndim, dim, start, stop, step)],
    saves=("shape0",),
    vjps=_slice_vjp,
    scatter=lambda F, base, new, **where: F.slice_scatter(base, new, **where),
    grad_name="Slice",
    samples=rows(
        lambda x, dim, start, stop, step: np.take(x, range(start, stop, step), dim),
        *(((x,), {"dim": dim, "start": a, "stop": b, "step": c})
          for x, dim, a, b, c in (((5, 3), 0, 1, 4, 1), ((3, 7), 1, 1, 7, 3), ((4,), 0, 2, 2, 1),
                                  (floats(3, 5, layout="T"), 1, 0, 5, 2))),
    ),
)  # fmt: skip


def _diagonal_length(rows: int, columns: int, offset: int) -> int:
    return max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)


def _infer_diagonal(spec: Spec, offset: int, dim1: int, dim2: int) -> tuple[Spec, ...]:
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    kept = [extent for i, extent in enumerate(spec.shape) if i not in (dim1, dim2)]
    length = _diagonal_length(spec.shape[dim1], spec.shape[dim2], offset)
    return (spec.with_shape([*kept, length]),)


def _eval_diagonal(xp: Any, x: Any, offset: int, dim1: int, dim2: int) -> Any:
    view = x.diagonal(offset, dim1, dim2)
    if xp is np:
        view.flags.writeable = x.flags.writeable
    return view


diagonal = declare(
    "diagonal",
    "view",
    infer=_infer_diagonal,
    eval=_eval_diagonal,
    saves=("shape0",),
    vjps=lambda F, g, shape, **where: F.diagonal_scatter(
        F.new_full(g, shape=shape, value=0), g, **where
    ),
    scatter=lambda F, base, new, **where: F.diagonal_scatter(base, new, **where),
    samples=rows(
        lambda x, offset, dim1, dim2: np.diagonal(x, offset, dim1, dim2),
        *(((x,), {"offset": k, "dim1": i, "dim2": j})
          for x, k, i, j in (((3, 4), 0, 0, 1), ((3, 4), 2, 0, 1), ((4, 3), -1, 1, 0),
                             ((2, 3, 4), 1, 0, 2), ((2, 3, 3), 0, 1, 2))),
    ),
)  # fmt: skip


def _renamed_permute(name: str, order: Any, check: Any = None, **fields: Any) -> Op:
    """A view that is a permutation found from the number of dimensions and attributes."""

    def infer(spec: Spec, **attrs: Any) -> tuple[Spec, ...]:
        if check is not None:
            check(len(spec.shape))
        return (spec.with_shape([spec.shape[i] for i in order(len(spec.shape), **attrs)]),)

    def decompose(F: Any, x: Any, **attrs: Any) -> Any:
        return F.permute(x, dims=order(len(x.shape), **attrs))

    return declare(
        name,
        "view",
        infer=infer,
        decompose=decompose,
        vjps=lambda F, g, **attrs: getattr(F, name)(g, **attrs),
        scatter=lambda F, base, new, **attrs: getattr(F, name)(new, **attrs),
        **fields,
    )


def _swap(ndim: int, dim0: int, dim1: int) -> Shape:
    order = list(range(ndim))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return tuple(order)


def _check_t(ndim: int) -> None:
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")


def _eval_t(xp: Any, x: Any) -> Any:
    if x.ndim > 2:
        _check_t(x.ndim)
    return x.T


transpose = _renamed_permute(
    "transpose", _swap, eval=lambda xp, x, dim0, dim1: x.swapaxes(dim0, dim1),
    samples=rows(
        lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
        *calls(((2, 3, 4),), (ints(2, 3, 1),), dim0=0, dim1=2),
        *calls(((3, 4),), dim0=1, dim1=0),
    ),
)  # fmt: skip
t = _renamed_permute(
    "t", lambda ndim: tuple(range(ndim))[::-1], _check_t, eval=_eval_t,
    samples=rows("numpy.transpose", *calls(((2, 3),), ((4,),), ((),))),
)  # fmt: skip


def _renamed_reshape(name: str, target: Any, eval: Any, **fields: Any) -> Op:
    """A view that is a reshape to `target(shape, **attrs)`."""

    def infer(spec: Spec, **attrs: Any) -> tuple[Spec, ...]:
        return (spec.with_shape(target(spec.shape, **attrs)),)

    return declare(
        name,
        "view",
        infer=infer,
        eval=eval,
        decompose=lambda F, x, **attrs: F.reshape(x, shape=target(x.shape, **attrs)),
        saves=("shape0",),
        vjps=_as_source,
        scatter=_scatter_reshape,
        **fields,
    )


def _eval_view(xp: Any, x: Any, shape: Shape) -> Any:
    if len(shape) and min(shape) < -1:
        resolve_shape(shape, x.size)
    result = x.reshape(shape)
    if not x.flags.c_contiguous and x.size and not xp.shares_memory(x, result):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return result


def _squeezed(shape: Shape, dims: Shape) -> Shape:
    return tuple(extent for i, extent in enumerate(shape) if i not in dims or extent != 1)


def _unsqueezed(shape: Shape, dim: int) -> Shape:
    return (*shape[:dim], 1, *shape[dim:])


view = _renamed_reshape(
    "view", lambda old, shape: resolve_shape(tuple(shape), math.prod(old)), _eval_view,
    samples=rows(
        lambda x, shape: np.reshape(x, shape),
        *(((x,), {"shape": shape})
          for x, shape in (((2, 6), (3, 4)), ((4,), (2, -1)), ((1,), ()), ((0, 3), (3, 0)),
                           (floats(3, 4, layout="T"), (3, 4)))),
    ),
)  # fmt: skip
squeeze = _renamed_reshape(
    "squeeze", _squeezed, lambda xp, x, dims: x.reshape(_squeezed(x.shape, dims)),
    samples=rows(
        lambda x, dims: x.reshape([n for i, n in enumerate(x.shape) if n != 1 or i not in dims]),
        *calls(((1, 3, 1),), ((2, 3, 1),), dims=(0, 2)), *calls(((1, 3),), dims=()),
    ),
)  # fmt: skip
unsqueeze = _renamed_reshape(
    "unsqueeze", _unsqueezed, lambda xp, x, dim: x.reshape(_unsqueezed(x.shape, dim)),
    samples=rows(
        lambda x, dim: np.expand_dims(x, dim), *calls(((2, 3),), (ints(4),), dim=1),
        *calls(((),), ((2, 3),), dim=0),
    ),
)  # fmt: skip


def _infer_select(spec: Spec, dim: int, index: int) -> tuple[Spec, ...]:
    if not spec.shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    size = spec.shape[dim]
    if not -size <= index < size:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(spec.shape)} "
            f"at dimension {dim}"
        )
    return (spec.with_shape(spec.shape[:dim] + spec.shape[dim + 1 :]),)


def _select_range(shape: Shape, dim: int, index: int) -> dict[str, int]:
    index %= shape[dim]
    return {"dim": dim, "start": index, "stop": index + 1, "step": 1}


def _decompose_select(F: Any, x: Any, dim: int, index: int) -> Any:
    row = F.slice_(x, **_select_range(x.shape, dim, index))
    return F.reshape(row, shape=x.shape[:dim] + x.shape[dim + 1 :])


def _select_vjp(F: Any, g: Any, shape: Shape, dim: int, index: int) -> Any:
    row = F.unsqueeze(g, dim=dim)
    return F.slice_backward(row, shape=shape, **_select_range(shape, dim, index))


def _scatter_select(F: Any, base: Any, new: Any, dim: int, index: int) -> Any:
    row = F.unsqueeze(new, dim=dim)
    return F.slice_scatter(base, row, **_select_range(base.shape, dim, index))


select = declare(
    "select",
    "view",
    infer=_infer_select,
    eval=lambda xp, x, dim, index: x[(slice(None),) * dim + (index, ...)],
    decompose=_decompose_select,
    saves=("shape0",),
    vjps=_select_vjp,
    scatter=_scatter_select,
    samples=rows(
        lambda x, dim, index: np.take(x, index, dim),
        *(((x,), {"dim": dim, "index": i})
          for x, dim, i in (((3, 4), 0, 1), ((3, 4), 1, -1), ((5,), 0, 4), ((2, 3, 4), 1, 0))),
    ),
)  # fmt: skip


def _infer_split(spec: Spec, sizes: Shape, dim: int) -> tuple[Spec, ...]:
    if sum(sizes) != spec.shape[dim]:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {spec.shape[dim]} (input "
            f"tensor's size at dimension {dim}), but got split_sizes={list(sizes)}"
        )
    lead, trail = spec.shape[:dim], spec.shape[dim + 1 :]
    return tuple(spec.with_shape((*lead, size, *trail)) for size in sizes)


def _ranges(sizes: Shape, dim: int) -> list[dict[str, int]]:
    start, found = 0, []
    for size in sizes:
        found.append({"dim": dim, "start": start, "stop": start + size, "step": 1})
        start += size
    return found


def _eval_split(xp: Any, x: Any, sizes: Shape, dim: int) -> tuple[Any, ...]:
    if sum(sizes) != x.shape[dim]:
        raise ValueError("sizes")
    return tuple(x[slices(x.ndim, **where)] for where in _ranges(sizes, dim))


def _split_vjp(F: Any, g: Any, shape: Shape, sizes: Shape, dim: int) -> Any:
    some = next(piece for piece in g if piece is not None)
    pieces = [
        F.new_full(some, shape=(*shape[:dim], size, *shape[dim + 1 :]), value=0)
        if piece is None
        else piece
        for piece, size in zip(g, sizes, strict=True)
    ]
    return F.concat(*pieces, dim=dim)


split = declare(
    "split",
    "view",
    infer=_infer_split,
    eval=_eval_split,
    decompose=lambda F, x, sizes, dim: tuple(F.slice_(x, **w) for w in _ranges(sizes, dim)),
    parts=_ranges,
    saves=("shape0",),
    vjps=_split_vjp,
    n_outputs=0,
    grad_name="SplitWithSizes",
    samples=rows(
        lambda x, sizes, dim: tuple(np.split(x, np.cumsum(sizes)[:-1], dim)),
        *calls(((2, 6),), (ints(2, 6),), sizes=(1, 3, 2), dim=1),
        *calls(((3,),), sizes=(3,), dim=0),
    ),
)


def window_count(extent: int, size: int, step: int) -> int:
    """How many windows of `size`, `step` apart, fit in `extent`."""
    return (extent - size) // step + 1


def _infer_unfold(spec: Spec, dim: int, size: int, step: int) -> tuple[Spec, ...]:
    extent = spec.shape[dim]
    if size > extent:
        raise RuntimeError(
            f"maximum size for tensor at dimension {dim} is {extent} but size is {size}"
        )
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    shape = list(spec.shape)
    shape[dim] = window_count(extent, size, step)
    return (spec.with_shape([*shape, size]),)


def _windows(xp: Any, x: Any, dim: int, size: int, step: int) -> Any:
    if not 0 < size <= x.shape[dim] or step <= 0:
        raise ValueError("unfold")
    every = xp.lib.stride_tricks.sliding_window_view(x, size, dim, writeable=x.flags.writeable)
    return every[(slice(None),) * dim + (slice(None, None, step),)]


def _window_elements(shape: Shape, dim: int, size: int, step: int) -> list[dict[str, int]]:
    """Where element k of every window lies, for each k."""
    reach = (window_count(shape[dim], size, step) - 1) * step + 1
    return [{"dim": dim, "start": k, "stop": k + reach, "step": step} for k in range(size)]


def _decompose_unfold(F: Any, x: Any, dim: int, size: int, step: int) -> Any:
    places = _window_elements(x.shape, dim, size, step)
    return F.stack(*(F.slice_(x, **place) for place in places), dim=len(x.shape))


def _unfold_vjp(F: Any, g: Any, shape: Shape, dim: int, size: int, step: int) -> Any:
    """Windows may overlap: a sum over the places in the window."""
    total = None
    for k, place in enumerate(_window_elements(shape, dim, size, step)):
        part = F.slice_backward(F.select(g, dim=len(shape), index=k), shape=shape, **place)
        total = part if total is None else F.add(total, part)
    return total


def _scatter_unfold(F: Any, base: Any, new: Any, dim: int, size: int, step: int) -> Any:
    """Where windows overlap, they have the same elements."""
    for k, place in enumerate(_window_elements(base.shape, dim, size, step)):
        part = F.select(new, dim=len(base.shape), index=k)
        base = F.slice_scatter(base, part, **place)
    return base


unfold = declare(
    "unfold",
    "view",
    infer=_infer_unfold,
    eval=_windows,
    decompose=_decompose_unfold,
    saves=("shape0",),
    vjps=_unfold_vjp,
    scatter=_scatter_unfold,
    samples=rows(
        lambda x, dim, size, step: np.stack(
            [np.take(x, range(k, x.shape[dim] - size + 1 + k, step), dim) for k in range(size)], -1
        ),
        *(((x,), {"dim": dim, "size": size, "step": step})
          for x, dim, size, step in (((7,), 0, 3, 1), ((2, 7), 1, 3, 2), ((5, 2), 0, 2, 3))),
    ),
)  # fmt: skip
