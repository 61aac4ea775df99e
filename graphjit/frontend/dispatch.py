"""`apply`: the one place through which every op on tensors runs.

It brings operands to one dtype, computes, attaches a tape node, and tells the recorder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..errors import locate
from ..ir.graph import Spec
from ..ops.core import OPS, Op, broadcast_shapes
from .arguments import check_tensor
from .mode import MODE
from .observe import by_values
from .quiet import QUIET, restore, silence
from .saving import keeper
from .state import restructured
from .symnumber import SymNumber, as_tensor, plain
from .tape import node_type
from .waiting import about_to_write

if TYPE_CHECKING:
    from .tape import Node
    from .tensor import Tensor

_CAST = OPS["cast"]
_from_numpy = dtypes._BY_NUMPY
_LABELS = {"float32": "float", "float64": "double", "float16": "c10::Half", "int64": "long int",
           "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char"}


def apply(op: Op, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """Run `op` on tensors and Python numbers.

    Returns a tensor, or a tuple of tensors where the op has several outputs. Raises what PyTorch
    raises for bad operands, with the user's line.
    """
    recorder = MODE.recorder
    if recorder is not None and recorder.symbols:
        inputs, attrs = _without_symbols(op, inputs, attrs)
    if op.promotion != "none":
        inputs = _promote(op, inputs)
    tensor = _tensor_type()
    arrays = [x._array if isinstance(x, tensor) else _untyped(op, x) for x in inputs]
    token = silence(QUIET)
    try:
        result = op.eval(np, *arrays, **attrs)
    except Exception as error:  # noqa: BLE001  (NumPy's error, whatever it is, becomes PyTorch's)
        raise explain(op, inputs, attrs, error) from None
    finally:
        restore(token)
    if op.n_outputs == 1:
        outputs = (tensor._of(result if type(result) is np.ndarray else np.asarray(result)),)
    else:
        outputs = tuple(tensor._of(np.asarray(r)) for r in result)
    if op.kind == "view":
        _mark_views(op, inputs[0], outputs, attrs)
    if MODE.grad and (op.vjps or op.joint_vjp is not None):
        attach(op, inputs, outputs, attrs)
    if recorder is not None:
        recorder.record(op, inputs, outputs, attrs)
    return outputs[0] if op.n_outputs == 1 else outputs


def _without_symbols(
    op: Op, inputs: Sequence[Any], attrs: dict[str, Any]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Symbolic numbers made plain, but for operands that promotion turns into 0-d tensors."""
    if op.promotion == "none" or op.reads_numbers:
        inputs = [plain(x) for x in inputs]
    return inputs, {key: plain(value) for key, value in attrs.items()}


def _untyped(op: Op, x: Any) -> Any:
    """A floating-point number as Python has it, which NumPy then takes in the array's dtype.

    Ops tell numbers from arrays by that, and `x ** 2` becomes a product.
    """
    if op.promotion in ("same", "float", "compare") and isinstance(x, np.floating):
        return x.item()
    return x


def _tensor_type() -> Any:
    global _tensor_type
    from .tensor import Tensor

    def known() -> Any:
        return Tensor

    _tensor_type = known
    return Tensor


def _mark_views(op: Op, base: Tensor, outputs: tuple[Tensor, ...], attrs: dict[str, Any]) -> None:
    if op.parts is None:
        outputs[0]._mark_view(base, op, attrs)
        return
    for out, where in zip(outputs, op.parts(**attrs), strict=True):
        out._mark_view(base, OPS["slice_"], where)


def attach(
    op: Op, inputs: Sequence[Any], outputs: tuple[Tensor, ...], attrs: dict[str, Any]
) -> None:
    """Put a node on the tape if a differentiable input requires grad."""
    tensor = _tensor_type()
    differentiable = op.vjps if op.joint_vjp is None else inputs
    needs = tuple(
        vjp is not None and isinstance(x, tensor) and x._tracked()
        for x, vjp in zip(inputs, differentiable)
    )
    needs += (False,) * (len(inputs) - len(needs))
    floating = [out for out in outputs if out._array.dtype.kind in "fc"]
    if True not in needs or not floating:
        return
    shapes = None
    if op.kind == "pointwise":
        shape = outputs[0]._array.shape
        if any(x.shape != shape for x in inputs if isinstance(x, tensor)):
            shapes = tuple(x._array.shape if isinstance(x, tensor) else () for x in inputs)
    numbers = tuple(not isinstance(x, tensor) for x in inputs)
    operands = [_untyped(op, x) if number else x for x, number in zip(inputs, numbers)]
    kept = keeper(op, needs, numbers, len(outputs))(*operands, *outputs)
    edges = tuple(x._edge() if need else None for x, need in zip(inputs, needs))
    put_on_tape(node_type(op)(edges, *kept, attrs, shapes, len(outputs)), outputs)


