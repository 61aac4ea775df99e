"""GPUs: there are none in this build, and every question is answered accordingly."""

from __future__ import annotations

from typing import Any, NoReturn


def is_available() -> bool:
    """Whether there is a GPU to compute on."""
    return False


def device_count() -> int:
    """The number of GPUs."""
    return 0


def is_initialized() -> bool:
    """Whether a GPU has been used."""
    return False


def _no_gpu() -> NoReturn:
    raise AssertionError("Torch not compiled with CUDA enabled")


def current_device() -> int:
    """The index of the GPU in use. AssertionError where there is none."""
    _no_gpu()


def get_device_name(device: Any = None) -> str:
    """The name of a GPU. AssertionError where there is none."""
    _no_gpu()


def set_device(device: Any) -> None:
    """Choose the GPU to use. AssertionError where there is none."""
    _no_gpu()


def synchronize(device: Any = None) -> None:
    """Wait for a GPU. AssertionError where there is none."""
    _no_gpu()


def empty_cache() -> None:
    """Give cached GPU memory back: there is none."""


def manual_seed(seed: int) -> None:
    """Seed the generator of the GPU in use: there is none to seed."""


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all GPUs: there are none to seed."""
