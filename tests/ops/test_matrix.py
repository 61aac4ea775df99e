"""Every op against its declaration: `eval`, `infer`, `decompose`, `scalar` and vjps agree.

The rows are the ops' own samples, so that a new op needs no test code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calling import (
    Recording,
    describe,
    differentiable,
    directions,
    evaluate,
    gradients,
    outputs_of,
    rows,
    run,
    saved,
    spec_of,
    summed_to,
)

from graphjit.ops import OPS, Op, blocks
from graphjit.ops.core import ARRAYS, Sample
from graphjit.ops.scalar import INSTRUCTIONS

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
TOLERANCE = {"float16": (2e-3, 1e-3), "float32": (3e-5, 3e-6), "float64": (1e-11, 1e-12)}
#: `fused` holds a graph, which the tests of the passes make.
SAMPLED = [op for op in OPS.values() if op.name != "fused"]
each_op = pytest.mark.parametrize("op", SAMPLED, ids=lambda op: op.name)


def assert_close(actual: Any, expected: Any, message: str) -> None:
    """Equal shapes, and values equal but for rounding in the dtype of `actual`."""
    expected = np.asarray(expected)
    assert actual.shape == expected.shape, message
    rtol, atol = TOLERANCE.get(actual.dtype.name, (0, 0))
    np.testing.assert_allclose(actual, expected, rtol, atol, err_msg=message)


@each_op
def test_has_samples(op: Op) -> None:
    """A declaration without samples is a declaration that nothing tests."""
    assert op.samples is not None and rows(op)


@each_op
def test_eval(op: Op) -> None:
    """`eval` gives arrays equal to the reference, and leaves its operands as they were."""
    for sample in rows(op):
        message = describe(op, sample)
        before = [np.array(x) for x in sample.inputs]
        results = run(op, sample.inputs, sample.attrs)
        for x, copy in zip(sample.inputs, before, strict=True):
            np.testing.assert_array_equal(x, copy, err_msg=message)
        assert all(type(result) is np.ndarray for result in results), message
        if sample.reference is None:
            continue
        expected = outputs_of(sample.reference(*sample.inputs, **sample.attrs))
        for result, value in zip(results, expected, strict=True):
            if value is not None:
                assert_close(result, value, message)


@each_op
def test_infer(op: Op) -> None:
    """A graph of the op alone has the specs that its `eval` gives."""
    for sample in rows(op):
        recording = Recording()
        values = recording.add(op, recording.values(sample.inputs), sample.attrs)
        results = run(op, sample.inputs, sample.attrs)
        actual = tuple(spec_of(result) for result in results)
        assert actual == tuple(value.spec for value in values), describe(op, sample)


@each_op
def test_decompose(op: Op) -> None:
    """The parts compute what the whole does, on arrays and in a graph."""
    if op.decompose is None:
        pytest.skip("primitive")
    for sample in rows(op):
        message = describe(op, sample)
        whole = run(op, sample.inputs, sample.attrs)
        parts = outputs_of(op.decompose(ARRAYS, *sample.inputs, **sample.attrs))
        recording = Recording()
        values = op.decompose(recording.F, *recording.values(sample.inputs), **sample.attrs)
        graph = recording.run(outputs_of(values))
        for a, b, c in zip(whole, parts, graph, strict=True):
            assert spec_of(c) == spec_of(a), message
            assert_close(np.asarray(b), a, message)
            assert_close(c, a, message)


@each_op
def test_scalar(op: Op) -> None:
    """The scalar formula, evaluated over arrays, is `eval`."""
    if op.kind != "pointwise":
        pytest.skip("not pointwise")
    assert op.scalar is not None
    for sample in rows(op):
        (whole,) = run(op, sample.inputs, sample.attrs)
        operands = sample.inputs
        if op.promotion == "logical":
            operands = tuple(np.asarray(x) for x in operands)
        expr = op.scalar(*operands, **sample.attrs)
        value = np.broadcast_to(evaluate(expr, whole.shape), whole.shape)
        assert_close(whole, value, describe(op, sample))


def gradient_rows(op: Op) -> list[Sample]:
    """Samples in float64 whose gradients are defined."""
    return [
        sample
        for sample in rows(op)
        if sample.grad
        and any(differentiable(op, sample.inputs))
        and not any(getattr(x, "dtype", None) in (np.float32, np.float16) for x in sample.inputs)
    ]


def floating(results: tuple[Any, ...]) -> list[bool]:
    return [result.dtype.kind == "f" for result in results]


def analytic(op: Op, sample: Sample, results: Any, grads: Any) -> list[Any]:
    """The vjps on arrays, with broadcasting undone."""
    needs = differentiable(op, sample.inputs)
    kept = saved(op, sample.inputs, results)
    found = gradients(op, ARRAYS, needs, grads, kept, sample.attrs)
    return [
        summed_to(op, gradient, x.shape) if need else None
        for gradient, x, need in zip(found, sample.inputs, needs, strict=True)
    ]


def central_difference(op: Op, sample: Sample, steps: list[Any], weights: list[Any]) -> float:
    """The derivative along `steps` of the outputs summed with `weights`."""
    size, sides = 1e-6, []
    for sign in (1, -1):
        moved = [
            x if step is None else np.asarray(x + sign * size * step)
            for x, step in zip(sample.inputs, steps, strict=True)
        ]
        results = run(op, moved, sample.attrs)
        sides.append(sum(
            float(np.sum(w * r)) for w, r in zip(weights, results, strict=True) if w is not None
        ))  # fmt: skip
    return (sides[0] - sides[1]) / (2 * size)


@each_op
def test_gradient(op: Op) -> None:
    """Along a random direction the vjps give the slope of central differences in float64."""
    samples = gradient_rows(op)
    if not samples:
        pytest.skip("no gradient")
    rng = np.random.default_rng(0)
    for sample in samples:
        results = run(op, sample.inputs, sample.attrs)
        weights = [w if f else None for w, f in zip(directions(rng, results), floating(results))]
        grads = analytic(op, sample, results, weights)
        for i, gradient in enumerate(grads):
            if gradient is None:
                continue
            x, message = sample.inputs[i], f"{describe(op, sample)}, input {i}"
            assert gradient.shape == x.shape and gradient.dtype == x.dtype, message
            (step,) = directions(rng, [x])
            steps = [step if k == i else None for k in range(len(grads))]
            expected = central_difference(op, sample, steps, weights)
            actual = float(np.sum(step * gradient))
            assert actual == pytest.approx(expected, rel=2e-5, abs=2e-6), message


@each_op
def test_recorded_gradient(op: Op) -> None:
    """The vjps build a graph that computes what they compute on arrays."""
    samples = gradient_rows(op)
    if not samples:
        pytest.skip("no gradient")
    rng = np.random.default_rng(0)
    for sample in samples:
        results = run(op, sample.inputs, sample.attrs)
        needs = differentiable(op, sample.inputs)
        grads = [w if f else None for w, f in zip(directions(rng, results), floating(results))]
        kept = saved(op, sample.inputs, results)
        eager = gradients(op, ARRAYS, needs, grads, kept, sample.attrs)
        recording = Recording()
        values = gradients(
            op, recording.F, needs, recording.values(grads), recording.values(kept), sample.attrs
        )
        graph = recording.run([v for v in values if v is not None])
        expected = [g for g in eager if g is not None]
        for a, b in zip(graph, expected, strict=True):
            assert_close(a, b, describe(op, sample))


@each_op
def test_in_parts(op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is computed part by part where arrays are large is what is computed at once."""
    wholes = [(sample, run(op, sample.inputs, sample.attrs)) for sample in rows(op)]
    slopes = [first_order(op, sample) for sample in gradient_rows(op)]
    monkeypatch.setattr(blocks, "BLOCK", 3)
    for sample, results in wholes:
        for a, b in zip(run(op, sample.inputs, sample.attrs), results, strict=True):
            assert_close(a, b, describe(op, sample))
    for sample, found in zip(gradient_rows(op), slopes, strict=True):
        for a, b in zip(first_order(op, sample), found, strict=True):
            assert_close(a, b, describe(op, sample))


