"""Has kernels compiled, by the emitter that `GRAPHJIT_EMITTER` names.

Reads a `loops.Kernel`. Its text, in the kernel language, and the code of the functions that it
calls determine the machine code: they are the key of the cache.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

from .. import config
from ..runtime import cache as object_cache
from ..runtime import objects
from ..runtime.cache import Address
from .kernel_text import Printer
from .loops import Kernel

EMITTERS = ("llvm", "numba")


@cache
def source(kernel: Kernel) -> str:
    """`kernel` as the text of a function `kernel(table, begin, end)`."""
    return Printer(kernel).text()


def compile_kernel(kernel: Kernel) -> Address:
    """The address of `kernel` as a native function. CompileError if it cannot be built."""
    return _address(kernel, config.get_str("EMITTER"))


@cache
def _address(kernel: Kernel, emitter: str) -> Address:
    if emitter not in EMITTERS:
        raise ValueError(f"GRAPHJIT_EMITTER must be {' or '.join(EMITTERS)}, got {emitter!r}")
    text = source(kernel)
    key = f"fused {emitter} {_digest()}\n{text}"
    return object_cache.kernel_address(key, lambda: _build(emitter, text))


def _build(emitter: str, text: str) -> objects.ObjectCode:
    """Object code of a kernel's text. What makes it is loaded only for a kernel that is new."""
    module = importlib.import_module(f"{__package__}.emit_{emitter}")
    code: objects.ObjectCode = module.build(text)
    return code


@cache
def _digest() -> str:
    """Stands for the code of the functions that texts call, and of what compiles them."""
    here, runtime = Path(__file__).parent, Path(objects.__file__).parent
    return object_cache.source_digest(
        *sorted(here.glob("vecmath/*.py")),
        *sorted(here.glob("emit_*.py")),
        *sorted(runtime.glob("language/*.py")),
        here / "instructions.py",
        runtime / "kernels" / "scratch.py",
    )
