"""Gradients checked against finite differences, element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..frontend.autograd import grad
from ..frontend.tensor import Tensor


class GradcheckError(RuntimeError):
    """A gradient differs from what finite differences give."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    **options: Any,
) -> bool:
    """Whether the Jacobian of `func` from backward agrees with central differences of width `eps`.

    Inputs that require grad should be float64. GradcheckError (or False) where an element differs
    by more than `atol + rtol * |expected|`.
    """
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    try:
        for number, output in enumerate(_outputs(func, given)):
            _check_output(func, given, number, output, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    gen_non_contig_grad_outputs: bool = False,
    **options: Any,
) -> bool:
    """`gradcheck` of the gradients of `func`: its second derivatives."""
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    outputs = _outputs(func, given)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        seeds = [Tensor._of(rng.standard_normal(o._array.shape).astype(o._array.dtype))
                 for o in outputs]
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    for seed in seeds:
        seed.requires_grad_()
    count = len(given)

    def gradients(*args: Any) -> tuple[Any, ...]:
        points = args[:count]
        wanted = [x for x in points if isinstance(x, Tensor) and x.requires_grad]
        found = grad(_outputs(func, points), wanted, args[count:], create_graph=True,
                     allow_unused=True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    return gradcheck(gradients, (*given, *seeds), **options)


def _outputs(func: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    result = func(*inputs)
    results = result if isinstance(result, (tuple, list)) else [result]
    return [out for out in results if isinstance(out, Tensor) and out.requires_grad]


def _check_output(
    func: Callable[..., Any], inputs: Sequence[Any], number: int, output: Tensor,
    eps: float, atol: float, rtol: float,
) -> None:
    for place, x in enumerate(inputs):
        if not (isinstance(x, Tensor) and x.requires_grad):
            continue
        expected = _numerical(func, inputs, number, x, eps)
        found = _analytical(output, x)
        if not np.allclose(found, expected, rtol=rtol, atol=atol):
            raise GradcheckError(
                f"Jacobian mismatch for output {number} with respect to input {place},\n"
                f"numerical:{expected}\nanalytical:{found}\n"
            )


def _numerical(
    func: Callable[..., Any], inputs: Sequence[Any], number: int, x: Tensor, eps: float
) -> np.ndarray:
    """One row for each element of `x`, one column for each element of the output."""
    rows = []
    for place in np.ndindex(*x._array.shape):
        before = x._array[place].copy()
        values = []
        for step in (eps, -eps):
            x._array[place] = before + step
            values.append(_value(func, inputs, number))
        x._array[place] = before
        rows.append((values[0] - values[1]).reshape(-1) / (2 * eps))
    return np.array(rows)


def _value(func: Callable[..., Any], inputs: Sequence[Any], number: int) -> np.ndarray:
    result = func(*inputs)
    results = result if isinstance(result, (tuple, list)) else [result]
    tracked = [out for out in results if isinstance(out, Tensor)]
    return tracked[number].detach()._array.copy()


def _analytical(output: Tensor, x: Tensor) -> np.ndarray:
    columns = []
    for place in np.ndindex(*output._array.shape):
        seed = np.zeros(output._array.shape, output._array.dtype)
        seed[place] = 1
        (g,) = grad([output], [x], [Tensor._of(seed)], retain_graph=True, allow_unused=True)
        columns.append(np.zeros(x._array.size) if g is None else g._array.reshape(-1))
    return np.array(columns).T.reshape(x._array.size, -1)


__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]
