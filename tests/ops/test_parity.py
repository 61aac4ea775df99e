"""PyTorch's conventions where mathematics leaves a choice: ties, edges, infinities and NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit
from graphjit.frontend.tape import TENSORS as F

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
T = torch.nn.functional
NAN, INF = float("nan"), float("inf")
SIGNS = [0.0, -0.0, 1.0, -2.0, NAN, INF, -INF]

#: PyTorch's function, ours, and the operands.
CASES: dict[str, tuple[Any, Any, list[list[float]]]] = {
    "abs": (torch.abs, F.abs, [SIGNS]),
    "sign": (torch.sign, F.sign, [SIGNS]),
    "sqrt": (torch.sqrt, F.sqrt, [SIGNS]),
    "rsqrt": (torch.rsqrt, F.rsqrt, [SIGNS]),
    "reciprocal": (torch.reciprocal, F.reciprocal, [SIGNS]),
    "log": (torch.log, F.log, [SIGNS]),
    "log1p": (torch.log1p, F.log1p, [[-1.0, *SIGNS]]),
    "exp": (torch.exp, F.exp, [SIGNS]),
    "expm1": (torch.expm1, F.expm1, [SIGNS]),
    "tanh": (torch.tanh, F.tanh, [SIGNS]),
    "sigmoid": (torch.sigmoid, F.sigmoid, [[*SIGNS, 800.0, -800.0]]),
    "erf": (torch.erf, F.erf, [SIGNS]),
    "asin": (torch.asin, F.asin, [[1.0, -1.0, 2.0]]),
    "acosh": (torch.acosh, F.acosh, [[1.0, 0.5]]),
    "atanh": (torch.atanh, F.atanh, [[1.0, -1.0, 2.0]]),
    "round": (torch.round, F.round, [[0.5, 1.5, -0.5, 2.5, NAN]]),
    "trunc": (torch.trunc, F.trunc, [[-1.5, 1.5, INF]]),
    "relu": (torch.relu, F.relu, [SIGNS]),
    "pow": (torch.pow, F.pow, [[0.0, 0.0, 0.0, 2.0, -1.0, -2.0], [0.0, 2.0, -1.0, 0.0, 2.0, 1.5]]),
    "half": (lambda x: x.half(), lambda x: F.cast(x, dtype=graphjit.float16), [
        [1 + 2**-11 + 2**-30, 1 + 2**-11 + 2**-20, 65520.0, 1e-8, NAN, -INF]  # by way of float32
    ]),
    "square": (lambda x: x**2, lambda x: F.pow(x, 2), [SIGNS]),
    "to the zero": (lambda x: x**0, lambda x: F.pow(x, 0), [SIGNS]),
    "root": (lambda x: x**0.5, lambda x: F.pow(x, 0.5), [SIGNS]),
    "power of zero": (lambda y: 0.0**y, lambda y: F.pow(0.0, y), [[0.0, 1.0, -1.0]]),
    "maximum": (torch.maximum, F.maximum, [[1.0, NAN, 2.0, 3.0], [1.0, 1.0, NAN, 2.0]]),
    "minimum": (torch.minimum, F.minimum, [[1.0, NAN, 2.0, 3.0], [1.0, 1.0, NAN, 2.0]]),
    "remainder": (torch.remainder, F.remainder, [[5.0, -5.0, 5.0, 1.0], [3.0, 3.0, -3.0, 0.0]]),
    "fmod": (torch.fmod, F.fmod, [[5.0, -5.0, 5.0, 1.0], [3.0, 3.0, -3.0, 0.0]]),
    "div": (torch.div, F.div, [[1.0, 0.0, -1.0, INF], [0.0, 0.0, 0.0, INF]]),
    "atan2": (torch.atan2, F.atan2, [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),
    "clamp": (
        lambda x: x.clamp(-1, 1), lambda x: F.clamp(x, min=-1, max=1), [[-1.0, *SIGNS]],
    ),
    "hardtanh": (T.hardtanh, lambda x: F.hardtanh(x, min=-1.0, max=1.0), [[-1.0, *SIGNS[:5]]]),
    "leaky_relu": (T.leaky_relu, lambda x: F.leaky_relu(x, negative_slope=0.01), [SIGNS[:4]]),
    "elu": (
        T.elu, lambda x: F.elu(x, alpha=1.0, scale=1.0, input_scale=1.0), [[*SIGNS[:4], -INF]]
    ),
    "hardsigmoid": (T.hardsigmoid, F.hardsigmoid, [[-3.0, 3.0, 0.0]]),
    "hardswish": (T.hardswish, F.hardswish, [[-3.0, 3.0, 0.0, -5.0]]),
    "softplus": (
        T.softplus, lambda x: F.softplus(x, beta=1.0, threshold=20.0), [[20.0, 21.0, -200.0]]
    ),
    "log_sigmoid": (T.logsigmoid, F.log_sigmoid, [[0.0, -200.0, 200.0]]),
    "silu": (T.silu, F.silu, [[0.0, 100.0, -100.0, NAN]]),
    "gelu": (T.gelu, lambda x: F.gelu(x, approximate="none"), [[0.0, 100.0, -100.0, NAN]]),
    "amax": (torch.amax, lambda x: F.amax_squeeze(x, dims=(0,)), [[1.0, 1.0, 0.0]]),
    "max": (
        lambda x: x.max(0)[0], lambda x: F.max_dim(x, dim=0, keepdim=False)[0], [[1.0, 1.0, 0.0]]
    ),
    "prod": (torch.prod, lambda x: F.prod_squeeze(x, dims=(0,)), [[0.0, 2.0, 3.0]]),
    "prod of zeros": (torch.prod, lambda x: F.prod_squeeze(x, dims=(0,)), [[0.0, 0.0, 3.0]]),
    "std": (
        torch.std, lambda x: F.std(x, dims=(0,), correction=1, keepdim=False), [[1.0, 1.0, 1.0]]
    ),
    "var of one": (
        torch.var, lambda x: F.var(x, dims=(0,), correction=1, keepdim=False), [[1.0]]
    ),
    "softmax": (lambda x: torch.softmax(x, 0), lambda x: F.softmax(x, dim=0), [[-INF, 1.0]]),
    "softmax of nothing": (
        lambda x: torch.softmax(x, 0), lambda x: F.softmax(x, dim=0), [[-INF, -INF]]
    ),
    "log_softmax": (
        lambda x: torch.log_softmax(x, 0), lambda x: F.log_softmax(x, dim=0), [[-INF, 1.0]]
    ),
    "logsumexp": (
        lambda x: torch.logsumexp(x, 0), lambda x: F.logsumexp(x, dims=(0,)), [[INF, 1.0]]
    ),
    "logsumexp of nothing": (
        lambda x: torch.logsumexp(x, 0), lambda x: F.logsumexp(x, dims=(0,)), [[-INF, -INF]]
    ),
    "l1_loss": (
        T.l1_loss, lambda x, y: F.l1_loss(x, y, reduction="mean"), [[1.0, 2.0], [1.0, 1.0]]
    ),
    "huber_loss": (
        T.huber_loss, lambda x, y: F.huber_loss(x, y, reduction="mean", delta=1.0),
        [[1.0, 2.0], [2.0, 4.0]],
    ),
    "smooth_l1_loss": (
        T.smooth_l1_loss, lambda x, y: F.smooth_l1_loss(x, y, reduction="mean", beta=1.0),
        [[1.0, 2.0], [2.0, 4.0]],
    ),
    "bce": (
        T.binary_cross_entropy, lambda x, y: F.binary_cross_entropy(x, y, reduction="mean"),
        [[0.0, 1.0, 0.5], [0.0, 0.0, 1.0]],
    ),
    "bce of logits": (
        T.binary_cross_entropy_with_logits,
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="mean"),
        [[0.0, 200.0, -200.0], [0.0, 0.0, 1.0]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    """Values and gradients equal PyTorch's, NaN and signs of infinities included."""
    theirs, ours, operands = CASES[name]
    xs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in operands]
    ys = [graphjit.tensor(np.array(x), requires_grad=True) for x in operands]
    expected, actual = theirs(*xs), ours(*ys)
    np.testing.assert_allclose(
        actual.detach().numpy().reshape(expected.shape), expected.detach().numpy(), 1e-12, 1e-300
    )
    expected.sum().backward()
    actual.sum().backward()
    for x, y in zip(xs, ys, strict=True):
        np.testing.assert_allclose(y.grad.numpy(), x.grad.numpy(), 1e-7, 1e-300)


