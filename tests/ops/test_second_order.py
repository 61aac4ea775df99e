"""Gradients of gradients: the vjps on tensors, recorded on the tape and differentiated again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from calling import describe, differentiable, directions, outputs_of, run
from test_matrix import analytic, each_op, floating, gradient_rows

import graphjit
from graphjit.frontend.tape import TENSORS
from graphjit.ops import Op
from graphjit.ops.core import Sample

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
Arrays = list[Any]


def as_tensors(sample: Sample, needs: list[bool]) -> Arrays:
    """The operands; those that need a gradient are leaves."""
    return [
        graphjit.tensor(x, requires_grad=need) if isinstance(x, np.ndarray) else x
        for x, need in zip(sample.inputs, needs, strict=True)
    ]


def first_order(op: Op, tensors: Arrays, weights: Arrays, attrs: dict[str, Any]) -> Arrays:
    """The gradients, as tensors with a history, of the outputs summed with `weights`."""
    outputs = outputs_of(getattr(TENSORS, op.name)(*tensors, **attrs))
    total = sum(
        (out * graphjit.tensor(w)).sum() for out, w in zip(outputs, weights) if w is not None
    )
    leaves = [x for x in tensors if getattr(x, "requires_grad", False)]
    return list(graphjit.autograd.grad(total, leaves, create_graph=True, allow_unused=True))


def difference(
    op: Op, sample: Sample, weights: Arrays, step: Any, i: int, along: Arrays
) -> float:
    """Central difference of the gradients summed with `along`, as input `i` moves along `step`."""
    size, sides = 1e-6, []
    for sign in (1, -1):
        inputs = list(sample.inputs)
        inputs[i] = np.asarray(inputs[i] + sign * size * step)
        moved = Sample(tuple(inputs), sample.attrs)
        grads = analytic(op, moved, run(op, inputs, sample.attrs), weights)
        found = [g for g in grads if g is not None]
        sides.append(sum(float(np.sum(g * v)) for g, v in zip(found, along, strict=True)))
    return (sides[0] - sides[1]) / (2 * size)


@each_op
def test_second_order(op: Op) -> None:
    """The gradient of a random sum of the gradients, against central differences of the vjps."""
    samples = [s for s in gradient_rows(op) if all(np.size(x) < 500 for x in s.inputs)]
    if not samples:
        pytest.skip("no gradient")
    rng = np.random.default_rng(1)
    for sample in samples:
        needs = differentiable(op, sample.inputs)
        results = run(op, sample.inputs, sample.attrs)
        weights = [w if f else None for w, f in zip(directions(rng, results), floating(results))]
        tensors = as_tensors(sample, needs)
        grads = first_order(op, tensors, weights, sample.attrs)
        leaves = [i for i, need in enumerate(needs) if need]
        along = list(directions(rng, [sample.inputs[i] for i in leaves]))
        terms = [
            (g * graphjit.tensor(v)).sum()
            for g, v in zip(grads, along, strict=True) if g is not None and g.requires_grad
        ]  # fmt: skip
        seconds: Arrays = [None] * len(leaves)
        if terms:
            seconds = list(graphjit.autograd.grad(
                sum(terms), [tensors[i] for i in leaves], allow_unused=True))  # fmt: skip
        for i, second in zip(leaves, seconds, strict=True):
            (step,) = directions(rng, [sample.inputs[i]])
            expected = difference(op, sample, weights, step, i, along)
            actual = 0.0 if second is None else float(np.sum(second.numpy() * step))
            message = f"{describe(op, sample)}, input {i}"
            assert actual == pytest.approx(expected, rel=5e-5, abs=2e-5), message
