"""Dead-code elimination: drops nodes and constants that no result needs.

A node without outputs acts on the world (a debug print), so it stays.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Graph


def dce(graph: Graph) -> Graph:
    """The same graph without what nobody reads."""
    needed = set(graph.results)
    kept = []
    for node in reversed(graph.nodes):
        if not node.outputs or not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    consts = {value: array for value, array in graph.consts.items() if value in needed}
    return replace(graph, nodes=tuple(reversed(kept)), consts=consts)
