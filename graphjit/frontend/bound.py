"""Traced methods: what is found on a class is a traced function of its own for each instance.

It lies in the instance, and is freed with it: its guards and tensors belong to that instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .trace import Traced

#: the key in the `__dict__` of an instance
PLACE = "_graphjit_methods"


class Methods(dict[int, "Traced"]):
    """The traced methods of one instance, by the id of what was found on its class."""

    def __init__(self, instance: Any = None) -> None:
        super().__init__()
        self.instance = instance

    def __reduce__(self) -> Any:
        return (Methods, ())  # a copy is another instance's: it begins anew

    def __deepcopy__(self, memo: dict[int, Any]) -> Methods:
        return Methods()


def bound(traced: Traced, instance: Any) -> Traced | None:
    """The one for `instance`; None for an instance that has no `__dict__` to keep it in."""
    fields = getattr(instance, "__dict__", None)
    if type(fields) is not dict:
        return None
    methods = fields.get(PLACE)
    if methods is None or methods.instance is not instance:  # copied from another instance
        methods = fields[PLACE] = Methods(instance)
    found: Traced | None = methods.get(id(traced))
    if found is None:
        found = methods.setdefault(id(traced), traced.bind(instance))
    return found
