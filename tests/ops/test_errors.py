"""Bad operands raise PyTorch's class of error in PyTorch's words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit
from graphjit.frontend.tape import TENSORS as F

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
T = torch.nn.functional


def f(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def d(*shape: int) -> Any:
    return np.ones(shape)


def i(*values: Any) -> Any:
    return np.array(values)


LOSS: dict[str, Any] = {"ignore_index": -100, "reduction": "mean"}
ENTROPY = {**LOSS, "label_smoothing": 0.0}
CONV: dict[str, Any] = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
POOL: dict[str, Any] = {
    "kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False
}  # fmt: skip


def conv(**changed: Any) -> tuple[Any, Any]:
    """PyTorch's call and ours, with an attribute changed."""
    return lambda x, w, *b: T.conv2d(x, w, *b, **changed), lambda x, w, *b: F.convolution(
        x, w, *b, **{**CONV, **changed}
    )


def pool(**changed: Any) -> tuple[Any, Any]:
    return lambda x: T.max_pool2d(x, 2, **changed), lambda x: F.max_pool2d(
        x, **{**POOL, **{k: (v, v) for k, v in changed.items()}}
    )


def nll(x: Any, t: Any, *w: Any) -> Any:
    return F.nll_loss(x, t, *w, **LOSS)


def entropy(x: Any, t: Any, *w: Any) -> Any:
    return F.cross_entropy(x, t, *w, **ENTROPY)


