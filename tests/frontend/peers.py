"""The same Python text run with graphjit and with PyTorch, and what came of it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import graphjit as gj

try:
    import torch
except ImportError:
    torch = None  # parity tests are skipped


def names(module: Any, setup: str = "") -> dict[str, Any]:
    """The namespace of a program: the library as `t`, NumPy, and what `setup` makes."""
    space: dict[str, Any] = {"t": module, "np": np}
    exec(setup, space)
    return space


def outcome(module: Any, text: str, setup: str = "") -> Any:
    """What `text` gives: a plain value, or the class and first line of the error it raises."""
    space = names(module, setup)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(eval(text, space))
        except Exception as error:  # noqa: BLE001
            return type(error).__name__, str(error).split("\n")[0]


def plain(value: Any) -> Any:
    """Tensors as dtype, shape, values and whether they require grad; the rest as it is."""
    if isinstance(value, (tuple, list)):
        return tuple(plain(v) for v in value)
    if isinstance(value, gj.Tensor) or (torch is not None and isinstance(value, torch.Tensor)):
        array = value.detach().numpy()
        return str(value.dtype).split(".")[1], array.shape, array.copy(), value.requires_grad
    if isinstance(value, gj.dtype) or (torch is not None and isinstance(value, torch.dtype)):
        return str(value).split(".")[1]
    return value


def assert_same(text: str, setup: str = "", rtol: float = 1e-6, atol: float = 1e-6) -> None:
    """`text` gives with graphjit what it gives with PyTorch, errors included."""
    ours, theirs = outcome(gj, text, setup), outcome(torch, text, setup)
    compare(ours, theirs, text, rtol, atol)


def compare(ours: Any, theirs: Any, text: str, rtol: float, atol: float) -> None:
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        assert len(ours) == len(theirs), f"{text}\nours:   {ours}\ntheirs: {theirs}"
        for a, b in zip(ours, theirs, strict=True):
            compare(a, b, f"{text}\nours:   {ours}\ntheirs: {theirs}", rtol, atol)
    elif type(ours) is type(theirs) and isinstance(ours, (np.ndarray, float)):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol, err_msg=text)
    else:
        assert ours == theirs, text
