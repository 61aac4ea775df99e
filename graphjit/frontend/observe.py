"""Where Python gets to see element values: guard points of a recording.

Each function here is called by eager code before it shows a value, and does nothing unless a
recorder is on. A replay goes on past a guard point only while it computes the value that was seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .mode import MODE

if TYPE_CHECKING:
    from .tensor import Tensor

#: tensors of more elements are not compared: recordings in which Python looks at them are refused
MAX_ELEMENTS = 64


def observe(what: str, *tensors: Tensor) -> None:
    """`what` lets Python depend on the elements of `tensors`, or in unknown ways if none is given.

    Small tensors become guard points; otherwise the recording is refused.
    """
    recorder = MODE.recorder
    if recorder is None:
        return
    if not tensors or any(t._array.size > MAX_ELEMENTS for t in tensors):
        recorder.refuse(f"{what} shows the values of a tensor to Python")
        return
    for tensor in tensors:
        recorder.guard_elements(tensor)


def by_values(error: Exception, what: str, *tensors: Tensor) -> Exception:
    """`error`, which `what` raises because of the elements of `tensors`.

    The function may go on after it, and other elements might raise nothing.
    """
    observe(what, *tensors)
    return error


def observe_truth(tensor: Tensor, truth: bool) -> None:
    """Python sees whether the only element of `tensor` is nonzero."""
    recorder = MODE.recorder
    if recorder is not None:
        recorder.guard_truth(tensor, truth)


def require(condition: Callable[[], Tensor]) -> None:
    """Eager code has found nothing to raise an error for; a replay must find `condition` true."""
    recorder = MODE.recorder
    if recorder is not None:
        recorder.require(condition())


def number(tensor: Tensor) -> Any:
    """The only element of `tensor` as a Python number; while recording, one that stays symbolic."""
    recorder = MODE.recorder
    if recorder is None or tensor._array.dtype.kind == "c":
        observe("item()", tensor)
        return tensor._array.item()
    if tensor._array.dtype.kind == "b":
        truth = bool(tensor._array.item())
        recorder.guard_truth(tensor, truth)
        return truth
    return recorder.number(tensor)
