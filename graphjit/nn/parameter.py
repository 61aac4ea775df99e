"""`Parameter` and `Buffer`: tensors that a `Module` registers when they are assigned to it."""

from __future__ import annotations

from typing import Any, Self

from ..frontend.tensor import Tensor


def _share(cls: type[Any], data: Tensor | None, requires_grad: bool) -> Any:
    """An instance of `cls` on the storage of `data`, off the tape."""
    result = object.__new__(cls)
    result.__dict__.update((Tensor._of(_nothing()) if data is None else data.detach()).__dict__)
    result._requires_grad = requires_grad
    if requires_grad and result._array.dtype.kind not in "fc":
        raise RuntimeError(
            "Only Tensors of floating point and complex dtype can require gradients"
        )
    return result


def _nothing() -> Any:
    import numpy as np

    from .. import dtypes

    return np.empty(0, dtypes.default_float().numpy)


class Parameter(Tensor):
    """A tensor that is to be trained: a leaf that requires grad unless told otherwise.

    Assigned as an attribute of a `Module`, it appears among its `parameters()`.
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Self:
        return _share(cls, data, requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), self._requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self.data, self._requires_grad)


class _BufferMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(metaclass=_BufferMeta):
    """A tensor that a module makes part of its state, but does not train, when it is assigned.

    Calling it gives a plain tensor on the storage of `data`; `persistent`: it is saved.
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        result = _share(Tensor, data, data is not None and data._requires_grad)
        result.persistent = persistent
        result._is_buffer = True
        return result
