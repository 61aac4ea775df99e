"""The backward of a recording whose results a later backward may start from.

Walks the tape of the results with cotangents as further inputs, while recording, so that forward
and backward are one joint graph; has that cut in two (`passes.rematerialize`). At a replay the
forward returns what the backward needs too, and a `TracedNode` on the ordinary tape keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TraceRefused
from ..ir.graph import Builder, Graph, Node, Value
from ..passes import pipeline
from ..passes.rematerialize import split
from .autograd import grad
from .boundary import BoundaryWalk
from .mode import MODE, grad_mode
from .quiet import QUIET, restore, silence
from .recording import (
    Argument,
    Captured,
    Chain,
    Cotangent,
    Fresh,
    Recording,
    element_strides,
)
from .tape import Node as TapeNode
from .tape import edge_key, reached
from .tensor import Tensor
from .traced_node import MAX_ALONE, Again, Differentiated, Owner, dense_strides, tensor_of

if TYPE_CHECKING:
    from .recorder import Input, Recorder, Root

#: where the walk ended, by key, and a tensor there
Inputs = dict[Any, Owner]


def differentiate(
    recorder: Recorder,
    recording: Recording,
    roots: Sequence[Tensor],
    results: Sequence[Tensor],
    outside: Mapping[int, Tensor],
) -> None:
    """Give `recording` a backward from `roots`, some of its `results`.

    `outside` has the tensors from outside that replays find, by id. TraceRefused where the backward
    cannot be known by now.
    """
    nodes, inputs = _forward_of(recorder, roots)
    values = [recorder.read(root) for root in roots]
    points = len(recorder.points)
    cotangents = [_cotangent(recorder, root, number) for number, root in enumerate(roots)]
    recorded = len(recorder.builder.nodes)
    walks = [_walk(recorder, roots, cotangents)]
    if 1 < len(roots) <= MAX_ALONE:
        walks += [_walk(recorder, [r], [g]) for r, g in zip(roots, cotangents, strict=True)]
    owners = _owners(recorder, walks[0], results)
    grads = [
        [recorder.read(walk.found[key][1]) if key in walk.found else None for key in owners]
        for walk in walks
    ]
    if len(recorder.points) > points:
        recorder.refuse("a backward that is yet to come looks at values")
    if recorder.refusal is not None:
        raise TraceRefused(recorder.refusal)
    again = Again(nodes, recorder.followed, [], values)
    _verify(recorder, again, inputs, owners, walks[0], cotangents)
    joint = _Joint(recorder, recording, [recorder.read(g) for g in cotangents], recorded)
    joint.share(roots, walks, outside)
    recording.backward = joint.cut(owners, grads, again, inputs)
    recording.backward.inner = _inner(roots, recorder.first_node)
    recording.backward.rivals = _rivals(roots, recorder.first_node)


def _rivals(roots: Sequence[Tensor], first: int) -> list[set[int]]:
    """For each root, those whose backward uses up what its own needs, perhaps itself."""
    kept = [_keeping(root, first) for root in roots]
    return [{k for k, theirs in enumerate(kept) if mine & theirs} for mine in kept]


def _inner(roots: Sequence[Tensor], first: int) -> frozenset[int]:
    """The numbers of those roots that others have been computed from."""
    nodes = reached([root._grad_fn for root in roots if root._grad_fn is not None], first)
    edges = {edge for node in nodes for edge in node.edges}
    return frozenset(k for k, root in enumerate(roots) if root._edge() in edges)


def _keeping(root: Tensor, first: int) -> set[TapeNode]:
    """The nodes behind `root`, from number `first` on, that have kept tensors for a backward."""
    nodes = [] if root._grad_fn is None else [root._grad_fn]
    return {node for node in reached(nodes, first) if node.keeps}


def _forward_of(recorder: Recorder, roots: Sequence[Tensor]) -> tuple[list[Node], list[Input]]:
    """The recorded nodes that compute `roots`, and the inputs that they read."""
    needed: set[Value] = {recorder.read(root) for root in roots}
    nodes = []
    for node in reversed(recorder.builder.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            nodes.append(node)
    inputs = [root for root in recorder.inputs if root.initial in needed]
    if any(root.written for root in inputs):
        raise TraceRefused("what a later backward needs is written to in the traced function")
    return nodes[::-1], inputs


def _cotangent(recorder: Recorder, root: Tensor, number: int) -> Tensor:
    """A further input: the gradient of a result. Its elements here are any."""
    rng = np.random.default_rng(number)
    array = np.asarray(rng.uniform(0.5, 1.5, root._array.shape)).astype(root._array.dtype)
    recorder.add_input(array, Cotangent(number))
    return Tensor._of(array)


def _walk(
    recorder: Recorder, roots: Sequence[Tensor], cotangents: Sequence[Tensor]
) -> BoundaryWalk:
    """The backward from `roots`, recorded."""
    before, MODE.grad, MODE.recorder = MODE.grad, False, recorder
    token = silence(QUIET)
    try:
        walk = BoundaryWalk(recorder.first_node)
        walk.run(roots, cotangents)
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise TraceRefused(f"a backward that is yet to come would fail: {reason}") from None
    finally:
        restore(token)
        MODE.grad, MODE.recorder = before, None
    return walk


def _owners(recorder: Recorder, walk: BoundaryWalk, results: Sequence[Tensor]) -> Inputs:
    """Whose gradients the backward gives: for each edge where the walk ended, a tensor there.

    A leaf that the function has made, and keeps to itself, needs none.
    """
    known: dict[Any, Tensor] = {}
    for tensor, _ in recorder.tapes:
        if tensor._tracked():
            known.setdefault(edge_key(tensor), tensor)
    found: Inputs = {}
    for key, (edge, _) in walk.found.items():
        if key in known:
            position = recorder.positions.get(id(known[key]))
            found[key] = Captured(known[key]) if position is None else Argument(position)
        elif not isinstance(edge, Tensor) or any(edge is result for result in results):
            raise TraceRefused("the tape of a result leads to a tensor that was not passed")
    return found


def _verify(
    recorder: Recorder,
    again: Again,
    inputs: Sequence[Input],
    owners: Inputs,
    walk: BoundaryWalk,
    cotangents: Sequence[Tensor],
) -> None:
    """Run again, the forward must have the gradients of the tape that was recorded.

    Gradients of gradients rely on that. TraceRefused where it is not so.
    """
    arguments = [tensor for tensor, _ in recorder.tapes]
    sources = _sources(inputs, owners, arguments)
    leaves: dict[int, Tensor] = {}

    def leaf(tensor: Tensor) -> Tensor:
        if id(tensor) not in leaves:
            made = leaves[id(tensor)] = Tensor._of(tensor._array)
            made._requires_grad = tensor._tracked()
        return leaves[id(tensor)]

    known = {
        root.value: Tensor._of(root.array) if source is None else leaf(tensor_of(source, arguments))
        for root, source in zip(inputs, sources, strict=True)
    }
    wanted = [leaf(tensor_of(owner, arguments)) for owner in owners.values()]
    try:
        with grad_mode(True):
            found = grad(again.forward(known, {}), wanted, cotangents, allow_unused=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise TraceRefused(f"a backward that is yet to come would fail: {reason}") from None
    for key, gradient in zip(owners, found, strict=True):
        expected = walk.found[key][1]._array
        scale = float(np.abs(expected).max(initial=0)) + 1e-30
        same = gradient is not None and np.allclose(
            gradient._array / scale, expected / scale, 1e-3, 1e-3, equal_nan=True
        )
        if not same:
            raise TraceRefused("a backward that is yet to come depends on more than values")


def _sources(
    inputs: Sequence[Input], owners: Inputs, arguments: Sequence[Tensor]
) -> list[Owner | None]:
    """The tensor of each input, if it is one: that which the tape leads to, of several on an array.
    """
    by_array = {id(tensor_of(owner, arguments)._array): owner for owner in owners.values()}
    return [
        by_array.get(id(r.array), r.source) if isinstance(r.source, (Argument, Captured)) else None
        for r in inputs
    ]


class _Joint:
    """The graph of a recording and its backward, about to be cut in two.

    What the tape itself has kept, and others can write to, occurs twice in it: as it was when the
    forward ran, and as it is when the backward does.
    """

    def __init__(
        self,
        recorder: Recorder,
        recording: Recording,
        cotangents: Sequence[Value],
        recorded: int,
    ) -> None:
        self.recorder = recorder
        self.recording = recording
        self.cotangents = list(cotangents)
        #: how many nodes are the forward's
        self.recorded = recorded
        self.name = ""
        self.inputs = [r for r in recorder.inputs if not isinstance(r.source, Cotangent)]
        #: by place, results that are kept as well
        self.shared: dict[int, Value] = {}
        #: what the tape has kept: values of the forward, and what stands for them in the backward
        self.now: dict[Value, Value] = {}
        #: where these are found
        self.places: dict[Value, Owner | int] = {}
        #: views of them, as they are in the forward
        self.views: dict[Value, tuple[Value, Chain]] = {}
        #: the version counters, by id, that belong to places; what each walk back compares
        self.versions: dict[Owner | int, int] = {}
        self.counters: list[set[int]] = []

    def share(
        self, roots: Sequence[Tensor], walks: Sequence[BoundaryWalk], outside: Mapping[int, Tensor]
    ) -> None:
        """Find the tensors that the tape has kept, and the walk from all roots has come by."""
        assert roots[0]._grad_fn is not None
        self.name = roots[0]._grad_fn.name()
        self.counters = [{counter for _, counter in walk.kept} for walk in walks]
        entries = self.recorder.entries
        kept = {entries[array].root for array, _ in walks[0].kept if array in entries}
        arguments = [tensor for tensor, _ in self.recorder.tapes]
        read = kept | self._read_later()
        for root in self.inputs:
            if isinstance(root.source, (Argument, Captured)) and root in read:
                tensor = tensor_of(root.source, arguments)
                self._add(root.value, root.source, tensor)
        for tensor in outside.values():  # others that have the same arrays, with other counters
            counter = id(tensor._version)
            more = counter in self.counters[0] and counter not in self.versions.values()
            if more and id(tensor._array) in entries:
                self.versions[Captured(tensor)] = counter
        for out in self.recording.outputs:
            if isinstance(out, Fresh) and out.cotangent is not None:
                tensor = roots[out.cotangent]
                if self.recorder.entry(tensor).root in kept:
                    value = self.shared[out.place] = self.recording.graph.outputs[out.place]
                    self._add(value, out.place, tensor)
        for entry in entries.values():
            if entry.chain and entry.root.value in self.now and entry.version == entry.root.version:
                self.views[entry.value] = entry.root.value, entry.chain

    def _read_later(self) -> set[Root]:
        """What checkpoints and the user's own backwards read, by themselves, when that runs."""
        values = {v for node in self.recorder.builder.nodes[self.recorded :] for v in node.inputs}
        return {entry.root for entry in self.recorder.entries.values() if entry.value in values}

    def _add(self, value: Value, place: Owner | int, tensor: Tensor) -> None:
        if value not in self.now:
            now = self.now[value] = Value(value.spec)
            self.places[now] = place
        if id(tensor._version) in self.counters[0]:
            self.versions[place] = id(tensor._version)

    def cut(
        self,
        owners: Inputs,
        grads: list[list[Value | None]],
        again: Again,
        inputs: Sequence[Input],
    ) -> Differentiated:
        """Make the recording's graph the forward; returns the backward."""
        results = len(self.recording.graph.outputs)
        joint = pipeline.canonical(self._graph([g for row in grads for g in row if g is not None]))
        owned: dict[Any, Any] = {
            r.initial: r.source for r in self.inputs if r.source in self.versions
        }
        free: dict[Value, Owner | int] = {}
        for root in self.inputs:
            if root.initial in owned and not root.written:
                free[root.value] = owned[root.initial]
        free.update((value, owned[initial]) for initial, value in joint.updates if initial in owned)
        made = [(joint.outputs[i], i) for i in self.shared if i in self.versions]
        free.update((value, i) for value, i in made if value not in joint.inputs)
        halves = split(joint, results, [*self.places, *self.cotangents], free)
        free.update(zip(halves.computed, range(results, results + len(halves.computed))))
        operands = {v for node in joint.nodes for v in node.inputs}.union(joint.outputs)
        nows = [value for value in self.places if value in operands]
        places = [free[v] for v in halves.kept] + [self.places[v] for v in nows]
        values = (*halves.kept, *nows)
        strides = [self._strides(*pair) for pair in zip(values, places, strict=True)]
        sources = _sources(inputs, owners, [tensor for tensor, _ in self.recorder.tapes])
        numbers = self._keep_numbers(halves.forward, inputs, sources, again, places)
        self._replace_forward(numbers)
        found = iter(joint.outputs[results:])
        rows = [[None if g is None else next(found) for g in row] for row in grads]
        return Differentiated(
            joint, halves, nows, self.cotangents, list(owners.values()), rows, places, strides,
            self.shared, list(self.versions), self._compared(), again, self.name,
        )  # fmt: skip

    def _compared(self) -> list[frozenset[int]]:
        """Which tensors each walk back compares, by their numbers in `watched`."""
        versions = list(enumerate(self.versions.values()))
        return [frozenset(k for k, version in versions if version in c) for c in self.counters]

    def _graph(self, grads: Sequence[Value]) -> Graph:
        """Forward and backward together."""
        before, builder = self.recording.graph, Builder()

        def now(value: Value) -> Value:
            if value in self.views and value not in self.now:
                root, chain = self.views[value]
                result = self.now[root]
                for op, attrs in chain:
                    result = builder.add(op, (result,), attrs)[0]
                self.now[value] = result
            return self.now.get(value, value)

        for number, node in enumerate(self.recorder.builder.nodes):
            if number < self.recorded:
                builder.append(node)
            else:
                builder.append(replace(node, inputs=tuple(map(now, node.inputs))))
        results = tuple(map(now, grads))
        return Graph(
            (*(r.initial for r in self.inputs if r.initial), *self.places, *self.cotangents),
            tuple(builder.nodes),
            (*before.outputs, *results),
            before.updates,
            checks=before.checks,
        )

    def _strides(self, value: Value, place: Owner | int) -> tuple[int, ...]:
        """Strides, in elements, of an array that the backward reads, where it finds it."""
        for root in self.inputs:
            if root.source is place:
                return element_strides(root.array)
        order = self.recording.orders.get(place) if isinstance(place, int) else None
        return dense_strides(value.shape, order)

    def _keep_numbers(
        self,
        forward: Graph,
        inputs: Sequence[Input],
        sources: Sequence[Owner | None],
        again: Again,
        places: list[Owner | int],
    ) -> Graph:
        """`forward`, also returning the numbers that running it again takes."""
        outputs = list(forward.outputs)
        for root, source in zip(inputs, sources, strict=True):
            if source is not None:
                again.inputs.append((root.value, source))
            else:
                again.inputs.append((root.value, len(places)))
                places.append(len(outputs))
                outputs.append(root.value)
        return replace(forward, outputs=tuple(outputs))

    def _replace_forward(self, forward: Graph) -> None:
        recording = self.recording
        recording.graph = forward
        recording.sources = [r.source for r in self.inputs if r.source is not None]
        recording.strides = [element_strides(r.array) for r in self.inputs]
