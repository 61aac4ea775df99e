"""What a call returns besides tensors: objects and containers, made anew or as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .guards import SCALARS, is_opaque
from .plain import attributes, is_plain_class
from .symnumber import SymNumber

if TYPE_CHECKING:
    from .reads import Reads
    from .recorder import Recorder


class Returned:
    """What a call returns besides tensors and containers of them."""

    def __init__(self, recorder: Recorder, reads: Reads) -> None:
        self.recorder = recorder
        self.reads = reads
        self.taken: set[int] = set()

    def static(self, value: Any) -> Any:
        """What every replay returns as it is; the recording is refused where it cannot."""
        if type(value) is SymNumber:  # Python has seen it: it is a plain number by now
            return value.value
        if not isinstance(value, SCALARS) and not (is_opaque(value) and self._was_there(value)):
            self.recorder.refuse(f"a result of type {type(value).__name__} cannot be made anew")
        return value

    def stays(self, value: Any) -> bool:
        """Whether a list or dict was there before: then every replay returns that one."""
        kind = type(value).__name__
        if id(value) in self.taken:
            self.recorder.refuse(f"a {kind} is in the result twice")
            return True
        if not self.reads.has_seen(value):
            self.taken.add(id(value))
            return False
        if not self.reads.holds_to(value):
            self.recorder.refuse(f"a {kind} of an argument, or of another container, is returned")
        return True

    def attributes(self, value: Any) -> dict[str, Any] | None:
        """Those of an object that the call has made, and that every replay makes anew."""
        cls = type(value)
        if (
            isinstance(value, SCALARS)
            or not is_plain_class(cls)
            or cls.__module__.partition(".")[0] == "graphjit"
            or hasattr(cls, "__del__")
            or ("<locals>" in cls.__qualname__ and not self.reads.has_seen(cls))
            or self._was_there(value)
            or id(value) in self.taken
        ):
            return None
        self.taken.add(id(value))
        return attributes(value)

    def _was_there(self, value: Any) -> bool:
        return self.reads.knows(value) and id(value) not in self.recorder.modules
