"""Closing a recording: what it returns and leaves behind becomes a graph and a `Recording`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TraceRefused
from ..ir.graph import Graph, Value
from .hung import hung
from .hyper import EntryAssignment
from .recording import (
    NUMBERS,
    Again,
    Argument,
    Assignment,
    AttributeTensor,
    Captured,
    Chain,
    Existing,
    Fresh,
    GradOf,
    Late,
    Number,
    Output,
    Recording,
    Source,
    element_strides,
    overlaps_itself,
)
from .symnumber import SymNumber, plain
from .tape import reached
from .tensor import Tensor

if TYPE_CHECKING:
    from .recorder import Input, Recorder, Root, Window
    from .tape import Node


def finish(
    recorder: Recorder, results: Sequence[Tensor | SymNumber], outside: Mapping[int, Tensor]
) -> Recording:
    """Close the graph over the returned tensors. TraceRefused if it could not be replayed.

    `outside` has, by id, the tensors that a replay finds where this call found them.
    """
    everything: list[Any] = list(results)
    grads = _grads_left(recorder, everything)
    assignments = _assignments(recorder, everything)
    if any(recorder.made(x) and x._grad is not None for x in everything):
        recorder.refuse("a tensor that the function has made leaves it with a gradient")
    numbers = [type(x) is SymNumber for x in everything]
    everything = [x.tensor if type(x) is SymNumber else x for x in everything]
    for tensor in everything:
        tensor._tracked()  # so that a view of what was written has found its place on the tape
    roots = _differentiable(recorder, everything)
    _check_ends(recorder, everything, roots)
    outputs, values, orders = _results(recorder, everything, numbers, roots, outside)
    first_seen = len(values)
    values += [point.value for point in recorder.points if point.value is not None]
    for told, places in recorder.told:
        places.extend(range(len(values), len(values) + len(told)))
        values += told
    _take_out_late(recorder, values)
    _check_overlap(recorder)
    _note_aliases(recorder, outside)
    if any(tensor._grad_fn is not before for tensor, before in recorder.tapes):
        recorder.refuse("a tensor from outside was changed in place by an op that the tape follows")
    if recorder.refusal is not None:
        raise TraceRefused(recorder.refusal)
    written = [root for root in recorder.inputs if root.written]
    recording = Recording(
        _graph(recorder, recorder.inputs, values, written),
        [element_strides(root.array) for root in recorder.inputs],
        [root.source for root in recorder.inputs if root.source is not None],
        [root.source for root in written if root.source is not None],
        list(dict.fromkeys(_moved(recorder))),
        outputs,
        orders,
        grads,
        recorder.draws,
        recorder.effects,
        recorder.predicates,
        [recorder.owner(tensor) for tensor in recorder.grads_absent if not recorder.made(tensor)],
        recorder.points,
        first_seen,
        assignments,
        recorder.aliases,
        recorder.lacking,
        recorder.unhooked,
        recorder.walks_back,
    )
    if roots:
        from .differentiate import differentiate

        differentiate(recorder, recording, roots, everything, outside)
    return recording


def _grads_left(
    recorder: Recorder, results: list[Any]
) -> list[tuple[Tensor | int, int | None]]:
    """Whose `.grad` is another one after the call, and its place; new ones join the results."""
    left: list[tuple[Tensor | int, int | None]] = []
    for owner, before in recorder.grads.values():
        if owner._grad is not before or id(owner) in recorder.grads_written:
            left.append((recorder.owner(owner), None if owner._grad is None else len(results)))
            results += [] if owner._grad is None else [owner._grad]
    return left


def _moved(recorder: Recorder) -> Iterator[Source]:
    """Where the tensors are found whose version counters the call has moved."""
    for root in recorder.inputs:
        source = root.source
        if source is not None:
            yield from (_moved_by(recorder, source, target) for target in root.moved.values())


def _moved_by(recorder: Recorder, source: Source, target: Tensor) -> Source:
    """Where the counter of `target` is found: `source` may be another one on the same memory."""
    if isinstance(source, Argument):
        first = recorder.arguments[source.position]
    elif isinstance(source, Captured):
        first = source.tensor
    else:
        return source
    tensor = target if target._view is None else target._view.owner
    if first._version is target._version or recorder.made(tensor):
        return source
    position = recorder.positions.get(id(tensor))
    return Captured(tensor) if position is None else Argument(position)


def _graph(
    recorder: Recorder, inputs: Sequence[Input], values: Sequence[Value], written: Sequence[Input]
) -> Graph:
    return Graph(
        tuple(root.initial for root in inputs if root.initial is not None),
        tuple(recorder.builder.nodes),
        tuple(values),
        tuple((root.initial, root.value) for root in written if root.initial is not None),
        checks=tuple(recorder.checks),
    )


def _differentiable(recorder: Recorder, results: Sequence[Tensor]) -> list[Tensor]:
    """The results made here through which a backward may still go."""
    found: dict[int, Tensor] = {}
    for tensor in results:
        node = tensor._grad_fn
        alive = tensor._requires_grad and node is not None and not _is_used_up(node)
        if alive and recorder.entry(tensor).root.source is None:
            found[id(tensor)] = tensor
    return list(found.values())


def _check_ends(recorder: Recorder, results: Sequence[Tensor], roots: Sequence[Tensor]) -> None:
    """Each replay makes views of tensors from outside, and ends of used-up tapes, by themselves:

    without hooks, and so that no way back leads there from another result.
    """
    first = recorder.first_node
    made = {
        (t._grad_fn, t._output_number) for t in results if t._requires_grad and t._grad_fn
        and t._grad_fn.sequence >= first
    }  # fmt: skip
    ends = made.difference([(root._grad_fn, root._output_number) for root in roots])
    if not ends:
        return
    edges = {edge for node in reached([node for node, _ in made], first) for edge in node.edges}
    if not ends.isdisjoint(edges):
        recorder.refuse("a result depends on another one that is a view, or behind a used-up tape")
    views = [node for node, _ in ends if not _is_used_up(node)]
    if any(node.hooks or node.watchers for node in {n for n, _ in ends} | reached(views, first)):
        recorder.refuse("a hook waits for a backward outside of the traced function")


def _is_used_up(node: Node) -> bool:
    """Whether all ways back from a node of the tape end at nodes that a backward has used up."""
    seen = {node}
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node.saved is None and node.arrays is None:
            continue
        for edge in node.edges:
            if edge is not None and type(edge) is not tuple:  # a leaf, which would get a gradient
                return False
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                waiting.append(edge[0])
        if all(edge is None for edge in node.edges):
            return False
    return True


def _results(
    recorder: Recorder,
    results: Sequence[Tensor],
    numbers: Sequence[bool],
    roots: Sequence[Tensor],
    outside: Mapping[int, Tensor],
) -> tuple[list[Output], list[Value], dict[int, tuple[int, ...]]]:
    """How each result is made at each replay, what is to be computed for that, in which order.

    `numbers` tells which results are Python numbers, `roots` are those to be differentiated.
    """
    distinct = {id(tensor): tensor for tensor in results}
    made = _Results(recorder, Counter(recorder.entry(t).root for t in distinct.values()))
    first: dict[int, int] = {}
    cotangents = {id(tensor): number for number, tensor in enumerate(roots)}
    for number, tensor in enumerate(results):
        source = recorder.entry(tensor).root.source
        known = first.setdefault(id(tensor), number)
        if isinstance(source, Late):
            made.outputs.append(source)
        elif numbers[number]:
            made.outputs.append(Number(made.add(recorder.read(tensor))))
        elif known < number:
            made.outputs.append(Again(known))
        elif source is not None and not isinstance(source, NUMBERS):
            itself = _itself(recorder, tensor, outside)
            made.outputs.append(itself or _look_into(recorder, tensor, source))
            if itself is None:
                _check_bare(recorder, tensor)
        else:
            _check_bare(recorder, tensor)
            made.outputs.append(made.fresh(tensor, cotangents.get(id(tensor))))
    return made.outputs, made.values, made.orders


def _check_bare(recorder: Recorder, tensor: Tensor) -> None:
    """A tensor that each replay makes anew is a plain one, without attributes from the user."""
    if type(tensor) is not Tensor:
        recorder.refuse(f"a {type(tensor).__name__} that the call makes leaves it")
    for name in hung(tensor):
        recorder.refuse(f"a tensor that the call makes leaves it with an attribute {name!r}")


def _itself(
    recorder: Recorder, tensor: Tensor, outside: Mapping[int, Tensor]
) -> Existing | None:
    """A result that is a tensor from outside; None for one that the call has made."""
    source = recorder.entry(tensor).root.source
    found: Source | None = None
    if id(tensor) in recorder.positions:
        found = Argument(recorder.positions[id(tensor)])
    elif id(tensor) in outside or (isinstance(source, Captured) and source.tensor is tensor):
        found = Captured(tensor)
    elif isinstance(source, AttributeTensor) and recorder.found[source] is tensor:
        found = source
    else:
        owners = [owner for owner, before in recorder.grads.values() if before is tensor]
        found = GradOf(recorder.owner(owners[0])) if owners else None
    return None if found is None else Existing(found, (), tensor._requires_grad, True, True)


def _look_into(recorder: Recorder, tensor: Tensor, source: Source) -> Existing:
    """A view of a tensor from outside."""
    detached = tensor._view is None or not tensor._view.differentiable
    if tensor._requires_grad and (detached or tensor._grad_fn is None):
        recorder.refuse("a result shares memory with a tensor from outside, but not its tape")
    chain = recorder.entry(tensor).chain
    return Existing(source, chain, tensor._requires_grad, detached, False)


def _take_out_late(recorder: Recorder, values: Sequence[Value]) -> None:
    """Numbers that effects change can be returned, and nothing else: no graph gets them."""
    late = {r.initial: r.source for r in recorder.inputs if isinstance(r.source, Late)}
    used = {value for node in recorder.builder.nodes for value in node.inputs} | set(values)
    overtaken = any(source.effects < len(recorder.effects) for source in late.values())
    if overtaken or not used.isdisjoint(late):
        recorder.refuse("a learning rate is used after its scheduler has stepped")
    recorder.inputs = [root for root in recorder.inputs if root.initial not in late]


def _note_aliases(recorder: Recorder, outside: Mapping[int, Tensor]) -> None:
    """Tensors from outside whose array was found as a gradient, or in an attribute, first."""
    for tensor in outside.values():
        entry = recorder.entries.get(id(tensor._array))
        if entry is not None and isinstance(entry.root.source, (GradOf, AttributeTensor)):
            recorder.alias(tensor._array, Captured(tensor))


def _check_overlap(recorder: Recorder) -> None:
    """A written input must not share memory with another one."""
    arrays = [root.array for root in recorder.inputs]
    for root in recorder.inputs:
        if root.written and overlaps_itself(root.array):
            recorder.refuse("a tensor written in the step has elements that share memory")
        if root.written and any(
            other is not root.array and np.may_share_memory(root.array, other)
            for other in arrays
        ):
            recorder.refuse("a tensor written in the step shares memory with another one it uses")


def _assignments(recorder: Recorder, results: list[Any]) -> list[Assignment]:
    """What is left in attributes and parameter groups; what is not constant joins the results."""
    found: list[Assignment] = []
    for (_, name), owner in recorder.assigned.items():
        value = vars(owner).get(name)
        if name not in vars(owner):
            recorder.refuse(f"{type(owner).__name__}.{name} is assigned and deleted")
        if type(value) is SymNumber and _is_late(recorder, value):
            recorder.refuse("a learning rate is kept after its scheduler has stepped")
        found.append(Assignment(owner, name, *_left(value, results)))
    for (_, key), (group, value) in recorder.entered.items():
        found.append(EntryAssignment(group, key, *_left(value, results)))
    return found


def _left(value: Any, results: list[Any]) -> tuple[int | None, Any]:
    """The place among the results of a value that a call leaves, or the value if it is constant."""
    if hasattr(value, "_array") or (type(value) is SymNumber and value.tensor is not None):
        results.append(value)
        return len(results) - 1, None
    return None, plain(value)


def _is_late(recorder: Recorder, number: SymNumber) -> bool:
    tensor = number.tensor
    return tensor is not None and isinstance(recorder.entry(tensor).root.source, Late)


class _Results:
    """Collects what a recording returns.

    Attributes:
        owners: how many results look into each root.
        values: what the graph is to compute, by place; `orders` as in `Recording`.
    """

    def __init__(self, recorder: Recorder, owners: Counter[Root]) -> None:
        self.recorder = recorder
        self.owners = owners
        self.outputs: list[Output] = []
        self.values: list[Value] = []
        self.orders: dict[int, tuple[int, ...]] = {}
        self.places: dict[Root, int] = {}
        #: of roots that several results look into: version counters; how many results require grad
        self.counters: defaultdict[Root, dict[int, list[int]]] = defaultdict(dict)
        self.on_tape: Counter[Root] = Counter()

    def add(self, value: Value) -> int:
        """Have the graph compute `value`; returns its place."""
        self.values.append(value)
        return len(self.values) - 1

    def _check_joined(
        self, tensor: Tensor, entry: Root | Window, cotangent: int | None
    ) -> None:
        """Of results that share memory one may be on the tape, and with it all share a counter."""
        root = entry.root
        self.on_tape[root] += cotangent is not None
        self.counters[root][id(tensor._version)] = tensor._version
        are_alike = len(self.counters[root]) == 1 and self.on_tape[root] == 1
        if (cotangent is not None and entry.chain) or (self.on_tape[root] and not are_alike):
            self.recorder.refuse("results that share memory require grad")

    def fresh(self, tensor: Tensor, cotangent: int | None) -> Fresh:
        """A tensor that the call has computed."""
        entry = self.recorder.entry(tensor)
        root, joined = entry.root, self.owners[entry.root] > 1
        if joined:
            self._check_joined(tensor, entry, cotangent)
        node = None if cotangent is not None else tensor._grad_fn
        tape = (node, tensor._output_number)
        chain: Chain | None = None
        may_be_kept = cotangent is not None and entry.chain  # the root, by the tape
        if not joined and not may_be_kept and tensor._array.flags.c_contiguous:
            place = self.add(self.recorder.read(tensor))
        else:
            chain = entry.chain
            if root not in self.places:
                self.places[root] = self.add(root.value)
            place = self.places[root]
            if root.order is not None:
                self.orders[place] = root.order
        return Fresh(place, chain, joined, tensor._requires_grad, tape, cotangent)
