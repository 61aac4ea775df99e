"""Library calls for the few arguments that a formula does not reach, without leaving the vectors.

A branch would keep a loop from vectorising, and computing both ways would cost every element. So
the call goes to a small function that LLVM may replace, in a vectorised loop, by its variant on
whole vectors (the attribute `vector-function-abi-variant`); that one calls the library only if some
lane needs it, which costs ordinary vectors about ten cycles.
"""

from __future__ import annotations

from llvmlite import ir

from .emit import FLOAT32, FORMATS, INT32, Scalar

#: Bits of the widest vector that a loop may be turned into.
WIDEST = 512


def rarely(needed: Scalar, library: str, y: Scalar, *arguments: Scalar) -> Scalar:
    """The C function `library` of `arguments` where `needed`, else `y`.

    The first argument must be a number other than zero wherever the call is needed.
    """
    first, *others = arguments
    values = [y.value, needed.where(first, 0.0).value, *(other.value for other in others)]
    function = _guarded(y.builder.module, y.type, library, len(values))
    # A call makes the loop keep its constants in memory: without this, across cache lines.
    _attribute(y.builder.function, '"stackrealign"')
    return y.make(y.builder.call(function, values))


def _guarded(module: ir.Module, kind: ir.Type, library: str, arity: int) -> ir.Function:
    """A function of `y` and the arguments that is `y` if the first of them is 0, with variants.

    It returns `y`, so that a loop need not save it across the call.
    """
    name = f"graphjit.{library}.{FORMATS[kind].name}"
    if name in module.globals:
        return module.globals[name]
    symbol = library + ("f" if kind == FLOAT32 else "")
    callee = module.globals.get(symbol) or _declare(module, symbol, kind, arity - 1)
    scalar = _single(module, name, callee)
    # What variants call has none itself: LLVM would turn calls for all lanes into the variant.
    lane = _single(module, f"{name}.1", callee)
    variants = {}
    lanes = WIDEST // FORMATS[kind].width
    while lanes > 1:
        variants[lanes] = _variant(name, lane, kind, lanes)
        lanes //= 2
    shapes = "v" * arity
    mangled = ",".join(f"_ZGV_LLVM_N{n}{shapes}_{name}({v.name})" for n, v in variants.items())
    _attribute(scalar, f'"vector-function-abi-variant"="{mangled}"')
    _keep(module, list(variants.values()))
    return scalar


def _single(module: ir.Module, name: str, callee: ir.Function) -> ir.Function:
    """A function of `y` and the arguments: `y` if the first of them is 0, else the library's."""
    kind = callee.function_type.return_type
    function = _define(module, name, kind, len(callee.args) + 1)
    y, *arguments = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    needed = builder.fcmp_ordered("!=", arguments[0], ir.Constant(kind, 0.0))
    with builder.if_then(needed, likely=False):
        builder.ret(builder.call(callee, arguments))
    builder.ret(y)
    return function


def _variant(name: str, single: ir.Function, kind: ir.Type, lanes: int) -> ir.Function:
    """`single` on vectors: lane by lane if any first argument is not 0."""
    vector = ir.VectorType(kind, lanes)
    function = _define(single.module, f"{name}.{lanes}", vector, len(single.args))
    y, first, *_ = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    mask = builder.fcmp_ordered("!=", first, ir.Constant(vector, [0.0] * lanes))
    bits = builder.bitcast(mask, ir.IntType(lanes))
    with builder.if_then(builder.icmp_unsigned("!=", bits, bits.type(0)), likely=False):
        result = y
        for lane in range(lanes):
            index = INT32(lane)
            values = [builder.extract_element(argument, index) for argument in function.args]
            result = builder.insert_element(result, builder.call(single, values), index)
        builder.ret(result)
    builder.ret(y)
    return function


def _declare(module: ir.Module, name: str, kind: ir.Type, arity: int) -> ir.Function:
    """A function without effects, which LLVM may call for any lane or none."""
    function = ir.Function(module, ir.FunctionType(kind, [kind] * arity), name)
    for attribute in ("nounwind", "readnone"):
        function.attributes.add(attribute)
    _attribute(function, "willreturn")
    return function


def _define(module: ir.Module, name: str, kind: ir.Type, arity: int) -> ir.Function:
    """Such a function, private to the module and never inlined."""
    function = _declare(module, name, kind, arity)
    function.linkage = "internal"
    function.attributes.add("noinline")
    return function


def _attribute(function: ir.Function, text: str) -> None:
    """Add an attribute that llvmlite does not know."""
    set.add(function.attributes, text)


def _keep(module: ir.Module, functions: list[ir.Function]) -> None:
    """List `functions` in `llvm.compiler.used`: until loops are vectorised nothing calls them."""
    byte = ir.IntType(8).as_pointer()
    name = "llvm.compiler.used"
    table = module.globals.get(name) or ir.GlobalVariable(module, ir.ArrayType(byte, 0), name)
    before = list(table.initializer.constant) if table.initializer else []
    entries = before + [function.bitcast(byte) for function in functions]
    table.value_type = ir.ArrayType(byte, len(entries))
    table.type = table.value_type.as_pointer()
    table.linkage, table.section = "appending", "llvm.metadata"
    table.initializer = ir.Constant(table.value_type, entries)
