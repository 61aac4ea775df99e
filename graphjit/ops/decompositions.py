"""Linear algebra of square matrices and factorisations, by LAPACK on the host.

All take batches of matrices in the last two dimensions. Gradients of factors are those of Giles,
"Collected matrix derivative results for forward and reverse mode AD" (2008), and of Townsend,
"Differentiating the singular value decomposition" (2016).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.graph import Shape, Spec
from .core import Op, arrays_of, broadcast_shapes, declare, dtype_of, type_name
from .sampling import Samples, rows


def _transpose(F: Any, x: Any) -> Any:
    last = len(x.shape) - 1
    return F.transpose(x, dim0=last - 1, dim1=last)


def _identity(F: Any, like: Any, n: int) -> Any:
    positions = [F.arange_like(like, shape=(n, n), dim=dim) for dim in (0, 1)]
    return F.cast(F.eq(*positions), dtype=dtype_of(like))


def _diagonal_matrix(F: Any, values: Any) -> Any:
    n = values.shape[-1]
    return F.mul(F.unsqueeze(values, dim=len(values.shape)), _identity(F, values, n))


def _scale_columns(F: Any, x: Any, factors: Any) -> Any:
    return F.mul(x, F.unsqueeze(factors, dim=len(factors.shape) - 1))


def check_matrices(name: str, spec: Spec, square: bool) -> None:
    """RuntimeError, in PyTorch's words, unless `spec` is of floating-point (square) matrices."""
    if len(spec.shape) < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if square and spec.shape[-1] != spec.shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are "
            f"{spec.shape[-2]} by {spec.shape[-1]} matrices"
        )
    if spec.dtype.category < 2:
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. "
            f"Got {type_name(spec.dtype)}"
        )


def _lapack(
    name: str,
    compute: Callable[[Any, Any], Any],
    shapes: Callable[[Shape], tuple[Shape, ...]],
    failure: str = "did not converge",
    square: bool = True,
    **fields: Any,
) -> Op:
    """An op on one batch of matrices; `compute(linalg, x)` may raise LAPACK's error."""
    title = name.replace("_", ".", 1)

    def infer(spec: Spec) -> tuple[Spec, ...]:
        check_matrices(title, spec, square)
        return tuple(spec.with_shape(shape) for shape in shapes(spec.shape))

    def eval(xp: Any, x: Any) -> Any:
        if x.ndim < 2 or x.dtype.kind not in "fc" or (square and x.shape[-1] != x.shape[-2]):
            raise TypeError(name)
        try:
            results = compute(xp.linalg, x)
        except np.linalg.LinAlgError:
            raise RuntimeError(f"{title}: {failure}") from None
        if isinstance(results, tuple):
            return tuple(xp.asarray(r, x.dtype) for r in results)
        return xp.asarray(results, x.dtype)

    return declare(name, "opaque", infer=infer, eval=eval, host_only=True, **fields)


def _well_conditioned(reference: Any, grad: bool = True) -> Samples:
    """Samples of matrices with a dominant diagonal, some of a batch."""

    def samples(rng: np.random.Generator) -> Any:
        for shape in ((3, 3), (2, 4, 4), (1, 1)):
            for row in rows(reference, ((shape,), {}), grad=grad)(rng):
                (x,) = row.inputs
                shifted = x / 4 + 2 * np.eye(shape[-1], dtype=x.dtype)
                yield type(row)((shifted,), {}, row.reference, grad)

    return samples


def _same(shape: Shape) -> tuple[Shape, ...]:
    return (shape,)


linalg_inv = _lapack(
    "linalg_inv",
    lambda linalg, x: linalg.inv(x),
    _same,
    "The inversion could not be completed because the input matrix is singular.",
    saves=("out0",),
    vjps=lambda F, g, out: F.neg(
        F.matmul(_transpose(F, out), F.matmul(g, _transpose(F, out)))
    ),
    grad_name="LinalgInvEx",
    samples=_well_conditioned("numpy.linalg.inv"),
)


