"""Functions of `nn.functional` that modules do not reach, and formulas written out in NumPy."""

import warnings

import numpy as np
import pytest

import graphjit
from graphjit.nn import functional as F

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4)).astype(np.float32)
Y = RNG.standard_normal((3, 4)).astype(np.float32)
LABELS = np.array([1, 0, 3])


def tensor(array):
    return graphjit.from_numpy(np.ascontiguousarray(array))


def close(found, expected, tolerance=1e-6):
    np.testing.assert_allclose(found.numpy(), expected, rtol=tolerance, atol=tolerance)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


# --- formulas -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "formula"), [
    ("relu", lambda x: np.maximum(x, 0)), ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    ("tanh", np.tanh), ("silu", lambda x: x / (1 + np.exp(-x))),
    ("softplus", lambda x: np.log1p(np.exp(x))), ("relu6", lambda x: np.clip(x, 0, 6)),
    ("logsigmoid", lambda x: -np.log1p(np.exp(-x))), ("softsign", lambda x: x / (1 + abs(x))),
    ("elu", lambda x: np.where(x > 0, x, np.expm1(x))), ("tanhshrink", lambda x: x - np.tanh(x)),
    ("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x)),
    ("hardshrink", lambda x: np.where(abs(x) > 0.5, x, 0)),
    ("softshrink", lambda x: np.sign(x) * np.maximum(abs(x) - 0.5, 0)),
    ("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6),
])  # fmt: skip
def test_activation_formulas(name, formula):
    close(getattr(F, name)(tensor(X)), formula(X))


def test_activations_in_place():
    x = tensor(X.copy())
    assert F.relu_(x) is x and F.relu(x, inplace=True) is x
    close(x, np.maximum(X, 0))


def test_linear_formula():
    w, b = Y[:2], np.array([1.0, -1.0], np.float32)
    close(F.linear(tensor(X), tensor(w), tensor(b)), X @ w.T + b)


def test_convolution_formula():
    x = RNG.standard_normal((2, 3, 5, 6)).astype(np.float32)
    w = RNG.standard_normal((4, 3, 2, 3)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 3), (2, 3))
    expected = np.einsum("ncijkl,ockl->noij", windows, w)
    close(F.conv2d(tensor(x), tensor(w)), expected, 1e-5)
    close(F.conv2d(tensor(x), tensor(w), stride=2), expected[:, :, ::2, ::2], 1e-5)


def test_pooling_formula():
    x = RNG.standard_normal((2, 3, 6, 4)).astype(np.float32)
    blocks = x.reshape(2, 3, 3, 2, 2, 2)
    close(F.max_pool2d(tensor(x), 2), blocks.max((3, 5)))
    close(F.avg_pool2d(tensor(x), 2), blocks.mean((3, 5)))
    close(F.adaptive_avg_pool2d(tensor(x), 1), x.mean((2, 3), keepdims=True))


def test_loss_formulas():
    log_p = np.log(softmax(X))
    picked = -log_p[np.arange(3), LABELS]
    close(F.cross_entropy(tensor(X), tensor(LABELS)), picked.mean())
    close(F.nll_loss(tensor(log_p), tensor(LABELS), reduction="sum"), picked.sum())
    close(F.mse_loss(tensor(X), tensor(Y)), ((X - Y) ** 2).mean())
    close(F.l1_loss(tensor(X), tensor(Y), reduction="none"), abs(X - Y))
    p = softmax(Y)
    close(F.kl_div(tensor(log_p), tensor(p), reduction="sum"), (p * (np.log(p) - log_p)).sum())


def test_normalisation_formulas():
    mean, var = X.mean(1, keepdims=True), X.var(1, keepdims=True)
    close(F.layer_norm(tensor(X), (4,)), (X - mean) / np.sqrt(var + 1e-5))
    norms = np.sqrt((X**2).sum(1, keepdims=True))
    close(F.normalize(tensor(X)), X / norms)


def test_batch_norm_moves_its_statistics():
    mean, var = tensor(np.zeros(4, np.float32)), tensor(np.ones(4, np.float32))
    y = F.batch_norm(tensor(X), mean, var, training=True, momentum=0.25)
    close(y, (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-5), 1e-5)
    close(mean, 0.25 * X.mean(0))
    close(var, 0.75 + 0.25 * X.var(0, ddof=1), 1e-5)


def test_attention_formula():
    q, k, v = (RNG.standard_normal((2, 5, 4)).astype(np.float32) for _ in range(3))
    scores = q @ k.swapaxes(1, 2) / 2
    tensors = [tensor(a) for a in (q, k, v)]
    close(F.scaled_dot_product_attention(*tensors), softmax(scores) @ v)
    causal = np.where(np.tril(np.ones((5, 5), bool)), scores, -np.inf)
    close(F.scaled_dot_product_attention(*tensors, is_causal=True), softmax(causal) @ v)


