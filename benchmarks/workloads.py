"""The ten workloads, each written once against a namespace `T` with PyTorch's names.

Data and initial weights are NumPy arrays made from fixed seeds, so that every peer starts from the
same numbers. `WORKLOADS[name].build(T)` gives `step(*batch)`, which returns the loss (or, for the
two workloads that only run forward, the output).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]
Step = Callable[..., Any]


@dataclass(frozen=True)
class Workload:
    """`data()` makes one batch, its first axis the samples; `build(T)` makes the step."""

    data: Callable[[], Arrays]
    build: Callable[[Any], Step]


def initial_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The starting value of a parameter: uniform, scaled by its fan-in; norms are close to 1."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).uniform(-1, 1, shape)
    if "norm" in name:
        return (float(name.endswith("weight")) + 0.1 * noise).astype(np.float32)
    bound = 1 / sqrt(prod(shape[1:])) if len(shape) > 1 else 0.05
    return (bound * noise).astype(np.float32)


def normal(seed: int, *shape: int) -> np.ndarray:
    """Standard normal float32 numbers."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def classes(seed: int, samples: int, count: int) -> np.ndarray:
    """Random labels below `count`."""
    return np.random.default_rng(seed).integers(0, count, samples)


def training(T: Any, model: Any, criterion: Any, optimizer: Any) -> Step:
    """A full training step of `model`, whose parameters get their initial weights here."""
    with T.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(T.from_numpy(initial_weight(name, tuple(parameter.shape))))

    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def two_layer_model(T: Any) -> Any:
    nn = T.nn
    return nn.Sequential(nn.Linear(1000, 100), nn.ReLU(), nn.Linear(100, 10))


def two_layer_data() -> Arrays:
    return normal(0, 64, 1000), normal(1, 64, 10)


def two_layer_sgd(T: Any) -> Step:
    model = two_layer_model(T)
    optimizer = T.optim.SGD(model.parameters(), lr=1e-6)
    return training(T, model, T.nn.MSELoss(reduction="sum"), optimizer)


def two_layer_adam(T: Any) -> Step:
    model = two_layer_model(T)
    optimizer = T.optim.Adam(model.parameters(), lr=1e-4)
    return training(T, model, T.nn.MSELoss(reduction="sum"), optimizer)


def regress_data() -> Arrays:
    x = np.linspace(-1, 1, 100, dtype=np.float32)[:, None]
    x = np.random.default_rng(2).permutation(x)
    return x, x**2


def regress(T: Any) -> Step:
    nn = T.nn
    model = nn.Sequential(nn.Linear(1, 10), nn.ReLU(), nn.Linear(10, 1))
    return training(T, model, nn.MSELoss(), T.optim.SGD(model.parameters(), lr=0.1))


def classify_data() -> Arrays:
    labels = np.arange(200) % 2
    return normal(3, 200, 2) + (4 * labels[:, None] - 2).astype(np.float32), labels


def classify(T: Any) -> Step:
    nn = T.nn
    model = nn.Sequential(nn.Linear(2, 10), nn.ReLU(), nn.Linear(10, 2))
    return training(T, model, nn.CrossEntropyLoss(), T.optim.SGD(model.parameters(), lr=0.02))


def cnn_data() -> Arrays:
    return normal(4, 64, 1, 28, 28), classes(5, 64, 10)


def cnn(T: Any) -> Step:
    nn, F = T.nn, T.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 32, 3)
            self.conv2 = nn.Conv2d(32, 64, 3)
            self.fc1 = nn.Linear(9216, 128)
            self.fc2 = nn.Linear(128, 10)

        def forward(self, x):
            x = F.relu(self.conv1(x))
            x = F.relu(self.conv2(x))
            x = T.flatten(F.max_pool2d(x, 2), 1)
            x = F.relu(self.fc1(x))
            return F.log_softmax(self.fc2(x), dim=1)

    model = Net()
    return training(T, model, nn.NLLLoss(), T.optim.Adam(model.parameters(), lr=1e-4))


def norm_softmax_data() -> Arrays:
    return (normal(6, 1024, 1024),)


