"""Kernels that fusion has decided on, made equal where they nearly are.

Most of a model is layers or time steps that are computed by the same kernels; the last of them
often keep less than the others. They store what nobody reads, rather than be kernels of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

from ..ir.graph import Node, Value, attr_key

#: A kernel stores too much if so many times as many store that anyway.
OFTEN = 4

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kernel:
    """The nodes of a kernel in order, its operands and its results."""

    nodes: list[Node]
    inputs: list[Value]
    outputs: list[Value]


def shared(kernels: Mapping[int, Kernel]) -> dict[int, Kernel]:
    """The same kernels, with more outputs where that makes them equal to many others."""
    formulas = {name: _formula(kernel) for name, kernel in kernels.items()}
    alike: dict[Hashable, Counter[Numbers]] = {}
    for formula, outputs in formulas.values():
        alike.setdefault(formula, Counter())[outputs] += 1
    found = {}
    for name, kernel in kernels.items():
        formula, outputs = formulas[name]
        wider = _wider(outputs, alike[formula])
        found[name] = replace(kernel, outputs=[kernel.nodes[n].output for n in wider])
    return found


def _formula(kernel: Kernel) -> tuple[Hashable, Numbers]:
    """What a kernel computes, whatever it keeps; and the numbers of the nodes that it keeps."""
    number = {value: i for i, value in enumerate(kernel.inputs)}
    rows: list[Hashable] = [value.spec for value in kernel.inputs]
    for node in kernel.nodes:
        operands = tuple([number[value] for value in node.inputs])
        rows.append((node.op.name, operands, attr_key(node.attrs)))
        number[node.output] = len(number)
    first = len(kernel.inputs)
    return tuple(rows), tuple([number[value] - first for value in kernel.outputs])


def _wider(outputs: Numbers, known: Counter[Numbers]) -> Numbers:
    """The most frequent outputs that include all of `outputs`, if they are frequent enough."""
    enough = OFTEN * known[outputs]
    wider = [o for o, count in known.items() if count >= enough and set(o) > set(outputs)]
    return max(wider, key=known.__getitem__, default=outputs)
