"""Compiled loops for eager code: functions of large arrays, one kernel each.

Made like every other kernel: a graph, the passes, the same lowering. What is kept is the kernel and
its arguments, which serve any number of rows.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import config, dtypes
from ..errors import CompileError
from ..ir.graph import Builder, Graph, Spec, Value
from ..ops.core import OPS
from ..ops.native import LARGE, Attrs, Function, Loop, Signature
from ..passes.building import namespace
from ..runtime import pool
from ..runtime.instruction import External, Instruction, Layout
from ..runtime.program import Program
from ..runtime.tables import float_bits, signed
from . import stored
from .library import library_call

_kernel_type = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)


def loop(
    function: Function, attrs: Attrs, signature: Signature, in_place: bool = False
) -> Loop | None:
    """`function(F, *arrays, **attrs)` as a call of one kernel.

    `in_place`, it writes its results over the arrays, for each of which there is one or None. It
    may be called by several threads at once. None where it takes more than one kernel, or one that
    depends on the number of rows.
    """
    return _loop(function, attrs, signature, in_place, repr(attrs) if attrs else "")


@lru_cache(maxsize=4096)
def _loop(
    function: Function, attrs: Attrs, signature: Signature, in_place: bool, text: str
) -> Loop | None:
    """The same, remembered; `text` tells attributes apart that are equal, as 0.0 and -0.0."""
    columns = max(math.prod(n or 1 for n in shape) for _, shape, _ in signature)
    rows = max(LARGE // columns, 64)
    strides = [_steps(dtype, steps) for dtype, _, steps in signature]
    try:
        graphs = [_graph(function, attrs, signature, in_place, n) for n in (rows, rows + 1)]
        calls = [_planned(graph, strides) for graph in graphs]
    except Exception as error:  # whatever it is, NumPy computes
        if config.get_bool("STRICT") and not isinstance(error, CompileError):
            raise
        return None
    if not _are_alike(graphs, calls, rows):
        return None
    if config.get_int("DEBUG") >= 1:
        print(f"graphjit: {calls[0].name} computes large arrays", file=sys.stderr)
    return _Loop(graphs[0], calls[0], rows)


def _are_alike(graphs: Sequence[Graph], calls: Sequence[Instruction], rows: int) -> bool:
    """Whether two plans differ in the number of rows alone, of which the other has one more."""
    shapes, others = ([value.shape for value in graph.results] for graph in graphs)
    call, other = calls
    return (
        call.address == other.address
        and call.args == other.args
        and call.end * (rows + 1) == other.end * rows
        and all(shape[:1] == (rows,) for shape in shapes)
        and others == [(rows + 1, *shape[1:]) for shape in shapes]
    )


def _graph(
    function: Function, attrs: Attrs, signature: Signature, in_place: bool, rows: int
) -> Graph:
    """`function` for so many rows."""

    def counted(value: Any) -> Any:
        return tuple(rows if n is None else n for n in value)

    builder = Builder()
    inputs = tuple(
        Value(Spec(counted(shape), dtypes.from_numpy(dtype))) for dtype, shape, _ in signature
    )
    given = {name: counted(x) if isinstance(x, tuple) else x for name, x in attrs}
    found = function(namespace(builder, None), *inputs, **given)
    results = tuple(found) if isinstance(found, (tuple, list)) else (found,)
    nodes = tuple(builder.nodes)
    if not in_place:
        return Graph(inputs, nodes, results)
    updates = tuple((old, new) for old, new in zip(inputs, results) if new is not None)
    return Graph(inputs, nodes, (), updates)


def _planned(graph: Graph, strides: Sequence[tuple[int, ...]]) -> Instruction:
    """The one call that computes `graph`, with slots for inputs, then outputs.

    CompileError if it takes several, or memory of its own.
    """
    key = stored.key_of(graph, strides)
    compiled = stored.load(key, graph)
    if compiled is None:
        # Loaded here, since another process may have compiled it.
        from ..passes import pipeline
        from .assemble import assemble

        compiled = assemble(pipeline.run(graph), strides)
        stored.save(key, compiled)
    instructions = compiled.program.instructions
    call = instructions[0]
    if len(instructions) != 1 or not isinstance(call, Instruction):
        raise CompileError("more than one kernel")
    if any(not isinstance(argument, (int, float, External)) for argument in call.args):
        raise CompileError("a kernel that needs memory")
    return call


def library(name: str, arrays: Sequence[NDArray[Any]], attrs: Mapping[str, Any]) -> Any:
    """The op `name` of arrays of any strides by a kernel of the library.

    None where it has none, or the operands are such that the op raises an error.
    """
    if not all(x.flags.aligned for x in arrays):
        return None
    signature = tuple((x.dtype, x.shape, x.strides) for x in arrays)
    call = _library_call(name, tuple(attrs.items()), signature, pool.wanted_threads())
    return None if call is None else call(arrays)


@lru_cache(maxsize=64)
def _library_call(
    name: str, attrs: Attrs, signature: tuple[Any, ...], threads: int
) -> Callable[[Sequence[NDArray[Any]]], Any] | None:
    """The call of a program of one instruction; programs keep memory, and so many `threads`."""
    builder = Builder()
    layouts, values = [], []
    for slot, (dtype, shape, strides) in enumerate(signature):
        spec = Spec(shape, dtypes.from_numpy(dtype))
        layouts.append(Layout(External(slot), shape, _steps(dtype, strides), spec.dtype))
        values.append(Value(spec))
    try:
        outputs = builder.add(OPS[name], values, dict(attrs))
        layouts += [
            Layout.contiguous(External(slot), v.shape, v.dtype)
            for slot, v in enumerate(outputs, len(values))
        ]
        homes = layouts[len(values) :]
        instruction = library_call(builder.nodes[0], layouts[: len(values)], homes)
    except (CompileError, RuntimeError, TypeError, ValueError):  # the op's own, for its operands
        return None
    program = Program([instruction], len(layouts))

    def call(arrays: Sequence[NDArray[Any]]) -> Any:
        results = [np.empty(v.shape, v.dtype.numpy) for v in outputs]
        program(*arrays, *results)
        return results[0] if len(results) == 1 else tuple(results)

    return call


def _steps(dtype: np.dtype[Any], strides: Sequence[int]) -> tuple[int, ...]:
    """Strides in elements; those of aligned arrays are whole numbers of them."""
    return tuple(stride // dtype.itemsize for stride in strides)


class _Loop:
    """A kernel with the words of its arguments, of which those of arrays are put in by a call."""

    def __init__(self, graph: Graph, call: Instruction, rows: int) -> None:
        self._steps = call.end // rows
        self._kernel = _kernel_type(call.address)
        self._table = ctypes.c_int64 * len(call.args)
        self._arrays = [
            (position, argument.slot, argument.offset)
            for position, argument in enumerate(call.args)
            if isinstance(argument, External)
        ]
        self._words = [_word(argument) for argument in call.args]
        self._outputs = [(v.shape[1:], v.dtype.numpy) for v in graph.outputs]

    def __call__(self, rows: int, arrays: Sequence[NDArray[Any]]) -> Any:
        results = [np.empty((rows, *shape), dtype) for shape, dtype in self._outputs]
        addresses = [x.__array_interface__["data"][0] for x in (*arrays, *results)]
        words = self._words.copy()
        for position, slot, offset in self._arrays:
            words[position] = addresses[slot] + offset
        table = self._table(*words)
        self._kernel(ctypes.addressof(table), 0, rows * self._steps)
        return results[0] if len(results) == 1 else tuple(results)


def _word(argument: Any) -> int:
    if isinstance(argument, External):
        return 0
    return float_bits(argument) if isinstance(argument, float) else signed(argument)
