"""What a process has to load and to compile."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

import graphjit
from graphjit import nn, optim
from graphjit.runtime import cache as kernels

PROGRAM = textwrap.dedent(
    """
    import json, sys
    import graphjit
    from graphjit import nn, optim
    loaded = [m for m in ("numba", "llvmlite", "scipy", "cupy", "torch") if m in sys.modules]

    graphjit.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 4)
    )
    optimizer = optim.Adam(model.parameters())

    @graphjit.trace
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = graphjit.randn(5, 1, 8, 8), graphjit.tensor([0, 1, 2, 3, 0])
    losses = [step(x, y).item() for _ in range(4)]
    from graphjit.runtime import cache
    MAKERS = (
        "numba", "graphjit.runtime.language", "graphjit.passes", "graphjit.codegen.assemble"
    )
    print(json.dumps({
        "loaded": loaded, "losses": losses, "compiled": cache.stats().compiled,
        "makers": [m for m in MAKERS if m in sys.modules],
        "stats": step.stats(),
        "kernels": step.kernels(), "ops": [node.op.name for node in step.graph.nodes],
        "told": step.explain(),
    }))
    """
)


def start(cache):
    # Where graphs are verified, every pass is run.
    environment = {**os.environ, "GRAPHJIT_CACHE_DIR": str(cache), "GRAPHJIT_CHECK": "0"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )


def run(cache):
    return json.loads(start(cache).stdout)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def first(cache):
    """What the first process with this cache says."""
    return run(cache)


def test_importing_loads_no_compiler(first):
    assert first["loaded"] == []


def test_a_second_process_neither_compiles_nor_optimises(first, cache):
    second = run(cache)
    assert first["compiled"] > 0 and first["stats"]["host_calls"] == 0
    assert second["compiled"] == 0 and second["makers"] == []
    assert second["losses"] == first["losses"]
    assert second["stats"]["replays"] >= 2


def test_a_second_process_can_tell_all_that_the_first_can(first, cache):
    """The optimised graph is made when it is asked for."""
    second = run(cache)
    assert second["kernels"] == first["kernels"] != {}
    assert second["ops"] == first["ops"] != []
    assert "fuse " in first["told"] and "fuse " in second["told"]


def test_where_no_kernel_can_be_kept_the_results_are_the_same_and_one_warning_says_so(first):
    done = start("/dev/null/cache")
    assert done.stderr.count("Warning") == 1 and "not kept on disk" in done.stderr
    assert json.loads(done.stdout)["losses"] == first["losses"]


class Block(nn.Module):
    """A layer of a transformer, but for its attention."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(24)
        self.up, self.down = nn.Linear(24, 48), nn.Linear(48, 24)

    def forward(self, x):
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


def trainer(*layers):
    """A traced training step of a model."""
    model = nn.Sequential(*layers, nn.Linear(24, 4))
    optimizer = optim.Adam(model.parameters())

    @graphjit.trace
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def train(step, batch):
    for _ in range(2):
        step(graphjit.randn(batch, 24), graphjit.tensor([0, 1, 2, 3] * (batch // 4)))
    assert step.stats()["host_calls"] == 0


def test_twelve_layers_have_the_kernels_of_three():
    train(trainer(*[Block() for _ in range(3)]), 40)
    before = kernels.stats()
    train(trainer(*[Block() for _ in range(12)]), 40)
    assert kernels.stats() == before


def test_another_batch_size_has_the_same_kernels():
    step = trainer(Block(), Block())
    train(step, 400)
    before = kernels.stats()
    for batch in (200, 100, 80, 500):
        train(step, batch)
    assert step.stats()["variants"] == 5
    assert kernels.stats() == before


def test_the_first_function_of_a_process_is_recorded_once():
    """What compiles it was imported meanwhile, and seemed to change graphjit's module."""
    program = textwrap.dedent(
        """
        import graphjit
        weight = graphjit.ones(3, requires_grad=True)
        step = graphjit.trace(lambda x: graphjit.tanh(x * weight))
        for _ in range(3):
            step(graphjit.ones(3))
        print(len(step.attempts), step.stats()["replays"])
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "GRAPHJIT_BACKEND": "interp"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["1", "2"]
