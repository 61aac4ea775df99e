"""Makes a program from a seed: fills templates, and keeps the statements that run.

Statements are tried on live tensors while the program grows, so most of them fit together.
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from typing import Any

from . import grammar
from .execute import is_tensor, namespace
from .program import Call, Program

HOLDER = "class Holder: scale, value, count = 2.0, 1.0, 0"
#: elements of the largest tensor kept
MAX_SIZE = 400


class Generator:
    """Grows one program. `names` is its state so far, as it would be in the first call."""

    def __init__(self, seed: int, torch: bool = False) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.torch = torch
        self.names = namespace("graphjit")
        self.names["T"].manual_seed(seed)
        self.setup: list[str] = []
        self.body: list[str] = []
        self.locals: list[str] = []
        self.arguments: list[str] = []
        self.last = ""

    # --- the parts of a program -----------------------------------------------------------------

    def program(self) -> Program:
        """The program of this seed."""
        T = self.names["T"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._setup()
                parameters = self._parameters()
                self._body()
                returns = self._returns()
                calls = self._calls()
            finally:
                T.set_default_dtype(T.float32)
        return Program(
            self.seed, tuple(self.setup), parameters, tuple(self.body), returns, calls
        )

    def _setup(self) -> None:
        pick = self.random
        self._set_up("l0, d0, g0 = [1.0, 2], {'s': 0.5}, 1.5")
        self._set_up(f"{HOLDER}\nh0 = Holder()")
        for i in range(pick.randint(1, 3)):
            self._set_up(f"a{i} = {self._tensor()}")
            self.arguments.append(f"a{i}")
        for i in range(pick.randint(0, 2)):
            self._set_up(f"c{i} = {self._tensor()}")
        leaves = [f"p{i}" for i in range(pick.randint(0, 2))]
        for leaf in leaves:
            dtype = pick.choice(("float32", "float32", "float64"))
            self._set_up(f"{leaf} = {self._data(dtype)}.requires_grad_()")
        parameters = f"[{', '.join(leaves)}]"
        if pick.random() < 0.35:
            same = "\nfor i, q in enumerate(m0.parameters()): q.data = data(i, q.shape)"
            self._set_up(f"m0 = {pick.choice(self._models())}" + same * self.torch)
            parameters = f"[*m0.parameters(), {', '.join(leaves)}]"
        if ("m0" in self.names or leaves) and pick.random() < 0.6:
            self._set_up(f"o0 = {pick.choice(grammar.OPTIMIZERS).format(parameters)}")

    def _models(self) -> list[str]:
        return [model for model in grammar.MODELS if not (self.torch and "Dropout" in model)]

    def _data(self, dtype: str) -> str:
        shape = self.random.choice(grammar.SHAPES)
        return f"data({self.random.randint(0, 99)}, {shape}, {dtype!r})"

    def _tensor(self) -> str:
        """A tensor's text, perhaps as a view."""
        text = self._data(self.random.choice(grammar.DTYPES))
        for _ in range(5):
            disguised = self.random.choice(grammar.DISGUISES).replace("{}", text)
            if self._evaluates(disguised):
                return disguised
        return text

    def _parameters(self) -> str:
        names = ["x", "y", "z"][: len(self.arguments)]
        for name, argument in zip(names, self.arguments, strict=True):
            self.names[name] = self.names[argument]
        self.locals += names
        self.names["s"] = 2.0
        return ", ".join([*names, "s=2.0"])

    def _body(self) -> None:
        for _ in range(self.random.randint(2, 14)):
            self._statement()

    def _statement(self) -> None:
        expressions, statements = _tables(self.torch)
        if self.random.random() < 0.75:
            table = self.random.choice(expressions)
            name = f"v{len(self.locals)}"
            if self._try(lambda: f"{name} = {self._fill(self.random.choice(table))}"):
                self.locals.append(name)
        else:
            table = self.random.choice(statements)
            self._try(lambda: self._fill(self.random.choice(table)))

    def _try(self, make: Callable[[], str]) -> bool:
        """Append the first of some statements that runs; once in a while, one that does not."""
        for _ in range(30):
            try:
                statement = make()
            except LookupError:
                continue
            if self._runs(statement) or self.random.random() < 0.001:
                self.body.append(statement)
                return True
        return False

    def _returns(self) -> tuple[str, ...]:
        results = []
        for _ in range(self.random.randint(1, 4)):
            if self._those(lambda t: True):
                name = self.random.choice(self._those(lambda t: True))
                grad = self.names[name].requires_grad and self.random.random() < 0.9
                results.append(f"{name}.detach()" if grad and name[0] == "v" else name)
        return tuple(results)

    def _calls(self) -> tuple[Call, ...]:
        calls = [Call((), f"step({', '.join(self.arguments)})")] * 2
        for _ in range(self.random.randint(1, 4)):
            changes = []
            for _ in range(self.random.choice((0, 1, 1, 2))):
                try:
                    change = self.random.choice(_CHANGES)
                    if not (self.torch and _is_random(change)):
                        changes.append(self._fill(change))
                except LookupError:
                    continue
            calls.append(Call(tuple(changes), self._call_text(), self.random.random() < 0.07))
        return tuple(calls)

    def _call_text(self) -> str:
        arguments = [self._argument(name) for name in self.arguments]
        if self.random.random() < 0.1:
            arguments.append(self.random.choice(("3.0", "s=3.0", "0", "s=True", "2.0", "s=None")))
        return f"step({', '.join(arguments)})"

    def _argument(self, name: str) -> str:
        value = self.names[name]
        luck = self.random.random()
        if luck < 0.6:
            return name
        if luck < 0.8:
            dtype = str(value.dtype).split(".")[-1]
            return f"data({self.random.randint(0, 99)}, {tuple(value.shape)}, {dtype!r})"
        if luck < 0.9:
            return self.random.choice(self.arguments)
        return self.random.choice(("{}.clone()", "{}.t()", "{}[:1]", "{}.double()", "{}.detach()",
                                   "{}[1:]", "{}.flatten()", "{}.unsqueeze(0)", "c0")).format(name)

    # --- filling templates ----------------------------------------------------------------------

    def _fill(self, template: str) -> str:
        """The template with its placeholders filled. LookupError if there is nothing to fill in."""
        return re.sub(r"\{(\w)\}", lambda match: self._choose(match[1]), template)

    def _choose(self, kind: str) -> str:
        pick = self.random
        if kind == "n":
            return pick.choice(("2", "0.5", "1.5", "-1", "0", "3.0", "-0.25", "True"))
        if kind == "k":
            return pick.choice("01233")
        if kind == "g":
            return "g0"
        if kind in "mo":
            name = f"{kind}0"
            return name if name in self.names else pick.choice([])
        if kind == "d":
            return str(pick.randint(-1, max(0, self.names[self.last].ndim - 1)))
        if kind == "s":
            return pick.choice(("0", "-1", "1:", ":2", "::2", "..., 0", ":, 1:", "None", "1",
                                ":, 0", "...", "0, 1:", "1:1", ":, None", "..., ::2", "-2:"))
        self.last = pick.choice(self._those(_KINDS[kind]))
        if kind == "a":
            self.last = pick.choice(self.arguments)
        return self.last

    def _those(self, fits: Callable[[Any], bool]) -> list[str]:
        """Names of the tensors that fit; the newest occur more often."""
        names = [n for n in self.names if re.fullmatch(r"[cp]\d", n)] + self.locals
        names += self.locals[-3:]
        return [n for n in names if is_tensor(self.names.get(n)) and _fits(self.names[n], fits)]

    # --- trying ---------------------------------------------------------------------------------

    def _set_up(self, statement: str) -> None:
        exec(statement, self.names)
        self.setup.append(statement)

    def _evaluates(self, text: str) -> bool:
        try:
            eval(text, self.names)
        except Exception:  # noqa: BLE001  (whatever it raises, it is no good)
            return False
        return True

    def _runs(self, statement: str) -> bool:
        before = self.names.get("v" + str(len(self.locals)))
        try:
            exec(statement, self.names)
        except Exception:  # noqa: BLE001  (whatever it raises, it is no good)
            return False
        value = self.names.get(statement.split(" = ")[0], before)
        return not is_tensor(value) or value.numel() <= MAX_SIZE


