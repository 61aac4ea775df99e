"""Has kernels compiled by Numba.

Reads a `loops.Kernel`. Its text determines the machine code, and so is the key of the cache.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from .. import dtypes
from ..runtime import cache as object_cache
from ..runtime import objects
from .loops import Kernel
from .numba_text import Printer

#: The functions that the text calls: their code decides the machine code too.
_SOURCES = (
    *(Path(__file__).parent / "vecmath").glob("*.py"),
    Path(__file__).parent / "numba_intrinsics.py",
    *(Path(objects.__file__).parent / "native" / name for name in ("memory.py", "scratch.py")),
)
_HEADER = re.compile(r"# (\d+) groups of memory(, masked tails)?\n")
_CALL = re.compile(r"\b([a-z]\w*)\(")


@cache
def source(kernel: Kernel) -> str:
    """`kernel` as the text of a Python function `kernel(table, begin, end)`."""
    return Printer(kernel).text()


@cache
def compile_kernel(kernel: Kernel) -> int:
    """The address of `kernel` as a native function. CompileError if it cannot be built."""
    text = source(kernel)
    return object_cache.kernel_address(f"numba {_digest()}\n{text}", lambda: build(text))


@cache
def _digest() -> str:
    return object_cache.source_digest(*sorted(_SOURCES))


def build(text: str) -> objects.ObjectCode:
    """Object code of the function that `text` defines."""
    from ..runtime.native import scratch
    from . import numba_intrinsics as machine

    header = _HEADER.match(text)
    assert header is not None
    groups = int(header[1])
    namespace: dict[str, Any] = {
        name: getattr(machine, name)
        for name in ("pointer", "integer", "stride", "number", "quotient", "as_pointer",
                     "round_half")
    }
    namespace.update({f"fold_{name}": fold for name, fold in machine.FOLDS.items()})
    namespace.update(claim=scratch.claim, release=scratch.release)
    namespace.update(inf=float("inf"), nan=float("nan"))
    for name in set(_CALL.findall(text)):
        if name not in namespace and name not in ("kernel", "range", "min", "max"):
            namespace[name] = _function(name, groups)
    exec(compile(text, "<graphjit kernel>", "exec"), namespace)  # noqa: S102
    with _masked_tails() if header[2] else contextlib.nullcontext():
        return objects.compile_function(namespace["kernel"])


#: The releases of LLVM known to have the option; LLVM ends the process when it meets a new one.
_LLVM_WITH_OPTION = range(14, 23)
_OPTION = "-prefer-predicate-over-epilogue="


@contextlib.contextmanager
def _masked_tails() -> Iterator[None]:
    """Have LLVM use masks for what is left over at the end of loops, if this CPU is good at it.

    The option is the process's; the lock of the kernel cache is held meanwhile.
    """
    import llvmlite.binding as llvm

    wanted = llvm.get_host_cpu_features().get("avx512f")
    if not wanted or llvm.llvm_version_info[0] not in _LLVM_WITH_OPTION:
        yield
        return
    llvm.set_option("graphjit", _OPTION + "predicate-else-scalar-epilogue")
    try:
        yield
    finally:
        llvm.set_option("graphjit", _OPTION + "scalar-epilogue")


def _function(name: str, groups: int) -> Any:
    """The function called `name`: a conversion, a memory access, or a scalar instruction."""
    from . import numba_intrinsics as machine
    from . import vecmath

    operation, *suffix = name.split("_")
    if not suffix:
        return machine.register_type(dtypes.by_name(operation))
    if operation in ("load", "store"):
        access = getattr(machine, operation)
        return access(dtypes.by_name(suffix[0]), int(suffix[1]), groups)
    dtype = dtypes.by_name(suffix[-1])
    if operation == "local":
        return machine.local(dtype)
    instruction = name.rsplit("_", 1)[0]
    return vecmath.lookup(instruction, dtype.name)
