"""The interpreter: the definition of what a graph means.

Reads a graph and arrays, makes arrays; each node is one call of its op's `eval`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import CheckFailed, VerifyError
from .graph import Graph, Node, Value
from .verify import describe

Arrays = tuple[Any, ...]

#: what running a graph came to, where it is not the number of the first check that is false
DONE, HOST_FAILED = -1, -2
#: errors of ops on the host that end a run with HOST_FAILED: eager code may raise them too
HOST_ERRORS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


def interpret(graph: Graph, arrays: Sequence[Any], xp: Any = np) -> tuple[Arrays, Arrays]:
    """Run `graph` on `arrays`, one for each input.

    Returns the outputs, and the values that take the place of the updated inputs, in the order of
    `graph.updates`. No operand is written. ValueError where an array does not fit its input;
    CheckFailed at the first of the graph's checks that is false; VerifyError where an op computes
    something else than its `infer` says.
    """
    known: dict[Value, Any] = dict(graph.consts)
    for value, array in zip(graph.inputs, arrays, strict=True):
        if not fits(array, value):
            raise ValueError(f"input {value!r} got {array.dtype}{list(array.shape)}")
        known[value] = array
    last = last_uses(graph)
    checked = _check(graph, known, 0)
    for node in graph.nodes:
        results = evaluate(node, [known[v] for v in node.inputs], xp)
        known.update(zip(node.outputs, results, strict=True))
        checked = _check(graph, known, checked)
        for value in last.get(node, ()):
            del known[value]
    outputs = tuple(known[v] for v in graph.outputs)
    return outputs, tuple(known[new] for _, new in graph.updates)


def _check(graph: Graph, known: dict[Value, Any], start: int) -> int:
    """Look at the checks from number `start` on that are known; the number of the next one."""
    for index in range(start, len(graph.checks)):
        if graph.checks[index] not in known:
            return index
        if not known[graph.checks[index]].all():
            raise CheckFailed(index)
    return len(graph.checks)


def evaluate(node: Node, operands: Sequence[Any], xp: Any = np) -> Arrays:
    """The outputs of one node; an error of the op names the node and the user's line."""
    if getattr(node.op, "kind", "") == "view":
        # values have no strides, but some views refuse arrays whose strides do not suit them
        operands = [xp.asarray(x, order="C") for x in operands]
    try:
        result = node.op.eval(xp, *operands, **node.kwargs)
    except Exception as error:
        error.add_note(f"while interpreting {describe(node)}")
        raise
    results = result if isinstance(result, tuple) else (result,)
    arrays = tuple(xp.asarray(r) for r in results)
    for array, value in zip(arrays, node.outputs, strict=True):
        if not fits(array, value):
            raise VerifyError(
                f"eval gives {array.dtype}{list(array.shape)} for {value!r}\n  at {describe(node)}"
            )
    return arrays


def fits(array: Any, value: Value) -> bool:
    """Whether `array` has the shape and dtype of `value`."""
    return tuple(array.shape) == value.shape and array.dtype == value.dtype.numpy


def last_uses(graph: Graph) -> dict[Node, tuple[Value, ...]]:
    """The values that nothing needs after each node; results of the graph are never among them."""
    needed = set(graph.results)
    table: dict[Node, tuple[Value, ...]] = {}
    for node in reversed(graph.nodes):
        ending = [v for v in _once((*node.inputs, *node.outputs)) if v not in needed]
        table[node] = tuple(ending)
        needed.update(ending)
    return table


def _once(values: Sequence[Value]) -> Iterator[Value]:
    return iter(dict.fromkeys(values))
