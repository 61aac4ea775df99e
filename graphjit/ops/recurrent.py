"""The cell of a long short-term memory network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ..ir.graph import Spec
from .blocks import is_large
from .contract import mixed
from .core import check_same_dtype, declare
from .native import Function, fused_in_place
from .sampling import calls, rows

#: Order of the gates along dimension 1: input, forget, cell, output.
GATES = 4


def _infer_lstm_cell(
    x: Spec, h: Spec, c: Spec, w_ih: Spec, w_hh: Spec, *bias: Spec
) -> tuple[Spec, ...]:
    hidden = w_hh.shape[1]
    if x.shape[1] != w_ih.shape[1]:
        raise RuntimeError(
            f"input has inconsistent input_size: got {x.shape[1]} expected {w_ih.shape[1]}"
        )
    for i, state in enumerate((h, c)):
        if state.shape[1] != hidden:
            raise RuntimeError(
                f"hidden{i} has inconsistent hidden_size: got {state.shape[1]}, expected {hidden}"
            )
        if state.shape[0] != x.shape[0]:
            raise RuntimeError(
                f"Input batch size {x.shape[0]} doesn't match hidden{i} batch size "
                f"{state.shape[0]}"
            )
    check_same_dtype("lstm_cell", (x, h, c, w_ih, w_hh, *bias))
    state = x.with_shape((x.shape[0], hidden))
    return state, state, x.with_shape((x.shape[0], GATES * hidden))


def _eval_lstm_cell(
    xp: Any, x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, *bias: Any
) -> tuple[Any, Any, Any]:
    hidden = w_hh.shape[1]
    if h.shape != (len(x), hidden) or c.shape != h.shape:
        raise mixed()
    if any(a.dtype != x.dtype for a in (h, c, w_ih, w_hh, *bias)):
        raise mixed()
    gates = x.dot(w_ih.T)
    gates += h.dot(w_hh.T)
    for b in bias:
        gates += b
    i, f, g, o = parts = _parts(gates)
    if is_large(gates):
        out, cell = np.empty((2, *h.shape), x.dtype)
        if fused_in_place(_next_state, (*parts, c, out, cell)):
            return out, cell, gates
    for part in (gates[:, : 2 * hidden], o):
        _sigmoid_inplace(xp, part)
    xp.tanh(g, out=g)
    cell = f * c
    cell += i * g
    out = xp.tanh(cell)
    out *= o
    return out, cell, gates


def _parts(gates: Any) -> tuple[Any, Any, Any, Any]:
    """Views of each gate of an array."""
    n = gates.shape[1] // GATES
    return gates[:, :n], gates[:, n : 2 * n], gates[:, 2 * n : 3 * n], gates[:, 3 * n :]


def _next_state(
    F: Any, i: Any, f: Any, g: Any, o: Any, c: Any, out: Any, cell: Any
) -> tuple[Any, ...]:
    """What takes the place of each operand: activated gates, the outputs, the new state."""
    i, f, g, o = F.sigmoid(i), F.sigmoid(f), F.tanh(g), F.sigmoid(o)
    cell = F.add(F.mul(f, c), F.mul(i, g))
    return i, f, g, o, None, F.mul(o, F.tanh(cell)), cell


def _sigmoid_inplace(xp: Any, x: Any) -> None:
    xp.negative(x, out=x)
    xp.exp(x, out=x)
    xp.add(x, 1, out=x)
    xp.reciprocal(x, out=x)


def _split(F: Any, gates: Any) -> list[Any]:
    hidden = gates.shape[1] // GATES
    return [
        F.slice_(gates, dim=1, start=k * hidden, stop=(k + 1) * hidden, step=1)
        for k in range(GATES)
    ]


def _decompose_lstm_cell(
    F: Any, x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, *bias: Any
) -> tuple[Any, Any, Any]:
    sums = F.add(F.linear(x, w_ih, *bias[:1]), F.linear(h, w_hh, *bias[1:]))
    i, f, g, o = _split(F, sums)
    i, f, g, o, _, out, cell = _next_state(F, i, f, g, o, c, None, None)
    return out, cell, F.concat(i, f, g, o, dim=1)


def _plus(F: Any, x: Any, y: Any) -> Any:
    return y if x is None else x if y is None else F.add(x, y)


def _times_slope(F: Any, x: Any, gate: Any, is_cell: bool) -> Any:
    slope = F.sub(1, F.mul(gate, gate)) if is_cell else F.mul(gate, F.sub(1, gate))
    return F.mul(x, slope)


def _gate_grads(
    F: Any, g: Sequence[Any], c: Any, cell: Any, gates: Any
) -> tuple[Any, Any]:
    """The gradients of the sums before the gates' activations, and of the old cell state."""
    g_out, g_cell, g_gates = g
    if is_large(gates) and g_gates is None:
        given = [x for x in (g_out, g_cell) if x is not None]
        sums, old_cell = np.empty_like(gates), np.empty_like(cell)
        arrays = (*_parts(sums), old_cell, c, cell, *_parts(gates), *given)
        if fused_in_place(_gradients_of(g_out is not None, g_cell is not None), arrays):
            return sums, old_cell
    *parts, old_cell = _gradients(F, g_out, g_cell, c, cell, _split(F, gates), g_gates)
    return F.concat(*parts, dim=1), old_cell


