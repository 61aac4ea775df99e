"""The graph IR: flat, typed, in single-assignment form, and pure.

A tensor that a step mutates is an input and an output paired in `Graph.updates`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..dtypes import DType
from ..errors import Location

Shape = tuple[int, ...]
Attrs = tuple[tuple[str, Hashable], ...]


class Operation(Protocol):
    """What the IR needs to know of an op; `ops.core.Op` is one."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def host_only(self) -> bool: ...

    @property
    def moves_nothing(self) -> bool: ...

    @property
    def infer(self) -> Callable[..., tuple[Spec, ...]]: ...

    @property
    def eval(self) -> Callable[..., Any]: ...

    @property
    def flops(self) -> Callable[..., int] | None: ...


@dataclass(frozen=True, slots=True)
class Spec:
    """Type of a value: shape in elements, dtype, device."""

    shape: Shape
    dtype: DType
    device: str = "cpu"

    @property
    def size(self) -> int:
        """Number of elements."""
        product = 1
        for extent in self.shape:
            product *= extent
        return product

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def with_shape(self, shape: Sequence[int]) -> Spec:
        return Spec(tuple(shape), self.dtype, self.device)

    def with_dtype(self, dtype: DType) -> Spec:
        return Spec(self.shape, dtype, self.device)

    def __str__(self) -> str:
        return f"{self.dtype.short}[{', '.join(map(str, self.shape))}]"


_serial = itertools.count()


class Value:
    """One tensor in a graph; equal only to itself."""

    __slots__ = ("spec", "serial")

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.serial = next(_serial)

    @property
    def shape(self) -> Shape:
        return self.spec.shape

    @property
    def dtype(self) -> DType:
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        return len(self.spec.shape)

    def __repr__(self) -> str:
        return f"v{self.serial}: {self.spec}"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One application of an op. `attrs` are hashable: numbers, text, tuples, dtypes, graphs."""

    op: Operation
    inputs: tuple[Value, ...]
    attrs: Attrs
    outputs: tuple[Value, ...]
    loc: Location | None = None

    @property
    def kwargs(self) -> dict[str, Any]:
        return dict(self.attrs)

    def attr(self, name: str) -> Any:
        """The attribute called `name`; KeyError where there is none."""
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(name)

    @property
    def output(self) -> Value:
        """The only output."""
        (value,) = self.outputs
        return value


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A pure function of its inputs.

    `updates` pairs an input with the value that takes its place after the call. `checks` are 0-d
    bools, each of which means something only where those before it are true: at the first that is
    false the call is abandoned, and nothing has changed.
    """

    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    updates: tuple[tuple[Value, Value], ...] = ()
    consts: Mapping[Value, Any] = field(default_factory=dict)
    checks: tuple[Value, ...] = ()

    @property
    def results(self) -> tuple[Value, ...]:
        """Everything the graph must compute: outputs, then updated values, then checks."""
        return self.outputs + tuple(new for _, new in self.updates) + self.checks

    def structure(self) -> Hashable:
        """A key equal for graphs that compute the same thing under other names.

        Shapes are part of it; source locations are not.
        """
        number = {value: i for i, value in enumerate(self.inputs)}
        rows: list[Hashable] = [value.spec for value in self.inputs]
        for value in self.consts:
            number[value] = len(number)
            rows.append(value.spec)
        for node in self.nodes:
            attrs = attr_key(node.attrs) if node.attrs else ()
            row = (node.op.name, tuple([number[v] for v in node.inputs]), attrs)
            rows.append((row, tuple([v.spec for v in node.outputs])))
            for value in node.outputs:
                number[value] = len(number)
        rows.append(tuple(number[v] for v in self.outputs))
        rows.append(tuple((number[old], number[new]) for old, new in self.updates))
        rows.append(tuple(number[v] for v in self.checks))
        return tuple(rows)


def attr_key(value: Hashable) -> Hashable:
    """`value` as a key that tells apart what Python calls equal: 1, 1.0 and True; 0.0 and -0.0."""
    if isinstance(value, Graph):
        return value.structure()
    if isinstance(value, tuple):
        return tuple(attr_key(v) for v in value)
    if isinstance(value, (float, complex)):
        return type(value), repr(value)
    return type(value), value


def make_attrs(kwargs: Mapping[str, Any]) -> Attrs:
    """`kwargs` as a node keeps them: sorted, lists as tuples."""
    return tuple(sorted((k, _freeze(v)) for k, v in kwargs.items()))


def _freeze(value: Any) -> Hashable:
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(v) for v in value)
    return value  # type: ignore[no-any-return]


class Builder:
    """Appends nodes; the one way to make a graph."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.producer: dict[Value, Node] = {}

    def append(self, node: Node) -> tuple[Value, ...]:
        """Append a node as it is; returns its outputs."""
        self.nodes.append(node)
        for value in node.outputs:
            self.producer[value] = node
        return node.outputs

    def add(
        self,
        op: Operation,
        inputs: Sequence[Value],
        attrs: Mapping[str, Any] | Attrs = (),
        loc: Location | None = None,
    ) -> tuple[Value, ...]:
        """Append `op(*inputs, **attrs)`; returns its outputs, typed by the op's `infer`."""
        frozen = attrs if isinstance(attrs, tuple) else make_attrs(attrs)
        specs = op.infer(*(v.spec for v in inputs), **dict(frozen))
        outputs = tuple(Value(spec) for spec in specs)
        return self.append(Node(op, tuple(inputs), frozen, outputs, loc))


Visit = Callable[[Node, tuple[Value, ...], Builder], Sequence[Value]]


def rebuild(graph: Graph, visit: Visit) -> Graph:
    """A new graph made by visiting each node in order.

    `visit(node, inputs, builder)` gets the node's inputs as they are in the new graph and returns
    the values that stand for its outputs there.
    """
    builder = Builder()
    new: dict[Value, Value] = {value: value for value in (*graph.inputs, *graph.consts)}
    find = new.__getitem__
    for node in graph.nodes:
        results = visit(node, tuple(map(find, node.inputs)), builder)
        if results is not node.outputs:
            new.update(zip(node.outputs, results, strict=True))
        else:
            for value in results:
                new[value] = value
    return Graph(
        graph.inputs,
        tuple(builder.nodes),
        tuple(new[v] for v in graph.outputs),
        tuple((old, new[value]) for old, value in graph.updates),
        graph.consts,
        tuple(new[v] for v in graph.checks),
    )


def keep(node: Node, inputs: tuple[Value, ...], builder: Builder) -> tuple[Value, ...]:
    """The visit that changes nothing but the inputs.

    While they have the types of the old ones, the outputs stay what they are, and so do nodes that
    read them.
    """
    if inputs == node.inputs:
        return builder.append(node)
    for new, old in zip(inputs, node.inputs, strict=True):
        if new is not old and new.spec != old.spec:
            return builder.add(node.op, inputs, node.attrs, node.loc)
    return builder.append(Node(node.op, inputs, node.attrs, node.outputs, node.loc))


def users(graph: Graph) -> dict[Value, list[Node]]:
    """The nodes that read each value, in order, once for each operand place."""
    table: dict[Value, list[Node]] = {}
    for node in graph.nodes:
        for value in node.inputs:
            table.setdefault(value, []).append(node)
    return table


def producers(nodes: Iterable[Node]) -> dict[Value, Node]:
    """The node that makes each value."""
    return {value: node for node in nodes for value in node.outputs}
