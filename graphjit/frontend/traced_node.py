"""The place of a traced function's results on the tape: one node for each replay.

Reads the backward that `differentiate` has cut off; compiles it when it is first walked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
from .waiting import WAITING, wait

#: with more results than this, a backward from only some of them runs the forward again
MAX_ALONE = 8

#: where a tensor is found at a replay
Owner = Argument | Captured
Compile = Callable[[Graph, Sequence[tuple[int, ...]]], Any]


def tensor_of(owner: Owner, arguments: Sequence[Tensor]) -> Tensor:
    """The tensor of an owner, among the arguments of a call or captured."""
    if isinstance(owner, Argument):
        return arguments[owner.position]
    return owner.tensor


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of an array in C order, in elements."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


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

    def gradients(
        self,
        known: dict[Value, Tensor],
        wanted: Sequence[Tensor],
        present: Iterable[int],
        cotangents: Sequence[Tensor],
        create_graph: bool,
        ran: Callable[[Sequence[Tensor]], None] = lambda roots: None,
    ) -> tuple[Tensor | None, ...]:
        """The gradients of `wanted` from the roots whose numbers are `present`.

        What stands for tensors from outside is to have no part of their tape: that would be gone
        back over, and their hooks be called. `ran` is called between forward and backward,
        with all roots.
        """
        with grad_mode(True):
            for node in self.nodes:
                self._run(node, known)
            ran([known[root] for root in self.roots])
            roots = [known[self.roots[k]] for k in present]
            return grad(roots, wanted, cotangents, create_graph=create_graph, allow_unused=True)

    def _run(self, node: Node, known: dict[Value, Tensor]) -> None:
        operands = [known[v] for v in node.inputs]
        follows = self.followed.get(node)
        if follows is not None:
            pairs = zip(operands, follows, strict=True)
            operands = [x if follow else x.detach() for x, follow in pairs]
        outputs = apply(node.op, operands, node.kwargs)  # type: ignore[arg-type]
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        known.update(zip(node.outputs, outputs, strict=True))


class _StandIns:
    """Tensors next to those from outside on the tape, for a forward that is run again."""

    def __init__(self) -> None:
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
            with grad_mode(True):
                stand_in = TENSORS.permute(tensor, dims=tuple(range(tensor._array.ndim)))
            stand_in._view = None
            stand_in._array = tensor._array if array is None else array
            if array is not None and before is not None:
                stand_in._array = before.copy(order="K")
                self.copies.append((stand_in._array, array))
            pair = self.pairs[id(tensor)] = tensor, stand_in
        return pair[1]

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
        owners: whose gradients the backward gives.
        grads: these in `joint`: from all cotangents together, then from each alone.
        places: where each array that a node keeps is found: a tensor's, or an output of the
            forward by number. First those of `halves.kept`, whose strides are `strides`.
        shared: outputs of the forward that are results as well as kept, and which root each is.
        unread: what the tape of the recording kept, though the backward does not read it.
        compared: which of these a backward compares the versions of: from all cotangents together,
            then from each alone. Number k of them is number -1 - k of what a node has counted.
        name: what the node is called.
        rivals: for each cotangent, those after whose backward its own cannot be run any more.
        compile: makes an executable of a graph and the strides of its inputs.
        read: by number of a walk, what `compared_by` has found; `compiled`: its executable.
    """

    joint: Graph
    halves: Halves
    cotangents: list[Value]
    owners: list[Owner]
    grads: list[list[Value | None]]
    places: list[Owner | int]
    strides: list[tuple[int, ...]]
    shared: dict[int, int]
    unread: list[Owner | int]
    compared: list[frozenset[int]]
    again: Again
    name: str
    rivals: list[set[int]] = field(default_factory=list)
    compile: Compile | None = None
    read: dict[int, frozenset[int]] = field(default_factory=dict)
    compiled: dict[int, Walk] = field(default_factory=dict)
    lock: Any = field(default_factory=new_lock)

    def node(self, tensors: Sequence[Tensor], outputs: Sequence[np.ndarray]) -> TracedNode:
        """The node of one replay, which keeps what the backward needs."""
        edges = tuple([tensor_of(owner, tensors)._edge() for owner in self.owners])
        saved, versions = [], {}
        for number, place in enumerate(self.places):
            if isinstance(place, int):
                saved.append(outputs[place])
            else:
                tensor = tensor_of(place, tensors)
                saved.append(tensor._array)
                versions[number] = _counted(tensor)
        for number, place in enumerate(self.unread, 1):
            if not isinstance(place, int):
                versions[-number] = _counted(tensor_of(place, tensors))
        node = TracedNode(edges, tuple(saved), (), None, {}, None, len(self.cotangents))
        node.differentiated = self
        node.present, node.spent = [], set()
        node.counted = versions
        node.tensors = tuple(tensors)
        node.seen = tuple([(t._version[0], t._array) for t in self._inputs(node.tensors)])
        node.before, node.strayed = {}, False
        wait(node)
        return node

    def _inputs(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The tensors that running the forward again reads."""
        owners = [place for _, place in self.again.inputs if not isinstance(place, int)]
        return [tensor_of(owner, tensors) for owner in owners]

    def run(self, number: int, saved: Sequence[np.ndarray], grads: Sequence[Any]) -> list[Any]:
        """The gradients of the owners by a walk, by number; None where there is none."""
        walk = self.walk(number)
        specs = [value.spec for value in self._wanted(number)]
        results = [np.empty(spec.shape, spec.dtype.numpy) for spec in specs]
        passed = [np.asarray(g, order="C") for g in grads]
        kept = saved[: len(self.halves.kept)]
        if walk.executable.run(*kept, *passed, *results) != DONE:
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

    def compared_by(self, number: int) -> frozenset[int]:
        """The numbers of the arrays that must not have been written to before a walk."""
        if number not in self.read:
            graph = self._backward(number)
            operands = {v for node in graph.nodes for v in node.inputs} | set(graph.outputs)
            read = [i for i, value in enumerate(self.halves.kept) if value in operands]
            self.read[number] = self.compared[number].union(read)
        return self.read[number]

    def _cotangents(self, number: int) -> list[Value]:
        return self.cotangents if number == 0 else [self.cotangents[number - 1]]

    def _backward(self, number: int) -> Graph:
        wanted = self._wanted(number)
        return backward(self.joint, self.halves, self._cotangents(number), wanted)

    def _compiled(self, number: int) -> Walk:
        assert self.compile is not None
        strides = [*self.strides, *(contiguous_strides(v.shape) for v in self._cotangents(number))]
        wanted = [i for i, grad in enumerate(self.grads[number]) if grad is not None]
        return Walk(self.compile(self._backward(number), strides), wanted)


class TracedNode(TapeNode):
    """The tape's node for one replay of a traced function; its backward is compiled."""

    __slots__ = ("differentiated", "tensors", "seen", "before", "counted", "present", "spent",
                 "strayed")  # fmt: skip
    differentiated: Differentiated
    #: by number, for kept arrays that others can write to, and for what is not read:
    #: array, version counter, its count
    counted: dict[int, tuple[np.ndarray, list[int], int]]
    tensors: tuple[Tensor, ...]
    #: cotangents of the last backward, and those of all that have used up their part of the tape
    present: list[int]
    spent: set[int]
    #: versions and arrays of the tensors that running the forward again reads; by number of these,
    #: copies from before writes that no version has told of
    seen: tuple[tuple[int, np.ndarray], ...]
    before: dict[int, np.ndarray]
    #: whether what the replay read, or gave, has been written to and no version tells
    strayed: bool

    def name(self) -> str:
        return self.differentiated.name

    def watch(self, outputs: Sequence[tuple[int, Tensor]]) -> None:
        """Have backward notice when a result that is kept as well has been written to."""
        for place, tensor in outputs:
            if place in self.differentiated.shared:
                self.counted[self._number(place)] = _counted(tensor)

    def _number(self, place: int) -> int:
        """Where `counted` has an output of the forward."""
        places, unread = self.differentiated.places, self.differentiated.unread
        return places.index(place) if place in places else -1 - unread.index(place)

    def gradients(self, F: Any, grads: list[Any], wrap: bool) -> list[Any]:
        present = [k for k, g in enumerate(grads) if g is not None]
        if any(self.spent & self.differentiated.rivals[k] for k in present):
            raise locate(RuntimeError(FREED))
        self.present = present
        if len(present) == len(grads):
            walks = {0: grads}
        elif len(grads) <= MAX_ALONE:
            walks = {1 + k: [grads[k]] for k in present}
        else:
            walks = {}
        self._compare(walks)
        if wrap or self.strayed or not walks:
            return self._run_again(present, grads, wrap)
        assert self.saved is not None
        found = [self.differentiated.run(k, self.saved, given) for k, given in walks.items()]
        return found[0] if len(found) == 1 else [_total(p) for p in zip(*found, strict=True)]

    def keep_aside(self, array: np.ndarray, copies: dict[int, np.ndarray]) -> None:
        """Read what is about to be written to from copies: of arrays by id, shared by all nodes."""
        for number, (_, read) in enumerate(self.seen):
            if number not in self.before and np.may_share_memory(read, array):
                if id(read) not in copies:
                    copies[id(read)] = read.copy(order="K")
                self.before[number] = copies[id(read)]
        self.strayed |= any(np.may_share_memory(row[0], array) for row in self.counted.values())

    def _compare(self, walks: Iterable[int]) -> None:
        """RuntimeError if something that the tape has kept for these walks has been written to."""
        compared = frozenset().union(*map(self.differentiated.compared_by, walks))
        counted = [entry for kept, entry in self.counted.items() if kept in compared]
        self.versions = tuple(counted)
        self._unpack(False)

    def release(self) -> None:
        """Note which results were gone back from; drop what is kept once nothing can use it."""
        self.spent.update(self.present)
        self.versions = ()
        if all(self.spent & rivals for rivals in self.differentiated.rivals):
            self.saved = self.arrays = None
            self.tensors, self.seen, self.before, self.counted = (), (), {}, {}
            WAITING.pop(id(self), None)

    def _run_again(self, present: list[int], grads: list[Any], wrap: bool) -> list[Any]:
        """Gradients from the tape of the forward, run again; they can be differentiated too."""
        made, tensors, saved = self.differentiated, self.tensors, self.saved
        assert saved is not None
        for tensor, (version, _) in zip(made._inputs(tensors), self.seen, strict=True):
            if tensor._version[0] != version:
                raise_modified(self, tensor._array, tensor._version[0], version)
        stand_ins = _StandIns()
        had = iter([(array, self.before.get(k)) for k, (_, array) in enumerate(self.seen)])
        known = {
            value: Tensor._of(saved[place])
            if isinstance(place, int)
            else stand_ins.of(tensor_of(place, tensors), *next(had))
            for value, place in made.again.inputs
        }
        wanted = [stand_ins.of(tensor_of(owner, tensors)) for owner in made.owners]
        given = [grads[k] if wrap else Tensor._of(np.asarray(grads[k])) for k in present]
        create = wrap and MODE.grad

        def renew(roots: Sequence[Tensor]) -> None:
            stand_ins.renew()
            if self.strayed:
                for place, number in made.shared.items():
                    np.copyto(roots[number]._array, self.counted[self._number(place)][0])

        found = made.again.gradients(known, wanted, present, given, create, renew)
        return [g if wrap or g is None else g._array for g in found]


def _counted(tensor: Tensor) -> tuple[np.ndarray, list[int], int]:
    return tensor._array, tensor._version, tensor._version[0]


def _total(parts: Sequence[Any]) -> Any:
    """The sum of the parts that are there."""
    found = [part for part in parts if part is not None]
    return sum(found[1:], found[0]) if found else None
