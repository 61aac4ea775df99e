"""The place of a traced function's results on the tape: one node for each replay.

Reads the backward that `differentiate` has cut off; compiles it when it is first walked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import locate
from ..ir.graph import Graph, Node, Value
from ..ir.interp import DONE
from ..passes.rematerialize import Halves, backward
from .autograd import grad
from .dispatch import apply
from .locks import new_lock
from .mode import MODE, grad_mode
from .recording import Argument, Captured
from .tape import FREED, TENSORS, raise_modified
from .tape import Node as TapeNode
from .tensor import Tensor
from .waiting import done, wait

#: with more results than this, a backward from only some of them runs the forward again
MAX_ALONE = 8

#: where a tensor is found at a replay
Owner = Argument | Captured
Compile = Callable[[Graph, Sequence[tuple[int, ...]]], Any]
#: of a tensor: array, version counter, its count
Counted = tuple[np.ndarray, list[int], int]


def tensor_of(owner: Owner, arguments: Sequence[Tensor]) -> Tensor:
    """The tensor of an owner, among the arguments of a call or captured."""
    if isinstance(owner, Argument):
        return arguments[owner.position]
    return owner.tensor


def dense_strides(
    shape: Sequence[int], order: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Strides, in elements, of an array without gaps; `order` has its dimensions, outermost first,

    where that is not C's.
    """
    strides, step = [0] * len(shape), 1
    for dim in reversed(range(len(shape)) if order is None else order):
        strides[dim] = step
        step *= shape[dim]
    return tuple(strides)


@dataclass(slots=True)
class Again:
    """The forward as it was recorded, to be run on the tape: for gradients of gradients.

    Attributes:
        followed: which operands of a node the tape follows.
        inputs: with, for each, its tensor or its number among the arrays that a node keeps.
        roots: what a backward starts from.
    """

    nodes: Sequence[Node]
    followed: dict[Node, tuple[bool, ...]]
    inputs: list[tuple[Value, Owner | int]]
    roots: Sequence[Value]

    def forward(self, known: dict[Value, Tensor], results: dict[Value, Result]) -> list[Tensor]:
        """The roots, on a tape; `known` gets all else, and `results` take the place of some of it.

        To have gradients of no more than what the function did, what stands for tensors from
        outside is to have no part of their tape: it would be gone back over, their hooks be called.
        """
        with grad_mode(True):
            for node in self.nodes:
                self._run(node, known, results)
        return [known[root] for root in self.roots]

    def _run(self, node: Node, known: dict[Value, Tensor], results: dict[Value, Result]) -> None:
        operands = [known[v] for v in node.inputs]
        follows = self.followed.get(node)
        if follows is not None:
            pairs = zip(operands, follows, strict=True)
            operands = [x if follow else x.detach() for x, follow in pairs]
        outputs = apply(node.op, operands, node.kwargs)  # type: ignore[arg-type]
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        for value, tensor in zip(node.outputs, outputs, strict=True):
            if value in results and tensor._view is None:
                results[value].replace(tensor)
        known.update(zip(node.outputs, outputs, strict=True))


@dataclass(frozen=True, slots=True)
class Result:
    """A result of a replay that the tape of eager code would have kept.

    Attributes:
        written: whether it has been written to since.
    """

    counted: Counted
    written: bool

    def replace(self, output: Tensor) -> None:
        """Have the output of an op be this, for the tape too: it may be written to later.

        Once written to, it lends its version counter only.
        """
        before, node = output._array, output._grad_fn
        array, counter, count = self.counted
        if self.written:
            array = before
        output._array, output._version = array, counter
        if node is not None and node.saved:
            node.saved = tuple([array if entry is before else entry for entry in node.saved])
            node.versions = tuple([
                (array, counter, count) if row[0] is before else row for row in node.versions
            ])
            node.arrays = None


