"""Kernels that keep less than many like them keep as much, and are the same kernels."""

import pytest
from graphs import graph_of

from graphjit.passes.dce import dce
from graphjit.passes.fuse import fuse
from graphjit.passes.numbers import compare, results_of
from graphjit.passes.sharing import OFTEN


def steps(keep):
    """For each step the same formulas, of which it keeps those named."""
    inputs = ", ".join(f"x{i}: f32[8]" for i in range(len(keep)))
    lines = [f"a{i} = exp(x{i}); b{i} = tanh(a{i}); c{i} = neg(b{i})" for i in range(len(keep))]
    kept = [f"{name}{i}" for i, names in enumerate(keep) for name in names]
    return graph_of(f"def f({inputs}): {'; '.join(lines)}; return {', '.join(kept)}")


def fused(graph):
    """Its bodies; what the kernels compute is compared."""
    made = dce(fuse(graph))
    compare(results_of(graph), made)
    return [node.attr("body") for node in made.nodes]


def test_the_last_of_many_steps_has_their_kernel():
    bodies = fused(steps(["abc"] * OFTEN + ["ac"]))
    assert len({body.structure() for body in bodies}) == 1
    assert [len(body.outputs) for body in bodies] == [3] * (OFTEN + 1)


def test_it_has_the_kernel_of_most_of_those_that_keep_more():
    bodies = fused(steps(["abc"] * OFTEN + ["bc"] * (OFTEN + 1) + ["c"]))
    assert [len(body.outputs) for body in bodies] == [3] * OFTEN + [2] * (OFTEN + 2)


@pytest.mark.parametrize(
    "keep",
    [
        ["abc"] * (OFTEN - 1) + ["ac"],
        ["abc"] * (2 * OFTEN - 1) + ["ac"] * 2,
        ["ab"] * OFTEN + ["bc"],
    ],
    ids=["too few others", "too many of its own", "others keep something else"],
)
def test_nothing_is_stored_in_vain_otherwise(keep):
    bodies = fused(steps(keep))
    assert [len(body.outputs) for body in bodies] == [len(names) for names in keep]


def test_other_operands_are_another_kernel():
    graph = graph_of(
        "def f(x0: f32[8], x1: f32[8], x2: f32[8], x3: f32[8], x4: f32[9]): "
        "a0 = exp(x0); b0 = neg(a0); a1 = exp(x1); b1 = neg(a1); a2 = exp(x2); b2 = neg(a2); "
        "a3 = exp(x3); b3 = neg(a3); a4 = exp(x4); b4 = neg(a4); "
        "return a0, b0, a1, b1, a2, b2, a3, b3, b4"
    )
    assert [len(body.outputs) for body in fused(graph)] == [2, 2, 2, 2, 1]