def norm_softmax(T: Any) -> Step:
    F = T.nn.functional

    def step(x):
        with T.no_grad():
            h = F.gelu(1.5 * x + 0.5, approximate="tanh")
            h = h - h.mean(-1, keepdim=True)
            h = h / T.sqrt((h * h).mean(-1, keepdim=True) + 1e-5)
            return T.softmax(h, dim=-1)

    return step


def transformer_data() -> Arrays:
    return normal(7, 8, 128, 256), normal(8, 8, 128, 256)


def transformer(T: Any) -> Step:
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, width, heads, length):
            super().__init__()
            self.heads = heads
            self.norm1 = nn.LayerNorm(width)
            self.qkv = nn.Linear(width, 3 * width)
            self.proj = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width)
            self.up = nn.Linear(width, 4 * width)
            self.down = nn.Linear(4 * width, width)
            future = np.triu(np.ones((length, length), dtype=bool), k=1)
            self.register_buffer("future", T.from_numpy(future))

        def attention(self, x):
            batch, length, width = x.shape
            qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
            scores = scores.masked_fill(self.future, float("-inf"))
            mixed = F.softmax(scores, dim=-1) @ v
            return self.proj(mixed.transpose(1, 2).reshape(batch, length, width))

        def forward(self, x):
            x = x + self.attention(self.norm1(x))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    model = Block(256, 4, 128)
    return training(T, model, nn.MSELoss(), T.optim.AdamW(model.parameters(), lr=1e-4))


def lstm_cell_data() -> Arrays:
    phase = np.random.default_rng(9).uniform(0, 6, (97, 1))
    wave = np.sin(phase + np.arange(51) / 4).astype(np.float32)
    return wave[:, :-1].copy(), wave[:, 1:].copy()


def lstm_cell(T: Any) -> Step:
    nn = T.nn

    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm1 = nn.LSTMCell(1, 51)
            self.lstm2 = nn.LSTMCell(51, 51)
            self.linear = nn.Linear(51, 1)

        def forward(self, x):
            h1 = c1 = h2 = c2 = T.zeros(x.shape[0], 51)
            outputs = []
            for t in range(x.shape[1]):
                h1, c1 = self.lstm1(x[:, t : t + 1], (h1, c1))
                h2, c2 = self.lstm2(h1, (h2, c2))
                outputs.append(self.linear(h2))
            return T.cat(outputs, dim=1)

    model = Sequence()
    return training(T, model, nn.MSELoss(), T.optim.SGD(model.parameters(), lr=0.01))


def mlp_adam_data() -> Arrays:
    return normal(10, 128, 784), classes(11, 128, 10)


def mlp_adam(T: Any) -> Step:
    nn = T.nn
    model = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )
    return training(T, model, nn.CrossEntropyLoss(), T.optim.Adam(model.parameters(), lr=1e-4))


def black_scholes_data() -> Arrays:
    rng = np.random.default_rng(12)
    spot, strike, years = (
        rng.uniform(low, high, 2**20).astype(np.float32)
        for low, high in ((5, 30), (1, 100), (0.25, 10))
    )
    return spot, strike, years


def black_scholes(T: Any) -> Step:
    rate, volatility = 0.05, 0.2

    def normal_cdf(x):
        return 0.5 + 0.5 * T.erf(x * 0.5**0.5)

    def step(spot, strike, years):
        with T.no_grad():
            spread = volatility * T.sqrt(years)
            drift = (rate + 0.5 * volatility**2) * years
            d1 = (T.log(spot / strike) + drift) / spread
            discounted = strike * T.exp(-rate * years)
            return spot * normal_cdf(d1) - discounted * normal_cdf(d1 - spread)

    return step


WORKLOADS = {
    "two_layer_sgd": Workload(two_layer_data, two_layer_sgd),
    "two_layer_adam": Workload(two_layer_data, two_layer_adam),
    "regress": Workload(regress_data, regress),
    "classify": Workload(classify_data, classify),
    "cnn": Workload(cnn_data, cnn),
    "norm_softmax": Workload(norm_softmax_data, norm_softmax),
    "transformer": Workload(transformer_data, transformer),
    "lstm_cell": Workload(lstm_cell_data, lstm_cell),
    "mlp_adam": Workload(mlp_adam_data, mlp_adam),
    "black_scholes": Workload(black_scholes_data, black_scholes),
}
