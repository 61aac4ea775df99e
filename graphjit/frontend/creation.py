"""Making tensors: from Python data and NumPy arrays, or filled by a rule.

While a function is recorded, tensors are made by ops, so that a replay makes them again.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..errors import locate
from ..ops.core import is_plain_zero
from .arguments import as_dtype, as_shape, check_device, check_tensor
from .base import alone
from .data import array_from_data, as_number, check_array
from .mode import MODE, refuse_recording
from .symnumber import SymNumber, plain
from .symnumber import as_tensor as as_tensor_of
from .tape import TENSORS
from .tensor import Tensor


def finished(tensor: Tensor, requires_grad: bool) -> Tensor:
    """A tensor just made, as its caller gets it."""
    if requires_grad:
        if tensor._array.dtype.kind not in "fc":
            raise locate(RuntimeError(
                "Only Tensors of floating point and complex dtype can require gradients"
            ))
        tensor._requires_grad = True
    return tensor


def fresh(array: np.ndarray) -> Tensor:
    """A tensor around an array that nothing else refers to."""
    recorder = MODE.recorder
    if recorder is None:
        return Tensor._of(array)
    uniform = array.size and array.tobytes() == np.full_like(array, array.flat[0]).tobytes()
    if uniform and array.dtype.kind != "c":
        return filled(array.shape, array.flat[0].item(), dtypes.from_numpy(array.dtype))
    if array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous:
        turned = TENSORS.permute(fresh(array.T), dims=tuple(reversed(range(array.ndim))))
        return alone(turned)  # type: ignore[no-any-return]
    # What Python computed it from is guarded. The copy is what the user may write to.
    made: Tensor = TENSORS.clone(Tensor._of(array))
    return made


def filled(shape: tuple[int, ...], value: Any, dtype: DType) -> Tensor:
    """A tensor of equal elements. RuntimeError or OverflowError if `value` does not fit."""
    if type(value) is SymNumber and _stays_within(value, dtype):
        copied: Tensor = TENSORS.clone(TENSORS.expand(as_tensor_of(value, dtype), shape=shape))
        return copied
    value = as_number(plain(value), dtype)
    if MODE.recorder is not None:
        result: Tensor = TENSORS.full(shape=shape, value=value, dtype=dtype)
        return result
    if is_plain_zero(value):
        return Tensor._of(np.zeros(shape, dtype.numpy))
    array = np.empty(shape, dtype.numpy)
    array.fill(value)
    return Tensor._of(array)


def _stays_within(value: SymNumber, dtype: DType) -> bool:
    """Whether a symbol is live and surely fits `dtype`, by a check at each replay if need be."""
    if not value.is_live or dtype is dtypes.float64:
        return value.is_live
    if dtype.category == 2:
        return value.below(int(np.finfo(dtype.numpy).max))
    return dtype is dtypes.int64 and isinstance(value, int)


def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor holding a copy of `data`: numbers, nested sequences, an array or a tensor.

    Without `dtype` it follows from the data: bool, int64, the default float, or an array's own.
    ValueError for ragged sequences, TypeError or RuntimeError for what is no number.
    """
    if device is not None:
        check_device(device)
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use "
            "sourceTensor.detach().clone() or sourceTensor.detach().clone().requires_grad_(True), "
            "rather than torch.tensor(sourceTensor).",
            stacklevel=2,
        )
        source = data.detach() if dtype is None else data.detach().to(as_dtype(dtype, "tensor"))
        return finished(source.clone(), requires_grad)
    wanted = None if dtype is None else as_dtype(dtype, "tensor")
    made = None if MODE.recorder is None else _of_symbols(data, wanted)
    if made is None:
        made = fresh(array_from_data(plain(data), wanted))
    return finished(made, requires_grad)


