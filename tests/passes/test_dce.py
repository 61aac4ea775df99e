"""Dead-code elimination."""

from dataclasses import replace

import numpy as np
from graphs import becomes, graph_of, stays

from graphjit.passes.dce import dce


def test_unread_chains_go():
    becomes(
        dce,
        "def f(x: f32[4]): a = exp(x); b = neg(a); c = sin(x); return c",
        "def f(x: f32[4]): c = sin(x); return c",
    )


def test_updates_are_results():
    stays(dce, 'def f(w: f32[4], g: f32[4]): a = sub(w, g); return (g,), {"w": a}')


def test_one_read_output_keeps_the_node():
    stays(dce, "def f(x: f32[4]): a, b = split(x, dim=0, sizes=(2, 2)); return b")


def test_unread_constants_go():
    graph = graph_of("def f(x: f32[4], *, c: f32[4]): return exp(x)")
    assert len(graph.consts) == 1
    assert dce(graph).consts == {}
    used = graph_of("def f(x: f32[4], *, c: f32[4]): return add(x, c)")
    assert dce(used).consts == used.consts
    assert isinstance(next(iter(used.consts.values())), np.ndarray)


def test_a_node_without_outputs_stays():
    """Such a node acts on the world: a print, a check."""
    graph = graph_of("def f(x: f32[4]): a = exp(x); return x")
    (node,) = graph.nodes
    silent = replace(node, outputs=())
    assert dce(replace(graph, nodes=(silent,))).nodes == (silent,)
