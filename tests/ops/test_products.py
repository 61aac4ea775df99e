"""Products of matrices through an sgemm given by its address."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from graphjit.ops import products


def onednn_sgemm() -> int | None:
    """The address in oneDNN, whose wheel puts the library where no loader searches."""
    path = Path(sys.prefix) / "lib" / "libdnnl.so.3"
    if not path.exists():
        return None
    return ctypes.cast(ctypes.CDLL(str(path)).dnnl_sgemm, ctypes.c_void_p).value


@pytest.fixture(autouse=True)
def small_products_too(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if onednn_sgemm() is None:
        pytest.skip("no oneDNN")
    monkeypatch.setattr(products, "LARGE", 0)
    before = products._provider.find, products._provider.sgemm
    products.provide(onednn_sgemm)
    yield
    products._provider.find, products._provider.sgemm = before


def layouts(rows: int, columns: int) -> Iterator[np.ndarray]:
    """Matrices by rows, by columns, with gaps, with gaps by columns, and with no run at all."""
    rng = np.random.default_rng(rows)

    def random(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32)

    yield random(rows, columns)
    yield random(columns, rows).T
    yield random(rows, columns + 3)[:, 2:-1]
    yield random(columns + 3, rows)[2:-1].T
    yield random(columns + 3, rows + 2)[2:-1, 1:-1].T
    yield random(2 * rows, 2 * columns)[::2, ::2]
    yield np.broadcast_to(random(1, columns), (rows, columns))


def test_every_layout() -> None:
    """Whatever the strides of the operands, the product is NumPy's."""
    for a in layouts(5, 7):
        for b in layouts(7, 3):
            np.testing.assert_allclose(products.dot(a, b), a @ b, 1e-5, 1e-5)


def test_batches() -> None:
    """Batch dimensions broadcast, and may be empty."""
    for a, b in (((2, 1, 3, 4), (5, 4, 2)), ((0, 3, 4), (4, 2)), ((2, 3, 4), (2, 4, 5))):
        x, y = np.random.default_rng(0).random(a, np.float32), np.ones(b, np.float32)
        np.testing.assert_allclose(products.batched_dot(np, x, y), x @ y, 1e-5)


def test_into() -> None:
    """The result goes to the array that is given."""
    a, b = next(layouts(4, 6)), next(layouts(6, 2))
    out = np.full((4, 2), np.nan, np.float32)
    products.dot_into(a, b, out)
    np.testing.assert_allclose(out, a @ b, 1e-5, 1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (0, 3, 2), (2, 0, 3), (2, 3, 0), (1, 5, 1)])
def test_thin_and_empty(shape: tuple[int, int, int]) -> None:
    """Extents of one and of zero; an empty sum is zero."""
    m, k, n = shape
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    np.testing.assert_array_equal(products.dot(a, b), np.full((m, n), k, np.float32))


def test_mismatch() -> None:
    with pytest.raises(ValueError, match="aligned"):
        products.dot(np.ones((2, 3), np.float32), np.ones((4, 5), np.float32))
