"""Two-dimensional convolution and its two gradients, each linear in both operands.

Images are (batch, channels, rows, columns), weights (out, in / groups, rows, columns). `stride`,
`padding` (on both sides) and `dilation` are pairs. Computed sample by sample as a matrix product
with the windows laid out as columns, so that the columns stay in cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..ir.graph import Shape, Spec
from .contract import mixed
from .core import declare, scalar_type, type_name
from .native import by_library
from .sampling import Samples, both, floats, rows

Pair = tuple[int, int]


def out_extent(n: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many windows fit along one dimension."""
    return (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _listed(values: Shape) -> str:
    return str(list(values))


def _check_numbers(stride: Pair, padding: Pair, dilation: Pair, groups: int) -> None:
    if min(padding) < 0:
        raise RuntimeError("negative padding is not supported")
    if min(stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {_listed(dilation)}")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")


def _check_channels(x: Shape, w: Shape, groups: int) -> None:
    if w[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size [{_listed(w)}] instead"
        )
    if x[1] != w[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {_listed(w)}, expected input{_listed(x)} to "
            f"have {w[1] * groups} channels, but got {x[1]} channels instead"
        )


def _check_kernel(x: Shape, w: Shape, padding: Pair, dilation: Pair) -> None:
    padded = [n + 2 * p for n, p in zip(x[2:], padding, strict=True)]
    kernel = [d * (k - 1) + 1 for k, d in zip(w[2:], dilation, strict=True)]
    if any(k > n for k, n in zip(kernel, padded, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({padded[0]} x {padded[1]}). "
            f"Kernel size: ({kernel[0]} x {kernel[1]}). "
            "Kernel size can't be greater than actual input size"
        )


def _infer_conv2d(
    x: Spec, w: Spec, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> tuple[Spec, ...]:
    if len(x.shape) != 4 or len(w.shape) != 4:
        raise RuntimeError(
            "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: "
            f"{_listed(x.shape)}"
        )
    _check_numbers(stride, padding, dilation, groups)
    _check_channels(x.shape, w.shape, groups)
    _check_kernel(x.shape, w.shape, padding, dilation)
    if x.dtype is not w.dtype:
        raise RuntimeError(
            f"expected scalar type {type_name(x.dtype)} but found {type_name(w.dtype)}"
        )
    sizes = map(out_extent, x.shape[2:], w.shape[2:], stride, padding, dilation)
    return (x.with_shape((x.shape[0], w.shape[0], *sizes)),)


def pad_image(xp: Any, x: Any, padding: Pair, value: float = 0) -> Any:
    """`x` with a border of `value`."""
    rows, columns = padding
    if not rows and not columns:
        return x
    n, c, height, width = x.shape
    padded = xp.full((n, c, height + 2 * rows, width + 2 * columns), value, x.dtype)
    padded[:, :, rows : rows + height, columns : columns + width] = x
    return padded


def windows(
    xp: Any, x: Any, kernel: Shape, out: Shape, stride: Pair, dilation: Pair
) -> Any:
    """A view (batch, channels, kernel rows, kernel columns, out rows, out columns) of `x`."""
    n, c, h, w = x.strides
    return xp.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:2], *kernel, *out),
        (n, c, h * dilation[0], w * dilation[1], h * stride[0], w * stride[1]),
    )