def _gradients(
    F: Any, g_out: Any, g_cell: Any, c: Any, cell: Any, gates: Sequence[Any], g_gates: Any = None
) -> list[Any]:
    """The gradients of each gate's sum, and of the old cell state."""
    i, f, new, o = gates
    if g_out is None:
        g_o = F.zeros_like(o)
    else:
        squashed = F.tanh(cell)
        slope = F.mul(o, F.sub(1, F.mul(squashed, squashed)))
        g_cell = _plus(F, g_cell, F.mul(g_out, slope))
        g_o = F.mul(g_out, squashed)
    if g_cell is None:
        g_cell = F.zeros_like(cell)
    parts = [F.mul(g_cell, new), F.mul(g_cell, c), F.mul(g_cell, i), g_o]
    if g_gates is not None:
        parts = [F.add(a, b) for a, b in zip(parts, _split(F, g_gates), strict=True)]
    sums = [
        _times_slope(F, part, gate, k == 2)
        for k, (part, gate) in enumerate(zip(parts, gates, strict=True))
    ]
    return [*sums, F.mul(g_cell, f)]


@cache
def _gradients_of(has_out: bool, has_cell: bool) -> Function:
    """`_gradients`, with operands to be written over before those that are read."""

    def function(F: Any, *operands: Any) -> tuple[Any, ...]:
        c, cell, *others = operands[GATES + 1 :]
        gates, given = others[:GATES], others[GATES:]
        g_out = given.pop(0) if has_out else None
        g_cell = given.pop(0) if has_cell else None
        found = _gradients(F, g_out, g_cell, c, cell, gates)
        return (*found, *(None for _ in operands[GATES + 1 :]))

    return function


def _lstm_cell_vjp(
    F: Any, needs: Sequence[bool], g: Any,
    x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, cell: Any, gates: Any,
) -> list[Any]:  # fmt: skip
    sums, old_cell = _gate_grads(F, g, c, cell, gates)
    grads: list[Any] = [
        F.mm(sums, w_ih) if needs[0] else None,
        F.mm(sums, w_hh) if needs[1] else None,
        old_cell if needs[2] else None,
        F.mm(F.t(sums), x) if needs[3] else None,
        F.mm(F.t(sums), h) if needs[4] else None,
    ]
    if any(needs[5:]):
        bias = F.sum_to(sums, shape=(gates.shape[1],))
        grads += [bias if need else None for need in needs[5:]]
    else:
        grads += [None] * (len(needs) - 5)
    return grads


def _reference(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, *bias: Any) -> Any:
    """Hochreiter and Schmidhuber, with forget gate, as in the documentation of PyTorch."""
    i, f, g, o = np.split(x @ w_ih.T + h @ w_hh.T + sum(bias), GATES, 1)
    i, f, g, o = 1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-f)), np.tanh(g), 1 / (1 + np.exp(-o))
    cell = f * c + i * g
    return o * np.tanh(cell), cell, np.concatenate([i, f, g, o], 1)


#: Inputs (x, h, c, w_ih, w_hh[, b_ih, b_hh]); outputs (h, c, gates after their activations).
lstm_cell = declare(
    "lstm_cell",
    "composite",
    infer=_infer_lstm_cell,
    eval=_eval_lstm_cell,
    decompose=_decompose_lstm_cell,
    saves=("in0", "in1", "in2", "in3", "in4", "out1", "out2"),
    joint_vjp=_lstm_cell_vjp,
    n_outputs=3,
    grad_name="ThnnFusedLstmCell",
    samples=rows(
        _reference,
        *calls(*(((2, 3), (2, 4), (2, 4), (16, 3), (16, 4), *bias)
                 for bias in ((), ((16,), (16,)), ((16,),)))),
    ),
)  # fmt: skip
