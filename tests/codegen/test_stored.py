"""A graph that was compiled before is loaded, and does what it would do if it were compiled."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import graphjit
from graphjit import config
from graphjit.codegen import stored
from graphjit.codegen.assemble import assemble
from graphjit.errors import Location
from graphjit.ir.interp import interpret
from graphjit.ir.parse import parse
from graphjit.ops import OPS
from graphjit.passes import pipeline
from graphjit.runtime.instruction import row_major

PACKAGE = Path(graphjit.__file__).parent
TEXT = (
    "def f(x: f32[40, 6], w: f32[6, 70], b: f32[70], s: f64[()], ok: bool[()]): "
    "a = matmul(x, w); c = tanh(add(a, b)); d = mean(mul(c, c), dims=(0, 1), keepdim=False); "
    'e = sub(b, mul(cast(s, dtype=f32), sum_to(c, shape=(70,)))); return (d, c), {"b": e}'
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of its own, where graphs may be stored: nobody looks at their passes."""
    monkeypatch.setitem(config._overrides, "CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(config._overrides, "CHECK", 0)
    return tmp_path / "kernels"


def graph_of(text=TEXT):
    graph = parse(text, OPS)
    place = Location("a.py", 3, "f")
    return replace(graph, nodes=tuple(replace(node, loc=place) for node in graph.nodes))


def steps(graph):
    return [row_major(value.shape) for value in graph.inputs]


def compiled(graph):
    assembled = assemble(pipeline.run(graph), steps(graph))
    stored.save(stored.key_of(graph, steps(graph)), assembled)
    return assembled


def loaded(graph, strides=None):
    return stored.load(stored.key_of(graph, strides or steps(graph)), graph)


def results(graph, executable):
    """Outputs and updated inputs of two calls in a row."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(v.shape).astype(v.dtype.numpy) for v in graph.inputs]
    outputs = [np.empty(v.shape, v.dtype.numpy) for v in graph.outputs]
    found = []
    for _ in range(2):
        executable.run(*arrays, *outputs)
        found += [array.copy() for array in (*outputs, *arrays)]
    return found


def test_what_is_loaded_computes_the_same_bits():
    graph = graph_of()
    made, found = compiled(graph), loaded(graph_of())
    for one, other in zip(results(graph, made), results(graph, found), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_loaded_computes_what_the_graph_means():
    graph = graph_of()
    compiled(graph)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(v.shape).astype(v.dtype.numpy) for v in graph.inputs]
    expected, _ = interpret(graph, arrays)
    found = results(graph, loaded(graph))
    for one, other in zip(found, expected, strict=False):
        np.testing.assert_allclose(one, other, 1e-5, 1e-5)


def test_what_is_loaded_tells_the_same():
    graph = graph_of()
    made, found = compiled(graph), loaded(graph)
    assert found.program.instructions == made.program.instructions
    assert all(instruction.lines for instruction in found.program.instructions)
    assert (found.sources, found.memory, found.checked) == (made.sources, made.memory, made.checked)
    assert found.program.memory == made.program.memory


def test_checks_stop_what_is_loaded():
    graph = graph_of()
    graph = replace(graph, checks=(graph.inputs[-1],))
    compiled(graph)
    found = loaded(graph)
    arrays = [np.ones(v.shape, v.dtype.numpy) for v in graph.inputs]
    outputs = [np.full(v.shape, 9, v.dtype.numpy) for v in graph.outputs]
    arrays[-1][...] = False
    assert found.run(*arrays, *outputs) == 0
    np.testing.assert_array_equal(arrays[2], 1)


def test_other_strides_find_nothing():
    graph = graph_of()
    compiled(graph)
    assert loaded(graph, [(1, 40), *steps(graph)[1:]]) is None


def test_another_line_of_the_user_finds_nothing():
    """The lines are told by profiles: those of an older version of a file would mislead."""
    graph = graph_of()
    compiled(graph)
    assert loaded(parse(TEXT, OPS)) is None


@pytest.mark.parametrize("knob", [("PASSES", "-fuse"), ("EMITTER", "numba")], ids=str)
def test_other_knobs_find_nothing(knob, monkeypatch):
    graph = graph_of()
    compiled(graph)
    monkeypatch.setitem(config._overrides, *knob)
    assert loaded(graph) is None


@pytest.mark.parametrize("knob", [("CHECK", 1), ("DUMP", "somewhere"), ("DEBUG", 3)], ids=str)
def test_nothing_is_loaded_where_passes_are_looked_at(knob, monkeypatch):
    graph = graph_of()
    compiled(graph)
    monkeypatch.setitem(config._overrides, *knob)
    assert loaded(graph) is None


def test_nothing_is_named_where_nothing_is_kept(monkeypatch):
    graph = graph_of()
    assert stored.key_of(graph, steps(graph)) is not None
    monkeypatch.setitem(config._overrides, "CACHE_SIZE", 0)
    assert stored.key_of(graph, steps(graph)) is None


def test_another_compiler_finds_nothing(monkeypatch):
    graph = graph_of()
    compiled(graph)
    monkeypatch.setattr(stored, "_compiler", lambda: ["another", np.__version__])
    assert loaded(graph) is None


def test_the_compiler_is_all_code_that_decides(monkeypatch):
    """A change of any pass must be noticed, and of what it is made of."""
    read = []
    monkeypatch.setattr(stored, "source_digest", lambda *paths: read.extend(paths) or "")
    stored._compiler.__wrapped__()
    found = {str(path.relative_to(PACKAGE)) for path in read}
    assert found >= {"passes/fuse.py", "ops/pointwise.py", "codegen/vecmath/emit.py", "dtypes.py"}


def test_what_runs_on_the_host_is_not_stored(folder, monkeypatch):
    monkeypatch.setitem(config._overrides, "STRICT", False)
    graph = graph_of("def f(x: f32[4]): a, b = sort(x, dim=0, descending=False); return a")
    assert compiled(graph).fallbacks
    assert not list(folder.glob("*.plan"))