def window_places(
    kernel: Shape, out: Shape, stride: Pair, dilation: Pair
) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
    """For each place in the kernel, the index of the elements that meet it."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            yield i, j, (
                Ellipsis,
                slice(top, top + (out[0] - 1) * stride[0] + 1, stride[0]),
                slice(left, left + (out[1] - 1) * stride[1] + 1, stride[1]),
            )


def _is_plain(kernel: Shape, stride: Pair, padding: Pair) -> bool:
    return kernel == (1, 1) and stride == (1, 1) and padding == (0, 0)


def _columns(xp: Any, x: Any, kernel: Shape, out: Shape, attrs: dict[str, Any]) -> Iterator[Any]:
    """For each sample, its windows as a matrix (channels x kernel, out positions) for each group.

    One buffer is written again and again.
    """
    groups = attrs["groups"]
    channels = x.shape[1]
    rows, places = channels // groups * kernel[0] * kernel[1], out[0] * out[1]
    if _is_plain(kernel, attrs["stride"], attrs["padding"]):
        x = xp.ascontiguousarray(x)
        for sample in x:
            yield sample.reshape(groups, rows, places)
        return
    view = windows(
        xp, pad_image(xp, x, attrs["padding"]), kernel, out, attrs["stride"], attrs["dilation"]
    )
    buffer = xp.empty((channels, *kernel, *out), x.dtype)
    for sample in view:
        buffer[...] = sample
        yield buffer.reshape(groups, rows, places)


def _grouped(xp: Any, image: Any, groups: int) -> Any:
    """`image` as (batch, groups, channels of a group, positions)."""
    n, channels, height, width = image.shape
    return xp.ascontiguousarray(image).reshape(n, groups, channels // groups, height * width)


def _eval_conv2d(
    xp: Any, x: Any, w: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Any:
    if x.ndim != 4 or w.ndim != 4 or x.dtype != w.dtype or x.shape[1] != w.shape[1] * groups:
        raise mixed()
    if min(padding) < 0 or min(dilation) < 1 or w.shape[0] % groups:
        raise mixed()
    kernel = w.shape[2:]
    sizes = tuple(map(out_extent, x.shape[2:], kernel, stride, padding, dilation))
    if min(sizes) < 1:
        raise mixed()
    result = xp.empty((x.shape[0], w.shape[0], *sizes), x.dtype)
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if w.shape[1] == 1 and groups > 1:
        return _depthwise(xp, x, w, result, attrs)
    matrix = xp.ascontiguousarray(w).reshape(groups, w.shape[0] // groups, -1)
    targets = _grouped(xp, result, groups)
    for target, columns in zip(targets, _columns(xp, x, kernel, sizes, attrs), strict=True):
        for group in range(groups):
            matrix[group].dot(columns[group], out=target[group])
    return result


def _depthwise(xp: Any, x: Any, w: Any, result: Any, attrs: dict[str, Any]) -> Any:
    """One input channel to a group: a sum over the places of the kernel."""
    out, groups = result.shape[2:], attrs["groups"]
    n = x.shape[0]
    padded = pad_image(xp, x, attrs["padding"])[:, :, None]
    target = result.reshape(n, groups, -1, *out)
    target[...] = 0
    weights = w.reshape(1, groups, -1, *w.shape[2:], 1, 1)
    for i, j, place in window_places(w.shape[2:], out, attrs["stride"], attrs["dilation"]):
        target += padded[place] * weights[:, :, :, i, j]
    return result


def _eval_input_grad(xp: Any, g: Any, w: Any, shape: Shape, **attrs: Any) -> Any:
    groups, padding = attrs["groups"], attrs["padding"]
    n, channels, height, width = shape
    matrix = xp.ascontiguousarray(w).reshape(groups, w.shape[0] // groups, -1).transpose(0, 2, 1)
    if _is_plain(w.shape[2:], attrs["stride"], padding):
        return xp.matmul(matrix, _grouped(xp, g, groups)).reshape(shape)
    padded = xp.zeros((n, channels, height + 2 * padding[0], width + 2 * padding[1]), g.dtype)
    add = _add_rows if attrs["stride"] == (1, 1) else _add_places
    add(xp, padded, g, matrix, w.shape[2:], attrs)
    if padding == (0, 0):
        return padded
    top, left = padding
    return padded[:, :, top : top + height, left : left + width].copy()


def _add_places(
    xp: Any, padded: Any, g: Any, matrix: Any, kernel: Shape, attrs: dict[str, Any]
) -> None:
    """Add the gradient of each window to the elements that it covers."""
    groups, out = attrs["groups"], g.shape[2:]
    columns = xp.empty((groups, matrix.shape[1], math.prod(out)), g.dtype)
    by_place = columns.reshape(padded.shape[1], *kernel, *out)
    for sample, target in zip(_grouped(xp, g, groups), padded, strict=True):
        for group in range(groups):
            matrix[group].dot(sample[group], out=columns[group])
        for i, j, place in window_places(kernel, out, attrs["stride"], attrs["dilation"]):
            target[place] += by_place[:, i, j]


def _add_rows(
    xp: Any, padded: Any, g: Any, matrix: Any, kernel: Shape, attrs: dict[str, Any]
) -> None:
    """The same for stride 1, in runs of the whole image instead of one row at a time.

    `g` is widened with zeros to the width of the image, so that a place of the kernel is a shift.
    """
    (n, channels, _, width), (rows, columns) = padded.shape, g.shape[2:]
    groups, reach = attrs["groups"], (rows - 1) * width + columns
    wide = xp.zeros((groups, g.shape[1] // groups, rows, width), g.dtype)
    flat = wide.reshape(groups, wide.shape[1], rows * width)
    spread = xp.empty((groups, matrix.shape[1], rows * width), g.dtype)
    by_place = spread.reshape(channels, kernel[0] * kernel[1], rows * width)
    shifts = [i * attrs["dilation"][0] * width + j * attrs["dilation"][1]
              for i in range(kernel[0]) for j in range(kernel[1])]  # fmt: skip
    targets = padded.reshape(n, channels, padded.shape[2] * width)
    for sample, target in zip(g, targets, strict=True):
        wide[..., :columns] = sample.reshape(groups, -1, rows, columns)
        for group in range(groups):
            matrix[group].dot(flat[group], out=spread[group])
        for place, shift in enumerate(shifts):
            target[:, shift : shift + reach] += by_place[:, place, :reach]


def _eval_weight_grad(xp: Any, g: Any, x: Any, shape: Shape, **attrs: Any) -> Any:
    groups = attrs["groups"]
    out, kernel = g.shape[2:], shape[2:]
    result = xp.zeros((groups, shape[0] // groups, shape[1] * kernel[0] * kernel[1]), g.dtype)
    g = _grouped(xp, g, groups)
    for sample, columns in zip(g, _columns(xp, x, kernel, out, attrs), strict=True):
        for group in range(groups):
            result[group] += sample[group].dot(columns[group].T)
    return result.reshape(shape)


_conv2d = by_library("conv2d", _eval_conv2d)

_GEOMETRIES = (
    ((2, 3, 6, 5), (4, 3, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 4, 7, 8), (6, 2, 3, 3), (2, 1), (1, 2), (1, 2), 2),
    ((1, 3, 5, 5), (3, 1, 3, 3), (1, 2), (1, 1), (1, 1), 3),
    ((2, 3, 4, 4), (5, 3, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 3, 4, 4), (5, 3, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((0, 3, 4, 4), (2, 3, 3, 3), (1, 1), (0, 0), (1, 1), 1),
)


def _reference(
    x: Any, w: Any, *bias: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Any:
    """The definition: a sum over the places of the kernel and the channels of the group."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    sizes = [(n - d * (k - 1) - 1) // s + 1
             for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation)]  # fmt: skip
    result = np.zeros((x.shape[0], w.shape[0], *sizes))
    per_in, per_out = w.shape[1], w.shape[0] // groups
    for o, r, c in np.ndindex(w.shape[0], *sizes):
        first = o // per_out * per_in
        window = x[:, first : first + per_in, r * stride[0] :: dilation[0], c * stride[1] ::
                   dilation[1]][:, :, : w.shape[2], : w.shape[3]]  # fmt: skip
        result[:, o, r, c] = (window * w[o]).sum((1, 2, 3))
    return result + (bias[0][:, None, None] if bias else 0)


