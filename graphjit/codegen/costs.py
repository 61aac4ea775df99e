"""What scalar instructions cost, roughly: an addition of a vector element is 1."""

from __future__ import annotations

from .program import INDEX, LITERAL, LOAD, SCALAR, Value

#: Up to this cost a value is computed again rather than stored and loaded.
RECOMPUTED = 4
#: A reduction inside a loop is never worth repeating.
REDUCTION_COST = 1000

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
