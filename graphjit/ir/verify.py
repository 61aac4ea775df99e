"""The rules of the IR: reads a graph, raises `VerifyError` where it breaks one, makes nothing."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import VerifyError
from .graph import Graph, Node, Value


def verify(graph: Graph) -> None:
    """Check every rule; VerifyError names the node and the user's line.

    A value is defined once and before its use; the op's `infer`, run again, gives the specs of a
    node's outputs; attributes are hashable; `updates` pair distinct inputs with values of the same
    spec; constants have the shape and dtype of their arrays. Bodies of nodes are checked likewise.
    """
    defined: set[Value] = set()
    _define(defined, (*graph.inputs, *graph.consts), "graph")
    for value, array in graph.consts.items():
        if tuple(array.shape) != value.shape or array.dtype != value.dtype.numpy:
            raise VerifyError(f"constant {value!r} holds {array.dtype}{list(array.shape)}")
    for node in graph.nodes:
        try:
            _verify_node(node, defined)
        except VerifyError as error:
            raise VerifyError(f"{error}\n  at {describe(node)}") from None
    _require(defined, graph.outputs, "output")
    _require(defined, graph.checks, "check")
    for value in graph.checks:
        if value.spec.size != 1 or value.dtype.category != 0:
            raise VerifyError(f"check {value!r} is not one bool")
    _verify_updates(graph, defined)


def describe(node: Node) -> str:
    """The node in one line, with the user's file and line where they are known."""
    outputs = ", ".join(map(repr, node.outputs))
    operands = ", ".join(map(repr, node.inputs))
    where = f"\n  in {node.loc.describe()}" if node.loc else ""
    return f"{outputs} = {node.op.name}({operands}){where}"


def _verify_node(node: Node, defined: set[Value]) -> None:
    _require(defined, node.inputs, "operand")
    for name, value in node.attrs:
        try:
            hash(value)
        except TypeError:
            raise VerifyError(f"attribute {name} is not hashable: {value!r}") from None
        if isinstance(value, Graph):
            verify(value)
    if list(node.attrs) != sorted(node.attrs, key=lambda pair: pair[0]):
        raise VerifyError(f"attributes are not sorted: {[name for name, _ in node.attrs]}")
    try:
        expected = node.op.infer(*(v.spec for v in node.inputs), **node.kwargs)
    except Exception as error:  # noqa: BLE001 - an op may raise anything
        raise VerifyError(f"infer raises {type(error).__name__}: {error}") from None
    actual = tuple(v.spec for v in node.outputs)
    if tuple(expected) != actual:
        raise VerifyError(
            f"infer gives ({', '.join(map(str, expected))}), "
            f"the node has ({', '.join(map(str, actual))})"
        )
    _define(defined, node.outputs, "node")


def _verify_updates(graph: Graph, defined: set[Value]) -> None:
    replaced: set[Value] = set()
    for old, new in graph.updates:
        if old not in graph.inputs:
            raise VerifyError(f"updated value {old!r} is not an input")
        if old in replaced:
            raise VerifyError(f"input {old!r} is updated twice")
        replaced.add(old)
        _require(defined, (new,), "update")
        if old.spec != new.spec:
            raise VerifyError(f"update of {old!r} by {new!r}: the specs differ")


def _define(defined: set[Value], values: Iterable[Value], by: str) -> None:
    for value in values:
        if value in defined:
            raise VerifyError(f"{by} defines {value!r} a second time")
        defined.add(value)


def _require(defined: set[Value], values: Iterable[Value], role: str) -> None:
    for value in values:
        if value not in defined:
            raise VerifyError(f"{role} {value!r} is used before it is defined")
