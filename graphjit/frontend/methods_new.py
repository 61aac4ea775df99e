"""`new_*` methods: the creation functions, with this tensor's dtype unless another is given."""

from __future__ import annotations

from typing import Any


class NewMethods:
    """Tensors like this one."""

    def new_tensor(self: Any, data: Any, *, dtype: Any = None, **options: Any) -> Any:
        """`tensor(data)`."""
        from .creation import tensor

        return tensor(data, dtype=dtype or self.dtype, **options)

    def new_zeros(self: Any, *size: Any, dtype: Any = None, **options: Any) -> Any:
        """`zeros(size)`."""
        from .creation import zeros

        return zeros(*size, dtype=dtype or self.dtype, **options)

    def new_ones(self: Any, *size: Any, dtype: Any = None, **options: Any) -> Any:
        """`ones(size)`."""
        from .creation import ones

        return ones(*size, dtype=dtype or self.dtype, **options)

    def new_empty(self: Any, *size: Any, dtype: Any = None, **options: Any) -> Any:
        """`empty(size)`."""
        from .creation import empty

        return empty(*size, dtype=dtype or self.dtype, **options)

    def new_full(
        self: Any, size: Any, fill_value: Any, *, dtype: Any = None, **options: Any
    ) -> Any:
        """`full(size, fill_value)`."""
        from .creation import full

        return full(size, fill_value, dtype=dtype or self.dtype, **options)

    def new(self: Any, *args: Any) -> Any:
        """The old constructor: a size, or data."""
        from .legacy import legacy_tensor

        return legacy_tensor(type(self), self.dtype, *args)
