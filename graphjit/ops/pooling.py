"""Maxima and means over windows of images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import dtypes
from ..ir.graph import Shape, Spec
from . import blocks
from .convolution import Pair, window_places
from .core import Sample, declare, device_of, dtype_of
from .native import by_library
from .pointwise import eval_where
from .sampling import rows


def pooled_extent(
    n: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """How many windows there are; in `ceil_mode` the last may hang over the end, but not start
    in the padding there.
    """
    free = n + 2 * padding - dilation * (kernel - 1) - 1
    count = (free + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= n + padding:
        count -= 1
    return count


def _check_window(x: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
    if len(x) not in (3, 4):
        raise RuntimeError("non-empty 3D or 4D (batch mode) tensor expected for input")
    if min(stride) <= 0:
        raise RuntimeError("stride should not be zero")
    if min(dilation) <= 0:
        raise RuntimeError(
            "dilation should be greater than zero, but got "
            f"dilationH: {dilation[0]} dilationW: {dilation[1]}"
        )
    if math.prod(x[1:]) == 0:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but "
            f"got:{list(x)}"
        )
    for p, k, d in zip(padding, kernel, dilation, strict=True):
        if p > (d * (k - 1) + 1) // 2 or p < 0:
            raise RuntimeError(
                "pad should be at most half of effective kernel size, but got "
                f"pad={p}, kernel_size={k} and dilation={d}"
            )


def pooled_shape(
    x: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> Shape:
    """The shape after pooling; RuntimeError, in PyTorch's words, where no window fits."""
    _check_window(x, kernel, stride, padding, dilation)
    out = tuple(
        pooled_extent(*numbers, ceil_mode)
        for numbers in zip(x[-2:], kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1:
        before, after = (
            "x".join(map(str, (x[-3], *sizes))) for sizes in (x[-2:], out)
        )
        raise RuntimeError(
            f"Given input size: ({before}). Calculated output size: ({after}). "
            "Output size is too small"
        )
    return (*x[:-2], *out)


def _border(n: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Pair:
    """Padding before and after, so that every window lies within."""
    needed = (out - 1) * stride + dilation * (kernel - 1) + 1
    return padding, max(needed - padding - n, 0)


def _borders(
    x: Shape, out: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[Pair, Pair]:
    rows, columns = (
        _border(*numbers)
        for numbers in zip(x[-2:], out[-2:], kernel, stride, padding, dilation, strict=True)
    )
    return rows, columns


def _padded(xp: Any, x: Any, borders: tuple[Pair, Pair], value: float) -> Any:
    if borders == ((0, 0), (0, 0)):
        return x
    (top, bottom), (left, right) = borders
    height, width = x.shape[-2:]
    shape = (*x.shape[:-2], top + height + bottom, left + width + right)
    padded = xp.full(shape, value, x.dtype)
    padded[..., top : top + height, left : left + width] = x
    return padded


def _infer_max_pool2d(x: Spec, **attrs: Any) -> tuple[Spec, ...]:
    shape = pooled_shape(x.shape, **attrs)
    return x.with_shape(shape), Spec(shape, dtypes.int32, x.device)


def _eval_max_pool2d(
    xp: Any, x: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> Any:
    shape = pooled_shape(x.shape, kernel, stride, padding, dilation, ceil_mode)
    borders = _borders(x.shape, shape, kernel, stride, padding, dilation)
    lowest = -math.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    padded = _padded(xp, x, borders, lowest)
    places = [padded[place] for _, _, place in
              window_places(kernel, shape[-2:], stride, dilation)]  # fmt: skip
    first = xp.asarray(_first_places(shape[-2:], kernel, stride, padding, dilation))
    values, index = _running_maximum(xp, places, first, nan=False)
    if x.dtype.kind == "f" and xp.isnan(values).any():
        values, index = _running_maximum(xp, places, first, nan=True)
    return values, index.astype(np.int32)


def _first_places(
    out: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> NDArray[Any]:
    """The number of the first place of each window that is not in the padding."""
    rows, columns = (
        np.maximum(-(-(p - s * np.arange(n)) // d), 0)
        for n, s, p, d in zip(out, stride, padding, dilation, strict=True)
    )
    return rows[:, None] * kernel[1] + columns


def _running_maximum(xp: Any, places: list[Any], first: Any, nan: bool) -> tuple[Any, Any]:
    """The maximum of arrays of one shape, and the number, from `first` on, where it is attained.

    The number only grows, so that it is a maximum too. With `nan`, the last NaN counts.
    """
    values = places[0].copy()
    index = xp.empty(values.shape, np.int8 if len(places) < 128 else np.int32)
    index[...] = first
    for number, place in enumerate(places[1:], 1):
        better = xp.greater(place, values)
        if nan:
            better |= xp.isnan(place)
        xp.maximum(index, better.view(np.int8) * index.dtype.type(number), out=index)
        xp.maximum(values, place, out=values)
    return values, index


def _eval_max_pool2d_backward(
    xp: Any, g: Any, index: Any, shape: Shape,
    kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool,
) -> Any:  # fmt: skip
    borders = _borders(shape, g.shape, kernel, stride, padding, dilation)
    (top, bottom), (left, right) = borders
    height, width = shape[-2:]
    result = xp.zeros((*shape[:-2], top + height + bottom, left + width + right), g.dtype)
    apart = all(s >= (k - 1) * d + 1 for s, k, d in zip(stride, kernel, dilation, strict=True))
    step = max(2 * blocks.BLOCK // max(math.prod(g.shape[1:]), 1), 1) if xp is np else len(g)
    for start in range(0, len(g), step):
        part = slice(start, start + step)
        _spread(xp, result[part], g[part], index[part], apart,
                window_places(kernel, g.shape[-2:], stride, dilation), kernel[1])  # fmt: skip
    if borders == ((0, 0), (0, 0)):
        return result
    return xp.ascontiguousarray(result[..., top : top + height, left : left + width])


def _spread(
    xp: Any, result: Any, g: Any, index: Any, apart: bool, places: Any, kernel_width: int
) -> None:
    """Add each gradient at its place; where windows lie apart there is nothing to add to."""
    for i, j, place in places:
        chosen = eval_where(xp, index == i * kernel_width + j, g, 0)
        if apart:
            result[place] = chosen
        else:
            result[place] += chosen


def _eval_max_pool2d_gather(
    xp: Any, x: Any, index: Any,
    kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool,
) -> Any:  # fmt: skip
    borders = _borders(x.shape, index.shape, kernel, stride, padding, dilation)
    padded = _padded(xp, x, borders, 0)
    result = xp.zeros(index.shape, x.dtype)
    for i, j, place in window_places(kernel, index.shape[-2:], stride, dilation):
        result = xp.where(index == i * kernel[1] + j, padded[place], result)
    return result


def _max_pool2d_vjp(F: Any, g: Any, index: Any, shape: Shape, **attrs: Any) -> Any:
    if g[0] is None:
        return None
    return F.max_pool2d_backward(g[0], index, shape=shape, **attrs)


def _poolings(**more: Sequence[Any]) -> list[tuple[Shape, dict[str, Any]]]:
    """Shapes of images and attributes: all values of `more`, by turns."""
    places = (
        ((2, 3, 6, 6), (2, 2), (2, 2), (0, 0), False), ((2, 3, 7, 8), (3, 2), (2, 1), (1, 1), True),
        ((3, 7, 8), (3, 3), (1, 1), (1, 0), False), ((0, 1, 4, 4), (2, 2), (2, 2), (0, 0), False),
        ((1, 2, 5, 5), (2, 2), (2, 2), (0, 0), True), ((1, 1, 6, 5), (2, 2), (3, 2), (0, 0), False),
    )  # fmt: skip
    found: list[tuple[Shape, dict[str, Any]]] = []
    for shape, kernel, stride, padding, ceil_mode in places:
        for values in itertools.product(*more.values()):
            attrs = {"kernel": kernel, "stride": stride, "padding": padding,
                     "ceil_mode": ceil_mode, **dict(zip(more, values))}  # fmt: skip
            found.append((shape, attrs))
    return found


def _windows_of(
    x: Any, r: int, c: int, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[list[Any], list[int]]:
    """The elements in one window, and their places in it, leaving out the padding."""
    found, places = [], []
    for k, (i, j) in enumerate(np.ndindex(*kernel)):
        row = r * stride[0] - padding[0] + i * dilation[0]
        column = c * stride[1] - padding[1] + j * dilation[1]
        if 0 <= row < x.shape[-2] and 0 <= column < x.shape[-1]:
            found.append(x[..., row, column])
            places.append(k)
    return found, places


def _max_reference(x: Any, ceil_mode: bool, **attrs: Any) -> Any:
    shape = pooled_shape(x.shape, ceil_mode=ceil_mode, **attrs)
    values, index = np.zeros(shape), np.zeros(shape, int)
    for r, c in np.ndindex(*shape[-2:]):
        found, places = _windows_of(x, r, c, **attrs)
        values[..., r, c] = np.max(found, 0)
        index[..., r, c] = np.asarray(places)[np.argmax(found, 0)]
    return values, index


def _max_samples(rng: np.random.Generator) -> Iterator[Sample]:
    calls = [((x,), attrs) for x, attrs in _poolings(dilation=[(1, 1)])]
    wide = {"kernel": (2, 3), "stride": (1, 2), "padding": (1, 1), "dilation": (2, 1),
            "ceil_mode": False}  # fmt: skip
    yield from rows(_max_reference, *calls, (((2, 2, 6, 7),), wide))(rng)


def _backward_samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Gradients of the maxima, at the places that `max_pool2d` chose."""
    for row in _max_samples(rng):
        values, index = _eval_max_pool2d(np, *row.inputs, **row.attrs)
        g = np.asarray(rng.standard_normal(values.shape), values.dtype)
        yield Sample((g, index), {"shape": row.inputs[0].shape, **row.attrs})


def _gather_samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Where the elements gathered are the maxima themselves."""
    for row in _max_samples(rng):
        (x,) = row.inputs
        _, index = _eval_max_pool2d(np, x, **row.attrs)

        def maxima(x: Any, index: Any, **attrs: Any) -> Any:
            return _max_reference(x, **attrs)[0]

        yield Sample((x, index), row.attrs, maxima)


#: Outputs (maxima, place in the window of each as int32, counted row by row).
max_pool2d = declare(
    "max_pool2d",
    "opaque",
    infer=_infer_max_pool2d,
    eval=by_library("max_pool2d", _eval_max_pool2d),
    flops=lambda out, x, kernel, **attrs: out.size * math.prod(kernel),
    saves=("out1", "shape0"),
    vjps=_max_pool2d_vjp,
    n_outputs=2,
    grad_name="MaxPool2DWithIndices",
    samples=_max_samples,
)
max_pool2d_backward = declare(
    "max_pool2d_backward",
    "opaque",
    infer=lambda g, index, shape, **attrs: (g.with_shape(shape),),
    eval=by_library("max_pool2d_backward", _eval_max_pool2d_backward),
    saves=("in1",),
    vjps=(
        lambda F, h, index, shape, **attrs: F.max_pool2d_gather(h, index, **attrs),
        None,
    ),
    grad_name="MaxPool2DWithIndicesBackward",
    samples=_backward_samples,
)
#: The elements at the places that `max_pool2d` chose.
max_pool2d_gather = declare(
    "max_pool2d_gather",
    "opaque",
    infer=lambda x, index, **attrs: (x.with_shape(index.shape),),
    eval=_eval_max_pool2d_gather,
    saves=("in1", "shape0"),
    vjps=(
        lambda F, g, index, shape, **attrs: F.max_pool2d_backward(
            g, index, shape=shape, **attrs
        ),
        None,
    ),
    host_only=True,
    samples=_gather_samples,
)


def _counts(
    n: int, out: int, kernel: int, stride: int, padding: int, include_pad: bool
) -> list[int]:
    """How many elements each window along one dimension is a mean of."""
    counts = []
    for i in range(out):
        start = i * stride - padding
        stop = min(start + kernel, n + padding)
        if include_pad:
            counts.append(stop - start)
        else:
            counts.append(min(stop, n) - max(start, 0))
    return counts


def _divisors(
    x: Shape, out: Shape, kernel: Pair, stride: Pair, padding: Pair,
    ceil_mode: bool, count_include_pad: bool, divisor_override: int | None,
) -> tuple[list[int], list[int]]:  # fmt: skip
    if divisor_override is not None:
        return [divisor_override] * out[-2], [1] * out[-1]
    rows, columns = (
        _counts(*numbers, count_include_pad)
        for numbers in zip(x[-2:], out[-2:], kernel, stride, padding, strict=True)
    )
    return rows, columns


def _scale_windows(F: Any, x: Any, rows: list[int], columns: list[int]) -> Any:
    """`x` divided by the products of `rows` and `columns`."""
    if len(set(rows)) == len(set(columns)) == 1:
        return F.mul(x, 1 / (rows[0] * columns[0]))
    for dim, counts in ((len(x.shape) - 2, rows), (len(x.shape) - 1, columns)):
        parts = [
            F.full(shape=_only(len(x.shape), dim, 1), value=1 / n, dtype=dtype_of(x),
                   device=device_of(x))
            for n in counts
        ]  # fmt: skip
        x = F.mul(x, F.concat(*parts, dim=dim))
    return x


def _only(ndim: int, dim: int, extent: int) -> Shape:
    return tuple(extent if i == dim else 1 for i in range(ndim))


def _infer_avg_pool2d(
    x: Spec, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, **rest: Any
) -> tuple[Spec, ...]:
    return (x.with_shape(pooled_shape(x.shape, kernel, stride, padding, (1, 1), ceil_mode)),)


def _eval_avg_pool2d(
    xp: Any, x: Any, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, **rest: Any
) -> Any:
    shape = pooled_shape(x.shape, kernel, stride, padding, (1, 1), ceil_mode)
    padded = _padded(xp, x, _borders(x.shape, shape, kernel, stride, padding, (1, 1)), 0)
    result = xp.zeros(shape, x.dtype)
    for _, _, place in window_places(kernel, shape[-2:], stride, (1, 1)):
        result += padded[place]
    rows, columns = _divisors(x.shape, shape, kernel, stride, padding, ceil_mode, **rest)
    result /= xp.outer(xp.asarray(rows), xp.asarray(columns)).astype(x.dtype)
    return result


def _ones_kernel(F: Any, x: Any, kernel: Pair) -> Any:
    return F.new_full(x, shape=(x.shape[-3], 1, *kernel), value=1)


def _batched(F: Any, x: Any) -> Any:
    return x if len(x.shape) == 4 else F.unsqueeze(x, dim=0)


def _decompose_avg_pool2d(
    F: Any, x: Any, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, **rest: Any
) -> Any:
    """Sums over windows are a convolution of each channel with ones."""
    shape = pooled_shape(x.shape, kernel, stride, padding, (1, 1), ceil_mode)
    borders = _borders(x.shape, shape, kernel, stride, padding, (1, 1))
    image = _batched(F, x)
    if borders != ((0, 0), (0, 0)):
        image = F.pad(image, pads=((0, 0), (0, 0), *borders), value=0)
    sums = F.conv2d(
        image, _ones_kernel(F, x, kernel),
        stride=stride, padding=(0, 0), dilation=(1, 1), groups=x.shape[-3],
    )  # fmt: skip
    rows, columns = _divisors(x.shape, shape, kernel, stride, padding, ceil_mode, **rest)
    return _scale_windows(F, F.reshape(sums, shape=shape), rows, columns)


def _avg_pool2d_vjp(
    F: Any, g: Any, source: Shape,
    kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, **rest: Any,
) -> Any:  # fmt: skip
    rows, columns = _divisors(source, g.shape, kernel, stride, padding, ceil_mode, **rest)
    share = _batched(F, _scale_windows(F, g, rows, columns))
    borders = _borders(source, g.shape, kernel, stride, padding, (1, 1))
    padded = tuple(n + sum(b) for n, b in zip(source[-2:], borders, strict=True))
    spread = F.conv2d_input_grad(
        share, _ones_kernel(F, g, kernel), shape=(*share.shape[:2], *padded),
        stride=stride, padding=(0, 0), dilation=(1, 1), groups=source[-3],
    )  # fmt: skip
    if borders != ((0, 0), (0, 0)):
        crop = tuple((-before, -after) for before, after in borders)
        spread = F.pad(spread, pads=((0, 0), (0, 0), *crop), value=0)
    return F.reshape(spread, shape=source)


def _mean_reference(
    x: Any, ceil_mode: bool, count_include_pad: bool, divisor_override: int | None, **attrs: Any
) -> Any:
    """Sums and counts by a loop; the padding counts up to where it ends."""
    attrs["dilation"] = (1, 1)
    shape = pooled_shape(x.shape, ceil_mode=ceil_mode, **attrs)
    result = np.zeros(shape)
    ones = np.ones(np.add(x.shape[-2:], np.multiply(2, attrs["padding"])))
    for r, c in np.ndindex(*shape[-2:]):
        found, _ = _windows_of(x, r, c, **attrs)
        everything, _ = _windows_of(ones, r, c, **{**attrs, "padding": (0, 0)})
        n = divisor_override or len(everything if count_include_pad else found)
        result[..., r, c] = np.sum(found, 0) / n
    return result


avg_pool2d = declare(
    "avg_pool2d",
    "composite",
    infer=_infer_avg_pool2d,
    eval=_eval_avg_pool2d,
    decompose=_decompose_avg_pool2d,
    saves=("shape0",),
    vjps=_avg_pool2d_vjp,
    grad_name="AvgPool2D",
    samples=rows(_mean_reference, *(
        ((x,), attrs)
        for x, attrs in _poolings(count_include_pad=(True, False), divisor_override=(None, 3))
    )),
)  # fmt: skip
