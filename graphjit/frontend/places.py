"""Where a replay finds the arrays that it takes, and how it makes the tensors that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .dispatch import apply
from .mode import grad_mode
from .recording import (
    Argument,
    AttributeTensor,
    Captured,
    Chain,
    Existing,
    Fresh,
    GradOf,
    NumberArgument,
    Scalar,
    Source,
)
from .tape import Node
from .tensor import Tensor


def passed_array(
    source: Any, dtype: np.dtype, tensors: Sequence[Tensor], numbers: Sequence[float]
) -> np.ndarray:
    """The array of an input that is another one at each call."""
    kind = type(source)
    if kind is Argument:
        argument: Tensor = tensors[source.position]
        return argument._array
    if kind is NumberArgument:
        return np.array(numbers[source.position])
    if kind is GradOf:
        return grad_of(source, tensors)._array
    found = source.source.read() if kind is Scalar else source.read()
    array: np.ndarray = np.asarray(found._array if kind is AttributeTensor else found, dtype)
    return array


def fresh_result(
    out: Fresh,
    outputs: Sequence[np.ndarray],
    bases: dict[int, Tensor],
    ends: dict[int, Node],
    node: Node | None,
) -> Tensor:
    """A tensor that the call has computed.

    `bases` has what several results are views of, and `ends`, by id of those of the recorded call,
    nodes of used-up tapes.
    """
    if out.chain is None:
        tensor = Tensor._of(outputs[out.place])
    else:
        if out.place not in bases:
            bases[out.place] = Tensor._of(outputs[out.place])
        tensor = _seen_through(bases[out.place].detach(), out.chain)
        if not out.joined:
            tensor = Tensor._of(tensor._array)
    if out.requires_grad:
        tensor._requires_grad = True
        end, tensor._output_number = out.tape
        if out.cotangent is not None:
            tensor._grad_fn, tensor._output_number = node, out.cotangent
        elif end is not None:
            if id(end) not in ends:
                ends[id(end)] = end.twin()
            tensor._grad_fn = ends[id(end)]
    return tensor


def existing_result(out: Existing, tensors: Sequence[Tensor]) -> Tensor:
    """A tensor from outside, or a view of one."""
    source = out.source
    if type(source) is Argument:
        base = tensors[source.position]
    elif type(source) is AttributeTensor:
        base = source.read()
    else:
        base = source.tensor if type(source) is Captured else grad_of(source, tensors)
    if out.same:
        return base
    detached = out.detached or (base._requires_grad and not out.requires_grad)
    if detached:
        return _seen_through(base.detach(), out.chain)
    with grad_mode(True):  # as where the function has made it, whatever holds around the call
        return _seen_through(base, out.chain)


def _seen_through(base: Tensor, chain: Chain) -> Tensor:
    for op, attrs in chain:
        base = apply(op, (base,), attrs)
    return base


def resolve(owner: Tensor | int, tensors: Sequence[Tensor]) -> Tensor:
    """The tensor itself, or the argument at a position."""
    return tensors[owner] if isinstance(owner, int) else owner


def grad_of(source: Any, tensors: Sequence[Tensor]) -> Tensor:
    """The gradient that an input stands for."""
    grad = resolve(source.owner, tensors)._grad
    assert grad is not None
    return grad


def array_of(source: Source, tensors: Sequence[Tensor]) -> np.ndarray | None:
    """The array of a tensor among the inputs; None where there is none."""
    if isinstance(source, GradOf):
        grad = resolve(source.owner, tensors)._grad
        return None if grad is None else grad._array
    assert isinstance(source, (Argument, Captured))
    tensor = tensors[source.position] if isinstance(source, Argument) else source.tensor
    return tensor._array
