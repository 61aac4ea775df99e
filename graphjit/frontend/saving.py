"""What a tape node keeps for its backward, decided once for each op and set of gradients needed.

Reads an op's `saves` and the code of its vjps; makes functions that collect the entries.
"""

from __future__ import annotations

import dis
from collections.abc import Callable
from functools import cache
from typing import Any

from ..ops.core import Op

Keeper = Callable[..., tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]]


@cache
def kinds(op: Op) -> tuple[tuple[str, int], ...]:
    """`op.saves` taken apart: ("in" | "out" | "shape" | "dtype" | "shapes", position)."""
    return tuple(_parse(name) for name in op.saves)


def _parse(name: str) -> tuple[str, int]:
    word = name.rstrip("0123456789")
    return word, int(name[len(word):] or -1)


@cache
def keeper(op: Op, needs: tuple[bool, ...], numbers: tuple[bool, ...], outputs: int) -> Keeper:
    """The function `(*inputs, *outputs)` giving what a node keeps: entries, versions, arrays.

    `needs` tells which inputs get a gradient, `numbers` which are no tensors. It is compiled from
    `op.saves`, because a loop over them would cost more than many an op. Entries that no vjp looks
    at are None. Outputs are kept as bare arrays: a node that held its output would be a cycle.
    """
    inputs = [f"x{i}" for i in range(len(needs))]
    results = [f"out{i}" for i in range(outputs)]
    shapes = [f"{n}._array.shape" if not number else "()" for n, number in zip(inputs, numbers)]
    entries, versions, arrays = [], [], []
    for (kind, position), read in zip(kinds(op), _read(op, needs), strict=True):
        entry = array = "None"
        if kind == "shapes" and read:
            entry = array = f"({', '.join(shapes)},)"
        elif kind == "out" and read:
            entry = array = f"out{position}._array"
            versions.append(_version(f"out{position}"))
        elif read and position < len(needs):
            name, number = inputs[position], numbers[position]
            if kind == "in":
                entry, array = name, name if number else f"{name}._array"
                versions += [] if number else [_version(name)]
            else:
                entry = array = shapes[position] if kind == "shape" else f"{name}.dtype"
        entries.append(entry)
        arrays.append(array)
    parts = ", ".join(f"({', '.join(p)}{',' * bool(p)})" for p in (entries, versions, arrays))
    made: Keeper = eval(f"lambda {', '.join(inputs + results)}: ({parts})")
    return made


def _version(name: str) -> str:
    """An array, the counter of its writes, and what that is now."""
    return f"({name}._array, {name}._version, {name}._version[0])"


def _read(op: Op, needs: tuple[bool, ...]) -> list[bool]:
    """Which entries of `op.saves` the vjps of the inputs that `needs` marks look at.

    The others can be changed in place, and freed. A vjp of a product reads the other factor only;
    that is found in its code, not declared.
    """
    count = len(op.saves)
    if op.joint_vjp is not None:
        return [True] * count
    read = [False] * count
    for vjp, need in zip(op.vjps, needs):
        if need and vjp is not None:
            names = _names_read(vjp, count)
            read = [known or found for known, found in zip(read, names, strict=True)]
    return read


def _names_read(vjp: Callable[..., Any], count: int) -> list[bool]:
    """Whether each of the `count` parameters after `F` and `g` is read in the function's body."""
    code = getattr(vjp, "__code__", None)
    if code is None or code.co_argcount < 2 + count:  # a partial, or they come as *saved
        return [True] * count
    read: set[str] = set(code.co_cellvars)
    for instruction in dis.get_instructions(code):
        if "LOAD" in instruction.opname:
            value = instruction.argval
            read.update(value if isinstance(value, tuple) else (str(value),))
    return [name in read for name in code.co_varnames[2 : 2 + count]]
