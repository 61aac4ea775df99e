"""Has kernels compiled.

Reads a `loops.Kernel`. Its text, in the kernel language, and the code of the functions that it
calls determine the machine code: they are the key of the cache.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from ..runtime import cache as object_cache
from ..runtime import language, objects
from ..runtime.kernels import scratch
from .kernel_text import Printer
from .loops import Kernel

_HEADER = re.compile(r"# (\d+) groups of memory\n")
_CALL = re.compile(r"\b([a-z]\w*)\(")
_BUILT_IN = frozenset(("kernel", "range", "lanes", "masked_lanes", "min", "max"))


@cache
def source(kernel: Kernel) -> str:
    """`kernel` as the text of a function `kernel(table, begin, end)`."""
    return Printer(kernel).text()


@cache
def compile_kernel(kernel: Kernel) -> int:
    """The address of `kernel` as a native function. CompileError if it cannot be built."""
    text = source(kernel)
    return object_cache.kernel_address(f"fused {_digest()}\n{text}", lambda: build(text))


@cache
def _digest() -> str:
    """Stands for the code of the functions that texts call, and of what compiles them."""
    here, there = Path(__file__).parent, Path(language.__file__).parent
    return object_cache.source_digest(
        *sorted(here.glob("vecmath/*.py")),
        *sorted(there.glob("*.py")),
        here / "instructions.py",
        Path(scratch.__file__),
    )


def build(text: str) -> objects.ObjectCode:
    """Object code of the function that `text` defines."""
    from ..runtime.language.build import compile_text
    from ..runtime.language.hints import Lanes
    from ..runtime.language.instructions import unsigned_divide
    from . import instructions

    header = _HEADER.match(text)
    assert header is not None
    known: dict[str, Any] = {
        name: getattr(instructions, name)
        for name in ("pointer", "integer", "stride", "number", "as_pointer")
    }
    known.update(quotient=unsigned_divide, claim=scratch.claim, release=scratch.release)
    known.update(inf=float("inf"), nan=float("nan"))
    known.update(lanes=Lanes(), masked_lanes=Lanes(masked=_has_masks()))
    for name in set(_CALL.findall(text)) - known.keys() - _BUILT_IN:
        known[name] = instructions.by_name(name, int(header[1]))
    return compile_text(text, known)


def _has_masks() -> bool:
    """Whether this CPU is good at masked vectors."""
    return bool(objects.initialise_llvm().get_host_cpu_features().get("avx512f"))
