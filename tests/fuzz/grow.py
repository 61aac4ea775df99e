"""Grows the body of a program's function, statement by statement, with blocks in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from .execute import is_tensor
from .fill import Filler
from .program import Block, Statement

#: elements of the largest tensor kept
MAX_SIZE = 400
#: attempts at a statement that runs
ATTEMPTS = 30

EXPRESSIONS = ("REDUCTIONS", "VIEWS", "JOINING", "GRADIENTS", "NUMBERS_USED") * 2
EXPRESSIONS += ("POINTWISE",) * 3 + ("MODULES", "PYTHON", "CALLED")
STATEMENTS = ("INPLACE",) * 3 + ("EFFECTS",) * 2 + ("STEPS",)


class Body:
    """The statements of a function. What they make is run on, and added to, the filler's names."""

    def __init__(self, filler: Filler) -> None:
        self.filler = filler
        self.random = filler.random
        random_too = not filler.torch
        self.expressions = EXPRESSIONS + ("RANDOM",) * random_too
        self.statements = STATEMENTS + ("RANDOM_INPLACE",) * random_too
        #: how often there is a block, and in it what raises an error
        self.blocks = self.random.choice((0.0, 0.05, 0.15, 0.25))
        self.errors = self.random.choice((0.0, 0.0, 0.0, 0.3))

    def grow(self) -> tuple[Statement, ...]:
        """The body, without its last return."""
        body: list[Statement] = []
        if self.random.random() < 0.15:
            body.append(f"{self._named_list()} = []")
        for _ in range(self.random.randint(3, 15)):
            body += self._statement(0)
        return tuple(body)

    def _named_list(self) -> str:
        name = self.filler.fresh("e")
        self.filler.names[name] = []
        self.filler.lists.append(name)
        return name

    def _statement(self, depth: int) -> list[Statement]:
        """A statement, or none if none was found that runs."""
        luck = self.random.random()
        if depth < 3 and luck < self.blocks:
            return self._block(depth)
        if luck > 0.99 and self.errors:
            return [self._attempt(lambda: self.filler.pick("RAISES"))]
        luck = self.random.random()
        if luck < 0.12:
            return self._assignment("NUMBERS", self.filler.numbers, "n", depth)
        if luck < 0.72:
            name = self.random.choice(self.expressions)
            return self._assignment(name, self.filler.locals, "v", depth)
        name = self.random.choice(self.statements)
        statement = self._attempt(lambda: self.filler.pick(name), self._runs)
        return [statement] if statement else []

    def _attempt(
        self, make: Callable[[], str], is_good: Callable[[str], bool] = lambda text: True
    ) -> str:
        """The first of some texts that is good; once in a while, one that is not. Empty if none."""
        for _ in range(ATTEMPTS):
            try:
                text = make()
            except LookupError:
                continue
            if is_good(text) or self.random.random() < 0.001:
                return text
        return ""

    def _runs(self, statement: str) -> bool:
        try:
            exec(statement, self.filler.names)
        except Exception:  # noqa: BLE001  (whatever it raises, it is no good)
            return False
        return True

    # --- assignments ------------------------------------------------------------------------------

    def _assignment(
        self, table: str, places: list[str], letter: str, depth: int
    ) -> list[Statement]:
        """`v1 = ...`, where v1 is a new name, or in blocks that of something alike."""
        old = ""
        if places and self.random.random() < (0.5 if depth else 0.1):
            old = self.random.choice(places[-4:])
        found: list[Any] = []

        def is_good(text: str) -> bool:
            try:
                found[:] = [eval(text, self.filler.names)]
            except Exception:  # noqa: BLE001  (whatever it raises, it is no good)
                return False
            value = found[0]
            large = is_tensor(value) and value.numel() > MAX_SIZE
            if large or is_tensor(value) is not (letter == "v"):
                return table == "PYTHON"
            return not old or _alike(self.filler.names[old], value)

        text = self._attempt(lambda: self.filler.pick(table), is_good)
        if not text or not found:
            return []
        name = old or self.filler.fresh(letter)
        self.filler.names[name] = found[0]
        if not old:
            places.append(name)
        return [f"{name} = {text}"]

    # --- blocks -----------------------------------------------------------------------------------

    def _block(self, depth: int) -> list[Statement]:
        luck = self.random.random()
        if luck < 0.55:
            return self._branch(depth)
        if luck < 0.8:
            return self._headed("LOOPS", depth)
        header = self.random.choice(("with T.no_grad():", "with T.enable_grad():", "try:"))
        if header != "try:":
            with eval(header[5:-1], self.filler.names):
                return [Block(((header, self._nested(depth)),))]
        error = self._error() if self.random.random() < 0.5 else ()
        body = (*self._nested(depth), *error)
        return [Block(((header, body), ("except Exception:", self._nested(depth))))]

    def _branch(self, depth: int) -> list[Statement]:
        condition = self._attempt(lambda: self.filler.pick("CONDITIONS"), self._runs)
        if not condition:
            return []
        body = self._nested(depth)
        luck = self.random.random()
        if self.errors and luck < 0.4:
            body += self._error()
        elif luck > 0.9:
            body += (self._attempt(self._return),)
        parts: list[tuple[str, tuple[Statement, ...]]] = [(f"if {condition}:", body)]
        if self.random.random() < 0.1:
            other = self._attempt(lambda: self.filler.pick("CONDITIONS"), self._runs)
            parts += [(f"elif {other}:", self._nested(depth))] if other else []
        if self.random.random() < 0.6:
            parts.append(("else:", self._nested(depth)))
        return [Block(tuple(parts))]

    def _return(self) -> str:
        forms = ("return {t}", "return {t}, {q}", "return", "return {f} * 2", "return [{t}, {t}]")
        return self.filler.fill(self.random.choice(forms))

    def _error(self) -> tuple[str, ...]:
        """A statement that may raise an error."""
        text = self._attempt(lambda: self.filler.pick("RAISES"))
        return (text,) if text else ()

    def _headed(self, table: str, depth: int) -> list[Statement]:
        """A loop."""
        header = self._attempt(
            lambda: self.filler.pick(table), lambda text: self._runs(f"{text}\n    pass")
        )
        if not header:
            return []
        with self._scope():
            self._note_variable(header)
            body = self._nested(depth)
            if self.random.random() < 0.1:
                condition = self._attempt(lambda: self.filler.pick("CONDITIONS"), self._runs)
                body += (f"if {condition or True}: {self.random.choice(('break', 'continue'))}",)
        return [Block(((header, body),))]

    def _note_variable(self, header: str) -> None:
        """Make the variable of a loop known."""
        for name in header.replace(",", " ").split():
            value = self.filler.names.get(name)
            if is_tensor(value) and name not in self.filler.locals:
                self.filler.locals.append(name)
            elif name[0] == "v" and isinstance(value, (int, float)):
                self.filler.numbers.append(name)

    def _nested(self, depth: int) -> tuple[Statement, ...]:
        """The statements of a part of a block; names made there are not known after it."""
        body: list[Statement] = []
        with self._scope():
            for _ in range(self.random.randint(1, 3)):
                body += self._statement(depth + 1)
        return tuple(body)

    @contextmanager
    def _scope(self) -> Any:
        known = [list(names) for names in self._scoped()]
        yield
        for names, before in zip(self._scoped(), known, strict=True):
            names[:] = before

    def _scoped(self) -> tuple[list[str], ...]:
        return self.filler.locals, self.filler.numbers, self.filler.lists


def _alike(old: Any, new: Any) -> bool:
    """Whether what can be done with `old` can mostly be done with `new`."""
    if is_tensor(new):
        return is_tensor(old) and (old.shape, old.dtype) == (new.shape, new.dtype)
    return not is_tensor(old)
