"""What this machine reaches on one thread: the rates that a program's times are compared with.

Measured when first asked for, by a copy too large for the caches and by products of matrices that
fit into them; kept beside the compiled kernels.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from ..dtypes import DType, float32, float64
from . import cache, gemm, library, store
from .instruction import External, Layout
from .program import Program

_COPIED = 64 * 2**20  # bytes
_EXTENT = 512  # rows and columns of the matrices
_SMALL = 64  # those of matrices that BLAS libraries multiply without the help of other threads
_REPEATS = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes a second read and written in copying; operations a second in products, by dtype."""

    copy: float
    float32: float
    float64: float

    def flops(self, dtype: DType | None) -> float:
        """Operations a second in `dtype`."""
        return self.float64 if dtype is float64 else self.float32

    def __str__(self) -> str:
        return (
            f"limits of one thread: {1e-9 * self.copy:.1f} GB/s copied, "
            f"{1e-9 * self.float32:.1f} GF/s in float32 products, {1e-9 * self.float64:.1f} in "
            "float64"
        )


@functools.cache
def limits() -> Limits:
    """The limits of this machine: as measured once, or now."""
    name = hashlib.sha256(repr(_machine()).encode()).hexdigest()[:40] + ".limits"
    known = _decode(store.read(name))
    if known is None:
        known = Limits(_copy_rate(), _product_rate(float32), _product_rate(float64))
        store.write(name, json.dumps(asdict(known)).encode())
    return known


def _machine() -> dict[str, object]:
    """All that the limits depend on: the computer, and the kernels that products are made by."""
    return cache.environment() | {"computer": platform.node(), "kernels": library.digest()}


def _decode(content: bytes | None) -> Limits | None:
    try:
        return None if content is None else Limits(**json.loads(content))
    except (ValueError, TypeError):  # of another version
        return None


def _copy_rate() -> float:
    source, target = np.ones(_COPIED, np.uint8), np.zeros(_COPIED, np.uint8)
    return 2 * _COPIED / _shortest(lambda: np.copyto(target, source))


def _product_rate(dtype: DType) -> float:
    """The better of our kernel and NumPy's library: a limit must not depend on our own code."""
    shape = (_EXTENT, _EXTENT)
    a, b, c = (Layout.contiguous(External(slot), shape, dtype) for slot in range(3))
    program = Program([gemm.matmul(a, b, c)], arrays=3)
    arrays = [np.ones(shape, dtype.numpy) for _ in range(3)]
    ours = 2 * _EXTENT**3 / _shortest(lambda: program(*arrays))
    x, y, out = (np.ones((_SMALL, _SMALL), dtype.numpy) for _ in range(3))
    return max(ours, 2 * _SMALL**3 / _shortest(lambda: np.dot(x, y, out=out)))


def _shortest(action: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)
