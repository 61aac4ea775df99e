"""Object code of functions in the kernel language, for the machine this process runs on."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from llvmlite import ir

from ..objects import ObjectCode, initialise_llvm
from .emit import Emitter, Source, parsed, read
from .types import Type, i64

#: What the table, the beginning and the end of a kernel's range are.
KERNEL = (i64, i64, i64)
#: How far LLVM optimises: kernels written with vectors run no faster for more than the first level,
#: which takes half the time of the third; those of plain loops, for more than the second.
_BY_HAND, _LOOPS = 1, 2
#: Versions of LLVM that are known to have the option below; an unknown option ends the process.
_SCHEDULED_BY_OPTION = range(14, 23)


def compile_kernel(
    function: Callable[..., Any], result: Type | None = None, operands: Sequence[Type] = KERNEL
) -> ObjectCode:
    """Object code of a Python function with operands of the given types.

    CompileError, naming the function and the statement, for what the language does not have.
    """
    return _compile(read(function), function.__name__, result, operands, _BY_HAND)


def compile_text(text: str, outer: Mapping[str, Any]) -> ObjectCode:
    """Object code of the one kernel that `text` defines, which finds names in `outer`."""
    (tree,) = ast.parse(text).body
    assert isinstance(tree, ast.FunctionDef)
    return _compile(parsed(tree, outer), tree.name, None, KERNEL, _LOOPS)


def _compile(
    source: Source, name: str, result: Type | None, operands: Sequence[Type], level: int
) -> ObjectCode:
    """Symbols are unique: all objects of a process share one table of them."""
    symbol = f"{name}_{os.urandom(8).hex()}"
    module = ir.Module(symbol)
    returned = ir.VoidType() if result is None else result.llvm
    kind = ir.FunctionType(returned, [operand.llvm for operand in operands])
    Emitter(ir.Function(module, kind, symbol)).run(source)
    return ObjectCode(symbol, machine_code(str(module), level))


@cache
def _machine() -> Any:
    """LLVM's model of this machine."""
    llvm = initialise_llvm()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
        codemodel="jitdefault",
    )


@cache
def _options(level: int) -> Any:
    """What the optimiser is to do.

    It has loops to make vectors of. It need not look for vectors between statements: where there
    are any, the language wrote them.
    """
    options = initialise_llvm().create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = True
    options.slp_vectorization = False
    options.loop_unrolling = False
    return options


def machine_code(text: str, level: int = _LOOPS) -> bytes:
    """Object code of a module of LLVM's language, optimised as far as LLVM's `-O<level>`."""
    llvm = initialise_llvm()
    machine, options = _machine(), _options(level)
    module = llvm.parse_assembly(text)
    module.triple = llvm.get_default_triple()
    module.data_layout = str(machine.target_data)
    module.verify()
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    with _in_order(level == _LOOPS):
        code: bytes = machine.emit_object(module)
    return code


@contextmanager
def _in_order(wanted: bool) -> Iterator[None]:
    """Instructions stay where the optimiser has put them, the vectors of an iteration in turns.

    LLVM's scheduler, to spare registers, puts one vector after the other, and the processor then
    waits for each in turn: long elementwise kernels take a quarter longer. The option is the
    process's, since functions and machines have none.
    """
    llvm = initialise_llvm()
    if not wanted or llvm.llvm_version_info[0] not in _SCHEDULED_BY_OPTION:
        yield
        return
    llvm.set_option("graphjit", "--enable-misched=false")
    try:
        yield
    finally:
        llvm.set_option("graphjit", "--enable-misched=true")