def _samples(kind: str) -> Samples:
    """Rows for conv2d ("xw"), with a bias ("xwb"), and for its gradients ("gw" and "gx")."""
    found = []
    for x, w, stride, padding, dilation, groups in _GEOMETRIES:
        sizes = map(out_extent, x[2:], w[2:], stride, padding, dilation)
        shapes = {"x": x, "w": w, "b": w[:1], "g": (x[0], w[0], *sizes)}
        attrs: dict[str, Any] = {
            "stride": stride, "padding": padding, "dilation": dilation, "groups": groups
        }  # fmt: skip
        if "g" in kind:
            attrs["shape"] = x if kind == "gw" else w
        found.append((tuple(floats(*shapes[name]) for name in kind), attrs))
    return rows(_reference if "g" not in kind else None, *found)


conv2d = declare(
    "conv2d",
    "contract",
    infer=_infer_conv2d,
    eval=_conv2d,
    flops=lambda out, x, w, **attrs: 2 * out.size * math.prod(w.shape[1:]),
    saves=("in0", "in1"),
    vjps=(
        lambda F, g, x, w, **attrs: F.conv2d_input_grad(g, w, shape=x.shape, **attrs),
        lambda F, g, x, w, **attrs: F.conv2d_weight_grad(g, x, shape=w.shape, **attrs),
    ),
    grad_name="Convolution",
    samples=_samples("xw"),
)
#: The gradient of the input of conv2d, which is also transposed convolution.
conv2d_input_grad = declare(
    "conv2d_input_grad",
    "contract",
    infer=lambda g, w, shape, **attrs: (g.with_shape(shape),),
    eval=by_library("conv2d_input_grad", _eval_input_grad),
    flops=lambda out, g, w, **attrs: 2 * g.size * math.prod(w.shape[1:]),
    saves=("in0", "in1"),
    vjps=(
        lambda F, h, g, w, shape, **attrs: F.conv2d(h, w, **attrs),
        lambda F, h, g, w, shape, **attrs: F.conv2d_weight_grad(g, h, shape=w.shape, **attrs),
    ),
    grad_name="Convolution",
    samples=_samples("gw"),
)
conv2d_weight_grad = declare(
    "conv2d_weight_grad",
    "contract",
    infer=lambda g, x, shape, **attrs: (g.with_shape(shape),),
    eval=by_library("conv2d_weight_grad", _eval_weight_grad),
    flops=lambda out, g, x, **attrs: 2 * g.size * math.prod(out.shape[1:]),
    saves=("in0", "in1"),
    vjps=(
        lambda F, h, g, x, shape, **attrs: F.conv2d(x, h, **attrs),
        lambda F, h, g, x, shape, **attrs: F.conv2d_input_grad(g, h, shape=x.shape, **attrs),
    ),
    grad_name="ConvolutionBackward",
    samples=_samples("gx"),
)


