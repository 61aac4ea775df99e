"""The functions that run a program: the entry from Python, the patcher, the walkers of rows.

A program is an int64 array of the words that `words.program` names; `runner.py` fills it in. Where
there is a pool of threads, the first calls time each row; then the long ones are shared.
"""

from __future__ import annotations

from typing import Any

from ..language import i64, inline
from ..language.instructions import (
    call,
    call_kernel,
    compare_and_swap,
    load_int,
    store_atomic,
    store_int,
)
from ..words import pool as pool_word
from ..words import program as word
from .control import flush_denormals, restore
from .pool import now, share

#: Nanoseconds of work that are worth handing to another thread.
GRAIN = 3000
#: More chunks than threads, so that one that is held up holds up little.
CHUNKS_PER_THREAD = 2

call_pointer = call(i64)
call_with_word = call(i64, i64)


@inline
def _run(row: int) -> None:
    """Compute the whole range of a row."""
    call_kernel(
        load_int(row, word.KERNEL),
        load_int(row, word.TABLE),
        load_int(row, word.FIRST),
        load_int(row, word.LAST),
    )


@inline
def _walk(program: int, begin: int, end: int) -> int:
    """Run rows on this thread; the row that stopped, from 1, or 0."""
    rows, status = load_int(program, word.ROWS), load_int(program, word.STATUS)
    for i in range(begin, end):
        _run(rows + 8 * word.ROW_WORDS * i)
        if load_int(status, 0) != 0:
            return i + 1
    return 0


@inline
def _walk_sharing(program: int, pool: int, begin: int, end: int) -> int:
    """Run rows, sharing those that are worth it."""
    rows, status = load_int(program, word.ROWS), load_int(program, word.STATUS)
    for i in range(begin, end):
        row = rows + 8 * word.ROW_WORDS * i
        chunk = load_int(row, word.CHUNK)
        if chunk == 0:
            _run(row)
        else:
            share(
                pool, load_int(row, word.KERNEL), load_int(row, word.TABLE),
                load_int(row, word.FIRST), load_int(row, word.LAST), chunk,
            )  # fmt: skip
        if load_int(status, 0) != 0:
            return i + 1
    return 0


@inline
def _walk_timing(program: int, pool: int, begin: int, end: int) -> int:
    """Run rows on this thread, and keep the shortest time of each."""
    rows, status = load_int(program, word.ROWS), load_int(program, word.STATUS)
    for i in range(begin, end):
        row, before = rows + 8 * word.ROW_WORDS * i, now(pool)
        _run(row)
        store_int(row, word.SHORTEST, min(load_int(row, word.SHORTEST), now(pool) - before))
        if load_int(status, 0) != 0:
            return i + 1
    return 0


@inline
def _decide(program: int, pool: int) -> None:
    """Choose the chunks of rows that take long enough to be shared."""
    rows, threads = load_int(program, word.ROWS), load_int(pool, pool_word.THREADS)
    for i in range(load_int(program, word.BEGIN), load_int(program, word.END)):
        row = rows + 8 * word.ROW_WORDS * i
        shortest = load_int(row, word.SHORTEST)
        extent = load_int(row, word.LAST) - load_int(row, word.FIRST)
        pieces = min(min(extent, CHUNKS_PER_THREAD * threads), shortest // GRAIN)
        chunk = 0
        if pieces > 1:
            chunk = (extent + pieces - 1) // pieces
        store_int(row, word.CHUNK, chunk)


@inline
def _try_rows(program: int, pool: int, begin: int, end: int) -> int:
    """One of the calls by which it is found out which rows are worth sharing."""
    stopped, left = _walk_timing(program, pool, begin, end), load_int(program, word.TRIALS)
    if stopped == 0:
        store_int(program, word.TRIALS, left - 1)
        if left == 1:
            _decide(program, pool)
    return stopped


@inline
def _walk_all(program: int) -> int:
    """Run all rows, with the pool if there is one and no other program has it."""
    begin, end = load_int(program, word.BEGIN), load_int(program, word.END)
    pool, stopped = load_int(program, word.POOL), 0
    control = flush_denormals()
    if pool == 0:
        stopped = _walk(program, begin, end)
    elif load_int(program, word.TRIALS) > 0:
        stopped = _try_rows(program, pool, begin, end)
    elif compare_and_swap(pool + 8 * pool_word.LOCK, 0, 1) == 0:
        stopped = _walk_sharing(program, pool, begin, end)
        store_atomic(pool + 8 * pool_word.LOCK, 0)
    else:
        stopped = _walk(program, begin, end)
    restore(control)
    return stopped


@inline
def _patch(program: int) -> None:
    slots = load_int(program, word.SLOTS)
    patches = load_int(program, word.PATCHES)
    for i in range(load_int(program, word.PATCHES_END)):
        at = patches + 24 * i
        store_int(load_int(at, 0), 0, load_int(slots, load_int(at, 1)) + load_int(at, 2))


@inline
def _take_arguments(program: int, arguments: int) -> bool:
    """Copy data pointers and floats into the slots; False if an argument has another type.

    An ndarray keeps its data pointer, and a float its value, 16 bytes into the object.
    """
    slots = load_int(program, word.SLOTS)
    arrays = load_int(program, word.ARRAYS)
    for i in range(load_int(program, word.ARGUMENTS)):
        argument = load_int(arguments, i)
        wanted = load_int(program, word.ARRAY_TYPE if i < arrays else word.FLOAT_TYPE)
        if load_int(argument, 1) != wanted:
            return False
        store_int(slots, i, load_int(argument, 2))
    return True


@inline
def _execute(program: int) -> Any:
    """Patch and walk, with the GIL released; the row that stopped, from 1, or 0."""
    store_int(load_int(program, word.STATUS), 0, 0)
    _patch(program)
    save = load_int(program, word.SAVE_THREAD)
    thread = 0
    if save != 0:
        thread = call_pointer(save)
    stopped = _walk_all(program)
    if save != 0:
        call_with_word(load_int(program, word.RESTORE_THREAD), thread)
    if stopped == 0:
        store_int(program, word.RUNS, load_int(program, word.RUNS) + 1)
    return stopped


def enter(program_array: int, arguments: int, count: int) -> Any:
    """A `METH_FASTCALL` function bound to the program's array: its arguments are the call's.

    Returns a Python int: 0, the number from 1 of the row that stopped the program, `IS_BUSY`, or
    `MISMATCH`.
    """
    program = load_int(program_array, 2)
    result = word.MISMATCH
    if count == load_int(program, word.ARGUMENTS):
        if compare_and_swap(program + 8 * word.BUSY, 0, 1) != 0:
            result = word.IS_BUSY
        else:
            if _take_arguments(program, arguments):
                result = _execute(program)
            store_int(program, word.BUSY, 0)
    return call_with_word(load_int(program, word.MAKE_INT), result)


def walk_all(program: int) -> Any:
    """Run all rows on tables as they are; the row that stopped, from 1, or 0."""
    store_int(load_int(program, word.STATUS), 0, 0)
    return _walk_all(program)


def walk(program: int, begin: int, end: int) -> Any:
    """Run rows `begin` to `end`, on this thread and on tables as they are."""
    store_int(load_int(program, word.STATUS), 0, 0)
    control = flush_denormals()
    stopped = _walk(program, begin, end)
    restore(control)
    return stopped


def patch(program: int) -> None:
    """Write the slots' contents into the argument tables."""
    _patch(program)
