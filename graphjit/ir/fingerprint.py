"""A name for a graph that stays the same in other processes.

Reads a graph; makes a digest of all that a compiler can see of it, source locations included. What
cannot be written as text has no name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable

from ..dtypes import DType
from ..errors import Location
from .graph import Graph, Value


class Nameless(Exception):
    """The graph holds something that means nothing outside this process."""


def fingerprint(graph: Graph) -> str:
    """A digest equal for equal graphs alone. Nameless if the graph cannot be told apart so.

    Types of results are left out: they follow from the ops and their operands.
    """
    return hashlib.sha256(_text(graph).encode(errors="surrogatepass")).hexdigest()


def _text(graph: Graph) -> str:
    if graph.consts:
        raise Nameless("constants")
    number: dict[Value, int] = {}
    places: dict[Location | None, int] = {}
    rows = []
    for value in graph.inputs:
        number[value] = len(number)
        spec = value.spec
        rows.append(f"{spec.shape} {spec.dtype.name} {spec.device}")
    for node in graph.nodes:
        inputs = [number[value] for value in node.inputs]
        attrs = _attribute(node.attrs) if node.attrs else ""
        place = places.setdefault(node.loc, len(places))
        rows.append(f"{node.op.name} {inputs} {attrs} {len(node.outputs)} {place}")
        for value in node.outputs:
            number[value] = len(number)
    rows.append(repr([number[value] for value in graph.outputs]))
    rows.append(repr([(number[old], number[new]) for old, new in graph.updates]))
    rows.append(repr([number[value] for value in graph.checks]))
    rows += [repr(place) for place in places]
    return "\n".join(rows)


def _attribute(value: Hashable) -> str:
    """Text that tells apart what Python calls equal: 1, 1.0 and True; 0.0 and -0.0."""
    kind = type(value)
    if isinstance(value, tuple):
        return f"({','.join(map(_attribute, value))})"
    if isinstance(value, DType):
        return f"<{value.name}>"
    if isinstance(value, Graph):
        return f"{{{_text(value)}}}"
    if value is None or kind in (bool, int, float, complex, str):
        return repr(value)
    raise Nameless(f"an attribute of type {kind.__name__}")
