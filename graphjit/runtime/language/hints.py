"""What a kernel may promise of a loop, and LLVM's words for it.

A loop over `lanes(...)` instead of `range(...)` has iterations that may run in any order or at
once: none reads what another writes. Accesses marked by `in_lanes` are covered by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir


@dataclass(frozen=True, slots=True)
class Lanes:
    """The kind of a loop; if `masked`, vectors that are not full are masked at its end.

    LLVM otherwise does the last iterations one at a time. With `rest`, those that are left of
    vectors of so many lanes are a loop of their own, which alone is masked. So many vectors as
    `interleave` says are computed at a time, where 0 leaves it to LLVM.
    """

    masked: bool = False
    rest: int = 0
    interleave: int = 0


class _Distinct(ir.values.MDValue):  # type: ignore[misc]
    """A metadata node that equals only itself."""

    def descr(self, buf: list[str]) -> None:
        buf += ("distinct ",)
        super().descr(buf)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def _distinct(module: Any) -> _Distinct:
    return _Distinct(module, (), name=str(len(module.metadata)))


def _group(module: Any) -> _Distinct:
    """The node by which LLVM knows the marked accesses of a module."""
    known = next((node for node in module.metadata if isinstance(node, _Distinct)), None)
    return known or _distinct(module)


def in_lanes(builder: Any, access: Any) -> Any:
    """Mark a load or store as one that loops over lanes promise about."""
    access.set_metadata("llvm.access.group", _group(builder.module))
    return access


def annotate(builder: Any, branch: Any, kind: Lanes) -> None:
    """Promise of the loop that `branch` goes back in what `kind` says."""
    module = builder.module
    hints = [module.add_metadata(["llvm.loop.parallel_accesses", _group(module)])]
    if kind.masked:
        yes = ir.Constant(ir.IntType(1), 1)
        hints.append(module.add_metadata(["llvm.loop.vectorize.predicate.enable", yes]))
    if kind.interleave:
        count = ir.Constant(ir.IntType(32), kind.interleave)
        hints.append(module.add_metadata(["llvm.loop.interleave.count", count]))
    loop = _distinct(module)
    loop.operands = (loop, *hints)
    branch.set_metadata("llvm.loop", loop)
