"""Random graphs mean the same after every pass, and passes leave their own results alone."""

import pytest
from graphs import same_graph
from hypothesis import HealthCheck, given, note, settings
from random_graphs import graphs

from graphjit.ir.parse import parse
from graphjit.ir.printer import to_text
from graphjit.ir.verify import verify
from graphjit.ops import OPS
from graphjit.passes import pipeline
from graphjit.passes.numbers import compare, results_of

QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


@QUICK
@given(graphs())
def test_each_pass_keeps_the_meaning(graph):
    note(to_text(graph))
    expected = results_of(graph)
    verify(graph)
    for step in pipeline.PIPELINE:
        graph = step(graph)
        note(f"after {step.__name__}:\n{to_text(graph)}")
        verify(graph)
        compare(expected, graph)


@QUICK
@given(graphs())
def test_the_pipeline_leaves_its_own_result_alone(graph):
    note(to_text(graph))
    once = pipeline.run(graph)
    note(to_text(once))
    same_graph(pipeline.run(once), once)


@QUICK
@given(graphs())
def test_graphs_print_and_parse(graph):
    text = to_text(graph)
    same_graph(parse(text, OPS), graph)
    final = pipeline.run(graph)
    same_graph(parse(to_text(final), OPS), final)


@pytest.mark.parametrize("step", dict.fromkeys(pipeline.PIPELINE), ids=lambda step: step.__name__)
def test_each_pass_is_idempotent(step):
    @QUICK
    @given(graphs())
    def check(graph):
        note(to_text(graph))
        once = step(graph)
        note(to_text(once))
        same_graph(step(once), once)

    check()
