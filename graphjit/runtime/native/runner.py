"""The functions that run a program: the entry from Python, the patcher, the walker of rows.

A program is an int64 array of the words named below; `runner.py` fills it in.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types

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
from .memory import (
    I32,
    call_kernel,
    caller,
    compare_and_swap,
    inline,
    intrinsic,
    load_int,
    store_int,
)

#: Bits of MXCSR: results and operands below the smallest normal number become zero.
FLUSH_TO_ZERO = 0x8040
HAS_MXCSR = platform.machine().lower() in ("x86_64", "amd64")

call_pointer = caller(types.int64)
call_with_word = caller(types.int64, types.int64)


def _control_word(builder: Any, name: str, at: Any) -> None:
    byte_pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte_pointer])
    function = builder.module.declare_intrinsic(f"llvm.x86.sse.{name}", fnty=kind)
    builder.call(function, [builder.bitcast(at, byte_pointer)])


@intrinsic
def read_float_control(typing: Any) -> Any:
    """The floating-point control word of this thread; 0 on CPUs other than x86."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not HAS_MXCSR:
            return I32(0)
        at = builder.alloca(I32)
        _control_word(builder, "stmxcsr", at)
        return builder.load(at)

    return types.int32(), generate


@intrinsic
def write_float_control(typing: Any, word: Any) -> Any:
    """Set the floating-point control word of this thread."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if HAS_MXCSR:
            at = builder.alloca(I32)
            builder.store(args[0], at)
            _control_word(builder, "ldmxcsr", at)
        return context.get_dummy_value()

    return types.void(types.int32), generate


@inline
def _walk(rows: int, status: int, begin: int, end: int) -> int:
    control = read_float_control()
    write_float_control(types.int32(control | FLUSH_TO_ZERO))
    stopped = 0
    for i in range(begin, end):
        row = rows + 32 * i
        call_kernel(load_int(row, 0), load_int(row, 1), load_int(row, 2), load_int(row, 3))
        if load_int(status, 0) != 0:
            stopped = i + 1
            break
    write_float_control(control)
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
        thread = call_pointer(save, ())
    stopped = _walk(
        load_int(program, ROWS),
        load_int(program, STATUS),
        load_int(program, BEGIN),
        load_int(program, END),
    )
    if save != 0:
        call_with_word(load_int(program, RESTORE_THREAD), (thread,))
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
    return call_with_word(load_int(program, MAKE_INT), (result,))


def walk(program: int, begin: int, end: int) -> Any:
    """Run rows `begin` to `end` on tables as they are; the row that stopped, from 1, or 0."""
    store_int(load_int(program, STATUS), 0, 0)
    return _walk(load_int(program, ROWS), load_int(program, STATUS), begin, end)


def patch(program: int) -> None:
    """Write the slots' contents into the argument tables."""
    _patch(program)
