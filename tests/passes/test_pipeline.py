"""The pipeline: history, knobs, and what happens when a pass fails."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from graphs import graph_of, same_graph

import graphjit.ir
from graphjit import config
from graphjit.errors import VerifyError
from graphjit.ir.graph import Builder, Graph
from graphjit.passes import pipeline
from graphjit.passes.dce import dce

TEXT = "def f(x: f32[4, 8]): a = softmax(x, dim=1); b = exp(x); return a"


@pytest.fixture
def knob(monkeypatch):
    """Sets a knob for the test; afterwards the environment counts again."""
    return lambda name, value: monkeypatch.setitem(config._overrides, name, value)


@pytest.fixture
def passes(monkeypatch):
    def use(*steps):
        monkeypatch.setattr(pipeline, "PIPELINE", list(steps))

    return use


def forgetful(graph: Graph) -> Graph:
    """A broken pass: it drops the nodes."""
    return Graph(graph.inputs, (), graph.outputs, graph.updates, graph.consts)


def doubling(graph: Graph) -> Graph:
    """A broken pass: it returns another value of the same type."""
    build = Builder()
    build.nodes.extend(graph.nodes)
    (out,) = graph.outputs
    (twice,) = build.add(graph_of("def f(x: f32[4]): return add(x, x)").nodes[0].op, (out, out))
    return Graph(graph.inputs, tuple(build.nodes), (twice,))


def test_history_tells_each_pass():
    record = []
    graph = pipeline.run(graph_of(TEXT), record)
    assert [stage.name for stage in record] == [
        "recorded", *(step.__name__ for step in pipeline.PIPELINE)
    ]  # fmt: skip
    assert record[-1].graph is graph
    assert all(a.after == b.before for a, b in itertools.pairwise(record))
    assert "simplify" in pipeline.table(record)


def test_the_pipeline_is_idempotent():
    graph = pipeline.run(graph_of(TEXT))
    same_graph(pipeline.run(graph), graph)


def test_passes_can_be_left_out(knob):
    knob("PASSES", "-fuse, -cse")
    record = []
    graph = pipeline.run(graph_of(TEXT), record)
    assert not {"fuse", "cse"} & {stage.name for stage in record}
    assert all(node.op.name != "fused" for node in graph.nodes)


@pytest.mark.parametrize("text", ["-typo", "fuse"])
def test_unknown_passes_are_refused(knob, text):
    knob("PASSES", text)
    with pytest.raises(ValueError, match="is not a minus and one of cse, dce"):
        pipeline.run(graph_of(TEXT))


def test_a_failing_pass_is_skipped(knob, passes):
    """A fault of the compiler never reaches the user."""
    knob("STRICT", False)
    knob("CHECK", 1)
    passes(forgetful, dce)
    record = []
    graph = pipeline.run(graph_of(TEXT), record)
    assert [node.op.name for node in graph.nodes] == ["softmax"]
    assert "VerifyError: output" in record[1].error
    assert "VerifyError" in pipeline.table(record)


def test_a_failing_pass_raises_when_strict(knob, passes):
    knob("CHECK", 1)
    passes(forgetful)
    with pytest.raises(VerifyError) as info:
        pipeline.run(graph_of(TEXT))
    assert "in pass forgetful" in info.value.__notes__


def test_wrong_numbers_are_caught(knob, passes):
    passes(doubling)
    knob("CHECK", 1)
    pipeline.run(graph_of(TEXT))
    knob("CHECK", 2)
    with pytest.raises(VerifyError, match="result 0 was"):
        pipeline.run(graph_of(TEXT))


def test_dumps_run_as_python(knob, tmp_path):
    knob("DUMP", str(tmp_path))
    pipeline.run(graph_of(TEXT))
    files = sorted(tmp_path.glob("*.py"))
    assert len(files) == len(pipeline.PIPELINE) + 1
    assert files[0].name.endswith("_00_recorded.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(graphjit.ir.__file__).parents[2])}
    for path in (files[0], files[-1]):
        command = [sys.executable, path]
        run = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment
        )
        assert run.returncode == 0, run.stderr
        assert "0." in run.stdout


def test_the_table_is_printed(knob, capsys):
    knob("DEBUG", 3)
    pipeline.run(graph_of(TEXT))
    assert "decompose" in capsys.readouterr().err