def by_columns(x: np.ndarray) -> np.ndarray:
    """A copy of `x` in Fortran's order."""
    return np.array(x, order="F")


def every_second(x: np.ndarray) -> np.ndarray:
    """A copy of `x` whose elements lie apart."""
    wide = np.zeros((*x.shape, 2), x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


@each_op
@pytest.mark.parametrize("lay", [by_columns, every_second])
def test_any_layout(op: Op, lay: Callable[[np.ndarray], np.ndarray]) -> None:
    """Results and gradients do not depend on how operands lie in memory."""
    if op.kind == "view":
        pytest.skip("a view may be impossible")

    def laid(sample: Sample) -> Sample:
        inputs = [lay(x) if isinstance(x, np.ndarray) else x for x in sample.inputs]
        return replace(sample, inputs=tuple(inputs))

    for sample in rows(op):
        results = run(op, laid(sample).inputs, sample.attrs)
        for a, b in zip(results, run(op, sample.inputs, sample.attrs), strict=True):
            assert_close(a, b, describe(op, sample))
    for sample in gradient_rows(op):
        for a, b in zip(first_order(op, laid(sample)), first_order(op, sample), strict=True):
            assert_close(a, b, describe(op, sample))


def first_order(op: Op, sample: Sample) -> list[Any]:
    """The gradients that the op has, from the same random gradients of its outputs each time."""
    results = run(op, sample.inputs, sample.attrs)
    random = directions(np.random.default_rng(0), results)
    grads = [w if f else None for w, f in zip(random, floating(results))]
    return [g for g in analytic(op, sample, results, grads) if g is not None]


@each_op
def test_missing_gradients(op: Op) -> None:
    """With several outputs, any one of them may have no gradient."""
    if op.n_outputs == 1 or not gradient_rows(op):
        pytest.skip("one output")
    sample = gradient_rows(op)[0]
    results = run(op, sample.inputs, sample.attrs)
    rng = np.random.default_rng(0)
    weights = [w if f else None for w, f in zip(directions(rng, results), floating(results))]
    together = analytic(op, sample, results, weights)
    apart: list[Any] = [0.0] * len(together)
    for k, weight in enumerate(weights):
        if weight is None:
            continue
        alone = [w if i == k else None for i, w in enumerate(weights)]
        for i, gradient in enumerate(analytic(op, sample, results, alone)):
            apart[i] = apart[i] if gradient is None else apart[i] + gradient
    for whole, parts in zip(together, apart, strict=True):
        if whole is not None:
            assert_close(whole, parts, describe(op, sample))


def test_one_list_of_ops() -> None:
    """No stage of the compiler enumerates ops: such lists drift from the declarations.

    Scalar instructions are a vocabulary of their own, whose names may be listed.
    """
    package = Path(__file__).parents[2] / "graphjit"
    names = set(OPS) - set(INSTRUCTIONS)
    stages = ("ir", "passes", "codegen", "runtime")
    for path in (path for stage in stages for path in (package / stage).rglob("*.py")):
        for literal in re.findall(r"[\[{(]((?:\s*\"\w+\",?)+)\s*[\]})]", path.read_text()):
            listed = set(re.findall(r'"(\w+)"', literal)) & names
            assert len(listed) < 5, f"{path} lists ops: {sorted(listed)}"
