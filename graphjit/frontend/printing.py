"""How tensors print: the layout, number formats and suffixes of PyTorch's `repr`.

Reads a tensor's array, dtype and place on the tape; makes text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import config, dtypes
from ..dtypes import DType
from ..ops.core import type_name as kernel_name
from .observe import observe

if TYPE_CHECKING:
    from .tensor import Tensor

Format = Callable[[Any], str]


@dataclass(frozen=True)
class PrintOptions:
    """What `set_printoptions` sets; `sci_mode` None lets the values decide."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}
_options = PROFILES["default"]


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print; `profile` is "default", "short" or "full", the rest override it."""
    global _options
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems,
             "linewidth": linewidth}  # fmt: skip
    start = _options if profile is None else PROFILES[profile]
    changed: dict[str, Any] = {name: v for name, v in given.items() if v is not None}
    _options = replace(start, sci_mode=sci_mode, **changed)


def get_printoptions() -> dict[str, Any]:
    """The options in force, by name."""
    return dict(vars(_options))


def type_name(dtype: DType | np.dtype[Any]) -> str:
    """The legacy name of a tensor type: `torch.FloatTensor`, under our namespace."""
    known = dtype if isinstance(dtype, DType) else dtypes.from_numpy(dtype)
    return f"{config.NAMESPACE}.{kernel_name(known)}Tensor"


def tensor_text(tensor: Tensor) -> str:
    """What `repr` shows of `tensor`."""
    observe("repr()", tensor)
    array = tensor._array
    start = "tensor("
    if array.size == 0:
        body, suffixes = "[]", _empty_suffixes(tensor)
    else:
        body = _array_text(array, len(start))
        suffixes = [] if _options.edgeitems else [f"size={array.shape}"]
        suffixes += [] if _is_default(tensor.dtype) else [f"dtype={tensor.dtype!r}"]
    node = tensor.grad_fn
    if node is not None:
        suffixes.append(f"grad_fn=<{node.name()}>")
    elif tensor._requires_grad:
        suffixes.append("requires_grad=True")
    return _join_suffixes(start + body, suffixes, len(start))


def _empty_suffixes(tensor: Tensor) -> list[str]:
    suffixes = []
    if tensor._array.ndim != 1:
        suffixes.append(f"size={tensor._array.shape}")
    if tensor.dtype is not dtypes.default_float():
        suffixes.append(f"dtype={tensor.dtype!r}")
    return suffixes


def _is_default(dtype: DType) -> bool:
    """Whether literals of this dtype need no suffix."""
    return dtype in (
        dtypes.default_float(), dtypes.default_complex(), dtypes.int64, dtypes.bool_
    )  # fmt: skip


def _join_suffixes(text: str, suffixes: Sequence[str], indent: int) -> str:
    # PyTorch counts the last line from the character before its newline, plus one for ")".
    width = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if width + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            width = indent + len(suffix)
        else:
            text += ", " + suffix
            width += len(suffix) + 2
    return text + ")"


def _array_text(array: np.ndarray, indent: int) -> str:
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    short = array.size > _options.threshold
    shown = _edges(array) if short else array
    if array.dtype.kind == "c":
        width, write = _complex_format(shown)
    else:
        width, write = _number_format(shown)
    return _nested(array, indent, short, width, write)


def _edges(array: np.ndarray) -> np.ndarray:
    """`array` with only the first and last items along each long axis."""
    edge = _options.edgeitems
    for axis, extent in enumerate(array.shape):
        if extent > 2 * edge:
            kept = [*range(edge), *range(extent - edge, extent)]
            array = array.take(np.array(kept, dtype=np.intp), axis=axis)
    return array


def _number_format(array: np.ndarray) -> tuple[int, Format]:
    """The width of the longest element, and the function that writes one."""
    if array.dtype.kind != "f":
        width = max((len(str(value)) for value in array.ravel().tolist()), default=1)
        return width, lambda value: str(value).rjust(width)
    values = array.ravel()
    values = values[np.isfinite(values) & (values != 0)].astype(np.float64)
    if values.size == 0:
        return _padded([], _write_integer)
    smallest, largest = np.abs(values).min(), np.abs(values).max()
    scientific = _options.sci_mode
    if scientific is None:
        scientific = bool(
            largest / smallest > 1000.0 or largest > 1.0e8 or smallest < 1.0e-4
        )
    digits = _options.precision
    if scientific:
        return _padded(values.tolist(), lambda value: f"{value:.{digits}e}")
    if np.all(values == np.ceil(values)):
        return _padded(values.tolist(), _write_integer)
    return _padded(values.tolist(), lambda value: f"{value:.{digits}f}")


def _padded(values: Sequence[float], write: Format) -> tuple[int, Format]:
    width = max((len(write(value)) for value in values), default=1)
    return width, lambda value: write(value).rjust(width)


def _write_integer(value: float) -> str:
    return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"


def _complex_format(array: np.ndarray) -> tuple[int, Format]:
    real_width, real = _number_format(array.real)
    imag_width, imag = _number_format(array.imag)

    def write(value: complex) -> str:
        second = imag(value.imag).lstrip() + "j"
        return real(value.real) + ("" if second[0] in "+-" else "+") + second

    return real_width + imag_width + 1, write


def _nested(array: np.ndarray, indent: int, short: bool, width: int, write: Format) -> str:
    """`array` in nested brackets; `short` leaves out the middle of long axes."""
    if array.ndim == 0:
        return write(array.item())
    if array.ndim == 1:
        return _row(array, indent, short, width, write)
    edge = _options.edgeitems
    rows: list[Any] = list(array)
    if short and len(rows) > 2 * edge:
        rows = [*rows[:edge], None, *rows[len(rows) - edge:]]
    texts = ["..." if row is None else _nested(row, indent + 1, short, width, write)
             for row in rows]
    separator = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
    return f"[{separator.join(texts)}]"


def _row(array: np.ndarray, indent: int, short: bool, width: int, write: Format) -> str:
    edge = _options.edgeitems
    if short and not edge:
        items = ["..."]
    elif short and array.size > 2 * edge:
        items = [*map(write, array[:edge].tolist()), " ...",
                 *map(write, array[array.size - edge:].tolist())]
    else:
        items = [write(value) for value in array.tolist()]
    count = max(1, (_options.linewidth - indent) // (width + 2))
    lines = [", ".join(items[i : i + count]) for i in range(0, len(items), count)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
