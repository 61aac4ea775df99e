"""Recurrent cells: one step of a recurrent network."""

from __future__ import annotations

import math
from typing import Any

from ...frontend.creation import empty
from ...frontend.tape import TENSORS
from ...frontend.tensor import Tensor
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module


class RNNCellBase(Module):
    """Weights of a cell with `num_chunks` gates."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, hidden_size),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
        }
        for name, shape in shapes.items():
            made = name.startswith("weight") or bias
            values = Parameter(empty(shape, device=device, dtype=dtype)) if made else None
            self.register_parameter(name, values)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights from U(-k, k), k = 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return text + (f", nonlinearity={nonlinearity}" if nonlinearity != "tanh" else "")

    def _check(self, input: Tensor, hidden: Tensor | None, what: str = "hx") -> None:
        name = type(self).__name__
        for tensor, label in ((input, "input"), (hidden, what)):
            if tensor is not None and tensor.ndim not in (1, 2):
                raise ValueError(
                    f"{name}: Expected {label} to be 1D or 2D, got {tensor.ndim}D instead"
                )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input has inconsistent input_size: got {input.shape[-1]} expected "
                f"{self.input_size}"
            )
        if hidden is not None and hidden.shape[-1] != self.hidden_size:
            raise RuntimeError(
                f"hidden0 has inconsistent hidden_size: got {hidden.shape[-1]}, expected "
                f"{self.hidden_size}"
            )

    def _initial(self, input: Tensor) -> Tensor:
        return input.new_zeros((input.shape[0], self.hidden_size))

    def _gates(self, input: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        return (
            F.linear(input, self.weight_ih, self.bias_ih),
            F.linear(hidden, self.weight_hh, self.bias_hh),
        )


class RNNCell(RNNCellBase):
    """`h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`, or ReLU."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        self._check(input, hx)
        single = input.ndim == 1
        x = input.unsqueeze(0) if single else input
        hidden = self._initial(x) if hx is None else (hx.unsqueeze(0) if single else hx)
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        from_input, from_hidden = self._gates(x, hidden)
        total = TENSORS.add(from_input, from_hidden)
        result = TENSORS.tanh(total) if self.nonlinearity == "tanh" else TENSORS.relu(total)
        return result.squeeze(0) if single else result


class LSTMCell(RNNCellBase):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): (x, (h, c)) -> (h', c')."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        self._check(input, None)
        for index, state in enumerate(hx or ()):
            self._check(input, state, f"hx[{index}]")
        single = input.ndim == 1
        x = input.unsqueeze(0) if single else input
        if hx is None:
            hidden = cell = self._initial(x)
        else:
            hidden, cell = (state.unsqueeze(0) if single else state for state in hx)
        weights = [self.weight_ih, self.weight_hh]
        if self.bias_ih is not None:
            weights += [self.bias_ih, self.bias_hh]
        hidden, cell, _ = TENSORS.lstm_cell(x, hidden, cell, *weights)
        return (hidden.squeeze(0), cell.squeeze(0)) if single else (hidden, cell)


class GRUCell(RNNCellBase):
    """Gated recurrent unit (Cho et al., 2014): (x, h) -> h'."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        self._check(input, hx)
        single = input.ndim == 1
        x = input.unsqueeze(0) if single else input
        hidden = self._initial(x) if hx is None else (hx.unsqueeze(0) if single else hx)
        sizes = (self.hidden_size,) * 3
        from_input, from_hidden = self._gates(x, hidden)
        ri, zi, ni = TENSORS.split(from_input, sizes=sizes, dim=1)
        rh, zh, nh = TENSORS.split(from_hidden, sizes=sizes, dim=1)
        reset = TENSORS.sigmoid(TENSORS.add(ri, rh))
        update = TENSORS.sigmoid(TENSORS.add(zi, zh))
        new = TENSORS.tanh(TENSORS.add(ni, TENSORS.mul(reset, nh)))
        result = TENSORS.add(new, TENSORS.mul(update, TENSORS.sub(hidden, new)))
        return result.squeeze(0) if single else result
