"""Kernels for machines with narrower vectors than this one's compute the same."""

import pytest
import test_convolution
import test_gemm
import test_pooling

from graphjit import config
from graphjit.runtime import cache, library, objects
from graphjit.runtime.language import types


@pytest.fixture(params=[16, 32, 64], autouse=True)
def width(request, monkeypatch, tmp_path):
    """Bytes of a vector; kernels are compiled anew for it."""
    for module in (objects, types):
        monkeypatch.setattr(module, "vector_bytes", lambda: request.param)
    monkeypatch.setattr(cache, "_addresses", {})
    before = config.override("CACHE_DIR", str(tmp_path))
    library.kernel.cache_clear()
    yield request.param
    library.kernel.cache_clear()
    config.override("CACHE_DIR", before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products(dtype):
    for sizes in ((17, 33, 65), (64, 100, 300), (7, 1, 9), (1, 50, 20)):
        test_gemm.test_every_transposition(dtype, *sizes)


@pytest.mark.parametrize("case", [test_convolution.CASES[i] for i in (1, 2, 3, 10)])
def test_convolutions(case):
    test_convolution.test_against_sums_over_windows(case, "float32", None)


@pytest.mark.parametrize("case", [test_pooling.CASES[i] for i in (1, 2, 3, 7, 9)])
def test_pools(case):
    test_pooling.test_against_loops_over_windows(case, "float32", "special")
