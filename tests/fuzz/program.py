"""A program: source text in pieces, so that a mismatch can be shrunk by dropping some of them."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import Any

PRELUDE = """\
import math
import graphjit as T
from graphjit import nn, optim
from graphjit.nn import functional as F
from tests.fuzz.data import loss, maker

data, trace = maker(T), T.trace
"""


@dataclass(frozen=True)
class Block:
    """A compound statement: headers as in `if x:` and `else:`, each with its statements."""

    parts: tuple[tuple[str, tuple[Statement, ...]], ...]

    def text(self) -> str:
        """The statement as source."""
        return "\n".join(f"{header}\n{_indented(body)}" for header, body in self.parts)

    def smaller(self) -> list[tuple[Statement, ...]]:
        """What may stand in its place: the statements of a part, or a block with fewer."""
        found = [body for _, body in self.parts]
        found += [(Block(self.parts[:-1]),)] if len(self.parts) > 1 else []
        for i, (header, body) in enumerate(self.parts):
            for simpler in _simpler(body):
                parts = (*self.parts[:i], (header, simpler), *self.parts[i + 1 :])
                found.append((Block(parts),))
        return found


Statement = str | Block


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
    dtype)` gives the same tensor in each library; `loss` makes a scalar of a result.
    """

    seed: int
    setup: tuple[str, ...]
    parameters: str
    body: tuple[Statement, ...]
    returns: tuple[str, ...]
    calls: tuple[Call, ...]
    #: what the results are put into
    container: str = "{}"

    def definition(self) -> str:
        """The setup and the function, as a module."""
        result = self.container.replace("{}", ", ".join(self.returns)) if self.returns else "None"
        head = f"def function({self.parameters}):"
        return "\n".join([*self.setup, "", head, _indented((*self.body, f"return {result}")), ""])

    def text(self) -> str:
        """The whole program, to be read and run."""
        calls = [line for i, call in enumerate(self.calls) for line in call.lines(i)]
        return "\n".join([PRELUDE, self.definition(), "step = T.trace(function)", *calls])

    def smaller(self) -> list[Program]:
        """This program with one piece left out, the last pieces first."""
        found: list[Program] = []
        for field in ("calls", "returns", "setup"):
            pieces: tuple[Any, ...] = getattr(self, field)
            found += [replace(self, **{field: rest}) for rest in _drops(pieces)]
        found += [replace(self, body=body) for body in _simpler(self.body)]
        for i, call in enumerate(self.calls):
            for changes in _drops(call.changes):
                simpler = replace(call, changes=changes)
                found.append(replace(self, calls=(*self.calls[:i], simpler, *self.calls[i + 1 :])))
        return [program for program in found if program.compiles()]

    def compiles(self) -> bool:
        """Whether it is still Python: no `break` has been left without its loop."""
        try:
            compile(self.definition(), "<program>", "exec")
        except SyntaxError:
            return False
        return True


def _simpler(body: tuple[Statement, ...]) -> list[tuple[Statement, ...]]:
    """`body` with a statement fewer, or with a simpler one."""
    found = _drops(body)
    for i, statement in enumerate(body):
        if isinstance(statement, Block):
            found += [(*body[:i], *instead, *body[i + 1 :]) for instead in statement.smaller()]
    return found


def _drops(pieces: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """All tuples with one piece fewer; for many pieces, also those with half of them."""
    half = len(pieces) // 2
    halves = [pieces[:half], pieces[half:]] if half > 1 else []
    return halves + [pieces[:i] + pieces[i + 1 :] for i in reversed(range(len(pieces)))]


def _indented(statements: tuple[Statement, ...]) -> str:
    lines = [s.text() if isinstance(s, Block) else s for s in statements] or ["pass"]
    return textwrap.indent("\n".join(lines), "    ")
