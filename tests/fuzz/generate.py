"""Makes a program from a seed: fills templates, and keeps the statements that run.

Statements are tried on live tensors while the program grows, so most of them fit together. Those of
all branches are tried, one after the other.
"""

from __future__ import annotations

import warnings

from . import grammar
from .execute import namespace
from .fill import Filler, table
from .grow import Body
from .program import Call, Program

HOLDER = "class Holder: scale, value, count = 2.0, 1.0, 0\nh0 = Holder()"


class Generator:
    """Grows one program. `filler` has its state so far, as it would be in the first call."""

    def __init__(self, seed: int, torch: bool = False) -> None:
        names = namespace("graphjit")
        names["T"].manual_seed(seed)
        self.seed = seed
        self.names = names
        self.filler = Filler(seed, torch, names)
        self.random = self.filler.random
        self.torch = torch
        self.setup: list[str] = []

    def program(self) -> Program:
        """The program of this seed."""
        T = self.names["T"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._state()
                parameters = self._parameters()
                body = Body(self.filler).grow()
                container, returns = self._returns()
                calls = self._calls()
            finally:
                T.set_default_dtype(T.float32)
                T.set_grad_enabled(True)
        return Program(self.seed, tuple(self.setup), parameters, body, returns, calls, container)

    # --- the state that it starts from ------------------------------------------------------------

    def _state(self) -> None:
        self._set_up("l0, d0, g0 = [1.0, 2], {'s': 0.5}, 1.5")
        self._set_up(HOLDER)
        for i in range(self.random.randint(1, 3)):
            self._set_up(f"a{i} = {self._tensor()}")
            self.filler.arguments.append(f"a{i}")
        for i in range(self.random.randint(0, 2)):
            self._set_up(f"c{i} = {self._tensor()}")
        leaves = [f"p{i}" for i in range(self.random.randint(0, 2))]
        for leaf in leaves:
            dtype = self.random.choice(("float32", "float32", "float64"))
            self._set_up(f"{leaf} = {self._data(dtype)}.requires_grad_()")
        self._training(leaves)
        if self.random.random() < 0.3:
            self._set_up(self.random.choice(grammar.HELPERS))

    def _training(self, leaves: list[str]) -> None:
        """Perhaps a model, an optimizer and a scheduler."""
        parameters = f"[{', '.join(leaves)}]"
        if self.random.random() < 0.35:
            same = "\nfor i, q in enumerate(m0.parameters()): q.data = data(i, q.shape)"
            self._set_up(self.random.choice(table("MODELS", self.torch)) + same)
            parameters = f"[*m0.parameters(), {', '.join(leaves)}]"
        if ("m0" in self.names or leaves) and self.random.random() < 0.6:
            self._set_up(f"o0 = {self.random.choice(grammar.OPTIMIZERS).format(parameters)}")
            if self.random.random() < 0.3:
                text = self.random.choice(grammar.SCHEDULERS)
                self._set_up(f"u0 = optim.lr_scheduler.{text}")

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

    def _set_up(self, statement: str) -> None:
        exec(statement, self.names)
        self.setup.append(statement)

    def _evaluates(self, text: str) -> bool:
        try:
            eval(text, self.names)
        except Exception:  # noqa: BLE001  (whatever it raises, it is no good)
            return False
        return True

    # --- the function and its calls ---------------------------------------------------------------

    def _parameters(self) -> str:
        arguments = self.filler.arguments
        names = ["x", "y", "z"][: len(arguments)]
        for name, argument in zip(names, arguments, strict=True):
            self.names[name] = self.names[argument]
        self.filler.locals += names
        self.filler.numbers.append("s")
        self.names.update(s=2.0, k=None)
        return ", ".join([*names, "s=2.0", "k=None"])

    def _returns(self) -> tuple[str, tuple[str, ...]]:
        """What the results are put into, and the results."""
        results = [self._result() for _ in range(self.random.randint(1, 4))]
        luck = self.random.random()
        if luck < 0.1:
            results = [f"{name!r}: {name}" for name in results]
            return "{{}}", tuple(results)
        if luck < 0.2:
            return "[{}]", tuple(results)
        return ("({},)" if luck < 0.25 else "{}"), tuple(results)

    def _result(self) -> str:
        filler, luck = self.filler, self.random.random()
        if luck < 0.12:
            return self.random.choice(filler.numbers)
        if luck < 0.2 and filler.lists:
            return self.random.choice(filler.lists)
        tensors = filler.those(lambda t: True)
        if not tensors:
            return "None"
        name = self.random.choice(tensors)
        return f"{name}.detach()" if self.random.random() < 0.2 else name

    def _calls(self) -> tuple[Call, ...]:
        floats = self.random.random() < 0.5
        calls: list[Call] = []
        for number in range(self.random.choice((4, 5, 6, 7, 10))):
            if number > 1 and self.random.random() < 0.25:
                calls.append(Call((), calls[-1].text, calls[-1].no_grad))
            else:
                changes = self._changes() if number > 1 else ()
                no_grad = number > 1 and self.random.random() < 0.05
                calls.append(Call(changes, self._call_text(number, floats), no_grad))
            self.filler.results += 1
        return tuple(calls)

    def _changes(self) -> tuple[str, ...]:
        changes = []
        names = ("CHANGES",) * 8 + ("RANDOM_CHANGES",) * (not self.torch)
        for _ in range(self.random.choice((0, 1, 1, 2))):
            try:
                changes.append(self.filler.pick(self.random.choice(names)))
            except LookupError:
                continue
        return tuple(changes)

    def _call_text(self, number: int, floats: bool) -> str:
        names = self.filler.arguments
        arguments = [self._argument(name) if number > 1 else name for name in names]
        if floats and self.random.random() < 0.9:
            value = f"{self.random.uniform(-3, 3):.2f}"
            odd = number > 1 and self.random.random() < 0.2
            arguments.append(self.random.choice(grammar.FLOATS) if odd else value)
        elif self.random.random() < 0.1:
            arguments.append(f"s={self.random.choice(grammar.FLOATS)}")
        if self.random.random() < 0.1:
            arguments.append(f"k={self.random.choice(grammar.VALUES)}")
        return f"step({', '.join(arguments)})"

    def _argument(self, name: str) -> str:
        value = self.names[name]
        luck = self.random.random()
        if luck < 0.45:
            return name
        if luck < 0.8:
            dtype = str(value.dtype).split(".")[-1]
            return f"data({self.random.randint(0, 99)}, {tuple(value.shape)}, {dtype!r})"
        if luck < 0.9:
            return self.random.choice(self.filler.arguments)
        return self.random.choice(("{}.clone()", "{}.t()", "{}[:1]", "{}.double()", "{}.detach()",
                                   "{}[1:]", "{}.flatten()", "{}.unsqueeze(0)", "c0", "-{}",
                                   "{} * 2", "{}.int()", "{}[None].expand(2, *{}.shape)",
                                   "{}.clone().requires_grad_()")).replace("{}", name)


def generate(seed: int, torch: bool = False) -> Program:
    """Program number `seed`; with `torch`, one whose numbers PyTorch can repeat."""
    return Generator(seed, torch).program()
