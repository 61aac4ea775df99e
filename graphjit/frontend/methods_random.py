"""In-place random methods: fill a tensor with numbers drawn from a distribution."""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from ..errors import locate
from ..ops.core import type_name
from .base import is_tensor
from .out import overwrite
from .tape import TENSORS as F

_WHOLE = {"f": {2: 11, 4: 24, 8: 53}}


def _check_floating(self: Any, kernel: str) -> None:
    if self._array.dtype.kind != "f":
        raise locate(NotImplementedError(
            f'"{kernel}" not implemented for \'{type_name(self.dtype)}\''
        ))


def _uniform(self: Any, generator: Any) -> Any:
    from .random import uniform

    return uniform(self._array.shape, self.dtype, generator)


class RandomMethods:
    """`uniform_`, `normal_` and their like."""

    def uniform_(self: Any, from_: float = 0.0, to: float = 1.0, *, generator: Any = None,
                 **bounds: float) -> Any:
        """Numbers equally likely anywhere in [from, to)."""
        low = bounds.pop("from", bounds.pop("a", from_))
        high = bounds.pop("b", to)
        _check_floating(self, "check_uniform_bounds")
        if low > high:
            raise locate(RuntimeError(
                f"uniform_ expects to return a [from, to) range, but found from={low:g} > "
                f"to={high:g}"
            ))
        draw = _uniform(self, generator)
        if low != 0 or high != 1:
            draw = F.rescale(draw, high - low, low)
        return overwrite(self, draw)

    def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
        """Normal numbers."""
        from .random import normal_numbers

        _check_floating(self, "normal_kernel_cpu")
        if std < 0:
            raise locate(RuntimeError(f"normal expects std >= 0.0, but found std {std:g}"))
        draw = normal_numbers(self._array.shape, self.dtype, generator)
        if mean != 0:
            draw = F.rescale(draw, std, mean)
        elif std != 1:
            draw = F.mul(draw, std)
        return overwrite(self, draw)

    def log_normal_(
        self: Any, mean: float = 1.0, std: float = 2.0, *, generator: Any = None
    ) -> Any:
        """Numbers whose logarithms are normal."""
        from .random import normal_numbers

        draw = normal_numbers(self._array.shape, self.dtype, generator)
        return overwrite(self, F.exp(F.add(F.mul(draw, std), mean)))

    def exponential_(self: Any, lambd: float = 1.0, *, generator: Any = None) -> Any:
        """Exponential numbers of rate `lambd`."""
        from .random import exponential_numbers

        _check_floating(self, "exponential")
        if lambd <= 0:
            raise locate(RuntimeError(
                f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}"
            ))
        draw = exponential_numbers(self._array.shape, self.dtype, generator)
        return overwrite(self, F.mul(draw, 1.0 / lambd))

    def cauchy_(
        self: Any, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None
    ) -> Any:
        """Cauchy numbers."""
        angle = F.mul(F.sub(_uniform(self, generator), 0.5), math.pi)
        return overwrite(self, F.add(F.mul(F.tan(angle), sigma), median))

    def geometric_(self: Any, p: float, *, generator: Any = None) -> Any:
        """How many trials of success probability `p` until the first success."""
        from .random import uniform

        dtype = self.dtype if self._array.dtype.kind == "f" else dtypes.float64
        draw = uniform(self._array.shape, dtype, generator)
        trials = F.ceil(F.div(F.log1p(F.neg(draw)), math.log1p(-p)))
        return overwrite(self, F.maximum(trials, 1))

    def random_(self: Any, from_: int = 0, to: int | None = None, *, generator: Any = None) -> Any:
        """Whole numbers in [from, to); without bounds, all that the dtype holds exactly."""
        import numpy as np

        from .random import integers

        if to is None and from_:
            from_, to = 0, from_
        if to is None:
            kind, size = self._array.dtype.kind, self._array.itemsize
            if kind == "f":
                to = (1 << _WHOLE["f"][size]) + 1
            else:
                to = 2 if kind == "b" else int(np.iinfo(self._array.dtype).max)
        return overwrite(self, integers(from_, to, self._array.shape, self.dtype, generator))

    def bernoulli_(self: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
        """1 with probability `p` (a number or a tensor), else 0."""
        from .random import uniform

        if not is_tensor(p) and not 0 <= p <= 1:
            raise locate(RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}"))
        dtype = self.dtype if self._array.dtype.kind == "f" else dtypes.default_float()
        draw = uniform(self._array.shape, dtype, generator)
        return overwrite(self, F.cast(F.lt(draw, p), dtype=self.dtype))

    def bernoulli(self: Any, p: Any = None, *, generator: Any = None) -> Any:
        """1 with the probability that each element gives, else 0."""
        from .random import bernoulli

        return bernoulli(self, p, generator=generator)

    def multinomial(self: Any, num_samples: int, replacement: bool = False, *,
                    generator: Any = None) -> Any:
        """Indices drawn with probabilities proportional to each row."""
        from .random import multinomial

        return multinomial(self, num_samples, replacement, generator=generator)
