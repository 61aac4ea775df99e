"""Version counters of what Python code can see change between two calls of a traced function.

A replay compares these integers; only when one has moved does it look at what moved.
"""

from __future__ import annotations


class Versions:
    """`structure`: modules, parameters, hooks, flags, storages. `hyper`: optimizer floats."""

    __slots__ = ("structure", "hyper")

    def __init__(self) -> None:
        self.structure = 0
        self.hyper = 0


VERSIONS = Versions()

#: attributes, as (id of the module, name), that replays assign without moving `structure`: they are
#: looked at in every call. An id that is used again does no harm.
CARRIED: set[tuple[int, str]] = set()

#: classes whose attribute reads are noted while recording; `nn` adds its Module
GUARDED: list[type] = []
