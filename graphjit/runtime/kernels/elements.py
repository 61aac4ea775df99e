"""Arithmetic of sums of products for every dtype: how elements are read, added up and written.

Integers are summed in int64, float16 in float32; complex numbers are pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from ..language import f32, f64, i8, i16, i32, i64, inline
from ..language.instructions import loader, storer
from ..language.types import Type

_f16 = Type("f16", ir.HalfType())
_PLAIN = {"float32": f32, "float64": f64, "float16": _f16}
_INTEGER = {"int8": i8, "uint8": i8, "int16": i16, "int32": i32, "int64": i64}
REAL = {"float32": f32, "float64": f64}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`size` in bytes; `load(address, index)`, `store(address, index, sum)`; `zero()` is an empty
    sum and `add_product(sum, x, y)` the next one.
    """

    size: int
    load: Callable[..., Any]
    store: Callable[..., Any]
    zero: Callable[..., Any]
    add_product: Callable[..., Any]


def arithmetic(dtype: str) -> Arithmetic:
    """The arithmetic of a dtype; KeyError for those that have none."""
    if dtype.startswith("complex"):
        return _complex(f32 if dtype == "complex64" else f64)
    if dtype in _INTEGER:
        return _real(_INTEGER[dtype], i64, dtype == "uint8")
    element = _PLAIN[dtype]
    return _real(element, f32 if element is _f16 else element, False)


def _real(element: Type, wide: Type, unsigned: bool) -> Arithmetic:
    load_element, store_element = loader(element), storer(element)

    @inline
    def load(address: int, index: int) -> Any:
        value = wide(load_element(address, index))
        return value & 0xFF if unsigned else value

    @inline
    def store(address: int, index: int, value: Any) -> None:
        store_element(address, index, element(value))

    @inline
    def zero() -> Any:
        return wide(0)

    @inline
    def add_product(total: Any, x: Any, y: Any) -> Any:
        return total + x * y

    return Arithmetic(element.size, load, store, zero, add_product)


def _complex(part: Type) -> Arithmetic:
    load_part, store_part = loader(part), storer(part)

    @inline
    def load(address: int, index: int) -> Any:
        return load_part(address, 2 * index), load_part(address, 2 * index + 1)

    @inline
    def store(address: int, index: int, value: Any) -> None:
        store_part(address, 2 * index, value[0])
        store_part(address, 2 * index + 1, value[1])

    @inline
    def zero() -> Any:
        return part(0), part(0)

    @inline
    def add_product(total: Any, x: Any, y: Any) -> Any:
        real = total[0] + x[0] * y[0] - x[1] * y[1]
        return real, total[1] + x[0] * y[1] + x[1] * y[0]

    return Arithmetic(2 * part.size, load, store, zero, add_product)
