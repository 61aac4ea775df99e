"""Takes composites apart until only canonical ops are left.

Also turns the views that PyTorch names (select, unsqueeze, t...) into permute, expand, reshape,
slice_ and diagonal.
"""

from __future__ import annotations

from ..errors import CompileError
from ..ir.graph import Builder, Graph, Node, Value, keep, rebuild
from ..ir.verify import describe
from ..ops import Op
from .building import namespace


def decompose(graph: Graph) -> Graph:
    """The same graph without composites; CompileError where a part has the wrong type."""

    def visit(node: Node, inputs: tuple[Value, ...], build: Builder) -> tuple[Value, ...]:
        assert isinstance(node.op, Op)
        if node.op.decompose is None:
            return keep(node, inputs, build)
        if not any(value.spec.size for value in node.outputs):  # nothing to compute, or reduce over
            F = namespace(build, node.loc)
            return tuple(F.full(shape=v.shape, value=0, dtype=v.dtype) for v in node.outputs)
        result = node.op.decompose(namespace(build, node.loc), *inputs, **node.kwargs)
        outputs = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        expected = tuple(value.spec for value in node.outputs)
        if tuple(value.spec for value in outputs) != expected:
            raise CompileError(f"decompose gives {outputs} for {describe(node)}")
        return outputs

    return rebuild(graph, visit)