def _as_matrix(F: Any, x: Any) -> Any:
    """Numbers of a batch as 1 x 1 matrices."""
    return F.reshape(x, shape=(*x.shape, 1, 1))


linalg_det = _lapack(
    "linalg_det",
    lambda linalg, x: linalg.det(x),
    lambda shape: (shape[:-2],),
    saves=("in0", "out0"),
    vjps=lambda F, g, x, out: F.mul(
        _as_matrix(F, F.mul(g, out)), _transpose(F, F.linalg_inv(x))
    ),
    samples=_well_conditioned("numpy.linalg.det"),
)
#: Outputs (sign, logarithm of the absolute value).
linalg_slogdet = _lapack(
    "linalg_slogdet",
    lambda linalg, x: tuple(linalg.slogdet(x)),
    lambda shape: (shape[:-2], shape[:-2]),
    saves=("in0",),
    vjps=lambda F, g, x: F.zeros_like(x) if g[1] is None else F.mul(
        _as_matrix(F, g[1]), _transpose(F, F.linalg_inv(x))
    ),
    n_outputs=2,
    samples=_well_conditioned(lambda x: tuple(np.linalg.slogdet(x))),
)  # fmt: skip


def _cholesky_vjp(F: Any, g: Any, out: Any) -> Any:
    """Half of inverse(L)^T (P + P^T) inverse(L), P the lower half of L^T g, its diagonal halved."""
    n = out.shape[-1]
    lower = F.tril(F.matmul(_transpose(F, out), g), diagonal=0)
    lower = F.sub(lower, F.mul(F.mul(lower, _identity(F, out, n)), 0.5))
    middle = F.mul(F.add(lower, _transpose(F, lower)), 0.5)
    inverse = F.linalg_inv(out)
    return F.matmul(_transpose(F, inverse), F.matmul(middle, inverse))


#: The lower factor of symmetric matrices, of which the lower half is read.
linalg_cholesky = _lapack(
    "linalg_cholesky",
    lambda linalg, x: linalg.cholesky(x),
    _same,
    "The factorization could not be completed because the input is not positive-definite.",
    saves=("out0",),
    vjps=_cholesky_vjp,
    grad_name="LinalgCholeskyEx",
    samples=_well_conditioned("numpy.linalg.cholesky", grad=False),
)


def _check_solve(name: str, a: Spec, b: Spec, left: bool) -> tuple[Spec, ...]:
    check_matrices(name, a, square=True)
    if len(b.shape) < 2 or b.shape[-2 if left else -1] != a.shape[-1]:
        equation = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {equation} "
            f"({a.shape[-2]}x{a.shape[-1]} and {'x'.join(map(str, b.shape[-2:]))})"
        )
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type "
            f"{type_name(a.dtype)} and B of type {type_name(b.dtype)} instead"
        )
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return (a.with_shape((*batch, *b.shape[-2:])),)


def _eval_solve(xp: Any, a: Any, b: Any) -> Any:
    if a.ndim < 2 or b.ndim < 2 or a.dtype != b.dtype or a.dtype.kind not in "fc":
        raise TypeError("solve")
    try:
        return xp.linalg.solve(a, b)
    except np.linalg.LinAlgError as error:
        if "ingular" not in str(error):
            raise
        message = "torch.linalg.solve: The solver failed because the input matrix is singular."
        raise RuntimeError(message) from None


def _solve_grad_left(F: Any, g: Any, a: Any, out: Any) -> Any:
    right = F.linalg_solve(_transpose(F, a), g)
    return F.sum_to(F.neg(F.matmul(right, _transpose(F, out))), shape=a.shape)


#: X with A X = B; both are (batches of) matrices.
linalg_solve = declare(
    "linalg_solve",
    "opaque",
    infer=lambda a, b: _check_solve("linalg.solve", a, b, True),
    eval=_eval_solve,
    saves=("in0", "out0", "shape1"),
    vjps=(
        lambda F, g, a, out, shape: _solve_grad_left(F, g, a, out),
        lambda F, g, a, out, shape: F.sum_to(
            F.linalg_solve(_transpose(F, a), g), shape=shape
        ),
    ),
    grad_name="LinalgSolveEx",
    host_only=True,
    samples=rows(
        lambda a, b: np.linalg.solve(a, b),
        (((3, 3), (3, 2)), {}), (((2, 3, 3), (3, 1)), {}), (((2, 2), (4, 2, 5)), {}),
    ),
)  # fmt: skip


