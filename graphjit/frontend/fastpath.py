"""Calls made for one op each, from its declaration: `apply` for the common case, in few steps.

The common case: nothing records, operands are tensors of one dtype (or a floating-point tensor and
a number), one output. Everything else goes through `apply`, which is the definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops.core import Op
from . import tensor as tensors
from .dispatch import apply, attach, explain
from .mode import MODE
from .quiet import QUIET, restore, silence
from .tape import node_type, read_by

Call = Callable[..., Any]

_NUMBERS = (float, int)
#: kinds of dtype that an op takes as they are, by its promotion; None for all
_KINDS = {"float": "fc", "logical": "b"}


def specialised(op: Op) -> Call:
    """The function `(*operands, **attrs)` that runs `op` on tensors."""
    if op.n_outputs != 1 or op.promotion == "where" or op.joint_vjp is not None:
        return _general(op)
    if len(op.vjps) == 1:
        return _unary(op)
    if len(op.vjps) == 2 and op.promotion != "logical":
        return _binary(op)
    return _several(op) if op.promotion == "none" else _general(op)


def _general(op: Op) -> Call:
    def call(*operands: Any, **attrs: Any) -> Any:
        return apply(op, operands, attrs)

    return call


def _unary(op: Op) -> Call:
    evaluate, is_view, kinds = op.eval, op.kind == "view", _KINDS.get(op.promotion)
    node, differentiable = node_type(op), op.vjps[0] is not None
    keep: Call | None = None  # made when it is first needed: an import then reads no vjp's code

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
            and (x._requires_grad or (x._view is not None and x._tracked()))
            and MODE.grad
            and result.dtype.kind in "fc"
        ):
            if keep is None:
                keep = _keeper(op, (True,))
            out._requires_grad = True
            out._grad_fn = node((x._edge(),), *keep(x, out), attrs)
        return out

    return call


def _binary(op: Op) -> Call:
    evaluate, kinds, promotes = op.eval, _KINDS.get(op.promotion), op.promotion != "none"
    node, is_pointwise = node_type(op), op.kind == "pointwise"
    first, second = (vjp is not None for vjp in op.vjps)
    keepers: dict[tuple[bool, bool], Call] = {}

    def call(x: Any, y: Any, **attrs: Any) -> Any:
        try:
            a, b = x._array, y._array
        except AttributeError:
            return numbers(x, y, **attrs)
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
        left_needs = x._requires_grad or (x._view is not None and x._tracked())
        right_needs = y._requires_grad or (y._view is not None and y._tracked())
        if (left_needs or right_needs) and MODE.grad and result.dtype.kind in "fc":
            left = x._edge() if first and left_needs else None
            right = y._edge() if second and right_needs else None
            needs = (left is not None, right is not None)
            if needs == (False, False):
                return out
            keep = keepers.get(needs)
            if keep is None:
                keep = keepers[needs] = _keeper(op, needs)
            shapes = None
            if is_pointwise and (a.shape != result.shape or b.shape != result.shape):
                shapes = (a.shape, b.shape)
            out._requires_grad = True
            out._grad_fn = node((left, right), *keep(x, y, out), attrs, shapes)
        return out

    numbers = _with_number(op)
    return call


def _with_number(op: Op) -> Call:
    """The same where one of two operands is a Python number, which keeps its type."""
    evaluate, promotes = op.eval, op.promotion in ("same", "float", "compare")

    def call(x: Any, y: Any, **attrs: Any) -> Any:
        a, b = getattr(x, "_array", x), getattr(y, "_array", y)
        tensor, array, number = (x, a, y) if b is y else (y, b, x)
        if (
            MODE.recorder is not None
            or not promotes
            or number.__class__ not in _NUMBERS
            or array.__class__ is not np.ndarray
            or array.dtype.kind != "f"
        ):
            return apply(op, (x, y), attrs)
        token = silence(QUIET)
        try:
            result = evaluate(np, a, b, **attrs)
        except Exception:  # noqa: BLE001  (numbers that NumPy takes differently)
            return apply(op, (x, y), attrs)
        finally:
            restore(token)
        out = tensors.Tensor._of(result if result.__class__ is np.ndarray else np.asarray(result))
        if MODE.grad and tensor._tracked():
            attach(op, (x, y), (out,), attrs)
        return out

    return call


def _several(op: Op) -> Call:
    """For any number of operands: losses, layers, and whatever has no gradient."""
    evaluate, node, flags = op.eval, node_type(op), tuple(vjp is not None for vjp in op.vjps)
    plain = op.kind not in ("view", "pointwise")
    keepers: dict[tuple[bool, ...], Call] = {}

    def call(*operands: Any, **attrs: Any) -> Any:
        if MODE.recorder is not None or not plain:
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
        out = tensors.Tensor._of(result if result.__class__ is np.ndarray else np.asarray(result))
        if MODE.grad and result.dtype.kind in "fc":
            needs = tuple([
                flag and (x._requires_grad or (x._view is not None and x._tracked()))
                for x, flag in zip(operands, flags)
            ])
            if True in needs:
                keep = keepers.get(needs)
                if keep is None:
                    keep = keepers[needs] = _keeper(op, needs)
                edges = tuple([x._edge() if need else None for x, need in zip(operands, needs)])
                out._requires_grad = True
                out._grad_fn = node(edges, *keep(*operands, out), attrs)
        return out

    return call


def _keeper(op: Op, needs: tuple[bool, ...]) -> Call:
    """The function `(*inputs, out)` giving what a tape node keeps: entries, versions, arrays.

    It is compiled from `op.saves`, because a loop over them would cost more than many an op.
    """
    names = [f"x{i}" for i in range(len(needs))]
    entries, versions, arrays = [], [], []
    for (kind, position), needed in zip(node_type(op).kinds, read_by(op, needs), strict=True):
        name = "out" if kind == "out" else f"x{position}"
        known = needed and (kind in ("shapes", "out") or position < len(needs))
        entry = {
            "in": name,
            "out": "out._array",
            "shape": f"{name}._array.shape",
            "dtype": f"{name}.dtype",
            "shapes": f"({', '.join(f'{n}._array.shape' for n in names)},)",
        }[kind] if known else "None"
        entries.append(entry)
        arrays.append(f"{name}._array" if kind == "in" and known else entry)
        if kind in ("in", "out") and known:
            versions.append(f"({name}._array, {name}._version, {name}._version[0])")
    parts = (f"({', '.join(part)}{',' if part else ''})" for part in (entries, versions, arrays))
    keeper: Call = eval(f"lambda {', '.join(names)}, out: ({', '.join(parts)})")
    return keeper
