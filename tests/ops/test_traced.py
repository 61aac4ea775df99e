"""Every op inside a traced function: the compiled program computes what eager computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from calling import describe, differentiable, outputs_of, rows
from test_matrix import each_op

import graphjit
from graphjit.frontend.tape import TENSORS
from graphjit.ops import Op
from graphjit.ops.core import Sample

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::RuntimeWarning")]


def chosen(op: Op) -> list[Sample]:
    """Two of the op's samples, in float32 where it has floats."""
    found = [s for s in rows(op) if all(getattr(x, "dtype", None) != np.float64 for x in s.inputs)]
    found = found or rows(op)
    return [found[0], found[len(found) // 2]]


def as_function(op: Op, sample: Sample, grad: bool) -> tuple[Callable[..., Any], list[Any]]:
    """The op as a function of tensors alone, and the tensors."""
    needs = [grad and need for need in differentiable(op, sample.inputs)]
    tensors = [
        graphjit.tensor(x, requires_grad=need)
        for x, need in zip(sample.inputs, needs, strict=True) if isinstance(x, np.ndarray)
    ]  # fmt: skip

    def call(*given: Any) -> tuple[Any, ...]:
        left = iter(given)
        operands = [next(left) if isinstance(x, np.ndarray) else x for x in sample.inputs]
        return outputs_of(getattr(TENSORS, op.name)(*operands, **sample.attrs))

    return call, tensors


def assert_same(actual: Any, expected: Any, message: str) -> None:
    assert actual.dtype is expected.dtype, message
    got, want = actual.detach().numpy(), expected.detach().numpy()
    scale = np.abs(want[np.isfinite(want)]).max(initial=1) if want.dtype.kind == "f" else 1
    np.testing.assert_allclose(got, want, 2e-5, 2e-6 * scale, err_msg=message)


@each_op
def test_forward(op: Op) -> None:
    """Replays give eager's outputs."""
    for sample in chosen(op):
        call, tensors = as_function(op, sample, grad=False)
        traced = graphjit.trace(call)
        for _ in range(3):
            results = traced(*tensors)
        for a, b in zip(results, call(*tensors), strict=True):
            assert_same(a, b, describe(op, sample))


@each_op
def test_backward(op: Op) -> None:
    """So do gradients that the traced function computes itself."""
    for sample in chosen(op):
        call, tensors = as_function(op, sample, grad=True)
        leaves = [x for x in tensors if x.requires_grad]
        if not leaves or not sample.grad:
            continue

        def gradients(*given: Any, call: Any = call) -> Any:
            total = sum((y * y).sum() for y in call(*given) if y.requires_grad)
            wanted = [x for x in given if x.requires_grad]
            return graphjit.autograd.grad(total, wanted, allow_unused=True)

        traced = graphjit.trace(gradients)
        for _ in range(3):
            results = traced(*tensors)
        for a, b in zip(results, gradients(*tensors), strict=True):
            assert (a is None) == (b is None), describe(op, sample)
            if b is not None:
                assert_same(a, b, describe(op, sample))