class _StandIns:
    """Tensors next to those from outside on the tape, for a forward that is run again.

    `edges` has, by id of the tensors, where gradients of those that required grad went at the
    replay: they may not require it any more.
    """

    def __init__(self, edges: dict[int, Any]) -> None:
        self.edges = edges
        self.pairs: dict[int, tuple[Tensor, Tensor]] = {}
        #: copies of arrays as they were, and the arrays
        self.copies: list[tuple[np.ndarray, np.ndarray]] = []

    def of(
        self, tensor: Tensor, array: np.ndarray | None = None, before: np.ndarray | None = None
    ) -> Tensor:
        """What stands for `tensor`, on the array that it had: it may have got new `.data` since.

        Where what was in that is known, `before` it was written to, on a copy.
        """
        pair = self.pairs.get(id(tensor))
        if pair is None:
            stand_in = self._beside(tensor, tensor._array if array is None else array)
            if array is not None and before is not None:
                stand_in._array = before.copy(order="K")
                self.copies.append((stand_in._array, array))
            pair = self.pairs[id(tensor)] = tensor, stand_in
        return pair[1]

    def _beside(self, tensor: Tensor, array: np.ndarray) -> Tensor:
        """A tensor on `array` whose gradients go where those of `tensor` went."""
        edge = self.edges.get(id(tensor))
        if edge is None:
            return Tensor._of(array)
        leaf = Tensor._of(np.zeros((), array.dtype))
        leaf._requires_grad = True
        with grad_mode(True):
            stand_in: Tensor = TENSORS.clone(leaf)  # gradients of any shape pass it as they are
        assert stand_in._grad_fn is not None
        stand_in._grad_fn.edges = (edge,)
        stand_in._array = array
        return stand_in

    def renew(self) -> None:
        """Have them hold the arrays of now, and what is in them, as leaves kept by the tape do."""
        for copy, array in self.copies:
            np.copyto(copy, array)
        for tensor, stand_in in self.pairs.values():
            stand_in._array = tensor._array


@dataclass(frozen=True, slots=True)
class Walk:
    """A compiled backward.

    Attributes:
        wanted: the numbers of the owners whose gradients it computes.
    """

    executable: Any
    wanted: list[int]


