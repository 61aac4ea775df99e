"""Programs on disk: what a process has planned, another need not.

Reads and writes the parts of a `Program` by key. Native functions stand in them as the keys by
which the cache finds them, arrays and memory as symbols: nothing in a file belongs to one process.
A plan is of use only with every kernel that it names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import dtypes
from ..errors import Location
from . import cache, store
from .cache import Address
from .instruction import (
    Arena,
    Argument,
    Cost,
    External,
    Instruction,
    ScalarSlot,
    Scratch,
    Status,
)

FORMAT = 1

Json = Any
#: What arguments are by their first letter; a number stands for itself.
_SYMBOLS: dict[str, Callable[..., Argument]] = {
    "a": Arena,
    "c": Scratch,
    "e": External,
    "f": float.fromhex,
    "s": ScalarSlot,
    "t": Status,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A program's instructions, the bytes of its arena, and what is told of them.

    Attributes:
        sources: the text of each generated kernel, by name.
        memory: a summary of the arena.
        checked: the check that an instruction tests, by the instruction's number from 1.
    """

    instructions: tuple[Instruction, ...]
    arena: int
    sources: dict[str, str]
    memory: str
    checked: dict[int, int]


def read(key: str) -> Plan | None:
    """The plan stored under `key`, if it is there and sound, and so are all of its kernels."""
    content = store.read(_file_name(key))
    if content is None:
        return None
    try:
        document = json.loads(content)
        return _decoded(document["plan"]) if document["header"] == _header(key) else None
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def write(key: str, plan: Plan) -> None:
    """Store `plan` under `key`, where files can be kept."""
    document = {"header": _header(key), "plan": _encoded(plan)}
    store.write(_file_name(key), json.dumps(document, separators=(",", ":")).encode())


def _header(key: str) -> Json:
    return cache.environment() | {"plan": FORMAT, "key": key}


def _file_name(key: str) -> str:
    return hashlib.sha256(json.dumps(_header(key)).encode()).hexdigest()[:40] + ".plan"


class _Table:
    """Things that occur again and again, each written once."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def number(self, thing: Any) -> int:
        return self.numbers.setdefault(thing, len(self.numbers))


def _encoded(plan: Plan) -> Json:
    kernels, places = _Table(), _Table()
    rows = [_row(instruction, kernels, places) for instruction in plan.instructions]
    return {
        "rows": rows,
        "kernels": list(kernels.numbers),
        "places": [[place.file, place.line, place.function] for place in places.numbers],
        "arena": plan.arena,
        "sources": plan.sources,
        "memory": plan.memory,
        "checked": list(plan.checked.items()),
    }


def _row(instruction: Instruction, kernels: _Table, places: _Table) -> Json:
    cost = instruction.cost
    return [
        instruction.name,
        _symbol(instruction.address, kernels),
        [_symbol(argument, kernels) for argument in instruction.args],
        instruction.begin,
        instruction.end,
        [cost.nbytes, cost.flops, None if cost.dtype is None else cost.dtype.name],
        [places.number(place) for place in instruction.lines],
    ]


def _symbol(argument: Argument, kernels: _Table) -> Json:
    match argument:
        case Address():
            return ["k", kernels.number(argument.key)]
        case int():
            return int(argument)
        case float():
            return ["f", argument.hex()]
        case External():
            return ["e", argument.slot, argument.offset]
        case Arena():
            return ["a", argument.offset]
        case ScalarSlot():
            return ["s", argument.index]
        case Scratch():
            return ["c", argument.size]
        case Status():
            return ["t"]


def _decoded(document: Json) -> Plan | None:
    kernels = [cache.known_address(key) for key in document["kernels"]]
    found = [kernel for kernel in kernels if kernel is not None]
    if len(found) < len(kernels):
        return None
    places = [Location(*place) for place in document["places"]]
    return Plan(
        tuple(_instruction(row, found, places) for row in document["rows"]),
        document["arena"],
        document["sources"],
        document["memory"],
        dict(document["checked"]),
    )


def _instruction(
    row: Json, kernels: Sequence[Address], places: Sequence[Location]
) -> Instruction:
    name, address, args, begin, end, (nbytes, flops, dtype), lines = row
    return Instruction(
        name,
        kernels[address[1]],
        tuple([a if type(a) is int else _argument(a, kernels) for a in args]),
        begin,
        end,
        Cost(nbytes, flops, None if dtype is None else dtypes.by_name(dtype)),
        tuple([places[number] for number in lines]),
    )


def _argument(symbol: Json, kernels: Sequence[Address]) -> Argument:
    letter, *numbers = symbol
    return kernels[numbers[0]] if letter == "k" else _SYMBOLS[letter](*numbers)
