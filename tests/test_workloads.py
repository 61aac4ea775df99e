"""The ten benchmark workloads, traced: as eager to rounding, nothing left in Python, as PyTorch."""

import re

import numpy as np
import pytest

import graphjit
from benchmarks.contest import TOLERANCE, largest_difference
from benchmarks.peers import build
from benchmarks.workloads import WORKLOADS

STEPS = 5


def results(peer, T, workload):
    runner = build(peer, T, workload)
    batch = [runner.to_tensor(array) for array in WORKLOADS[workload].data()]
    values = [np.ravel(runner.to_array(runner.step(*batch)))[::97] for _ in range(STEPS)]
    return runner.step, [value.tolist() for value in values]


@pytest.mark.parametrize("workload", WORKLOADS)
def test_traced_agrees_with_eager_and_makes_no_host_call(workload):
    _, eager = results("graphjit", graphjit, workload)
    step, traced = results("graphjit_traced", graphjit, workload)
    assert largest_difference(traced, eager) < 1e-4
    calls = re.findall(r"(\d+) host calls", str(step.explain()))
    assert calls and set(calls) == {"0"}


@pytest.mark.parity
@pytest.mark.parametrize("peer", ["graphjit", "graphjit_traced"])
@pytest.mark.parametrize("workload", WORKLOADS)
def test_agrees_with_torch(workload, peer):
    torch = pytest.importorskip("torch")
    _, expected = results("torch", torch, workload)
    _, values = results(peer, graphjit, workload)
    assert largest_difference(values, expected) < TOLERANCE
