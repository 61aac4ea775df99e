"""What error messages call objects, in PyTorch's words."""

from __future__ import annotations

from typing import Any

from ... import config
from ...frontend.tensor import Tensor


def typename(obj: Any) -> str:
    """The full name of an object's type; of a tensor, its legacy type (`torch.FloatTensor`)."""
    if isinstance(obj, Tensor):
        return str(obj.type())
    cls = obj if isinstance(obj, type) else type(obj)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


def public(name: str) -> str:
    """`nn.Parameter` under the name of the library, as printed."""
    return f"{config.NAMESPACE}.{name}"