CLASSES = [
    ([[1.0, 2.0]], [-100], None), ([[1.0, 2.0]], [0], [0.0, 1.0]),
    ([[INF, 2.0]], [1], [0.0, 1.0]), ([[INF, 2.0], [INF, INF]], [1, -100], None),
    ([[-INF, 0.0]], [1], None),
]  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("scores", "target", "weight"), CLASSES)
def test_nll_loss(scores: Any, target: Any, weight: Any, reduction: str) -> None:
    """Nothing but ignored targets has no mean; scores of other classes do not matter."""
    arrays = [np.array(scores), np.array(target), *([] if weight is None else [np.array(weight)])]
    expected = T.nll_loss(*map(torch.tensor, arrays), reduction=reduction)
    ours = F.nll_loss(*map(graphjit.tensor, arrays), ignore_index=-100, reduction=reduction)
    np.testing.assert_allclose(ours.numpy(), expected.numpy())


def test_order_of_nan() -> None:
    """NaN is the largest number, and the first NaN the maximum."""
    x = np.array([3.0, NAN, 1.0, 2.0, NAN])
    for descending in (False, True):
        values, index = torch.sort(torch.tensor(x), descending=descending, stable=True)
        ours = F.sort(graphjit.tensor(x), dim=0, descending=descending)
        np.testing.assert_array_equal(ours[0].numpy(), values.numpy())
        np.testing.assert_array_equal(ours[1].numpy(), index.numpy())
    assert F.argmax(graphjit.tensor(x), dims=(0,)).numpy() == torch.tensor(x).argmax().numpy()


@pytest.mark.parametrize("image", [[[1.0, NAN], [2.0, NAN]], [[-INF, -INF], [-INF, -INF]]])
def test_pooled_places(image: Any) -> None:
    """A NaN is the maximum, and a place in the padding never is."""
    x = np.array([image])
    values, index = T.max_pool2d(torch.tensor(x), 2, padding=1, return_indices=True)
    ours, places = F.max_pool2d(
        graphjit.tensor(x), kernel=(2, 2), stride=(2, 2), padding=(1, 1), dilation=(1, 1),
        ceil_mode=False,
    )  # fmt: skip
    np.testing.assert_array_equal(ours.numpy(), values.numpy())
    rows, columns = np.indices((2, 2)) * 2 - 1 + np.divmod(places.numpy()[0], 2)
    np.testing.assert_array_equal(rows * 2 + columns, index.numpy()[0])