def _triangle(F: Any, a: Any, upper: bool, unitriangular: bool) -> Any:
    a = F.triu(a, diagonal=int(unitriangular)) if upper else F.tril(a, diagonal=-int(unitriangular))
    return F.add(a, _identity(F, a, a.shape[-1])) if unitriangular else a


def _eval_solve_triangular(
    xp: Any, a: Any, b: Any, upper: bool, left: bool, unitriangular: bool
) -> Any:
    if a.ndim < 2 or b.ndim < 2 or a.dtype != b.dtype or a.dtype.kind not in "fc":
        raise TypeError("solve_triangular")
    a = _triangle(arrays_of(xp), a, upper, unitriangular)
    if left:
        return xp.linalg.solve(a, b)
    return xp.linalg.solve(a.swapaxes(-1, -2), b.swapaxes(-1, -2)).swapaxes(-1, -2).copy()


def _solve_triangular_vjps() -> tuple[Any, Any]:
    def grad_b(F: Any, g: Any, a: Any, left: bool, upper: bool, **attrs: Any) -> Any:
        return F.linalg_solve_triangular(
            _transpose(F, a), g, upper=not upper, left=left, **attrs
        )

    def grad_a(F: Any, g: Any, a: Any, out: Any, shape: Shape, **attrs: Any) -> Any:
        right = grad_b(F, g, a, **attrs)
        product = F.matmul(right, _transpose(F, out))
        if not attrs["left"]:
            product = F.matmul(_transpose(F, out), right)
        edge = int(attrs["unitriangular"])
        half = F.triu(product, diagonal=edge) if attrs["upper"] else F.tril(product, diagonal=-edge)
        return F.sum_to(F.neg(half), shape=a.shape)

    return grad_a, lambda F, g, a, out, shape, **attrs: F.sum_to(
        grad_b(F, g, a, **attrs), shape=shape
    )


#: X with A X = B (or X A = B unless `left`), A's other half not being looked at.
linalg_solve_triangular = declare(
    "linalg_solve_triangular",
    "opaque",
    infer=lambda a, b, upper, left, unitriangular: _check_solve(
        "linalg.solve_triangular", a, b, left
    ),
    eval=_eval_solve_triangular,
    saves=("in0", "out0", "shape1"),
    vjps=_solve_triangular_vjps(),
    host_only=True,
    samples=rows(
        None,
        *((((3, 3), (3, 2) if left else (2, 3)), {"upper": upper, "left": left,
                                                  "unitriangular": unit})
          for upper in (True, False) for left in (True, False) for unit in (True, False)),
    ),
)  # fmt: skip


def _qr_shapes(shape: Shape) -> tuple[Shape, ...]:
    *batch, m, n = shape
    k = min(m, n)
    return (*batch, m, k), (*batch, k, n)


def _qr_vjp(F: Any, g: Any, q: Any, r: Any) -> Any:
    """(gQ + Q sym(R gR^T - gQ^T Q)) inverse(R)^T, sym the lower half mirrored; tall matrices."""
    if r.shape[-2] != r.shape[-1]:
        raise RuntimeError("linalg.qr: gradients are for matrices with no more columns than rows")
    g_q = F.zeros_like(q) if g[0] is None else g[0]
    g_r = F.zeros_like(r) if g[1] is None else g[1]
    m = F.sub(F.matmul(r, _transpose(F, g_r)), F.matmul(_transpose(F, g_q), q))
    mirrored = F.add(F.tril(m, diagonal=0), _transpose(F, F.tril(m, diagonal=-1)))
    total = F.add(g_q, F.matmul(q, mirrored))
    return F.linalg_solve_triangular(
        _transpose(F, r), total, upper=False, left=False, unitriangular=False
    )


