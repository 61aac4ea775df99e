"""The pool of threads: work is shared in chunks that whoever is free claims.

The caller claims chunks like everyone else, and waits only for chunks that others have claimed, so
that a thread the system does not run cannot hold it up. A ticket names the job and the next chunk;
claiming is one compare-and-swap. The job's words may be read after a claim, and a stale claim fails
because the ticket is closed before they change.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir

from ..language import i32, i64, inline
from ..language.emit import instruction
from ..language.instructions import (
    atomic_add,
    call,
    call_kernel,
    compare_and_swap,
    intrinsic,
    load_atomic,
    load_int,
    store_atomic,
    store_int,
)
from ..words import pool as word
from .control import flush_denormals

#: Looks at the ticket before a thread goes to sleep: some 50 microseconds.
LOOKS = 2000
_FUTEX_WAIT, _FUTEX_WAKE = 128, 129  # both private to the process
_EVERYONE = 0x7FFF_FFFF
#: Microseconds of a nap where there are no futexes.
_NAP = 50

system_call = call(i64, i64, i64, i64, i64, i64)
usleep = call(i32, i64)
clock_gettime = call(i32, i64, i64)

_PAUSES = {
    "x86_64": "llvm.x86.sse2.pause",
    "amd64": "llvm.x86.sse2.pause",
    "aarch64": "llvm.aarch64.hint",
    "arm64": "llvm.aarch64.hint",
}


@instruction
def pause(builder: Any) -> None:
    """Tell the processor that this is a loop that waits."""
    machine = platform.machine().lower()
    name = _PAUSES.get(machine)
    if name is not None:
        operands = [] if "x86" in name else [i32.llvm(1)]
        intrinsic(builder, name, ir.VoidType(), *operands)


@inline
def now(pool: int) -> int:
    """Nanoseconds of a clock that never goes back."""
    seconds = place_pair()
    clock_gettime(load_int(pool, word.CLOCK), load_int(pool, word.CLOCK_NUMBER), seconds)
    return load_int(seconds, 0) * 1_000_000_000 + load_int(seconds, 1)


@instruction
def place_pair(builder: Any) -> Any:
    """The address of room for two words on the stack."""
    with builder.goto_entry_block():
        at = builder.alloca(ir.ArrayType(i64.llvm, 2))
    return builder.ptrtoint(at, i64.llvm)


@inline
def work_off(pool: int) -> bool:
    """Claim chunks and compute them until none is left; whether there was any."""
    found = False
    while True:
        ticket = load_atomic(pool + 8 * word.TICKET)
        number = ticket & 0xFFFF_FFFF
        if number >= load_int(pool, word.COUNT):
            break
        if compare_and_swap(pool + 8 * word.TICKET, ticket, ticket + 1) == ticket:
            chunk = load_int(pool, word.CHUNK)
            begin = load_int(pool, word.FIRST) + number * chunk
            end = min(begin + chunk, load_int(pool, word.LAST))
            call_kernel(load_int(pool, word.KERNEL), load_int(pool, word.TABLE), begin, end)
            atomic_add(pool + 8 * word.DONE, 1)
            found = True
    return found


@inline
def wake(pool: int) -> None:
    """Wake the threads that sleep."""
    if load_atomic(pool + 8 * word.SLEEPING) != 0:
        atomic_add(pool + 8 * word.WAKE, 1)
        if load_int(pool, word.SYSCALL) != 0:
            system_call(
                load_int(pool, word.SYSCALL), load_int(pool, word.FUTEX), pool + 8 * word.WAKE,
                _FUTEX_WAKE, _EVERYONE, 0,
            )  # fmt: skip


@inline
def share(pool: int, kernel: int, table: int, begin: int, end: int, chunk: int) -> None:
    """Compute a kernel's range, in chunks, with whoever is free. The pool must be the caller's."""
    generation = (load_int(pool, word.TICKET) >> 32) + 1
    store_atomic(pool + 8 * word.TICKET, (generation << 32) | word.CLOSED)
    store_int(pool, word.KERNEL, kernel)
    store_int(pool, word.TABLE, table)
    store_int(pool, word.FIRST, begin)
    store_int(pool, word.LAST, end)
    store_int(pool, word.CHUNK, chunk)
    count = (end - begin + chunk - 1) // chunk
    store_int(pool, word.COUNT, count)
    store_int(pool, word.DONE, 0)
    store_atomic(pool + 8 * word.TICKET, (generation + 1) << 32)
    wake(pool)
    work_off(pool)
    while load_atomic(pool + 8 * word.DONE) != count:
        pause()


@inline
def nap(pool: int) -> None:
    """Sleep until there is a job, as far as the system can tell."""
    seen = load_atomic(pool + 8 * word.WAKE)
    atomic_add(pool + 8 * word.SLEEPING, 1)
    open = (load_atomic(pool + 8 * word.TICKET) & 0xFFFF_FFFF) < load_int(pool, word.COUNT)
    if not open and load_atomic(pool + 8 * word.STOP) == 0:
        if load_int(pool, word.SYSCALL) != 0:
            system_call(
                load_int(pool, word.SYSCALL), load_int(pool, word.FUTEX), pool + 8 * word.WAKE,
                _FUTEX_WAIT, seen & 0xFFFF_FFFF, 0,
            )  # fmt: skip
        else:
            usleep(load_int(pool, word.SLEEP), _NAP)
    atomic_add(pool + 8 * word.SLEEPING, -1)


def work(pool: int) -> None:
    """What a thread of the pool does until it is told to stop."""
    flush_denormals()
    looks = 0
    while load_atomic(pool + 8 * word.STOP) == 0:
        if work_off(pool):
            looks = 0
        else:
            pause()
            looks += 1
            if looks > LOOKS:
                nap(pool)
                looks = 0


def wake_all(pool: int) -> None:
    """Wake the threads, to see that they are told to stop."""
    wake(pool)