def put_on_tape(node: Node, outputs: Sequence[Tensor]) -> None:
    """Make tensors the outputs of a node, those that can have gradients."""
    for number, out in enumerate(outputs):
        if out._array.dtype.kind in "fc":
            out._requires_grad = True
            out._grad_fn = node
            out._output_number = number


def explain(op: Op, inputs: Sequence[Any], attrs: dict[str, Any], error: Exception) -> Exception:
    """The error that PyTorch would raise: `infer`'s if it has one, else the one that came."""
    try:
        op.infer(*(spec_of(x) for x in inputs), **attrs)
    except Exception as better:  # noqa: BLE001  (any error that infer raises is the better one)
        return locate(better)
    tensors = [x for x in inputs if isinstance(x, _tensor_type())]
    if op.checks is not None:  # of positions
        tensors = [x for x in tensors if x._array.dtype.kind in "iu"]
    return by_values(locate(error), f"an error of {op.name}", *tensors)


def spec_of(x: Any) -> Spec:
    """The spec of a tensor, an array or a typed NumPy scalar."""
    array = getattr(x, "_array", x)
    array = array if isinstance(array, (np.ndarray, np.generic)) else np.asarray(array)
    return Spec(tuple(array.shape), dtypes.from_numpy(array.dtype))


def _promote(op: Op, inputs: Sequence[Any]) -> Sequence[Any]:
    """Operands of one dtype; numbers become NumPy scalars of it. TypeError if all are numbers."""
    promotion, tensor = op.promotion, _tensor_type()
    if not any(isinstance(x, tensor) for x in inputs):
        check_tensor(op.name, inputs[0])
    head: tuple[Any, ...] = ()
    if promotion == "where":
        head, inputs = (inputs[0],), inputs[1:]
    if promotion == "logical":
        target = dtypes.bool_
    else:
        target = result_type(inputs)
        if promotion == "float" and target.category < 2:
            target = dtypes.default_float()
    wanted = target.numpy
    converted = []
    for x in inputs:
        if type(x) is SymNumber and x.is_live:
            x = as_tensor(x, target)
        elif not isinstance(x, tensor):
            x = _typed_scalar(plain(x), target)
        elif x._array.dtype is not wanted and x._array.dtype != wanted:
            x = apply(_CAST, (x,), {"dtype": target})
        converted.append(x)
    return (*head, *converted)


def _typed_scalar(x: Any, target: DType) -> Any:
    """A Python number as a NumPy scalar; integers wrap as C's do."""
    if target.category == 1 and isinstance(x, int) and not isinstance(x, bool):
        bits = 8 * target.itemsize
        x &= (1 << bits) - 1
        if target.is_signed and x >> (bits - 1):
            x -= 1 << bits
    token = silence(QUIET)
    try:
        return target.numpy.type(x)
    finally:
        restore(token)


def result_type(inputs: Sequence[Any]) -> DType:
    """PyTorch's promotion: dimensioned tensors first, then 0-d tensors, then numbers.

    A lower priority counts only where its category is higher.
    """
    tensor = _tensor_type()
    strong = weak = number = None
    for x in inputs:
        if isinstance(x, tensor):
            dtype = _from_numpy[x._array.dtype]
            if x._array.ndim:
                strong = dtype if strong is None else _join(strong, dtype)
            else:
                weak = dtype if weak is None else _join(weak, dtype)
        else:
            dtype = dtypes.of_number(x)
            number = dtype if number is None else _join(number, dtype)
    result, *weaker = (dtype for dtype in (strong, weak, number) if dtype is not None)
    for dtype in weaker:
        result = dtypes.promote_weak(result, dtype)
    return result