#: PyTorch's function, ours, operands.
CASES: list[tuple[Any, Any, tuple[Any, ...]]] = [
    (torch.add, F.add, (f(3), f(4))),
    (torch.sub, F.sub, (i(True), i(False))),
    (torch.neg, F.neg, (i(True),)),
    (torch.bitwise_and, F.bitwise_and, (f(2), f(2))),
    (torch.floor_divide, F.floor_divide, (i(1), i(0))),
    (torch.remainder, F.remainder, (i(1), i(0))),
    (torch.mm, F.mm, (f(2, 3), f(4, 5))),
    (torch.mm, F.mm, (f(2, 3), d(3, 5))),
    (torch.mm, F.mm, (f(2, 3), np.ones((3, 5), int))),
    (torch.mm, F.mm, (f(2, 3, 1), f(3, 5))),
    (torch.mm, F.mm, (f(2, 3), f(3))),
    (torch.bmm, F.bmm, (f(2, 3, 4), f(2, 3, 5))),
    (torch.bmm, F.bmm, (f(2, 3, 4), f(3, 4, 5))),
    (torch.bmm, F.bmm, (f(2, 3, 4), d(2, 4, 5))),
    (torch.bmm, F.bmm, (f(2, 3), f(2, 4, 5))),
    (torch.mv, F.mv, (f(2, 3), f(4))),
    (torch.dot, F.dot, (f(3), f(4))),
    (torch.dot, F.dot, (f(3), d(3))),
    (torch.dot, F.dot, (f(3, 1), f(3))),
    (torch.matmul, F.matmul, (f(2, 3, 4), f(5, 6))),
    (torch.matmul, F.matmul, (f(2, 3, 4), f(2, 5, 6))),
    (torch.matmul, F.matmul, (f(2, 3, 4), f(3, 4, 6))),
    (torch.matmul, F.matmul, (f(), f(3, 4, 6))),
    (T.linear, F.linear, (f(2, 3), f(4, 5))),
    (T.linear, F.linear, (f(2, 3), f(4, 3), f(5))),
    (T.linear, F.linear, (f(2, 3), d(4, 3))),
    (T.linear, F.linear, (f(2, 7, 3), f(4, 5))),
    (T.linear, F.linear, (f(3), f(4, 5))),
    (lambda x: x.view(3, 5), lambda x: F.view(x, shape=(3, 5)), (f(8),)),
    (lambda x: x.view(3, -1), lambda x: F.view(x, shape=(3, -1)), (f(8),)),
    (lambda x: x.view(-1, -1), lambda x: F.view(x, shape=(-1, -1)), (f(8),)),
    (lambda x: x.view(-1, 0), lambda x: F.view(x, shape=(-1, 0)), (f(0),)),
    (lambda x: x.reshape(3, -2), lambda x: F.reshape(x, shape=(3, -2)), (f(8),)),
    (lambda x: x.t().view(8), lambda x: F.view(F.t(x), shape=(8,)), (f(2, 4),)),
    (lambda x: x.expand(4), lambda x: F.expand(x, shape=(4,)), (f(3),)),
    (lambda x: x.expand(2), lambda x: F.expand(x, shape=(2,)), (f(3, 2),)),
    (lambda x: x.expand(-1, 3), lambda x: F.expand(x, shape=(-1, 3)), (f(3),)),
    (lambda x: x.permute(0, 1), lambda x: F.permute(x, dims=(0, 1)), (f(3),)),
    (lambda x: x.permute(0, 0), lambda x: F.permute(x, dims=(0, 0)), (f(3, 3),)),
    (lambda x: x.permute(0, 2), lambda x: F.permute(x, dims=(0, 2)), (f(3, 3),)),
    (torch.t, F.t, (f(2, 2, 2),)),
    (lambda x: x.select(0, 3), lambda x: F.select(x, dim=0, index=3), (f(3),)),
    (lambda x: x.select(0, 0), lambda x: F.select(x, dim=0, index=0), (f(),)),
    (lambda *x: torch.cat(x), lambda *x: F.concat(*x, dim=0), (f(2, 3), f(2, 4))),
    (lambda *x: torch.cat(x), lambda *x: F.concat(*x, dim=0), (f(2, 3), f(2))),
    (lambda *x: torch.cat(x), lambda *x: F.concat(*x, dim=0), (f(),)),
    (lambda *x: torch.stack(x), lambda *x: F.stack(*x, dim=0), (f(2), f(3))),
    (lambda x: x.amax(1), lambda x: F.amax_squeeze(x, dims=(1,)), (f(3, 0),)),
    (lambda x: x.max(1), lambda x: F.max_dim(x, dim=1, keepdim=False), (f(3, 0),)),
    (lambda x: x.argmax(1), lambda x: F.argmax_squeeze(x, dims=(1,)), (f(3, 0),)),
    (lambda x: x.mean(), lambda x: F.mean(x, dims=(0,), keepdim=False), (i(1, 2),)),
    (lambda x: x.diagonal(0, 0, 0), lambda x: F.diagonal(x, offset=0, dim1=0, dim2=0), (f(3, 3),)),
    (lambda x: x.split([1, 1]), lambda x: F.split(x, sizes=(1, 1), dim=0), (f(3),)),
    (lambda x: x.softmax(0), lambda x: F.softmax(x, dim=0), (i(1, 2),)),
    (lambda x: x.tril(), lambda x: F.tril(x, diagonal=0), (f(3),)),
    (lambda x: x.unfold(0, 4, 1), lambda x: F.unfold(x, dim=0, size=4, step=1), (f(3),)),
    (lambda x: x.clamp(), lambda x: F.clamp(x, min=None, max=None), (f(3),)),
    (T.nll_loss, nll, (f(3, 5), i(0, 1, 5))),
    (T.nll_loss, nll, (f(3, 5), i(0, 1, -1))),
    (T.nll_loss, nll, (f(3, 5), i(0, 1))),
    (T.nll_loss, nll, (f(3, 5), f(3))),
    (T.nll_loss, nll, (f(3, 5), np.ones(3, np.int32))),
    (T.nll_loss, nll, (f(3, 5), i(0, 1, 2), f(4))),
    (T.nll_loss, nll, (f(2, 3, 4), np.ones((2, 2), int))),
    (T.nll_loss, nll, (f(5), i(1, 2))),
    (T.cross_entropy, entropy, (f(3, 5), i(0, 1, 5))),
    (T.cross_entropy, entropy, (f(3, 5), i(0, 1))),
    (T.cross_entropy, entropy, (np.ones((3, 5), int), i(0, 1, 2))),
    (T.cross_entropy, entropy, (f(2, 5, 3), np.full((2, 3), 7))),
    (T.mse_loss, lambda x, y: F.mse_loss(x, y, reduction="mean"), (f(2, 3), f(2, 4))),
    (T.mse_loss, lambda x, y: F.mse_loss(x, y, reduction="mean"), (i(1), i(2))),
    (
        T.binary_cross_entropy,
        lambda x, y: F.binary_cross_entropy(x, y, reduction="mean"), (2 * f(3), f(3)),
    ),
    (lambda x: T.layer_norm(x, (3,)), lambda x: F.layer_norm(x, shape=(3,), eps=0.1), (f(3, 4),)),
    (
        lambda x, w: T.layer_norm(x, (4,), w),
        lambda x, w: F.layer_norm(x, w, shape=(4,), eps=0.1), (f(3, 4), f(3)),
    ),
    (*conv(), (f(1, 5), f(2, 3, 3, 3))),
    (*conv(), (f(1, 5, 8, 8), f(2, 3, 3, 3))),
    (*conv(), (f(1, 3, 2, 8), f(2, 3, 3, 3))),
    (*conv(), (f(1, 3, 8, 8), f(2, 3, 3, 3), f(3))),
    (*conv(), (f(1, 3, 8, 8), d(2, 3, 3, 3))),
    (*conv(), (f(1, 3, 8, 8), f(2, 3, 3, 3), d(2))),
    (*conv(groups=2), (f(1, 4, 8, 8), f(3, 2, 3, 3))),
    (*conv(groups=2), (f(1, 4, 8, 8), f(4, 4, 3, 3))),
    (*conv(groups=0), (f(1, 3, 8, 8), f(2, 3, 3, 3))),
    (*conv(stride=(0, 0)), (f(1, 3, 8, 8), f(2, 3, 3, 3))),
    (*conv(padding=(-1, -1)), (f(1, 3, 8, 8), f(2, 3, 3, 3))),
    (*conv(dilation=(0, 0)), (f(1, 3, 8, 8), f(2, 3, 3, 3))),
    (*pool(), (f(1, 5),)),
    (*pool(), (f(1, 1, 1, 2),)),
    (*pool(), (f(1, 1, 0, 4),)),
    (*pool(padding=2), (f(1, 1, 4, 4),)),
    (*pool(dilation=0), (f(1, 1, 4, 4),)),
    (lambda x, k: x.gather(1, k), lambda x, k: F.gather(x, k, dim=1), (f(2, 3), i([0, 3], [0, 0]))),
    (lambda x, k: x.gather(1, k), lambda x, k: F.gather(x, k, dim=1), (f(2, 3), i([-1], [0]))),
    (lambda x, k: x.gather(1, k), lambda x, k: F.gather(x, k, dim=1), (f(2, 3), i(0, 1))),
    (lambda x, k: x.gather(1, k), lambda x, k: F.gather(x, k, dim=1), (f(1, 3), i([0], [0]))),
    (
        lambda x, k, y: x.scatter_add(0, k, y),
        lambda x, k, y: F.scatter_add(x, k, y, dim=0), (f(3), i(0, 3), f(2)),
    ),
    (
        lambda x, k, y: x.scatter_add(0, k, y),
        lambda x, k, y: F.scatter_add(x, k, y, dim=0), (f(3), i(0, 1), d(2)),
    ),
    (
        lambda x, k, y: x.scatter_add(0, k, y),
        lambda x, k, y: F.scatter_add(x, k, y, dim=0), (f(3), i(0, 1, 1), f(2)),
    ),
    (
        lambda x, k: x.index_select(0, k), lambda x, k: F.index_select(x, k, dim=0),
        (f(3), i(0, 3)),
    ),
    (
        lambda x, k: x.index_select(0, k), lambda x, k: F.index_select(x, k, dim=0),
        (f(3), i([0, 1])),
    ),
    (
        lambda x, k, y: x.index_add(0, k, y), lambda x, k, y: F.index_add(x, k, y, dim=0),
        (f(3, 2), i(0, 1), f(3, 2)),
    ),
    (
        lambda x, k, y: x.index_add(0, k, y), lambda x, k, y: F.index_add(x, k, y, dim=0),
        (f(3, 2), i(0, 1), d(2, 2)),
    ),
    (lambda w, k: T.embedding(k, w), lambda w, k: F.embedding(w, k, padding_idx=None),
     (f(4, 2), i(0, 4))),
    (lambda w, k: T.embedding(k, w), lambda w, k: F.embedding(w, k, padding_idx=None),
     (f(4), i(0))),
    (lambda x, k: x[k], lambda x, k: F.index(x, k, dims=(0,)), (f(3), i(0, 3))),
    (lambda x, k: x[k], lambda x, k: F.index(x, k, dims=(0,)), (f(3), f(2))),
    (lambda x, k, m: x[k, m], lambda x, k, m: F.index(x, k, m, dims=(0, 1)),
     (f(3, 3), i(0, 1), i(0, 1, 2))),
    (lambda x, k: x.take(k), lambda x, k: F.take(x, k), (f(3), i(0, 3))),
    (lambda x, y, k: x.index_put_((k,), y), lambda x, y, k: F.index_put(
        x, y, k, dims=(0,), accumulate=False), (f(3), d(2), i(0, 1))),
    (lambda x, y, k: x.index_put_((k,), y), lambda x, y, k: F.index_put(
        x, y, k, dims=(0,), accumulate=False), (f(3), f(3), i(0, 1))),
    (lambda x: x.topk(4), lambda x: F.topk(x, k=4, dim=0, largest=True), (f(3),)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_same_error(case: tuple[Any, Any, tuple[Any, ...]]) -> None:
    """The same class and the same first line; ours goes on with the user's line."""
    theirs, ours, operands = case
    with pytest.raises(Exception) as expected:
        theirs(*map(torch.tensor, operands))
    with pytest.raises(expected.type) as actual:
        ours(*map(graphjit.tensor, operands))
    assert str(actual.value).split("\n")[0] == str(expected.value).split("\n")[0]
