"""What scalar instructions cost, roughly: an addition of a vector element is 1."""

from __future__ import annotations

from collections.abc import Iterable

from .loops import Let, Load, Statement
from .program import INDEX, LITERAL, LOAD, SCALAR, Value

#: Up to this cost a value is computed again rather than stored and loaded.
RECOMPUTED = 4
#: A reduction inside a loop is never worth repeating.
REDUCTION_COST = 1000
#: Elements of a vector of float32.
LANES = 16
#: Loops shorter than the first number are masked if an element costs at least the second: 97 rows
#: of 51 elements with five exponentials each took 14 us, now 9.
MASKED = ((LANES, 3), (4 * LANES, 20), (32 * LANES, 60))
#: Below this cost gathers and scatters are not masked.
GATHERED = 20

_ARITHMETIC = frozenset(
    "neg abs sign add sub mul max min lt le gt ge eq ne select bitand bitor bitxor bitnot shl shr "
    "isnan isinf logical_not cast".split()
)
_FREE = frozenset((SCALAR, LITERAL, INDEX))
_DIVISION = frozenset("div sqrt rsqrt reciprocal floor ceil round trunc".split())


def cost_of(value: Value) -> int:
    """The cost of one element of `value`, given its operands."""
    return cost_of_instruction(value.op)


def cost_of_instruction(op: str) -> int:
    """The cost of one element of an operation of a program."""
    if op in _FREE:
        return 0
    if op == LOAD or op in _ARITHMETIC:
        return 1
    return 2 if op in _DIVISION else 20


def is_masked(extent: int, body: Iterable[Statement], gathers: bool) -> bool:
    """Whether rows are so short, and their elements so dear, that vectors should be masked.

    `gathers` tells whether memory is not contiguous along the loop.
    """
    cost = sum(cost_of_instruction(s.op) for s in body if isinstance(s, Let))
    cost += sum(isinstance(s, Load) for s in body)
    if extent % LANES == 0 or (gathers and cost < GATHERED):
        return False
    return any(extent < most and cost >= least for most, least in MASKED)
