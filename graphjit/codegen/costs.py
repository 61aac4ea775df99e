"""What scalar instructions cost, roughly: an addition of a vector element is 1."""

from __future__ import annotations

from collections.abc import Iterable

from ..runtime import objects
from .loops import Let, Load, Statement
from .program import DIVIDED_BY, INDEX, LITERAL, LOAD, SCALAR, Value

#: Up to this cost a value is computed again rather than stored and loaded.
RECOMPUTED = 4
#: A reduction inside a loop is never worth repeating.
REDUCTION_COST = 1000
#: Of fewer elements, several vectors at a time may be all.
SHORT_LOOP = 64
#: Loops shorter than the first number are masked if an element costs at least the second: 97 rows
#: of 51 elements with five exponentials each took 14 us, now 9.
MASKED = ((16, 3), (64, 20), (512, 60))
#: A division, or a root.
DIVIDED = 8
#: An exponential. Below this cost gathers and scatters are not masked, nor is anything on machines
#: without registers for masks, where it has to pay for a slow store.
DEAR = 20
#: On those, fewer elements than this are better done one at a time.
_SOME = 3

#: Beside scalar instructions, `divided`: division by what is the same for all elements of a loop.
_BY_INVERSE = 4
_ARITHMETIC = frozenset(
    "neg abs sign add sub mul product max min lt le gt ge eq ne select bitand bitor bitxor bitnot "
    "shl shr isnan isinf logical_not cast".split()
)
_FREE = frozenset((SCALAR, LITERAL, INDEX))
_ROUNDING = frozenset("floor ceil round trunc".split())
#: What a processor does a few bits at a time: a vector takes as long as a dozen additions.
_DIVISION = frozenset("div sqrt rsqrt reciprocal".split())


def cost_of(value: Value) -> int:
    """The cost of one element of `value`, given its operands."""
    return cost_of_instruction(value.op)


def cost_of_instruction(op: str) -> int:
    """The cost of one element of an operation of a program."""
    if op in _FREE:
        return 0
    if op == LOAD or op in _ARITHMETIC:
        return 1
    if op == DIVIDED_BY:
        return _BY_INVERSE
    return 2 if op in _ROUNDING else DIVIDED if op in _DIVISION else DEAR


def takes_few(body: Iterable[Statement], sums: bool, short: bool) -> bool:
    """Whether a loop should compute but a few vectors at a time.

    Many pay where constants are loaded for each (an exponential has ten), and where each element is
    added to the same sums. Elsewhere few take as long, and are compiled in two thirds of the time.
    Machines with many registers need not be told.
    """
    if objects.vector_registers() == 32:
        return False
    cheap = all(cost_of_instruction(s.op) < DEAR for s in body if isinstance(s, Let))
    return short or (cheap and not sums)


def is_masked(extent: int, body: Iterable[Statement], gathers: bool) -> bool:
    """Whether rows are so short, and their elements so dear, that vectors should be masked.

    `gathers` tells whether memory is not contiguous along the loop.
    """
    cost = sum(cost_of_instruction(s.op) for s in body if isinstance(s, Let))
    cost += sum(isinstance(s, Load) for s in body)
    rest = extent % (objects.vector_bytes() // 4)
    slow = objects.vector_registers() < 32
    if rest == 0 or (cost < DEAR and (gathers or slow)) or (slow and rest < _SOME):
        return False
    return any(extent < most and cost >= least for most, least in MASKED)
