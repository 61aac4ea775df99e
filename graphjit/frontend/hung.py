"""Attributes that users hang on tensors: `parameter.lr_mult = 0.1`, or those of subclasses."""

from __future__ import annotations

from typing import Any

from . import bytecode
from .bound import PLACE
from .bytecode import BY_NAME, LISTING
from .plain import attributes
from .tensor import Tensor

#: the attributes that graphjit itself gives tensors
_OURS = frozenset(Tensor.__annotations__) | {"persistent", "_is_buffer", PLACE}
#: what finds, or changes, attributes of tensors whose names are not in the code
BY_TEXT = bytecode.BY_TEXT | BY_NAME | {"copy", "deepcopy"}
#: what looks at all attributes
OF_ALL = LISTING | {"__dict__"}
#: what tells that there is no such attribute, besides `except`
FINDING_NONE = frozenset({"getattr", "hasattr", "attrgetter", "suppress"})


def hung(tensor: Tensor) -> dict[str, Any]:
    """The attributes that a tensor has from its users."""
    return {name: value for name, value in attributes(tensor).items() if name not in _OURS}


def is_ours(name: str) -> bool:
    """Whether an attribute of this name is graphjit's, or Python's, own."""
    return name in _OURS or name[:2] == "__"


def changed(tensor: Tensor, before: dict[str, Any]) -> str | None:
    """The name of an attribute that is not what it was `before`."""
    now = hung(tensor)
    for name in {*before, *now}:
        if before.get(name, changed) is not now.get(name, changed):
            return f"{type(tensor).__name__}.{name}"
    return None


def looks_up_by_itself(cls: type) -> bool:
    """Whether a subclass of a user's finds attributes in a way of its own."""
    return any(
        name in vars(base)
        for base in cls.__mro__[: cls.__mro__.index(Tensor)]
        for name in ("__getattr__", "__getattribute__", "__setattr__", "__delattr__")
    )
