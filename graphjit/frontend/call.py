"""`Call`: the arguments of one call of a traced function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .recorder import Recorder
    from .tensor import Tensor


#: what stands for a number among the arguments, which may be another one at each call, by its type
MARKS = {float: object(), int: object()}
#: integers below this size fit into int64, and so does what little arithmetic makes of them
LARGE = 1 << 61


def fits(number: int) -> bool:
    """Whether an int may stand for one that is computed with in int64."""
    return -LARGE < number < LARGE


@dataclass(slots=True)
class Call:
    """The arguments of one call; `tensors` and `numbers` are those among them.

    Numbers may be others at each call: floats, and the ints in the slots (positions, or names) that
    `counting` has.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: list[Tensor]
    numbers: list[float]
    counting: frozenset[int | str]

    def ints(self) -> Iterator[tuple[int | str, int]]:
        """The ints among the arguments, by slot."""
        for slots in (enumerate(self.args), self.kwargs.items()):
            yield from ((slot, a) for slot, a in slots if type(a) is int and fits(a))

    def masked(self, exact: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with a mark in place of each number, unless they count by value."""
        if exact:
            return self.args, self.kwargs
        return self._replaced(lambda number: MARKS[type(number)])

    def given(self) -> list[float]:
        """The numbers, in order."""
        found: list[float] = []
        self._replaced(found.append)
        return found

    def symbolic(self, recorder: Recorder) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with symbolic numbers in place of those."""
        if recorder.exact:
            return self.args, self.kwargs
        count = iter(range(len(self.args) + len(self.kwargs)))
        return self._replaced(lambda number: recorder.number_argument(number, next(count)))

    def _replaced(self, change: Callable[[float], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        def new(slot: int | str, value: Any) -> Any:
            kind = type(value)
            counts = kind is int and slot in self.counting and fits(value)
            return change(value) if counts or kind is float else value

        args = tuple([new(slot, value) for slot, value in enumerate(self.args)])
        return args, {name: new(name, value) for name, value in self.kwargs.items()}
