"""`Call`: the arguments of one call of a traced function."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .variant import FLOAT

if TYPE_CHECKING:
    from .recorder import Recorder
    from .tensor import Tensor


@dataclass(slots=True)
class Call:
    """The arguments of one call; `tensors` and `floats` are those among them."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: list[Tensor]
    floats: list[float]

    def masked(self, exact: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with a mark in place of each float, unless floats count by value."""
        if exact:
            return self.args, self.kwargs
        args = tuple([FLOAT if type(a) is float else a for a in self.args])
        return args, {k: FLOAT if type(a) is float else a for k, a in self.kwargs.items()}

    def symbolic(self, recorder: Recorder) -> tuple[list[Any], dict[str, Any]]:
        """The arguments with symbolic numbers in place of those floats."""
        count = itertools.count()

        def symbol(value: Any) -> Any:
            if recorder.exact or type(value) is not float:
                return value
            return recorder.float_argument(value, next(count))

        args = [symbol(a) for a in self.args]
        return args, {k: symbol(a) for k, a in self.kwargs.items()}