def _infer_convolution(x: Spec, w: Spec, *bias: Spec, **attrs: Any) -> tuple[Spec, ...]:
    (spec,) = _infer_conv2d(x, w, **attrs)
    if bias and bias[0].shape != w.shape[:1]:
        raise RuntimeError(
            f"Given weight of size {_listed(w.shape)}, expected bias to be 1-dimensional with "
            f"{w.shape[0]} elements, but got bias of size {_listed(bias[0].shape)} instead"
        )
    if bias and bias[0].dtype is not x.dtype:
        raise RuntimeError(
            f"Input type ({scalar_type(x.dtype)}) and bias type ({scalar_type(bias[0].dtype)}) "
            "should be the same"
        )
    return (spec,)


def _eval_convolution(xp: Any, x: Any, w: Any, *bias: Any, **attrs: Any) -> Any:
    result = _conv2d(xp, x, w, **attrs)
    if bias:
        (b,) = bias
        if b.shape != w.shape[:1] or b.dtype != x.dtype:
            raise mixed()
        xp.add(result, b.reshape(-1, 1, 1), result)
    return result


def _decompose_convolution(F: Any, x: Any, w: Any, *bias: Any, **attrs: Any) -> Any:
    result = F.conv2d(x, w, **attrs)
    if not bias:
        return result
    return F.add(result, F.reshape(bias[0], shape=(w.shape[0], 1, 1)))


def _bias_grad(F: Any, g: Any, x: Any, w: Any, **attrs: Any) -> Any:
    channels = w.shape[0]
    return F.reshape(F.sum_to(g, shape=(1, channels, 1, 1)), shape=(channels,))


#: conv2d with a bias: inputs (x, weight[, bias]).
convolution = declare(
    "convolution",
    "composite",
    infer=_infer_convolution,
    eval=_eval_convolution,
    decompose=_decompose_convolution,
    saves=("in0", "in1"),
    vjps=(*conv2d.vjps, _bias_grad),
    samples=both(_samples("xw"), _samples("xwb")),
)
