"""Threads and processes

Traced functions may be called from any thread, by forked and by spawned processes, by one another
and by themselves.
"""

import multiprocessing
import os
import subprocess
import sys
import threading

import pytest

import graphjit as gj
from graphjit import nn, optim

from .harness import traced, trap


def in_threads(count, work):
    """Run `work(number)` in threads that start together; re-raises what one of them raised."""
    errors, barrier = [], threading.Barrier(count)

    def run(number):
        try:
            barrier.wait()
            work(number)
        except BaseException as error:  # noqa: BLE001  (raised again below)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_eight_threads_that_call_one_function(kernels):
    """Eight threads that call one traced function, its first call included, all get their own."""
    weight = gj.arange(64.0)
    function = gj.trace(lambda x: (x * weight).tanh().sum() + x)

    def work(number):
        for call in range(100):
            x = gj.full((64,), number + call / 100)
            expected = (x * weight).tanh().sum() + x
            assert gj.allclose(function(x), expected, 1e-5)

    in_threads(8, work)  # those that come while the first call is compiled run eagerly
    before = function.stats()["replays"]
    in_threads(8, work)
    assert function.stats()["variants"] == 1
    assert function.stats()["replays"] - before >= 790


def test_eight_threads_that_add_to_one_tensor(kernels):
    """Updates of one tensor by eight threads are all made, none is lost or made twice."""
    total = gj.zeros(1000)
    function = gj.trace(lambda x: total.add_(x).shape[0])

    def work(number):
        for _ in range(100):
            function(gj.ones(1000))

    work(0)
    in_threads(8, work)
    assert set(total.tolist()) == {900.0}


def test_threads_that_train_models_of_their_own(kernels):
    """Eight threads that train a model each, by traced steps, train it as one thread would."""

    def train(seed, trace):
        weight = gj.full((4,), 1.0 + seed, requires_grad=True)
        optimizer = optim.Adam([weight], lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = (weight * x).pow(2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        step = trace(step)
        for call in range(20):
            step(gj.sin(gj.arange(4.0) + call))
        return weight.detach()

    results = {}
    in_threads(8, lambda n: results.update({n: train(n, gj.trace)}))
    for number, found in results.items():
        assert gj.allclose(found, train(number, lambda f: f), 1e-4)


def test_threads_and_modes(kernels):
    """`no_grad` in one thread is not seen by the replays of another."""
    weight = gj.ones(4, requires_grad=True)
    function = gj.trace(lambda x: float(gj.is_grad_enabled()) + (weight * x).detach())

    def work(number):
        for _ in range(50):
            with gj.set_grad_enabled(number % 2 == 0):
                assert function(gj.zeros(4)).tolist() == [1.0 - number % 2] * 4

    in_threads(8, work)


def test_recording_in_threads(kernels):
    """Threads that record at once do not see each other's reads."""
    functions = [gj.trace(lambda x, k=k: nn.functional.relu(x) * k) for k in range(8)]

    def work(number):
        for _ in range(20):
            assert functions[number](gj.ones(2)).tolist() == [number] * 2

    in_threads(8, work)
    assert {f.stats()["replays"] for f in functions} == {19}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_fork_after_a_call(kernels):
    """A process that is forked after traced calls replays them, and its parent goes on."""
    weight = gj.ones(300, 300)
    function = gj.trace(lambda x: (x @ weight).sum() + gj.rand(()))
    x = gj.ones(300, 300)
    gj.manual_seed(0)
    function(x), function(x)
    state = gj.get_rng_state()
    expected = function(x).item()
    gj.set_rng_state(state)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(write, repr(function(x).item()).encode())
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert float(os.read(read, 100)) == expected
    os.close(read), os.close(write)
    assert function(x).item() == expected and function.stats()["replays"] == 3


def _spawned(queue):
    function = gj.trace(_doubled)
    queue.put([function(gj.ones(2)).tolist() for _ in range(3)])


def _doubled(x):
    return x * 2


def test_spawn(kernels):
    """A spawned process traces and replays like the first one."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_spawned, args=(queue,))
    process.start()
    assert queue.get(timeout=60) == [[2, 2]] * 3
    process.join()


SECOND = """
import graphjit as gj
step = gj.trace(lambda x: (x * 3 + 1).tanh().sum())
results = [step(gj.arange(5.0)).item() for _ in range(3)]
print(results, step.stats()["variants"])
"""


def test_two_processes_that_share_the_cache():
    """Processes that compile the same kernels at once share them on disk without harm."""
    command = [sys.executable, "-c", SECOND]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {process.communicate(timeout=60)[0] for process in running}
    assert len(outputs) == 1 and outputs.pop().endswith("1\n")


@trap(variants=1)
def test_traced_functions_that_call_each_other():
    """A traced function that another one calls becomes part of it, and still works by itself."""
    weight = gj.ones(4)
    inner = gj.trace(lambda x: weight.mul_(2) + x)

    def step(x):
        return inner(x) + inner(x)

    def change(n):
        inner(gj.ones(4))

    return traced(step), change


@trap
def test_what_a_nested_function_reads():
    """What a nested traced function reads is guarded by the outer one as well."""
    scale = 1.0
    inner = traced(lambda x: x * scale)

    def change(n):
        nonlocal scale
        scale = float(n)

    return traced(lambda x: inner(x) + 1), change


@trap(arguments=lambda call: (gj.ones(2), call % 4), variants=5)
def test_recursion():
    """A traced function may call itself."""
    functions = []

    def fold(x, depth):
        return x if depth == 0 else functions[0](x * 2, depth - 1) + depth

    functions.append(traced(fold))
    return functions[0]


@trap
def test_tracing_inside_a_traced_function():
    """A function that is decorated while another is recorded is called as it is."""
    scale = 1.0

    def step(x):
        inner = gj.trace(lambda y: y * scale)
        return inner(x) + 1

    def change(n):
        nonlocal scale
        scale = float(n)

    return step, change
