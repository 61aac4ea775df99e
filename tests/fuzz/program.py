"""A program: source text in pieces, so that a mismatch can be shrunk by dropping some of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

PRELUDE = """\
import graphjit as T
from graphjit import nn, optim
from graphjit.nn import functional as F
from tests.fuzz.data import maker

data = maker(T)
"""


@dataclass(frozen=True)
class Call:
    """One call of the function: what happens before it, and its text, as in `step(a0, 2)`."""

    changes: tuple[str, ...]
    text: str
    no_grad: bool = False

    def lines(self, number: int) -> list[str]:
        """The statements of the call, whose result is called `r<number>`."""
        call = f"r{number} = {self.text}"
        return [*self.changes, f"with T.no_grad(): {call}" if self.no_grad else call]


@dataclass(frozen=True)
class Program:
    """Statements that make the initial state, a function, and calls of it.

    `T` is the library (graphjit or torch); `nn`, `F` and `optim` are its parts; `data(seed, shape,
    dtype)` gives the same tensor in each library.
    """

    seed: int
    setup: tuple[str, ...]
    parameters: str
    body: tuple[str, ...]
    returns: tuple[str, ...]
    calls: tuple[Call, ...]

    def definition(self) -> str:
        """The setup and the function, as a module."""
        result = ", ".join(self.returns) or "None"
        lines = [f"def function({self.parameters}):", *_indented(self.body), f"    return {result}"]
        return "\n".join([*self.setup, "", *lines]) + "\n"

    def text(self) -> str:
        """The whole program, to be read and run."""
        calls = [line for i, call in enumerate(self.calls) for line in call.lines(i)]
        return "\n".join([PRELUDE, self.definition(), "step = T.trace(function)", *calls])

    def smaller(self) -> list[Program]:
        """This program with one piece left out, the last pieces first."""
        found = []
        for field in ("calls", "returns", "body", "setup"):
            pieces = getattr(self, field)
            found += [replace(self, **{field: rest}) for rest in _drops(pieces)]
        for i, call in enumerate(self.calls):
            for changes in _drops(call.changes):
                simpler = replace(call, changes=changes)
                found.append(replace(self, calls=(*self.calls[:i], simpler, *self.calls[i + 1 :])))
        return found


def _drops(pieces: tuple[object, ...]) -> list[tuple[object, ...]]:
    """All tuples with one piece fewer; for many pieces, also those with half of them."""
    half = len(pieces) // 2
    halves = [pieces[:half], pieces[half:]] if half > 1 else []
    return halves + [pieces[:i] + pieces[i + 1 :] for i in reversed(range(len(pieces)))]


def _indented(statements: tuple[str, ...]) -> list[str]:
    return [f"    {line}" for statement in statements for line in statement.split("\n")]
