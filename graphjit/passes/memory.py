"""Memory planning: which results take over an operand's memory, and where buffers lie.

Reads a scheduled graph, or the first and last use of each buffer; makes offsets in one block, so
that buffers alive together lie apart. Nothing is allocated here. The order "largest first, into the
tightest gap" is the greedy one of Pisarchyk and Lee, "Efficient Memory Management for Deep Neural
Net Inference" (2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Graph, Node, Value
from .schedule import storage

#: Bytes; a cache line, and the widest vector register.
ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Interval:
    """A buffer of `nbytes`, needed from position `first` to position `last`, both included."""

    first: int
    last: int
    nbytes: int


def allocate(
    intervals: Sequence[Interval], alignment: int = ALIGNMENT
) -> tuple[list[int], int]:
    """An offset for each interval, a multiple of `alignment`, and the size of the block."""
    count = len(intervals)
    first = np.array([interval.first for interval in intervals])
    last = np.array([interval.last for interval in intervals])
    sizes = [_aligned(interval.nbytes, alignment) for interval in intervals]
    start = np.zeros(count, np.int64)
    end = np.zeros(count, np.int64)
    placed = np.zeros(count, bool)
    for i in sorted(range(count), key=lambda i: (-sizes[i], intervals[i].first)):
        together = placed & (first <= last[i]) & (last >= first[i])
        start[i] = _tightest_gap(start[together], end[together], sizes[i])
        end[i] = start[i] + sizes[i]
        placed[i] = True
    return [int(offset) for offset in start], int(end.max(initial=0))


def _tightest_gap(start: NDArray[np.int64], end: NDArray[np.int64], size: int) -> int:
    """Where `size` bytes fit most tightly between the occupied ranges, or behind them all."""
    order = np.argsort(start, kind="stable")
    free = np.concatenate(([0], np.maximum.accumulate(end[order])))
    rooms = start[order] - free[:-1]
    fitting = np.flatnonzero(rooms >= size)
    gap = fitting[np.argmin(rooms[fitting])] if len(fitting) else -1
    return int(free[gap])


def _aligned(nbytes: int, alignment: int) -> int:
    """`nbytes` rounded up; nothing is given no place at all, so that addresses stay distinct."""
    return max(-(-nbytes // alignment), 1) * alignment


def peak(intervals: Sequence[Interval], alignment: int = ALIGNMENT) -> int:
    """The most bytes alive at once: no plan can do with less."""
    changes: dict[int, int] = {}
    for interval in intervals:
        size = _aligned(interval.nbytes, alignment)
        changes[interval.first] = changes.get(interval.first, 0) + size
        changes[interval.last + 1] = changes.get(interval.last + 1, 0) - size
    alive = most = 0
    for position in sorted(changes):
        alive += changes[position]
        most = max(most, alive)
    return most


def describe(intervals: Sequence[Interval], size: int) -> str:
    """The plan in one line: bytes asked for, bytes planned, and the least possible."""
    asked = sum(interval.nbytes for interval in intervals)
    return (
        f"memory: {len(intervals)} buffers, {asked:,} bytes in {size:,} "
        f"(at least {peak(intervals):,})"
    )


def inherited(graph: Graph) -> dict[Value, Value]:
    """For results of kernels, an operand of the same type that nothing reads afterwards.

    The result may be written over it, element by element: then a store finds its cache line loaded.
    Left out are operands whose memory others see: inputs, results of the graph, and what is
    computed straight into a concatenation.
    """
    base = storage(graph)
    taken = {base[v] for v in (*graph.inputs, *graph.consts, *graph.results)}
    last: dict[Value, Node] = {}
    for node in graph.nodes:
        for value in node.inputs:
            last[base[value]] = node
            if getattr(node.op, "kind", "") == "scatter":
                taken.add(base[value])
    heirs: dict[Value, Value] = {}
    for node in graph.nodes:
        if node.op.name == "fused":
            operands = dict.fromkeys(v for v in node.inputs if base[v] not in taken)
            heirs.update(_heirs(node, [v for v in operands if last[base[v]] is node], base))
    return heirs


def _heirs(node: Node, ending: list[Value], base: Mapping[Value, Value]) -> dict[Value, Value]:
    """Pairs of a result and one of the operands that end with `node`."""
    pairs: dict[Value, Value] = {}
    free = [value for value in ending if value.spec.nbytes == base[value].spec.nbytes]
    for result in node.outputs:
        for value in free:
            if value.spec == result.spec:
                pairs[result] = value
                free = [other for other in free if base[other] is not base[value]]
                break
    return pairs
