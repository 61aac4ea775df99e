"""Rules for views: join them, drop those that do nothing, move them out of the way of fusion.

A pointwise op broadcasts its operands itself, so an `expand` before it is dropped, or moved behind
it where it decides the shape. A `reshape` that removes dimensions of extent 1 (the end of a
reduction without `keepdim`) moves behind the ops that follow, which then work on the reduction's
own shape and fuse with it.
"""

from __future__ import annotations

from ..ir.graph import Shape, Value
from ..ops.core import broadcast_shapes
from .fold import filled
from .rewriting import Draft, Rewriter, Rule


def _reshape(make: Rewriter, draft: Draft) -> Value | None:
    (x,) = draft.inputs
    if x.shape == draft.shape:
        return x
    inner = make.made_by(x, "reshape")
    if inner and _joins(make, inner.inputs[0], x.shape, draft.shape):
        return make("reshape", inner.inputs[0], shape=draft.shape)
    inner = make.made_by(x, "expand")
    if inner and inner.inputs[0].spec.size == 1:
        return make("reshape", inner.inputs[0], shape=())
    return None


def _joins(make: Rewriter, source: Value, between: Shape, shape: Shape) -> bool:
    """Whether `source` reshaped twice is better reshaped once.

    Not where the first reshape copies, as that of a permuted value may: others can use the copy.
    """
    maker = make.builder.producer.get(source)
    if maker is None or not getattr(maker.op, "moves_nothing", False) or source.shape == shape:
        return True
    return without_ones(source.shape) == without_ones(between)


def _permute(make: Rewriter, draft: Draft) -> Value | None:
    (x,) = draft.inputs
    dims = draft.attrs["dims"]
    if dims == tuple(range(x.ndim)):
        return x
    inner = make.made_by(x, "permute")
    if inner:
        first = inner.attr("dims")
        return make("permute", inner.inputs[0], dims=tuple(first[d] for d in dims))
    moved = [d for d in dims if x.shape[d] != 1]
    if moved == sorted(moved):
        return make("reshape", x, shape=draft.shape)
    return None


def _expand(make: Rewriter, draft: Draft) -> Value | None:
    (x,) = draft.inputs
    if x.shape == draft.shape:
        return x
    inner = make.made_by(x, "expand")
    if inner:
        return make("expand", inner.inputs[0], shape=draft.shape)
    inner = make.made_by(x, "reshape")
    if inner and leading_ones(inner.inputs[0].shape, x.shape, len(draft.shape)):
        return make("expand", inner.inputs[0], shape=draft.shape)
    return None


def _slice(make: Rewriter, draft: Draft) -> Value | None:
    (x,) = draft.inputs
    if x.shape == draft.shape and draft.attrs["step"] == 1:
        return x
    inner = make.made_by(x, "slice_scatter")
    if inner and {**inner.kwargs} == draft.attrs:
        return inner.inputs[1]
    inner = make.made_by(x, "concat")
    if inner and inner.attr("dim") == draft.attrs["dim"]:
        return _piece(inner.inputs, draft)
    return None


def _piece(pieces: tuple[Value, ...], draft: Draft) -> Value | None:
    """The operand of a `concat` that a slice takes out whole."""
    dim, start = draft.attrs["dim"], draft.attrs["start"]
    position = 0
    for piece in pieces:
        if position == start and piece.shape == draft.shape and draft.attrs["step"] == 1:
            return piece
        position += piece.shape[dim]
    return None


def _concat(make: Rewriter, draft: Draft) -> Value | None:
    dim = draft.attrs["dim"]
    kept = tuple(x for x in draft.inputs if x.shape[dim] != 0)
    if len(kept) == 1:
        return kept[0]
    flat: list[Value] = []
    for x in kept:
        inner = make.made_by(x, "concat")
        flat += inner.inputs if inner and inner.attr("dim") == dim else (x,)
    if kept and tuple(flat) != draft.inputs:
        return make("concat", *flat, dim=dim)
    return None


def leading_ones(shape: Shape, other: Shape, ndim: int) -> bool:
    """Whether the shapes are equal but for leading ones, and `shape` has at most `ndim`."""
    return len(shape) <= ndim and _strip(shape) == _strip(other)


def _strip(shape: Shape) -> Shape:
    position = 0
    while position < len(shape) and shape[position] == 1:
        position += 1
    return shape[position:]


def _takes_pointwise(draft: Draft) -> bool:
    return draft.op.kind == "pointwise" and draft.op.scalar is not None and bool(draft.inputs)


