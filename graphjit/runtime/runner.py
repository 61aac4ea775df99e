"""The native runner, as Python calls it.

Makes, from the array of words of a program (`words.program`), a function whose call costs about as
much as a built-in's. Where Python objects are not laid out as expected, `ctypes` does the same.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import library, objects
from .words import program as word

Words = NDArray[np.int64]
Entry = Callable[..., int]

_METH_FASTCALL = 0x0080


@functools.cache
def walk() -> Callable[[int, int, int], int]:
    """`walk(program, begin, end)`: runs rows as they are; the row that stopped, from 1, or 0.

    On this thread alone.
    """
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 3)
    return kind(library.function("runner", "walk", "i64", 3))


@functools.cache
def walk_all() -> Callable[[int], int]:
    """`walk_all(program)`: runs all rows as they are, with the pool; the row that stopped, or 0."""
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    return kind(library.function("runner", "walk_all", "i64", 1))


@functools.cache
def patch() -> Callable[[int], None]:
    """`patch(program)`: writes the slots into the argument tables."""
    return ctypes.CFUNCTYPE(None, ctypes.c_int64)(library.function("runner", "patch", None, 1))


def _enter() -> int:
    return library.function("runner", "enter", "i64", 3)


class _MethodDefinition(ctypes.Structure):
    """`PyMethodDef` of the C API."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


@functools.cache
def _definition() -> _MethodDefinition:
    """Built-in functions point to their definition for as long as they live: it is never freed."""
    return _MethodDefinition(b"program", _enter(), _METH_FASTCALL, None)


@functools.cache
def objects_are_as_expected() -> bool:
    """Whether native code may read arrays and floats at `id(object) + 16`."""
    array, number = np.zeros(3), -1.5
    words = ctypes.POINTER(ctypes.c_int64)

    def read(instance: object, index: int) -> int:
        return int(ctypes.cast(id(instance), words)[index])

    return (
        read(array, 1) == id(np.ndarray)
        and read(array, 2) == array.ctypes.data
        and read(number, 1) == id(float)
        and read(number, 2) == int(np.float64(number).view(np.int64))
    )


def _address_of(name: str) -> int:
    function = getattr(ctypes.pythonapi, name)
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@functools.cache
def _python_words() -> dict[int, int]:
    return {
        word.ARRAY_TYPE: id(np.ndarray),
        word.FLOAT_TYPE: id(float),
        word.SAVE_THREAD: _address_of("PyEval_SaveThread"),
        word.RESTORE_THREAD: _address_of("PyEval_RestoreThread"),
        word.MAKE_INT: _address_of("PyLong_FromLongLong"),
    }


def make_entry(program: Words, release_gil: bool = True) -> Entry:
    """A function `entry(*arrays, *floats)` that runs the program described by `program`.

    The array must be contiguous and stay where it is. The function returns 0, the number from 1 of
    the row that stopped, `IS_BUSY` when another thread is in the program, or `MISMATCH` when the
    arguments are not as many ndarrays and floats as expected.
    """
    if not objects_are_as_expected():
        return functools.partial(_call_with_ctypes, program)
    for index, value in _python_words().items():
        program[index] = value
    if not release_gil:
        program[word.SAVE_THREAD] = 0
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.POINTER(_MethodDefinition), ctypes.py_object, ctypes.py_object]
    entry: Entry = make(ctypes.byref(_definition()), program, None)
    return entry


def _call_with_ctypes(program: Words, *arguments: Any) -> int:
    arrays = int(program[word.ARRAYS])
    if len(arguments) != program[word.ARGUMENTS]:
        return word.MISMATCH
    kinds = [np.ndarray] * arrays + [float] * (len(arguments) - arrays)
    if any(type(a) is not kind for a, kind in zip(arguments, kinds, strict=True)):
        return word.MISMATCH
    with objects.lock:
        if program[word.BUSY]:
            return word.IS_BUSY
        program[word.BUSY] = 1
    slots = (ctypes.c_int64 * len(arguments)).from_address(int(program[word.SLOTS]))
    for i, argument in enumerate(arguments):
        slots[i] = argument.ctypes.data if i < arrays else _bits(argument)
    address = program.ctypes.data
    patch()(address)
    stopped = walk_all()(address)
    program[word.BUSY] = 0
    return stopped


def _bits(number: float) -> int:
    return int(np.float64(number).view(np.int64))
