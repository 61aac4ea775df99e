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
#: How far LLVM optimises plain loops, which it makes vectors of: no kernel of them runs faster for
#: the third level.
_LOOPS = 2
#: Kernels written with vectors are no slower for these passes alone, which take a quarter of the
#: time of the first level.
_BY_HAND = 1
_FEW_PASSES = ("sroa", "simplify_cfg", "new_gvn", "instruction_combine", "simplify_cfg")
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


def _passes(machine: Any, level: int) -> tuple[Any, Any]:
    """The passes that `level` stands for, and what runs them."""
    llvm = initialise_llvm()
    builder = llvm.create_pass_builder(machine, _options(level))
    passes = llvm.create_new_module_pass_manager()
    if level != _BY_HAND or not hasattr(passes, "add_new_gvn_pass"):  # llvmlite has it from 0.45 on
        return builder.getModulePassManager(), builder
    for name in _FEW_PASSES:
        getattr(passes, f"add_{name}_pass")()
    return passes, builder


def machine_code(text: str, level: int = _LOOPS) -> bytes:
    """Object code of a module of LLVM's language, optimised as far as `level` says."""
    llvm = initialise_llvm()
    machine = _machine()
    module = llvm.parse_assembly(text)
    module.triple = llvm.get_default_triple()
    module.data_layout = str(machine.target_data)
    module.verify()
    passes, builder = _passes(machine, level)
    passes.run(module, builder)
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
