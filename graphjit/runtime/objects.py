"""Object code: compiled from a Python function with Numba, loaded into the process without it.

Reads a function over int64 arguments; makes relocatable object code, and from that the address of
a native function. Only compiling imports Numba.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from ..errors import CompileError

KERNEL = "void(int64,int64,int64)"
#: Flags that keep NaN, infinities and the order of sums: what kernels are compiled with by default.
CONTRACT = frozenset({"contract"})


@dataclass(frozen=True, slots=True)
class ObjectCode:
    """Relocatable machine code; `symbol` names the function in it."""

    symbol: str
    code: bytes


def compile_function(
    function: Callable[..., Any],
    signature: str = KERNEL,
    fastmath: Iterable[str] | bool = CONTRACT,
) -> ObjectCode:
    """Object code of a Python function that Numba can compile without the interpreter.

    The function must not raise. `fastmath` is Numba's: LLVM flags by name, or True for all.
    CompileError if Numba rejects the function.
    """
    from numba import cfunc

    flags = fastmath if isinstance(fastmath, bool) else set(fastmath)
    try:
        compiled: Any = cfunc(signature, error_model="numpy", nogil=True, fastmath=flags)(
            _with_unique_name(function)
        )
    except Exception as error:
        raise CompileError(f"{function.__qualname__}: {error}") from error
    try:
        code = compiled._library._get_compiled_object()
        return ObjectCode(compiled._wrapper_name, code)
    except AttributeError as error:
        import numba

        raise CompileError(f"Numba {numba.__version__} hides its object code: {error}") from error


def _with_unique_name(function: Callable[..., Any]) -> FunctionType:
    """Symbols are made of the function's name, and all objects share one table of symbols."""
    assert isinstance(function, FunctionType)
    name = f"{function.__name__}_{os.urandom(8).hex()}"
    copy = FunctionType(
        function.__code__, function.__globals__, name, function.__defaults__, function.__closure__
    )
    copy.__qualname__ = name
    copy.__module__ = function.__module__
    return copy


@functools.cache
def initialise_llvm() -> Any:
    """llvmlite's binding, ready to make code for this machine."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


#: Numba's wrappers name these for the case that a kernel raises, and no kernel does.
_NEVER_CALLED = ("numba_gil_ensure", "numba_gil_release")


#: What LLVM calls where a float64 becomes a float16, and few processes have. By way of the float32
#: next to it whose last bit is odd, which is rounded as the float64 would have been.
_PROVIDED = {"__truncdfhf2": """
declare double @llvm.fabs.f64(double)

define half @__truncdfhf2(double %x) {
  %near = fptrunc double %x to float
  %back = fpext float %near to double
  %as_it_is = fcmp ueq double %back, %x
  %magnitude = call double @llvm.fabs.f64(double %x)
  %reached = call double @llvm.fabs.f64(double %back)
  %beyond = fcmp ogt double %reached, %magnitude
  %bits = bitcast float %near to i32
  %step = zext i1 %beyond to i32
  %below = sub i32 %bits, %step
  %odd = or i32 %below, 1
  %chosen = select i1 %as_it_is, i32 %bits, i32 %odd
  %wide = bitcast i32 %chosen to float
  %result = fptrunc float %wide to half
  ret half %result
}
"""}


def _address_of_nothing() -> int:
    """A C function that takes anything, does nothing, and needs no lock."""
    return ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value or 0


@functools.cache
def vector_bytes() -> int:
    """Bytes of the widest vectors of this machine."""
    features = initialise_llvm().get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


def vector_registers() -> int:
    """Registers that hold vectors: AVX-512 and ARM have 32, older x86 has 16."""
    arm = platform.machine().lower() in ("aarch64", "arm64")
    return 32 if arm or vector_bytes() == 64 else 16


@functools.cache
def has_fused_products() -> bool:
    """Whether this machine multiplies and adds with a single rounding."""
    arm = platform.machine().lower() in ("aarch64", "arm64")
    return arm or bool(initialise_llvm().get_host_cpu_features().get("fma"))


class _Engine:
    """The process's one linker of object code; not thread-safe."""

    def __init__(self) -> None:
        llvm = initialise_llvm()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        self._llvm = llvm
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        for name in _NEVER_CALLED:
            if not llvm.address_of_symbol(name):
                llvm.add_symbol(name, _address_of_nothing())

    def missing(self, code: bytes) -> list[str]:
        """The external symbols of `code` that this process does not have, and cannot be given.

        LLVM aborts the process when it meets one.
        """
        find = self._llvm.address_of_symbol
        names = [name for name in undefined_symbols(code) if not find(name)]
        return [name for name in names if name not in _PROVIDED or not self._provide(name)]

    def _provide(self, name: str) -> bool:
        """Compile a function that LLVM takes to be there; whether it could be."""
        from .language.build import machine_code

        code = machine_code(_PROVIDED[name])
        if self.missing(code):
            return False
        self._llvm.add_symbol(name, self.load(name, code))
        return True

    def load(self, symbol: str, code: bytes) -> int:
        self._engine.add_object_file(self._llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        return int(self._engine.get_function_address(symbol))


#: Held while anything is compiled or loaded, and across `fork`.
lock = threading.RLock()
_engine: _Engine | None = None

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
    )


def load(object_code: ObjectCode) -> int:
    """The address of the function in `object_code`, which stays loaded for good.

    The bytes must be as `compile_function` made them: LLVM does not survive damaged ones.
    CompileError if the code needs a symbol that the process does not have.
    """
    global _engine
    with lock:
        if _engine is None:
            _engine = _Engine()
        if missing := _engine.missing(object_code.code):
            raise CompileError(f"{object_code.symbol} needs {', '.join(missing)}")
        address = _engine.load(object_code.symbol, object_code.code)
    if not address:
        raise CompileError(f"no function {object_code.symbol} in its object code")
    return address


_SYMBOL_TABLE = 2  # section type SHT_SYMTAB
_FILE_HEADER = struct.Struct("<40xQ10xHH2x")
_SECTION_HEADER = struct.Struct("<4xI16xQQII8xQ")
_SYMBOL = struct.Struct("<IBxHQQ")


def undefined_symbols(code: bytes) -> Iterator[str]:
    """Names that an ELF object expects from outside; none for other formats.

    Layout: System V ABI, "Object Files", for 64-bit little-endian machines.
    """
    if code[:6] != b"\x7fELF\x02\x01":
        return
    start, entry, count = _FILE_HEADER.unpack_from(code)
    sections = [_SECTION_HEADER.unpack_from(code, start + i * entry) for i in range(count)]
    for kind, offset, size, link, _, _ in sections:
        if kind != _SYMBOL_TABLE:
            continue
        names = sections[link][1]
        for at in range(offset + _SYMBOL.size, offset + size, _SYMBOL.size):
            name, _, section, _, _ = _SYMBOL.unpack_from(code, at)
            if section == 0 and name:
                yield code[names + name : code.index(b"\0", names + name)].decode()