def test_embedding_and_one_hot():
    close(F.embedding(tensor(LABELS), tensor(Y.T)), Y.T[LABELS])
    assert F.one_hot(tensor(LABELS)).tolist() == np.eye(4, dtype=int)[LABELS].tolist()
    assert F.one_hot(tensor(LABELS), 6).shape == (3, 6)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_dropout(p):
    graphjit.manual_seed(0)
    x = graphjit.ones(20000, requires_grad=True)
    y = F.dropout(x, p)
    kept = y.detach().numpy() != 0
    assert abs(kept.mean() - (1 - p)) < 0.02
    if p < 1:
        np.testing.assert_allclose(y.detach().numpy()[kept], 1 / (1 - p), rtol=1e-6)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy() != 0, kept)


def test_dropout_off():
    x = tensor(X)
    assert F.dropout(x, 0.5, training=False) is x
    graphjit.manual_seed(1)
    whole = F.dropout2d(graphjit.ones(4, 8, 3, 3), 0.5).numpy()
    assert set(np.unique(whole)) == {0.0, 2.0}
    assert (whole == whole[:, :, :1, :1]).all()


# --- against PyTorch ----------------------------------------------------------------------------


def same(run):
    torch = pytest.importorskip("torch")
    found = []
    for library in (graphjit, torch):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                result = run(library, library.nn.functional, library.from_numpy)
            except Exception as error:  # noqa: BLE001  (whatever it is, it is compared)
                text = str(error).split("\n  in ")[0].replace("graphjit.", "torch.")
                found.append((type(error), text))
                continue
        results = result if isinstance(result, tuple) else (result,)
        found.append([r.detach().numpy() for r in results])
    if isinstance(found[1], list) and isinstance(found[0], list):
        for a, b in zip(*found, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    else:
        assert found[0] == found[1]


IMAGE = RNG.standard_normal((2, 3, 6, 7)).astype(np.float32)
WEIGHT = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
MASK = np.tri(3, dtype=bool)
HEADS = RNG.standard_normal((2, 4, 3, 5)).astype(np.float32)


@pytest.mark.parity
@pytest.mark.parametrize(
    "run",
    [
        lambda lib, F, t: F.pad(t(X), (1, 2)),
        lambda lib, F, t: F.pad(t(X), (1, 2, 0, 1), value=3.0),
        lambda lib, F, t: F.pad(t(X), (-1, -1)),
        lambda lib, F, t: F.pad(t(X), (1,)),
        lambda lib, F, t: F.pad(t(X), (1,) * 6),
        lambda lib, F, t: F.pad(t(X), (1, 1), "nonsense"),
        lambda lib, F, t: F.pad(t(IMAGE), (1, 2, 2, 1), "reflect"),
        lambda lib, F, t: F.pad(t(IMAGE), (1, 2, 2, 1), "circular"),
        lambda lib, F, t: F.normalize(t(X), dim=0),
        lambda lib, F, t: F.normalize(t(X), p=1),
        lambda lib, F, t: F.softmax(t(X)),
        lambda lib, F, t: F.softmax(t(X), -1, dtype=lib.float64),
        lambda lib, F, t: F.log_softmax(t(X), 0),
        lambda lib, F, t: F.softmax(t(X), 5),
        lambda lib, F, t: F.glu(t(X)),
        lambda lib, F, t: F.glu(t(X[:, :3])),
        lambda lib, F, t: F.gelu(t(X), approximate="nonsense"),
        lambda lib, F, t: F.hardtanh(t(X), 1, -1),
        lambda lib, F, t: F.threshold(t(X), 0.1, 5),
        lambda lib, F, t: F.softshrink(t(X), -1),
        lambda lib, F, t: F.prelu(t(X), t(X[0, :2])),
        lambda lib, F, t: F.conv2d(t(IMAGE), t(WEIGHT), t(X[0]), padding="same"),
        lambda lib, F, t: F.conv2d(t(IMAGE), t(WEIGHT), stride=2, padding="same"),
        lambda lib, F, t: F.conv2d(t(X), t(WEIGHT)),
        lambda lib, F, t: F.conv2d(t(IMAGE), t(WEIGHT[:, :2])),
        lambda lib, F, t: F.conv_transpose2d(t(IMAGE[:, :, :3]), t(WEIGHT[:3]), stride=2),
        lambda lib, F, t: F.max_pool2d(t(IMAGE), 2, return_indices=True),
        lambda lib, F, t: F.max_pool2d(t(IMAGE), 3, 2, 1, 2, return_indices=True),
        lambda lib, F, t: F.max_pool1d(t(IMAGE[0]), 2, return_indices=True),
        lambda lib, F, t: F.max_pool2d(t(IMAGE), 2, padding=2),
        lambda lib, F, t: F.max_pool2d(t(IMAGE), 9),
        lambda lib, F, t: F.avg_pool2d(t(IMAGE), 2, divisor_override=3),
        lambda lib, F, t: F.avg_pool2d(t(IMAGE), 2, divisor_override=0),
        lambda lib, F, t: F.layer_norm(t(X), (3,)),
        lambda lib, F, t: F.rms_norm(t(X), (4,)),
        lambda lib, F, t: F.batch_norm(t(X[:1]), None, None, training=True),
        lambda lib, F, t: F.group_norm(t(X), 3),
        lambda lib, F, t: F.group_norm(t(X[0]), 2),
        lambda lib, F, t: F.dropout(t(X), 2),
        lambda lib, F, t: F.dropout(t(X), -0.1, False),
        lambda lib, F, t: F.one_hot(t(LABELS), 2),
        lambda lib, F, t: F.one_hot(t(X)),
        lambda lib, F, t: F.one_hot(t(LABELS.reshape(1, 3)), 5),
        lambda lib, F, t: F.one_hot(t(-LABELS), 5),
        lambda lib, F, t: F.embedding(t(LABELS), t(Y.T.copy()), padding_idx=9),
        lambda lib, F, t: F.embedding(t(LABELS), t(Y.T.copy()), max_norm=1.0),
        lambda lib, F, t: F.embedding(t(LABELS), t(Y.copy())),
        lambda lib, F, t: F.embedding_bag(t(LABELS.reshape(1, 3)), t(Y.T.copy())),
        lambda lib, F, t: F.embedding_bag(
            t(LABELS), t(Y.T.copy()), t(np.array([0, 2])), mode="sum"
        ),
        lambda lib, F, t: F.cosine_similarity(t(X), t(Y), 0),
        lambda lib, F, t: F.pairwise_distance(t(X), t(Y), keepdim=True),
        lambda lib, F, t: F.pdist(t(X)),
        lambda lib, F, t: F.pixel_shuffle(t(IMAGE), 2),
        lambda lib, F, t: F.mse_loss(t(X), t(Y[:, :1])),
        lambda lib, F, t: F.mse_loss(t(X), t(Y), reduction="no"),
        lambda lib, F, t: F.mse_loss(t(X), t(Y), weight=t(X * X)),
        lambda lib, F, t: F.l1_loss(t(X), t(Y), reduction="sum", weight=t(X * X)),
        lambda lib, F, t: F.mse_loss(t(X), t(Y), size_average=False),
        lambda lib, F, t: F.l1_loss(t(X), t(Y), reduce=False),
        lambda lib, F, t: F.huber_loss(t(X), t(Y), delta=-1),
        lambda lib, F, t: F.smooth_l1_loss(t(X), t(Y), beta=0.0),
        lambda lib, F, t: F.smooth_l1_loss(t(X), t(Y), beta=-1.0),
        lambda lib, F, t: F.cross_entropy(t(X), t(LABELS), weight=t(abs(Y[0]))),
        lambda lib, F, t: F.cross_entropy(
            t(X), t(LABELS), weight=t(abs(Y[0])), label_smoothing=0.1
        ),
        lambda lib, F, t: F.cross_entropy(t(X[0]), t(np.array(1))),
        lambda lib, F, t: F.cross_entropy(t(X), t(LABELS[:2])),
        lambda lib, F, t: F.cross_entropy(t(X), t(LABELS + 3)),
        lambda lib, F, t: F.cross_entropy(t(X), t(LABELS.astype(np.int32))),
        lambda lib, F, t: F.nll_loss(t(X), t(LABELS), t(Y[0]), reduction="sum"),
        lambda lib, F, t: F.binary_cross_entropy(t(X), t(abs(Y) / 9)),
        lambda lib, F, t: F.binary_cross_entropy(t(X), t(Y[0])),
        lambda lib, F, t: F.binary_cross_entropy_with_logits(
            t(X), t(abs(Y)), t(X), pos_weight=t(abs(Y[0]))
        ),
        lambda lib, F, t: F.binary_cross_entropy_with_logits(
            t(X), t(abs(Y)), pos_weight=t(abs(Y[0]))
        ),
        lambda lib, F, t: F.binary_cross_entropy_with_logits(t(X), t(Y[0])),
        lambda lib, F, t: F.kl_div(t(X), t(abs(Y))),
        lambda lib, F, t: F.margin_ranking_loss(t(X), t(Y), t(Y[0])),
        lambda lib, F, t: F.scaled_dot_product_attention(t(HEADS), t(HEADS), t(HEADS), t(MASK)),
        lambda lib, F, t: F.scaled_dot_product_attention(
            t(HEADS), t(HEADS), t(HEADS), t(X[:, :3].copy())
        ),
        lambda lib, F, t: F.scaled_dot_product_attention(
            t(HEADS), t(HEADS), t(HEADS), scale=0.3, is_causal=True
        ),
        lambda lib, F, t: F.scaled_dot_product_attention(
            t(HEADS), t(HEADS), t(HEADS), t(np.eye(3, k=1, dtype=bool))  # nothing in the last row
        ),
        lambda lib, F, t: F.scaled_dot_product_attention(
            t(HEADS), t(HEADS), t(HEADS), t(np.where(np.eye(3, k=-1), 0, -np.inf).astype("f"))
        ),
        lambda lib, F, t: F.scaled_dot_product_attention(
            t(HEADS), t(HEADS[:, :2].copy()), t(HEADS[:, :2].copy()), enable_gqa=True
        ),
    ],
)
def test_like_pytorch(run):
    same(run)