#: Outputs (Q, R), reduced.
linalg_qr = _lapack(
    "linalg_qr",
    lambda linalg, x: tuple(linalg.qr(x)),
    _qr_shapes,
    square=False,
    saves=("out0", "out1"),
    vjps=_qr_vjp,
    n_outputs=2,
    samples=rows(lambda x: tuple(np.linalg.qr(x)), *(((s,), {}) for s in ((3, 3), (2, 5, 3)))),
)


def _differences(F: Any, values: Any) -> Any:
    """1 / (values[j] - values[i]), and 0 on the diagonal."""
    last, n = len(values.shape), values.shape[-1]
    gaps = F.sub(F.unsqueeze(values, dim=last - 1), F.unsqueeze(values, dim=last))
    off = F.sub(1, _identity(F, values, n))
    return F.div(off, F.add(gaps, _identity(F, values, n)))


def _eigh_vjp(F: Any, g: Any, values: Any, vectors: Any) -> Any:
    flipped = _transpose(F, vectors)
    inner = None if g[0] is None else _diagonal_matrix(F, g[0])
    if g[1] is not None:
        turned = F.mul(F.matmul(flipped, g[1]), _differences(F, values))
        inner = turned if inner is None else F.add(inner, turned)
    return F.matmul(vectors, F.matmul(inner, flipped))


#: Of symmetric matrices, of which the lower half is read: (eigenvalues ascending, eigenvectors).
linalg_eigh = _lapack(
    "linalg_eigh",
    lambda linalg, x: tuple(linalg.eigh(x)),
    lambda shape: (shape[:-1], shape),
    saves=("out0", "out1"),
    vjps=_eigh_vjp,
    n_outputs=2,
    samples=rows(
        lambda x: tuple(np.linalg.eigh(x)), *(((s,), {}) for s in ((3, 3), (2, 4, 4))), grad=False
    ),
)


def _svd_shapes(shape: Shape) -> tuple[Shape, ...]:
    *batch, m, n = shape
    k = min(m, n)
    return (*batch, m, k), (*batch, k), (*batch, k, n)


def _outside(F: Any, basis: Any, x: Any) -> Any:
    """The part of `x` orthogonal to the columns of `basis`."""
    return F.sub(x, F.matmul(basis, F.matmul(_transpose(F, basis), x)))


def _svd_vjp(F: Any, g: Any, u: Any, s: Any, vh: Any) -> Any:
    v = _transpose(F, vh)
    inner = None if g[1] is None else _diagonal_matrix(F, g[1])
    gaps = _differences(F, F.mul(s, s))
    extra = []
    if g[0] is not None:
        turned = F.matmul(_transpose(F, u), g[0])
        part = _scale_columns(F, F.mul(F.sub(turned, _transpose(F, turned)), gaps), s)
        inner = part if inner is None else F.add(inner, part)
        extra.append(F.matmul(_scale_columns(F, _outside(F, u, g[0]), F.reciprocal(s)), vh))
    if g[2] is not None:
        g_v = _transpose(F, g[2])
        turned = F.matmul(vh, g_v)
        part = F.mul(F.sub(turned, _transpose(F, turned)), gaps)
        part = F.mul(F.unsqueeze(s, dim=len(s.shape)), part)
        inner = part if inner is None else F.add(inner, part)
        scaled = _scale_columns(F, _outside(F, v, g_v), F.reciprocal(s))
        extra.append(F.matmul(u, _transpose(F, scaled)))
    total = F.matmul(u, F.matmul(inner, vh))
    for part in extra:
        total = F.add(total, part)
    return total


#: Outputs (U, singular values descending, V transposed), reduced.
linalg_svd = _lapack(
    "linalg_svd",
    lambda linalg, x: tuple(linalg.svd(x, full_matrices=False)),
    _svd_shapes,
    square=False,
    saves=("out0", "out1", "out2"),
    vjps=_svd_vjp,
    n_outputs=3,
    samples=rows(
        lambda x: tuple(np.linalg.svd(x, full_matrices=False)),
        *(((s,), {}) for s in ((3, 3), (2, 5, 3), (3, 5))),
    ),
)
