"""Random graphs, optimised and compiled, compute what the interpreter does."""

import numpy as np
from graphs import graph_of
from hypothesis import HealthCheck, given, note, settings
from random_graphs import graphs

from graphjit.codegen.assemble import assemble
from graphjit.ir.interp import interpret
from graphjit.ir.printer import to_text
from graphjit.passes import pipeline
from graphjit.passes.numbers import random_inputs, same
from graphjit.runtime.instruction import row_major


def check(graph):
    inputs = random_inputs(graph)
    with np.errstate(all="ignore"):
        outputs, updates = interpret(graph, inputs)
    final = pipeline.run(graph)
    program = assemble(final, [row_major(value.shape) for value in final.inputs])
    memory = [np.array(array) for array in inputs]
    results = [np.full(value.shape, 7, value.dtype.numpy) for value in final.outputs]
    assert program.run(*memory, *results)
    expected = dict(zip(final.inputs, inputs, strict=True))
    expected.update({old: new for (old, _), new in zip(final.updates, updates, strict=True)})
    for actual, wanted in zip([*results, *memory], [*outputs, *expected.values()], strict=True):
        assert same(np.asarray(wanted), actual), (wanted, actual)


@settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(graphs())
def test_programs_compute_what_the_interpreter_does(graph):
    note(to_text(graph))
    note(to_text(pipeline.run(graph)))
    check(graph)


def test_swapped_states():
    """Each of two states takes the other's old value."""
    check(graph_of('def f(w: f64[4], v: f64[4]): a = exp(v); return (a,), {"w": v, "v": w}'))


def test_memory_passed_on_along_a_chain():
    check(
        graph_of(
            """
def f(x: f64[8, 8], y: f64[8, 8]):
    a = exp(matmul(x, y))
    b = sum(a, dims=(0,))
    c = matmul(sub(a, b), y)
    d = permute(c, dims=(1, 0))
    return add(c, d), matmul(tanh(c), x)
"""
        )
    )
