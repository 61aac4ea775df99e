"""Fills templates: knows the names that a growing program has, and which of them fit where."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable
from typing import Any

from . import grammar
from .execute import is_tensor

_PLACEHOLDER = re.compile(r"\{(\w?)\}")


@functools.cache
def table(name: str, torch: bool) -> tuple[str, ...]:
    """The templates of a table of the grammar; for PyTorch, those whose numbers it can repeat."""
    rows: Any = getattr(grammar, name)
    entries = grammar.templates(rows) if isinstance(rows, str) else rows
    return tuple(entry for entry in entries if not (torch and _is_random(entry)))


def _is_random(template: str) -> bool:
    """Whether PyTorch gives other numbers, or sees an error that graphjit lets pass."""
    pattern = r"rand|normal_|normal\(|uniform|bernoulli|[dD]ropout|exponential|multinomial"
    pattern += r"|detach_\("
    return bool(re.search(pattern, template))


class Filler:
    """Names of a program by kind, and their values as they are while it grows.

    Attributes:
        names: the namespace.
        locals: names of tensors that the function has.
        numbers, lists: names of its Python numbers and lists.
        arguments: names of the tensors that it is called with.
        results: how many results of calls there are.
    """

    def __init__(self, seed: int, torch: bool, names: dict[str, Any]) -> None:
        self.random = random.Random(seed)
        self.torch = torch
        self.names = names
        self.locals: list[str] = []
        self.numbers: list[str] = []
        self.lists: list[str] = []
        self.arguments: list[str] = []
        self.results = 0
        self.last = ""
        self._count = 0

    def fresh(self, letter: str) -> str:
        """A name not used before."""
        self._count += 1
        return f"{letter}{self._count}"

    def pick(self, table_name: str) -> str:
        """A filled template of a table. LookupError if there is nothing to fill in."""
        return self.fill(self.random.choice(table(table_name, self.torch)))

    def fill(self, template: str) -> str:
        """The template with its placeholders filled. LookupError if there is nothing to fill in."""
        new = self.fresh("v") if "{}" in template else ""
        return _PLACEHOLDER.sub(lambda match: self._choose(match[1]) if match[1] else new, template)

    def _choose(self, kind: str) -> str:
        pick = self.random
        if kind == "d":
            return str(pick.randint(-1, max(0, self.names[self.last].ndim - 1)))
        if kind == "c":
            return self.pick("CONDITIONS")
        if kind in _TEXTS:
            return pick.choice(_TEXTS[kind])
        if kind in _THINGS:
            return _THINGS[kind] if _THINGS[kind] in self.names else pick.choice([])
        if kind == "r":
            return f"r{pick.randrange(self.results)}" if self.results else pick.choice([])
        if kind == "q":
            return pick.choice(self.numbers)
        if kind == "e":
            return pick.choice(self.lists)
        self.last = pick.choice(self.arguments if kind == "a" else self.those(_KINDS[kind]))
        return self.last

    def those(self, fits: Callable[[Any], bool]) -> list[str]:
        """Names of the tensors that fit; the newest occur more often."""
        names = [n for n in ("c0", "c1", "p0", "p1") if n in self.names]
        names += self.locals
        names += self.locals[-3:]
        return [n for n in names if is_tensor(self.names.get(n)) and _fits(self.names[n], fits)]


def _fits(tensor: Any, fits: Callable[[Any], bool]) -> bool:
    try:
        return fits(tensor)
    except RuntimeError:  # a view that cannot be found again
        return False


_TEXTS = {"n": grammar.SMALL, "k": grammar.COUNTS, "s": grammar.INDICES}
_THINGS = {"m": "m0", "o": "o0", "u": "u0", "h": "f0"}
_KINDS: dict[str, Callable[[Any], bool]] = {
    "t": lambda t: True,
    "f": lambda t: bool(t.dtype.is_floating_point),
    "i": lambda t: not t.dtype.is_floating_point and "bool" not in str(t.dtype),
    "b": lambda t: "bool" in str(t.dtype),
    "w": lambda t: not (t.is_leaf and t.requires_grad),
    "p": lambda t: bool(t.is_leaf and t.requires_grad),
}
