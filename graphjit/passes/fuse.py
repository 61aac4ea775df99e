"""Fusion: pointwise ops and reductions over one domain become one `fused` node each.

Reads canonical nodes; makes `fused` nodes whose body holds them, in an order that respects all
dependencies. `split` prepares reductions, `partition` decides what is joined, `recompute` what is
computed twice rather than stored; `sharing` makes those equal that nearly are.
"""

from __future__ import annotations

from collections.abc import Collection

from ..ir.graph import Builder, Graph, Node, Value
from ..ops.fused import fused
from .partition import Partition
from .recompute import join_siblings, recompute
from .sharing import Kernel, shared
from .split import split_reductions


def fuse(graph: Graph) -> Graph:
    """The same graph with every fusable node inside a `fused` node."""
    partition = Partition(split_reductions(graph))
    while partition.join_neighbours():
        pass
    recompute(partition)
    join_siblings(partition)
    return _graph_of_kernels(partition)


def _graph_of_kernels(partition: Partition) -> Graph:
    graph = partition.graph
    kernels = shared(_kernels(partition))
    build = Builder()
    known = {value: value for value in (*graph.inputs, *graph.consts)}
    for cluster in partition.clusters.order():
        if cluster in kernels:
            _make_kernel(kernels[cluster], known, build)
        elif not partition.fusable[cluster]:
            (node,) = partition.nodes(cluster)
            _copy(node, known, build)
    return Graph(
        graph.inputs,
        tuple(build.nodes),
        tuple(known[value] for value in graph.outputs),
        tuple((old, known[new]) for old, new in graph.updates),
        graph.consts,
        tuple(known[value] for value in graph.checks),
    )


def _kernels(partition: Partition) -> dict[int, Kernel]:
    """The kernels of all clusters that anything needs."""
    needed = set(partition.results)
    kernels: dict[int, Kernel] = {}
    for cluster in reversed(partition.clusters.order()):
        nodes = partition.nodes(cluster)
        if not partition.fusable[cluster]:
            needed.update(nodes[0].inputs)
            continue
        outputs = [node.output for node in nodes if node.output in needed]
        if outputs:
            inlined = {*partition.repeated, *partition.body(cluster)}
            kernel = _kernel(partition, outputs, inlined)
            kernels[cluster] = kernel
            needed.update(kernel.inputs)
    return kernels


def _kernel(partition: Partition, outputs: list[Value], inlined: Collection[Node]) -> Kernel:
    """The kernel that computes `outputs`, with those of the `inlined` nodes that it needs.

    The order of nodes follows from the formulas alone, so that equal kernels look equal wherever
    their nodes stood in the graph.
    """
    nodes: dict[Node, None] = {}
    inputs: dict[Value, None] = {}

    def visit(value: Value) -> None:
        maker = partition.maker.get(value)
        if maker is None or maker not in inlined:
            inputs[value] = None
        elif maker not in nodes:
            for operand in maker.inputs:
                visit(operand)
            nodes[maker] = None

    for value in outputs:
        visit(value)
    return Kernel(list(nodes), list(inputs), outputs)


def _copy(node: Node, known: dict[Value, Value], build: Builder) -> None:
    inputs = tuple(known[value] for value in node.inputs)
    if inputs == node.inputs:
        outputs = build.append(node)
    else:
        outputs = build.add(node.op, inputs, node.attrs, node.loc)
    known.update(zip(node.outputs, outputs, strict=True))


def _make_kernel(kernel: Kernel, known: dict[Value, Value], build: Builder) -> None:
    body = Builder()
    inner = {value: Value(value.spec) for value in kernel.inputs}
    arguments = tuple(inner.values())
    for node in kernel.nodes:
        inputs = tuple(inner[value] for value in node.inputs)
        result = inner[node.output] = Value(node.output.spec)
        body.append(Node(node.op, inputs, node.attrs, (result,), node.loc))
    graph = Graph(arguments, tuple(body.nodes), tuple(inner[value] for value in kernel.outputs))
    operands = [known[value] for value in kernel.inputs]
    results = build.add(fused, operands, {"body": graph}, kernel.nodes[-1].loc)
    known.update(zip(kernel.outputs, results, strict=True))
