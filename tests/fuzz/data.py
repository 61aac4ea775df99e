"""Tensors with the same numbers in every library and run, and what is done with results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from graphjit.frontend.tape import TENSORS
from graphjit.ir import interp
from graphjit.ir.graph import Node

#: relative size of the noise added to floats, while a mismatch is tested for stability
NOISE = {"float16": 2e-3, "float32": 1e-6, "float64": 2e-15}
#: the seed of that noise, where there is any
NOISE_SEED: list[int] = []
#: the part of the results of replays that has it
SHARE = 0.25
#: ops whose float results depend on the order or the rounding of arithmetic inside
ROUNDED = frozenset(
    "sum prod matmul conv2d conv2d_input_grad conv2d_weight_grad cumsum cumprod add sub mul div pow"
    " exp log sqrt sin cos tanh sigmoid erf".split()
)


@contextmanager
def noise(seed: int) -> Iterator[None]:
    """`data`, and the random numbers that graphjit draws, are a little off."""
    NOISE_SEED.append(seed)
    exact = {name: getattr(TENSORS, name) for name in ("uniform", "normal", "exponential")}
    for name, draw in exact.items():
        setattr(TENSORS, name, partial(_drawn, draw))
    try:
        yield
    finally:
        for name, draw in exact.items():
            setattr(TENSORS, name, draw)
        NOISE_SEED.clear()


@contextmanager
def noise_in_replays(seed: int) -> Iterator[None]:
    """Some results of the interpreter's sums and products are a little off, each in its own way.

    Not all, since a replay goes on only while values that the program sees are the same.
    """
    evaluate = interp.evaluate
    interp.evaluate = partial(_evaluated, evaluate, np.random.default_rng(seed))
    try:
        yield
    finally:
        interp.evaluate = evaluate


def _evaluated(
    evaluate: Callable[..., interp.Arrays], rng: np.random.Generator, node: Node, *operands: Any
) -> interp.Arrays:
    results = evaluate(node, *operands)
    if node.op.name not in ROUNDED or rng.random() > SHARE:
        return results
    return tuple(_near(rng, x) if x.dtype.name in NOISE else x for x in results)


def _near(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    return np.asarray(x * (1 + NOISE[x.dtype.name] * rng.standard_normal(x.shape)), x.dtype)


def _drawn(draw: Callable[..., Any], *operands: Any, **attrs: Any) -> Any:
    """A draw, whose elements are a little less in magnitude: a uniform one stays below 1."""
    tensor = draw(*operands, **attrs)
    array = tensor.numpy()
    less = np.random.default_rng(NOISE_SEED[0]).random(array.shape)
    array *= np.asarray(1 - NOISE[array.dtype.name] * less, array.dtype)
    return tensor


def maker(library: Any) -> Callable[..., Any]:
    """The function `data` for `library`, which is graphjit or torch."""

    def data(seed: int, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        """A tensor of `shape`; small round numbers in some places, so that ties occur."""
        return library.from_numpy(_array(seed, tuple(shape), dtype))

    return data


def _array(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype == "uint8":
        return np.array(rng.integers(0, 5, shape), dtype)
    if dtype.startswith("int"):
        return np.array(rng.integers(-3, 4, shape), dtype)
    array = rng.standard_normal(shape)
    array = np.where(rng.random(shape) < 0.2, np.round(array), array)
    if NOISE_SEED:
        off = np.random.default_rng((seed, NOISE_SEED[0])).standard_normal(shape)
        array = array * (1 + NOISE[dtype] * off)
    return np.array(array, dtype)


def loss(result: Any) -> Any:
    """A scalar made of all tensors in `result` that require grad: the sum of their squares."""
    squares = [(t * t).sum().double() for t in _tensors(result) if t.requires_grad]
    if not squares:
        raise ValueError("nothing requires grad")
    return sum(squares[1:], squares[0])


def _tensors(result: Any) -> Iterator[Any]:
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (list, tuple)):
        for item in result:
            yield from _tensors(item)
    elif hasattr(result, "requires_grad"):
        yield result
