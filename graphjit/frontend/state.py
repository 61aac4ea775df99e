"""Version counters of what Python code can see change between two calls of a traced function.

A replay compares these integers; only when one has moved does it look at what moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from .mode import MODE

if TYPE_CHECKING:
    from .tensor import Tensor


class Versions:
    """`structure`: modules, parameters, hooks, flags, storages. `hyper`: optimizer floats."""

    __slots__ = ("structure", "hyper")

    def __init__(self) -> None:
        self.structure = 0
        self.hyper = 0


VERSIONS = Versions()


def restructured(tensor: Tensor) -> None:
    """The shape, dtype or flags of `tensor` have changed: note it, unless the traced function has

    made it itself.
    """
    recorder = MODE.recorder
    if recorder is None or not recorder.made(tensor):
        VERSIONS.structure += 1


#: attributes, as (id of the module, name), that replays assign without moving `structure`: they are
#: looked at in every call. Of objects that allow no weak references an id may be used again, which
#: does no harm.
CARRIED: set[tuple[int, str]] = set()
#: by id, these objects, and the names of the attributes
_OWNERS: dict[int, tuple[ref[Any], list[str]]] = {}


def carry(assigned: Mapping[tuple[int, str], Any]) -> None:
    """From now on replays assign these attributes of the objects that they are mapped to."""
    if CARRIED.issuperset(assigned):
        return
    CARRIED.update(assigned)
    for (number, name), owner in assigned.items():
        if number not in _OWNERS and type(owner).__weakrefoffset__:
            _OWNERS[number] = ref(owner, partial(_forget, number)), []
        if number in _OWNERS:
            _OWNERS[number][1].append(name)
    VERSIONS.structure += 1  # others that read these are to look at them in every call


def _forget(number: int, _: Any) -> None:
    CARRIED.difference_update([(number, name) for name in _OWNERS.pop(number)[1]])


class SelfGuarding:
    """A container that sees its own changes, and notes by itself what a recording reads of it."""

    __slots__ = ()


#: classes whose attribute reads are noted while recording; `nn` and `optim` add theirs
GUARDED: list[type] = []
#: those of them whose attributes are changed by the effects of a call
STEPPING: list[type] = []
#: classes of graphjit's that stand for a function of the user's, with the attributes of their own
WRAPPERS: dict[type, frozenset[str]] = {}
