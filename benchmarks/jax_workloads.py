"""The ten workloads in JAX: one jitted step with donated state, optimizers from optax.

`build(name)` gives `step(*batch)` as `workloads` does, from the same initial weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import nn

from .workloads import Step, initial_weight

Parameters = dict[str, jax.Array]


def training(shapes: dict[str, tuple[int, ...]], loss: Callable[..., Any], optimizer: Any) -> Step:
    """A step that updates the parameters named in `shapes` by the gradient of `loss`."""
    parameters = {name: jnp.asarray(initial_weight(name, shape)) for name, shape in shapes.items()}
    state = parameters, optimizer.init(parameters)

    @partial(jax.jit, donate_argnums=0)
    def update(state, *batch):
        parameters, moments = state
        value, gradients = jax.value_and_grad(loss)(parameters, *batch)
        updates, moments = optimizer.update(gradients, moments, parameters)
        return (optax.apply_updates(parameters, updates), moments), value

    def step(*batch):
        nonlocal state
        state, value = update(state, *batch)
        return value.block_until_ready()

    return step


def forward(function: Callable[..., jax.Array]) -> Step:
    """A step that only computes `function`."""
    compiled = jax.jit(function)
    return lambda *batch: compiled(*batch).block_until_ready()


def layers(**sizes: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """The shapes of `Linear` layers by PyTorch's parameter names: `layers(fc=(in, out))`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (inputs, outputs) in sizes.items():
        shapes |= {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
    return shapes


def linear(p: Parameters, name: str, x: jax.Array) -> jax.Array:
    return x @ p[name + ".weight"].T + p[name + ".bias"]


def mlp(p: Parameters, x: jax.Array) -> jax.Array:
    """`Sequential(Linear, ReLU, Linear, ...)`, whose linear layers have the even numbers."""
    last = len(p) - 2
    for i in range(0, last, 2):
        x = nn.relu(linear(p, str(i), x))
    return linear(p, str(last), x)


def squared_error(y: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.mean((y - target) ** 2)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def two_layer(optimizer: Any) -> Step:
    shapes = layers(**{"0": (1000, 100), "2": (100, 10)})
    return training(shapes, lambda p, x, y: jnp.sum((mlp(p, x) - y) ** 2), optimizer)


def regress() -> Step:
    shapes = layers(**{"0": (1, 10), "2": (10, 1)})
    return training(shapes, lambda p, x, y: squared_error(mlp(p, x), y), optax.sgd(0.1))


def classify() -> Step:
    shapes = layers(**{"0": (2, 10), "2": (10, 2)})
    return training(shapes, lambda p, x, y: cross_entropy(mlp(p, x), y), optax.sgd(0.02))


def mlp_adam() -> Step:
    shapes = layers(**{"0": (784, 512), "2": (512, 512), "4": (512, 10)})
    return training(shapes, lambda p, x, y: cross_entropy(mlp(p, x), y), optax.adam(1e-4))


def cnn() -> Step:
    shapes = layers(fc1=(9216, 128), fc2=(128, 10)) | {
        "conv1.weight": (32, 1, 3, 3),
        "conv1.bias": (32,),
        "conv2.weight": (64, 32, 3, 3),
        "conv2.bias": (64,),
    }

    def convolve(p, name, x):
        y = jax.lax.conv_general_dilated(x, p[name + ".weight"], (1, 1), "VALID")
        return y + p[name + ".bias"][:, None, None]

    def loss(p, x, labels):
        x = nn.relu(convolve(p, "conv1", x))
        x = nn.relu(convolve(p, "conv2", x))
        window = (1, 1, 2, 2)
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        x = nn.relu(linear(p, "fc1", x.reshape(len(x), -1)))
        logs = nn.log_softmax(linear(p, "fc2", x))
        return -jnp.take_along_axis(logs, labels[:, None], axis=1).mean()

    return training(shapes, loss, optax.adam(1e-4))


def norm_softmax() -> Step:
    def function(x):
        h = nn.gelu(1.5 * x + 0.5, approximate=True)
        h = h - h.mean(-1, keepdims=True)
        h = h / jnp.sqrt((h * h).mean(-1, keepdims=True) + 1e-5)
        return nn.softmax(h, axis=-1)

    return forward(function)


def transformer() -> Step:
    shapes = layers(qkv=(256, 768), proj=(256, 256), up=(256, 1024), down=(1024, 256)) | {
        "norm1.weight": (256,),
        "norm1.bias": (256,),
        "norm2.weight": (256,),
        "norm2.bias": (256,),
    }

    def normalize(p, name, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * p[name + ".weight"] + p[name + ".bias"]

    def attention(p, x):
        batch, length, width = x.shape
        qkv = linear(p, "qkv", x).reshape(batch, length, 3, 4, width // 4)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-2, -1) / (width // 4) ** 0.5
        future = jnp.triu(jnp.ones((length, length), dtype=bool), k=1)
        mixed = nn.softmax(jnp.where(future, -jnp.inf, scores), axis=-1) @ v
        return linear(p, "proj", mixed.transpose(0, 2, 1, 3).reshape(batch, length, width))

    def loss(p, x, y):
        x = x + attention(p, normalize(p, "norm1", x))
        hidden = nn.gelu(linear(p, "up", normalize(p, "norm2", x)), approximate=False)
        return squared_error(x + linear(p, "down", hidden), y)

    return training(shapes, loss, optax.adamw(1e-4, weight_decay=1e-2))


def lstm_cell() -> Step:
    shapes = layers(linear=(51, 1))
    for name, inputs in (("lstm1", 1), ("lstm2", 51)):
        shapes |= {f"{name}.weight_ih": (204, inputs), f"{name}.weight_hh": (204, 51)}
        shapes |= {f"{name}.bias_ih": (204,), f"{name}.bias_hh": (204,)}

    def cell(p, name, x, state):
        h, c = state
        gates = x @ p[name + ".weight_ih"].T + p[name + ".bias_ih"]
        gates += h @ p[name + ".weight_hh"].T + p[name + ".bias_hh"]
        i, f, g, o = jnp.split(gates, 4, axis=1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        return nn.sigmoid(o) * jnp.tanh(c), c

    def loss(p, x, y):
        zeros = jnp.zeros((len(x), 51))

        def step(state, column):
            first = cell(p, "lstm1", column[:, None], state[0])
            second = cell(p, "lstm2", first[0], state[1])
            return (first, second), linear(p, "linear", second[0])

        # A scan, as is usual in JAX: XLA needs a minute for the loop written out.
        _, outputs = jax.lax.scan(step, ((zeros, zeros), (zeros, zeros)), x.T)
        return squared_error(outputs[:, :, 0].T, y)

    return training(shapes, loss, optax.sgd(0.01))


def black_scholes() -> Step:
    rate, volatility = 0.05, 0.2

    def normal_cdf(x):
        return 0.5 + 0.5 * jax.lax.erf(x * 0.5**0.5)

    def function(spot, strike, years):
        spread = volatility * jnp.sqrt(years)
        drift = (rate + 0.5 * volatility**2) * years
        d1 = (jnp.log(spot / strike) + drift) / spread
        discounted = strike * jnp.exp(-rate * years)
        return spot * normal_cdf(d1) - discounted * normal_cdf(d1 - spread)

    return forward(function)


BUILD: dict[str, Callable[[], Step]] = {
    "two_layer_sgd": lambda: two_layer(optax.sgd(1e-6)),
    "two_layer_adam": lambda: two_layer(optax.adam(1e-4)),
    "regress": regress,
    "classify": classify,
    "cnn": cnn,
    "norm_softmax": norm_softmax,
    "transformer": transformer,
    "lstm_cell": lstm_cell,
    "mlp_adam": mlp_adam,
    "black_scholes": black_scholes,
}
