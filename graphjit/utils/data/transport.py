"""Batches and exceptions on their way between processes.

A message is pickled; the memory of large arrays follows it as it is, without further copies.
"""

from __future__ import annotations

import io
import pickle
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from ...frontend.methods_python import rebuilt
from ...frontend.tensor import Tensor

#: Bytes from which on the memory of an array is a message of its own.
LARGE = 1 << 12


class _Pickler(ForkingPickler):
    """Pickles tensors by the elements they show, not by the storage they look into."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return NotImplemented
        if value.requires_grad and not value.is_leaf:
            raise RuntimeError(
                "Cowardly refusing to serialize non-leaf tensor which requires_grad, since "
                "autograd does not support crossing process boundaries.  If you just want to "
                "transfer the data, call detach() on the tensor before serializing (e.g., putting "
                "it on the queue)."
            )
        parts = type(value), np.asarray(value._array), None, value.dtype.name, value.requires_grad
        return rebuilt, parts


@dataclass(frozen=True, slots=True)
class Message:
    """A pickled value, and the memory that belongs to it."""

    content: bytes
    memory: list[memoryview]

    @classmethod
    def of(cls, value: Any) -> Message:
        """`value` pickled. Whatever pickling raises for values that cannot be."""
        file, memory = io.BytesIO(), []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes >= LARGE:
                memory.append(raw)
            return raw.nbytes < LARGE

        _Pickler(file, pickle.HIGHEST_PROTOCOL, True, keep).dump(value)
        return cls(file.getvalue(), memory)

    def send(self, connection: Connection) -> None:
        """Write the message. OSError if nobody is there to read it."""
        connection.send((self.content, [raw.nbytes for raw in self.memory]))
        for raw in self.memory:
            connection.send_bytes(raw)


def receive(connection: Connection) -> Any:
    """The next value from the other side. EOFError or OSError if that has ended."""
    content, sizes = connection.recv()
    memory = [np.empty(size, np.uint8) for size in sizes]
    for raw in memory:
        connection.recv_bytes_into(raw)
    return pickle.loads(content, buffers=memory)


class _ReadableKey(str):
    """Text whose representation is itself: a KeyError shows that of its argument."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception of another process: its class, its traceback as text, and where it was."""

    kind: type[BaseException]
    text: str
    where: str

    @classmethod
    def of(cls, error: BaseException, where: str) -> Failure:
        kind = type(error)
        text = "".join(traceback.format_exception(error))
        try:
            ForkingPickler.dumps(kind)
        except Exception:  # noqa: BLE001  (a class of a function, say: its name is in the text)
            kind = RuntimeError
        return cls(kind, text, where)

    def reraise(self) -> None:
        """Raise the exception, with the traceback as its message."""
        message = f"Caught {self.kind.__name__} {self.where}.\nOriginal {self.text}"
        if issubclass(self.kind, KeyError):
            message = _ReadableKey(message)
        try:
            error = self.kind(message)
        except Exception:  # noqa: BLE001  (its constructor wants something else than a message)
            error = RuntimeError(message)
        raise error