def _of_symbols(data: Any, dtype: DType | None) -> Tensor | None:
    """A tensor of a number, or of a list of numbers, some of which stay symbolic.

    None where there is none, or where a cast could raise for another value.
    """
    row = data if type(data) in (list, tuple) else [data]
    live = [type(x) is SymNumber and x.is_live for x in row]
    if not any(live) or not all(isinstance(x, (int, float)) for x in row):
        return None
    values = [x.value if type(x) is SymNumber else x for x in row]
    target = dtypes.from_numpy(array_from_data(values, dtype).dtype)
    if target is not dtypes.int64 and target.category < 2:
        return None
    if target is dtypes.int64 and any(isinstance(x, float) for x in row):
        return None
    elements = [
        filled((), x if symbolic else target.numpy.type(plain(x)).item(), target)
        for x, symbolic in zip(row, live, strict=True)
    ]
    made: Tensor = elements[0] if row is not data else TENSORS.stack(*elements, dim=0)
    return made


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing the storage of a tensor or an array of the right dtype."""
    check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(as_dtype(dtype, "as_tensor"))
    if isinstance(data, np.ndarray):
        shared = from_numpy(data)
        return shared if dtype is None else shared.to(as_dtype(dtype, "as_tensor"))
    return tensor(data, dtype=dtype)


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`as_tensor`, with the choice of copying (`copy=True`)."""
    result = as_tensor(obj, dtype=dtype, device=device)
    if copy and (isinstance(obj, (Tensor, np.ndarray))):
        result = result.clone()
    return finished(result, requires_grad) if requires_grad else result


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor sharing the memory of an array.

    TypeError for what is no array or has no dtype here; ValueError for negative strides.
    """
    if not isinstance(ndarray, np.ndarray):
        raise locate(TypeError(f"expected np.ndarray (got {type(ndarray).__name__})"))
    if not ndarray.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable "
            "tensors. This means writing to this tensor will result in undefined behavior. You may "
            "want to copy the array to protect its data or make it writable before converting it "
            "to a tensor. This type of warning will be suppressed for the rest of this program.",
            stacklevel=2,
        )
    if MODE.recorder is not None:
        MODE.recorder.refuse("an array, whose elements Python can change, became a tensor")
    return Tensor._of(np.asarray(check_array(ndarray)))


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A 1-d tensor sharing the memory of an object with Python's buffer interface."""
    wanted = as_dtype(dtype, "frombuffer")
    array = np.frombuffer(buffer, dtype=wanted.numpy, count=count, offset=offset)
    return finished(Tensor._of(array), requires_grad)


def scalar_tensor(s: Any, *, dtype: Any = None, **options: Any) -> Tensor:
    """A 0-d tensor of the default dtype, or of `dtype`."""
    return full((), s, dtype=dtypes.default_float() if dtype is None else dtype, **options)


def _like(source: Tensor, dtype: Any, device: Any, function: str) -> DType:
    check_tensor(function, source)
    if device is not None:
        check_device(device)
    return source.dtype if dtype is None else as_dtype(dtype, function)


def _write_out(out: Tensor | None, result: Tensor, function: str) -> Tensor:
    if out is None:
        return result
    from .out import write_out

    return write_out(out, result, function)


def _constant(
    function: str,
    value: int,
    size: tuple[Any, ...],
    out: Tensor | None,
    dtype: Any,
    device: Any,
    requires_grad: bool,
) -> Tensor:
    shape = as_shape(function, size)
    if device is not None:
        check_device(device)
    wanted = dtypes.default_float() if dtype is None else as_dtype(dtype, function)
    if out is not None and dtype is None:
        wanted = out.dtype
    return finished(_write_out(out, filled(shape, value, wanted), function), requires_grad)