def broadcast_operands(make: Rewriter, draft: Draft) -> Value | None:
    """Drop `expand`, `full` and added leading ones from the operands of a pointwise op."""
    if not _takes_pointwise(draft):
        return None
    stripped = tuple(_stripped(make, x, len(draft.shape)) for x in draft.inputs)
    if stripped == draft.inputs:
        return None
    return make(draft.op.name, *stripped, **draft.attrs)


def _stripped(make: Rewriter, value: Value, ndim: int) -> Value:
    node = make.builder.producer.get(value)
    if node is None:
        return value
    if node.op.name == "expand":
        return _stripped(make, node.inputs[0], ndim)
    if node.op.name == "reshape" and leading_ones(node.inputs[0].shape, value.shape, ndim):
        return _stripped(make, node.inputs[0], ndim)
    if value.shape and (number := make.number(value)) is not None:
        return make.constant(number, value)
    return value


def sink_squeeze(make: Rewriter, draft: Draft) -> Value | None:
    """Move reshapes that remove dimensions of extent 1 behind a pointwise op or reduction."""
    if draft.op.kind == "reduce" and draft.op.combine is not None and "dims" in draft.attrs:
        return _sink_through_reduction(make, draft)
    if not _takes_pointwise(draft):
        return None
    sources = [_squeezed(make, x) for x in draft.inputs]
    full = [
        source for x, source in zip(draft.inputs, sources, strict=True)
        if source is not None and x.shape == draft.shape
    ]  # fmt: skip
    if not full:
        return None
    shape = max((source.shape for source in full), key=len)
    operands = [
        _unsqueezed(make, x, source, draft.shape, shape)
        for x, source in zip(draft.inputs, sources, strict=True)
    ]
    if broadcast_shapes(*(x.shape for x in operands)) != shape:
        return None
    return make("reshape", make(draft.op.name, *operands, **draft.attrs), shape=draft.shape)


def _squeezed(make: Rewriter, value: Value) -> Value | None:
    """The computed value of higher rank from which `value` is made by removing ones."""
    node = make.made_by(value, "reshape")
    if node is None:
        return None
    (source,) = node.inputs
    maker = make.builder.producer.get(source)
    if maker is None or getattr(maker.op, "kind", "") not in ("pointwise", "reduce"):
        return None
    same = without_ones(source.shape) == without_ones(value.shape)
    return source if same and _squeezes(source.shape, value.shape) else None


def _squeezes(before: Shape, after: Shape) -> bool:
    """Whether ones are removed, or moved to the end; never true both ways."""
    return len(before) > len(after) or (len(before) == len(after) and before < after)


def without_ones(shape: Shape) -> Shape:
    """`shape` without its dimensions of extent 1."""
    return tuple(extent for extent in shape if extent != 1)


def _unsqueezed(
    make: Rewriter, x: Value, source: Value | None, before: Shape, after: Shape
) -> Value:
    """Operand `x` of an op of shape `before`, for the same op at shape `after`."""
    if source is not None and source.shape == after:
        return source
    shape = aligned_shape((1,) * (len(before) - x.ndim) + x.shape, before, after)
    value = make("reshape", x, shape=shape)
    return _stripped(make, value, len(after))


def aligned_shape(shape: Shape, before: Shape, after: Shape) -> Shape:
    """`shape`, which broadcasts to `before`, as it broadcasts to `after`.

    The two differ only in dimensions of extent 1.
    """
    kept = (extent for extent, whole in zip(shape, before, strict=True) if whole != 1)
    return tuple(1 if whole == 1 else next(kept) for whole in after)


def _sink_through_reduction(make: Rewriter, draft: Draft) -> Value | None:
    (x,) = draft.inputs
    source = _squeezed(make, x)
    if source is None:
        return None
    marks = tuple(2 if d in draft.attrs["dims"] else 1 for d in range(x.ndim))
    placed = aligned_shape(marks, x.shape, source.shape)
    dims = tuple(place for place, mark in enumerate(placed) if mark == 2)
    reduced = make(draft.op.name, source, **{**draft.attrs, "dims": dims})
    return make("reshape", reduced, shape=draft.shape)


def _full(make: Rewriter, draft: Draft) -> Value | None:
    """A single number is a constant."""
    if draft.shape:
        return None
    return filled(make.builder, draft.attrs["value"], draft.spec, make.loc)


RULES: dict[str, tuple[Rule, ...]] = {
    "full": (_full,),
    "reshape": (_reshape,),
    "permute": (_permute,),
    "expand": (_expand,),
    "slice_": (_slice,),
    "concat": (_concat,),
}
GENERAL: tuple[Rule, ...] = (broadcast_operands, sink_squeeze)
