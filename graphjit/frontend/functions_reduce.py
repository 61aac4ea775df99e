"""Reductions: sums, means, extrema, norms, truth, over all or some dimensions.

Each is also the `Tensor` method of its name. `axis` and `keepdims` stand for `dim` and `keepdim`,
as in NumPy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .. import dtypes
from ..errors import locate
from .arguments import as_dims, as_dtype, check_tensor, one_dim
from .base import alone
from .convert import truth
from .mode import MODE
from .out import write_out
from .results import result_type
from .tape import TENSORS as F

if TYPE_CHECKING:
    from .tensor import Tensor

_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def numpy_names(function: str, given: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments under PyTorch's names; TypeError for one that is unknown."""
    for name in given:
        if name not in _NUMPY_NAMES:
            raise locate(TypeError(f"{function}() got an unexpected keyword argument '{name}'"))
    return {_NUMPY_NAMES[name]: value for name, value in given.items()}


def _all_dims(x: Tensor) -> tuple[int, ...]:
    return tuple(range(x._array.ndim))


def _check_keepdim(function: str, keepdim: Any) -> None:
    if not isinstance(keepdim, bool):
        kind = type(keepdim).__name__
        raise locate(TypeError(
            f"{function}(): argument 'keepdim' (position 2) must be bool, not {kind}"
        ))


def sum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None,
    **names: Any,
) -> Any:
    """The sum over `dim` (all dimensions if None); integers add up in int64."""
    if names:
        return sum(input, dtype=dtype, out=out, **numpy_names("sum", names))
    if dim is None and dtype is None and out is None:
        check_tensor("sum", input)
        return F.sum_squeeze(input, dims=_all_dims(input))
    check_tensor("sum", input)
    _check_keepdim("sum", keepdim)
    if dtype is not None:
        input = input.to(as_dtype(dtype, "sum"))
    dims = as_dims(input, dim)
    result = F.sum(input, dims=dims) if keepdim else F.sum_squeeze(input, dims=dims)
    if dtype is not None and result.dtype is not input.dtype:
        result = F.cast(result, dtype=input.dtype)
    return result if out is None else write_out(out, result, "sum")


def nansum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """The sum, with NaN as 0."""
    return sum(F.where(F.isnan(input), 0, input), dim, keepdim, dtype=dtype, out=out)


def mean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None,
    **names: Any,
) -> Any:
    """The mean over `dim` (all dimensions if None). RuntimeError for integers."""
    if names:
        return mean(input, dtype=dtype, out=out, **numpy_names("mean", names))
    check_tensor("mean", input)
    if dtype is not None:
        input = input.to(as_dtype(dtype, "mean"))
    dims = _all_dims(input) if dim is None else as_dims(input, dim)
    result = F.mean(input, dims=dims, keepdim=keepdim)
    return result if out is None else write_out(out, result, "mean")


def nanmean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """The mean of the elements that are not NaN."""
    count = sum(F.logical_not(F.isnan(input)), dim, keepdim)
    result = F.div(nansum(input, dim, keepdim, dtype=dtype), count)
    return result if out is None else write_out(out, result, "nanmean")


def prod(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None,
    **names: Any,
) -> Any:
    """The product over one dimension, or of all elements."""
    if names:
        return prod(input, dtype=dtype, out=out, **numpy_names("prod", names))
    check_tensor("prod", input)
    if dtype is not None:
        input = input.to(as_dtype(dtype, "prod"))
    dims = _all_dims(input) if dim is None else as_dims(input, (one_dim(input, dim),))
    result = F.prod(input, dims=dims) if keepdim else F.prod_squeeze(input, dims=dims)
    if dtype is not None and result.dtype is not input.dtype:
        result = F.cast(result, dtype=input.dtype)
    return result if out is None else write_out(out, result, "prod")


def _correction(unbiased: bool | None, correction: float | None) -> float:
    if correction is not None:
        return correction
    return 1 if unbiased is None or unbiased else 0


def _spread(
    name: str, input: Tensor, dim: Any, unbiased: bool | None, correction: float | None,
    keepdim: bool, out: Any,
) -> Any:
    check_tensor(name, input)
    if isinstance(dim, bool):  # the old form var(input, unbiased)
        dim, unbiased = None, dim
    dims = _all_dims(input) if dim is None else as_dims(input, dim)
    attrs = {"correction": _correction(unbiased, correction), "keepdim": keepdim}
    result = getattr(F, name)(input, dims=dims, **attrs)
    return result if out is None else write_out(out, result, name)