@dataclass(slots=True)
class Differentiated:
    """The backward of a recording.

    Attributes:
        joint: the canonical graph of forward and backward, and `halves` where it is cut.
        nows: inputs of the backward that it takes as they are by then, not as the forward had them.
        owners: whose gradients the backward gives.
        grads: these in `joint`: from all cotangents together, then from each alone.
        places: where each array that a node keeps is found: a tensor's, or an output of the
            forward by number. First those of `halves.kept` and `nows`, whose strides are `strides`.
        shared: outputs of the forward that are results as well as kept, by number, and their values
            in `again`.
        watched: places of what the tape of the recording kept, and may be written to.
        compared: which of these a backward compares the versions of: from all cotangents together,
            then from each alone.
        name: what the node is called.
        inner: the numbers of the results that others have been computed from.
        rivals: for each cotangent, those after whose backward its own cannot be run any more.
        compile: makes an executable of a graph and the strides of its inputs.
        compiled: walks by number, and in `read` what `read_by` has found for each.
    """

    joint: Graph
    halves: Halves
    nows: list[Value]
    cotangents: list[Value]
    owners: list[Owner]
    grads: list[list[Value | None]]
    places: list[Owner | int]
    strides: list[tuple[int, ...]]
    shared: dict[int, Value]
    watched: list[Owner | int]
    compared: list[frozenset[int]]
    again: Again
    name: str
    inner: frozenset[int] = frozenset()
    rivals: list[set[int]] = field(default_factory=list)
    compile: Compile | None = None
    read: dict[int, frozenset[int]] = field(default_factory=dict)
    compiled: dict[int, Walk] = field(default_factory=dict)
    lock: Any = field(default_factory=new_lock)

    def node(self, tensors: Sequence[Tensor], outputs: Sequence[np.ndarray]) -> TracedNode:
        """The node of one replay, which keeps what the backward needs."""
        edges = tuple([tensor_of(owner, tensors)._edge() for owner in self.owners])
        saved = tuple([
            outputs[place] if isinstance(place, int) else tensor_of(place, tensors)._array
            for place in self.places
        ])
        node = TracedNode(edges, saved, (), None, {}, None, len(self.cotangents))
        node.differentiated, node.inner = self, self.inner
        node.present, node.spent, node.before = [], set(), {}
        node.counted = {
            number: _counted(tensor_of(place, tensors))
            for number, place in enumerate(self.watched)
            if not isinstance(place, int)
        }
        node.tensors = tuple(tensors)
        node.seen = tuple([_counted(tensor_of(owner, tensors)) for owner in self.read_again()])
        wait(node)
        return node

    def read_again(self) -> list[Owner]:
        """Where the tensors are that running the forward again reads."""
        return [place for _, place in self.again.inputs if not isinstance(place, int)]

    def run(self, number: int, arrays: Sequence[np.ndarray], grads: Sequence[Any]) -> list[Any]:
        """The gradients of the owners by a walk, by number; None where there is none."""
        walk = self.walk(number)
        specs = [value.spec for value in self._wanted(number)]
        results = [np.empty(spec.shape, spec.dtype.numpy) for spec in specs]
        passed = [np.asarray(g, order="C") for g in grads]
        if walk.executable.run(*arrays, *passed, *results) != DONE:
            raise RuntimeError("an op on the host failed in the backward of a traced function")
        found: list[Any] = [None] * len(self.owners)
        for place, result in zip(walk.wanted, results, strict=True):
            found[place] = result
        return found

    def _wanted(self, number: int) -> list[Value]:
        return [grad for grad in self.grads[number] if grad is not None]

    def walk(self, number: int) -> Walk:
        """The backward from all results (0), or from one of them by number from 1."""
        with self.lock:
            if number not in self.compiled:
                self.compiled[number] = self._compiled(number)
            return self.compiled[number]

    def read_by(self, number: int) -> frozenset[int]:
        """Which of `watched` a walk computes something from again, as they were."""
        if number not in self.read:
            graph = self._backward(number)
            operands = {v for node in graph.nodes for v in node.inputs}.union(graph.outputs)
            then = [p for v, p in zip(self.halves.kept, self.places) if v in operands]
            again = [k for k, place in enumerate(self.watched) if place in then]
            self.read[number] = frozenset(again)
        return self.read[number]

    def _cotangents(self, number: int) -> list[Value]:
        return self.cotangents if number == 0 else [self.cotangents[number - 1]]

    def _backward(self, number: int) -> Graph:
        later = [*self.nows, *self._cotangents(number)]
        return backward(self.joint, self.halves, later, self._wanted(number))

    def _compiled(self, number: int) -> Walk:
        assert self.compile is not None
        strides = [*self.strides, *(dense_strides(v.shape) for v in self._cotangents(number))]
        wanted = [i for i, grad in enumerate(self.grads[number]) if grad is not None]
        return Walk(self.compile(self._backward(number), strides), wanted)


