"""The functions that run a program: the entry from Python, the patcher, the walker of rows.

A program is an int64 array of the words named below; `runner.py` fills it in.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir

from ..language import i32, i64, inline
from ..language.emit import instruction
from ..language.instructions import (
    call,
    call_kernel,
    compare_and_swap,
    intrinsic,
    load_int,
    loader,
    place,
    store_int,
)
from ..words.program import (
    ARGUMENTS,
    ARRAY_TYPE,
    ARRAYS,
    BEGIN,
    BUSY,
    END,
    FLOAT_TYPE,
    IS_BUSY,
    MAKE_INT,
    MISMATCH,
    PATCHES,
    PATCHES_END,
    RESTORE_THREAD,
    ROWS,
    SAVE_THREAD,
    SLOTS,
    STATUS,
)

#: Bits of MXCSR: results and operands below the smallest normal number become zero.
FLUSH_TO_ZERO = 0x8040
HAS_MXCSR = platform.machine().lower() in ("x86_64", "amd64")

call_pointer = call(i64)
call_with_word = call(i64, i64)


@instruction
def control_word(builder: Any, name: str, address: Any) -> None:
    """Store or load MXCSR at `address`."""
    at = builder.inttoptr(address, ir.IntType(8).as_pointer())
    intrinsic(builder, f"llvm.x86.sse.{name}", ir.VoidType(), at)


load_word = loader(i32)


@inline
def flush_denormals() -> Any:
    """Have this thread take denormal numbers for zero; returns what `restore` needs."""
    if not HAS_MXCSR:
        return 0
    word = place(i32(0))
    control_word("stmxcsr", word)
    before = load_word(word, 0)
    control_word("ldmxcsr", place(before | FLUSH_TO_ZERO))
    return before


@inline
def restore(control: Any) -> None:
    """Undo `flush_denormals`."""
    if HAS_MXCSR:
        control_word("ldmxcsr", place(control))


@inline
def _walk(rows: int, status: int, begin: int, end: int) -> int:
    control = flush_denormals()
    stopped = 0
    for i in range(begin, end):
        row = rows + 32 * i
        call_kernel(load_int(row, 0), load_int(row, 1), load_int(row, 2), load_int(row, 3))
        if load_int(status, 0) != 0:
            stopped = i + 1
            break
    restore(control)
    return stopped


@inline
def _patch(program: int) -> None:
    slots = load_int(program, SLOTS)
    patches = load_int(program, PATCHES)
    for i in range(load_int(program, PATCHES_END)):
        at = patches + 24 * i
        store_int(load_int(at, 0), 0, load_int(slots, load_int(at, 1)) + load_int(at, 2))


@inline
def _take_arguments(program: int, arguments: int) -> bool:
    """Copy data pointers and floats into the slots; False if an argument has another type.

    An ndarray keeps its data pointer, and a float its value, 16 bytes into the object.
    """
    slots = load_int(program, SLOTS)
    arrays = load_int(program, ARRAYS)
    for i in range(load_int(program, ARGUMENTS)):
        argument = load_int(arguments, i)
        wanted = load_int(program, ARRAY_TYPE if i < arrays else FLOAT_TYPE)
        if load_int(argument, 1) != wanted:
            return False
        store_int(slots, i, load_int(argument, 2))
    return True


@inline
def _execute(program: int) -> Any:
    """Patch and walk, with the GIL released; the row that stopped, from 1, or 0."""
    store_int(load_int(program, STATUS), 0, 0)
    _patch(program)
    save = load_int(program, SAVE_THREAD)
    thread = 0
    if save != 0:
        thread = call_pointer(save)
    stopped = _walk(
        load_int(program, ROWS),
        load_int(program, STATUS),
        load_int(program, BEGIN),
        load_int(program, END),
    )
    if save != 0:
        call_with_word(load_int(program, RESTORE_THREAD), thread)
    return stopped


def enter(program_array: int, arguments: int, count: int) -> Any:
    """A `METH_FASTCALL` function bound to the program's array: its arguments are the call's.

    Returns a Python int: 0, the number from 1 of the row that stopped the program, IS_BUSY, or
    MISMATCH.
    """
    program = load_int(program_array, 2)
    result = MISMATCH
    if count == load_int(program, ARGUMENTS):
        if compare_and_swap(program + 8 * BUSY, 0, 1) != 0:
            result = IS_BUSY
        else:
            if _take_arguments(program, arguments):
                result = _execute(program)
            store_int(program, BUSY, 0)
    return call_with_word(load_int(program, MAKE_INT), result)


def walk(program: int, begin: int, end: int) -> Any:
    """Run rows `begin` to `end` on tables as they are; the row that stopped, from 1, or 0."""
    store_int(load_int(program, STATUS), 0, 0)
    return _walk(load_int(program, ROWS), load_int(program, STATUS), begin, end)


def patch(program: int) -> None:
    """Write the slots' contents into the argument tables."""
    _patch(program)
