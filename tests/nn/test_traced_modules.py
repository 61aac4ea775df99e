"""Modules inside traced training steps: state, random numbers and modes as in eager steps."""

import numpy as np
import pytest

import graphjit
from graphjit import config, nn, optim
from graphjit.nn import functional as F


@pytest.fixture(autouse=True)
def interpreted():
    """Graphs are interpreted: what is tested is what was recorded, not the kernels."""
    before = config.override("BACKEND", "interp")
    yield
    config.override("BACKEND", before)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(4, 12)
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        return x + F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Recurrent(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        state = None
        for part in x.unbind(1):
            state = self.cell(part, state)
        return self.out(state[0] if isinstance(state, tuple) else state)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 3, padding_idx=2)

    def forward(self, x):
        return self.table((x.detach() * 3).round().long() % 7)


MODELS = {
    "linear": (lambda: nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 2)), (6, 4)),
    "batch norm": (lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU()), (6, 4)),
    "batch norm over all": (lambda: nn.BatchNorm1d(4, momentum=None), (6, 4)),
    "instance norm": (lambda: nn.InstanceNorm1d(3, affine=True, track_running_stats=True),
                      (2, 3, 5)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3)),
    "dropout": (lambda: nn.Sequential(nn.Linear(4, 9), nn.Dropout(0.4)), (6, 4)),
    "dropout of channels": (lambda: nn.Sequential(nn.Conv2d(1, 4, 1), nn.Dropout2d(0.4)),
                            (2, 1, 3, 3)),
    "in place": (lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True)), (6, 4)),
    "images": (lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(2, 3, 2, padding="same", padding_mode="reflect"), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(3, 2)), (2, 1, 6, 6)),
    "attention": (Attention, (2, 5, 4)),
    "embedding": (Words, (4, 5)),
    "rnn": (lambda: Recurrent(nn.RNNCell(2, 3)), (4, 6, 2)),
    "gru": (lambda: Recurrent(nn.GRUCell(2, 3)), (4, 6, 2)),
    "lstm": (lambda: Recurrent(nn.LSTMCell(2, 3)), (4, 6, 2)),
    "module list": (lambda: nn.Sequential(*nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])),
                    (6, 4)),
}  # fmt: skip


class Training:
    def __init__(self, name, traced):
        make, shape = MODELS[name]
        graphjit.manual_seed(0)
        self.model = make()
        self.x = graphjit.randn(*shape)
        model, optimizer = self.model, optim.SGD(self.model.parameters(), lr=0.02)

        def step(x):
            optimizer.zero_grad()
            loss = (model(x) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        self.step = graphjit.trace(step) if traced else step

    def run(self, steps):
        graphjit.manual_seed(1)
        losses = [self.step(self.x).item() for _ in range(steps)]
        return [*losses, *(t.numpy().copy() for t in self.model.state_dict().values())]


def _assert_equal_after(eager, traced, steps=4):
    for expected, found in zip(eager.run(steps), traced.run(steps), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_traced_steps_are_eager_steps(name):
    eager, traced = Training(name, False), Training(name, True)
    _assert_equal_after(eager, traced)
    assert len(traced.step.attempts) == 1
    for training in (eager, traced):
        training.model.eval()
    _assert_equal_after(eager, traced, 2)
    for training in (eager, traced):
        training.model.train()
    _assert_equal_after(eager, traced, 2)


def _replace_layer(model):
    graphjit.manual_seed(5)
    model[2] = nn.Linear(5, 3)


def _append(model):
    model.append(nn.Tanh())


def _activation(model):
    model[1] = nn.ReLU()


def _option(model):
    model[1].approximate = "tanh"


def _load(model):
    model.load_state_dict({k: v * 0.5 for k, v in model.state_dict().items()})


def _tie(model):
    model[0].bias = nn.Parameter(graphjit.zeros(5))


def _freeze(model):
    model[0].weight.requires_grad_(False)


@pytest.mark.parametrize("change", [
    _replace_layer, _append, _activation, _option, _load, _tie, _freeze,
])  # fmt: skip
def test_a_replay_sees_what_changed_in_the_model(change):
    eager, traced = Training("linear", False), Training("linear", True)
    for training in (eager, traced):
        training.run(3)
        change(training.model)
    _assert_equal_after(eager, traced)
