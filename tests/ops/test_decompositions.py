"""Gradients of factorisations that read one half of a symmetric matrix, and their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphjit
from graphjit.frontend.tape import TENSORS as F

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]


def positive(x: Any) -> Any:
    """A symmetric, positive-definite matrix that depends on all of `x`."""
    return x @ x.transpose(-1, -2) + 0.5 * (x + x.transpose(-1, -2)) + 4 * x[..., :1, :1] ** 2


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (F.linalg_cholesky, torch.linalg.cholesky),
        (lambda x: F.linalg_eigh(x)[0], lambda x: torch.linalg.eigh(x)[0]),
        (lambda x: F.linalg_eigh(x)[1] ** 2, lambda x: torch.linalg.eigh(x)[1] ** 2),
    ],
)
def test_symmetric(ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
    """Through a matrix made symmetric the gradient is PyTorch's."""
    array = np.random.default_rng(0).standard_normal((2, 4, 4)) + 2 * np.eye(4)
    x = graphjit.tensor(array, requires_grad=True)
    y = torch.tensor(array, requires_grad=True)
    weights = np.random.default_rng(1).standard_normal(theirs(positive(y)).shape)
    (ours(positive(x)) * graphjit.tensor(weights)).sum().backward()
    (theirs(positive(y)) * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), 1e-7, 1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs", "shapes"),
    [
        (F.linalg_inv, torch.linalg.inv, [(2, 3)]),
        (F.linalg_inv, torch.linalg.inv, [(2,)]),
        (F.linalg_det, torch.linalg.det, [(2, 3)]),
        (F.linalg_cholesky, torch.linalg.cholesky, [(2, 3)]),
        (F.linalg_eigh, torch.linalg.eigh, [(2, 3)]),
        (F.linalg_qr, torch.linalg.qr, [(2,)]),
        (F.linalg_svd, torch.linalg.svd, [(2,)]),
        (F.linalg_solve, torch.linalg.solve, [(2, 2), (3, 2)]),
        (F.linalg_solve, torch.linalg.solve, [(2, 2), (2, 2)]),
    ],
)
def test_errors(ours: Any, theirs: Any, shapes: list[tuple[int, ...]]) -> None:
    """Shapes that do not fit, and singular systems."""
    with pytest.raises(RuntimeError) as expected:
        theirs(*(torch.ones(shape) for shape in shapes))
    with pytest.raises(RuntimeError) as actual:
        ours(*(graphjit.ones(shape) for shape in shapes))
    assert str(actual.value).split("\n")[0] == str(expected.value).split("\n")[0]
