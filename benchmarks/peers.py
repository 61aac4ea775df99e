"""The five peers: how each is imported, given its arrays, and made to run a workload's step."""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .workloads import WORKLOADS, Step

#: How a peer's compile step is switched on: the attribute of its namespace that decorates a step.
COMPILER = {"torch_compile": "compile", "graphjit_traced": "trace"}
NAMESPACE = {
    "torch": "torch",
    "torch_compile": "torch",
    "jax": "jax",
    "graphjit": "graphjit",
    "graphjit_traced": "graphjit",
}
PEERS = tuple(NAMESPACE)
COMPILED = ("torch_compile", "jax", "graphjit_traced")


@dataclass(frozen=True)
class Runner:
    """One workload of one peer: `step(*map(to_tensor, arrays))`, whose result `to_array` reads."""

    step: Step
    to_tensor: Callable[[np.ndarray], Any]
    to_array: Callable[[Any], np.ndarray]


def load(peer: str) -> Any:
    """Import the peer's package; ImportError where it is not installed."""
    module = importlib.import_module(NAMESPACE[peer])
    if peer == "jax":
        importlib.import_module("benchmarks.jax_workloads")
    return module


def build(peer: str, T: Any, workload: str) -> Runner:
    """The workload in the loaded peer `T`."""
    if peer == "jax":
        from .jax_workloads import BUILD

        return Runner(BUILD[workload](), T.numpy.asarray, np.asarray)
    step = WORKLOADS[workload].build(T)
    if peer in COMPILER:
        step = getattr(T, COMPILER[peer])(step)
    return Runner(step, lambda array: T.from_numpy(array.copy()), lambda t: t.detach().numpy())


def environment(threads: int, cache: str) -> dict[str, str]:
    """Variables that hold every peer to `threads` threads and to kernel caches under `cache`."""
    pools = ("OMP", "OPENBLAS", "MKL", "NUMBA", "GRAPHJIT")
    return {
        **{f"{pool}_NUM_THREADS": str(threads) for pool in pools},
        "GRAPHJIT_CACHE_DIR": os.path.join(cache, "graphjit"),
        "TORCHINDUCTOR_CACHE_DIR": os.path.join(cache, "inductor"),
        "JAX_COMPILATION_CACHE_DIR": os.path.join(cache, "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_PLATFORMS": "cpu",
    }


def flush_denormals() -> None:
    """Treat denormal floats as zero in this thread and in those it starts later (x86-64, glibc).

    Set through the floating-point environment of libm, so that it is the same for every peer.
    """
    if platform.machine() not in ("x86_64", "AMD64") or platform.system() != "Linux":
        return
    libm = ctypes.CDLL("libm.so.6")
    environment = (ctypes.c_uint32 * 8)()  # fenv_t: 28 bytes of x87 state, then MXCSR
    libm.fegetenv(environment)
    environment[7] |= 0x8040  # flush to zero, denormals are zero
    libm.fesetenv(environment)
