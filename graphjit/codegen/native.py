"""Compiled loops of single instructions over an array: what eager code calls for large arrays.

Made like every other kernel, from a graph of one node; the kernel holds no size.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import dtypes
from ..errors import CompileError
from ..ir.graph import Builder, Graph, Spec, Value
from ..ops.core import OPS
from ..ops.native import LARGE, Loop
from ..runtime.instruction import External, Layout
from .lower import lower

_Table = ctypes.c_int64 * 2
_kernel_type = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)


@cache
def loop(name: str, dtype: np.dtype[Any]) -> Loop | None:
    """A function that applies the op `name` to each element of an array of `dtype`.

    It may be called by several threads at once. None where the kernel cannot be built.
    """
    address = _kernel(name, dtypes.from_numpy(dtype))
    return None if address is None else _caller(address)


def _kernel(name: str, dtype: dtypes.DType) -> int | None:
    """The address of a kernel whose arguments are an array and its result, both contiguous."""
    builder, operand = Builder(), Value(Spec((LARGE,), dtype))
    result = builder.add(OPS[name], (operand,))
    body = Graph((operand,), tuple(builder.nodes), result)
    source, target = (Layout.contiguous(External(slot), (LARGE,), dtype) for slot in (0, 1))
    try:
        instructions = [made for made, _ in lower(body, [source], [target]).instructions()]
    except CompileError:
        return None
    arguments = [instruction.args for instruction in instructions]
    return instructions[0].address if arguments == [(External(0), External(1))] else None


def _caller(address: int) -> Loop:
    kernel = _kernel_type(address)

    def apply(x: NDArray[Any]) -> NDArray[Any]:
        dense = x if x.flags.forc and x.flags.aligned else x.copy(order="K")
        result = np.empty_like(dense)
        pointers = _Table(_data(dense), _data(result))
        kernel(ctypes.addressof(pointers), 0, dense.size)
        return result

    return apply


def _data(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])