def var(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
    correction: float | None = None, out: Any = None, **names: Any,
) -> Any:
    """The variance: squared deviations over `n - correction` (1 unless said otherwise)."""
    if names:
        dim = names.pop("axis", dim)
        keepdim = names.pop("keepdims", keepdim)
        numpy_names("var", names)
    return _spread("var", input, dim, unbiased, correction, keepdim, out)


def std(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
    correction: float | None = None, out: Any = None, **names: Any,
) -> Any:
    """The standard deviation: the square root of `var`."""
    if names:
        dim = names.pop("axis", dim)
        keepdim = names.pop("keepdims", keepdim)
        numpy_names("std", names)
    return _spread("std", input, dim, unbiased, correction, keepdim, out)


def var_mean(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
    correction: float | None = None,
) -> tuple[Any, Any]:
    """Variance and mean."""
    spread = var(input, dim, unbiased, keepdim, correction=correction)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def std_mean(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
    correction: float | None = None,
) -> tuple[Any, Any]:
    """Standard deviation and mean."""
    spread = std(input, dim, unbiased, keepdim, correction=correction)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def _refuse_empty(name: str, input: Tensor) -> None:
    if input._array.size == 0:
        raise locate(RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify "
            "the reduction dim with the 'dim' argument."
        ))


def _extremum(
    name: str, input: Tensor, dim: Any, keepdim: bool, out: Any
) -> Any:
    check_tensor(name, input)
    op = "amax" if name == "max" else "amin"
    if dim is None:
        _refuse_empty(name, input)
        result = getattr(F, f"{op}_squeeze")(input, dims=_all_dims(input))
        return result if out is None else write_out(out, result, name)
    if not isinstance(dim, int):
        other = dim
        result = getattr(F, "maximum" if name == "max" else "minimum")(
            input, check_tensor(name, other, "other", 2)
        )
        return result if out is None else write_out(out, result, name)
    pair = getattr(F, f"{name}_dim")(input, dim=one_dim(input, dim), keepdim=keepdim)
    if out is not None:
        pair = tuple(write_out(o, r, name) for o, r in zip(out, pair, strict=True))
    return result_type(name, "values", "indices")(pair)


def max(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None,
    **names: Any,
) -> Any:
    """The largest element; over `dim`, (values, indices); of two tensors, the larger elements."""
    if names:
        return max(input, out=out, **numpy_names("max", names))
    return _extremum("max", input, other if dim is None else dim, keepdim, out)


def min(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None,
    **names: Any,
) -> Any:
    """The smallest element; over `dim`, (values, indices); of two tensors, the smaller elements."""
    if names:
        return min(input, out=out, **numpy_names("min", names))
    return _extremum("min", input, other if dim is None else dim, keepdim, out)


def _bound(name: str, input: Tensor, dim: Any, keepdim: bool, out: Any) -> Any:
    check_tensor(name, input)
    dims = as_dims(input, dim)
    if dim in (None, ()):
        _refuse_empty(name, input)
    result = getattr(F, name if keepdim else f"{name}_squeeze")(input, dims=dims)
    return result if out is None else write_out(out, result, name)