def _join(a: DType, b: DType) -> DType:
    return a if a is b else dtypes.promote(a, b)


def assign(target: Tensor, value: Any) -> Tensor:
    """`target[...] = value` in place, with its effect on the tape and on a recording.

    RuntimeError where PyTorch raises: a leaf that requires grad, or a value that does not fit.
    """
    check_not_leaf(target)
    value = fit(target, value)
    if 0 in target._array.strides:
        _check_overlap(target._array)
    tracked = MODE.grad and (target._requires_grad or value._requires_grad)
    if tracked:
        _rebase(target, value)
    about_to_write(target)
    np.copyto(target._array, value._array)
    target._version[0] += 1
    recorder = MODE.recorder
    if recorder is not None:
        recorder.write(target, value)
    return target


def fit(target: Tensor, value: Any) -> Tensor:
    """`value` with the dtype and shape of `target`."""
    tensor = _tensor_type()
    if not isinstance(value, tensor):
        value = tensor._of(np.asarray(value))
    shape = target._array.shape
    if value._array.shape != shape:
        try:
            common = broadcast_shapes(shape, value._array.shape)
        except RuntimeError as error:
            raise locate(error) from None
        if common != shape:
            raise locate(RuntimeError(
                f"output with shape {list(shape)} doesn't match the broadcast shape {list(common)}"
            ))
        value = apply(OPS["expand"], (value,), {"shape": shape})
    fitted: Tensor = value
    if value._array.dtype != target._array.dtype:
        fitted = apply(_CAST, (value,), {"dtype": _from_numpy[target._array.dtype]})
    return fitted


def _check_overlap(array: np.ndarray) -> None:
    """RuntimeError if elements share memory because a dimension was expanded."""
    if array.size and any(
        step == 0 and extent > 1 for step, extent in zip(array.strides, array.shape)
    ):
        raise locate(RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation."
        ))


def check_not_leaf(target: Tensor) -> None:
    """RuntimeError if `target`, to be changed in place, is a leaf that requires grad, or its view.

    While gradients are tracked, that is.
    """
    if not MODE.grad:
        return
    view = target._view
    base = view.origin()[0] if view is not None and view.differentiable else None
    is_leaf = target._tracked() and target._is_leaf()
    if not is_leaf and (base is None or not base._requires_grad or not base._is_leaf()):
        return
    what = "a leaf Variable" if base is None else "a view of a leaf Variable"
    raise locate(RuntimeError(
        f"{what} that requires grad is being used in an in-place operation."
    ))


def _rebase(target: Tensor, value: Tensor) -> None:
    """Make the tape see `target` as holding `value`, and its base as holding the new view."""
    view = target._view
    if view is not None and view.differentiable:
        base = view.base
        _move_history(base, scatter_views(base._alias(), view.chain, value))
        # The view's own place on the tape is found from its base when it is asked for.
        target._requires_grad, target._grad_fn = base._requires_grad, None
        return
    _move_history(target, value)


def _move_history(target: Tensor, value: Tensor) -> None:
    if value._requires_grad and value._grad_fn is None:
        value = value.clone()
    if target._requires_grad is not value._requires_grad:
        restructured(target)
    target._requires_grad = value._requires_grad
    target._grad_fn = value._grad_fn
    target._output_number = value._output_number


def scatter_views(
    base: Any, chain: tuple[tuple[Op, dict[str, Any]], ...], value: Any, F: Any = None
) -> Any:
    """`base` with the elements seen through `chain` of views replaced by `value`."""
    from .tape import TENSORS

    F = TENSORS if F is None else F
    levels = [base]
    for op, attrs in chain[:-1]:
        levels.append(getattr(F, op.name)(levels[-1], **attrs))
    for level, (op, attrs) in zip(reversed(levels), reversed(chain), strict=True):
        value = None if op.scatter is None else op.scatter(F, level, value, **attrs)
        if value is None:
            raise locate(RuntimeError(
                f"a view made by {op.name}() is written to in part while gradients are tracked; "
                "clone() it first"
            ))
    return value


Bound = Callable[..., Any]
