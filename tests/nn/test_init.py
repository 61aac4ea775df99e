"""Initialisation: distributions, gains, errors, and the defaults of layers."""

import math

import numpy as np
import pytest

import graphjit
from graphjit import nn
from graphjit.nn import init

SHAPE = (300, 200)


@pytest.fixture(autouse=True)
def seeded():
    graphjit.manual_seed(0)


def _filled(fill, shape=SHAPE):
    tensor = graphjit.empty(*shape)
    assert fill(tensor) is tensor
    return tensor.numpy()


@pytest.mark.parametrize(("fill", "bound"), [
    (lambda t: init.uniform_(t, -0.5, 0.5), 0.5),
    (lambda t: init.xavier_uniform_(t, gain=2.0), 2 * math.sqrt(6 / 500)),
    (lambda t: init.kaiming_uniform_(t, nonlinearity="relu"), math.sqrt(6 / 200)),
    (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / math.sqrt(200)),
    (lambda t: init.kaiming_uniform_(t, mode="fan_out", nonlinearity="linear"),
     math.sqrt(3 / 300)),
])  # fmt: skip
def test_uniform_kinds(fill, bound):
    values = _filled(fill)
    assert abs(values).max() <= bound and abs(values).max() > 0.99 * bound
    assert abs(values.mean()) < 0.02 * bound
    np.testing.assert_allclose(values.std(), bound / math.sqrt(3), rtol=0.02)


@pytest.mark.parametrize(("fill", "mean", "std"), [
    (lambda t: init.normal_(t, 1.0, 2.0), 1.0, 2.0),
    (lambda t: init.xavier_normal_(t), 0.0, math.sqrt(2 / 500)),
    (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"), 0.0,
     math.sqrt(2 / 300)),
])  # fmt: skip
def test_normal_kinds(fill, mean, std):
    values = _filled(fill)
    np.testing.assert_allclose(values.mean(), mean, atol=0.02 * std)
    np.testing.assert_allclose(values.std(), std, rtol=0.02)
    assert abs((values - mean) / std).max() > 3.5


def test_truncated_normal():
    values = _filled(lambda t: init.trunc_normal_(t, std=1.0, a=-1, b=1.5))
    assert values.min() >= -1 and values.max() <= 1.5
    assert 0.08 < values.mean() < 0.2
    with pytest.warns(UserWarning, match="more than 2 std"):
        init.trunc_normal_(graphjit.empty(3), mean=9.0)


def test_constants():
    assert (_filled(lambda t: init.constant_(t, 3.0)) == 3).all()
    assert (_filled(init.ones_) == 1).all() and (_filled(init.zeros_) == 0).all()
    assert (_filled(init.eye_) == np.eye(*SHAPE)).all()


@pytest.mark.parametrize("shape", [(5, 5), (4, 9), (9, 4), (4, 3, 3)])
def test_orthogonal(shape):
    values = _filled(lambda t: init.orthogonal_(t, gain=2.0), shape).reshape(shape[0], -1)
    product = values @ values.T if values.shape[0] <= values.shape[1] else values.T @ values
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-5)


def test_sparse():
    values = _filled(lambda t: init.sparse_(t, 0.25))
    assert ((values == 0).sum(0) == 75).all()
    np.testing.assert_allclose(values[values != 0].std(), 0.01, rtol=0.05)


@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_passes_channels_on(groups):
    weight = init.dirac_(graphjit.empty(4, 4 // groups, 3, 3), groups)
    x = graphjit.randn(2, 4, 5, 5)
    assert graphjit.equal(nn.functional.conv2d(x, weight, padding=1, groups=groups), x)


def test_old_names_warn():
    with pytest.warns(FutureWarning, match=r"`nn.init.uniform` is now deprecated in favor of"):
        init.uniform(graphjit.empty(2))


@pytest.mark.parametrize(("name", "gain"), [
    ("linear", 1), ("conv2d", 1), ("sigmoid", 1), ("tanh", 5 / 3), ("relu", math.sqrt(2)),
    ("leaky_relu", math.sqrt(2 / 1.0001)), ("selu", 0.75),
])  # fmt: skip
def test_gains(name, gain):
    assert init.calculate_gain(name) == gain


@pytest.mark.parametrize(("call", "message"), [
    (lambda: init.calculate_gain("x"), "Unsupported nonlinearity x"),
    (lambda: init.calculate_gain("leaky_relu", "x"), "negative_slope x not a valid number"),
    (lambda: init.xavier_uniform_(graphjit.empty(3)), "fewer than 2 dimensions"),
    (lambda: init.kaiming_normal_(graphjit.empty(3, 3), mode="x"), "Mode x not supported"),
    (lambda: init.eye_(graphjit.empty(3)), "Only tensors with 2 dimensions"),
    (lambda: init.orthogonal_(graphjit.empty(3)), "2 or more dimensions"),
    (lambda: init.dirac_(graphjit.empty(3)), "3, 4, or 5 dimensions"),
])  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("layer", "bound"), [
    (lambda: nn.Linear(64, 128), 1 / 8), (lambda: nn.Conv2d(16, 32, 2), 1 / 8),
    (lambda: nn.LSTMCell(10, 64), 1 / 8), (lambda: nn.Bilinear(64, 8, 9), 1 / 8),
])  # fmt: skip
def test_defaults_of_layers(layer, bound):
    for parameter in layer().parameters():
        values = parameter.detach().numpy()
        assert abs(values).max() <= bound
        np.testing.assert_allclose(values.std(), bound / math.sqrt(3), rtol=0.2)


def test_defaults_of_embeddings():
    layer = nn.Embedding(500, 40, padding_idx=3)
    values = layer.weight.detach().numpy()
    assert (values[3] == 0).all()
    np.testing.assert_allclose(values.std(), 1, rtol=0.05)


def test_parameters_stay_parameters():
    weight = nn.Linear(3, 3).weight
    assert init.ones_(weight) is weight and weight.requires_grad and weight.is_leaf


def test_parameters_as_a_vector():
    layer = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    assert vector.tolist() == [*layer.weight.flatten().tolist(), *layer.bias.tolist()]
    nn.utils.vector_to_parameters(graphjit.arange(9.0), layer.parameters())
    assert layer.weight.tolist() == [[0, 1], [2, 3], [4, 5]] and layer.bias.tolist() == [6, 7, 8]