def amax(input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """The largest elements over `dim`; ties share the gradient equally."""
    return _bound("amax", input, dim, keepdim, out)


def amin(input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """The smallest elements over `dim`; ties share the gradient equally."""
    return _bound("amin", input, dim, keepdim, out)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest and the largest elements."""
    where = () if dim is None else dim
    pair = (amin(input, where, keepdim), amax(input, where, keepdim))
    return result_type("aminmax", "min", "max")(pair)


def _position(name: str, input: Tensor, dim: int | None, keepdim: bool, out: Any) -> Any:
    check_tensor(name, input)
    if input._array.dtype.kind == "b":
        raise locate(RuntimeError(f"{name}(): does not support bool input"))
    if dim is None:
        if input._array.size == 0:
            raise locate(IndexError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0."
            ))
        flat = F.reshape(input, shape=(-1,)) if input._array.ndim != 1 else input
        result = getattr(F, f"{name}_squeeze")(flat, dims=(0,))
        if keepdim:
            result = F.reshape(result, shape=(1,) * input._array.ndim)
    else:
        place = one_dim(input, dim)
        dims = (place,) if input._array.ndim else ()
        result = getattr(F, name if keepdim else f"{name}_squeeze")(input, dims=dims)
    return result if out is None else write_out(out, result, name)


def argmax(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None, **names: Any
) -> Any:
    """Where the first largest element is: in the flat tensor, or along `dim`."""
    if names:
        return argmax(input, out=out, **numpy_names("argmax", names))
    return _position("argmax", input, dim, keepdim, out)


def argmin(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None, **names: Any
) -> Any:
    """Where the first smallest element is: in the flat tensor, or along `dim`."""
    if names:
        return argmin(input, out=out, **numpy_names("argmin", names))
    return _position("argmin", input, dim, keepdim, out)


def _truth(name: str, input: Tensor, dim: Any, keepdim: bool, out: Any) -> Any:
    check_tensor(name, input)
    dims = as_dims(input, dim)
    unsigned = input._array.dtype.char == "B"
    if input._array.dtype.kind != "b":
        input = F.ne(input, 0)
    result = getattr(F, name if keepdim else f"{name}_squeeze")(input, dims=dims)
    if unsigned:
        result = F.cast(result, dtype=dtypes.uint8)
    return result if out is None else write_out(out, result, name)


def all(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None, **names: Any
) -> Any:
    """Whether all elements are true."""
    if names:
        return all(input, out=out, **numpy_names("all", names))
    return _truth("all", input, dim, keepdim, out)


def any(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None, **names: Any
) -> Any:
    """Whether any element is true."""
    if names:
        return any(input, out=out, **numpy_names("any", names))
    return _truth("any", input, dim, keepdim, out)


def count_nonzero(input: Tensor, dim: Any = None) -> Any:
    """How many elements are not 0."""
    return sum(F.ne(input, 0), dim)


def logsumexp(input: Tensor, dim: Any, keepdim: bool = False, *, out: Any = None) -> Any:
    """`log(sum(exp(input)))` over `dim`, without overflow."""
    if input._array.dtype.kind in "iub":
        input = F.cast(input, dtype=dtypes.default_float())
    dims = as_dims(input, dim)
    result = F.logsumexp(input, dims=dims)
    if not keepdim:
        kept = tuple(n for i, n in enumerate(result._array.shape) if i not in dims)
        result = alone(F.reshape(result, shape=kept))
    return result if out is None else write_out(out, result, "logsumexp")


def softmax(input: Tensor, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """Exponentials along `dim`, divided by their sum."""
    check_tensor("softmax", input)
    if dtype is not None:
        input = input.to(as_dtype(dtype, "softmax"))
    result = F.softmax(input, dim=one_dim(input, dim))
    return result if out is None else write_out(out, result, "softmax")


def log_softmax(input: Tensor, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """The logarithm of `softmax`."""
    check_tensor("log_softmax", input)
    if dtype is not None:
        input = input.to(as_dtype(dtype, "log_softmax"))
    result = F.log_softmax(input, dim=one_dim(input, dim))
    return result if out is None else write_out(out, result, "log_softmax")


def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None,
    dtype: Any = None,
) -> Any:
    """The `p`-norm of the elements over `dim`: (sum |x|**p) ** (1/p)."""
    check_tensor("norm", input)
    if dtype is not None:
        input = input.to(as_dtype(dtype, "norm"))
    if input._array.dtype.kind not in "fc":
        from .printing import type_name

        raise locate(RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{type_name(input.dtype).split('.')[-1].removesuffix('Tensor')}"
        ))
    order = 2.0 if p in (None, "fro") else float(p)
    dims = as_dims(input, dim)
    result = _vector_norm(input, order, dims)
    if not keepdim:
        kept = tuple(n for i, n in enumerate(result._array.shape) if i not in dims)
        result = alone(F.reshape(result, shape=kept))
    return result if out is None else write_out(out, result, "norm")


def _vector_norm(x: Tensor, order: float, dims: tuple[int, ...]) -> Any:
    """Keeps the reduced dimensions; the gradient at a norm of 0 is 0."""
    if order == math.inf:
        return F.amax(F.abs(x), dims=dims)
    if order == -math.inf:
        return F.amin(F.abs(x), dims=dims)
    if order == 0:
        return F.sum(F.cast(F.ne(x, 0), dtype=x.dtype), dims=dims)
    if order == 1:
        return F.sum(F.abs(x), dims=dims)
    if order == 2:
        squares = F.sum(F.mul(x, x), dims=dims)
        safe = F.where(F.eq(squares, 0), 1.0, squares)
        return F.where(F.eq(squares, 0), 0.0, F.sqrt(safe))
    return F.pow(F.sum(F.pow(F.abs(x), order), dims=dims), 1.0 / order)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Any:
    """The `p`-norm of the difference."""
    return norm(F.sub(input, other), p)


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements."""
    check_tensor("equal", input)
    check_tensor("equal", other, "other", 2)
    if input._array.shape != other._array.shape:
        return False
    if MODE.recorder is not None:
        return truth(F.eq(input.detach(), other.detach()).all())
    return bool((input._array == other._array).all())


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are `isclose`."""
    from .functions_pointwise import isclose

    return truth(isclose(input, other, rtol, atol, equal_nan).all())


