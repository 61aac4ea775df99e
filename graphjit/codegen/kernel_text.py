"""Kernels as text in the kernel language: what is compiled, and what `step.kernels()` shows.

Names in the text: `p` buffers, `n` extents, `s` strides, `c` scalars, `i` indices, `v` values,
`m` local arrays. Functions end in the dtype they work on, loads and stores in the group of their
memory as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import dtypes
from ..dtypes import DType
from .loops import (
    Accumulator,
    Get,
    Kernel,
    Let,
    Load,
    Local,
    Loop,
    Pieces,
    Put,
    Register,
    Statement,
    Store,
    Turn,
    Update,
)

#: Additions in a row before a partial sum is put aside: keeps long float32 sums exact enough.
BLOCK = 4096
_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/",
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
}  # fmt: skip
_COMPARISONS = frozenset(("lt", "le", "gt", "ge", "eq", "ne"))


class Printer:
    """Prints one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.pieces = {pieces.base: pieces for pieces in kernel.pieces}
        self.clipped: set[int] = set()
        self.lines: list[str] = []
        self.depth = 1
        self.names: dict[Register, str] = {}
        self.dtypes: dict[Register, DType] = {}
        groups = {buffer.group for buffer in kernel.buffers}
        self.group = {group: number for number, group in enumerate(sorted(groups))}
        self.groups = len(groups) + len(kernel.locals)

    def text(self) -> str:
        """The whole function."""
        self.lines = [f"# {self.groups} groups of memory", "def kernel(table, begin, end):"]
        self._arguments()
        self._body(self.kernel.body)
        if self.kernel.spacious:
            self._line("release(block, part)")
        return "\n".join(self.lines) + "\n"

    def _line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    # -- arguments

    def _arguments(self) -> None:
        kernel, position = self.kernel, 0
        for number, buffer in enumerate(kernel.buffers):
            self._line(f"p{number} = pointer(table, {position})  # {buffer.dtype.short}")
            position += 1
        for axis in kernel.sizes:
            self._line(f"n{axis} = integer(table, {position})")
            position += 1
        for pieces in kernel.pieces:
            if pieces.length is None:
                self._line(f"q{pieces.axis} = integer(table, {position})")
                position += 1
        for number, buffer in enumerate(kernel.buffers):
            for axis, unit in enumerate(buffer.unit):
                if unit is None:
                    self._line(f"s{number}_{axis} = stride(table, {position})")
                    position += 1
        for number, dtype in enumerate(kernel.scalars):
            read = "number" if dtype.category == 2 else "integer"
            self._line(f"c{number} = {dtype.short}({read}(table, {position}))")
            position += 1
        for pieces in kernel.pieces:
            length = self._length(pieces)
            self._line(f"n{pieces.axis} = (n{pieces.base} + {length} - 1) // {length}")
        for level in range(1, len(kernel.parallel)):
            extents = " * ".join(f"n{axis}" for axis in kernel.parallel[level:])
            self._line(f"r{level} = {extents}")
        self._locals(position)

    def _locals(self, position: int) -> None:
        if self.kernel.spacious:
            self._line(f"block = integer(table, {position})")
            self._line("part = claim(block)")
            self._line("used = 0")
        for number, local in enumerate(self.kernel.locals):
            if self.kernel.spacious:
                self._line(f"m{number} = as_pointer(part + used)")
                size = f"{self._count(local)} * {local.dtype.itemsize}"
                self._line(f"used += ({size} + 63) // 64 * 64")
            else:
                self._line(f"m{number} = local_{local.dtype.short}({self._count(local)})")

    def _length(self, pieces: Pieces) -> str:
        return f"q{pieces.axis}" if pieces.length is None else str(pieces.length)

    def _extents(self, local: Local) -> list[str]:
        return [
            self._length(self.pieces[axis]) if clipped else f"n{axis}"
            for axis, clipped in zip(local.axes, local.clipped, strict=True)
        ]

    def _count(self, local: Local) -> str:
        return " * ".join(self._extents(local)) or "1"

    # -- statements

    def _body(self, body: Sequence[Statement]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, statement: Statement) -> None:
        match statement:
            case Let():
                self._let(statement)
            case Load(register, buffer, dtype):
                memory = self.kernel.buffers[buffer]
                name = f"load_{memory.dtype.short}_{self.group[memory.group]}"
                self._define(register, dtype, f"{name}(p{buffer}, {self._index(buffer)})")
            case Store(buffer, register):
                memory = self.kernel.buffers[buffer]
                name = f"store_{memory.dtype.short}_{self.group[memory.group]}"
                self._line(f"{name}(p{buffer}, {self._index(buffer)}, {self.names[register]})")
            case Get(register, local):
                dtype = self.kernel.locals[local].dtype
                call = f"load_{self._local_name(local)}(m{local}, {self._local_index(local)})"
                self._define(register, dtype, call)
            case Put(local, register):
                place = f"m{local}, {self._local_index(local)}"
                name = f"store_{self._local_name(local)}"
                self._line(f"{name}({place}, {self.names[register]})")
            case Turn():
                self._turn(statement)
            case Update(register, combine, value, dtype):
                new = _fold(combine, dtype, self.names[register], self.names[value])
                self._line(f"{self.names[register]} = {new}")
            case Loop():
                self._loop(statement)

    def _define(self, register: Register, dtype: DType, text: str) -> None:
        self.names[register] = f"v{register}"
        self.dtypes[register] = dtype
        self._line(f"v{register} = {text}")

    def _index(self, buffer: int, at_start: Sequence[int] = ()) -> str:
        """The element offset at the current indices, at the start of the pieces of some axes."""
        terms = []
        for axis, unit in enumerate(self.kernel.buffers[buffer].unit):
            index = f"l{axis}" if axis in at_start else f"i{axis}"
            if unit is None:
                terms.append(f"{index} * s{buffer}_{axis}")
            elif unit:
                terms.append(index)
        return " + ".join(terms) or "0"

    def _turn(self, turn: Turn) -> None:
        memory, across, vector = self.kernel.buffers[turn.buffer], turn.across, turn.vector
        local = self._local_name(turn.local).rpartition("_")[2]
        name = f"turn_{memory.dtype.short}_{self.group[memory.group]}_{local}"
        source = f"p{turn.buffer}, {self._index(turn.buffer, (across, vector))}"
        stride, row = f"s{turn.buffer}_{vector}", self._length(self.pieces[vector])
        counts = f"h{across} - l{across}, h{vector} - l{vector}"
        self._line(f"{name}(m{turn.local}, {row}, {source}, {stride}, {counts})")

    def _local_name(self, local: int) -> str:
        group = self.groups - len(self.kernel.locals) + local
        return f"{self.kernel.locals[local].dtype.short}_{group}"

    def _local_index(self, local: int) -> str:
        array = self.kernel.locals[local]
        index = ""
        for axis, clipped, extent in zip(
            array.axes, array.clipped, self._extents(array), strict=True
        ):
            here = f"i{axis} - l{axis}" if clipped else f"i{axis}"
            index = f"({index}) * {extent} + {here}" if index else here
        return index or "0"

    # -- scalar instructions

    def _let(self, let: Let) -> None:
        dtype = let.dtype
        self.dtypes[let.register] = dtype
        if let.op == "literal":
            self.names[let.register] = _literal(str(let.detail), dtype)
        elif let.op == "scalar":
            self.names[let.register] = f"c{let.detail}"
        elif let.op == "index":
            self.names[let.register] = f"i{let.detail}"
        else:
            self._define(let.register, dtype, self._instruction(let))

    def _instruction(self, let: Let) -> str:
        args = [self.names[arg] for arg in let.args]
        dtype = self.dtypes[let.args[-1]]
        if let.op == "cast":
            assert isinstance(let.detail, DType)
            return f"cast_{dtype.short}_{let.detail.short}({args[0]})"
        if let.op in _INFIX and _has_operators(dtype, let.op):
            return f"{args[0]} {_INFIX[let.op]} {args[1]}"
        return f"{let.op}_{dtype.short}({', '.join(args)})"

    # -- loops

    def _loop(self, loop: Loop) -> None:
        for accumulator in loop.accumulators:
            self.names[accumulator.register] = f"v{accumulator.register}"
            self.dtypes[accumulator.register] = accumulator.dtype
            self._start(accumulator)
        if loop.parallel:
            self._parallel_loop(loop)
        elif loop.axis in self.clipped:
            self._range(loop, f"l{loop.axis}, h{loop.axis}")
        elif loop.long:
            self._blocked_loop(loop)
        else:
            self._range(loop, f"n{loop.axis}")

    def _start(self, accumulator: Accumulator) -> None:
        identity = _literal(accumulator.identity, accumulator.dtype)
        self._line(f"v{accumulator.register} = {identity}")

    def _range(self, loop: Loop, bounds: str) -> None:
        kind = "range"
        if loop.vector:
            kind = "masked_lanes" if loop.masked else "few_lanes" if loop.few else "lanes"
        self._line(f"for i{loop.axis} in {kind}({bounds}):")
        self._indented(lambda: self._loop_body(loop))

    def _indented(self, print: Callable[[], None]) -> None:
        self.depth += 1
        print()
        self.depth -= 1

    def _loop_body(self, loop: Loop) -> None:
        parallel = self.kernel.parallel
        if loop.parallel and loop.axis != parallel[-1]:
            level = parallel.index(loop.axis) + 1
            start = f"d{level - 1} + " if level > 1 else ""
            self._line(f"d{level} = {start}i{loop.axis} * r{level}")
        pieces = next((p for p in self.kernel.pieces if p.axis == loop.axis), None)
        if pieces is None:
            self._body(loop.body)
            return
        base, length = pieces.base, self._length(pieces)
        self._line(f"l{base} = i{loop.axis} * {length}")
        self._line(f"h{base} = min(l{base} + {length}, n{base})")
        self.clipped.add(base)
        self._body(loop.body)
        self.clipped.remove(base)

    def _parallel_loop(self, loop: Loop) -> None:
        """One level of the loops over begin..end, which counts the indices of all levels."""
        level = self.kernel.parallel.index(loop.axis)
        low, high = ("begin", "end") if not level else (f"begin - d{level}", f"end - d{level}")
        if level:
            low = f"max({low}, 0)"
        if level + 1 < len(self.kernel.parallel):
            below = f"r{level + 1}"
            low = f"quotient({low if level else 'begin'}, {below})"
            high = f"quotient({high} + {below} - 1, {below})"
        if level:
            high = f"min({high}, n{loop.axis})"
        self._range(loop, f"{low}, {high}")

    def _blocked_loop(self, loop: Loop) -> None:
        """A long sum as the sum of the sums of blocks."""
        axis = loop.axis
        blocked = [a for a in loop.accumulators if a.combine == "add" and a.dtype.category == 2]

        def block() -> None:
            self._line(f"e{axis} = min(b{axis} + {BLOCK}, n{axis})")
            for accumulator in blocked:
                self._line(f"u{accumulator.register} = v{accumulator.register}")
                self._start(accumulator)
            self._range(loop, f"b{axis}, e{axis}")
            for accumulator in blocked:
                register = accumulator.register
                new = _fold("add", accumulator.dtype, f"u{register}", f"v{register}")
                self._line(f"v{register} = {new}")

        self._line(f"for b{axis} in range(0, n{axis}, {BLOCK}):")
        self._indented(block)


def _has_operators(dtype: DType, op: str) -> bool:
    """Whether the kernel language means by an operator what the instruction means."""
    return dtype.category == 2 or (op in _COMPARISONS and dtype.is_signed)


def _literal(text: str, dtype: DType) -> str:
    """A number of a definite type."""
    if dtype is dtypes.bool_:
        return text if text in ("True", "False") else str(bool(int(text)))
    return f"{dtype.short}({text})"


def _fold(combine: str, dtype: DType, x: str, y: str) -> str:
    """`combine(x, y)`; floating-point folds may be reordered."""
    if dtype.category == 2:
        return f"fold_{combine}({x}, {y})"
    return f"{combine}_{dtype.short}({x}, {y})"


