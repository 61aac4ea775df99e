"""Compiled graphs on disk: a graph that any process has compiled is not compiled again.

Reads recorded graphs; makes what `assemble` would make of them, without passes and code generation,
which need not even be loaded. The key has everything that the result depends on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from .. import config
from ..ir.fingerprint import Nameless, fingerprint
from ..ir.graph import Graph
from ..runtime import plans, store
from ..runtime.cache import source_digest
from ..runtime.instruction import Instruction
from ..runtime.program import Program
from .assembled import Assembled

_PACKAGE = Path(__file__).parents[1]
#: Where the code lies that decides what a graph is compiled to.
_FOLDERS = ("ir", "ops", "passes", "codegen", "runtime")
#: Knobs that change it.
_KNOBS = ("PASSES", "EMITTER")


def load(key: str | None, graph: Graph) -> Assembled | None:
    """What was stored for a recorded graph under its key; None if nothing was.

    The result has the recorded graph, not the optimised one.
    """
    plan = None if key is None else plans.read(key)
    if plan is None:
        return None
    slots = len(graph.inputs) + len(graph.outputs)
    program = Program(plan.instructions, slots, 0, plan.arena)
    return Assembled(graph, program, plan.sources, [], plan.memory, plan.checked)


def save(key: str | None, assembled: Assembled) -> None:
    """Store what a recorded graph was compiled to, unless some of it runs on the host."""
    program = assembled.program
    native = tuple(i for i in program.instructions if isinstance(i, Instruction))
    if key is not None and len(native) == len(program.instructions):
        arena = program.memory.arena
        plans.write(
            key, plans.Plan(native, arena, assembled.sources, assembled.memory, assembled.checked)
        )


def key_of(graph: Graph, strides: Sequence[tuple[int, ...]]) -> str | None:
    """What a recorded graph whose inputs have these strides is stored under.

    None if it cannot be named, if nothing is kept, or if every pass is to run because someone looks
    at it.
    """
    watched = config.get_int("CHECK") or config.get_str("DUMP") or config.get_int("DEBUG") >= 3
    if watched or not store.limit():
        return None
    try:
        name = fingerprint(graph)
    except Nameless:
        return None
    knobs = [config.get_str(knob) for knob in _KNOBS]
    return json.dumps([name, [list(step) for step in strides], knobs, _compiler()])


@cache
def _compiler() -> list[str]:
    """Stands for the compiler: its code, and NumPy, which computes constants."""
    paths = (path for folder in _FOLDERS for path in sorted((_PACKAGE / folder).rglob("*.py")))
    return [source_digest(_PACKAGE / "dtypes.py", *paths), np.__version__]
