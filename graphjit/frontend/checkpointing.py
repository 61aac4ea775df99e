"""A part of the tape that keeps what went into it, and is computed again by backward.

Reads the tape that a function's run has made; puts one node in its place. Backward, when it gets
there, runs the function again and goes on through the tape that this makes (Chen et al., "Training
deep nets with sublinear memory cost", 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from .. import config
from ..device import CPU
from ..errors import CheckpointError, locate
from .mode import MODE, grad_mode
from .pytree import flatten, unflatten
from .random import default_generator, fork_rng
from .size import Size
from .tape import FREED, TENSORS, Node, sequence
from .tensor import Tensor

PREFIX = f"{config.NAMESPACE}.utils.checkpoint"
TIP = "Tip: To see a more detailed error message, pass `debug=True` to `checkpoint(...)`."
#: no function returns this
NOTHING = object()

#: what a tape keeps: for each tensor, the node that keeps it, and what it looks like
Kept = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Options:
    """How a function is checkpointed; the fields are those of `utils.checkpoint.checkpoint`.

    Attributes:
        contexts: context managers for the run and for the repeated one.
    """

    preserve_rng_state: bool
    contexts: tuple[AbstractContextManager[Any], AbstractContextManager[Any]]
    determinism_check: bool
    debug: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A call that can be made again: `tree` has its arguments, without the tensors among them."""

    function: Callable[..., Any]
    tree: Any
    position: tuple[int, int, int]
    options: Options

    def repeat(self, leaves: Sequence[Any]) -> Any:
        """Call the function as it was called, drawing the random numbers that it drew."""
        args, kwargs = unflatten(self.tree, iter(leaves))
        preserve = self.options.preserve_rng_state
        with fork_rng(enabled=preserve):
            if preserve:
                default_generator.move_to(self.position)
            with grad_mode(True), self.options.contexts[1]:
                return self.function(*args, **kwargs)


def checkpointed(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: Options
) -> Any:
    """`function(*args, **kwargs)`, of whose tape only one node is kept."""
    if not MODE.grad:
        return function(*args, **kwargs)
    leaves: list[Any] = []
    tree = flatten((args, kwargs), leaves, lambda value: value)
    versions = [_version(leaf) for leaf in leaves if isinstance(leaf, Tensor)]
    call = Call(function, tree, default_generator.position(), options)
    first, changes = next(sequence), _changes()
    result: Any = NOTHING
    with options.contexts[0]:
        result = function(*args, **kwargs)
    if result is NOTHING:
        raise locate(RuntimeError(
            f"{PREFIX}: the forward context provided by context_fn suppressed an exception raised "
            "during the checkpointed forward. This is not supported because checkpoint cannot "
            "return a value for a failed forward."
        ))
    roots = _roots(result, first)
    if roots:
        part = _Part(roots, first)
        node = CheckpointNode(
            tuple(part.edges.values()), tuple(leaves), (*versions, *part.versions()), None, {},
            None, len(roots),
        )  # fmt: skip
        node.call, node.kept, node.is_pure = call, part.kept(), changes == _changes()
        for number, root in enumerate(roots):
            root._grad_fn, root._output_number = node, number
    return result


class CheckpointNode(Node):
    """The tape's node for a checkpointed call: `saved` are the tensors among its arguments."""

    __slots__ = ("call", "kept", "is_pure")
    is_checkpoint = True
    single = False
    is_pure: bool
    call: Call
    #: what the tape of the call had kept
    kept: Kept

    def name(self) -> str:
        return "CheckpointFunctionBackward"

    def recomputed(self, grads: Sequence[Any]) -> Sequence[Tensor]:
        """The outputs, computed again on a tape of their own; one for each of `grads`.

        CheckpointError if the function does something else than it did, RuntimeError if what it
        was given has been written to since.
        """
        if self.saved is None:
            raise locate(RuntimeError(FREED))
        self._unpack(False)  # compares versions
        leaves = self.saved if MODE.recorder is None else _after(grads, self.saved)
        first = next(sequence)
        roots = _roots(self.call.repeat(leaves), first)
        self._compare(roots, first)
        if self.hooks is not None:  # they were meant for the op that gave the output
            node: Any = roots[0]._grad_fn
            node.hooks = [*(node.hooks or ()), *self.hooks]
        return roots

    def _compare(self, roots: Sequence[Tensor], first: int) -> None:
        options = self.call.options
        kept = _Part(roots, first).kept()
        problem = ""
        if options.determinism_check:
            problem = _difference(self.kept, kept)
        if len(roots) != self.outputs_count:
            problem = problem or "The recomputation has another number of outputs."
        if problem:
            log = _log(self.kept, kept) if options.debug else TIP
            raise locate(CheckpointError(f"{PREFIX}: {problem}\n{log}"))

    def release(self) -> None:
        super().release()
        self.arrays = None


