"""`TensorBase`: what the functions and method families know of a tensor without importing it.

`Tensor` derives from it through `Methods`; the attributes are set there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

if TYPE_CHECKING:
    from ..device import Device
    from ..dtypes import DType
    from .size import Size
    from .tape import Node
    from .tensor import Tensor, View


class TensorBase:
    """An array and its place on the tape."""

    _array: np.ndarray
    _version: list[int]
    _requires_grad: bool
    _grad_fn: Node | None
    _output_number: int
    _grad: Tensor | None
    _view: View | None

    if TYPE_CHECKING:

        @property
        def dtype(self) -> DType: ...
        @property
        def shape(self) -> Size: ...
        @property
        def device(self) -> Device: ...
        @property
        def grad_fn(self) -> Node | None: ...

        _of: Callable[[np.ndarray], Tensor]
        detach: Callable[[], Tensor]
        requires_grad_: Callable[..., Tensor]
        _is_leaf: Callable[[], bool]
        _edge: Callable[[], Any]


def is_tensor(value: Any) -> TypeGuard[Tensor]:
    """Whether `value` is a tensor."""
    return isinstance(value, TensorBase)


def alone(tensor: Any) -> Any:
    """A result that looks into a tensor that nobody else knows: in PyTorch it is no view."""
    tensor._view = None
    return tensor
