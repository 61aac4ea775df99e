"""Before-and-after tests of passes, in printed IR."""

from dataclasses import replace

from graphjit.ir.graph import producers
from graphjit.ir.parse import parse
from graphjit.ir.printer import to_text
from graphjit.ir.verify import verify
from graphjit.ops import OPS
from graphjit.passes.numbers import compare, results_of


def graph_of(text):
    graph = parse(text, OPS)
    verify(graph)
    return graph


def becomes(step, before, after):
    """`step` turns `before` into `after`, up to the order of nodes.

    It also computes the same, and leaves its result alone when it is applied again.
    """
    graph = graph_of(before)
    result = step(graph)
    verify(result)
    same_graph(ordered(result), ordered(graph_of(after)))
    compare(results_of(graph), result)
    same_graph(step(result), result)


def ordered(graph):
    """The same nodes in an order that follows from what they compute."""
    maker = producers(graph.nodes)
    nodes = {}

    def visit(value):
        node = maker.get(value)
        if node is not None and node not in nodes:
            for operand in node.inputs:
                visit(operand)
            nodes[node] = None

    for value in graph.results:
        visit(value)
    return replace(graph, nodes=tuple(nodes))


def stays(step, text):
    """`step` leaves the graph as it is."""
    becomes(step, text, text)


def same_graph(actual, expected):
    if actual.structure() != expected.structure():
        raise AssertionError(f"got\n{to_text(actual)}\nexpected\n{to_text(expected)}")


def chain(*steps):
    """One pass from several, applied in order."""

    def chained(graph):
        for step in steps:
            graph = step(graph)
        return graph

    return chained


def bodies(graph):
    """The op names inside each kernel, in order."""
    return [
        " ".join(inner.op.name for inner in node.attr("body").nodes)
        for node in graph.nodes
        if node.op.name == "fused"
    ]
