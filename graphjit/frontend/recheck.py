"""`GRAPHJIT_CHECK=3`: every replay is undone, run again eagerly, and compared.

Reads a variant and the arguments of a call; what the eager run gives and leaves behind stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import VerifyError
from .pytree import flatten
from .recording import Captured
from .tensor import Tensor

if TYPE_CHECKING:
    from .variant import Stop, Variant

#: how far replayed numbers may be from eager ones, as a share of the largest of the array
TOLERANCE = {"e": 2e-2, "f": 2e-3, "d": 1e-8, "F": 2e-3, "D": 1e-8}


def rechecked(
    variant: Variant,
    tensors: Sequence[Tensor],
    numbers: Sequence[float],
    eager: Callable[[], Any],
) -> tuple[Stop | None, Any]:
    """What `variant.replay` does, checked against `eager()`, whose result is returned.

    VerifyError where the two differ. A call with Python effects, which cannot be undone, is not
    replayed at all.
    """
    if variant.recording.effects:
        return None, eager()
    state = _State(variant, tensors)
    stop, replayed = variant.replay(tensors, numbers)
    if stop is not None:
        return stop, None
    found = [*_arrays(replayed), *state.look()]
    state.restore()
    result = eager()
    expected = [*_arrays(result), *state.look()]
    if len(found) != len(expected):
        raise VerifyError("a replay gives other results than eager code")
    for number, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        _compare(number, mine, theirs)
    return None, result


class _State:
    """All that a replay may change, as it was before."""

    def __init__(self, variant: Variant, tensors: Sequence[Tensor]) -> None:
        recording = variant.recording
        captured = [s.tensor for s in recording.sources if isinstance(s, Captured)]
        owners = [tensors[o] if isinstance(o, int) else o for o, _ in recording.grads]
        self.tensors = list({id(t): t for t in (*tensors, *captured, *owners)}.values())
        grads = [t._grad for t in self.tensors if t._grad is not None]
        self.grads = [(t, t._grad) for t in self.tensors]
        self.arrays = [(t._array, t._array.copy()) for t in (*self.tensors, *grads)]
        self.assigned = [(a, a.read()) for a in recording.assignments]
        self.generators = [(g, g.offset) for g, _ in recording.draws.values()]

    def restore(self) -> None:
        """Undo what has happened since."""
        for array, before in self.arrays:
            if array.size and array.flags.writeable and 0 not in array.strides:
                np.copyto(array, before)
        for tensor, grad in self.grads:
            tensor._grad = grad
        for assignment, value in self.assigned:
            assignment.write(value)
        for generator, offset in self.generators:
            generator.offset = offset

    def look(self) -> list[Any]:
        """Copies of everything, as it is now."""
        grads = [None if t._grad is None else t._grad._array.copy() for t in self.tensors]
        assigned = [assignment.read() for assignment, _ in self.assigned]
        offsets = [generator.offset for generator, _ in self.generators]
        arrays = [tensor._array.copy() for tensor in self.tensors]
        return [*arrays, *grads, *_arrays(assigned), *offsets]


def _arrays(value: Any) -> Iterator[Any]:
    """Copies of the tensors in `value`, then its tree."""
    leaves: list[Tensor] = []
    tree = flatten(value, leaves, repr)
    yield from (tensor._array.copy() for tensor in leaves)
    yield repr(tree) if not leaves else len(leaves)


def _compare(number: int, found: Any, expected: Any) -> None:
    if not isinstance(found, np.ndarray) or not isinstance(expected, np.ndarray):
        same = isinstance(found, str) or type(found) is type(expected)
        if not same or (isinstance(found, int) and found != expected):
            raise VerifyError(f"a replay leaves {found!r} where eager code leaves {expected!r}")
        return
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise VerifyError(
            f"a replay gives {found.dtype}{list(found.shape)} where eager code gives "
            f"{expected.dtype}{list(expected.shape)}"
        )
    tolerance = TOLERANCE.get(found.dtype.char, 0.0)
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0) if tolerance else 0
    if not np.allclose(found, expected, tolerance, tolerance * float(scale), equal_nan=True):
        raise VerifyError(f"array {number} is\n{found}\nwhere eager code gives\n{expected}")
