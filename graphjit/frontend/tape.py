"""The tape: one node for each differentiable op that ran, and the walk back over it.

A node keeps what its vjps need and the edges to where gradients go. Backward runs on raw arrays;
where a recorder is on or `create_graph` is asked for, it runs on tensors, so that it is captured
and can be differentiated again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import cache
from heapq import heappop, heappush
from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import locate
from ..ops.core import ARRAYS, Namespace, Op
from .hooks import RemovableHandle
from .mode import MODE
from .quiet import QUIET, restore, silence
from .saving import kinds

if TYPE_CHECKING:
    from .tensor import Tensor

#: numbers the nodes of all tapes in the order in which their ops ran
sequence = itertools.count()


class _Unobserved:
    """Defaults of what few nodes have: making a node then does not have to set them."""

    __slots__ = ()
    hooks: list[Callable[..., Any]] | None = None
    watchers: dict[int, list[Callable[..., Any]]] | None = None


class Node(_Unobserved):
    """One differentiable op on the tape. `edges[i]` is where the gradient of input `i` goes:

    None, a leaf tensor, or a pair (node, output number). `saved` is what the vjps get where they
    run on tensors, `arrays` where they run on arrays (None: found from `saved` when needed).
    `watchers` maps an output number to the functions that see (and may replace) its gradient
    before the node does.
    """

    __slots__ = ("edges", "saved", "versions", "arrays", "attrs", "shapes", "outputs_count",
                 "sequence", "__dict__", "__weakref__")
    op: Op
    #: for each entry of `saved`: ("in" | "out" | other, position)
    kinds: tuple[tuple[str, int], ...] = ()
    #: the op's, if it has one for each input
    vjps: tuple[Callable[..., Any] | None, ...] | None = None
    single = True
    #: whether backward goes on through what `recomputed` gives, instead of calling `gradients`
    is_checkpoint = False
    #: outputs that others have been computed from: where someone looks at their gradients, backward
    #: goes on through what `recomputed` gives, too
    inner: frozenset[int] = frozenset()
    #: whether what it runs in backward changes nothing but gradients
    is_pure = True

    def __init__(
        self,
        edges: tuple[Any, ...],
        saved: tuple[Any, ...] | None,
        versions: tuple[Any, ...],
        arrays: tuple[Any, ...] | None,
        attrs: dict[str, Any],
        shapes: tuple[Any, ...] | None = None,
        outputs_count: int = 1,
    ) -> None:
        self.edges = edges
        self.saved = saved
        self.versions = versions
        self.arrays = arrays
        self.attrs = attrs
        self.shapes = shapes
        self.outputs_count = outputs_count
        self.sequence = next(sequence)

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes that gradients flow to, each with its output number."""
        return tuple(_as_function(edge) for edge in self.edges)

    def name(self) -> str:
        """The class name, as printed in `grad_fn=<...>`."""
        return type(self).__name__

    def twin(self) -> Node:
        """Another node like this one, without its hooks."""
        other = copy(self)
        other.hooks = other.watchers = None
        other.sequence = next(sequence)
        return other

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(grad_inputs, grad_outputs)` in backward; it may return other grad_inputs."""
        if self.hooks is None:
            self.hooks = []
        self.hooks.append(hook)
        return RemovableHandle(self.hooks, hook)

    def gradients(self, F: Namespace, grads: list[Any], wrap: bool) -> list[Any]:
        """The gradients of the inputs from those of the outputs (None entries are zero)."""
        op = self.op
        saved = self._unpack(wrap)
        g = grads[0] if op.n_outputs == 1 else tuple(grads)
        if op.joint_vjp is not None:
            needs = tuple(edge is not None for edge in self.edges)
            results = list(op.joint_vjp(F, needs, g, *saved, **self.attrs))
        else:
            results = [
                None if edge is None or vjp is None else vjp(F, g, *saved, **self.attrs)
                for edge, vjp in zip(self.edges, op.vjps)
            ]
        if self.shapes is not None:
            results = [
                g if g is None or g.shape == shape else F.sum_to(g, shape=shape)
                for g, shape in zip(results, self.shapes, strict=True)
            ]
        return results

    def recomputed(self, grads: Sequence[Any]) -> Sequence[Tensor]:
        """The outputs, computed again on a tape of their own; one for each of `grads`."""
        raise NotImplementedError

    def refuses(self, grads: Sequence[Any]) -> bool:
        """Whether `gradients` raises, where a way through `recomputed` may not."""
        return False

    def _unpack(self, wrap: bool) -> Sequence[Any]:
        """What the vjps get: arrays, or tensors where `wrap`."""
        saved = self.saved
        if saved is None:
            if self.arrays is None:
                raise locate(RuntimeError(FREED))
            return self.arrays
        for array, counter, expected in self.versions:
            if counter[0] != expected:
                raise_modified(self, array, counter[0], expected)
        if wrap:
            return [self._restore(entry, *kind) for entry, kind in zip(saved, self.kinds)]
        if self.arrays is None:
            self.arrays = tuple(getattr(entry, "_array", entry) for entry in saved)
        return self.arrays

    def _restore(self, entry: Any, kind: str, position: int) -> Any:
        if kind == "out":
            return _tensor_type()._of_output(entry, self, position)
        return entry

    @property
    def keeps(self) -> bool:
        """Whether tensors were kept, and not numbers alone."""
        return any(counter is not UNWRITTEN for _, counter, _ in self.versions)

    def release(self) -> None:
        """Drop what was saved. A node that kept no tensor can go on to be used."""
        if self.versions and not self.keeps:
            return
        self.saved = None
        if self.versions:
            self.arrays = None
            self.versions = ()

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


#: the version counter of tensors that stand for Python numbers
UNWRITTEN = [0]
FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after "
    "they have already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
    "graph a second time or if you need to access saved tensors after calling backward."
)


def raise_modified(node: Node, array: Any, version: int, expected: int) -> None:
    from .printing import type_name

    raise locate(RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: [{type_name(array.dtype)} {list(array.shape)}], saved for {node.name()}, "
        f"is at version {version}; expected version {expected} instead. Hint: clone() the tensor "
        "before the in-place operation, or use the out-of-place one."
    ))


class AccumulateGrad:
    """The end of the tape at a leaf tensor, as seen through `next_functions`."""

    __slots__ = ("variable",)

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable

    next_functions: tuple[tuple[Any, int], ...] = ()

    def name(self) -> str:
        return "AccumulateGrad"

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self):#x}>"


def _as_function(edge: Any) -> tuple[Any, int]:
    if edge is None:
        return (None, 0)
    if type(edge) is tuple:
        return edge
    return (AccumulateGrad(edge), 0)


_NODE_TYPES: dict[str, type[Node]] = {}


def node_type(op: Op) -> type[Node]:
    """The class of nodes of `op`, called `<grad_name>Backward0`."""
    cls = _NODE_TYPES.get(op.name)
    if cls is None:
        vjps = op.vjps if op.joint_vjp is None else None
        fields = {"__slots__": (), "op": op, "kinds": kinds(op), "vjps": vjps,
                  "single": op.n_outputs == 1}  # fmt: skip
        cls = _NODE_TYPES[op.name] = type(f"{op.grad_name}Backward0", (Node,), fields)
    return cls


def reached(nodes: Iterable[Node], first: int) -> set[Node]:
    """`nodes`, and those that the ways back from them come by, from number `first` on."""
    found: set[Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.sequence >= first and node not in found:
            found.add(node)
            waiting += [edge[0] for edge in node.edges if type(edge) is tuple]
    return found


def _tensor_type() -> Any:
    from .tensor import Tensor

    return Tensor


def _bind_tensors(op: Op) -> Callable[..., Any]:
    from .fastpath import specialised

    return specialised(op)


#: Ops on tensors: the namespace of a backward that is recorded or differentiated again.
TENSORS = Namespace(_bind_tensors)


def run_backward(
    roots: Sequence[Tensor],
    grads: Sequence[Any],
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Tensor] | None,
) -> list[Any]:
    """Propagate `grads` from `roots`; returns the gradients of `inputs`, else fills `.grad`.

    Gradients are arrays, or tensors where a recorder is on or `create_graph` is set.
    """
    recorder = MODE.recorder
    if recorder is not None:
        recorder.walks_back = True
    wrap = create_graph or recorder is not None
    before, MODE.grad = MODE.grad, create_graph
    token = silence(QUIET)
    try:
        walk = TapeWalk(wrap, create_graph, retain_graph or create_graph, inputs)
        return walk.run(roots, grads)
    finally:
        restore(token)
        MODE.grad = before


def propagate(root: Tensor, retain_graph: bool) -> None:
    """`run_backward` from one element, whose gradient is one, into the `.grad` of the leaves."""
    array = root._array
    before, MODE.grad = MODE.grad, False
    token = silence(QUIET)
    try:
        TapeWalk(False, False, retain_graph, None).run((root,), (_one(array.shape, array.dtype),))
    finally:
        restore(token)
        MODE.grad = before


@cache
def _one(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    one = np.ones(shape, dtype)
    one.flags.writeable = False
    return one


class TapeWalk:
    """One backward pass. Gradients wait for their node; the newest node that has any comes next,

    because all that it was used for is newer. Those of leaves wait for the end, so that hooks see
    their sums, and nothing is added to a `.grad` that shares memory with what is still to be read.
    """

    def __init__(
        self, wrap: bool, create: bool, retain: bool, inputs: Sequence[Tensor] | None
    ) -> None:
        self.F = TENSORS if wrap else ARRAYS
        self.wrap = wrap
        self.create = create
        self.retain = retain
        self.pending: dict[Node, list[Any]] = {}
        self.heap: list[tuple[int, Node]] = []
        self.captured: dict[Any, Any] = {}
        #: what `inputs` call the outputs that stand for those of unfolded nodes
        self.names: dict[Any, Any] = {}
        #: leaves by id, their gradients so far, and whether those are sums made here
        self.arrived: dict[int, tuple[Tensor, Any, bool]] = {}
        self.wanted = None if inputs is None else {edge_key(t): t for t in inputs}
        self.inputs = inputs
        self.recorder = MODE.recorder
        #: the nodes reachable from the roots, and those that lead to inputs made by other ones
        self.seen: set[Node] = set()
        self.useful: set[Node] = set()

    def run(self, roots: Sequence[Tensor], grads: Sequence[Any]) -> list[Any]:
        for root, grad in zip(roots, grads, strict=True):
            edge = root._edge()
            if type(edge) is tuple:
                self._send(edge, self._as_root(grad))
            else:
                self._arrive(edge, self._as_root(grad))
        if self.wanted is not None:
            self._explore(roots)
        heap, pending = self.heap, self.pending
        plain = self.wanted is None and not self.wrap
        while heap:
            node = heappop(heap)[1]
            waiting = pending.pop(node)
            if plain and node.vjps is not None and node.hooks is None and node.watchers is None:
                self._pass_on(node, waiting.pop() if node.single else tuple(waiting))
            elif self._looks_inside(node, waiting):
                self._unfold(node, waiting)
            else:
                self._receive(node, waiting)
                if self.wanted is None or node in self.useful:
                    self._visit(node, waiting)
        self._settle()
        if self.inputs is None:
            return []
        if self.recorder is not None:
            for tensor in self.inputs:
                self.recorder.ends_at(tensor)
        return [self.captured.get(edge_key(t)) for t in self.inputs]

    def _explore(self, roots: Sequence[Tensor]) -> None:
        """Find the nodes reachable from `roots`, and those that lead to wanted inputs."""
        fresh: list[Node] = []
        stack = [edge[0] for edge in (root._edge() for root in roots) if type(edge) is tuple]
        while stack:
            node = stack.pop()
            if node in self.seen:
                continue
            self.seen.add(node)
            fresh.append(node)
            stack.extend(edge[0] for edge in node.edges if type(edge) is tuple)
        for node in sorted(fresh, key=_by_sequence):
            if any(map(self._leads, node.edges)) or self._is_wanted_inside(node):
                self.useful.add(node)

    def _leads(self, edge: Any) -> bool:
        assert self.wanted is not None
        if edge is None:
            return False
        if type(edge) is tuple:
            return edge[0] in self.useful or edge in self.wanted
        return id(edge) in self.wanted

    def _pass_on(self, node: Node, g: Any) -> None:
        """`_visit` for arrays, where nothing watches."""
        arrays, edges, attrs, shapes = node._unpack(False), node.edges, node.attrs, node.shapes
        if not self.retain:
            node.release()
        assert node.vjps is not None
        for place, (edge, vjp) in enumerate(zip(edges, node.vjps)):
            if edge is not None and vjp is not None:
                grad = vjp(ARRAYS, g, *arrays, **attrs)
                if shapes is not None and grad is not None and grad.shape != shapes[place]:
                    grad = ARRAYS.sum_to(grad, shape=shapes[place])
                if grad is None:
                    pass
                elif edge.__class__ is tuple:
                    self._send(edge, grad)
                else:
                    self._arrive(edge, grad)

    def _receive(self, node: Node, waiting: list[Any]) -> None:
        """The gradients of a node's outputs are complete."""
        if node.watchers is not None:
            for number, hooks in node.watchers.items():
                if waiting[number] is not None:
                    waiting[number] = self._run_hooks(hooks, waiting[number])
        if self.wanted is not None:
            for number, grad in enumerate(waiting):
                if (node, number) in self.wanted:
                    self.captured[self.names.get((node, number), (node, number))] = grad

    def _looks_inside(self, node: Node, waiting: list[Any]) -> bool:
        """Whether to go through what a node stands for, op by op.

        That is for what is seen of it, and for writes to what has been kept for other edges only.
        """
        if node.inner and self._is_seen_inside(node):
            return True
        in_part = self.wanted is not None and not all(map(self._leads, node.edges))
        return in_part and node in self.useful and node.refuses(waiting)

    def _is_seen_inside(self, node: Node) -> bool:
        watched = node.watchers is not None and not node.inner.isdisjoint(node.watchers)
        return watched or self._is_wanted_inside(node)

    def _is_wanted_inside(self, node: Node) -> bool:
        wanted = self.wanted
        return wanted is not None and any((node, number) in wanted for number in node.inner)

    def _unfold(self, node: Node, waiting: list[Any]) -> None:
        """Continue through the tape that gives a node's outputs, where its inner ones are seen."""
        self._check_reached(node)
        roots = node.recomputed(waiting)
        for number, root in enumerate(roots):
            edge: Any = root._edge()
            if node.watchers is not None and number in node.watchers:
                hooks = list(node.watchers[number])
                edge[0].watchers = {**(edge[0].watchers or {}), edge[1]: hooks}
            if self.wanted is not None and (node, number) in self.wanted:
                self.wanted[edge] = self.wanted[(node, number)]
                self.names[edge] = (node, number)
        self._go_on(node, roots, waiting)

    def _visit(self, node: Node, waiting: list[Any]) -> None:
        """Go on from a node to those that made its inputs."""
        self._check_reached(node)
        if node.is_checkpoint:
            self._go_on(node, node.recomputed(waiting), waiting)
            return
        results = node.gradients(self.F, waiting, self.wrap)
        if node.hooks is not None:
            results = self._run_node_hooks(node.hooks, results, waiting)
        waiting.clear()
        if not self.retain:
            node.release()
        results.reverse()  # popped, none is held here while it is added
        for edge in node.edges:
            if edge is None or results[-1] is None:
                results.pop()
            elif type(edge) is tuple:
                self._send(edge, results.pop())
            else:
                self._arrive(edge, results.pop())

    def _check_reached(self, node: Node) -> None:
        if self.recorder is not None and node.sequence < self.recorder.first_node:
            self.recorder.refuse(
                "backward goes through ops that ran before the traced function began"
            )

    def _go_on(self, node: Node, roots: Sequence[Tensor], waiting: list[Any]) -> None:
        """Continue through the tape, newer than all else, that gives a node's outputs."""
        if not self.retain:
            node.release()
        if self.wanted is not None:
            self._explore(roots)
        for root, grad in zip(roots, waiting, strict=True):
            if grad is not None:
                self._send(root._edge(), grad)
        waiting.clear()

    def _send(self, edge: tuple[Node, int], grad: Any) -> None:
        """Hand `grad` to the node at `edge`."""
        node, number = edge
        waiting = self.pending.get(node)
        if waiting is None:
            waiting = self.pending[node] = [None] * node.outputs_count
            heappush(self.heap, (-node.sequence, node))
        before = waiting[number]
        waiting[number] = grad if before is None else self.F.add(before, grad)

    def _arrive(self, leaf: Tensor, grad: Any) -> None:
        """Add `grad` to what a leaf is to get."""
        key = id(leaf)
        if self.wanted is not None and key not in self.wanted:
            return
        before = self.arrived.get(key)
        if before is None:
            self.arrived[key] = (leaf, grad, False)
        elif before[2] and before[1].dtype == grad.dtype:
            np.add(before[1], grad, out=before[1])
        else:
            total = self.F.add(before[1], grad)
            self.arrived[key] = (leaf, total, total.__class__ is np.ndarray)

    def _settle(self) -> None:
        """Hand leaves their gradients, the first to have arrived first."""
        for key in list(self.arrived):
            leaf, grad, _ = self.arrived.pop(key)
            if leaf._hooks:
                grad = self._run_hooks(leaf._hooks, grad)
            if self.wanted is not None:
                self.captured[key] = grad
            elif not leaf._requires_grad:  # not any more
                continue
            elif self.wrap:
                leaf._accumulate_tensor(grad, self.create)
            else:
                # This frame's `grad` and getrefcount's own argument make two.
                leaf._accumulate_array(grad, getrefcount(grad) > 2)

    def _as_root(self, grad: Any) -> Any:
        if isinstance(grad, np.ndarray):
            return _tensor_type()._of(grad) if self.wrap else grad
        return grad if self.wrap else grad._array

    def _as_tensor(self, grad: Any) -> Any:
        return grad if self.wrap or grad is None else _tensor_type()._of(np.asarray(grad))

    def _as_given(self, value: Any) -> Any:
        return value if self.wrap or value is None else value._array

    def _run_hooks(self, hooks: Sequence[Callable[..., Any]], grad: Any) -> Any:
        value = self._as_tensor(grad)
        for hook in tuple(hooks):
            result = hook(value)
            value = value if result is None else result
        return self._as_given(value)

    def _run_node_hooks(
        self, hooks: Sequence[Callable[..., Any]], results: list[Any], waiting: list[Any]
    ) -> list[Any]:
        outputs = tuple(map(self._as_tensor, waiting))
        for hook in tuple(hooks):
            replaced = hook(tuple(map(self._as_tensor, results)), outputs)
            if replaced is not None:
                results = list(map(self._as_given, replaced))
        return results


def _by_sequence(node: Node) -> int:
    return node.sequence


def edge_key(tensor: Tensor) -> Any:
    """What tells apart where gradients of tensors go."""
    edge = tensor._edge()
    return edge if type(edge) is tuple else id(tensor)