class TracedNode(TapeNode):
    """The tape's node for one replay of a traced function; its backward is compiled."""

    __slots__ = ("differentiated", "inner", "tensors", "seen", "before", "counted", "present",
                 "spent")  # fmt: skip
    differentiated: Differentiated
    tensors: tuple[Tensor, ...]
    #: of the tensors that running the forward again reads
    seen: tuple[Counted, ...]
    #: by id, arrays as they were before they were written to
    before: dict[int, np.ndarray]
    #: by number among `watched`
    counted: dict[int, Counted]
    #: cotangents of the last backward, and those of all that have used up their part of the tape
    present: list[int]
    spent: set[int]

    def name(self) -> str:
        return self.differentiated.name

    def watch(self, outputs: Sequence[np.ndarray], results: Sequence[tuple[int, Tensor]]) -> None:
        """Have backward notice when a result that is kept as well has been written to.

        `results` are those on the tape, with the numbers of the outputs that they are, or are views
        of.
        """
        made = self.differentiated
        for place, tensor in results:
            if place in made.shared and place in made.watched:
                _, counter, count = _counted(tensor)
                self.counted[made.watched.index(place)] = outputs[place], counter, count

    def keep_aside(self, array: np.ndarray, copies: dict[int, np.ndarray | None]) -> None:
        """Keep what is about to be written to as it is.

        `copies`, by id, are those of all nodes; None for arrays that do not share memory with it.
        """
        read = (self.saved or ())[: len(self.differentiated.strides)]
        for mine in (*read, *(array for array, _, _ in self.seen)):
            if id(mine) not in copies:
                shares = np.may_share_memory(mine, array)
                copies[id(mine)] = mine.copy(order="K") if shares else None
            copy = copies[id(mine)]
            if copy is not None:
                self.before.setdefault(id(mine), copy)

    def keep_read(self, version: list[int], copies: dict[int, np.ndarray]) -> None:
        """Keep what was read from tensors with this version counter as it is.

        `copies`, by id of the arrays, are those of all nodes.
        """
        for array, counter, _ in self.seen:
            if counter is version and id(array) not in self.before:
                if id(array) not in copies:
                    copies[id(array)] = array.copy(order="K")
                self.before[id(array)] = copies[id(array)]

    def gradients(self, F: Any, grads: list[Any], wrap: bool) -> list[Any]:
        walks = self._begin(grads)
        if wrap or not walks:
            return self._run_again(grads, wrap)
        found = [self._run(walk, given) for walk, given in walks.items()]
        return found[0] if len(found) == 1 else [_total(p) for p in zip(*found, strict=True)]

    def recomputed(self, grads: Sequence[Any]) -> Sequence[Tensor]:
        self._set_present(grads)
        return self._forward(self._stand_ins())  # whose tape compares what is gone back over

    def refuses(self, grads: Sequence[Any]) -> bool:
        rows = self._compared(self._walks(grads))
        return any(counter[0] != count for _, counter, count in rows)

    def _stand_ins(self) -> _StandIns:
        owners = [tensor_of(owner, self.tensors) for owner in self.differentiated.owners]
        pairs = zip(owners, self.edges, strict=True)
        return _StandIns({id(tensor): edge for tensor, edge in pairs})

    def _begin(self, grads: Sequence[Any]) -> dict[int, Sequence[Any]]:
        """What `_walks` gives, for a backward that sets out.

        RuntimeError if this part of the tape was used up, or what it has kept was written to.
        """
        self._set_present(grads)
        walks = self._walks(grads)
        self.versions = self._compared(walks)
        self._unpack(False)
        return walks

    def _walks(self, grads: Sequence[Any]) -> dict[int, Sequence[Any]]:
        """Walks by number, and their cotangents; none if there are too many."""
        present = [k for k, g in enumerate(grads) if g is not None]
        if len(present) == len(grads):
            return {0: grads}
        return {1 + k: [grads[k]] for k in present} if len(grads) <= MAX_ALONE else {}

    def _set_present(self, grads: Sequence[Any]) -> None:
        """Note which cotangents there are; RuntimeError if this part of the tape was used up."""
        present = [k for k, g in enumerate(grads) if g is not None]
        if any(self.spent & self.differentiated.rivals[k] for k in present):
            raise locate(RuntimeError(FREED))
        self.present = present

    def _compared(self, walks: Iterable[int]) -> tuple[Counted, ...]:
        """What the tape has kept for these walks, and may not have been written to."""
        made = self.differentiated
        compared = frozenset().union(*[made.compared[walk] for walk in walks])
        read = frozenset().union(*map(made.read_by, walks))
        return tuple([
            row for number, row in self.counted.items()
            if number in compared or (number in read and id(row[0]) not in self.before)
        ])

    def _run(self, walk: int, grads: Sequence[Any]) -> list[Any]:
        assert self.saved is not None
        made = self.differentiated
        kept = len(made.halves.kept)
        then, now = self.saved[:kept], self.saved[kept : len(made.strides)]
        if self.before:
            then = tuple([self.before.get(id(array), array) for array in then])
        return made.run(walk, (*then, *now), grads)

    def release(self) -> None:
        """Note which results were gone back from; drop what is kept once nothing can use it."""
        self.spent.update(self.present)
        self.versions = ()
        if all(self.spent & rivals for rivals in self.differentiated.rivals):
            self.saved = self.arrays = None
            self.tensors, self.seen, self.before, self.counted = (), (), {}, {}
            done(id(self))

    def _run_again(self, grads: Sequence[Any], wrap: bool) -> list[Any]:
        """Gradients from the tape of the forward, run again; they can be differentiated too."""
        stand_ins, create_graph = self._stand_ins(), wrap and MODE.grad
        roots = self._forward(stand_ins)
        wanted = [stand_ins.of(tensor_of(o, self.tensors)) for o in self.differentiated.owners]
        given = [grads[k] if wrap else Tensor._of(np.asarray(grads[k])) for k in self.present]
        with grad_mode(True):
            found = grad(
                [roots[k] for k in self.present], wanted, given,
                create_graph=create_graph, allow_unused=True,
            )  # fmt: skip
        return [g if wrap or g is None else g._array for g in found]

    def _forward(self, stand_ins: _StandIns) -> list[Tensor]:
        """The results, on the tape of the forward that is run again on what it had read.

        RuntimeError if versions tell of writes to that and no copy was put aside.
        """
        made, tensors, saved = self.differentiated, self.tensors, self.saved
        assert saved is not None
        compared = {id(counter) for _, counter, _ in self.counted.values()}
        for owner, (array, counter, count) in zip(made.read_again(), self.seen, strict=True):
            before = self.before.get(id(array))
            if counter[0] != count and before is None:
                raise_modified(self, array, counter[0], count)
            stand_in = stand_ins.of(tensor_of(owner, tensors), array, before)
            if id(counter) in compared:
                stand_in._version = counter
        known = {
            value: Tensor._of(saved[place])
            if isinstance(place, int)
            else stand_ins.of(tensor_of(place, tensors))
            for value, place in made.again.inputs
        }
        results: dict[Value, Result] = {}
        for number, row in self.counted.items():
            place = made.watched[number]
            if isinstance(place, int):
                written = row[1][0] != row[2] or id(row[0]) in self.before
                results[made.shared[place]] = Result(row, written)
        with _as_of([*self.seen, *self.counted.values()]):
            roots = made.again.forward(known, results)
        stand_ins.renew()
        for place, array in zip(made.places, saved):
            if isinstance(place, int) and place in made.shared and id(array) in self.before:
                np.copyto(known[made.shared[place]]._array, array)
        return roots


def _counted(tensor: Tensor) -> Counted:
    return tensor._array, tensor._version, tensor._version[0]


@contextmanager
def _as_of(seen: Iterable[Counted]) -> Iterator[None]:
    """Have version counters stand where they stood: what a tape keeps meanwhile is from then."""
    moved = {id(counter): (counter, counter[0] - count) for _, counter, count in seen}.values()
    for counter, steps in moved:
        counter[0] -= steps
    try:
        yield
    finally:
        for counter, steps in moved:
            counter[0] += steps


def _total(parts: Sequence[Any]) -> Any:
    """The sum of the parts that are there."""
    found = [part for part in parts if part is not None]
    return sum(found[1:], found[0]) if found else None
