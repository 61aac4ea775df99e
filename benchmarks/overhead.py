"""What a call of a traced function costs beside its arithmetic, which is next to none here.

Prints microseconds a call, the best of many rounds in which the functions take turns, beside
`jax.jit` where JAX is installed; and how much longer `import graphjit` takes than `import numpy`.
Run as `python -m benchmarks.overhead`.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import graphjit
from graphjit import nn, optim

Call = Callable[[], Any]
ROUNDS, SECONDS = 15, 0.05


def first(a: Any, b: Any, c: Any, d: Any) -> Any:
    """An empty function of four tensors."""
    return a


def total(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Four elements each, added up."""
    return a + b + c + d


def traced(function: Callable[..., Any], *args: Any) -> Call:
    """A call that is replayed."""
    step = graphjit.trace(function)
    for _ in range(5):
        step(*args)
    assert step.stats()["replays"] == 4, step.explain()
    return lambda: step(*args)


def layers() -> nn.Module:
    """A model of 100 parameters, with one or two numbers each."""
    return nn.Sequential(*[nn.Linear(1, 1) for _ in range(50)])


def forward() -> Call:
    """The forward of that model."""
    model = layers()

    def run(x: Any) -> Any:
        with graphjit.no_grad():
            return model(x)

    return traced(run, graphjit.ones(1, 1))


def training_step() -> Call:
    """Forward, backward, and a step of SGD with momentum."""
    model = layers()
    optimizer = optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = model(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    return traced(step, graphjit.ones(1, 1))


def calls() -> dict[tuple[str, str], Call]:
    """What is measured, by row and column of the table."""
    four = [graphjit.ones(4) for _ in range(4)]
    found: dict[tuple[str, str], Call] = {
        ("4 tensors, empty", "graphjit traced"): traced(first, *four),
        ("4 tensors, added", "graphjit traced"): traced(total, *four),
        ("4 tensors, added", "graphjit"): lambda: total(*four),
        ("100 parameters, forward", "graphjit traced"): forward(),
        ("100 parameters, SGD step", "graphjit traced"): training_step(),
    }
    if importlib.util.find_spec("jax") is not None:
        import jax

        for name, function in (("empty", first), ("added", total)):
            arrays = [jax.numpy.ones(4) for _ in range(4)]
            found[f"4 tensors, {name}", "jax.jit"] = _jitted(jax.jit(function), arrays)
    return found


def _jitted(function: Any, arrays: list[Any]) -> Call:
    return lambda: function(*arrays).block_until_ready()


def microseconds(call: Call) -> float:
    """A call, on average over one round."""
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < SECONDS:
        for _ in range(100):
            call()
        count += 100
    return (time.perf_counter() - begin) / count * 1e6


def import_seconds(package: str) -> float:
    """The fastest of many imports, each in a process of its own, from compiled bytecode."""
    clock = "time.perf_counter()"
    program = f"import time; begin = {clock}; import {package}; print({clock} - begin)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    run = [sys.executable, "-c", program]
    seconds = [
        float(subprocess.run(run, capture_output=True, check=True, env=environment).stdout)
        for _ in range(ROUNDS)
    ]
    return min(seconds)


def main() -> None:
    """Measure, and print the table."""
    measured = calls()
    best = dict.fromkeys(measured, float("inf"))
    for _ in range(ROUNDS):
        for place, call in measured.items():
            best[place] = min(best[place], microseconds(call))
    columns = ["graphjit", "jax.jit", "graphjit traced"]
    print("us a call".ljust(28), *(column.rjust(16) for column in columns))
    for row in dict.fromkeys(row for row, _ in best):
        cells = [best.get((row, column)) for column in columns]
        print(row.ljust(28), *(("" if c is None else f"{c:.2f}").rjust(16) for c in cells))
    above = import_seconds("graphjit") - import_seconds("numpy")
    print(f"import graphjit: {1e3 * above:.0f} ms above import numpy")


if __name__ == "__main__":
    main()
