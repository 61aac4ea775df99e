"""Attributes that a call sets where the recorder does not hear of it.

It hears of `o.x = value` through the class of `o`. Slots, `del o.x`, classes with a `__setattr__`
of their own and calls of `object.__setattr__` go past that. If such a store changes something, the
call is seen to have changed it; if not, replays may do without it while the attribute is what the
call has left there.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from .bytecode import names_in, stored_in
from .plain import Layout, attributes
from .reads import Reads

#: what is given the name of an attribute to set or delete
_BY_NAME = frozenset({"__setattr__", "__delattr__", "setattr", "delattr"})


def guard_stores(reads: Reads, assigned: Container[tuple[int, str]]) -> None:
    """Guard that objects from outside have what code may have stored there, but for `assigned`."""
    stored, deleted, calls = set[str](), set[str](), set[str]()
    for _, code in reads.code.codes:
        found = stored_in(code)
        stored |= found[0]
        deleted |= found[1]
        calls |= _BY_NAME.intersection(names_in(code))
    spelled = reads.sought.names_spelled
    for plain in tuple(reads.plain.values()):
        cls: Any = plain.cls
        held, slots = attributes(plain.thing), Layout.of(cls).slots
        by_name = spelled & held.keys() if calls else set[str]()
        if cls.__setattr__ is not object.__setattr__:
            unheard = stored | by_name
        elif calls - {"setattr"}:
            unheard = stored.intersection(slots) | by_name
        else:
            unheard = (stored | by_name).intersection(slots)
        for name in sorted(unheard | deleted):
            if (id(plain.thing), name) in assigned:
                continue
            if name in held:
                reads.plain_attribute(plain.thing, name, held[name])
            elif name in slots or not hasattr(cls, name):
                reads.absence(plain.thing, name)