def zeros(
    *args: Any,
    size: Any = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros of the given size."""
    return _constant("zeros", 0, _size("zeros", args, size), out, dtype, device, requires_grad)


def ones(
    *args: Any,
    size: Any = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """Ones of the given size."""
    return _constant("ones", 1, _size("ones", args, size), out, dtype, device, requires_grad)


def _size(function: str, args: tuple[Any, ...], size: Any) -> tuple[Any, ...]:
    if size is not None:
        return (size,)
    if not args:
        raise locate(TypeError(f'{function}() missing 1 required positional arguments: "size"'))
    return args


def empty(
    *args: Any,
    size: Any = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor whose elements are whatever the memory holds."""
    shape = as_shape("empty", _size("empty", args, size))
    check_device(device)
    wanted = dtypes.default_float() if dtype is None else as_dtype(dtype, "empty")
    return finished(_write_out(out, uninitialised(shape, wanted), "empty"), requires_grad)


def uninitialised(shape: tuple[int, ...], dtype: DType) -> Tensor:
    """Uninitialised memory; while recording, zeros, which no replay can tell from it."""
    if MODE.recorder is not None:
        return filled(shape, 0, dtype)
    return Tensor._of(np.empty(shape, dtype.numpy))


def full(
    size: Any,
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of the given size filled with one value, of the value's dtype unless given."""
    if not isinstance(size, (tuple, list)):
        raise locate(TypeError(
            f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}"
        ))
    shape = as_shape("full", (size,))
    check_device(device)
    if isinstance(fill_value, Tensor):
        wanted = fill_value.dtype if dtype is None else as_dtype(dtype, "full")
        expanded: Tensor = fill_value.to(wanted).expand(shape).clone()
        return finished(_write_out(out, expanded, "full"), requires_grad)
    wanted = dtypes.of_number(fill_value) if dtype is None else as_dtype(dtype, "full")
    if out is not None and dtype is None:
        wanted = out.dtype
    return finished(_write_out(out, filled(shape, fill_value, wanted), "full"), requires_grad)


def zeros_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Zeros of the shape and dtype of `input`."""
    wanted = _like(input, dtype, device, "zeros_like")
    return finished(filled(input._array.shape, 0, wanted), requires_grad)


def ones_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Ones of the shape and dtype of `input`."""
    wanted = _like(input, dtype, device, "ones_like")
    return finished(filled(input._array.shape, 1, wanted), requires_grad)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of the shape and dtype of `input` filled with one value."""
    wanted = _like(input, dtype, device, "full_like")
    return full(input._array.shape, fill_value, dtype=wanted, requires_grad=requires_grad)


def empty_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Uninitialised memory of the shape and dtype of `input`."""
    wanted = _like(input, dtype, device, "empty_like")
    return finished(uninitialised(input._array.shape, wanted), requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """An `n` by `m` matrix with ones on the diagonal."""
    check_device(device)
    columns = n if m is None else m
    for name, extent in (("n", n), ("m", columns)):
        if extent < 0:
            raise locate(RuntimeError(f"{name} must be greater or equal to 0, got {extent}"))
    wanted = dtypes.default_float() if dtype is None else as_dtype(dtype, "eye")
    if MODE.recorder is None:
        result = Tensor._of(np.eye(n, columns, dtype=wanted.numpy))
    else:
        row = TENSORS.iota(shape=(n, columns), dim=0, dtype=dtypes.int64)
        column = TENSORS.iota(shape=(n, columns), dim=1, dtype=dtypes.int64)
        result = TENSORS.cast(TENSORS.eq(row, column), dtype=wanted)
    return finished(_write_out(out, result, "eye"), requires_grad)


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from `start` (0 if only one bound is given) below `end`, `step` apart.

    The dtype is int64 if all three are integers, else the default float.
    """
    check_device(device)
    start, end = (0, start) if end is None else (start, end)
    start, end, step = (v.item() if isinstance(v, Tensor) else v for v in (start, end, step))
    if step == 0:
        raise locate(RuntimeError("step must be nonzero"))
    if (step > 0 and start > end) or (step < 0 and start < end):
        raise locate(RuntimeError("upper bound and lower bound inconsistent with step sign"))
    if dtype is not None:
        wanted = as_dtype(dtype, "arange")
    elif out is not None:
        wanted = out.dtype
    elif any(isinstance(v, (float, np.floating)) for v in (start, end, step)):
        wanted = dtypes.default_float()
    else:
        wanted = dtypes.int64
    count = math.ceil((end - start) / step)
    return finished(_write_out(out, _ramp(start, step, count, wanted), "arange"), requires_grad)


def _ramp(start: Any, step: Any, count: int, dtype: DType) -> Tensor:
    """`start + i * step` for `i` below `count`, computed in float64 or int64."""
    work = dtypes.float64 if dtype.category > 1 else dtypes.int64
    if work is dtypes.int64:
        start, step = int(start), int(step)
    if MODE.recorder is None:
        ramp = np.arange(count, dtype=work.numpy)
        if step != 1:
            ramp = ramp * step
        return Tensor._of((ramp + start if start else ramp).astype(dtype.numpy, copy=False))
    index = TENSORS.iota(shape=(count,), dim=0, dtype=work)
    ramp = TENSORS.add(TENSORS.mul(index, step), start)
    return ramp if dtype is work else TENSORS.cast(ramp, dtype=dtype)  # type: ignore[no-any-return]


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers from `start` to `end`, both included, equally far apart."""
    check_device(device)
    if steps < 0:
        raise locate(RuntimeError("number of steps must be non-negative"))
    wanted = dtypes.default_float() if dtype is None else as_dtype(dtype, "linspace")
    first, last = _number(start), _number(end)
    if MODE.recorder is not None and wanted.category == 2 and steps > 1:
        result = _spaced_by_ops(first, last, steps, wanted)
    else:
        result = fresh(_spaced(first, last, steps, wanted))
    return finished(_write_out(out, result, "linspace"), requires_grad)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _spaced(start: Any, end: Any, steps: int, dtype: DType) -> np.ndarray:
    """PyTorch's formula: from the nearer end, in the dtype itself, so that both ends are exact."""
    if steps == 1:
        return np.full(1, start, dtype.numpy)
    kind = dtype.numpy.type if dtype.category > 1 else np.float64
    index = np.arange(steps).astype(kind)
    if dtype.category > 1:
        step = (kind(end) - kind(start)) / kind(max(steps - 1, 1))
    else:
        # Integers: the step is a float32 in PyTorch's kernel.
        step = kind(np.float32(end - start) / np.float32(max(steps - 1, 1)))
    first = kind(start) + step * index
    last = kind(end) - step * (kind(max(steps - 1, 0)) - index)
    result = np.where(np.arange(steps) < steps // 2, first, last)
    if dtype.category <= 1:
        result = np.trunc(result)
    return result.astype(dtype.numpy)


def _spaced_by_ops(start: Any, end: Any, steps: int, dtype: DType) -> Tensor:
    """`_spaced` for floating-point numbers, as a recording can replay it."""
    kind = dtype.numpy.type
    step = float((kind(end) - kind(start)) / kind(steps - 1))
    index = TENSORS.iota(shape=(steps,), dim=0, dtype=dtype)
    first = TENSORS.add(TENSORS.mul(index, step), start)
    last = TENSORS.sub(end, TENSORS.mul(TENSORS.sub(steps - 1, index), step))
    result: Tensor = TENSORS.where(TENSORS.lt(index, steps // 2), first, last)
    return result


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """`base` to the power of each of `linspace(start, end, steps)`."""
    check_device(device)
    if steps < 0:
        raise locate(RuntimeError("number of steps must be non-negative"))
    wanted = dtypes.default_float() if dtype is None else as_dtype(dtype, "logspace")
    exponents = _spaced(_number(start), _number(end), steps, dtypes.float64)
    powers = np.power(float(base), exponents).astype(wanted.numpy)
    return finished(_write_out(out, fresh(powers), "logspace"), requires_grad)


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None,
    layout: Any = None,
) -> Tensor:
    """Row and column numbers of the lower triangle, as a tensor of two rows."""
    check_device(device)
    pairs = np.array(np.tril_indices(row, offset, col))
    return fresh(pairs.astype(as_dtype(dtype, "tril_indices").numpy))


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None,
    layout: Any = None,
) -> Tensor:
    """Row and column numbers of the upper triangle, as a tensor of two rows."""
    check_device(device)
    pairs = np.array(np.triu_indices(row, offset, col))
    return fresh(pairs.astype(as_dtype(dtype, "triu_indices").numpy))


def complex(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Complex numbers from their parts."""
    refuse_recording("complex()")
    return _write_out(out, fresh(real._array + 1j * imag._array), "complex")
