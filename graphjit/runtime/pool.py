"""The threads that share the work of programs.

They run native code without the GIL, spin for a while when there is nothing to do, and then sleep.
Programs find them by the address of an int64 array (`words.pool`).
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import platform
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import config
from . import library
from .views import aligned
from .words import pool as word

_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
_MONOTONIC = 6 if sys.platform == "darwin" else 1


def available_threads() -> int:
    """Processors this process may use: by affinity, and by the quota of its control group."""
    if hasattr(os, "sched_getaffinity"):
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    return max(1, min(processors, _quota()))


def _quota() -> int:
    """Processors that the control group allows, rounded down but for less than one."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, int(limit) // int(period))
    except (OSError, ValueError):
        return sys.maxsize


def wanted_threads() -> int:
    """Threads that share work, the caller's among them: `GRAPHJIT_NUM_THREADS`, or all."""
    return config.get_int("NUM_THREADS") or available_threads()


class Pool:
    """So many threads less one, which is the caller's; they live as long as the process."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.words = _new_words(threads)
        self.address = int(self.words.ctypes.data)
        self._workers: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads, unless they run."""
        if not self._workers:
            self.words[word.STOP] = 0
            for number in range(1, self.threads):
                name = f"graphjit-{number}"
                worker = threading.Thread(
                    target=_native("work"), args=(self.address,), name=name, daemon=True
                )
                worker.start()
                self._workers.append(worker)

    def stop(self) -> None:
        """End the threads: what they run must not be unloaded under them."""
        self.words[word.STOP] = 1
        _native("wake_all")(self.address)
        for worker in self._workers:
            worker.join()
        self._workers = []

    def forget(self) -> None:
        """After a fork: there are no threads, nor anyone who has the pool."""
        self._workers = []
        self.words[: word.STOP] = 0
        self.words[word.TICKET] = word.CLOSED


def _new_words(threads: int) -> NDArray[np.int64]:
    words = aligned(8 * word.WORDS).view(np.int64)
    words[:] = 0
    words[word.TICKET] = word.CLOSED
    words[word.THREADS] = threads
    words[word.CLOCK_NUMBER] = _MONOTONIC
    words[word.CLOCK] = _address_of("clock_gettime")
    words[word.SLEEP] = _address_of("usleep")
    number = _FUTEX.get(platform.machine()) if sys.platform == "linux" else None
    if number is not None:
        words[word.SYSCALL], words[word.FUTEX] = _address_of("syscall"), number
    return words


def _address_of(name: str) -> int:
    """The address of a function of the C library; 0 where it has none."""
    function = getattr(ctypes.CDLL(None), name, None)
    return ctypes.cast(function, ctypes.c_void_p).value or 0 if function else 0


@functools.cache
def _native(name: str) -> Callable[[int], None]:
    """`work` or `wake_all` of the pool's kernels."""
    return ctypes.CFUNCTYPE(None, ctypes.c_int64)(library.function("pool", name, None, 1))


_pools: dict[int, Pool] = {}
_lock = threading.Lock()


def shared() -> Pool | None:
    """The pool of as many threads as are wanted, running; None for a single thread."""
    threads = wanted_threads()
    if threads < 2 or sys.platform == "win32":
        return None
    with _lock:
        pool = _pools.get(threads)
        if pool is None:
            if not _pools:
                atexit.register(_stop_all)
            pool = _pools[threads] = Pool(threads)
        pool.start()
        return pool


def _stop_all() -> None:
    for pool in _pools.values():
        pool.stop()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for pool in _pools.values():
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