def _fits(tensor: Any, fits: Callable[[Any], bool]) -> bool:
    try:
        return fits(tensor)
    except RuntimeError:  # a view that cannot be found again
        return False


def _kind(value: Any) -> str:
    return str(value.detach().numpy().dtype.kind)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "t": lambda t: True,
    "a": lambda t: True,
    "f": lambda t: _kind(t) == "f",
    "i": lambda t: _kind(t) == "i",
    "b": lambda t: _kind(t) == "b",
    "w": lambda t: not (t.is_leaf and t.requires_grad),
    "p": lambda t: bool(t.is_leaf and t.requires_grad),
}
_CHANGES = grammar.templates(grammar.CHANGES)


def _tables(torch: bool) -> tuple[list[list[str]], list[list[str]]]:
    """Tables of expressions and of statements; for PyTorch, without random numbers."""
    expressions = [grammar.POINTWISE, grammar.POINTWISE, grammar.REDUCTIONS, grammar.VIEWS,
                   grammar.JOINING, grammar.MODULES, grammar.GRADIENTS, grammar.PYTHON]  # fmt: skip
    statements = [grammar.INPLACE, grammar.INPLACE, grammar.EFFECTS]
    if not torch:
        expressions.append(grammar.RANDOM)
    tables = [[grammar.templates(t) for t in group] for group in (expressions, statements)]
    if torch:
        tables = [[[t for t in rows if not _is_random(t)] for rows in group] for group in tables]
    return tables[0], tables[1]


def _is_random(template: str) -> bool:
    """Whether PyTorch gives other numbers, or sees an error that graphjit lets pass."""
    return bool(re.search(r"rand|normal|uniform|bernoulli|dropout|detach_\(", template))


def generate(seed: int, torch: bool = False) -> Program:
    """Program number `seed`; with `torch`, one whose numbers PyTorch can repeat."""
    return Generator(seed, torch).program()