def _changes() -> int:
    """How often a call that is being recorded has changed something."""
    return 0 if MODE.recorder is None else MODE.recorder.changes


def _after(grads: Sequence[Any], leaves: Sequence[Any]) -> Sequence[Any]:
    """`leaves`, but a recording that uses them has to wait until one of `grads` is known."""
    with grad_mode(True):
        first = next(grad for grad in grads if grad is not None)
        return [TENSORS.barrier(x, first) if isinstance(x, Tensor) else x for x in leaves]


def _version(tensor: Tensor) -> tuple[Any, list[int], int]:
    return (tensor._array, tensor._version, tensor._version[0])


def _roots(result: Any, first: int) -> list[Tensor]:
    """The tensors in `result` that the tape since `first` leads to, and what they are views of."""
    leaves: list[Any] = []
    flatten(result, leaves, lambda value: value)
    found: dict[int, Tensor] = {}
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            base = leaf._view.base if leaf._view is not None else leaf
            for tensor in (leaf, base):
                if tensor._tracked() and _is_since(tensor._grad_fn, first):
                    found[id(tensor)] = tensor
    return list(found.values())


def _is_since(node: Node | None, first: int) -> bool:
    return node is not None and node.sequence > first


class _Part:
    """The tape between `roots` and what there was before `first`.

    Attributes:
        nodes: oldest first.
        edges: where it leads to, by key.
    """

    def __init__(self, roots: Sequence[Tensor], first: int) -> None:
        self.first = first
        self.edges: dict[Any, Any] = {}
        found: set[Node] = set()
        stack: list[Any] = [root._grad_fn for root in roots]
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                stack += [edge[0] for edge in node.edges if self._leads_on(edge)]
        self.nodes = sorted(found, key=lambda node: node.sequence)

    def _leads_on(self, edge: Any) -> bool:
        """Whether the tape goes on there; notes where it does not."""
        if type(edge) is tuple and edge[0].sequence > self.first:
            return True
        if edge is not None:
            self.edges[edge if type(edge) is tuple else id(edge)] = edge
        return False

    def _saved(self) -> Iterator[tuple[Node, Any]]:
        """The arrays and tensors that the nodes keep."""
        for node in self.nodes:
            context = getattr(node, "context", None)
            for entry in (node.saved if context is None else context.saved) or ():
                if hasattr(entry, "dtype") and hasattr(entry, "shape"):
                    yield node, entry

    def kept(self) -> Kept:
        """What the nodes keep, as they keep it."""
        return [(node.name(), _metadata(entry)) for node, entry in self._saved()]

    def versions(self) -> list[tuple[Any, list[int], int]]:
        """What the tape would compare of tensors from outside that require grad."""
        outer = {id(t._version) for _, t in self._saved() if isinstance(t, Tensor)
                 and t._requires_grad and not _is_since(t._grad_fn, self.first)}  # fmt: skip
        return [row for node in self.nodes for row in node.versions if id(row[1]) in outer]


def _metadata(entry: Any) -> dict[str, Any]:
    tensor = entry if isinstance(entry, Tensor) else Tensor._of(entry)
    return {"shape": Size(tensor._array.shape), "dtype": tensor.dtype, "device": CPU}


def _difference(before: Kept, after: Kept) -> str:
    """What is different about the tensors that were kept; nothing if they look the same."""
    if len(before) != len(after):
        return (
            "A different number of tensors was saved during the original forward and "
            f"recomputation.\nNumber of tensors saved during forward: {len(before)}\n"
            f"Number of tensors saved during recomputation: {len(after)}."
        )
    rows = [
        f"tensor at position {number}:\nsaved metadata: {was}\nrecomputed metadata: {now}\n"
        for number, ((_, was), (_, now)) in enumerate(zip(before, after, strict=True))
        if was != now
    ]
    if not rows:
        return ""
    return (
        "Recomputed values for the following tensors have different metadata than during the "
        f"forward pass.\n{''.join(rows)}."
    )


def _log(before: Kept, after: Kept) -> str:
    """Which nodes kept what, then and now."""
    texts = ["\n".join(f"{name}: {what}" for name, what in kept) for kept in (before, after)]
    return (
        f"Saved during the original forward:\n\n{texts[0]}\n\n"
        f"Saved during recomputation:\n\n{texts[1]}\n"
    )
