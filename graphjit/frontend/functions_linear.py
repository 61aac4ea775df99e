"""Linear algebra of matrices and vectors: products, `einsum`, traces.

Each is also the `Tensor` method of its name.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..errors import locate
from .arguments import check_tensor, one_dim
from .base import alone, is_tensor
from .functions_shape import ints
from .out import write_out
from .tape import TENSORS as F

if TYPE_CHECKING:
    from .tensor import Tensor


def mm(input: Tensor, mat2: Tensor, *, out: Any = None) -> Any:
    """The product of two matrices."""
    result = F.mm(input, mat2)
    return result if out is None else write_out(out, result, "mm")


def bmm(input: Tensor, mat2: Tensor, *, out: Any = None) -> Any:
    """The products of two stacks of matrices."""
    result = F.bmm(input, mat2)
    return result if out is None else write_out(out, result, "bmm")


def mv(input: Tensor, vec: Tensor, *, out: Any = None) -> Any:
    """The product of a matrix and a vector."""
    result = F.mv(input, vec)
    return result if out is None else write_out(out, result, "mv")


def dot(input: Tensor, tensor: Tensor, *, out: Any = None) -> Any:
    """The inner product of two vectors."""
    result = F.dot(input, tensor)
    return result if out is None else write_out(out, result, "dot")


vdot = dot


def matmul(input: Tensor, other: Tensor, *, out: Any = None) -> Any:
    """The matrix product, with vectors as rows or columns, and batch dimensions that broadcast."""
    if not is_tensor(other) or not is_tensor(input):
        check_tensor("matmul", input)
        check_tensor("matmul", other, "other", 2)
    left, right = input._array.ndim, other._array.ndim
    if left == 2 and right == 2:
        result = F.mm(input, other)
    elif left == 1 and right == 1:
        result = F.dot(input, other)
    elif left == 2 and right == 1:
        result = F.mv(input, other)
    else:
        result = _matmul(input, other, left, right)
    return result if out is None else write_out(out, result, "matmul")


def _matmul(input: Tensor, other: Tensor, left: int, right: int) -> Any:
    if not left or not right:
        return F.matmul(input, other)
    if left == 1:
        _check_row(input, other)
        row = F.matmul(F.unsqueeze(input, dim=0), other)
        return alone(F.squeeze(row, dims=(max(right, 2) - 2,)))
    if right == 1:
        return alone(F.squeeze(F.matmul(input, F.unsqueeze(other, dim=1)), dims=(left - 1,)))
    if left == 3 and right == 3 and input._array.shape[0] == other._array.shape[0]:
        return F.bmm(input, other)
    return F.matmul(input, other)


def _check_row(vector: Tensor, matrices: Tensor) -> None:
    """PyTorch multiplies a vector by a stack of matrices as one matrix by a vector."""
    n, k = vector._array.size, matrices._array.shape[-2]
    if n != k:
        rows = matrices._array.size // k if k else 0
        raise locate(RuntimeError(
            f"size mismatch, got input ({rows}), mat ({rows}x{k}), vec ({n})"
        ))


def _plus_product(
    name: str, input: Tensor, product: Tensor, beta: Any, alpha: Any, out: Any
) -> Any:
    scaled = product if alpha == 1 else F.mul(product, alpha)
    if beta == 0:
        result = F.expand(scaled, shape=scaled._array.shape)
    else:
        result = F.add(input if beta == 1 else F.mul(input, beta), scaled)
    return result if out is None else write_out(out, result, name)


def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """`beta * input + alpha * mat1 @ mat2`."""
    return _plus_product("addmm", input, F.mm(mat1, mat2), beta, alpha, out)


def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """`beta * input + alpha * mat @ vec`."""
    return _plus_product("addmv", input, F.mv(mat, vec), beta, alpha, out)


def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """`beta * input + alpha * outer(vec1, vec2)`."""
    return _plus_product("addr", input, outer(vec1, vec2), beta, alpha, out)


def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1,
    out: Any = None,
) -> Any:
    """`beta * input + alpha * batch1 @ batch2`, for stacks of matrices."""
    return _plus_product("baddbmm", input, F.bmm(batch1, batch2), beta, alpha, out)


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1,
    out: Any = None,
) -> Any:
    """`beta * input + alpha * sum(batch1 @ batch2)`."""
    total = F.sum_squeeze(F.bmm(batch1, batch2), dims=(0,))
    return _plus_product("addbmm", input, total, beta, alpha, out)


def outer(input: Tensor, vec2: Tensor, *, out: Any = None) -> Any:
    """All products of an element of one vector and one of another."""
    for x in (input, vec2):
        if x._array.ndim != 1:
            raise locate(RuntimeError(
                f"outer: Expected 1-D argument self, but got {x._array.ndim}-D"
            ))
    result = F.mul(F.unsqueeze(input, dim=1), F.unsqueeze(vec2, dim=0))
    return result if out is None else write_out(out, result, "outer")


ger = outer


def inner(input: Tensor, other: Tensor, *, out: Any = None) -> Any:
    """The inner products over the last dimension of both."""
    if not input._array.ndim or not other._array.ndim:
        result = F.mul(input, other)
    else:
        result = tensordot(input, other, ([-1], [-1]))
    return result if out is None else write_out(out, result, "inner")


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Any = None) -> Any:
    """The sum of products over some dimensions of `a` and `b`."""
    if isinstance(dims, int):
        left = tuple(range(a._array.ndim - dims, a._array.ndim))
        right = tuple(range(dims))
    else:
        left = tuple(one_dim(a, d) for d in ints((dims[0],)))
        right = tuple(one_dim(b, d) for d in ints((dims[1],)))
    for i, j in zip(left, right, strict=True):
        if a._array.shape[i] != b._array.shape[j]:
            raise locate(RuntimeError(
                "contracted dimensions need to match, but first has size "
                f"{a._array.shape[i]} in dim {i - a._array.ndim if isinstance(dims, int) else i} "
                f"and second has size {b._array.shape[j]} in dim {j}"
            ))
    result = _contract(a, b, left, right)
    return result if out is None else write_out(out, result, "tensordot")


def _contract(a: Tensor, b: Tensor, left: tuple[int, ...], right: tuple[int, ...]) -> Any:
    """One matrix product: kept dimensions of `a` by summed ones, by kept dimensions of `b`."""
    kept_a = [d for d in range(a._array.ndim) if d not in left]
    kept_b = [d for d in range(b._array.ndim) if d not in right]
    shape_a = tuple(a._array.shape[d] for d in kept_a)
    shape_b = tuple(b._array.shape[d] for d in kept_b)
    inner = math.prod(a._array.shape[d] for d in left)
    rows = F.reshape(F.permute(a, dims=(*kept_a, *left)), shape=(math.prod(shape_a), inner))
    columns = F.reshape(F.permute(b, dims=(*right, *kept_b)), shape=(inner, math.prod(shape_b)))
    return F.reshape(F.mm(rows, columns), shape=(*shape_a, *shape_b))


def trace(input: Tensor) -> Any:
    """The sum of the diagonal of a matrix."""
    if input._array.ndim != 2:
        raise locate(RuntimeError("trace: expected a matrix"))
    return F.sum_squeeze(F.diagonal(input, offset=0, dim1=0, dim2=1), dims=(0,))


def chain_matmul(*matrices: Tensor) -> Any:
    """The product of several matrices."""
    result: Any = matrices[0]
    for matrix in matrices[1:]:
        result = F.mm(result, matrix)
    return result
