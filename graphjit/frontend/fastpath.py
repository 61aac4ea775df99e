"""Calls made for one op each, from its declaration: `apply` for the common case, in few steps.

The common case: nothing records, operands are tensors of one dtype (or a floating-point tensor and
a number). Everything else goes through `apply`, which is the definition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops.core import Op
from ..ops.native import compile_with
from . import tensor as tensors
from .dispatch import apply, explain, put_on_tape
from .mode import MODE
from .native import compiled_loop, in_library
from .quiet import QUIET, restore, silence
from .saving import Keeper, keeper
from .tape import node_type

compile_with(compiled_loop, in_library)

Call = Callable[..., Any]

_NUMBERS = (float, int)
#: kinds of dtype that an op takes as they are, by its promotion; None for all
_KINDS = {"float": "fc", "logical": "b"}
_BOTH = (False, False)


def specialised(op: Op) -> Call:
    """The function `(*operands, **attrs)` that runs `op` on tensors."""
    if op.n_outputs == 0 or op.joint_vjp is not None:
        return _general(op)
    if op.promotion == "where":
        return _choice(op)
    if op.kind == "pointwise" and not op.vjps:
        return _pointwise(op)
    if op.n_outputs == 1 and len(op.vjps) == 1:
        return _unary(op)
    if op.n_outputs == 1 and len(op.vjps) == 2:
        return _binary(op)
    if op.promotion != "none" or op.kind == "view":
        return _general(op)
    return _ternary(op) if op.n_outputs == 1 and len(op.vjps) == 3 else _several(op)


def _general(op: Op) -> Call:
    def call(*operands: Any, **attrs: Any) -> Any:
        return apply(op, operands, attrs)

    return call


def _computed(op: Op, operands: Sequence[Any], arrays: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """`op` evaluated on arrays."""
    token = silence(QUIET)
    try:
        result = op.eval(np, *arrays, **attrs)
    except Exception as error:  # noqa: BLE001  (whatever NumPy raises becomes PyTorch's error)
        raise explain(op, operands, attrs, error) from None
    finally:
        restore(token)
    return result


def _unary(op: Op) -> Call:
    evaluate, is_view, kinds = op.eval, op.kind == "view", _KINDS.get(op.promotion)
    node, differentiable = node_type(op), op.vjps[0] is not None
    keep: Keeper | None = None  # made when it is first needed: an import then reads no vjp's code

    def call(x: Any, **attrs: Any) -> Any:
        nonlocal keep
        try:
            array = x._array
        except AttributeError:
            return apply(op, (x,), attrs)
        if MODE.recorder is not None or (kinds is not None and array.dtype.kind not in kinds):
            return apply(op, (x,), attrs)
        token = silence(QUIET)
        try:
            result = evaluate(np, array, **attrs)
        except Exception as error:  # noqa: BLE001  (whatever NumPy raises becomes PyTorch's error)
            raise explain(op, (x,), attrs, error) from None
        finally:
            restore(token)
        out = tensors.Tensor._of(result if result.__class__ is np.ndarray else np.asarray(result))
        if is_view:
            out._mark_view(x, op, attrs)
        if (
            differentiable
            and (x._requires_grad if x._view is None else x._tracked())
            and MODE.grad
            and result.dtype.kind in "fc"
        ):
            if keep is None:
                keep = keeper(op, (True,), (False,), 1)
            out._requires_grad = True
            out._grad_fn = node((x._edge(),), *keep(x, out), attrs)
        return out

    return call


def _binary(op: Op) -> Call:
    evaluate, kinds, promotes = op.eval, _KINDS.get(op.promotion), op.promotion != "none"
    node, is_pointwise = node_type(op), op.kind == "pointwise"
    first, second = (vjp is not None for vjp in op.vjps)
    keepers: dict[tuple[bool, bool], Keeper] = {}

    def call(x: Any, y: Any, **attrs: Any) -> Any:
        try:
            a, b = x._array, y._array
        except AttributeError:
            return with_number(x, y, **attrs)
        if MODE.recorder is not None or (
            promotes
            and (a.dtype is not b.dtype or (kinds is not None and a.dtype.kind not in kinds))
        ):
            return apply(op, (x, y), attrs)
        token = silence(QUIET)
        try:
            result = evaluate(np, a, b, **attrs)
        except Exception as error:  # noqa: BLE001  (whatever NumPy raises becomes PyTorch's error)
            raise explain(op, (x, y), attrs, error) from None
        finally:
            restore(token)
        out = tensors.Tensor._of(result if result.__class__ is np.ndarray else np.asarray(result))
        left = x._requires_grad if x._view is None else x._tracked()
        right = y._requires_grad if y._view is None else y._tracked()
        if (left or right) and MODE.grad and result.dtype.kind in "fc":
            needs = (first and left, second and right)
            if needs == _BOTH:
                return out
            keep = keepers.get(needs)
            if keep is None:
                keep = keepers[needs] = keeper(op, needs, _BOTH, 1)
            shapes = None
            if is_pointwise and (a.shape != result.shape or b.shape != result.shape):
                shapes = (a.shape, b.shape)
            edges = (x._edge() if needs[0] else None, y._edge() if needs[1] else None)
            out._requires_grad = True
            out._grad_fn = node(edges, *keep(x, y, out), attrs, shapes)
        return out

    with_number = _with_number(op)
    return call


def _with_number(op: Op) -> Call:
    """The same where one of two operands is a Python number, which keeps its type."""
    promotes, node = op.promotion in ("same", "float", "compare"), node_type(op)
    flags = tuple(vjp is not None for vjp in op.vjps)

    def call(x: Any, y: Any, **attrs: Any) -> Any:
        a, b = getattr(x, "_array", x), getattr(y, "_array", y)
        left = b is y
        tensor, array, number = (x, a, y) if left else (y, b, x)
        if (
            MODE.recorder is not None
            or not promotes
            or type(number) not in _NUMBERS
            or array.__class__ is not np.ndarray
            or array.dtype.kind != "f"
        ):
            return apply(op, (x, y), attrs)
        token = silence(QUIET)
        try:
            result = op.eval(np, a, b, **attrs)
        except Exception:  # noqa: BLE001  (numbers that NumPy takes differently)
            return apply(op, (x, y), attrs)
        finally:
            restore(token)
        out = tensors.Tensor._of(result if result.__class__ is np.ndarray else np.asarray(result))
        if flags and flags[not left] and MODE.grad and tensor._tracked():
            keep = keeper(op, (left, not left), (not left, left), 1)
            edge = tensor._edge()
            out._requires_grad = True
            edges = (edge, None) if left else (None, edge)
            out._grad_fn = node(edges, *keep(x, y, out), attrs)
        return out

    return call


def _pointwise(op: Op) -> Call:
    """Comparisons, predicates, logic: no gradients."""
    promotes, kinds = op.promotion != "none", _KINDS.get(op.promotion)
    with_number = _with_number(op)

    def call(*operands: Any, **attrs: Any) -> Any:
        try:
            arrays = [x._array for x in operands]
        except AttributeError:
            number = len(operands) == 2
            return with_number(*operands, **attrs) if number else apply(op, operands, attrs)
        if MODE.recorder is not None or not operands or (promotes and (
            (kinds is not None and arrays[0].dtype.kind not in kinds)
            or (len(arrays) == 2 and arrays[0].dtype is not arrays[1].dtype)
        )):  # fmt: skip
            return apply(op, operands, attrs)
        result = _computed(op, operands, arrays, attrs)
        return tensors.Tensor._of(
            result if result.__class__ is np.ndarray else np.asarray(result)
        )

    return call


def _choice(op: Op) -> Call:
    """`where`: one of its two values may be a number."""
    node = node_type(op)

    def call(condition: Any, x: Any, y: Any) -> Any:
        operands = (condition, x, y)
        arrays = tuple([getattr(v, "_array", v) for v in operands])
        c, a, b = arrays
        numbers = (False, a is x, b is y)
        if (
            MODE.recorder is not None
            or c is condition
            or numbers == (False, True, True)
            or (numbers[1] and (type(x) not in _NUMBERS or b.dtype.kind != "f"))
            or (numbers[2] and (type(y) not in _NUMBERS or a.dtype.kind != "f"))
            or not (numbers[1] or numbers[2] or a.dtype is b.dtype)
        ):
            return apply(op, operands, {})
        result = _computed(op, operands, arrays, {})
        out = tensors.Tensor._of(result if result.__class__ is np.ndarray else np.asarray(result))
        if MODE.grad and result.dtype.kind in "fc":
            needs = (False, not numbers[1] and x._tracked(), not numbers[2] and y._tracked())
            if needs[1] or needs[2]:
                edges = tuple([v._edge() if n else None for v, n in zip(operands, needs)])
                kept = keeper(op, needs, numbers, 1)(*operands, out)
                shapes = tuple([getattr(v, "shape", ()) for v in arrays])
                out._requires_grad = True
                out._grad_fn = node(edges, *kept, {}, shapes)
        return out

    return call


def _ternary(op: Op) -> Call:
    """For three operands, of which the last may be left out: layers with a bias."""
    evaluate, node, several = op.eval, node_type(op), _several(op)
    flags = [vjp is not None for vjp in op.vjps]
    keepers: dict[tuple[bool, bool, bool], Keeper] = {}

    def call(x: Any, y: Any, z: Any = None, **attrs: Any) -> Any:
        try:
            a, b, c = x._array, y._array, z._array
        except AttributeError:
            return several(x, y, **attrs) if z is None else apply(op, (x, y, z), attrs)
        if MODE.recorder is not None:
            return apply(op, (x, y, z), attrs)
        token = silence(QUIET)
        try:
            result = evaluate(np, a, b, c, **attrs)
        except Exception as error:  # noqa: BLE001  (whatever NumPy raises becomes PyTorch's error)
            raise explain(op, (x, y, z), attrs, error) from None
        finally:
            restore(token)
        out = tensors.Tensor._of(result if result.__class__ is np.ndarray else np.asarray(result))
        if MODE.grad and result.dtype.kind in "fc":
            needs = (
                flags[0] and (x._requires_grad if x._view is None else x._tracked()),
                flags[1] and (y._requires_grad if y._view is None else y._tracked()),
                flags[2] and (z._requires_grad if z._view is None else z._tracked()),
            )
            keep = keepers.get(needs)
            if keep is None:
                if True not in needs:
                    return out
                keep = keepers[needs] = keeper(op, needs, (False, False, False), 1)
            edges = (
                x._edge() if needs[0] else None,
                y._edge() if needs[1] else None,
                z._edge() if needs[2] else None,
            )
            out._requires_grad = True
            out._grad_fn = node(edges, *keep(x, y, z, out), attrs)
        return out

    return call


def _several(op: Op) -> Call:
    """For any number of operands and outputs: losses, layers, and what has no gradient."""
    evaluate, node, flags = op.eval, node_type(op), tuple(vjp is not None for vjp in op.vjps)
    single = op.n_outputs == 1
    keepers: dict[tuple[bool, ...], Keeper] = {}

    def call(*operands: Any, **attrs: Any) -> Any:
        if MODE.recorder is not None:
            return apply(op, operands, attrs)
        try:
            arrays = [x._array for x in operands]
        except AttributeError:
            return apply(op, operands, attrs)
        token = silence(QUIET)
        try:
            result = evaluate(np, *arrays, **attrs)
        except Exception as error:  # noqa: BLE001  (whatever NumPy raises becomes PyTorch's error)
            raise explain(op, operands, attrs, error) from None
        finally:
            restore(token)
        make = tensors.Tensor._of
        if single:
            result = (result,)
        outs = [make(r if r.__class__ is np.ndarray else np.asarray(r)) for r in result]
        if flags and MODE.grad:
            needs = tuple([
                flag and (x._requires_grad if x._view is None else x._tracked())
                for x, flag in zip(operands, flags)
            ])
            if True in needs:
                keep = keepers.get(needs)
                if keep is None:
                    tensors_only = (False,) * len(needs)
                    keep = keepers[needs] = keeper(op, needs, tensors_only, len(outs))
                edges = tuple([x._edge() if need else None for x, need in zip(operands, needs)])
                put_on_tape(node(edges, *keep(*operands, *outs), attrs, None, len(outs)), outs)
        return outs[0] if single else tuple(outs)

    return call
