"""Argument tables of a program's instructions, as one array of words and what is to be put in.

Reads instructions; makes rows for the runner, and lists of the words that hold addresses in the
program's memory or contents of slots.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from .instruction import Arena, Argument, External, Instruction, ScalarSlot, Scratch, Status
from .words.program import ROW_WORDS

_WORD = 1 << 64


@dataclass(frozen=True, slots=True)
class Patch:
    """Word `index` of the tables takes the contents of a slot plus `offset`."""

    index: int
    offset: int


@dataclass(slots=True)
class Tables:
    """All argument tables, one after the other.

    `rows` has (kernel address, index of the table's first word, begin, end) for each instruction;
    `arena`, `status` and `scratch` list words that take an address once memory is there.
    """

    words: list[int] = field(default_factory=list)
    rows: list[tuple[int, int, int, int]] = field(default_factory=list)
    arena: list[Patch] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    scratch: list[int] = field(default_factory=list)
    scratch_size: int = 0
    arrays: dict[int, list[Patch]] = field(default_factory=dict)
    scalars: dict[int, list[Patch]] = field(default_factory=dict)

    def add(self, instruction: Instruction) -> None:
        """Append a row and its table."""
        row = (instruction.address, len(self.words), instruction.begin, instruction.end)
        self.rows.append(row)
        for argument in instruction.args:
            self.words.append(self._word(argument))

    @property
    def nbytes(self) -> int:
        """Bytes of the tables, the rows, and the patches if no array is bound."""
        patches = sum(map(len, [*self.arrays.values(), *self.scalars.values()]))
        return 8 * (len(self.words) + ROW_WORDS * len(self.rows) + 3 * patches)

    def check(self, arrays: int, scalars: int, arena: int) -> None:
        """IndexError if something refers to an array, a scalar or memory that is not there."""
        for slot in self.arrays:
            if not 0 <= slot < arrays:
                raise IndexError(f"slot {slot} of a program with {arrays} arrays")
        for index in self.scalars:
            if not 0 <= index < scalars:
                raise IndexError(f"scalar {index} of a program with {scalars} scalars")
        for patch in self.arena:
            if not 0 <= patch.offset <= arena:
                raise IndexError(f"offset {patch.offset} in an arena of {arena} bytes")

    def _word(self, argument: Argument) -> int:
        """The word for `argument`; 0 where it is noted to be filled in."""
        index = len(self.words)
        match argument:
            case int():
                return signed(int(argument))
            case float():
                return float_bits(argument)
            case Arena():
                self.arena.append(Patch(index, argument.offset))
            case External():
                self.arrays.setdefault(argument.slot, []).append(Patch(index, argument.offset))
            case ScalarSlot():
                self.scalars.setdefault(argument.index, []).append(Patch(index, 0))
            case Status():
                self.status.append(index)
            case Scratch():
                self.scratch.append(index)
                self.scratch_size = max(self.scratch_size, argument.size)
        return 0


def build(instructions: Sequence[Instruction]) -> Tables:
    """The tables of `instructions`, in order."""
    tables = Tables()
    for instruction in instructions:
        tables.add(instruction)
    return tables


def signed(value: int) -> int:
    """`value` as an int64 with the same 64 bits."""
    return (value + _WORD // 2) % _WORD - _WORD // 2


def float_bits(value: float) -> int:
    """The bits of a float64 as an int64."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])
